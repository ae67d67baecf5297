//! The subscriptions that the backplane has not confirmed yet, and the joins that wait for them. A part of the registry.
//!
//! A node without other nodes confirms each subscription immediately, and uses none of this.

use std::collections::HashMap;

use crate::broker::registry::command::Subscribe;
use crate::connections::connection::MemberId;
use crate::topic::Topic;

/// The pending subscriptions, by topic.
#[derive(Default)]
pub(super) struct PendingSubscriptions {
    topics: HashMap<Topic, PendingSubscription>,
    /// Numbers the subscriptions and the joins.
    last: u64,
}

struct PendingSubscription {
    number: u64,
    /// The joins that wait, each with its number.
    joins: HashMap<MemberId, (u64, Subscribe)>,
}

impl PendingSubscriptions {
    /// Begins to wait for a topic's subscription. Returns its number.
    pub(super) fn start(&mut self, topic: &Topic) -> u64 {
        let number = self.next();
        self.topics.insert(topic.clone(), PendingSubscription { number, joins: HashMap::new() });
        number
    }

    pub(super) fn has(&self, topic: &Topic) -> bool {
        self.topics.contains_key(topic)
    }

    /// Whether a join waits for the topic.
    pub(super) fn has_joins(&self, topic: &Topic) -> bool {
        self.topics.get(topic).is_some_and(|pending| !pending.joins.is_empty())
    }

    /// Lets a join wait for its topic's pending subscription.
    pub(super) fn add_join(&mut self, command: Subscribe) {
        let number = self.next();
        if let Some(pending) = self.topics.get_mut(&command.topic) {
            pending.joins.insert(command.id(), (number, command));
        }
    }

    /// A join that waits.
    pub(super) fn join(&self, topic: &Topic, id: MemberId) -> Option<&Subscribe> {
        self.topics.get(topic)?.joins.get(&id).map(|(_, command)| command)
    }

    /// The same, to change it.
    pub(super) fn join_mut(&mut self, topic: &Topic, id: MemberId) -> Option<&mut Subscribe> {
        self.topics.get_mut(topic)?.joins.get_mut(&id).map(|(_, command)| command)
    }

    /// Forgets a join that has ended.
    pub(super) fn remove_join(&mut self, topic: &Topic, id: MemberId) {
        if let Some(pending) = self.topics.get_mut(topic) {
            pending.joins.remove(&id);
        }
    }

    /// Ends the wait for a topic's subscription, and returns the joins that have waited, oldest first. `None` if the
    /// subscription of this number has been cancelled.
    pub(super) fn confirm(&mut self, topic: &Topic, number: u64) -> Option<Vec<Subscribe>> {
        self.topics.get(topic).filter(|pending| pending.number == number)?;
        let mut joins: Vec<_> = self.topics.remove(topic)?.joins.into_values().collect();
        joins.sort_unstable_by_key(|(number, _)| *number);
        Some(joins.into_iter().map(|(_, command)| command).collect())
    }

    /// The node does not need the subscription any more.
    pub(super) fn cancel(&mut self, topic: &Topic) {
        self.topics.remove(topic);
    }

    fn next(&mut self) -> u64 {
        self.last += 1;
        self.last
    }
}
