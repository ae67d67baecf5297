//! Nodes and engines that do not fit: one clear error in the log and at `/readyz`, and the other nodes go on.

use serde_json::json;

use crate::common::redis::RedisServer;
use crate::engine::Engine;
use crate::node::Node;
use crate::peer::{Peer, random_id};
use crate::wait_until;

/// Waits until the node reports this problem, and checks that it is in the log, once, and that the node is not half linked.
async fn expect_problem(node: &Node, problem: &str) {
    wait_until(problem, || async {
        let (status, why) = node.readiness().await;
        status == 503 && why.contains(problem)
    })
    .await;
    let is_it = |line: &&str| line.contains("not linked to the cluster") && line.contains(problem);
    wait_until("the problem is in the log", || async { node.log().lines().any(|line| is_it(&line)) }).await;
    let log = node.log();
    assert_eq!(log.lines().filter(is_it).count(), 1, "{log}");
    assert_eq!(node.metric("cluster_linked").await, 0);
    assert_eq!(Peer::try_join(node.address(), &random_id(), json!({})).await.err().as_deref(), Some("unreachable"));
}

#[actix_web::test]
async fn a_node_with_another_secret_does_not_link_and_the_others_go_on() {
    let engine = Engine::redis();
    let node = Node::start(&engine, &[]).await;
    let (mut one, mut other) = (Peer::new(node.address()).await, Peer::new(node.address()).await);
    let stranger = Node::unlinked(&engine.url(), &["cluster.secret=another-secret-of-at-least-32-bytes"]);
    expect_problem(&stranger, "has another cluster.secret than this node").await;
    one.signal(&other.id.clone(), 1).await.unwrap();
    other.hear_number(1).await;
    assert_eq!((node.readiness().await.0, node.nodes().await), (200, 1));
}

/// A later release says of itself that it reads no message of this one.
#[actix_web::test]
async fn a_node_does_not_link_beside_a_release_that_it_does_not_understand() {
    let engine = RedisServer::start(&[]);
    let url = engine.url();
    let node = Node::linked_to(&url, &[]).await;
    // the status is a protobuf message: field 1 and 2 are the versions that the node sends and reads
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_millis() + 600_000;
    let mut connection = engine.connection();
    let status: &[u8] = &[0x08, 0x09, 0x10, 0x09];
    redis::cmd("HSET").arg("handclasp:status").arg("later-1").arg(status).query::<()>(&mut connection).unwrap();
    redis::cmd("ZADD").arg("handclasp:nodes").arg(now.to_string()).arg("later-1").query::<()>(&mut connection).unwrap();
    let second = Node::unlinked(&url, &[]);
    expect_problem(&second, "the node later-1 runs a release").await;
    // the node that was there goes on, and says so
    wait_until("the node has seen it", || async { node.log().contains("the node later-1 runs a release") }).await;
    assert_eq!((node.readiness().await.0, node.nodes().await), (200, 1));
    let mut peer = Peer::new(node.address()).await;
    peer.signal(&peer.id.clone(), 1).await.unwrap();
    engine.run::<i64>(&["ZREM", "handclasp:nodes", "later-1"]);
    second.wait_until_ready().await;
}

#[actix_web::test]
async fn redis_in_cluster_mode_is_refused() {
    let server = RedisServer::start(&["--cluster-enabled", "yes"]);
    expect_problem(&Node::unlinked(&server.url(), &[]), "runs in cluster mode").await;
}

#[actix_web::test]
async fn an_engine_that_cannot_be_reached_is_reported() {
    expect_problem(&Node::unlinked("redis://127.0.0.1:1", &[]), "127.0.0.1:1: Connection refused").await;
}
