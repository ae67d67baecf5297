//! The directory agrees with what the nodes hold, also after requests to the engine have had no answer.

use std::time::Duration;

use handclasp::Node;

use crate::common::memory_engine::Knobs;
use crate::common::shared_adapter::{EngineCluster, wait_until_acquainted};
use crate::common::{Client, UNLIMITED, certified, config, id, wait_until};

/// Two nodes that know each other.
async fn two_nodes(knobs: Knobs) -> (EngineCluster, Node, Node) {
    let cluster = EngineCluster::new(knobs);
    let (a, b) = (cluster.node("a", config(&UNLIMITED)).await, cluster.node("b", config(&UNLIMITED)).await);
    wait_until_acquainted([&a, &b]).await;
    (cluster, a, b)
}

fn is_linked(node: &Node) -> bool {
    node.pubsub().metrics().cluster.linked.get() == 1
}

/// Cuts a node off from the engine until [`let_link`].
async fn keep_unlinked(cluster: &EngineCluster, name: &str, node: &Node) {
    cluster.hub.refuse(name, true);
    cluster.hub.unlink(name);
    wait_until("the node has lost its link", || async { !is_linked(node) }).await;
}

async fn let_link(cluster: &EngineCluster, name: &str, node: &Node) {
    cluster.hub.refuse(name, false);
    wait_until("the node is linked again", || async { is_linked(node) }).await;
}

fn join(id: &str, params: &str) -> String {
    format!(r#"["1","1","peer:{id}","phx_join",{params}]"#)
}

#[actix_web::test]
async fn names_that_were_released_without_the_engine_leave_the_directory_and_their_watchers_are_told() {
    const NAMES: usize = 250;
    let (cluster, a, b) = two_nodes(Knobs::default()).await;
    let mut owner = Client::new(a.address()).await;
    for n in 0..NAMES {
        owner.join(&n.to_string(), &format!("peer:{}", id(n)), "{}").await;
    }
    let mut watcher = Client::new(b.address()).await;
    watcher.join("1", &format!("peer:{}", id(NAMES)), "{}").await;
    let watch = format!(r#"["1","2","peer:{}","watch",{{"peer_id":"{}"}}]"#, id(NAMES), id(0));
    watcher.send(&watch).await;
    watcher.receive_until(r#""online":true"#).await;
    keep_unlinked(&cluster, "a", &a).await;
    drop(owner);
    let pubsub = a.pubsub();
    wait_until("the node owns no name", || async { pubsub.stats().await.names == 0 }).await;
    let_link(&cluster, "a", &a).await;
    watcher.receive_until("peer_down").await;
    wait_until("no entry is left", || async { cluster.hub.names().len() == 1 }).await;
}

#[actix_web::test]
async fn a_claim_without_an_answer_leaves_no_entry() {
    let (cluster, a, _b) = two_nodes(Knobs { timeout: Duration::from_millis(200), ..Knobs::default() }).await;
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
    let (cluster, a, b) = two_nodes(Knobs::default()).await;
    let mut owner = Client::new(a.address()).await;
    owner.join("1", &format!("peer:{}", id(1)), "{}").await;
    keep_unlinked(&cluster, "a", &a).await;
    keep_unlinked(&cluster, "b", &b).await;
    cluster.hub.restart_empty();
    let_link(&cluster, "b", &b).await;
    let mut other = Client::new(b.address()).await;
    other.send(&join(&id(1), "{}")).await;
    other.receive_until("unreachable").await;
    let (certified, secret) = certified();
    other.join("2", &format!("peer:{certified}"), &secret.to_string()).await;
    let_link(&cluster, "a", &a).await;
    wait_until("the owner's node has entered the id", || async { cluster.hub.names().len() == 2 }).await;
    owner.send(r#"[null,"9","phoenix","heartbeat",{}]"#).await;
    owner.receive_until(r#""status":"ok""#).await;
    let names = cluster.hub.names();
    assert_eq!(names[&format!("peer:{}", id(1))].0, "a");
}

/// The node without the engine has granted nothing before, and has asked for no name.
#[actix_web::test]
async fn a_grant_without_the_engine_is_later_than_all_grants_before() {
    let (cluster, a, b) = two_nodes(Knobs::default()).await;
    let (certified, secret) = certified();
    let topic = format!("peer:{certified}");
    let mut first = Client::new(a.address()).await;
    for n in 0..3 {
        first.join(&n.to_string(), &format!("peer:{}", id(n)), "{}").await;
    }
    first.join("3", &topic, &secret.to_string()).await;
    // with a new link comes a heartbeat
    keep_unlinked(&cluster, "b", &b).await;
    let_link(&cluster, "b", &b).await;
    keep_unlinked(&cluster, "b", &b).await;
    let mut second = Client::new(b.address()).await;
    second.join("1", &topic, &secret.to_string()).await;
    let_link(&cluster, "b", &b).await;
    first.receive_until("phx_close").await;
    wait_until("the directory has the later grant", || async { cluster.hub.names()[&topic].0 == "b" }).await;
}
