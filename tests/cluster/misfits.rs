//! Nodes and engines that do not fit: one clear error in the log and at `/readyz`, and the other nodes go on.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use actix_web::rt;
use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use serde_json::json;
use tokio::task::JoinHandle;
use tokio::time::sleep;

use crate::common::redis::RedisServer;
use crate::engine::{Engine, on_both};
use crate::node::Node;
use crate::peer::{Peer, random_id};
use crate::wait_until;

/// The lease of the nodes.
const LEASE: Duration = Duration::from_secs(2);

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
    on_both(start_with_another_secret).await;
}

async fn start_with_another_secret(engine: Engine) {
    let node = Node::start(&engine, &[]).await;
    let (mut one, mut other) = (Peer::new(node.address()).await, Peer::new(node.address()).await);
    let stranger = Node::unlinked(&engine.url(), &["cluster.secret=another-secret-of-at-least-32-bytes"]);
    expect_problem(&stranger, "has another cluster.secret than this node").await;
    one.signal(&other.id.clone(), 1).await.unwrap();
    other.hear_number(1).await;
    assert_eq!((node.readiness().await.0, node.nodes().await), (200, 1));
}

/// What a later release says of itself: it reads no message of this one. It is a protobuf message: field 1 and 2 are the
/// versions that the node sends and reads.
const LATER: [u8; 4] = [0x08, 0x09, 0x10, 0x09];

/// Enters a node of a later release, and keeps it alive until the task ends.
async fn stay_as_later_release(engine: &Engine) -> JoinHandle<()> {
    match engine {
        Engine::Redis(server) => {
            let mut connection = server.connection();
            redis::cmd("HSET").arg("handclasp:status").arg("later-1").arg(&LATER).query::<()>(&mut connection).unwrap();
            rt::spawn(async move {
                loop {
                    // by the clock of this host, as the server does
                    let until = SystemTime::now().duration_since(UNIX_EPOCH).unwrap() + LEASE;
                    let mut command = redis::cmd("ZADD");
                    command.arg("handclasp:nodes").arg(until.as_millis().to_string()).arg("later-1");
                    command.query::<()>(&mut connection).unwrap();
                    sleep(LEASE / 4).await;
                }
            })
        }
        Engine::Nats(server) => {
            let client = async_nats::connect(server.url()).await.unwrap();
            let subject = format!("$KV.handclasp-nodes.{}", BASE64_URL_SAFE_NO_PAD.encode("later-1"));
            rt::spawn(async move {
                loop {
                    client.publish(subject.clone(), LATER.to_vec().into()).await.unwrap();
                    sleep(LEASE / 4).await;
                }
            })
        }
    }
}

#[actix_web::test]
async fn a_node_does_not_link_beside_a_release_that_it_does_not_understand() {
    on_both(start_beside_a_later_release).await;
}

async fn start_beside_a_later_release(engine: Engine) {
    let url = engine.url();
    let node = Node::linked_to(&url, &[]).await;
    let later = stay_as_later_release(&engine).await;
    wait_until("the node has seen it", || async { node.log().contains("the node later-1 runs a release") }).await;
    let second = Node::unlinked(&url, &[]);
    expect_problem(&second, "the node later-1 runs a release").await;
    // the node that was there goes on
    assert_eq!((node.readiness().await.0, node.nodes().await), (200, 1));
    let mut peer = Peer::new(node.address()).await;
    peer.signal(&peer.id.clone(), 1).await.unwrap();
    later.abort();
    second.wait_until_ready().await;
}

#[actix_web::test]
async fn redis_in_cluster_mode_is_refused() {
    let server = RedisServer::start(&["--cluster-enabled", "yes"]);
    expect_problem(&Node::unlinked(&server.url(), &[]), "runs in cluster mode").await;
}

#[actix_web::test]
async fn an_engine_that_cannot_be_reached_is_reported() {
    for engine in ["redis", "nats"] {
        expect_problem(&Node::unlinked(&format!("{engine}://127.0.0.1:1"), &[]), "Connection refused").await;
    }
}
