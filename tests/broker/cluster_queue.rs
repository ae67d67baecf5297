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

/// A node that waits for its engine, and the hub.
async fn patient_node() -> (MemoryHub, Node) {
    let (hub, config) = (MemoryHub::new(Knobs { timeout: PATIENCE, ..Knobs::default() }), config(&[]));
    let options = ClusterOptions { timeout: PATIENCE, ..options("a", &config) };
    let of_node = hub.clone();
    let adapter = Cluster::new(options, move || Box::new(of_node.engine()));
    let node = Endpoint::new(config).adapter(adapter).start().unwrap();
    wait_until_ready(&node).await;
    (hub, node)
}

#[actix_web::test]
async fn a_claim_counts_until_the_engine_has_answered() {
    const CLAIMS: usize = 20;
    let (hub, node) = patient_node().await;
    hub.hang(true);
    let mut client = Client::new(node.address()).await;
    for n in 0..CLAIMS {
        client.send(&format!(r#"["{n}","{n}","peer:{}","phx_join",{{}}]"#, id(n))).await;
    }
    let pubsub = node.pubsub();
    wait_until("all claims count", || async { queued(pubsub.metrics()) >= COMMAND * CLAIMS as i64 }).await;
    hub.hang(false);
    for _ in 0..CLAIMS {
        client.receive_until(r#""status":"ok""#).await;
    }
    wait_until("an idle node shows 0", || async { queued(pubsub.metrics()) == 0 }).await;
    node.stop().await;
}

#[actix_web::test]
async fn a_subscription_counts_until_the_engine_has_confirmed_it() {
    const ROOMS: usize = 20;
    let (hub, node) = patient_node().await;
    hub.hang(true);
    let mut client = Client::new(node.address()).await;
    for n in 0..ROOMS {
        client.send(&format!(r#"["{n}","{n}","room:{n}","phx_join",{{}}]"#)).await;
    }
    let pubsub = node.pubsub();
    wait_until("all subscriptions count", || async { queued(pubsub.metrics()) >= COMMAND * ROOMS as i64 }).await;
    hub.hang(false);
    for _ in 0..ROOMS {
        client.receive_until(r#""status":"ok""#).await;
    }
    wait_until("an idle node shows 0", || async { queued(pubsub.metrics()) == 0 }).await;
    node.stop().await;
}

/// A signal is answered after `cluster.timeout`, but the engine still has its message.
#[actix_web::test]
async fn a_signal_counts_until_its_message_has_left_the_node() {
    const SIGNALS: usize = 6;
    const SIZE: usize = 50_000;
    let cluster = EngineCluster::new(Knobs::default());
    let (own, hub) = (config(&[]), cluster.hub.clone());
    let limit = SIZE * SIGNALS;
    let options = ClusterOptions { queue_bytes: limit, lease: PATIENCE, ..options("a", &own) };
    let other = cluster.node("b", config(&[])).await;
    let sending = Endpoint::new(own).adapter(Cluster::new(options, move || Box::new(hub.engine()))).start().unwrap();
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
    let cluster = EngineCluster::new(Knobs { timeout: Duration::from_secs(60), ..Knobs::default() });
    let (own, hub) = (config(&[]), cluster.hub.clone());
    let options = ClusterOptions { queue_bytes: COMMAND as usize * CLAIMS, ..options("a", &own) };
    let asking = Endpoint::new(own).adapter(Cluster::new(options, move || Box::new(hub.engine()))).start().unwrap();
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
    cluster.hub.refuse("a", true);
    cluster.hub.unlink("a");
    wait_until("no link", || async { pubsub.metrics().cluster.linked.get() == 0 }).await;
    assert_eq!(pubsub.census().await.silent, ["b"], "the node is not linked");
    for node in [asking, other] {
        node.stop().await;
    }
}
