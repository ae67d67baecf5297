//! The steps of signals for absent peers: they are held, delivered here, forwarded to another node, or expire.

use std::time::Instant;

use futures_util::FutureExt;

use super::State;
use crate::broker::registry::command::Subscribe;
use crate::broker::registry::held_signals::HeldSignal;
use crate::broker::topic_table::Members;
use crate::message::DeliveryStatus;
use crate::refusal::DropReason;
use crate::topic::Topic;

impl State {
    /// Holds a signal for an absent peer.
    pub(in crate::broker::registry) fn hold_signal(&mut self, mut signal: HeldSignal) {
        let name = signal.name().clone();
        // a client may have taken the name since the sender looked it up, or its owner may be closed
        let members = self.table.members(name.key());
        let has_client = |members: &Members| members.iter().any(|member| member.join.is_client());
        if let Some(members) = members.filter(has_client) {
            match signal.deliver(&members) {
                Some(undelivered) => signal = undelivered,
                None => return,
            }
        }
        let was_interested = self.is_interested(&name);
        if !self.held.has_room(&signal) {
            signal.settle(DeliveryStatus::Overloaded);
        } else if self.held.has(&name) {
            self.held.put(signal);
        } else if signal.signal.hold_time().is_none() {
            self.query_cluster(signal);
        } else {
            // the subscription comes first: otherwise an owner that appears between the answer and it is missed
            self.held.put(signal);
            self.sync_interest(&name, was_interested);
            return self.ask_cluster(&name);
        }
        self.sync_interest(&name, was_interested);
    }

    /// Sends a signal to the other nodes that is not to be held, for a name that no client of this node owns and that
    /// has no held signals.
    fn query_cluster(&mut self, signal: HeldSignal) {
        let mut answer = self.adapter.deliver(signal.name(), signal.packet());
        match (&mut answer).now_or_never() {
            Some(status) => signal.settle(status),
            None => {
                self.held.await_cluster(&signal);
                self.suspend(answer, move |state, status| state.cluster_answered(signal, status));
            }
        }
    }

    /// Sends the first signal held for a name to the other nodes, since the name may have an owner there. If it does,
    /// the others follow.
    pub(super) fn ask_cluster(&mut self, name: &Topic) {
        self.held.set_due(name);
        if self.subscriptions.has(name) {
            return;
        }
        if let Some(signal) = self.held.take_due(name) {
            let answer = self.adapter.deliver(name, signal.packet());
            self.wait(answer, move |state, status| state.cluster_answered(signal, status));
        }
    }

    fn cluster_answered(&mut self, signal: HeldSignal, status: DeliveryStatus) {
        let name = signal.name().clone();
        let was_interested = self.is_interested(&name);
        match status {
            DeliveryStatus::Absent => self.held.requeue(signal),
            DeliveryStatus::Unreachable => self.held.give_up(signal, status),
            DeliveryStatus::Delivered | DeliveryStatus::Overloaded => {
                self.held.answered(&signal);
                signal.settle(status);
                return self.forward_held(&name);
            }
        }
        if self.held.is_due(&name) {
            self.ask_cluster(&name);
        } else {
            let excess = self.held.take_excess(&name);
            excess.into_iter().for_each(|signal| signal.settle(DeliveryStatus::Overloaded));
        }
        self.sync_interest(&name, was_interested);
    }

    /// Delivers the signals held for a name to the client of this node that has just taken it.
    pub(super) fn deliver_held(&mut self, command: &Subscribe) {
        if !self.held.has(&command.topic) || !command.join.is_client() {
            return;
        }
        let was_interested = self.is_interested(&command.topic);
        let member = [command.member()];
        let undelivered = self.held.take(&command.topic).into_iter().filter_map(|signal| signal.deliver(&member));
        undelivered.for_each(|signal| signal.settle(DeliveryStatus::Absent));
        self.sync_interest(&command.topic, was_interested);
    }

    /// Forwards the signals held for a name to the node whose client has taken it.
    fn forward_held(&mut self, name: &Topic) {
        let was_interested = self.is_interested(name);
        for signal in self.held.take(name) {
            let answer = self.adapter.deliver(name, signal.packet());
            self.wait(answer, move |_, status| signal.settle(status));
        }
        self.sync_interest(name, was_interested);
    }

    pub(in crate::broker::registry) fn has_held_signals(&self) -> bool {
        !self.held.is_empty()
    }

    /// Drops the signals that have expired, and reports to their senders that the peer is absent.
    pub(in crate::broker::registry) fn expire_held(&mut self, now: Instant) {
        for name in self.held.expired(now) {
            let was_interested = self.is_interested(&name);
            let expired = self.held.take(&name);
            self.metrics.messages_dropped.add(name.realm(), DropReason::Expired, expired.len() as u64);
            expired.into_iter().for_each(|signal| signal.settle(DeliveryStatus::Absent));
            self.sync_interest(&name, was_interested);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::time::Duration;

    use super::*;
    use crate::broker::adapter::LocalAdapter;
    use crate::broker::topic_table::TopicTable;
    use crate::close;
    use crate::config::schema::Config;
    use crate::connections::connection::Connection;
    use crate::connections::connection::tests::numbered;
    use crate::connections::envelope::Envelope;
    use crate::connections::mailbox::Batch;
    use crate::message::{Broadcast, JoinId, Membership, NameClaim, Payload, RequestRef, Signal};
    use crate::protocol::Delivery;

    fn join(state: &mut State, connection: &Arc<Connection>) {
        let membership = Membership { claim: Some(NameClaim::default()), ..Membership::default() };
        let (topic, connection) = (Topic::parse("peer:a").unwrap(), connection.clone());
        state.subscribe(Subscribe { connection, join: JoinId(1), topic, membership, replaces: None });
    }

    fn signal(from: &Arc<Connection>) -> HeldSignal {
        let to = Topic::parse("peer:a").unwrap();
        let request = RequestRef { topic: Topic::parse("peer:b").unwrap(), join: JoinId(1), reference: None };
        let broadcast = Broadcast { topic: to.clone(), event: "offer".into(), payload: Payload::empty() };
        let signal = Signal { to, event: "offer".into(), request, hold: Some(Duration::from_secs(5)) };
        HeldSignal { from: from.clone(), signal, delivery: Arc::new(Delivery::new(broadcast)) }
    }

    fn received(client: &Connection) -> Batch {
        let mut batch = Batch::new();
        client.mailbox.drain(&mut batch, std::task::Waker::noop());
        batch
    }

    /// The registry may learn later that the owner's connection is closed.
    #[test]
    fn a_signal_to_a_closed_owner_is_held_for_the_next_one() {
        let mut state =
            State::new(&Config::default(), Arc::new(TopicTable::new()), Arc::new(LocalAdapter), Arc::default());
        let [sender, former, next] = [1, 2, 3].map(|n| Arc::new(numbered(n, usize::MAX)));
        join(&mut state, &former);
        former.close(&close::GONE);
        state.hold_signal(signal(&sender));
        assert!(received(&sender).is_empty() && state.has_held_signals());
        join(&mut state, &next);
        let delivered = |batch: Batch| batch.iter().filter(|one| matches!(one, Envelope::Delivery(..))).count();
        assert_eq!((delivered(received(&next)), state.has_held_signals()), (1, false));
        assert_eq!(received(&sender).len(), 1);
    }
}
