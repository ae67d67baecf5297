//! A node of a cluster: a process, with its log in a file.

use std::fs::{self, File};
use std::path::PathBuf;
use std::sync::atomic::{AtomicU32, Ordering};

use crate::common::process::Process;
use crate::common::{UNLIMITED, get, metric};
use crate::engine::Engine;
use crate::wait_until;

/// The secret that all nodes share.
pub const SECRET: &str = "0123456789abcdef-0123456789abcdef";

/// Beside [`UNLIMITED`]. The lease is the shortest one.
const SETS: [&str; 7] = [
    "server.workers=2",
    "metrics.listen=127.0.0.1:0",
    "cluster.lease=2s",
    "drain.spread=100ms",
    "limits.sockets_per_ip=50000",
    "limits.bytes_burst=4000000000",
    "limits.fanout_bytes_burst=4000000000",
];

pub struct Node {
    pub process: Process,
    log: PathBuf,
}

impl Node {
    /// Starts a node over an engine, and waits until it is linked.
    pub async fn start(engine: &Engine, sets: &[&str]) -> Self {
        Self::linked_to(&engine.url(), sets).await
    }

    /// The same, for any URL.
    pub async fn linked_to(url: &str, sets: &[&str]) -> Self {
        let node = Self::unlinked(url, sets);
        node.wait_until_ready().await;
        node
    }

    /// Starts a node, and does not wait for its engine.
    pub fn unlinked(url: &str, sets: &[&str]) -> Self {
        static LAST: AtomicU32 = AtomicU32::new(0);
        let number = LAST.fetch_add(1, Ordering::Relaxed);
        let log = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(format!("cluster-node-{number}.log"));
        let engine = url.split([':', '+']).next().unwrap();
        let engine = [
            format!("cluster.engine={engine}"),
            format!("cluster.urls={url}"),
            format!("cluster.secret={SECRET}"),
            format!("cluster.node=n{number}"),
        ];
        let sets: Vec<&str> = UNLIMITED
            .into_iter()
            .chain(SETS)
            .chain(engine.iter().map(String::as_str))
            .chain(sets.iter().copied())
            .collect();
        Self { process: Process::logging_to(File::create(&log).unwrap(), &sets), log }
    }

    pub fn address(&self) -> std::net::SocketAddr {
        self.process.address
    }

    pub fn log(&self) -> String {
        fs::read_to_string(&self.log).unwrap()
    }

    /// The status and the text of `/readyz`.
    pub async fn readiness(&self) -> (u16, String) {
        get(self.address(), "/readyz").await
    }

    pub async fn wait_until_ready(&self) {
        wait_until("the node is ready", || async { self.readiness().await.0 == 200 }).await;
    }

    pub async fn wait_until_not_ready(&self) {
        wait_until("the node is not ready", || async { self.readiness().await.0 == 503 }).await;
    }

    /// The value of a series in `/metrics`: 0 if the node does not report it.
    pub async fn metric(&self, series: &str) -> u64 {
        metric(self.process.metrics.unwrap(), &format!("handclasp_{series}")).await.unwrap_or_default()
    }

    /// How many nodes the cluster has, as this node knows.
    pub async fn nodes(&self) -> u64 {
        self.metric("cluster_nodes").await
    }

    pub async fn wait_until_linked(&self) {
        wait_until("the node is linked", || async { self.metric("cluster_linked").await == 1 }).await;
    }

    pub async fn wait_until_unlinked(&self) {
        wait_until("the node has noticed that its link is lost", || async { self.metric("cluster_linked").await == 0 })
            .await;
    }

    pub async fn wait_for_nodes(&self, count: u64) {
        wait_until("the node knows the others", || async { self.nodes().await == count }).await;
    }
}

/// Starts several nodes, which know each other when this returns.
pub async fn start<const N: usize>(engine: &Engine, sets: &[&str]) -> [Node; N] {
    let nodes: Vec<Node> = (0..N).map(|_| Node::unlinked(&engine.url(), sets)).collect();
    for node in &nodes {
        node.wait_until_ready().await;
        node.wait_for_nodes(N as u64).await;
    }
    nodes.try_into().unwrap_or_else(|_| unreachable!("there are as many"))
}
