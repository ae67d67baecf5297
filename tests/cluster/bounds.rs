//! What a node does under load while its engine hangs: its memory is bounded, and nothing local waits.

use std::time::{Duration, Instant};

use futures_util::future::join_all;
use serde_json::json;
use tokio::time::sleep;

use crate::engine::{Engine, on_both};
use crate::node::Node;
use crate::peer::Peer;
use crate::traffic::LocalTraffic;

const QUEUE: u64 = 1024 * 1024;
/// What a node may grow in addition to its queue: buffers of sockets, and what an allocator keeps.
const SLACK: u64 = 48 * 1024 * 1024;
/// The clients that send all the time, and the size of their messages.
const SENDERS: usize = 20;
const SIZE: usize = 16 * 1024;
/// The pause between two messages of one client.
const PAUSE: Duration = Duration::from_millis(30);

/// `CLUSTER_HANG_SECONDS` makes it longer.
#[actix_web::test]
async fn memory_is_bounded_and_local_traffic_goes_on_while_the_engine_hangs() {
    on_both(hang).await;
}

async fn hang(engine: Engine) {
    let seconds = std::env::var("CLUSTER_HANG_SECONDS").map_or(5, |text| text.parse().unwrap());
    // nobody counts as dead, so that the engine is waited for
    let sets = [format!("cluster.queue_bytes={QUEUE}"), "cluster.lease=5m".into(), "cluster.timeout=10s".into()];
    let sets = sets.each_ref().map(String::as_str);
    let (here, there) = (Node::start(&engine, &sets).await, Node::start(&engine, &sets).await);
    let other = Peer::new(there.address()).await;
    let mut senders = Vec::new();
    for _ in 0..SENDERS {
        let mut sender = Peer::new(here.address()).await;
        sender.join_room(&sender.id.clone(), json!({})).await;
        sender.signal(&other.id, 0).await.unwrap();
        senders.push(sender);
    }
    let traffic = LocalTraffic::start(here.address()).await;
    traffic.goes_on().await;
    let before = here.process.resident();
    engine.signal("STOP");
    let until = Instant::now() + Duration::from_secs(seconds);
    let pad = "x".repeat(SIZE);
    join_all(senders.iter_mut().map(|sender| flood(sender, &other.id, &pad, until))).await;
    let after = here.process.resident();
    traffic.goes_on().await;
    let dropped = here.metric("cluster_messages_dropped_total{reason=\"overloaded\"}").await;
    let queued = here.metric("cluster_queue_bytes").await;
    println!(
        "{}, {seconds} s: {dropped} dropped messages, {queued} bytes queued, {} local exchanges, memory {} -> {} MiB",
        engine.name(),
        traffic.exchanges(),
        before >> 20,
        after >> 20
    );
    assert!(dropped > 0, "the load exceeds what may wait");
    assert!(queued < 2 * QUEUE, "{queued} bytes wait");
    assert!(after < before + QUEUE + SLACK, "memory grew from {before} to {after} bytes");
    engine.signal("CONT");
    traffic.end().await;
}

/// Sends signals to a peer, and messages to a room whose other members are on other nodes. Nothing is read meanwhile.
async fn flood(sender: &mut Peer, to: &str, pad: &str, until: Instant) {
    let (own, room) = (format!("peer:{}", sender.id), format!("room:{}", sender.id));
    while Instant::now() < until {
        sender.push(&own, "signal", json!({ "peer_id": to, "pad": pad })).await;
        sender.push(&room, "message", json!({ "pad": pad })).await;
        sleep(PAUSE).await;
    }
}
