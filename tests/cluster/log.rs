//! What other programs, or a broken link, make a node write into its log: a limited number of lines.

use serde_json::json;

use crate::common::nats::{NEWEST, NatsServer};
use crate::common::redis::RedisServer;
use crate::node::Node;
use crate::peer::{Peer, random_id};
use crate::wait_until;

/// How many lines of the log contain a text.
fn lines(node: &Node, text: &str) -> usize {
    node.log().lines().filter(|line| line.contains(text)).count()
}

#[actix_web::test]
async fn an_entry_of_another_program_does_not_fill_the_log() {
    let server = RedisServer::start(&[]);
    let node = Node::linked_to(&server.url(), &[]).await;
    let (mut peer, id) = (Peer::new(node.address()).await, random_id());
    let _: String = server.run(&["SET", &format!("handclasp:name:peer:{id}"), "not a holder"]);
    for n in 0..100 {
        assert_eq!(peer.signal(&id, n).await, Err("unreachable".into()));
    }
    let lines = lines(&node, "an entry of another program");
    assert!((1..=20).contains(&lines), "{lines} lines");
}

#[actix_web::test]
async fn messages_that_are_too_large_for_the_server_do_not_fill_the_log() {
    let server = NatsServer::configured(NEWEST, "jetstream { store_dir: $FOLDER }\nmax_payload: 4096");
    let nodes = [Node::linked_to(&server.url(), &[]).await, Node::linked_to(&server.url(), &[]).await];
    let (mut peer, other) = (Peer::new(nodes[0].address()).await, Peer::new(nodes[1].address()).await);
    let (topic, pad) = (format!("peer:{}", peer.id), "x".repeat(8_192));
    for _ in 0..100 {
        let sent = peer.call(&topic, "signal", json!({ "peer_id": other.id, "pad": pad })).await;
        assert_eq!(sent, Err("unreachable".into()));
    }
    let lines = lines(&nodes[0], "larger than max_payload");
    assert!((1..=20).contains(&lines), "{lines} lines");
}

#[actix_web::test]
async fn a_link_that_breaks_again_and_again_does_not_fill_the_log() {
    const BREAKS: u64 = 25;
    let server = RedisServer::start(&[]);
    let node = Node::linked_to(&server.url(), &[]).await;
    for n in 1..=BREAKS {
        node.wait_until_linked().await;
        let _: u64 = server.run(&["CLIENT", "KILL", "TYPE", "pubsub"]);
        wait_until("the node has noticed it", || async { node.metric("cluster_links_lost_total").await >= n }).await;
    }
    let (linked, lost) = (lines(&node, "linked to the cluster as"), lines(&node, "not linked to the cluster"));
    assert!((20..=2 * BREAKS as usize - 10).contains(&(linked + lost)), "{linked} and {lost} lines");
}
