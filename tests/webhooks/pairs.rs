//! Order: of one peer, up and down alternate, however often its client reloads.

use std::time::Duration;

use serde_json::Value;

use crate::common::rng::Rng;
use crate::common::{Client, UNLIMITED, certified, wait_until_empty};
use crate::events::node;
use crate::receiver::{Receiver, assert_pairs};

const PEERS: usize = 1_000;
const SETS: [&str; 2] = ["limits.sockets_per_ip=10000", "limits.http_connections_per_ip=10000"];

/// A peer whose id only it can join.
struct Peer {
    topic: String,
    secret: Value,
    client: Option<Client>,
}

async fn join_all(peers: &mut [Peer], node: &handclasp::Node) {
    for Peer { topic, secret, client } in peers.iter_mut().filter(|peer| peer.client.is_none()) {
        let mut new = Client::new(node.address()).await;
        new.join("1", topic, &secret.to_string()).await;
        *client = Some(new);
    }
}

fn peers(count: usize) -> Vec<Peer> {
    let peer = |(id, secret)| Peer { topic: format!("peer:{id}"), secret, client: None };
    (0..count).map(|_| peer(certified())).collect()
}

#[actix_web::test]
async fn no_event_tells_of_reloads_within_the_grace_period() {
    let receiver = Receiver::start();
    let node = node(&receiver, &[&UNLIMITED[..], &SETS, &["webhooks.grace_period=5m"]].concat());
    let mut peers = peers(PEERS);
    join_all(&mut peers, &node).await;
    peers.iter_mut().step_by(2).for_each(|peer| peer.client = None);
    join_all(&mut peers, &node).await;
    peers.iter_mut().for_each(|peer| peer.client = None);
    wait_until_empty(&node).await;
    crate::common::wait_until("all ups", || async { receiver.events().len() > PEERS }).await;
    assert_pairs(&receiver.events());
    assert_eq!(receiver.short().iter().filter(|event| event.starts_with("peer_up")).count(), PEERS);
    node.drain().await;
    let last = receiver.short().pop().unwrap();
    assert!(last.starts_with("node_down"), "{last}");
    assert_eq!(receiver.events().len(), 1 + PEERS + 1, "all peers at once, by the end of the node");
}

#[actix_web::test]
async fn up_and_down_alternate_while_peers_reload_at_random() {
    let receiver = Receiver::start();
    let node = node(&receiver, &[&UNLIMITED[..], &SETS, &["webhooks.grace_period=20ms"]].concat());
    let (mut peers, mut rng) = (peers(PEERS / 10), Rng(7));
    for _ in 0..30 {
        join_all(&mut peers, &node).await;
        peers.iter_mut().filter(|_| rng.below(3) == 0).for_each(|peer| peer.client = None);
        tokio::time::sleep(Duration::from_millis(rng.below(40))).await;
    }
    drop(peers);
    wait_until_empty(&node).await;
    let balance = || {
        let events = receiver.short();
        let count = |kind: &str| events.iter().filter(|event| event.starts_with(kind)).count();
        (count("peer_up"), count("peer_down"))
    };
    crate::common::wait_until("as many downs as ups", || async {
        balance().0 >= PEERS / 10 && balance().0 == balance().1
    })
    .await;
    assert_pairs(&receiver.events());
    node.stop().await;
}
