//! The presence lists of all topics: their entries, their subscribers, and which lists have changed since the last
//! flush. A part of the registry. The JSON of one list is made in [`presence`](crate::broker::presence).
//!
//! Each node owns the entries of its own members. It sends their changes to the other nodes, and all of them on
//! request. The entries of another node are kept here until that node is down.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use compact_str::{CompactString, format_compact};

use crate::broker::adapter::{Packet, PresencePacket};
use crate::broker::presence::{Presence, PresenceRef};
use crate::connections::connection::{Member, MemberId};
use crate::connections::envelope::SocketEvent;
use crate::message::{Broadcast, PRESENCE_DIFF, Payload, PresenceEntry, PresenceList};
use crate::protocol::Delivery;
use crate::topic::Topic;

/// While more than this part of `limits.queue_bytes` waits for a subscriber, it is sent no changes of lists. It requests
/// the lists again once it has read what waits.
const LAG_SHARE: usize = 4;

/// The presence list of each topic. A topic without entries and subscribers is not in the map.
pub(crate) struct PresenceTracker {
    node: CompactString,
    /// A `ref` consists of `salt`, which each node draws at random, and of this counter.
    next_ref: u64,
    salt: u32,
    topics: HashMap<Topic, TopicPresence>,
    changed: HashSet<Topic>,
}

#[derive(Default)]
struct TopicPresence {
    presence: Presence,
    subscribers: HashMap<MemberId, Member>,
    /// Entries of this node's members.
    own: HashMap<MemberId, (PresenceRef, PresenceEntry)>,
    /// The `ref`s of other nodes' entries, by node.
    others: HashMap<CompactString, HashSet<PresenceRef>>,
    /// Changes of this node's entries that were not sent to the other nodes yet.
    joins: HashMap<PresenceRef, PresenceEntry>,
    leaves: Vec<(PresenceRef, CompactString)>,
}

impl PresenceTracker {
    pub(crate) fn new(node: CompactString) -> Self {
        let salt = uuid::Uuid::new_v4().as_u64_pair().0 as u32;
        Self { node, next_ref: 0, salt, topics: HashMap::new(), changed: HashSet::new() }
    }

    /// Sends the list, as of the last flush, to a member, and from then on its changes. Returns whether this is the
    /// topic's first subscriber.
    pub(crate) fn subscribe(&mut self, topic: &Topic, subscriber: Member) -> bool {
        let list = self.topics.entry(topic.clone()).or_default();
        let _ = subscriber.connection.send_event(SocketEvent::PresenceState(subscriber.join, list.presence.state()));
        list.subscribers.insert(subscriber.id(), subscriber);
        list.subscribers.len() == 1
    }

    /// Adds a member's entry to the list, or replaces the entry that the member has.
    pub(crate) fn put(&mut self, topic: &Topic, id: MemberId, entry: PresenceEntry) {
        let reference = self.new_ref();
        let list = self.topics.entry(topic.clone()).or_default();
        let previous = list.own.insert(id, (reference.clone(), entry.clone()));
        list.presence.add(reference.clone(), &entry, previous.as_ref().map(|(reference, _)| reference));
        if let Some((reference, entry)) = previous {
            list.remove_own(reference, entry.key);
        }
        list.joins.insert(reference, entry);
        self.changed.insert(topic.clone());
    }

    /// A member's entry.
    pub(crate) fn entry(&self, topic: &Topic, id: MemberId) -> Option<&PresenceEntry> {
        self.topics.get(topic)?.own.get(&id).map(|(_, entry)| entry)
    }

    /// The number of entries in the topic's list.
    pub(crate) fn len(&self, topic: &Topic) -> usize {
        self.topics.get(topic).map_or(0, |list| list.presence.len())
    }

    /// The list as this node knows it, with the changes that its subscribers have not received yet.
    pub(crate) fn list(&self, topic: &Topic) -> PresenceList {
        self.topics.get(topic).map(|list| list.presence.list()).unwrap_or_default()
    }

    /// The entries of this node's own members.
    pub(crate) fn own_list(&self, topic: &Topic) -> PresenceList {
        let mut list = PresenceList::new();
        for (_, entry) in self.topics.get(topic).into_iter().flat_map(|list| list.own.values()) {
            list.entry(entry.key.clone()).or_default().push(entry.meta.clone());
        }
        list
    }

    /// The topics whose lists have subscribers on this node.
    pub(crate) fn subscribed(&self) -> Vec<Topic> {
        let subscribed = self.topics.iter().filter(|(_, list)| !list.subscribers.is_empty());
        subscribed.map(|(topic, _)| topic.clone()).collect()
    }

    /// Removes a member's entry and its subscription.
    pub(crate) fn leave(&mut self, topic: &Topic, id: MemberId) {
        if let Some(list) = self.topics.get_mut(topic) {
            list.subscribers.remove(&id);
            self.untrack(topic, id);
        }
    }

    /// Removes a member's entry.
    pub(crate) fn untrack(&mut self, topic: &Topic, id: MemberId) {
        let Some(list) = self.topics.get_mut(topic) else { return };
        if let Some((reference, entry)) = list.own.remove(&id) {
            list.remove_own(reference, entry.key);
            self.changed.insert(topic.clone());
        }
        self.remove_if_empty(topic);
    }

    /// Applies the changes of another node's entries.
    pub(crate) fn merge(&mut self, topic: &Topic, PresencePacket { node, joins, leaves, .. }: &PresencePacket) {
        let Some(list) = self.topics.get_mut(topic) else { return };
        let known = list.others.entry(node.clone()).or_default();
        for (reference, entry) in joins {
            if known.insert(reference.clone()) {
                list.presence.add(reference.clone(), entry, None);
            }
        }
        for (reference, _) in leaves {
            if known.remove(reference) {
                list.presence.remove(reference);
            }
        }
        self.changed.insert(topic.clone());
    }

    /// Removes all entries of a node that is down.
    pub(crate) fn node_down(&mut self, node: &str) {
        for (topic, list) in &mut self.topics {
            let refs = list.others.remove(node).unwrap_or_default();
            if !refs.is_empty() {
                self.changed.insert(topic.clone());
            }
            refs.iter().for_each(|reference| list.presence.remove(reference));
        }
    }

    /// This node's entries of the topic, for a node that has received none of them.
    pub(crate) fn own(&self, topic: &Topic) -> Option<Packet> {
        let own = &self.topics.get(topic)?.own;
        (!own.is_empty()).then(|| self.packet(own.values().cloned().collect(), Vec::new()))
    }

    pub(crate) fn has_changed(&self) -> bool {
        !self.changed.is_empty()
    }

    /// Sends each changed list's diff to its subscribers. Returns the packets to publish to the other nodes.
    pub(crate) fn flush(&mut self) -> Vec<(Topic, Packet)> {
        let mut packets = Vec::new();
        for topic in std::mem::take(&mut self.changed) {
            let Some(list) = self.topics.get_mut(&topic) else { continue };
            if let Some(diff) = list.presence.diff() {
                list.send_diff(&topic, diff);
            }
            let (joins, leaves) = (std::mem::take(&mut list.joins), std::mem::take(&mut list.leaves));
            if !joins.is_empty() || !leaves.is_empty() {
                packets.push((topic.clone(), self.packet(joins.into_iter().collect(), leaves)));
            }
            self.remove_if_empty(&topic);
        }
        packets
    }

    /// The number of entries in all lists.
    pub(crate) fn count(&self) -> usize {
        self.topics.values().map(|list| list.presence.len()).sum()
    }

    fn packet(&self, joins: Vec<(PresenceRef, PresenceEntry)>, leaves: Vec<(PresenceRef, CompactString)>) -> Packet {
        Packet::Presence(PresencePacket { node: self.node.clone(), since: 0, version: 0, joins, leaves })
    }

    fn new_ref(&mut self) -> PresenceRef {
        self.next_ref += 1;
        format_compact!("{:08x}{:08x}", self.salt, self.next_ref)
    }

    /// A list with changes is kept until they are sent.
    fn remove_if_empty(&mut self, topic: &Topic) {
        let empty = |list: &TopicPresence| list.subscribers.is_empty() && list.own.is_empty();
        if !self.changed.contains(topic) && self.topics.get(topic).is_some_and(empty) {
            self.topics.remove(topic);
        }
    }
}

impl TopicPresence {
    fn remove_own(&mut self, reference: PresenceRef, key: CompactString) {
        self.presence.remove(&reference);
        if self.joins.remove(&reference).is_none() {
            self.leaves.push((reference, key));
        }
    }

    fn send_diff(&mut self, topic: &Topic, diff: Payload) {
        let Some(first) = self.subscribers.values().next() else { return };
        let broadcast = Broadcast { topic: topic.clone(), event: PRESENCE_DIFF, payload: diff };
        let delivery = Arc::new(Delivery::new(broadcast).counted(first.connection.memory()));
        let now = first.connection.now();
        self.subscribers.retain(|_, Member { join, connection }| {
            let lags = connection.mailbox.depth().bytes > connection.mailbox.limits().queue.bytes / LAG_SHARE;
            // an error means that the connection is closing, or closes because its mailbox is full
            let _ = match lags {
                true => connection.send_event(SocketEvent::PresenceLag(*join)),
                false => connection.deliver(*join, &delivery, now),
            };
            !lags
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::broker::topic_table::tests::crowd;

    #[test]
    fn a_list_without_entries_and_subscribers_is_removed() {
        let (crowd, topic) = (crowd(3), Topic::parse("room:a").unwrap());
        let entry = || PresenceEntry { key: "k".into(), meta: Payload::empty() };
        let mut presence = PresenceTracker::new("a".into());
        assert_eq!(
            crowd.iter().filter(|subscriber| presence.subscribe(&topic, (*subscriber).clone())).count(),
            1,
            "only the first"
        );
        for _ in 0..2 {
            crowd.iter().for_each(|member| presence.put(&topic, member.id(), entry()));
        }
        assert_eq!(presence.len(&topic), crowd.len(), "one entry for each member, however often it changes");
        crowd.iter().for_each(|subscriber| presence.leave(&topic, subscriber.id()));
        presence.flush();
        assert!(presence.topics.is_empty());
    }
}
