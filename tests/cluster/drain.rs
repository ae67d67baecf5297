//! A node that stops: its clients reconnect to another one, which takes their ids over without a refusal.

use std::rc::Rc;
use std::time::Duration;

use futures_util::future::join_all;
use serde_json::{Value, json};
use tokio::sync::Semaphore;
use tokio::time::sleep;

use crate::engine::{Engine, on_both};
use crate::node::start;
use crate::peer::{Peer, random_id};

/// How many clients move, if `CLUSTER_CLIENTS` does not say otherwise.
const CLIENTS: usize = 300;
/// How many of them connect at a time.
const CONNECTING: usize = 100;

#[actix_web::test]
async fn clients_of_a_node_that_drains_keep_their_ids_and_are_reached_after_their_ok() {
    rlimit::increase_nofile_limit(65_536).unwrap();
    on_both(drain).await;
}

async fn drain(engine: Engine) {
    let count = std::env::var("CLUSTER_CLIENTS").map_or(CLIENTS, |text| text.parse().unwrap());
    // on a busy machine, an answer may take long
    let sets = ["drain.spread=2s", "limits.http_connections_per_ip=50000", "cluster.timeout=2s", "cluster.lease=8s"];
    let [here, mut there] = start(&engine, &sets).await;
    let (from, to) = (there.address(), here.address());
    let turns = Rc::new(Semaphore::new(CONNECTING));
    let joining = (0..count).map(|n| {
        let turns = turns.clone();
        async move {
            let _turn = turns.acquire().await.unwrap();
            // half of them can prove who they are, the others are the first to come
            let (id, secret) = if n % 2 == 0 { crate::peer::certified() } else { (random_id(), json!({})) };
            let peer = Peer::try_join(from, &id, secret.clone()).await;
            (peer.unwrap_or_else(|why| panic!("{why}")), secret)
        }
    });
    let clients = join_all(joining).await;
    there.process.signal("TERM");
    let moved = clients.into_iter().map(|(peer, secret)| {
        let turns = turns.clone();
        async move {
            let id = peer.id.clone();
            peer.until_closed().await;
            let _turn = turns.acquire().await.unwrap();
            join_again(to, &id, secret).await
        }
    });
    let mut moved = join_all(moved).await;
    let mut sender = Peer::new(to).await;
    for (n, peer) in moved.iter_mut().enumerate() {
        assert_eq!(sender.signal(&peer.id.clone(), n as u64).await, Ok(()), "{n}");
        peer.hear_number(n as u64).await;
    }
    assert_eq!(there.process.exit_code().await, Some(0));
    here.wait_for_nodes(1).await;
    assert_eq!(here.metric("names").await as usize, count + 1);
}

/// Joins at the other node. No join may be refused as taken.
async fn join_again(node: std::net::SocketAddr, id: &str, secret: Value) -> Peer {
    for _ in 0..100 {
        match Peer::try_join(node, id, secret.clone()).await {
            Ok(peer) => return peer,
            Err(reason) => assert_ne!(reason, "taken"),
        }
        sleep(Duration::from_millis(20)).await;
    }
    panic!("{id} is not granted");
}
