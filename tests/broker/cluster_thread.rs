//! The cluster's thread fails: if it panics, the node exits; if it hangs, the node says so at `/readyz`.

use std::future::ready;
use std::sync::Arc;
use std::sync::mpsc::channel;

use bytes::Bytes;
use handclasp::Topic;
use handclasp::broker::adapter::{Adapter, Answer, BoxFuture, ClusterInbox, Epoch, Packet, Question};
use handclasp::cluster::Cluster;
use handclasp::message::{DeliveryStatus, Payload, Proof};
use handclasp::metrics::Metrics;
use tokio::time::timeout;

use crate::common::memory_engine::{Knobs, Lane, MemoryHub};
use crate::common::shared_adapter::{EngineCluster, options, wait_until_ready};
use crate::common::{Client, TIMEOUT, config, get, wait_until};

/// Why a node exits.
const STOPPED: &str = "the cluster's thread has stopped";

/// The lanes of a call in the task that keeps the link, and of a call while a command is handled.
fn lanes() -> [Lane; 2] {
    [Lane::Lease, Lane::Subscription("room:x".into())]
}

fn panic_for_the_test() {
    panic!("a failure of the engine, for the test");
}

#[actix_web::test]
async fn a_node_exits_when_the_clusters_thread_panics() {
    for lane in lanes() {
        let cluster = EngineCluster::new(Knobs::default());
        let node = cluster.node("a", config(&[])).await;
        let mut client = Client::new(node.address()).await;
        let serving = actix_web::rt::spawn(node.run_until_signal());
        cluster.hub.break_next("a", lane, panic_for_the_test);
        client.send(r#"["1","1","room:x","phx_join",{}]"#).await;
        let result = timeout(TIMEOUT, serving).await.expect("the node stops").unwrap();
        assert_eq!(result.unwrap_err().to_string(), STOPPED);
    }
}

#[actix_web::test]
async fn a_node_is_not_ready_when_the_clusters_thread_has_panicked() {
    for lane in lanes() {
        let cluster = EngineCluster::new(Knobs::default());
        let (node, other) = (cluster.node("a", config(&[])).await, cluster.node("b", config(&[])).await);
        let mut client = Client::new(node.address()).await;
        cluster.hub.break_next("a", lane, panic_for_the_test);
        client.send(r#"["1","1","room:x","phx_join",{}]"#).await;
        let address = node.address();
        let stopped = (503, format!("{STOPPED}\n"));
        wait_until("the node is not ready", || async { get(address, "/readyz").await == stopped }).await;
        assert_eq!(get(other.address(), "/readyz").await.0, 200);
        // nothing waits for the thread
        client.receive_until("phx_reply").await;
        node.stop().await;
        other.stop().await;
    }
}

#[actix_web::test]
async fn a_node_is_not_ready_while_the_clusters_thread_hangs() {
    let cluster = EngineCluster::new(Knobs::default());
    let node = cluster.node("a", config(&[])).await;
    let (mut one, mut other) = (Client::new(node.address()).await, Client::new(node.address()).await);
    for client in [&mut one, &mut other] {
        client.join("1", "room:x", "{}").await;
    }
    let (go_on, blocked) = channel::<()>();
    cluster.hub.break_next("a", Lane::Lease, move || {
        let _ = blocked.recv();
    });
    let address = node.address();
    let hangs = (503, "the cluster's thread has not run for 2s\n".to_owned());
    wait_until("the node is not ready", || async { get(address, "/readyz").await == hangs }).await;
    one.send(r#"["1","2","room:x","msg",{}]"#).await;
    other.expect(r#"[null,null,"room:x","msg",{}]"#).await;
    drop(go_on);
    wait_until_ready(&node).await;
    node.stop().await;
}

/// A node that panics when a message of another node arrives.
struct Panicking;

impl ClusterInbox for Panicking {
    fn deliver(&self, _: &Topic, _: Packet) -> DeliveryStatus {
        DeliveryStatus::Absent
    }
    fn publish(&self, _: &[Topic], _: Packet) {
        panic!("a failure in the core, for the test");
    }
    fn give_up(&self, _: &Topic, _: Epoch, _: Option<Proof>) -> BoxFuture<bool> {
        Box::pin(ready(true))
    }
    fn revoke(&self, _: &Topic, _: Epoch) {}
    fn stale(&self, _: Vec<(Topic, Epoch)>) -> BoxFuture<Option<Vec<(Topic, Epoch)>>> {
        Box::pin(ready(None))
    }
    fn names(&self, _: Option<Topic>, _: usize) -> BoxFuture<Vec<(Topic, Epoch)>> {
        Box::pin(ready(Vec::new()))
    }
    fn resync(&self) {}
    fn node_down(&self, _: &str) {}
    fn node_up(&self, _: &str) {}
    fn answer(&self, _: Question) -> BoxFuture<Answer> {
        Box::pin(ready(Answer::Presence(Default::default())))
    }
    fn metrics(&self) -> Arc<Metrics> {
        Arc::default()
    }
    fn count_memory(&self, bytes: Bytes) -> Bytes {
        bytes
    }
}

#[actix_web::test]
async fn a_node_exits_when_the_receipt_of_a_message_panics() {
    let hub = MemoryHub::new(Knobs::default());
    let adapters = ["a", "b"].map(|name| {
        let hub = hub.clone();
        let adapter = Cluster::new(options(name, &config(&[])), move || Box::new(hub.engine()));
        adapter.start(Arc::new(Panicking)).unwrap();
        adapter
    });
    let [a, b] = &adapters;
    wait_until("both are linked", || async { a.ready().is_ok() && b.ready().is_ok() }).await;
    let topic = Topic::parse("room:x").unwrap();
    b.subscribe(&topic).await;
    a.publish(std::slice::from_ref(&topic), Packet::Broadcast { event: "msg".into(), payload: Payload::empty() });
    assert_eq!(timeout(TIMEOUT, b.failed()).await.expect("the node fails"), STOPPED);
    assert!(a.ready().is_ok());
}
