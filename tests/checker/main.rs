//! Random clients of all protocols join, leave, take ids over, are killed, send and watch, in segments that are cut at
//! random places. A model checks what they saw against the broker's guarantees:
//!
//! - a message arrives at most once, where it was sent to, and in the order of its sender;
//! - after `ok` to a join, every message to the place arrives until the client leaves;
//! - nothing arrives after a goodbye: `phx_close`, the acknowledged leave of a room, a close frame;
//! - a name has one owner, and a verdict on a message or a claim was true at some moment between the two;
//! - once all is quiet, watchers know who is online, and presence lists are complete.
//!
//! `make test` runs it for a few seconds, `make soak` for ten minutes against a release build (`CHECKER_SECONDS`).
//! A failure prints the round's seed; `CHECKER_SEED` repeats the round.
//!
//! The same holds for clients that are spread over two nodes of a cluster, except what web/docs/cluster.md says does not
//! hold between nodes.
//!
//! It is a binary of its own, because it loads the machine, and `make soak` runs it alone.

#[path = "../common/mod.rs"]
mod common;

mod clients;
mod driver;
mod model;
mod record;
mod wire;

use std::time::{Duration, Instant, SystemTime};

use common::process::Process;
#[cfg(feature = "redis")]
use common::redis::RedisServer;
use common::{UNLIMITED, get, wait_until};

/// How long one round of random work takes.
const ROUND: Duration = Duration::from_secs(1);
/// Beside [`UNLIMITED`], so that every answer follows from what the clients do.
const SETS: &[&str] = &[
    "server.workers=3",
    "metrics.listen=127.0.0.1:0",
    "limits.sockets_per_ip=5000",
    "limits.queue_age=60s",
    // a busy machine must not make an owner look dead
    "limits.contest_timeout=20s",
    "relay.enabled=true",
    "hello.enabled=true",
    // held signals end during the round, and abandoned long-polling sessions before the test does
    "peerjs.expire_timeout=300ms",
    "socket.poll_window=3s",
    "log.level=off",
];

fn number(variable: &str) -> Option<u64> {
    std::env::var(variable).ok().map(|text| text.parse().unwrap_or_else(|_| panic!("{variable} is no number")))
}

/// Beside these, for nodes of a cluster. A busy machine must not make a node look unreachable or dead.
const CLUSTER_SETS: &[&str] = &[
    "cluster.engine=redis",
    "cluster.secret=a secret that all nodes of the test share",
    "cluster.timeout=5s",
    "cluster.lease=30s",
];

#[actix_web::test]
async fn every_guarantee_holds_for_random_clients() {
    check(&[Process::start(&[&UNLIMITED, SETS].concat())]).await;
}

#[cfg(feature = "redis")]
#[actix_web::test]
async fn every_guarantee_between_nodes_holds_for_random_clients() {
    let redis = RedisServer::start(&[]);
    let url = format!("cluster.urls={}", redis.url());
    let nodes = ["a", "b"].map(|name| {
        let own = [&*url, &format!("cluster.node={name}")];
        Process::start(&[&UNLIMITED, SETS, CLUSTER_SETS, &own].concat())
    });
    for node in &nodes {
        wait_until("the nodes know each other", || async {
            get(node.metrics.unwrap(), "/metrics").await.1.contains("\nhandclasp_cluster_nodes 2\n")
        })
        .await;
    }
    check(&nodes).await;
    let left = || -> Vec<String> { redis.run(&["KEYS", "handclasp:name:*"]) };
    wait_until("the directory is empty", || async { left().is_empty() }).await;
}

/// Runs rounds against these nodes, until the time is over.
async fn check(nodes: &[Process]) {
    let time = Duration::from_secs(number("CHECKER_SECONDS").unwrap_or(10));
    let repeated = number("CHECKER_SEED");
    let since_epoch = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap();
    let mut seed = repeated.unwrap_or(since_epoch.as_millis() as u64);
    let (start, mut rounds, mut clients, mut messages, mut arrivals) = (Instant::now(), 0, 0, 0, 0);
    while start.elapsed() < time {
        let summary = driver::run_round(nodes, rounds, seed, ROUND).await;
        (rounds, clients) = (rounds + 1, clients + summary.clients);
        (messages, arrivals) = (messages + summary.messages, arrivals + summary.arrivals);
        assert!(summary.faults.is_empty(), "seed {seed}, after {:.1?}: see above", start.elapsed());
        seed += u64::from(repeated.is_none());
    }
    for node in nodes {
        wait_until("the tables are empty", || async { node.remaining().await.is_empty() }).await;
    }
    println!("{rounds} rounds, {clients} clients, {messages} messages, {arrivals} arrivals");
}
