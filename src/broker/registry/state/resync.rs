//! Resynchronisation: after a loss, this node asks the other nodes again for what it must know of them. Of presence lists
//! it compares the versions, and requests the entries of a node where they differ.
//!
//! It passes over the tables in steps, so that clients do not wait for it.

use std::collections::BTreeMap;
use std::slice::from_ref;

use super::State;
use crate::broker::adapter::{Answer, Answers, NodeId, Packet, Question};
use crate::topic::Topic;

/// How many bytes of topics' names one question has, about.
const NAME_BYTES: usize = 64 * 1024;

/// How many names with held signals one step handles, so that the signals fit into the adapter's queue.
const HELD_NAMES: usize = 100;

impl State {
    /// Packets of other nodes may have been lost.
    pub(in crate::broker::registry) fn resync(&mut self) {
        self.passes.watches.start();
        self.passes.presence.start();
        self.passes.held.start();
    }

    /// Packets of another node may have been lost.
    pub(in crate::broker::registry) fn compare_presence_lists(&mut self) {
        self.passes.presence.start();
    }

    /// A node is down: its presence entries are removed, and the watched names are looked up again.
    pub(in crate::broker::registry) fn node_down(&mut self, node: &str) {
        self.presence.node_down(node);
        if let Some(hooks) = &mut self.hooks {
            hooks.node_down(node);
        }
        self.passes.watches.start();
    }

    /// A node is up, which may have been down.
    pub(in crate::broker::registry) fn node_up(&mut self, node: &str) {
        if let Some(hooks) = &mut self.hooks {
            hooks.node_up(node);
        }
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
            self.passes.presence.step(room, |after, limit| self.presence.topics_after(after, limit, NAME_BYTES));
        self.resync_presence(topics);
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

    /// Compares presence lists with the other nodes, and requests the entries of a node where they differ. A node that has
    /// none any more may not be subscribed to the topic, so the nodes are asked directly.
    fn resync_presence(&mut self, mut topics: Vec<Topic>) {
        topics.retain(|topic| self.presence.has_others(topic) || self.presence.has_subscribers(topic));
        if topics.is_empty() {
            return;
        }
        let known: Vec<_> = topics.iter().map(|topic| self.presence.versions(topic)).collect();
        let answers = self.adapter.ask(Question::PresenceVersions(topics.clone()));
        self.passes.requests += 1;
        self.wait(answers, move |state, answers| {
            state.passes.requests -= 1;
            for (number, topic) in topics.iter().enumerate() {
                state.compare_presence(topic, &known[number], number, &answers);
            }
        });
    }

    /// Compares one list. `known` are the versions that were known when the nodes were asked, and the answer about this
    /// topic is the one with this number.
    fn compare_presence(&mut self, topic: &Topic, known: &BTreeMap<NodeId, u64>, number: usize, answers: &Answers) {
        let mut differing = answers.silent.clone();
        for (node, answer) in &answers.answers {
            let version = match answer {
                Answer::PresenceVersions(versions) => versions.get(number).copied(),
                _ => None,
            };
            match version {
                Some(0) => {
                    if let Some(version) = known.get(node) {
                        self.presence.remove_entries(topic, node, *version);
                    }
                }
                Some(version) if !self.presence.is_behind(topic, node, version) => {}
                Some(_) | None => differing.push(node.clone()),
            }
        }
        for node in differing {
            self.adapter.publish(from_ref(topic), Packet::PresenceWanted(Some(node)));
        }
    }
}
