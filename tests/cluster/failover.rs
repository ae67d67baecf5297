//! An engine of several servers loses one: the primary of Redis, with Sentinel, or one of three NATS servers.

use std::net::SocketAddr;

use serde_json::json;
use tokio::time::timeout;

use crate::common::nats::NatsServer;
use crate::common::redis::RedisServer;
use crate::node::Node;
use crate::peer::{Peer, random_id, wait_for_ok};
use crate::traffic::LocalTraffic;
use crate::{PATIENCE, wait_until};

#[actix_web::test]
async fn a_cluster_follows_the_sentinels_to_another_primary() {
    let mut primary = RedisServer::start(&[]);
    let port = primary.port.to_string();
    let replicas = [(); 2].map(|()| RedisServer::start(&["--replicaof", "127.0.0.1", &port]));
    let sentinels = [(); 3].map(|()| RedisServer::sentinel(primary.port));
    for sentinel in &sentinels {
        wait_until("each Sentinel knows the others and the replicas", || async { sentinel.knows_others(2) }).await;
    }
    let urls = sentinels.each_ref().map(|sentinel| format!("redis+sentinel://127.0.0.1:{}/primary", sentinel.port));
    lose_a_server(&urls, true, || primary.kill()).await;
    let is_primary = |server: &RedisServer| server.info("connected_slaves") == 1;
    assert!(replicas.iter().any(is_primary), "a replica is the primary, and has the other one");
}

#[actix_web::test]
async fn a_cluster_goes_on_with_two_of_three_nats_servers() {
    let mut servers = NatsServer::cluster(3);
    let urls: Vec<String> = servers.iter().map(NatsServer::url).collect();
    // the nodes choose their servers at random, and may use the other two
    lose_a_server(&urls, false, || servers[0].kill()).await;
}

/// A client that has joined a random id, once the servers have agreed on who leads them.
async fn newcomer(node: SocketAddr) -> Peer {
    let joined = async {
        loop {
            if let Ok(peer) = Peer::try_join(node, &random_id(), json!({})).await {
                return peer;
            }
        }
    };
    timeout(PATIENCE, joined).await.expect("the engine grants names again")
}

/// Two nodes go on when `kill` has killed one of the servers. `is_used`: that one of them uses for certain.
async fn lose_a_server(urls: &[String], is_used: bool, kill: impl FnOnce()) {
    let list = urls.iter().map(|url| format!("\"{url}\"")).collect::<Vec<_>>().join(",");
    let list = format!("cluster.urls=[{list}]");
    // the servers may need some seconds to agree on who leads them: no node is dead meanwhile
    let nodes = [(); 2].map(|()| Node::unlinked(&urls[0], &[&list, "cluster.lease=10s"]));
    for node in &nodes {
        node.wait_until_ready().await;
        node.wait_for_nodes(2).await;
    }
    let (mut one, mut other) = (Peer::new(nodes[0].address()).await, Peer::new(nodes[1].address()).await);
    for peer in [&mut one, &mut other] {
        peer.join_room("all", json!({})).await;
    }
    assert!(one.watch(&other.id).await);
    one.signal(&other.id, 1).await.unwrap();
    let traffic = LocalTraffic::start(nodes[0].address()).await;
    kill();
    wait_until("a node notices it", || async {
        let lost =
            nodes[0].metric("cluster_links_lost_total").await + nodes[1].metric("cluster_links_lost_total").await;
        lost > 0 || !is_used
    })
    .await;
    traffic.goes_on().await;
    for node in &nodes {
        node.wait_until_linked().await;
        node.wait_until_ready().await;
    }
    wait_for_ok(&mut one, &other.id, 2).await;
    wait_for_ok(&mut other, &one.id, 3).await;
    let mut new = newcomer(nodes[1].address()).await;
    wait_for_ok(&mut one, &new.id, 4).await;
    new.hear_number(4).await;
    one.say("all", 5).await;
    other.hear_number(5).await;
    other.say("all", 6).await;
    one.hear_number(6).await;
    traffic.end().await;
    let heard = one.heard().await;
    assert!(heard.iter().all(|push| push.1 != "peer_down"), "{heard:?}");
}
