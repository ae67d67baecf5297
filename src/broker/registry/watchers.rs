//! Watchers: joins that are notified when a topic gets its first member and loses its last. A part of the registry.
//!
//! Notifications are collected: each watcher receives the latest state, unless it has received that state already. So a
//! client that comes and goes at a high rate does not cause a notification for each time.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::ops::Bound;

use crate::broker::adapter::Epoch;
use crate::connections::connection::{Member, MemberId};
use crate::connections::envelope::SocketEvent;
use crate::message::OnlineStatus;
use crate::topic::Topic;

/// The watchers of each topic. A topic without watchers has no entry. Watchers are keyed by their id, because thousands
/// may watch one topic and change at a high rate.
#[derive(Default)]
pub(super) struct Watchers {
    /// Ordered, so that it can be passed over in steps.
    topics: BTreeMap<Topic, Watched>,
    /// The topics whose state may have changed since the last flush.
    changed: HashSet<Topic>,
}

#[derive(Default)]
struct Watched {
    /// The epoch of the latest owner that is known, and whether it is still there. A topic that is no name has epoch 0.
    epoch: Epoch,
    online: bool,
    /// The number of states that were learned.
    changes: u64,
    /// The epoch of an older owner that the directory has shown since then, although the latest one has gone.
    older: Option<Epoch>,
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

    /// The next topics in their order, at most `limit` of them.
    pub(super) fn topics_after(&self, after: Option<&Topic>, limit: usize) -> Vec<Topic> {
        let from = after.map_or(Bound::Unbounded, Bound::Excluded);
        self.topics.range::<Topic, _>((from, Bound::Unbounded)).take(limit).map(|(topic, _)| topic.clone()).collect()
    }

    /// The number of states that were learned of a watched topic. `None` if nobody watches it.
    pub(super) fn changes(&self, topic: &Topic) -> Option<u64> {
        self.topics.get(topic).map(|watched| watched.changes)
    }

    /// Answers the watches that wait. `is_here`: the topic has members on this node.
    pub(super) fn answer(&mut self, topic: &Topic, is_here: bool) {
        let Some(watched) = self.topics.get_mut(topic) else { return };
        let online = is_here || watched.online;
        watched.watchers.values_mut().filter(|watcher| watcher.told.is_none()).for_each(|one| one.tell(topic, online));
    }

    /// Another node, or the directory, has reported the owner of an epoch. An older report has no effect: within an
    /// epoch, an owner that has gone does not come back.
    pub(super) fn learned(&mut self, topic: &Topic, epoch: Epoch, online: bool) {
        let Some(watched) = self.topics.get_mut(topic) else { return };
        if (watched.epoch, !watched.online) < (epoch, !online) {
            watched.set(epoch, online);
            self.changed.insert(topic.clone());
        }
    }

    /// Whether the owner of this epoch would be older than the latest one, which has gone. It is there nevertheless if its
    /// node was cut off, and has entered the name again.
    pub(super) fn is_older(&self, topic: &Topic, epoch: Epoch) -> bool {
        self.topics.get(topic).is_some_and(|watched| watched.is_older(epoch))
    }

    /// The directory has shown the owner of an epoch. Returns whether it must be asked again: the owner is older than the
    /// latest one, which has gone. It counts if the directory shows it twice, because its first answer may be out of date.
    #[must_use]
    pub(super) fn found(&mut self, topic: &Topic, epoch: Epoch) -> bool {
        let Some(watched) = self.topics.get_mut(topic).filter(|watched| watched.is_older(epoch)) else {
            self.learned(topic, epoch, true);
            return false;
        };
        let is_first = watched.older.replace(epoch) != Some(epoch);
        if !is_first {
            watched.set(epoch, true);
            self.changed.insert(topic.clone());
        }
        is_first
    }

    /// The topic has got its first member on this node, or lost its last. The registry's own reports are in order, also
    /// within an epoch.
    pub(super) fn changed_here(&mut self, topic: &Topic, epoch: Epoch, online: bool) {
        let Some(watched) = self.topics.get_mut(topic) else { return };
        if watched.epoch <= epoch {
            watched.set(epoch, online);
        }
        self.changed.insert(topic.clone());
    }

    /// The directory has found no owner. Returns whether it must be asked again: something was learned since the number
    /// of `changes`, and whether that is older than the answer is unknown. The same owner may come back: its node may have
    /// been cut off.
    #[must_use]
    pub(super) fn is_absent(&mut self, topic: &Topic, changes: u64) -> bool {
        let Some(watched) = self.topics.get_mut(topic).filter(|watched| watched.online) else { return false };
        if watched.changes == changes {
            watched.set(watched.epoch.saturating_sub(1), false);
            self.changed.insert(topic.clone());
        }
        watched.online
    }

    /// Whether a state may have changed since the last flush.
    pub(super) fn has_changed(&self) -> bool {
        !self.changed.is_empty()
    }

    /// Notifies the watchers of the topics whose state has changed, except those that know it. Returns how many it has
    /// looked at.
    pub(super) fn flush(&mut self, is_here: impl Fn(&Topic) -> bool) -> usize {
        let mut visited = 0;
        for topic in std::mem::take(&mut self.changed) {
            let Some(Watched { online, watchers, .. }) = self.topics.get_mut(&topic) else { continue };
            let online = *online || is_here(&topic);
            visited += watchers.len();
            for watcher in watchers.values_mut().filter(|watcher| watcher.told != Some(online)) {
                watcher.tell(&topic, online);
            }
        }
        visited
    }

    pub(super) fn count(&self) -> usize {
        self.topics.values().map(|watched| watched.watchers.len()).sum()
    }
}

impl Watched {
    fn is_older(&self, epoch: Epoch) -> bool {
        !self.online && epoch <= self.epoch && epoch > 0
    }

    fn set(&mut self, epoch: Epoch, online: bool) {
        self.epoch = epoch;
        self.online = online;
        self.changes += 1;
        self.older = None;
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
        watchers.changed_here(&topic, 0, true);
        crowd.iter().for_each(|watcher| watchers.remove(&topic, watcher.id()));
        assert!(!watchers.has(&topic) && !watchers.has_changed());
    }

    #[test]
    fn changes_within_an_interval_are_one_notification_of_the_last_state_or_none() {
        let (crowd, topic) = (crowd(2), topic());
        let mut watchers = Watchers::default();
        for watcher in crowd.iter() {
            watchers.add(&topic, watcher.clone());
            watchers.answer(&topic, false);
            assert_eq!(told(watcher), [false]);
        }
        for (changes, expected) in [
            (&[true][..], &[true][..]),
            (&[false, true], &[]),
            (&[false, true, false], &[false]),
            (&[true, false], &[]),
        ] {
            changes.iter().for_each(|online| watchers.changed_here(&topic, 0, *online));
            assert_eq!((watchers.flush(|_| false), watchers.has_changed()), (2, false));
            crowd.iter().for_each(|watcher| assert_eq!(told(watcher), expected, "{changes:?}"));
        }
    }

    /// The directory answers later than a notification that is newer.
    #[test]
    fn a_late_answer_does_not_undo_a_notification() {
        let (crowd, topic) = (crowd(1), topic());
        let (mut watchers, watcher) = (Watchers::default(), &crowd[0]);
        watchers.add(&topic, watcher.clone());
        watchers.changed_here(&topic, 0, true);
        watchers.flush(|_| false);
        watchers.answer(&topic, false);
        assert_eq!(told(watcher), [true]);
    }

    #[test]
    fn a_new_watcher_is_not_told_twice() {
        let (crowd, topic) = (crowd(2), topic());
        let mut watchers = Watchers::default();
        watchers.add(&topic, crowd[0].clone());
        watchers.answer(&topic, false);
        watchers.changed_here(&topic, 0, true);
        watchers.add(&topic, crowd[1].clone());
        watchers.answer(&topic, true);
        watchers.flush(|_| false);
        assert_eq!((told(&crowd[0]), told(&crowd[1])), (vec![false, true], vec![true]));
    }

    /// Reports of several nodes overtake each other.
    #[test]
    fn the_report_of_the_latest_epoch_counts() {
        let (crowd, topic) = (crowd(1), topic());
        let mut watchers = Watchers::default();
        watchers.add(&topic, crowd[0].clone());
        watchers.answer(&topic, false);
        for (epoch, online, expected) in [
            (2, true, &[false, true][..]),
            (1, false, &[]),
            (2, true, &[]),
            (3, true, &[]),
            (2, false, &[]),
            (3, false, &[false]),
            (3, true, &[]),
            (4, true, &[true]),
            (5, false, &[false]),
        ] {
            watchers.learned(&topic, epoch, online);
            watchers.flush(|_| false);
            assert_eq!(told(&crowd[0]), expected, "{epoch} {online}");
        }
        // the directory shows an older owner once, then twice
        assert!(watchers.is_older(&topic, 4) && watchers.found(&topic, 4), "it must be looked up again");
        watchers.flush(|_| false);
        assert!(told(&crowd[0]).is_empty());
        assert!(!watchers.found(&topic, 4));
        watchers.flush(|_| false);
        assert_eq!(told(&crowd[0]), [true]);
        // the directory was asked before the latest report, and then after it
        let before = watchers.changes(&topic).unwrap();
        watchers.learned(&topic, 6, true);
        assert!(watchers.is_absent(&topic, before), "it must be looked up again");
        watchers.flush(|_| false);
        assert!(told(&crowd[0]).is_empty());
        assert!(!watchers.is_absent(&topic, before + 1));
        watchers.flush(|_| false);
        assert_eq!(told(&crowd[0]), [false]);
    }
}
