//! The registry: the one actor that writes who is on which topic, who owns which name, who watches and
//! who is listed.
//!
//! Everything that *changes* membership is a message to it, and so has an order; everything that only
//! *reads* (every broadcast, every signal) goes to the table it publishes, and never through it. It
//! forgets a connection by itself when the connection says that it is down, or is found so.
//!
//! It runs only our own code on checked values, and must not panic; when it dies all the same, the
//! node ends ([`ExitSignal`]).

mod claims;
pub(crate) mod command;
mod connection_index;
mod held_signals;
pub(crate) mod permits;
mod watchers;

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use actix::{Actor, AsyncContext, Context, Handler, MessageResult, WrapFuture};
use futures_util::FutureExt;
use tokio::sync::oneshot;

use crate::broker::adapter::{Adapter, Epoch, Packet};
use crate::broker::presence_tracker::PresenceTracker;
use crate::broker::registry::claims::Owner;
use crate::broker::registry::command::{
    Admitted, ChangePresence, Command, ConnectionClosed, GetPresence, GetStats, NodeDown, RegistryStats, RemotePacket,
    Subscribe, Unsubscribe, Watch,
};
use crate::broker::registry::connection_index::{ConnectionEntry, ConnectionIndex};
use crate::broker::registry::held_signals::HeldSignals;
use crate::broker::registry::watchers::Watchers;
use crate::broker::topic_table::TopicTable;
use crate::config::schema::{Config, Hold};
use crate::connections::connection::ConnectionId;
use crate::connections::connection::MemberId;
use crate::connections::envelope::SocketEvent;
use crate::message::{JoinId, OnlineStatus, PresenceChange, PresenceEntry, PresenceUpdate, Proof};
use crate::metrics::families::Metrics;
use crate::metrics::labels::JoinRefusal;
use crate::topic::Topic;

/// Why there is no room, as the client hears it.
const FULL: &str = "topic is full";

/// What the registry must be told before it starts.
pub(crate) struct RegistryOptions {
    /// How many members a topic may have on this node.
    pub(crate) members: usize,
    /// How many rows a topic's presence list may have.
    pub(crate) rows: usize,
    /// For how long changes of a presence list are gathered.
    pub(crate) interval: Duration,
    /// What may wait for names that nobody holds.
    pub(crate) hold: Hold,
    /// How many bytes of clients' wishes may wait for the registry.
    pub(crate) queue_bytes: usize,
    /// How many bytes may wait for one subscriber among the server's own code.
    pub(crate) subscription_bytes: usize,
}

impl RegistryOptions {
    pub(crate) fn new(config: &Config) -> Self {
        Self {
            members: config.limits.members_per_topic,
            rows: config.presence.rows_per_topic,
            interval: config.presence.interval,
            hold: config.hold.clone(),
            queue_bytes: config.limits.registry_queue_bytes,
            subscription_bytes: config.limits.queue_bytes,
        }
    }
}

/// Says that the registry has died: dropped with it, whatever ended it.
pub(crate) struct ExitSignal(#[expect(dead_code, reason = "its drop is the message")] pub(crate) oneshot::Sender<()>);

/// The actor.
pub(crate) struct Registry {
    options: RegistryOptions,
    pub(crate) table: Arc<TopicTable>,
    pub(crate) adapter: Arc<dyn Adapter>,
    pub(crate) metrics: Arc<Metrics>,
    pub(crate) index: ConnectionIndex,
    pub(crate) names: HashMap<Topic, Owner>,
    watchers: Watchers,
    presence: PresenceTracker,
    pub(crate) held: HeldSignals,
    flushing: bool,
    _exit_signal: ExitSignal,
}

impl Registry {
    pub(crate) fn new(
        options: RegistryOptions,
        table: Arc<TopicTable>,
        adapter: Arc<dyn Adapter>,
        metrics: Arc<Metrics>,
        exit_signal: ExitSignal,
    ) -> Self {
        let presence = PresenceTracker::new(adapter.node());
        Self {
            table,
            adapter,
            metrics,
            index: ConnectionIndex::default(),
            names: HashMap::new(),
            watchers: Watchers::default(),
            presence,
            held: HeldSignals::new(options.hold.clone()),
            options,
            flushing: false,
            _exit_signal: exit_signal,
        }
    }

    pub(crate) fn refuse(&self, command: &Subscribe, why: JoinRefusal, reason: &'static str) {
        self.metrics.joins_refused.add(command.topic.realm(), why, 1);
        let _ = command.connection.send_event(SocketEvent::Refused(command.join, reason));
    }

    /// Makes the wish come true, now that the name (if it names one) is free for it.
    pub(crate) fn add_member(
        &mut self,
        command: Subscribe,
        owned: Option<(Option<Proof>, Epoch)>,
        ctx: &mut Context<Self>,
    ) {
        let topic = &command.topic;
        let too_many = self.table.count(topic.key()) >= self.options.members;
        let too_long = command.membership.entry.is_some() && self.presence.len(topic) >= self.options.rows;
        if too_many || too_long {
            if let Some((_, epoch)) = owned {
                self.adapter.release(topic, epoch);
            }
            return self.refuse(&command, JoinRefusal::Full, FULL);
        }
        let id = command.member().id();
        self.index.add_join(id, topic.clone());
        if let Some((proof, epoch)) = owned {
            self.names.insert(topic.clone(), Owner { id, connection: command.connection.clone(), proof, epoch });
        }
        let was_interested = self.is_interested(topic);
        if self.table.insert(topic, command.member()) == 1 {
            self.watchers.tell(topic, true);
        }
        self.sync_interest(topic, was_interested);
        if owned.is_some() {
            self.adapter.publish(topic, Packet::Up);
        }
        if command.join != JoinId::SOCKET {
            command.connection.mark_joined();
        }
        self.metrics.joins.add(topic.realm(), (), 1);
        let _ = command.connection.send_event(SocketEvent::Subscribed(command.join));
        self.deliver_held(&command);
        self.track_presence(command, ctx);
    }

    /// The presence side of a new membership.
    fn track_presence(&mut self, command: Subscribe, ctx: &mut Context<Self>) {
        let member = command.member();
        let id = member.id();
        if command.membership.subscribe_presence && self.presence.view(&command.topic, member) {
            self.adapter.publish(&command.topic, Packet::PresenceWanted);
        }
        if let Some(row) = command.membership.entry {
            self.presence.put(&command.topic, id, row);
            self.flush_later(ctx);
        }
    }

    /// Undoes one membership, its name included.
    fn leave(&mut self, topic: &Topic, id: MemberId, ctx: &mut Context<Self>) {
        if let Some(owner) = self.names.get(topic).filter(|owner| owner.id == id) {
            self.adapter.release(topic, owner.epoch);
            self.adapter.publish(topic, Packet::Down);
        }
        if self.remove_from_tables(topic, id, ctx) == Some(0) {
            self.watchers.tell(topic, false);
        }
    }

    /// Takes a member off its topic, and its name from it; says how many are left.
    pub(crate) fn remove_from_tables(&mut self, topic: &Topic, id: MemberId, ctx: &mut Context<Self>) -> Option<usize> {
        let was_interested = self.is_interested(topic);
        if self.names.get(topic).is_some_and(|owner| owner.id == id) {
            self.names.remove(topic);
        }
        let left = self.table.remove(topic.key(), id);
        self.presence.leave(topic, id);
        self.flush_later(ctx);
        self.sync_interest(topic, was_interested);
        left
    }

    fn remove_all(&mut self, connection: ConnectionId, held: ConnectionEntry, ctx: &mut Context<Self>) {
        for (join, topic) in held.joins {
            self.leave(&topic, MemberId { connection, join }, ctx);
        }
        for (join, topic) in held.watchers {
            self.unwatch(&topic, MemberId { connection, join });
        }
    }

    pub(crate) fn unwatch(&mut self, topic: &Topic, id: MemberId) {
        let was_interested = self.is_interested(topic);
        self.watchers.remove(topic, id);
        self.sync_interest(topic, was_interested);
    }

    /// Whether anybody here wants to hear what other nodes publish on the topic. The owner of a name
    /// does not: whoever speaks to it asks the directory where it is.
    pub(crate) fn is_interested(&self, topic: &Topic) -> bool {
        self.watchers.has(topic)
            || self.held.has(topic)
            || self.table.count(topic.key()) > 0 && !self.names.contains_key(topic)
    }

    pub(crate) fn sync_interest(&self, topic: &Topic, before: bool) {
        let now = self.is_interested(topic);
        if now != before {
            self.adapter.interest(topic, now);
        }
    }

    fn flush_later(&mut self, ctx: &mut Context<Self>) {
        if self.flushing || !self.presence.has_changed() {
            return;
        }
        self.flushing = true;
        ctx.run_later(self.options.interval, |registry, _| {
            registry.flushing = false;
            for (topic, packet) in registry.presence.flush() {
                registry.adapter.publish(&topic, packet);
            }
        });
    }
}

impl Actor for Registry {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Self::Context) {
        // without a bound of its own: a wish has had its turn, what gives back follows a wish that had, and what other
        // nodes say comes at their registries' pace
        ctx.set_mailbox_capacity(0);
    }
}

impl Handler<Admitted> for Registry {
    type Result = ();

    fn handle(&mut self, Admitted { command, permit }: Admitted, ctx: &mut Self::Context) {
        // before it is done: who is answered may have a further wish at once
        drop(permit);
        match command {
            Command::Subscribe(command) => self.subscribe(command, ctx),
            Command::Watch(watch) => self.watch(watch, ctx),
            Command::Presence(change) => self.change_presence(change, ctx),
            Command::Hold(signal) => self.hold_signal(signal, ctx),
        }
    }
}

impl Registry {
    fn subscribe(&mut self, command: Subscribe, ctx: &mut Context<Self>) {
        if command.connection.mailbox.is_closed() {
            return; // its `ConnectionClosed` is behind this message, or was before it
        }
        if let Some(join) = command.replaces {
            self.handle(Unsubscribe { id: MemberId { connection: command.connection.id, join } }, ctx);
        }
        match command.membership.claim {
            Some(claim) => self.claim(command, claim, ctx),
            None => self.add_member(command, None, ctx),
        }
    }

    fn watch(&mut self, Watch { member, topic, on }: Watch, ctx: &mut Context<Self>) {
        if member.connection.mailbox.is_closed() {
            return;
        }
        let id = member.id();
        if !on {
            self.unwatch(&topic, id);
            return self.index.remove_watch(id, topic);
        }
        let was_interested = self.is_interested(&topic);
        if self.watchers.add(&topic, member.clone()) {
            self.index.add_watch(id, topic.clone());
        }
        self.sync_interest(&topic, was_interested);
        let online = self.table.count(topic.key()) > 0;
        let mut elsewhere = self.adapter.whereis(&topic);
        let tell = move |online| {
            let _ =
                member.connection.send_event(SocketEvent::Info(member.join, Box::new(OnlineStatus { topic, online })));
        };
        if online {
            return tell(true);
        }
        match (&mut elsewhere).now_or_never() {
            Some(online) => tell(online),
            None => drop(ctx.spawn(elsewhere.map(tell).into_actor(self))),
        }
    }

    fn change_presence(&mut self, command: ChangePresence, ctx: &mut Context<Self>) {
        let ChangePresence { member, topic, change } = command;
        let id = member.id();
        match change {
            PresenceChange::Update(meta) => {
                if let Some(row) = self.presence.row(&topic, id) {
                    let row = PresenceEntry { key: row.key.clone(), meta };
                    self.presence.put(&topic, id, row);
                }
            }
            PresenceChange::Track(row) => {
                let has_room = self.presence.row(&topic, id).is_some() || self.presence.len(&topic) < self.options.rows;
                let listed = has_room && self.index.is_on(id, &topic);
                if listed {
                    self.presence.put(&topic, id, row);
                }
                let update = Box::new(PresenceUpdate { topic, listed });
                let _ = member.connection.send_event(SocketEvent::Info(member.join, update));
            }
            PresenceChange::Untrack => self.presence.untrack(&topic, id),
        }
        self.flush_later(ctx);
    }
}

impl Handler<Unsubscribe> for Registry {
    type Result = ();

    fn handle(&mut self, Unsubscribe { id }: Unsubscribe, ctx: &mut Self::Context) {
        let held = self.index.take_join(id);
        self.remove_all(id.connection, held, ctx);
    }
}

impl Handler<ConnectionClosed> for Registry {
    type Result = ();

    fn handle(&mut self, ConnectionClosed { connection }: ConnectionClosed, ctx: &mut Self::Context) {
        let held = self.index.take(connection);
        self.remove_all(connection, held, ctx);
    }
}

impl Handler<RemotePacket> for Registry {
    type Result = ();

    fn handle(&mut self, RemotePacket { topic, packet }: RemotePacket, ctx: &mut Self::Context) {
        match packet {
            Packet::Up => {
                self.watchers.tell(&topic, true);
                self.forward_held(&topic);
            }
            Packet::Down => self.watchers.tell(&topic, false),
            Packet::Presence { node, joins, leaves } => {
                self.presence.merge(&topic, &node, &joins, &leaves);
                self.flush_later(ctx);
            }
            Packet::PresenceWanted => {
                if let Some(own) = self.presence.own(&topic) {
                    self.adapter.publish(&topic, own);
                }
            }
            Packet::Broadcast { .. } => debug_assert!(false, "broadcasts go to the table, not through the registry"),
        }
    }
}

impl Handler<NodeDown> for Registry {
    type Result = ();

    fn handle(&mut self, NodeDown { node }: NodeDown, ctx: &mut Self::Context) {
        if self.presence.node_down(&node) {
            self.flush_later(ctx);
        }
    }
}

impl Handler<GetPresence> for Registry {
    type Result = MessageResult<GetPresence>;

    fn handle(&mut self, GetPresence { topic }: GetPresence, _: &mut Self::Context) -> Self::Result {
        MessageResult(self.presence.list(&topic))
    }
}

impl Handler<GetStats> for Registry {
    type Result = RegistryStats;

    fn handle(&mut self, _: GetStats, _: &mut Self::Context) -> RegistryStats {
        RegistryStats {
            connections: self.index.connections(),
            topics: self.table.topics(),
            members: self.index.members(),
            names: self.names.len(),
            watches: self.watchers.count(),
            rows: self.presence.count(),
            held: self.held.count(),
            held_bytes: self.held.bytes(),
        }
    }
}
