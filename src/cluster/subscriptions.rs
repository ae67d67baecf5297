//! The topics that this node is subscribed to, and the probes that show whether the other nodes reach it there.

use std::collections::{BTreeSet, HashMap, HashSet};

use tokio::sync::oneshot;

use crate::broker::adapter::NodeId;
use crate::topic::Topic;

/// The topics, and the probes under way.
#[derive(Default)]
pub(super) struct Subscriptions {
    topics: HashSet<Topic>,
    /// Those that the engine was not asked for since the present link began.
    missing: HashSet<Topic>,
    last_token: u64,
    probes: HashMap<u64, Probe>,
}

/// The nodes that have not been heard on a new subscription yet.
struct Probe {
    silent: BTreeSet<NodeId>,
    all_heard: oneshot::Sender<()>,
}

impl Subscriptions {
    /// Adds a topic. While the node is not linked, the engine is asked for it later.
    pub(super) fn add(&mut self, topic: Topic, is_linked: bool) {
        if !is_linked {
            self.missing.insert(topic.clone());
        }
        self.topics.insert(topic);
    }

    pub(super) fn remove(&mut self, topic: &Topic) {
        self.topics.remove(topic);
        self.missing.remove(topic);
    }

    pub(super) fn count(&self) -> usize {
        self.topics.len()
    }

    /// The engine has forgotten all topics.
    pub(super) fn forget_engine(&mut self) {
        self.missing = self.topics.clone();
    }

    /// Some of the topics that the engine was not asked for. They are asked for now.
    pub(super) fn take_missing(&mut self, limit: usize) -> Vec<Topic> {
        let some: Vec<Topic> = self.missing.iter().take(limit).cloned().collect();
        for topic in &some {
            self.missing.remove(topic);
        }
        some
    }

    /// A node was heard on the subscription that a probe is about.
    pub(super) fn heard(&mut self, token: u64, node: &str) {
        let Some(probe) = self.probes.get_mut(&token) else { return };
        probe.silent.remove(node);
        if probe.silent.is_empty()
            && let Some(probe) = self.probes.remove(&token)
        {
            let _ = probe.all_heard.send(());
        }
    }

    /// The nodes that have not been heard yet.
    pub(super) fn silent(&self, token: u64) -> Vec<NodeId> {
        self.probes.get(&token).map_or_else(Vec::new, |probe| probe.silent.iter().cloned().collect())
    }

    /// A node is down: no probe waits for it.
    pub(super) fn node_down(&mut self, node: &str) {
        let tokens: Vec<u64> = self.probes.keys().copied().collect();
        tokens.into_iter().for_each(|token| self.heard(token, node));
    }

    /// Starts a probe: its token, and what is ready when all of `nodes` have been heard.
    pub(super) fn probe(&mut self, nodes: &[NodeId]) -> (u64, oneshot::Receiver<()>) {
        self.last_token += 1;
        let (all_heard, receiver) = oneshot::channel();
        self.probes.insert(self.last_token, Probe { silent: nodes.iter().cloned().collect(), all_heard });
        (self.last_token, receiver)
    }

    pub(super) fn forget_probe(&mut self, token: u64) {
        self.probes.remove(&token);
    }
}
