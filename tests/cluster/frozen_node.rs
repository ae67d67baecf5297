//! A node that is stopped for longer than its lease, and goes on.

use serde_json::json;

use crate::common::wait_until as wait_shortly;
use crate::engine::{Engine, on_both};
use crate::node::start;
use crate::peer::{Peer, Push};

#[actix_web::test]
async fn a_thawed_node_loses_what_others_took_and_keeps_the_rest() {
    on_both(freeze_a_node).await;
}

async fn freeze_a_node(engine: Engine) {
    let [here, there] = start(&engine, &[]).await;
    let mut one = Peer::new(here.address()).await;
    let (mut moving, mut staying) = (Peer::new(there.address()).await, Peer::new(there.address()).await);
    let mut beside = Peer::new(there.address()).await;
    one.join_room("list", json!({ "presence": true })).await;
    staying.join_room("list", json!({ "meta": { "n": 1 } })).await;
    one.hear("the entry of the other node", |push| has_entry(push, "joins", &staying.id)).await;
    assert!(one.watch(&staying.id).await && one.watch(&moving.id).await);
    one.signal(&moving.id, 1).await.unwrap();
    one.say("list", 2).await;

    there.process.signal("STOP");
    wait_shortly("the node is stopped", || async { there.process.is_stopped() }).await;
    // these wait in the node's own sockets, and arrive when it goes on, or never
    for n in 10..20 {
        one.say("list", n).await;
    }
    assert_eq!(one.signal(&staying.id, 20).await, Err("unreachable".to_owned()));
    one.hear("the entry is removed", |push| has_entry(push, "leaves", &staying.id)).await;
    for _ in 0..2 {
        one.hear_event("peer_down").await;
    }
    let mut taker = Peer::join(here.address(), &moving.id).await;
    assert_eq!(one.hear_event("peer_up").await["peer_id"], taker.id);
    assert_eq!(one.signal(&staying.id, 21).await, Err("peer_not_found".to_owned()));

    there.process.signal("CONT");
    moving.hear("the loss of the id", |push| push.0 == format!("peer:{}", taker.id) && push.1 == "phx_close").await;
    one.hear("the entry is back", |push| has_entry(push, "joins", &staying.id)).await;
    assert_eq!(one.hear_event("peer_up").await["peer_id"], staying.id);
    // from both nodes, the id leads to its new owner
    one.signal(&taker.id, 30).await.unwrap();
    beside.signal(&taker.id, 31).await.unwrap();
    one.signal(&staying.id, 32).await.unwrap();
    one.say("list", 33).await;
    taker.hear_number(30).await;
    taker.hear_number(31).await;
    assert_eq!(numbers(&moving.heard().await), [1]);
    staying.hear_number(33).await;
    let heard = numbers(&staying.heard().await);
    let mut once = heard.clone();
    once.sort_unstable();
    once.dedup();
    assert_eq!(once.len(), heard.len(), "nothing arrives twice: {heard:?}");
    assert!(heard.contains(&2) && heard.ends_with(&[32]), "{heard:?}");
    assert!(!heard.contains(&20) && !heard.contains(&21), "no signal whose sender was told otherwise: {heard:?}");
    let further: Vec<_> = one.heard().await.into_iter().filter(|push| push.1 != "presence_state").collect();
    assert_eq!(further, [], "no further change");
}

fn numbers(heard: &[Push]) -> Vec<u64> {
    heard.iter().filter_map(|(_, _, payload)| payload["n"].as_u64()).collect()
}

/// Whether a presence list has an entry of this key: a list, or the joins or leaves of a diff.
fn has_entry((_, event, list): &Push, part: &str, key: &str) -> bool {
    match event.as_str() {
        "presence_diff" => list[part].get(key).is_some(),
        "presence_state" => part == "joins" && list.get(key).is_some(),
        _ => false,
    }
}
