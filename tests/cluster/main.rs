//! Several nodes, each a process of its own, over real servers of Redis and NATS that are killed, stopped, restarted
//! without their data, and cut off. What a node must do in each case is `web/docs/clustering.md`'s.
//!
//! It is a binary of its own, because its processes load the machine.
#![cfg(all(feature = "redis", feature = "nats"))]

#[path = "../common/mod.rs"]
mod common;

mod accounting;
mod bounds;
mod drain;
mod engine;
mod engine_outage;
mod failover;
mod forgery;
mod frozen_node;
mod links;
mod log;
mod misfits;
mod node;
mod node_death;
mod peer;
mod proxy;
mod traffic;
mod webhooks;

use std::time::Duration;

use tokio::time::{sleep, timeout};

/// The longest time that a cluster may take to recover: several leases, and a fail-over.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// Repeats a check until it is true.
pub async fn wait_until<F: Future<Output = bool>>(what: &str, mut ask: impl FnMut() -> F) {
    let checks = timeout(PATIENCE, async {
        while !ask().await {
            sleep(Duration::from_millis(10)).await;
        }
    });
    assert!(checks.await.is_ok(), "still not true after the time limit: {what}");
}
