//! A node that is killed.

use std::time::Instant;

use serde_json::json;

use crate::engine::{Engine, on_both};
use crate::node::start;
use crate::peer::{Peer, certified};

#[actix_web::test]
async fn a_killed_node_is_unreachable_at_once_and_its_names_are_free_after_one_lease() {
    on_both(kill_a_node).await;
}

async fn kill_a_node(engine: Engine) {
    let [here, mut there] = start(&engine, &[]).await;
    let (mut one, mut other) = (Peer::new(here.address()).await, Peer::new(there.address()).await);
    let (moving, secret) = certified();
    let owner = Peer::try_join(there.address(), &moving, secret.clone()).await.unwrap_or_else(|why| panic!("{why}"));
    one.join_room("list", json!({ "presence": true })).await;
    other.join_room("list", json!({ "meta": { "n": 1 } })).await;
    one.hear("the entry of the other node", |push| push.1.starts_with("presence_") && has_entry(&push.2, &other.id))
        .await;
    assert!(one.watch(&other.id).await);
    one.signal(&other.id, 1).await.unwrap();
    other.hear_number(1).await;

    there.process.signal("KILL");
    there.process.exit_code().await;
    let since = Instant::now();
    assert_eq!(one.signal(&other.id, 2).await, Err("unreachable".to_owned()));
    println!("{}: unreachable {:?} after the kill", engine.name(), since.elapsed());
    let refused = Peer::try_join(here.address(), &other.id, json!({})).await.err();
    assert_eq!(refused.as_deref(), Some("unreachable"));
    let moved = Peer::try_join(here.address(), &moving, secret).await;
    assert!(moved.is_ok(), "{:?}", moved.err());
    assert_eq!(here.nodes().await, 2, "none of this has waited for the lease to end");

    let down = one.hear_event("peer_down").await;
    assert_eq!(down["peer_id"], other.id);
    println!("{}: peer_down {:?} after the kill", engine.name(), since.elapsed());
    let diff = one.hear("the entry is removed", |push| has_entry(&push.2["leaves"], &other.id)).await;
    assert_eq!(diff.1, "presence_diff");
    assert_eq!(one.signal(&other.id, 3).await, Err("peer_not_found".to_owned()));
    let mut next = Peer::join(here.address(), &other.id).await;
    one.signal(&other.id, 4).await.unwrap();
    next.hear_number(4).await;
    assert_eq!(one.hear_event("peer_up").await["peer_id"], other.id);
    assert_eq!(here.nodes().await, 1);
    drop(owner);
}

/// Whether a presence list, or the joins of a diff, have an entry of this key.
fn has_entry(list: &serde_json::Value, key: &str) -> bool {
    list.get(key).is_some() || list["joins"].get(key).is_some()
}
