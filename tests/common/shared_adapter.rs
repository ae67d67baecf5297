//! Several nodes of one test, connected by the shared adapter over an engine in memory.

use std::time::Duration;

use handclasp::cluster::{Cluster, ClusterOptions};
use handclasp::config::Isolated;
use handclasp::{Config, Endpoint, Node};

use super::memory_engine::{Knobs, MemoryHub};
use super::{TIMEOUT, config, get, wait_for, wait_until};

/// How long a node that is silent counts as alive.
pub const LEASE: Duration = Duration::from_secs(2);
/// How long one answer of another node may take.
pub const ANSWER_TIMEOUT: Duration = Duration::from_millis(500);

/// The options of a node of a cluster.
pub fn options(node: &str, config: &Config) -> ClusterOptions {
    ClusterOptions {
        node: node.into(),
        secret: b"a secret that all nodes of the test share".to_vec(),
        lease: LEASE,
        timeout: ANSWER_TIMEOUT,
        contest_timeout: config.limits.contest_timeout,
        queue_bytes: 16 << 20,
        isolated: Isolated::Proven,
    }
}

/// Nodes that share a hub.
#[derive(Clone)]
pub struct EngineCluster {
    pub hub: MemoryHub,
}

impl EngineCluster {
    pub fn new(knobs: Knobs) -> Self {
        Self { hub: MemoryHub::new(knobs) }
    }

    /// A node that belongs to this cluster, and may not be linked yet.
    pub fn unlinked_node(&self, name: &str, config: Config) -> Node {
        let hub = self.hub.clone();
        let adapter = Cluster::new(options(name, &config), move || Box::new(hub.engine()));
        Endpoint::new(config).adapter(adapter).start().unwrap()
    }

    /// A node that belongs to this cluster, and is linked.
    pub async fn node(&self, name: &str, config: Config) -> Node {
        let node = self.unlinked_node(name, config);
        wait_until_ready(&node).await;
        node
    }

    /// The nodes `a` and `b`, which know each other.
    pub async fn two_nodes(&self, sets: &[&str]) -> (Node, Node) {
        let (a, b) = (self.node("a", config(sets)).await, self.node("b", config(sets)).await);
        wait_until_acquainted([&a, &b]).await;
        (a, b)
    }

    /// Cuts a node off from the engine until [`reconnect`](Self::reconnect).
    pub async fn cut_off(&self, name: &str, node: &Node) {
        self.hub.refuse(name, true);
        self.hub.unlink(name);
        wait_until("the node has lost its link", || async { !is_linked(node) }).await;
    }

    pub async fn reconnect(&self, name: &str, node: &Node) {
        self.hub.refuse(name, false);
        wait_until("the node is linked again", || async { is_linked(node) }).await;
    }
}

pub fn is_linked(node: &Node) -> bool {
    node.pubsub().metrics().cluster.linked.get() == 1
}

/// A node that is configured to use the server at `url`, and is linked.
pub async fn configured_node(engine: &str, url: &str, name: &str, sets: &[&str]) -> Node {
    let own = [
        &format!("cluster.engine={engine}"),
        &format!("cluster.urls={url}"),
        &format!("cluster.node={name}"),
        "cluster.secret=a secret that all nodes of the test share",
        // how soon nodes know each other
        "cluster.lease=2s",
    ];
    let node = Endpoint::new(config(&[&own, sets].concat())).start().unwrap();
    wait_until_ready(&node).await;
    node
}

/// Waits until a node can serve: it is linked to its cluster. Several NATS servers that have just started choose a leader
/// first, which takes long on a busy machine.
pub async fn wait_until_ready(node: &Node) {
    let address = node.address();
    wait_for("a node that is ready", TIMEOUT * 6, || async { get(address, "/readyz").await.0 == 200 }).await;
}

/// Waits until each of the nodes knows all others.
pub async fn wait_until_acquainted<const N: usize>(nodes: [&Node; N]) {
    for node in nodes {
        let pubsub = node.pubsub();
        wait_until("all nodes know each other", || async { pubsub.census().await.nodes.len() == N }).await;
    }
}
