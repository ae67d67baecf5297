//! An engine that is killed and returns without its data, or is stopped for longer than a lease.

use serde_json::json;

use crate::engine::{Engine, on_both};
use crate::node::{Node, start};
use crate::peer::{Peer, Push, certified, random_id, wait_for_ok};
use crate::traffic::LocalTraffic;
use crate::wait_until;

/// What happens to the engine.
#[derive(Clone, Copy, PartialEq)]
enum Outage {
    /// It is killed, and started again without its data.
    Emptied,
    /// It is stopped, and goes on.
    Stopped,
}

#[actix_web::test]
async fn a_cluster_goes_on_and_recovers_when_the_engine_is_killed_and_returns_empty() {
    on_both(|engine| interrupt(engine, Outage::Emptied)).await;
}

#[actix_web::test]
async fn a_cluster_goes_on_and_recovers_when_the_engine_is_stopped_for_a_while() {
    on_both(|engine| interrupt(engine, Outage::Stopped)).await;
}

async fn interrupt(mut engine: Engine, outage: Outage) {
    let [here, there] = start(&engine, &[]).await;
    let (mut one, mut other) = (Peer::new(here.address()).await, Peer::new(there.address()).await);
    for peer in [&mut one, &mut other] {
        peer.join_room("all", json!({ "meta": { "n": 1 } })).await;
    }
    let keys = [one.id.clone(), other.id.clone()];
    for (peer, key) in [(&mut one, &keys[1]), (&mut other, &keys[0])] {
        peer.hear("the other's entry", |push| push.2.get(key).or(push.2["joins"].get(key)).is_some()).await;
    }
    assert!(one.watch(&other.id).await && other.watch(&one.id).await);
    let traffic = [LocalTraffic::start(here.address()).await, LocalTraffic::start(there.address()).await];

    match outage {
        Outage::Emptied => engine.kill(),
        Outage::Stopped => engine.signal("STOP"),
    }
    // a verdict is never `peer_not_found`: the engine has lost what it knew, the nodes have not
    let refused =
        |result: Result<(), String>| assert!(result == Ok(()) || result == Err("unreachable".into()), "{result:?}");
    refused(one.signal(&other.id, 1).await);
    for node in [&here, &there] {
        node.wait_until_unlinked().await;
    }
    assert_eq!(one.signal(&other.id, 2).await, Err("unreachable".into()));
    assert_eq!(one.signal(&random_id(), 3).await, Err("unreachable".into()), "an id that nobody has");
    traffic[0].goes_on().await;
    for node in [&here, &there] {
        node.wait_until_not_ready().await;
        let (_, why) = node.readiness().await;
        assert!(why.contains("engine"), "{why}");
    }
    traffic[1].goes_on().await;
    let early = Peer::new_certified(here.address()).await;

    match outage {
        Outage::Emptied => engine.restart_empty(),
        Outage::Stopped => engine.signal("CONT"),
    }
    wait_until("signals between nodes work again", || async {
        let result = Peer::new_certified(there.address()).await.signal(&keys[0], 4).await;
        refused(result.clone());
        result.is_ok()
    })
    .await;
    for (peer, to) in [(&mut one, &keys[1]), (&mut other, &keys[0])] {
        wait_for_ok(peer, to, 100).await;
    }
    other.signal(&early.id, 5).await.unwrap();
    for node in [&here, &there] {
        node.wait_until_ready().await;
        node.wait_for_nodes(2).await;
    }
    // rooms and entries are there again, also for a client that joins now
    one.say("all", 6).await;
    other.hear_number(6).await;
    other.say("all", 7).await;
    one.hear_number(7).await;
    let mut new = Peer::new(there.address()).await;
    new.join_room("all", json!({ "presence": true })).await;
    new.hear("the entry of the other node", |push| push.2.get(&keys[0]).or(push.2["joins"].get(&keys[0])).is_some())
        .await;
    for traffic in traffic {
        assert!(traffic.end().await > 10);
    }
    for peer in [&mut one, &mut other] {
        let heard = peer.heard().await;
        let is_false = |push: &Push| match push.1.as_str() {
            "presence_diff" => push.2["leaves"] != json!({}),
            event => ["peer_down", "peer_up", "phx_close"].contains(&event),
        };
        let false_news: Vec<_> = heard.iter().filter(|push| is_false(push)).collect();
        assert!(false_news.is_empty(), "{false_news:?}");
    }
}

/// Each node decides by its own `cluster.isolated`.
#[actix_web::test]
async fn a_node_without_its_engine_grants_the_new_names_that_it_is_configured_to_grant() {
    let mut engine = Engine::redis();
    let nodes = [
        (Node::start(&engine, &["cluster.isolated=all"]).await, true, true),
        (Node::start(&engine, &["cluster.isolated=proven"]).await, true, false),
        (Node::start(&engine, &["cluster.isolated=none"]).await, false, false),
    ];
    engine.kill();
    for (node, proven, random) in &nodes {
        node.wait_until_unlinked().await;
        let (id, secret) = certified();
        assert_eq!(
            reason(Peer::try_join(node.address(), &id, secret).await),
            (!proven).then_some("unreachable".into())
        );
        let joined = Peer::try_join(node.address(), &random_id(), json!({})).await;
        assert_eq!(reason(joined), (!random).then_some("unreachable".into()));
    }
}

/// Both nodes grant one id. Once the engine is back, it has one owner, and both nodes agree on it.
#[actix_web::test]
async fn an_id_that_two_nodes_granted_without_the_engine_has_one_owner_when_it_is_back() {
    let mut engine = Engine::redis();
    let [here, there] = start(&engine, &["cluster.isolated=all"]).await;
    let (mut one, mut other) = (Peer::new(here.address()).await, Peer::new(there.address()).await);
    engine.kill();
    for node in [&here, &there] {
        node.wait_until_unlinked().await;
    }
    let id = random_id();
    let (mut first, mut second) = (Peer::join(here.address(), &id).await, Peer::join(there.address(), &id).await);
    engine.restart_empty();
    let topic = format!("peer:{id}");
    wait_until("the id has one owner, beside the two other ids", || async {
        here.metric("names").await + there.metric("names").await == 3
    })
    .await;
    for (peer, at) in [(&mut one, &id), (&mut other, &id)] {
        wait_for_ok(peer, at, 100).await;
    }
    let heard = [first.heard().await, second.heard().await];
    let closed = heard.iter().map(|pushes| pushes.iter().any(|push| push.0 == topic && push.1 == "phx_close"));
    let signals = heard.iter().map(|pushes| pushes.iter().filter(|push| push.2["n"] == 100).count());
    let (closed, signals): (Vec<bool>, Vec<usize>) = (closed.collect(), signals.collect());
    assert!(closed[0] != closed[1], "one has lost it: {heard:?}");
    assert_eq!(signals, closed.iter().map(|lost| if *lost { 0 } else { 2 }).collect::<Vec<_>>(), "{heard:?}");
}

fn reason(joined: Result<Peer, String>) -> Option<String> {
    joined.err()
}
