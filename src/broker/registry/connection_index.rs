//! What each connection has in the registry's tables, so that all of it can be taken back at once.

use std::collections::{BTreeSet, HashMap, HashSet};

use crate::connections::connection::ConnectionId;
use crate::connections::connection::MemberId;
use crate::message::JoinId;
use crate::small_map::SmallMap;
use crate::topic::Topic;

/// What one connection has, or one join of it.
#[derive(Default)]
pub(crate) struct ConnectionEntry {
    pub(crate) joins: SmallMap<JoinId, Topic>,
    pub(crate) watchers: HashSet<(JoinId, Topic)>,
    /// Joins whose claim the directory has not answered yet.
    claiming: BTreeSet<JoinId>,
}

impl ConnectionEntry {
    fn is_empty(&self) -> bool {
        self.joins.is_empty() && self.watchers.is_empty() && self.claiming.is_empty()
    }
}

/// Connection to what it has. One that has nothing has no entry.
#[derive(Default)]
pub(crate) struct ConnectionIndex(HashMap<ConnectionId, ConnectionEntry>);

impl ConnectionIndex {
    pub(crate) fn add_join(&mut self, id: MemberId, topic: Topic) {
        self.of(id).joins.insert(id.join, topic);
    }

    /// Whether the join is a member of the topic.
    pub(crate) fn is_on(&self, id: MemberId, topic: &Topic) -> bool {
        self.0.get(&id.connection).is_some_and(|held| held.joins.get(&id.join) == Some(topic))
    }

    pub(crate) fn add_watch(&mut self, id: MemberId, topic: Topic) {
        self.of(id).watchers.insert((id.join, topic));
    }

    pub(crate) fn add_claim(&mut self, id: MemberId) {
        self.of(id).claiming.insert(id.join);
    }

    pub(crate) fn remove_watch(&mut self, id: MemberId, topic: Topic) {
        self.change(id, |held| held.watchers.remove(&(id.join, topic)));
    }

    /// Ends a claim under way; says whether it was one still.
    pub(crate) fn remove_claim(&mut self, id: MemberId) -> bool {
        self.change(id, |held| held.claiming.remove(&id.join))
    }

    /// Takes out what one join has.
    pub(crate) fn take_join(&mut self, id: MemberId) -> ConnectionEntry {
        self.change(id, |held| ConnectionEntry {
            joins: held.joins.remove_entry(&id.join).into_iter().collect(),
            watchers: held.watchers.extract_if(|(join, _)| *join == id.join).collect(),
            claiming: held.claiming.take(&id.join).into_iter().collect(),
        })
    }

    /// Takes out all that a connection has.
    pub(crate) fn take(&mut self, connection: ConnectionId) -> ConnectionEntry {
        self.0.remove(&connection).unwrap_or_default()
    }

    pub(crate) fn connections(&self) -> usize {
        self.0.len()
    }

    pub(crate) fn members(&self) -> usize {
        self.0.values().map(|held| held.joins.len()).sum()
    }

    fn of(&mut self, id: MemberId) -> &mut ConnectionEntry {
        self.0.entry(id.connection).or_default()
    }

    fn change<T: Default>(&mut self, id: MemberId, f: impl FnOnce(&mut ConnectionEntry) -> T) -> T {
        let Some(held) = self.0.get_mut(&id.connection) else { return T::default() };
        let result = f(held);
        if held.is_empty() {
            self.0.remove(&id.connection);
        }
        result
    }
}
