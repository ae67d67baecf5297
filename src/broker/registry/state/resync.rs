//! Resynchronisation: after a loss, this node asks the other nodes again for what it must know of them, and sends them
//! what they must know of it.
//!
//! It passes over the tables in steps, so that clients do not wait for it.

use std::slice::from_ref;

use super::State;
use crate::broker::adapter::{Answer, Answers, NodeId, Packet, Question};
use crate::topic::Topic;

/// How many presence entries one step sends, about.
const PRESENCE_ENTRIES: usize = 1_000;

/// How many names with held signals one step handles, so that the signals fit into the adapter's queue.
const HELD_NAMES: usize = 100;

impl State {
    /// Packets of other nodes may have been lost.
    pub(in crate::broker::registry) fn resync(&mut self) {
        self.passes.watches.start();
        self.passes.presence.start();
        self.passes.held.start();
    }

    /// A node is down: its presence entries are removed, and the watched names are looked up again.
    pub(in crate::broker::registry) fn node_down(&mut self, node: &str) {
        self.presence.node_down(node);
        self.passes.watches.start();
    }

    /// Whether a pass is to be continued.
    pub(in crate::broker::registry) fn is_resyncing(&self) -> bool {
        self.passes.are_running()
    }

    /// Continues the passes by one step.
    pub(in crate::broker::registry) fn continue_resync(&mut self) {
        let names = self.passes.held.step(HELD_NAMES, |after, limit| self.held.names_after(after, limit));
        names.iter().for_each(|name| self.ask_cluster(name));
        let room = self.passes.room();
        let topics = self.passes.watches.step(room, |after, limit| self.watchers.topics_after(after, limit));
        topics.iter().for_each(|topic| self.look_up_again(topic));
        let failed = self.passes.lookups.step(self.passes.room());
        failed.iter().for_each(|topic| self.look_up_again(topic));
        let room = self.passes.room();
        let topics =
            self.passes.presence.step(room, |after, limit| self.presence.topics_after(after, limit, PRESENCE_ENTRIES));
        topics.iter().for_each(|topic| self.resync_presence(topic));
    }

    fn look_up_again(&mut self, topic: &Topic) {
        let Some(changes) = self.watchers.changes(topic).filter(|_| self.table.count(topic.key()) == 0) else { return };
        let (answer, topic) = (self.adapter.whereis(topic), topic.clone());
        self.passes.requests += 1;
        self.wait(answer, move |state, found| {
            state.passes.requests -= 1;
            state.looked_up(&topic, changes, found);
        });
    }

    /// Sends this node's entries of a list, and requests those of the other nodes. A node that has none any more may
    /// not be subscribed to the topic, so it is asked directly.
    fn resync_presence(&mut self, topic: &Topic) {
        for own in self.presence.own(topic) {
            self.adapter.publish(from_ref(topic), own);
        }
        let known = self.presence.versions(topic);
        if !known.is_empty() || self.presence.has_subscribers(topic) {
            self.adapter.publish(from_ref(topic), Packet::PresenceWanted);
        }
        if known.is_empty() {
            return;
        }
        let (answers, topic) = (self.adapter.ask(Question::Presence(topic.clone())), topic.clone());
        self.passes.requests += 1;
        self.wait(answers, move |state, answers| {
            state.passes.requests -= 1;
            state.presence_answered(&topic, &known, &answers);
        });
    }

    /// Removes the entries of the nodes that have none, unless they have sent something meanwhile.
    fn presence_answered(&mut self, topic: &Topic, known: &[(NodeId, u64)], answers: &Answers) {
        for (node, answer) in &answers.answers {
            let is_empty = matches!(answer, Answer::Presence(list) if list.is_empty());
            if let Some((_, version)) = known.iter().find(|(of, _)| is_empty && of == node) {
                self.presence.remove_entries(topic, node, *version);
            }
        }
    }
}
