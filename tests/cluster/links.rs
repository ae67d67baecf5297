//! A node whose link to the engine breaks, while the engine and the other nodes are well.

use std::time::Duration;

use serde_json::json;

use crate::engine::{Engine, on_both};
use crate::node::Node;
use crate::peer::{Peer, certified, wait_for_ok};
use crate::proxy::{Proxy, Weather};
use crate::traffic::LocalTraffic;
use crate::wait_until;

/// A node beside the engine, and one behind a proxy.
async fn two_nodes(engine: &Engine, sets: &[&str]) -> (Node, Node, Proxy) {
    let proxy = Proxy::start(engine.port()).await;
    let here = Node::start(engine, sets).await;
    let there = Node::linked_to(&engine.url_at(proxy.port), sets).await;
    for node in [&here, &there] {
        node.wait_for_nodes(2).await;
    }
    (here, there, proxy)
}

/// Each break is noticed, and mended. What was answered `ok` while the node was linked arrives once.
#[actix_web::test]
async fn a_node_links_again_after_each_kind_of_break() {
    on_both(break_the_link).await;
}

async fn break_the_link(engine: Engine) {
    // on a busy machine, an answer may take long, the more so when each of its parts is late
    let (here, there, proxy) = two_nodes(&engine, &["cluster.timeout=2s", "cluster.lease=8s"]).await;
    let (mut one, mut other) = (Peer::new(here.address()).await, Peer::new(there.address()).await);
    for peer in [&mut one, &mut other] {
        peer.join_room("all", json!({})).await;
    }
    let traffic = LocalTraffic::start(there.address()).await;
    let mut sent = Vec::new();
    let mut n = 0;
    for weather in [Weather::Cut, Weather::HalfClosed, Weather::BlackHole] {
        proxy.set(weather);
        there.wait_until_unlinked().await;
        traffic.goes_on().await;
        assert_eq!(other.signal(&one.id.clone(), 0).await, Err("unreachable".into()), "{weather:?}");
        proxy.set(Weather::Fair);
        there.wait_until_linked().await;
        for _ in 0..20 {
            n += 1;
            wait_for_ok(&mut one, &other.id, n).await;
            other.hear_number(n).await;
            sent.push(n);
            n += 1;
            wait_for_ok(&mut other, &one.id, n).await;
            one.hear_number(n).await;
        }
        n += 1;
        one.say("all", n).await;
        other.hear_number(n).await;
    }
    assert_eq!(there.metric("cluster_links_lost_total").await, 3);
    assert_eq!(here.metric("cluster_links_lost_total").await, 0);
    // late is not lost: the link stays
    proxy.set(Weather::Slow(Duration::from_millis(60)));
    for n in 1_000..1_005 {
        one.signal(&other.id.clone(), n).await.unwrap();
        other.signal(&one.id.clone(), n).await.unwrap();
        other.hear_number(n).await;
        one.hear_number(n).await;
    }
    assert_eq!(there.metric("cluster_links_lost_total").await, 3);
    traffic.end().await;
    let repeated =
        |heard: Vec<crate::peer::Push>| heard.into_iter().filter(|push| push.2["n"].as_u64() > Some(0)).count();
    assert_eq!((repeated(one.heard().await), repeated(other.heard().await)), (0, 0), "nothing arrives twice");
}

/// The other node was linked all the time, so nothing makes it enter its names again.
#[actix_web::test]
async fn a_name_that_was_taken_over_without_the_engine_leaves_its_former_owner() {
    on_both(take_over_without_the_engine).await;
}

async fn take_over_without_the_engine(engine: Engine) {
    let (here, there, proxy) = two_nodes(&engine, &[]).await;
    let (id, secret) = certified();
    let mut first = Peer::try_join(here.address(), &id, secret.clone()).await.unwrap_or_else(|why| panic!("{why}"));
    // the node behind the proxy has seen a later epoch
    let mut other = Peer::new(there.address()).await;
    let mut one = Peer::new(here.address()).await;
    proxy.set(Weather::Cut);
    there.wait_until_unlinked().await;
    let mut second = Peer::try_join(there.address(), &id, secret).await.unwrap_or_else(|why| panic!("{why}"));
    proxy.set(Weather::Fair);
    first.hear("the loss of the id", |push| push.1 == "phx_close").await;
    wait_until("both nodes agree", || async { here.nodes().await == 2 && there.nodes().await == 2 }).await;
    wait_for_ok(&mut one, &id, 1).await;
    wait_for_ok(&mut other, &id, 2).await;
    second.hear_number(1).await;
    second.hear_number(2).await;
}

/// A name that is granted without the engine is announced once the engine is back.
#[actix_web::test]
async fn watchers_learn_of_a_name_that_was_granted_without_the_engine() {
    on_both(grant_without_the_engine).await;
}

async fn grant_without_the_engine(engine: Engine) {
    let (here, there, proxy) = two_nodes(&engine, &[]).await;
    let (id, secret) = certified();
    let mut watcher = Peer::new(here.address()).await;
    assert!(!watcher.watch(&id).await);
    proxy.set(Weather::Cut);
    there.wait_until_unlinked().await;
    let joined = Peer::try_join(there.address(), &id, secret).await;
    assert!(joined.is_ok(), "{:?}", joined.err());
    proxy.set(Weather::Fair);
    assert_eq!(watcher.hear_event("peer_up").await["peer_id"], id);
}
