//! Signals that wait for a peer who is not there: whose they are, and that nobody's keep out everybody else's.

use handclasp::Node;
use handclasp::message::DeliveryStatus;

use crate::common::{Client, node, wait_until};

const SETS: &[&str] =
    &[r#"server.trusted_proxies=["127.0.0.1"]"#, "held_signals.bytes_per_ip=10_000", "peerjs.expire_timeout=1h"];

/// A PeerJS client that comes from this address.
async fn client(node: &Node, id: &str, address: &str) -> Client {
    let path = format!("/peerjs?key=peerjs&id={id}&token=t");
    let mut client = Client::open(node.address(), &path, &[&format!("X-Forwarded-For: {address}")]).await;
    client.receive_until("OPEN").await;
    client
}

/// Offers 4,000 bytes.
async fn offer(client: &mut Client, to: &str) {
    let pad = "x".repeat(4_000);
    client.send(&format!(r#"{{"type":"OFFER","dst":"{to}","payload":"{pad}"}}"#)).await;
}

/// Waits until so many signals wait, and so many were told that they could not.
async fn come_to(node: &Node, held: usize, refused: u64) {
    let pubsub = node.pubsub();
    let is_so = || async {
        (pubsub.census().await.held, pubsub.metrics().signals.of(DeliveryStatus::Overloaded)) == (held, refused)
    };
    wait_until(&format!("{held} to wait, {refused} not to"), is_so).await;
}

#[actix_web::test]
async fn one_address_has_its_share_and_gets_it_back() {
    let node = node(SETS);
    let mut greedy = client(&node, "greedy", "2001:db8::1").await;
    for n in 0..4 {
        offer(&mut greedy, &format!("absent{n}")).await;
    }
    come_to(&node, 2, 2).await;
    // the next of its network has no share of its own; somebody elsewhere has, for the same name too
    let mut ally = client(&node, "ally", "2001:db8::2").await;
    offer(&mut ally, "absent9").await;
    come_to(&node, 2, 3).await;
    let mut modest = client(&node, "modest", "2001:db8:0:1::1").await;
    offer(&mut modest, "absent0").await;
    offer(&mut modest, "absent9").await;
    come_to(&node, 4, 3).await;
    // what has been taken takes no share any more
    let mut late = client(&node, "absent0", "198.51.100.1").await;
    for from in ["greedy", "modest"] {
        late.receive_until(&format!(r#""src":"{from}""#)).await;
    }
    come_to(&node, 2, 3).await;
    offer(&mut greedy, "absent5").await;
    offer(&mut greedy, "absent6").await;
    come_to(&node, 3, 4).await;
}
