//! Watchers: joins that are notified when a topic gets its first member and loses its last. A part of the registry.
//!
//! Notifications are collected: each watcher receives the latest state, unless it has received that state already. So a
//! client that comes and goes at a high rate does not cause a notification for each time.

use std::collections::{HashMap, HashSet};

use crate::connections::connection::{Member, MemberId};
use crate::connections::envelope::SocketEvent;
use crate::message::OnlineStatus;
use crate::topic::Topic;

/// The watchers of each topic. A topic without watchers has no entry. Watchers are keyed by their id, because thousands
/// may watch one topic and change at a high rate.
#[derive(Default)]
pub(super) struct Watchers {
    topics: HashMap<Topic, Watched>,
    /// The topics whose state has changed since the last flush.
    changed: HashSet<Topic>,
}

#[derive(Default)]
struct Watched {
    /// The latest state, once it has changed.
    online: bool,
    watchers: HashMap<MemberId, Watcher>,
}

struct Watcher {
    member: Member,
    /// The state that it has received last. `None` while it waits for the answer to its watch.
    told: Option<bool>,
}

impl Watchers {
    /// Adds a watcher, which waits for [`answer`](Self::answer). Returns whether it is new.
    pub(super) fn add(&mut self, topic: &Topic, member: Member) -> bool {
        let watched = self.topics.entry(topic.clone()).or_default();
        watched.watchers.insert(member.id(), Watcher { member, told: None }).is_none()
    }

    pub(super) fn remove(&mut self, topic: &Topic, id: MemberId) {
        let Some(watched) = self.topics.get_mut(topic) else { return };
        watched.watchers.remove(&id);
        if watched.watchers.is_empty() {
            self.topics.remove(topic);
            self.changed.remove(topic);
        }
    }

    pub(super) fn has(&self, topic: &Topic) -> bool {
        self.topics.contains_key(topic)
    }

    /// Answers a watch, unless its watcher has received a notification meanwhile, which is newer than the answer.
    pub(super) fn answer(&mut self, topic: &Topic, id: MemberId, online: bool) {
        let watcher = self.topics.get_mut(topic).and_then(|watched| watched.watchers.get_mut(&id));
        if let Some(watcher) = watcher.filter(|watcher| watcher.told.is_none()) {
            watcher.tell(topic, online);
        }
    }

    /// Notes a change of the topic's state, for the next flush.
    pub(super) fn notify(&mut self, topic: &Topic, online: bool) {
        if let Some(watched) = self.topics.get_mut(topic) {
            watched.online = online;
            self.changed.insert(topic.clone());
        }
    }

    /// Whether a state has changed since the last flush.
    pub(super) fn has_changed(&self) -> bool {
        !self.changed.is_empty()
    }

    /// Notifies the watchers of the topics whose state has changed, except those that know it. Returns how many it has
    /// looked at.
    pub(super) fn flush(&mut self) -> usize {
        let mut visited = 0;
        for topic in std::mem::take(&mut self.changed) {
            let Some(Watched { online, watchers }) = self.topics.get_mut(&topic) else { continue };
            visited += watchers.len();
            for watcher in watchers.values_mut().filter(|watcher| watcher.told != Some(*online)) {
                watcher.tell(&topic, *online);
            }
        }
        visited
    }

    pub(super) fn count(&self) -> usize {
        self.topics.values().map(|watched| watched.watchers.len()).sum()
    }
}

impl Watcher {
    /// A watcher whose mailbox is full is not notified: its connection closes.
    fn tell(&mut self, topic: &Topic, online: bool) {
        self.told = Some(online);
        let status = Box::new(OnlineStatus { topic: topic.clone(), online });
        let _ = self.member.connection.send_event(SocketEvent::Info(self.member.join, status));
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::connections::connection::tests::numbered;
    use crate::connections::envelope::Envelope;
    use crate::connections::mailbox::Batch;
    use crate::message::JoinId;

    fn crowd(size: u64) -> Vec<Member> {
        (0..size).map(|n| Member { join: JoinId(1), connection: Arc::new(numbered(n, usize::MAX)) }).collect()
    }

    /// What a watcher was told since the last call.
    fn told(watcher: &Member) -> Vec<bool> {
        let mut batch = Batch::new();
        watcher.connection.mailbox.drain(&mut batch, std::task::Waker::noop());
        let online = |envelope: &Envelope| match envelope {
            Envelope::SocketEvent(event) => match &**event {
                SocketEvent::Info(_, info) => Some(info.downcast_ref::<OnlineStatus>().unwrap().online),
                _ => None,
            },
            _ => None,
        };
        batch.iter().filter_map(online).collect()
    }

    fn topic() -> Topic {
        Topic::parse("peer:a").unwrap()
    }

    #[test]
    fn adding_a_watcher_twice_counts_once() {
        let (crowd, topic) = (crowd(3), topic());
        let mut watchers = Watchers::default();
        assert!(crowd.iter().all(|watcher| watchers.add(&topic, watcher.clone())));
        assert!(crowd.iter().all(|watcher| !watchers.add(&topic, watcher.clone())));
        assert_eq!(watchers.count(), crowd.len());
        watchers.notify(&topic, true);
        crowd.iter().for_each(|watcher| watchers.remove(&topic, watcher.id()));
        assert!(!watchers.has(&topic) && !watchers.has_changed());
    }

    #[test]
    fn changes_within_an_interval_are_one_notification_of_the_last_state_or_none() {
        let (crowd, topic) = (crowd(2), topic());
        let mut watchers = Watchers::default();
        for watcher in crowd.iter() {
            watchers.add(&topic, watcher.clone());
            watchers.answer(&topic, watcher.id(), false);
            assert_eq!(told(watcher), [false]);
        }
        for (changes, expected) in [
            (&[true][..], &[true][..]),
            (&[false, true], &[]),
            (&[false, true, false], &[false]),
            (&[true, false], &[]),
        ] {
            changes.iter().for_each(|online| watchers.notify(&topic, *online));
            assert_eq!((watchers.flush(), watchers.has_changed()), (2, false));
            crowd.iter().for_each(|watcher| assert_eq!(told(watcher), expected, "{changes:?}"));
        }
    }

    /// The directory answers later than a notification that is newer.
    #[test]
    fn a_late_answer_does_not_undo_a_notification() {
        let (crowd, topic) = (crowd(1), topic());
        let (mut watchers, watcher) = (Watchers::default(), &crowd[0]);
        watchers.add(&topic, watcher.clone());
        watchers.notify(&topic, true);
        watchers.flush();
        watchers.answer(&topic, watcher.id(), false);
        assert_eq!(told(watcher), [true]);
    }

    #[test]
    fn a_new_watcher_is_not_told_twice() {
        let (crowd, topic) = (crowd(2), topic());
        let mut watchers = Watchers::default();
        watchers.add(&topic, crowd[0].clone());
        watchers.answer(&topic, crowd[0].id(), false);
        watchers.notify(&topic, true);
        watchers.add(&topic, crowd[1].clone());
        watchers.answer(&topic, crowd[1].id(), true);
        watchers.flush();
        assert_eq!((told(&crowd[0]), told(&crowd[1])), (vec![false, true], vec![true]));
    }
}
