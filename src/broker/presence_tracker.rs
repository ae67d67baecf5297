//! The presence lists of all topics: whose rows are on them, who looks at them, and which have
//! changed since they were last told. A part of the registry.
//!
//! Each node owns the rows of its own members. It tells other nodes how they change and, when asked,
//! what they are; another node's rows live here as long as that node does.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::Instant;

use compact_str::{CompactString, format_compact};

use crate::broker::adapter::Packet;
use crate::broker::presence::{Presence, PresenceRef};
use crate::connections::connection::{Member, MemberId};
use crate::connections::envelope::SocketEvent;
use crate::message::{Broadcast, Event, Payload, PresenceEntry, PresenceList};
use crate::protocol::Delivery;
use crate::topic::Topic;

const STATE: Event = Event::const_new("presence_state");
const DIFF: Event = Event::const_new("presence_diff");

/// Topic to presence list. A topic without rows and viewers has no entry.
pub(crate) struct PresenceTracker {
    node: CompactString,
    /// Marks are unique through this number, the node's name and a random part of it.
    next_mark: u64,
    salt: u32,
    topics: HashMap<Topic, TopicPresence>,
    changed: HashSet<Topic>,
}

#[derive(Default)]
struct TopicPresence {
    presence: Presence,
    viewers: HashMap<MemberId, Member>,
    /// Rows of this node's members.
    own: HashMap<MemberId, (PresenceRef, PresenceEntry)>,
    /// Rows of other nodes, each with its key, by node.
    others: HashMap<CompactString, HashSet<PresenceRef>>,
    /// What the other nodes have not been told yet.
    joins: HashMap<PresenceRef, PresenceEntry>,
    leaves: Vec<(PresenceRef, CompactString)>,
}

impl PresenceTracker {
    pub(crate) fn new(node: CompactString) -> Self {
        let salt = uuid::Uuid::new_v4().as_u64_pair().0 as u32;
        Self { node, next_mark: 0, salt, topics: HashMap::new(), changed: HashSet::new() }
    }

    /// Shows the list to `viewer` from now on, and gives it the list as it is. Says whether the
    /// topic had no viewer before.
    pub(crate) fn view(&mut self, topic: &Topic, viewer: Member) -> bool {
        let list = self.topics.entry(topic.clone()).or_default();
        let _ = viewer.connection.send_event(SocketEvent::Push(viewer.join, STATE, list.presence.state()));
        list.viewers.insert(viewer.id(), viewer);
        list.viewers.len() == 1
    }

    /// Puts a member's row on the list, or in place of the one it has.
    pub(crate) fn put(&mut self, topic: &Topic, id: MemberId, row: PresenceEntry) {
        let mark = self.mark();
        let list = self.topics.entry(topic.clone()).or_default();
        let previous = list.own.insert(id, (mark.clone(), row.clone()));
        list.presence.add(mark.clone(), &row, previous.as_ref().map(|(mark, _)| mark));
        if let Some((mark, row)) = previous {
            list.retire(mark, row.key);
        }
        list.joins.insert(mark, row);
        self.changed.insert(topic.clone());
    }

    /// What the list says of a member.
    pub(crate) fn row(&self, topic: &Topic, id: MemberId) -> Option<&PresenceEntry> {
        self.topics.get(topic)?.own.get(&id).map(|(_, row)| row)
    }

    /// How many rows the topic's list has.
    pub(crate) fn len(&self, topic: &Topic) -> usize {
        self.topics.get(topic).map_or(0, |list| list.presence.len())
    }

    /// The list as this node knows it, with what the viewers have not been told yet.
    pub(crate) fn list(&self, topic: &Topic) -> PresenceList {
        self.topics.get(topic).map(|list| list.presence.list()).unwrap_or_default()
    }

    /// A member is gone: its row, and its view of the list.
    pub(crate) fn leave(&mut self, topic: &Topic, id: MemberId) {
        if let Some(list) = self.topics.get_mut(topic) {
            list.viewers.remove(&id);
            self.untrack(topic, id);
        }
    }

    /// Takes a member's row off the list.
    pub(crate) fn untrack(&mut self, topic: &Topic, id: MemberId) {
        let Some(list) = self.topics.get_mut(topic) else { return };
        if let Some((mark, row)) = list.own.remove(&id) {
            list.retire(mark, row.key);
            self.changed.insert(topic.clone());
        }
        self.forget_if_empty(topic);
    }

    /// Another node's rows have changed.
    pub(crate) fn merge(
        &mut self,
        topic: &Topic,
        node: &CompactString,
        joins: &[(PresenceRef, PresenceEntry)],
        leaves: &[(PresenceRef, CompactString)],
    ) {
        let Some(list) = self.topics.get_mut(topic) else { return };
        let rows = list.others.entry(node.clone()).or_default();
        for (mark, row) in joins {
            if rows.insert(mark.clone()) {
                list.presence.add(mark.clone(), row, None);
            }
        }
        for (mark, _) in leaves {
            if rows.remove(mark) {
                list.presence.remove(mark);
            }
        }
        self.changed.insert(topic.clone());
    }

    /// Another node is gone. Says whether any list has changed.
    pub(crate) fn node_down(&mut self, node: &str) -> bool {
        for (topic, list) in &mut self.topics {
            let marks = list.others.remove(node).unwrap_or_default();
            if !marks.is_empty() {
                self.changed.insert(topic.clone());
            }
            marks.iter().for_each(|mark| list.presence.remove(mark));
        }
        self.has_changed()
    }

    /// This node's rows of the topic, for a node that has none of them.
    pub(crate) fn own(&self, topic: &Topic) -> Option<Packet> {
        let own = &self.topics.get(topic)?.own;
        (!own.is_empty()).then(|| self.packet(own.values().cloned().collect(), Vec::new()))
    }

    pub(crate) fn has_changed(&self) -> bool {
        !self.changed.is_empty()
    }

    /// Tells the viewers of each changed list what has changed, once; returns what the other nodes
    /// are to be told.
    pub(crate) fn flush(&mut self) -> Vec<(Topic, Packet)> {
        let mut packets = Vec::new();
        for topic in std::mem::take(&mut self.changed) {
            let Some(list) = self.topics.get_mut(&topic) else { continue };
            if let Some(diff) = list.presence.diff() {
                list.tell(&topic, diff);
            }
            let (joins, leaves) = (std::mem::take(&mut list.joins), std::mem::take(&mut list.leaves));
            if !joins.is_empty() || !leaves.is_empty() {
                packets.push((topic.clone(), self.packet(joins.into_iter().collect(), leaves)));
            }
            self.forget_if_empty(&topic);
        }
        packets
    }

    /// How many rows all lists have.
    pub(crate) fn count(&self) -> usize {
        self.topics.values().map(|list| list.presence.len()).sum()
    }

    fn packet(&self, joins: Vec<(PresenceRef, PresenceEntry)>, leaves: Vec<(PresenceRef, CompactString)>) -> Packet {
        Packet::Presence { node: self.node.clone(), joins, leaves }
    }

    fn mark(&mut self) -> PresenceRef {
        self.next_mark += 1;
        format_compact!("{:08x}{:08x}", self.salt, self.next_mark)
    }

    /// A list with changes to tell stays until they are told.
    fn forget_if_empty(&mut self, topic: &Topic) {
        let empty = |list: &TopicPresence| list.viewers.is_empty() && list.own.is_empty();
        if !self.changed.contains(topic) && self.topics.get(topic).is_some_and(empty) {
            self.topics.remove(topic);
        }
    }
}

impl TopicPresence {
    fn retire(&mut self, mark: PresenceRef, key: CompactString) {
        self.presence.remove(&mark);
        if self.joins.remove(&mark).is_none() {
            self.leaves.push((mark, key));
        }
    }

    fn tell(&self, topic: &Topic, diff: Payload) {
        let broadcast = Broadcast { topic: topic.clone(), event: DIFF, payload: diff };
        let delivery = Arc::new(Delivery::new(broadcast));
        let now = Instant::now();
        for viewer in self.viewers.values() {
            // one whose mailbox is full is on its way out
            let _ = viewer.connection.deliver(viewer.join, &delivery, now);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::broker::topic_table::tests::crowd;

    #[test]
    fn a_list_that_nobody_sees_or_is_on_is_forgotten() {
        let (crowd, topic) = (crowd(3), Topic::parse("room:a").unwrap());
        let row = || PresenceEntry { key: "k".into(), meta: Payload::empty() };
        let mut presence = PresenceTracker::new("a".into());
        assert_eq!(crowd.iter().filter(|viewer| presence.view(&topic, (*viewer).clone())).count(), 1, "the first");
        for _ in 0..2 {
            crowd.iter().for_each(|member| presence.put(&topic, member.id(), row()));
        }
        assert_eq!(presence.len(&topic), crowd.len(), "a row for each, however often it changes");
        crowd.iter().for_each(|viewer| presence.leave(&topic, viewer.id()));
        presence.flush();
        assert!(presence.topics.is_empty());
    }
}
