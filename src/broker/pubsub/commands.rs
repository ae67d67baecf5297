//! The commands that sessions send to the registry.

use std::sync::Arc;

use super::Pubsub;
use crate::broker::registry::command::{
    Admitted, ChangePresence, Command, ConnectionClosed, Subscribe, SubscribePresence, Unsubscribe, Watch,
};
use crate::broker::registry::held_signals::HeldSignal;
use crate::broker::registry::permits::Permit;
use crate::connections::connection::{Connection, Member, MemberId};
use crate::message::Signal;
use crate::protocol::Delivery;
use crate::topic::Topic;

impl Pubsub {
    /// Holds a signal until a client takes the name, if no client of any node owns it. `from` receives the delivery
    /// status as a [`SocketEvent`].
    pub(crate) fn hold_signal(&self, signal: Signal, delivery: Arc<Delivery>, from: Arc<Connection>, permit: Permit) {
        self.send_command(Command::Hold(HeldSignal { from, signal, delivery }), permit);
    }

    pub(crate) fn add_member(&self, command: Subscribe, permit: Permit) {
        command.connection.mark_registered();
        self.send_command(Command::Subscribe(command), permit);
    }

    pub(crate) fn watch(&self, watch: Watch, permit: Permit) {
        watch.member.connection.mark_registered();
        self.send_command(Command::Watch(watch), permit);
    }

    pub(crate) fn change_presence(&self, change: ChangePresence, permit: Permit) {
        self.send_command(Command::Presence(change), permit);
    }

    /// Requests a topic's presence list for a member, and from then on its changes. Needs no permit: each connection
    /// requests one list at a time, for a topic that it has joined.
    pub(crate) fn subscribe_presence(&self, member: Member, topic: Topic) {
        self.0.registry.do_send(SubscribePresence { member, topic });
    }

    /// Queues a command. With its permit, it is never refused.
    fn send_command(&self, command: Command, permit: Permit) {
        self.0.registry.do_send(Admitted { command, permit });
    }

    /// Needs no permit: there is at most one for each [`Subscribe`], which had one.
    pub(crate) fn unsubscribe(&self, id: MemberId) {
        self.0.registry.do_send(Unsubscribe { id });
    }

    /// Reports a closed connection to the registry. Needs no permit: each connection for which a command was sent is
    /// reported at most twice, by the sweep and at its end, and other connections are not reported at all.
    pub(crate) fn down(&self, connection: &Connection) {
        debug_assert!(connection.mailbox.is_closed(), "a later subscription would never be removed");
        if connection.is_registered() {
            self.0.registry.do_send(ConnectionClosed { connection: connection.id });
        }
    }
}
