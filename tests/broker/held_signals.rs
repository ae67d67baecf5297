//! Signals held for absent peers: their limit per client IP, which must not affect other clients.

use handclasp::Node;
use handclasp::message::DeliveryStatus;

use crate::common::{Client, node, wait_until};

const SETS: &[&str] =
    &[r#"server.trusted_proxies=["127.0.0.1"]"#, "held_signals.bytes_per_ip=10_000", "peerjs.expire_timeout=1h"];

/// A PeerJS client with this address.
async fn client(node: &Node, id: &str, address: &str) -> Client {
    let path = format!("/peerjs?key=peerjs&id={id}&token=t");
    let mut client = Client::open(node.address(), &path, &[&format!("X-Forwarded-For: {address}")]).await;
    client.receive_until("OPEN").await;
    client
}

/// Sends an offer of 4,000 bytes.
async fn offer(client: &mut Client, to: &str) {
    let pad = "x".repeat(4_000);
    client.send(&format!(r#"{{"type":"OFFER","dst":"{to}","payload":"{pad}"}}"#)).await;
}

/// Waits until this many signals are held, and this many were rejected.
async fn wait_for_counts(node: &Node, held: usize, refused: u64) {
    let pubsub = node.pubsub();
    let matches = || async {
        (pubsub.stats().await.held, pubsub.metrics().signals.of(DeliveryStatus::Overloaded)) == (held, refused)
    };
    wait_until(&format!("{held} held, {refused} rejected"), matches).await;
}

#[actix_web::test]
async fn the_held_bytes_of_an_address_are_limited_and_released() {
    let node = node(SETS);
    let mut greedy = client(&node, "greedy", "2001:db8::1").await;
    for n in 0..4 {
        offer(&mut greedy, &format!("absent{n}")).await;
    }
    wait_for_counts(&node, 2, 2).await;
    // another address of the same network shares the limit; one of another network has its own, even for the same peer
    let mut ally = client(&node, "ally", "2001:db8::2").await;
    offer(&mut ally, "absent9").await;
    wait_for_counts(&node, 2, 3).await;
    let mut modest = client(&node, "modest", "2001:db8:0:1::1").await;
    offer(&mut modest, "absent0").await;
    offer(&mut modest, "absent9").await;
    wait_for_counts(&node, 4, 3).await;
    // delivered signals no longer count
    let mut late = client(&node, "absent0", "198.51.100.1").await;
    for from in ["greedy", "modest"] {
        late.receive_until(&format!(r#""src":"{from}""#)).await;
    }
    wait_for_counts(&node, 2, 3).await;
    offer(&mut greedy, "absent5").await;
    offer(&mut greedy, "absent6").await;
    wait_for_counts(&node, 3, 4).await;
}
