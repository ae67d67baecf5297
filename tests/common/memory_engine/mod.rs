//! An engine in memory, for several nodes of one test. All nodes share a [`MemoryHub`], and may run on different threads.
//!
//! Every call and every message arrives after a delay. Delays are random, by a seed, and pass by the clock of tokio: with
//! `tokio::time::pause`, and all nodes on one thread, a run is the same each time. The hub can also fail in the ways that
//! the interface to engines allows.

mod directory;
mod engine;
mod hub;

use std::collections::{BTreeMap, BTreeSet};
use std::ops::RangeInclusive;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use handclasp::cluster::engine::{Epoch, NodeId};

pub use engine::MemoryEngine;
use hub::Hub;
pub use hub::Lane;

/// What a hub is like.
#[derive(Clone, Debug)]
pub struct Knobs {
    /// Selects all delays. Not 0.
    pub seed: u64,
    /// How long each step takes: from a node to the hub, or back.
    pub delay: RangeInclusive<Duration>,
    /// Whether messages on different channels overtake each other, and those of different senders on one channel.
    pub reorders: bool,
    /// How long a call waits for its answer.
    pub timeout: Duration,
    /// Whether other nodes reach a new subscription up to 15 ms later than its own node, as in a NATS cluster.
    pub has_several_servers: bool,
    /// How many entries a part of the directory has.
    pub part: usize,
}

impl Default for Knobs {
    fn default() -> Self {
        Self {
            seed: 1,
            delay: Duration::ZERO..=Duration::ZERO,
            reorders: false,
            timeout: Duration::from_millis(500),
            has_several_servers: false,
            part: 100,
        }
    }
}

impl Knobs {
    /// A hub with delays of up to 3 ms and reordering.
    pub fn shaken(seed: u64) -> Self {
        Self { seed, delay: Duration::ZERO..=Duration::from_millis(3), reorders: true, ..Self::default() }
    }
}

/// What connects the nodes: the directory, the leases, and the subscriptions.
#[derive(Clone)]
pub struct MemoryHub(Arc<Mutex<Hub>>);

impl MemoryHub {
    pub fn new(knobs: Knobs) -> Self {
        Self(Arc::new(Mutex::new(Hub::new(knobs))))
    }

    /// An engine for one node.
    pub fn engine(&self) -> MemoryEngine {
        MemoryEngine::new(self.clone())
    }

    /// Stops a node: nothing that it sends leaves it, and nothing reaches it, until [`thaw`](Self::thaw).
    pub fn freeze(&self, node: &str) {
        self.hub().freeze(node);
    }

    /// Lets a frozen node go on: what was held in both directions arrives now.
    pub fn thaw(&self, node: &str) {
        self.hub().thaw(node);
    }

    /// Stops or continues the hub: while it is stopped, calls end by their timeout. They take effect when it continues.
    pub fn hang(&self, hangs: bool) {
        self.hub().hang(hangs);
    }

    /// Begins or ends an election among the hub's servers: meanwhile it loses requests about names and leases.
    pub fn elect(&self, elects: bool) {
        self.hub().elects = elects;
    }

    /// Loses all messages to a node for some time. Then the node loses its connection.
    pub fn lose(&self, node: &str, time: Duration) {
        self.hub().lose(node, time);
    }

    /// Cuts the connection of a node, which may link again.
    pub fn unlink(&self, node: &str) {
        self.hub().unlink(node, "the connection was cut");
    }

    /// Refuses or accepts new links of a node.
    pub fn refuse(&self, node: &str, refuses: bool) {
        self.hub().refuse(node, refuses);
    }

    /// The thread of a node runs this at its next call in a lane: it may panic, or block the thread.
    pub fn break_next(&self, node: &str, lane: Lane, fault: impl FnOnce() + Send + 'static) {
        self.hub().faults.insert((node.into(), lane), Box::new(fault));
    }

    /// Loses everything, and all connections. Epochs still grow.
    pub fn restart_empty(&self) {
        self.hub().restart_empty();
    }

    /// The directory.
    pub fn names(&self) -> BTreeMap<String, (NodeId, Epoch)> {
        self.hub().directory.names()
    }

    /// The nodes that are subscribed to each topic.
    pub fn subscriptions(&self) -> BTreeMap<String, BTreeSet<NodeId>> {
        self.hub().subscriptions()
    }

    /// Whether the directory and the subscriptions are empty.
    pub fn is_empty(&self) -> bool {
        self.names().is_empty() && self.subscriptions().is_empty()
    }

    fn hub(&self) -> MutexGuard<'_, Hub> {
        self.0.lock().unwrap()
    }
}
