//! Watchers: joins that are notified when a topic gets its first member and loses its last. A part of the registry.

use std::collections::HashMap;

use crate::connections::connection::{Member, MemberId};
use crate::connections::envelope::SocketEvent;
use crate::message::OnlineStatus;
use crate::topic::Topic;

/// The watchers of each topic. A topic without watchers has no entry. Watchers are keyed by their id, because thousands
/// may watch one topic and change at a high rate.
#[derive(Default)]
pub(super) struct Watchers {
    topics: HashMap<Topic, HashMap<MemberId, Member>>,
}

impl Watchers {
    /// Adds a watcher. Adding it again has no effect. Returns whether it is new.
    pub(super) fn add(&mut self, topic: &Topic, watcher: Member) -> bool {
        self.topics.entry(topic.clone()).or_default().insert(watcher.id(), watcher).is_none()
    }

    pub(super) fn remove(&mut self, topic: &Topic, id: MemberId) {
        let Some(watchers) = self.topics.get_mut(topic) else { return };
        watchers.remove(&id);
        if watchers.is_empty() {
            self.topics.remove(topic);
        }
    }

    pub(super) fn has(&self, topic: &Topic) -> bool {
        self.topics.contains_key(topic)
    }

    /// Notifies the topic's watchers. A watcher whose mailbox is full is not notified: its connection closes.
    pub(super) fn notify(&self, topic: &Topic, online: bool) {
        for watcher in self.topics.get(topic).into_iter().flat_map(HashMap::values) {
            let status = Box::new(OnlineStatus { topic: topic.clone(), online });
            let _ = watcher.connection.send_event(SocketEvent::Info(watcher.join, status));
        }
    }

    pub(super) fn count(&self) -> usize {
        self.topics.values().map(HashMap::len).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::broker::topic_table::tests::crowd;

    #[test]
    fn adding_a_watcher_twice_counts_once() {
        let (crowd, topic) = (crowd(3), Topic::parse("peer:a").unwrap());
        let mut watchers = Watchers::default();
        assert!(crowd.iter().all(|watcher| watchers.add(&topic, watcher.clone())));
        assert!(crowd.iter().all(|watcher| !watchers.add(&topic, watcher.clone())));
        assert_eq!(watchers.count(), crowd.len());
        crowd.iter().for_each(|watcher| watchers.remove(&topic, watcher.id()));
        assert!(!watchers.has(&topic));
    }
}
