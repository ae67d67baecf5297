//! The presence lists of all topics: their entries, their subscribers, and which lists have changed since the last
//! flush. A part of the registry. The JSON of one list is made in [`presence`](crate::broker::presence).
//!
//! Each node owns the entries of its own members. It sends their changes to the other nodes, and all of them on request.
//! It answers a first request at once, and all requests within [`REQUEST_PAUSE`] after it together. The entries of another
//! node are kept in [`RemoteEntries`] until that node is down.
//!
//! Changes that are too large for one message of an engine are sent in parts. A node that receives them applies them
//! together, so that its members see no list that nobody has had. Until then it keeps the parts, within a limit. A part
//! that has no room is applied at once, with those before it: entries may seem to leave and come back then.

mod remote_entries;
mod series;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, HashMap, HashSet};
use std::ops::Bound;
use std::sync::Arc;
use std::time::{Duration, Instant};

use compact_str::{CompactString, format_compact};

use crate::broker::adapter::{NodeId, Packet, PresencePacket};
use crate::broker::presence::{Presence, PresenceRef};
use crate::broker::presence_tracker::remote_entries::{Merged, RemoteEntries};
use crate::broker::presence_tracker::series::Series;
use crate::broker::registry::permits::CommandBudget;
use crate::connections::connection::{Member, MemberId};
use crate::connections::envelope::SocketEvent;
use crate::message::{Broadcast, PRESENCE_DIFF, Payload, PresenceEntry, PresenceList};
use crate::protocol::Delivery;
use crate::topic::Topic;

/// While more than this part of `limits.queue_bytes` waits for a subscriber, it is sent no changes of lists. It requests
/// the lists again once it has read what waits.
const LAG_SHARE: usize = 4;

/// The pause after all entries of a topic were sent on request, before they are sent on request again. Every node with
/// members of the topic receives them, so nodes that ask often must not cause much.
const REQUEST_PAUSE: Duration = Duration::from_secs(1);

/// The presence list of each topic. A topic without entries and subscribers is not in the map.
pub(crate) struct PresenceTracker {
    series: Series,
    /// A `ref` consists of `salt`, which each node draws at random, and of this counter.
    next_ref: u64,
    salt: u32,
    /// Ordered, so that it can be passed over in steps.
    topics: BTreeMap<Topic, TopicPresence>,
    /// The topics with changes that were not sent yet, or whose entries another node has requested.
    changed: HashSet<Topic>,
    /// The topics whose entries are requested again before the pause is over.
    requested: HashSet<Topic>,
    /// For the parts of changes whose last part has not arrived.
    parts: Arc<CommandBudget>,
}

#[derive(Default)]
struct TopicPresence {
    presence: Presence,
    subscribers: HashMap<MemberId, Member>,
    /// Entries of this node's members.
    own: HashMap<MemberId, (PresenceRef, PresenceEntry)>,
    /// The entries of other nodes, by node.
    others: HashMap<NodeId, RemoteEntries>,
    /// The version of the latest packet about this node's entries. 0 if the other nodes know of none.
    version: u64,
    /// Whether another node has requested all entries, and when they were sent on request last.
    is_requested: bool,
    answered: Option<Instant>,
    /// Changes of this node's entries that were not sent to the other nodes yet.
    joins: HashMap<PresenceRef, PresenceEntry>,
    leaves: Vec<(PresenceRef, CompactString)>,
}

impl PresenceTracker {
    /// Without lists. Parts of other nodes' changes may take `parts_bytes` bytes.
    pub(crate) fn new(node: NodeId, parts_bytes: usize) -> Self {
        Self {
            series: Series::new(node),
            next_ref: 0,
            salt: uuid::Uuid::new_v4().as_u64_pair().0 as u32,
            topics: BTreeMap::new(),
            changed: HashSet::new(),
            requested: HashSet::new(),
            parts: CommandBudget::new(parts_bytes),
        }
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
        let Some(list) = self.topics.get(topic) else { return PresenceList::new() };
        let mut own = PresenceList::new();
        for (reference, entry) in list.own.values() {
            own.entry(entry.key.clone()).or_default().extend(list.presence.meta(reference));
        }
        own
    }

    /// The next topics in their order: at most `limit` of them, and not many more than `bytes` of their names.
    pub(crate) fn topics_after(&self, after: Option<&Topic>, limit: usize, bytes: usize) -> Vec<Topic> {
        let from = after.map_or(Bound::Unbounded, Bound::Excluded);
        let mut left = Some(bytes);
        let topics = self.topics.range::<Topic, _>((from, Bound::Unbounded)).map(|(topic, _)| topic).take(limit);
        let topics = topics.take_while(|topic| {
            let fits = left.is_some();
            left = left.and_then(|left| left.checked_sub(topic.key().len()));
            fits
        });
        topics.cloned().collect()
    }

    /// Whether members of this node receive the topic's list.
    pub(crate) fn has_subscribers(&self, topic: &Topic) -> bool {
        self.topics.get(topic).is_some_and(|list| !list.subscribers.is_empty())
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

    /// Applies another node's packet. Returns whether this node has missed one before it and must request all entries.
    pub(crate) fn merge(&mut self, topic: &Topic, packet: PresencePacket) -> bool {
        let Some(list) = self.topics.get_mut(topic) else { return false };
        let node = packet.node.clone();
        let known = list.others.entry(node.clone()).or_default();
        let merged = known.merge(packet, &mut list.presence, &self.parts);
        if known.is_empty() {
            list.others.remove(&node);
        }
        if merged == Merged::Changed {
            self.changed.insert(topic.clone());
        }
        // without subscribers, the list is requested when the first one comes
        merged == Merged::Gap && self.has_subscribers(topic)
    }

    /// Whether other nodes have entries in the topic's list.
    pub(crate) fn has_others(&self, topic: &Topic) -> bool {
        self.topics.get(topic).is_some_and(|list| !list.others.is_empty())
    }

    /// The nodes that have entries in the topic's list, each with the version of its latest packet.
    pub(crate) fn versions(&self, topic: &Topic) -> BTreeMap<NodeId, u64> {
        let others = self.topics.get(topic).into_iter().flat_map(|list| &list.others);
        others.map(|(node, entries)| (node.clone(), entries.version())).collect()
    }

    /// The version of this node's latest packet about the topic. 0 if the other nodes know of no entries.
    pub(crate) fn own_version(&self, topic: &Topic) -> u64 {
        self.topics.get(topic).map_or(0, |list| list.version)
    }

    /// Whether this node must request the entries of a node whose latest packet has this version.
    pub(crate) fn is_behind(&self, topic: &Topic, node: &str, version: u64) -> bool {
        self.topics.get(topic).is_some_and(|list| match list.others.get(node) {
            Some(known) => known.version() < version,
            None => !list.subscribers.is_empty(),
        })
    }

    /// Removes the entries of a node that has none any more, as of `version`.
    pub(crate) fn remove_entries(&mut self, topic: &Topic, node: &str, version: u64) {
        let Some(list) = self.topics.get_mut(topic) else { return };
        if list.others.get(node).is_some_and(|entries| entries.version() == version)
            && let Some(entries) = list.others.remove(node)
        {
            entries.remove_from(&mut list.presence);
            self.changed.insert(topic.clone());
        }
    }

    /// Removes all entries of a node that is down.
    pub(crate) fn node_down(&mut self, node: &str) {
        for (topic, list) in &mut self.topics {
            if let Some(entries) = list.others.remove(node) {
                entries.remove_from(&mut list.presence);
                self.changed.insert(topic.clone());
            }
        }
    }

    /// Another node requests this node's entries. They are sent with a flush, once for all who ask.
    pub(crate) fn request(&mut self, topic: &Topic) {
        if let Some(list) = self.topics.get_mut(topic).filter(|list| !list.own.is_empty()) {
            list.is_requested = true;
            self.changed.insert(topic.clone());
        }
    }

    pub(crate) fn has_changed(&self) -> bool {
        !self.changed.is_empty()
    }

    /// Whether requests wait for the end of the pause.
    pub(crate) fn has_waiting_requests(&self) -> bool {
        !self.requested.is_empty()
    }

    /// Lets the next flush answer the requests whose pause is over.
    pub(crate) fn check_requests(&mut self) {
        self.changed.extend(self.requested.drain());
    }

    /// Sends each changed list's diff to its subscribers. Returns the packets to publish to the other nodes.
    pub(crate) fn flush(&mut self, now: Instant) -> Vec<(Topic, Packet)> {
        let mut packets = Vec::new();
        for topic in std::mem::take(&mut self.changed) {
            let Some(list) = self.topics.get_mut(&topic) else { continue };
            if let Some(diff) = list.presence.diff() {
                list.send_diff(&topic, diff);
            }
            let sends_all = list.is_requested && list.answered.is_none_or(|at| now >= at + REQUEST_PAUSE);
            if sends_all {
                list.answered = Some(now);
            } else if list.is_requested {
                self.requested.insert(topic.clone());
            }
            let next = list.packets(&mut self.series, sends_all);
            packets.extend(next.into_iter().map(|packet| (topic.clone(), packet)));
            self.remove_if_empty(&topic);
        }
        packets
    }

    /// The number of entries in all lists.
    pub(crate) fn count(&self) -> usize {
        self.topics.values().map(|list| list.presence.len()).sum()
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
    /// The next packets to the other nodes, if there is something to tell: the changes, or all entries if they were
    /// requested or were not sent before. The last one says that there are none.
    fn packets(&mut self, series: &mut Series, sends_all: bool) -> Vec<Packet> {
        let (joins, leaves) = (std::mem::take(&mut self.joins), std::mem::take(&mut self.leaves));
        let is_over = self.own.is_empty();
        self.is_requested &= !sends_all && !is_over;
        if is_over && self.version == 0 || !sends_all && joins.is_empty() && leaves.is_empty() {
            return Vec::new();
        }
        let since = if sends_all || is_over { 0 } else { self.version };
        let packets = match since {
            0 => series.packets(0, self.own.values().cloned().collect(), Vec::new()),
            _ => series.packets(since, joins.into_iter().collect(), leaves),
        };
        self.version = if is_over { 0 } else { series.version() };
        packets
    }

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
