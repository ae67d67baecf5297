//! The directory agrees with what the nodes hold, also after requests to the engine have had no answer.

use std::time::Duration;

use crate::common::memory_engine::Knobs;
use crate::common::shared_adapter::{EngineCluster, is_linked};
use crate::common::{Client, UNLIMITED, certified, id, wait_until};

fn join(id: &str, params: &str) -> String {
    format!(r#"["1","1","peer:{id}","phx_join",{params}]"#)
}

#[actix_web::test]
async fn names_that_were_released_without_the_engine_leave_the_directory_and_their_watchers_are_told() {
    const NAMES: usize = 250;
    let cluster = EngineCluster::new(Knobs::default());
    let (a, b) = cluster.two_nodes(&UNLIMITED).await;
    let mut owner = Client::new(a.address()).await;
    for n in 0..NAMES {
        owner.join(&n.to_string(), &format!("peer:{}", id(n)), "{}").await;
    }
    let mut watcher = Client::new(b.address()).await;
    watcher.join("1", &format!("peer:{}", id(NAMES)), "{}").await;
    let watch = format!(r#"["1","2","peer:{}","watch",{{"peer_id":"{}"}}]"#, id(NAMES), id(0));
    watcher.send(&watch).await;
    watcher.receive_until(r#""online":true"#).await;
    cluster.cut_off("a", &a).await;
    drop(owner);
    let pubsub = a.pubsub();
    wait_until("the node owns no name", || async { pubsub.stats().await.names == 0 }).await;
    cluster.reconnect("a", &a).await;
    watcher.receive_until("peer_down").await;
    wait_until("no entry is left", || async { cluster.hub.names().len() == 1 }).await;
}

#[actix_web::test]
async fn a_claim_without_an_answer_leaves_no_entry() {
    let cluster = EngineCluster::new(Knobs { timeout: Duration::from_millis(200), ..Knobs::default() });
    let (a, _b) = cluster.two_nodes(&UNLIMITED).await;
    let mut client = Client::new(a.address()).await;
    cluster.hub.hang(true);
    client.send(&join(&id(1), "{}")).await;
    client.receive_until("unreachable").await;
    cluster.hub.hang(false);
    // one more claim, which takes effect after that one
    client.join("2", &format!("peer:{}", id(2)), "{}").await;
    wait_until("the other entry has been released", || async {
        cluster.hub.names().into_keys().eq([format!("peer:{}", id(2))])
    })
    .await;
    assert!(is_linked(&a));
}

/// An id that no secret proves belongs to the client that has joined it first, also when the engine has lost its data.
#[actix_web::test]
async fn nobody_takes_an_id_whose_owner_has_not_entered_it_again() {
    let cluster = EngineCluster::new(Knobs::default());
    let (a, b) = cluster.two_nodes(&UNLIMITED).await;
    let mut owner = Client::new(a.address()).await;
    owner.join("1", &format!("peer:{}", id(1)), "{}").await;
    cluster.cut_off("a", &a).await;
    cluster.cut_off("b", &b).await;
    cluster.hub.restart_empty();
    cluster.reconnect("b", &b).await;
    let mut other = Client::new(b.address()).await;
    other.send(&join(&id(1), "{}")).await;
    other.receive_until("unreachable").await;
    let (certified, secret) = certified();
    other.join("2", &format!("peer:{certified}"), &secret.to_string()).await;
    cluster.reconnect("a", &a).await;
    wait_until("the owner's node has entered the id", || async { cluster.hub.names().len() == 2 }).await;
    owner.send(r#"[null,"9","phoenix","heartbeat",{}]"#).await;
    owner.receive_until(r#""status":"ok""#).await;
    let names = cluster.hub.names();
    assert_eq!(names[&format!("peer:{}", id(1))].0, "a");
}

/// The node without the engine has granted nothing before, and has asked for no name.
#[actix_web::test]
async fn a_grant_without_the_engine_is_later_than_all_grants_before() {
    let cluster = EngineCluster::new(Knobs::default());
    let (a, b) = cluster.two_nodes(&UNLIMITED).await;
    let (certified, secret) = certified();
    let topic = format!("peer:{certified}");
    let mut first = Client::new(a.address()).await;
    for n in 0..3 {
        first.join(&n.to_string(), &format!("peer:{}", id(n)), "{}").await;
    }
    first.join("3", &topic, &secret.to_string()).await;
    // with a new link comes a heartbeat
    cluster.cut_off("b", &b).await;
    cluster.reconnect("b", &b).await;
    cluster.cut_off("b", &b).await;
    let mut second = Client::new(b.address()).await;
    second.join("1", &topic, &secret.to_string()).await;
    cluster.reconnect("b", &b).await;
    first.receive_until("phx_close").await;
    wait_until("the directory has the later grant", || async { cluster.hub.names()[&topic].0 == "b" }).await;
}
