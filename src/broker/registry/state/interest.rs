//! Which topics this node is subscribed to at the other nodes, and what waits until they know.
//!
//! A join is confirmed when whatever any node publishes from then on arrives, so it waits for the subscription of its
//! topic if it is the first here. Likewise, watchers and held signals ask for the owner of a name only then: what happens
//! later is reported.

use futures_util::FutureExt;

use super::{FULL, State};
use crate::refusal::JoinRefusal;
use crate::topic::Topic;

impl State {
    /// Whether this node must receive what other nodes publish on the topic. It need not for a name that it owns:
    /// senders ask the directory which node holds the name.
    pub(super) fn is_interested(&self, topic: &Topic) -> bool {
        self.watchers.has(topic)
            || self.held.has(topic)
            || self.subscriptions.has_joins(topic)
            || self.table.count(topic.key()) > 0 && !self.names.contains_key(topic)
    }

    /// Subscribes to the topic or unsubscribes from it, if the interest in it has changed.
    pub(super) fn sync_interest(&mut self, topic: &Topic, before: bool) {
        match (before, self.is_interested(topic)) {
            (false, true) => self.start_subscription(topic),
            (true, false) => {
                self.subscriptions.cancel(topic);
                self.adapter.unsubscribe(topic);
            }
            _ => {}
        }
    }

    pub(super) fn start_subscription(&mut self, topic: &Topic) {
        let mut confirmed = self.adapter.subscribe(topic);
        if (&mut confirmed).now_or_never().is_some() {
            return;
        }
        let (topic, number) = (topic.clone(), self.subscriptions.start(topic));
        self.suspend(confirmed, move |state, ()| state.subscribed(&topic, number));
    }

    /// Continues what has waited for a subscription.
    fn subscribed(&mut self, topic: &Topic, number: u64) {
        let Some(joins) = self.subscriptions.confirm(topic, number) else { return };
        for command in joins {
            if self.is_full(&command) {
                self.unsubscribe(command.id());
                self.refuse(&command, JoinRefusal::Full, FULL);
            } else {
                self.enter(command);
            }
        }
        self.sync_interest(topic, true);
        self.look_up(topic);
        self.ask_cluster(topic);
    }
}
