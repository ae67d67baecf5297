//! The queue to the cluster's thread: what waits in it counts until it is answered.

use std::time::Duration;

use handclasp::cluster::{Cluster, ClusterOptions};
use handclasp::metrics::Metrics;
use handclasp::{Endpoint, Node};

use crate::common::memory_engine::{Knobs, MemoryHub};
use crate::common::shared_adapter::{EngineCluster, options, wait_until_acquainted, wait_until_ready};
use crate::common::{Client, config, id, wait_until};

/// How long the engine may take: longer than the test.
const PATIENCE: Duration = Duration::from_secs(60);

/// What each command counts at least, in bytes.
const COMMAND: i64 = 512;

fn queued(metrics: &Metrics) -> i64 {
    metrics.cluster.queue_bytes.get()
}

/// The node `a` with options of its own.
fn node_with(hub: &MemoryHub, change: impl FnOnce(ClusterOptions) -> ClusterOptions) -> Node {
    let (hub, config) = (hub.clone(), config(&[]));
    let adapter = Cluster::new(change(options("a", &config)), move || Box::new(hub.engine()));
    Endpoint::new(config).adapter(adapter).start().unwrap()
}

/// A node that waits for its engine, and the hub.
async fn patient_node() -> (MemoryHub, Node) {
    let hub = MemoryHub::new(Knobs { timeout: PATIENCE, ..Knobs::default() });
    let node = node_with(&hub, |options| ClusterOptions { timeout: PATIENCE, ..options });
    wait_until_ready(&node).await;
    (hub, node)
}

/// Joins many topics while the engine does not answer. Each join counts until it is answered.
async fn count_joins(topic: impl Fn(usize) -> String) {
    const JOINS: usize = 20;
    let (hub, node) = patient_node().await;
    hub.hang(true);
    let mut client = Client::new(node.address()).await;
    for n in 0..JOINS {
        client.send(&format!(r#"["{n}","{n}","{}","phx_join",{{}}]"#, topic(n))).await;
    }
    let pubsub = node.pubsub();
    wait_until("all joins count", || async { queued(pubsub.metrics()) >= COMMAND * JOINS as i64 }).await;
    hub.hang(false);
    for _ in 0..JOINS {
        client.receive_until(r#""status":"ok""#).await;
    }
    wait_until("an idle node shows 0", || async { queued(pubsub.metrics()) == 0 }).await;
    node.stop().await;
}

#[actix_web::test]
async fn a_claim_counts_until_the_engine_has_answered() {
    count_joins(|n| format!("peer:{}", id(n))).await;
}

#[actix_web::test]
async fn a_subscription_counts_until_the_engine_has_confirmed_it() {
    count_joins(|n| format!("room:{n}")).await;
}

/// A signal is answered after `cluster.timeout`, but the engine still has its message.
#[actix_web::test]
async fn a_signal_counts_until_its_message_has_left_the_node() {
    const SIGNALS: usize = 6;
    const SIZE: usize = 50_000;
    let cluster = EngineCluster::new(Knobs::default());
    let limit = SIZE * SIGNALS;
    let other = cluster.node("b", config(&[])).await;
    let sending = node_with(&cluster.hub, |options| ClusterOptions { queue_bytes: limit, lease: PATIENCE, ..options });
    wait_until_acquainted([&sending, &other]).await;
    let (mut sender, mut receiver) = (Client::new(sending.address()).await, Client::new(other.address()).await);
    let (from, to) = (id(1), id(2));
    sender.join("1", &format!("peer:{from}"), "{}").await;
    receiver.join("1", &format!("peer:{to}"), "{}").await;
    let signal = |size: usize| {
        let text = "x".repeat(size);
        format!(r#"["1","1","peer:{from}","offer",{{"peer_id":"{to}","sdp":"{text}"}}]"#)
    };
    // the node knows the route from now on
    sender.send(&signal(1)).await;
    sender.receive_until(r#""status":"ok""#).await;
    cluster.hub.hang(true);
    for _ in 0..SIGNALS {
        sender.send(&signal(SIZE)).await;
    }
    for _ in 0..SIGNALS {
        let reply = sender.receive_until(r#""status":"error""#).await;
        assert!(reply.contains("unreachable"), "{reply}");
    }
    sender.send(&signal(SIZE)).await;
    let reply = sender.receive_until(r#""status":"error""#).await;
    assert!(reply.contains("overloaded"), "{reply}");
    let pubsub = sending.pubsub();
    assert!(queued(pubsub.metrics()) >= limit as i64);
    cluster.hub.hang(false);
    wait_until("all messages have left", || async { queued(pubsub.metrics()) == 0 }).await;
    for node in [sending, other] {
        node.stop().await;
    }
}

#[actix_web::test]
async fn nodes_that_cannot_be_asked_count_as_silent() {
    const CLAIMS: usize = 8;
    let cluster = EngineCluster::new(Knobs { timeout: PATIENCE, ..Knobs::default() });
    let asking =
        node_with(&cluster.hub, |options| ClusterOptions { queue_bytes: COMMAND as usize * CLAIMS, ..options });
    let other = cluster.node("b", config(&[])).await;
    wait_until_acquainted([&asking, &other]).await;
    let pubsub = asking.pubsub();
    cluster.hub.hang(true);
    let mut client = Client::new(asking.address()).await;
    for n in 0..CLAIMS {
        client.send(&format!(r#"["{n}","{n}","peer:{}","phx_join",{{}}]"#, id(n))).await;
    }
    wait_until("a full queue", || async { queued(pubsub.metrics()) >= COMMAND * CLAIMS as i64 }).await;
    assert_eq!(pubsub.census().await.silent, ["b"], "the queue is full");
    cluster.hub.hang(false);
    for _ in 0..CLAIMS {
        client.receive_until(r#""status":"#).await;
    }
    cluster.cut_off("a", &asking).await;
    assert_eq!(pubsub.census().await.silent, ["b"], "the node is not linked");
    for node in [asking, other] {
        node.stop().await;
    }
}
