//! The registry's tables and every step that changes them, without an actor and without a clock of its own.
//!
//! A step that must wait for the adapter leaves a future in `pending`; the registry awaits it and then resumes the
//! state. So every sequence of steps can be tested without an executor.

mod contest;
mod held;
mod names;

use std::collections::BTreeMap;
use std::future::{Future, ready};
use std::ops::Bound;
use std::pin::Pin;
use std::slice::from_ref;
use std::sync::Arc;

use futures_util::FutureExt;

use crate::broker::adapter::{Adapter, BoxFuture, Epoch, Packet};
use crate::broker::presence_tracker::PresenceTracker;
use crate::broker::registry::command::{ChangePresence, Subscribe, Watch};
use crate::broker::registry::connection_index::{ConnectionEntry, ConnectionIndex};
use crate::broker::registry::contests::Contests;
use crate::broker::registry::held_signals::HeldSignals;
use crate::broker::registry::names::Owner;
use crate::broker::registry::watchers::Watchers;
use crate::broker::registry_stats::RegistryStats;
use crate::broker::topic_table::TopicTable;
use crate::config::schema::Config;
use crate::connections::connection::{ConnectionId, Member, MemberId};
use crate::connections::envelope::SocketEvent;
use crate::message::{JoinId, PresenceChange, PresenceEntry, PresenceList, PresenceUpdate, Proof};
use crate::metrics::families::Metrics;
use crate::refusal::JoinRefusal;
use crate::topic::Topic;

/// The reason that a client receives when a topic has no room for it.
const FULL: &str = "topic is full";

/// The rest of a step, which runs when the adapter has answered.
pub(super) type Resume = Box<dyn FnOnce(&mut State)>;
/// A step that waits for the adapter.
pub(super) type Pending = Pin<Box<dyn Future<Output = Resume>>>;

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
    contests: Contests,
    watchers: Watchers,
    presence: PresenceTracker,
    held: HeldSignals,
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
            contests: Contests::new(config.limits.contest_timeout),
            watchers: Watchers::default(),
            presence: PresenceTracker::new(adapter.node()),
            held: HeldSignals::new(config.held_signals.clone()),
            pending: Vec::new(),
            adapter,
        }
    }

    /// The steps that began to wait for the adapter since the last call.
    pub(super) fn take_pending(&mut self) -> Vec<Pending> {
        std::mem::take(&mut self.pending)
    }

    /// Continues with the adapter's answer: immediately if it is ready, otherwise when it arrives.
    fn wait<T: 'static>(&mut self, mut answer: BoxFuture<T>, resume: impl FnOnce(&mut Self, T) + 'static) {
        match (&mut answer).now_or_never() {
            Some(answer) => resume(self, answer),
            None => self.suspend(answer, resume),
        }
    }

    /// Continues with an answer when it arrives.
    fn suspend<T: 'static>(&mut self, answer: BoxFuture<T>, resume: impl FnOnce(&mut Self, T) + 'static) {
        self.pending.push(Box::pin(answer.map(|answer| -> Resume { Box::new(|state| resume(state, answer)) })));
    }

    // ---- members

    /// Adds a member. If the topic is to be its name, the name must be free first.
    pub(super) fn subscribe(&mut self, command: Subscribe) {
        if command.connection.mailbox.is_closed() {
            return; // its `ConnectionClosed` is in the queue behind this command, or was handled before it
        }
        if let Some(join) = command.replaces {
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
            None => self.add_member(command, None),
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

    fn add_member(&mut self, command: Subscribe, owned: Option<(Option<Proof>, Epoch)>) {
        let topic = &command.topic;
        let too_many_members = self.table.count(topic.key()) >= self.limits.members;
        let too_many_entries =
            command.membership.entry.is_some() && self.presence.len(topic) >= self.limits.presence_entries;
        if too_many_members || too_many_entries {
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
            self.watchers.notify(topic, true);
        }
        self.sync_interest(topic, was_interested);
        if let Some((_, epoch)) = owned {
            self.adapter.publish(from_ref(topic), Packet::Up(epoch));
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

    /// Adds a new member's presence entry and its subscription to the presence list.
    fn track_presence(&mut self, command: Subscribe) {
        let member = command.member();
        let id = member.id();
        if command.membership.subscribe_presence {
            self.subscribe_presence(&command.topic, member);
        }
        if let Some(entry) = command.membership.entry {
            self.presence.put(&command.topic, id, entry);
        }
    }

    /// Sends the topic's presence list to a member, and from then on its changes.
    pub(super) fn subscribe_presence(&mut self, topic: &Topic, member: Member) {
        if self.index.is_member(member.id(), topic) && self.presence.subscribe(topic, member) {
            self.adapter.publish(from_ref(topic), Packet::PresenceWanted);
        }
    }

    /// Removes a member, and the name if the member owned it. Notifies the watchers if it was the last member.
    fn remove_member(&mut self, topic: &Topic, id: MemberId) {
        let owner = self.names.get(topic).filter(|owner| owner.id == id);
        let is_owner = owner.is_some();
        if let Some(owner) = owner {
            self.adapter.release(topic, owner.epoch);
            self.adapter.publish(from_ref(topic), Packet::Down(owner.epoch));
        }
        if self.remove_from_tables(topic, id) == Some(0) {
            self.watchers.notify(topic, false);
        }
        if is_owner {
            self.name_freed(topic);
        }
    }

    /// Removes a member from the tables, and returns how many members the topic has left.
    fn remove_from_tables(&mut self, topic: &Topic, id: MemberId) -> Option<usize> {
        let was_interested = self.is_interested(topic);
        if self.names.get(topic).is_some_and(|owner| owner.id == id) {
            self.names.remove(topic);
        }
        let left = self.table.remove(topic.key(), id);
        self.presence.leave(topic, id);
        self.sync_interest(topic, was_interested);
        left
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

    // ---- watches and presence

    pub(super) fn watch(&mut self, Watch { member, topic, on }: Watch) {
        if member.connection.mailbox.is_closed() {
            return;
        }
        let id = member.id();
        if !on {
            self.unwatch(&topic, id);
            return self.index.remove_watch(id, topic);
        }
        let was_interested = self.is_interested(&topic);
        if self.watchers.add(&topic, member) {
            self.index.add_watch(id, topic.clone());
        }
        self.sync_interest(&topic, was_interested);
        let is_here = self.table.count(topic.key()) > 0;
        let answer = if is_here { Box::pin(ready(Some(0))) } else { self.adapter.whereis(&topic) };
        self.wait(answer, move |state, epoch| state.watchers.answer(&topic, id, epoch.is_some()));
    }

    fn unwatch(&mut self, topic: &Topic, id: MemberId) {
        let was_interested = self.is_interested(topic);
        self.watchers.remove(topic, id);
        self.sync_interest(topic, was_interested);
    }

    pub(super) fn change_presence(&mut self, ChangePresence { member, topic, change }: ChangePresence) {
        let id = member.id();
        match change {
            PresenceChange::Update(meta) => {
                if let Some(entry) = self.presence.entry(&topic, id) {
                    let entry = PresenceEntry { key: entry.key.clone(), meta };
                    self.presence.put(&topic, id, entry);
                }
            }
            PresenceChange::Track(entry) => {
                let has_entry = self.presence.entry(&topic, id).is_some();
                let has_room = has_entry || self.presence.len(&topic) < self.limits.presence_entries;
                let listed = has_room && self.index.is_member(id, &topic);
                if listed {
                    self.presence.put(&topic, id, entry);
                }
                let update = Box::new(PresenceUpdate { topic, listed });
                let _ = member.connection.send_event(SocketEvent::Info(member.join, update));
            }
            PresenceChange::Untrack => self.presence.untrack(&topic, id),
        }
    }

    /// The topic's presence list, as this node knows it.
    pub(super) fn presence_list(&self, topic: &Topic) -> PresenceList {
        self.presence.list(topic)
    }

    /// Whether a watched topic has got its first member or lost its last since the last flush.
    pub(super) fn has_watch_changes(&self) -> bool {
        self.watchers.has_changed()
    }

    /// Notifies the watchers of such topics. Returns how many watchers these have.
    pub(super) fn flush_watchers(&mut self) -> usize {
        self.watchers.flush()
    }

    /// Whether a presence list has changed since the last flush.
    pub(super) fn has_presence_changes(&self) -> bool {
        self.presence.has_changed()
    }

    /// Sends the changes of all presence lists to their subscribers and to the other nodes.
    pub(super) fn flush_presence(&mut self) {
        for (topic, packet) in self.presence.flush() {
            self.adapter.publish(from_ref(&topic), packet);
        }
    }

    // ---- other nodes

    /// Whether this node must receive what other nodes publish on the topic. It need not for a name that it owns:
    /// senders ask the directory which node holds the name.
    fn is_interested(&self, topic: &Topic) -> bool {
        self.watchers.has(topic)
            || self.held.has(topic)
            || self.table.count(topic.key()) > 0 && !self.names.contains_key(topic)
    }

    fn sync_interest(&self, topic: &Topic, before: bool) {
        let now = self.is_interested(topic);
        if now != before {
            match now {
                true => drop(self.adapter.subscribe(topic)),
                false => self.adapter.unsubscribe(topic),
            }
        }
    }

    pub(super) fn remote_packet(&mut self, topic: &Topic, packet: Packet) {
        match packet {
            Packet::Up(_) => {
                self.watchers.notify(topic, true);
                self.forward_held(topic);
            }
            Packet::Down(_) => self.watchers.notify(topic, false),
            Packet::Presence(packet) => self.presence.merge(topic, &packet),
            Packet::PresenceWanted => {
                if let Some(own) = self.presence.own(topic) {
                    self.adapter.publish(from_ref(topic), own);
                }
            }
            Packet::Broadcast { .. } => debug_assert!(false, "broadcasts go to the table, not through the registry"),
        }
    }

    /// This node's own part of the topic's presence list.
    pub(super) fn own_presence_list(&self, topic: &Topic) -> PresenceList {
        self.presence.own_list(topic)
    }

    /// The names that clients of this node own, in order, after `after`.
    pub(super) fn names_after(&self, after: Option<Topic>, limit: usize) -> Vec<(Topic, Epoch)> {
        let from = after.map_or(Bound::Unbounded, Bound::Excluded);
        let names = self.names.range((from, Bound::Unbounded)).take(limit);
        names.map(|(name, owner)| (name.clone(), owner.epoch)).collect()
    }

    /// Asks the other nodes again for what this node must know of them, and sends them this node's presence entries.
    pub(super) fn resync(&mut self) {
        for topic in self.presence.subscribed() {
            self.adapter.publish(from_ref(&topic), Packet::PresenceWanted);
        }
    }

    pub(super) fn node_down(&mut self, node: &str) {
        self.presence.node_down(node);
    }

    pub(super) fn stats(&self) -> RegistryStats {
        RegistryStats {
            connections: self.index.connections(),
            topics: self.table.topics(),
            members: self.index.members(),
            names: self.names.len(),
            watches: self.watchers.count(),
            presence_entries: self.presence.count(),
            held: self.held.count(),
            held_bytes: self.held.bytes(),
        }
    }
}
