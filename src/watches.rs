//! Who wants to know when a topic gets its first member and loses its last. A part of the registry.

use std::collections::HashMap;

use crate::mailbox::Note;
use crate::message::Watched;
use crate::table::{Member, MemberId};
use crate::topic::Topic;

/// Topic to watchers. A topic that nobody watches has no entry.
#[derive(Default)]
pub(crate) struct Watches {
    topics: HashMap<Topic, Vec<Member>>,
}

impl Watches {
    /// Adds a watcher; watching twice is watching once. Says whether it is new.
    pub(crate) fn add(&mut self, topic: &Topic, watcher: Member) -> bool {
        let watchers = self.topics.entry(topic.clone()).or_default();
        let new = watchers.iter().all(|w| w.id() != watcher.id());
        if new {
            watchers.push(watcher);
        }
        new
    }

    pub(crate) fn remove(&mut self, topic: &Topic, id: MemberId) {
        let Some(watchers) = self.topics.get_mut(topic) else { return };
        watchers.retain(|watcher| watcher.id() != id);
        if watchers.is_empty() {
            self.topics.remove(topic);
        }
    }

    pub(crate) fn has(&self, topic: &Topic) -> bool {
        self.topics.contains_key(topic)
    }

    /// Tells the topic's watchers. One whose mailbox is full is on its way out.
    pub(crate) fn tell(&self, topic: &Topic, online: bool) {
        for watcher in self.topics.get(topic).into_iter().flatten() {
            let watched = Box::new(Watched { topic: topic.clone(), online });
            let _ = watcher.connection.tell(Note::Info(watcher.join, watched));
        }
    }

    pub(crate) fn count(&self) -> usize {
        self.topics.values().map(Vec::len).sum()
    }
}
