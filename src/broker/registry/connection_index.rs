//! An index of the registry's tables by connection: everything that a closed connection had can be found and removed
//! without a search. The tables themselves are elsewhere.

use std::collections::{BTreeSet, HashMap, HashSet};

use crate::connections::connection::{ConnectionId, MemberId};
use crate::message::JoinId;
use crate::small_map::SmallMap;
use crate::topic::Topic;

/// What one connection, or one of its joins, has in the tables.
#[derive(Default)]
pub(super) struct ConnectionEntry {
    pub(super) joins: SmallMap<JoinId, Topic>,
    pub(super) watches: HashSet<(JoinId, Topic)>,
    /// Joins whose claim of a name is not decided yet.
    claiming: BTreeSet<JoinId>,
}

impl ConnectionEntry {
    fn is_empty(&self) -> bool {
        self.joins.is_empty() && self.watches.is_empty() && self.claiming.is_empty()
    }
}

/// The entry of each connection. A connection that has nothing in the tables has no entry.
#[derive(Default)]
pub(super) struct ConnectionIndex(HashMap<ConnectionId, ConnectionEntry>);

impl ConnectionIndex {
    pub(super) fn add_join(&mut self, id: MemberId, topic: Topic) {
        self.entry_of(id).joins.insert(id.join, topic);
    }

    /// Whether the join is a member of the topic.
    pub(super) fn is_member(&self, id: MemberId, topic: &Topic) -> bool {
        self.0.get(&id.connection).is_some_and(|entry| entry.joins.get(&id.join) == Some(topic))
    }

    pub(super) fn add_watch(&mut self, id: MemberId, topic: Topic) {
        self.entry_of(id).watches.insert((id.join, topic));
    }

    pub(super) fn add_claim(&mut self, id: MemberId) {
        self.entry_of(id).claiming.insert(id.join);
    }

    pub(super) fn remove_watch(&mut self, id: MemberId, topic: Topic) {
        self.change(id, |entry| entry.watches.remove(&(id.join, topic)));
    }

    /// Whether the join's claim of a name is pending.
    pub(super) fn is_claiming(&self, id: MemberId) -> bool {
        self.0.get(&id.connection).is_some_and(|entry| entry.claiming.contains(&id.join))
    }

    /// Removes a pending claim. Returns whether it was still pending.
    pub(super) fn remove_claim(&mut self, id: MemberId) -> bool {
        self.change(id, |entry| entry.claiming.remove(&id.join))
    }

    /// Removes and returns what one join has.
    pub(super) fn take_join(&mut self, id: MemberId) -> ConnectionEntry {
        self.change(id, |entry| ConnectionEntry {
            joins: entry.joins.remove_entry(&id.join).into_iter().collect(),
            watches: entry.watches.extract_if(|(join, _)| *join == id.join).collect(),
            claiming: entry.claiming.take(&id.join).into_iter().collect(),
        })
    }

    /// Removes and returns what a connection has.
    pub(super) fn take(&mut self, connection: ConnectionId) -> ConnectionEntry {
        self.0.remove(&connection).unwrap_or_default()
    }

    /// The topics that a connection is a member of.
    pub(super) fn topics(&self, connection: ConnectionId) -> impl Iterator<Item = &Topic> {
        self.0.get(&connection).into_iter().flat_map(|entry| entry.joins.iter().map(|(_, topic)| topic))
    }

    pub(super) fn connections(&self) -> usize {
        self.0.len()
    }

    pub(super) fn members(&self) -> usize {
        self.0.values().map(|entry| entry.joins.len()).sum()
    }

    fn entry_of(&mut self, id: MemberId) -> &mut ConnectionEntry {
        self.0.entry(id.connection).or_default()
    }

    fn change<T: Default>(&mut self, id: MemberId, f: impl FnOnce(&mut ConnectionEntry) -> T) -> T {
        let Some(entry) = self.0.get_mut(&id.connection) else { return T::default() };
        let result = f(entry);
        if entry.is_empty() {
            self.0.remove(&id.connection);
        }
        result
    }
}
