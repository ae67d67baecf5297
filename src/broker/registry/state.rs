//! The registry's tables and every step that changes them, without an actor and without a clock of its own.
//!
//! A step that must wait for the adapter leaves a future in `pending`; the registry awaits it and then resumes the
//! state. So every sequence of steps can be tested without an executor.

mod contest;
mod held;
mod interest;
#[cfg(test)]
mod manual_adapter;
mod names;
mod packets;
mod presence;
mod resync;
#[cfg(test)]
mod tests;
mod watching;

use std::collections::BTreeMap;
use std::pin::Pin;
use std::slice::from_ref;
use std::sync::Arc;

use futures_util::FutureExt;

use crate::broker::adapter::{Adapter, BoxFuture, Epoch, Packet};
use crate::broker::presence_tracker::PresenceTracker;
use crate::broker::registry::claims::Claims;
use crate::broker::registry::command::Subscribe;
use crate::broker::registry::connection_index::{ConnectionEntry, ConnectionIndex};
use crate::broker::registry::contests::Contests;
use crate::broker::registry::held_signals::HeldSignals;
use crate::broker::registry::names::Owner;
use crate::broker::registry::passes::Passes;
use crate::broker::registry::pending_subscriptions::PendingSubscriptions;
use crate::broker::registry::watchers::Watchers;
use crate::broker::topic_table::TopicTable;
use crate::config::schema::Config;
use crate::connections::connection::{ConnectionId, MemberId};
use crate::connections::envelope::SocketEvent;
use crate::message::JoinId;
use crate::metrics::families::Metrics;
use crate::refusal::JoinRefusal;
use crate::topic::Topic;
use crate::webhooks::{RegistryHooks, Webhooks};

/// The reason that a client receives when a topic has no room for it.
const FULL: &str = "topic is full";

/// The rest of a step, which runs when the adapter has answered.
pub(super) type Resume = Box<dyn FnOnce(&mut State) + Send>;
/// A step that waits for the adapter.
pub(super) type Pending = Pin<Box<dyn Future<Output = Resume> + Send>>;

/// How much one topic may hold on this node.
pub(super) struct TopicLimits {
    members: usize,
    presence_entries: usize,
}

/// The tables.
pub(super) struct State {
    limits: TopicLimits,
    table: Arc<TopicTable>,
    adapter: Arc<dyn Adapter>,
    metrics: Arc<Metrics>,
    index: ConnectionIndex,
    /// Ordered, so that it can be listed in pieces.
    names: BTreeMap<Topic, Owner>,
    claims: Claims,
    contests: Contests,
    subscriptions: PendingSubscriptions,
    watchers: Watchers,
    presence: PresenceTracker,
    held: HeldSignals,
    passes: Passes,
    /// Reports peers and rooms to the webhooks, if there are any.
    hooks: Option<RegistryHooks>,
    pending: Vec<Pending>,
}

impl State {
    pub(super) fn new(
        config: &Config,
        table: Arc<TopicTable>,
        adapter: Arc<dyn Adapter>,
        metrics: Arc<Metrics>,
    ) -> Self {
        let limits = TopicLimits {
            members: config.limits.members_per_topic,
            presence_entries: config.presence.entries_per_topic,
        };
        Self {
            limits,
            table,
            metrics,
            index: ConnectionIndex::default(),
            names: BTreeMap::new(),
            claims: Claims::default(),
            contests: Contests::new(config.limits.contest_timeout),
            subscriptions: PendingSubscriptions::default(),
            watchers: Watchers::default(),
            presence: PresenceTracker::new(adapter.node(), config.limits.registry_queue_bytes),
            held: HeldSignals::new(config.held_signals.clone()),
            passes: Passes::default(),
            hooks: None,
            pending: Vec::new(),
            adapter,
        }
    }

    /// Reports what happens to the webhooks.
    pub(super) fn report_to(&mut self, webhooks: Webhooks) {
        self.hooks = Some(RegistryHooks::new(webhooks));
    }

    /// The steps that began to wait for the adapter since the last call.
    pub(super) fn take_pending(&mut self) -> Vec<Pending> {
        std::mem::take(&mut self.pending)
    }

    /// Continues with the adapter's answer: immediately if it is ready, otherwise when it arrives.
    fn wait<T: Send + 'static>(
        &mut self,
        mut answer: BoxFuture<T>,
        resume: impl FnOnce(&mut Self, T) + Send + 'static,
    ) {
        match (&mut answer).now_or_never() {
            Some(answer) => resume(self, answer),
            None => self.suspend(answer, resume),
        }
    }

    /// Continues with an answer when it arrives.
    fn suspend<T: Send + 'static>(&mut self, answer: BoxFuture<T>, resume: impl FnOnce(&mut Self, T) + Send + 'static) {
        self.pending.push(Box::pin(answer.map(|answer| -> Resume { Box::new(|state| resume(state, answer)) })));
    }

    // ---- members

    /// Adds a member. If the topic is to be its name, the name must be free first.
    pub(super) fn subscribe(&mut self, mut command: Subscribe) {
        if command.connection.mailbox.is_closed() {
            return; // its `ConnectionClosed` is in the queue behind this command, or was handled before it
        }
        // a command that has waited comes here again
        if let Some(join) = command.replaces.take() {
            self.note_life(command.connection.id);
            let replaced = MemberId { connection: command.connection.id, join };
            match (command.membership.claim, self.names.get(&command.topic)) {
                (Some(claim), Some(owner)) if owner.id == replaced => {
                    let epoch = owner.epoch;
                    return self.take_over(command, claim, epoch);
                }
                _ => self.unsubscribe(replaced),
            }
        }
        match command.membership.claim {
            Some(claim) => self.claim(command, claim),
            None => self.add_member(command),
        }
    }

    pub(super) fn unsubscribe(&mut self, id: MemberId) {
        let entry = self.index.take_join(id);
        self.remove_all(id.connection, entry);
    }

    pub(super) fn connection_closed(&mut self, connection: ConnectionId) {
        self.contests.forget(connection);
        let entry = self.index.take(connection);
        self.remove_all(connection, entry);
    }

    fn refuse(&self, command: &Subscribe, refusal: JoinRefusal, reason: &'static str) {
        self.metrics.joins_refused.add(command.topic.realm(), refusal, 1);
        let _ = command.connection.send_event(SocketEvent::Refused(command.join, reason));
    }

    fn is_full(&self, command: &Subscribe) -> bool {
        let topic = &command.topic;
        self.table.count(topic.key()) >= self.limits.members
            || command.membership.entry.is_some() && self.presence.len(topic) >= self.limits.presence_entries
    }

    /// Adds a member as soon as the other nodes reach it.
    fn add_member(&mut self, command: Subscribe) {
        let mut is_interested = self.is_interested(&command.topic);
        if !is_interested && !self.names.contains_key(&command.topic) {
            self.start_subscription(&command.topic);
            is_interested = true;
        }
        if self.subscriptions.has(&command.topic) {
            self.index.add_join(command.id(), command.topic.clone());
            return self.subscriptions.add_join(command);
        }
        if self.is_full(&command) {
            self.refuse(&command, JoinRefusal::Full, FULL);
            return self.sync_interest(&command.topic, is_interested);
        }
        self.index.add_join(command.id(), command.topic.clone());
        self.enter(command);
    }

    /// Adds a member to a topic that this node is subscribed to.
    fn enter(&mut self, command: Subscribe) {
        if self.table.insert(&command.topic, command.member()) == 1 {
            self.watchers.changed_here(&command.topic, 0, true);
        }
        if let Some(hooks) = &mut self.hooks {
            hooks.joined(&command.topic, command.join);
        }
        self.confirm(command);
    }

    /// Adds the owner of a name. Senders ask the directory for its node, so it needs no subscription.
    fn add_owner(&mut self, command: Subscribe, epoch: Epoch) {
        let topic = &command.topic;
        if self.is_full(&command) {
            self.return_grant(topic, epoch);
            return self.refuse(&command, JoinRefusal::Full, FULL);
        }
        let (id, was_interested) = (command.id(), self.is_interested(topic));
        let proof = command.proof();
        self.index.add_join(id, topic.clone());
        self.names.insert(topic.clone(), Owner { id, connection: command.connection.clone(), proof, epoch });
        self.table.insert(topic, command.member());
        self.watchers.changed_here(topic, epoch, true);
        self.sync_interest(topic, was_interested);
        self.adapter.publish(from_ref(topic), Packet::Up(epoch));
        if let Some(hooks) = &self.hooks {
            hooks.peer_up(topic, &command.connection);
        }
        self.confirm(command);
    }

    /// Tells a new member that it is one, and gives it what waits for it.
    fn confirm(&mut self, command: Subscribe) {
        if command.join != JoinId::SOCKET {
            command.connection.mark_joined();
        }
        self.metrics.joins.add(command.topic.realm(), (), 1);
        let _ = command.connection.send_event(SocketEvent::Subscribed(command.join));
        self.deliver_held(&command);
        self.track_presence(command);
    }

    /// Removes a member, and the name if the member owned it. Notifies the watchers if it was the last member.
    fn remove_member(&mut self, topic: &Topic, id: MemberId) {
        let owner = self.names.get(topic).filter(|owner| owner.id == id);
        if let (Some(hooks), Some(owner)) = (&self.hooks, owner) {
            hooks.peer_down(topic, &owner.connection);
        }
        let epoch = owner.map(|owner| owner.epoch);
        if let Some(epoch) = epoch {
            self.adapter.release(topic, epoch);
            self.adapter.publish(from_ref(topic), Packet::Down(epoch));
        }
        let left = self.remove_from_tables(topic, id);
        if let Some(hooks) = self.hooks.as_mut().filter(|_| epoch.is_none() && left.is_some()) {
            hooks.left(topic, id.join);
        }
        if epoch.is_some() || left == Some(0) {
            self.watchers.changed_here(topic, epoch.unwrap_or_default(), false);
        }
        if epoch.is_some() {
            self.name_freed(topic);
        }
    }

    /// Removes a member from the tables, and returns how many members the topic has left.
    fn remove_from_tables(&mut self, topic: &Topic, id: MemberId) -> Option<usize> {
        let was_interested = self.is_interested(topic);
        if self.names.get(topic).is_some_and(|owner| owner.id == id) {
            self.names.remove(topic);
        }
        self.subscriptions.remove_join(topic, id);
        let left = self.table.remove(topic.key(), id);
        self.presence.leave(topic, id);
        self.sync_interest(topic, was_interested);
        left
    }

    /// The topics that a connection is a member of, at most `limit` of them.
    pub(super) fn topics_of(&self, connection: ConnectionId, limit: usize) -> Vec<Topic> {
        self.index.topics(connection).take(limit).cloned().collect()
    }

    /// Removes everything that a connection, or one join, has in the tables.
    fn remove_all(&mut self, connection: ConnectionId, entry: ConnectionEntry) {
        for (join, topic) in entry.joins {
            self.remove_member(&topic, MemberId { connection, join });
        }
        for (join, topic) in entry.watches {
            self.unwatch(&topic, MemberId { connection, join });
        }
    }
}
