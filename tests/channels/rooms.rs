//! `room:<name>`: who hears whom, who is on the list and who sees it, and what a client may not say.

use handclasp::Node;
use serde_json::{Value, json};

use crate::common::{self, Client, node, wait_until_empty};

const ID: &str = "20dd48ca-fdcf-41c9-9a3b-2a1ab2a0f1c4";

async fn member(node: &Node, payload: &str) -> Client {
    let mut client = Client::new(node.address()).await;
    client.join("1", "room:a", payload).await;
    client
}

/// Says `event` to the room and returns the answer's status and response.
async fn ask(client: &mut Client, event: &str, payload: &str) -> (String, Value) {
    client.send(&format!(r#"["1","2","room:a","{event}",{payload}]"#)).await;
    let answer: Value = serde_json::from_str(&client.receive_until("phx_reply").await).unwrap();
    (answer[4]["status"].as_str().unwrap().to_owned(), answer[4]["response"].clone())
}

async fn refused(client: &mut Client, event: &str, payload: &str, reason: &str) {
    assert_eq!(ask(client, event, payload).await, ("error".into(), json!({ "reason": reason })), "{event} {payload}");
}

/// The next thing heard, which must be this event: its payload.
async fn hear(client: &mut Client, event: &str) -> Value {
    let heard: Value = serde_json::from_str(&client.receive().await).unwrap();
    assert_eq!(heard[3], event, "{heard}");
    heard[4].clone()
}

/// The metas of a list or of one half of a diff, without the marks of their rows.
fn metas(list: &Value) -> Vec<Value> {
    let entries = list.as_object().unwrap().values().flat_map(|entry| entry["metas"].as_array().unwrap());
    let mut metas: Vec<Value> = entries.cloned().collect();
    for meta in &mut metas {
        let marks = meta.as_object_mut().unwrap();
        assert!(marks.remove("phx_ref").unwrap().is_string());
        marks.remove("phx_ref_prev");
    }
    metas
}

#[actix_web::test]
async fn everybody_else_hears_what_one_says() {
    let node = node(&[]);
    let (mut one, mut other) = (member(&node, "{}").await, member(&node, "{}").await);
    let mut stranger = Client::new(node.address()).await;
    stranger.join("1", "room:b", "{}").await;
    assert_eq!(ask(&mut one, "hello", r#"{"a":[1]}"#).await, ("ok".into(), json!({})));
    other.expect(r#"[null,null,"room:a","hello",{"a":[1]}]"#).await;
    one.send_binary(b"\x00\x01\x01\x06\x0413room:ablob\x00\xff").await;
    one.receive_until("phx_reply").await;
    assert_eq!(other.receive_any().await, common::Received::Binary(b"\x02\x06\x04room:ablob\x00\xff".to_vec()));
    one.expect_nothing().await;
    stranger.expect_nothing().await;
    drop((one, other, stranger));
    wait_until_empty(&node).await;
}

#[actix_web::test]
async fn the_brokers_own_words_are_not_the_clients() {
    let node = node(&[]);
    let (mut one, mut other) = (member(&node, "{}").await, member(&node, "{}").await);
    for event in ["phx_close", "phx_error", "phx_reply", "presence_state", "presence_diff", "peer_up", "registered"] {
        refused(&mut one, event, "{}", "reserved event").await;
    }
    other.expect_nothing().await;
}

#[actix_web::test]
async fn a_member_that_joins_with_a_meta_is_listed_and_sees_the_list() {
    let node = node(&["presence.interval=5ms"]);
    let mut deaf = member(&node, "{}").await;
    let mut one = member(&node, r#"{"meta":{"name":"one"}}"#).await;
    let state = hear(&mut one, "presence_state").await;
    let diff = hear(&mut one, "presence_diff").await;
    assert_eq!([metas(&state), metas(&diff["joins"])].concat(), [json!({ "name": "one" })]);

    let mut seer = member(&node, r#"{"presence":true}"#).await;
    assert_eq!(metas(&hear(&mut seer, "presence_state").await), [json!({ "name": "one" })]);

    assert_eq!(ask(&mut one, "update_meta", r#"{"name":"uno"}"#).await.0, "ok");
    for client in [&mut one, &mut seer] {
        let diff = hear(client, "presence_diff").await;
        assert_eq!(metas(&diff["joins"]), [json!({ "name": "uno" })]);
        assert_eq!(metas(&diff["leaves"]), [json!({ "name": "one" })]);
    }
    drop(one);
    let diff = hear(&mut seer, "presence_diff").await;
    assert_eq!((metas(&diff["joins"]), metas(&diff["leaves"])), (vec![], vec![json!({ "name": "uno" })]));
    deaf.expect_nothing().await;
    drop((deaf, seer));
    wait_until_empty(&node).await;
}

#[actix_web::test]
async fn a_row_stands_under_the_peers_id_if_there_is_one() {
    let node = node(&["presence.interval=5ms"]);
    let mut peer = Client::new(node.address()).await;
    peer.join("9", &format!("peer:{ID}"), "{}").await;
    peer.join("1", "room:a", r#"{"meta":{}}"#).await;
    let mut other = member(&node, r#"{"meta":{}}"#).await;
    // whether a row is in the list or in the change right after it depends on when changes were told
    let mut keys = Vec::new();
    let state = hear(&mut other, "presence_state").await;
    keys.extend(state.as_object().unwrap().keys().cloned());
    while keys.len() < 2 {
        keys.extend(hear(&mut other, "presence_diff").await["joins"].as_object().unwrap().keys().cloned());
    }
    keys.sort_by_key(|key| key != ID);
    assert_eq!(keys[0], ID);
    assert_eq!(uuid::Uuid::parse_str(&keys[1]).unwrap().get_version_num(), 4);
}

#[actix_web::test]
async fn a_meta_is_an_object_of_bounded_size_that_forges_no_phx_ref() {
    let node = node(&["presence.meta_bytes=32"]);
    let mut client = Client::new(node.address()).await;
    let long = format!(r#"{{"name":"{}"}}"#, "x".repeat(22));
    for (meta, reason) in [
        (&*long, "meta too large"),
        ("[]", "invalid meta"),
        ("1", "invalid meta"),
        (r#"{"phx_ref":"x"}"#, "invalid meta"),
        (r#"{"phx_ref_prev":"x"}"#, "invalid meta"),
        (r#"{"\u0070hx_ref":"x"}"#, "invalid meta"),
    ] {
        client.send(&format!(r#"["1","1","room:a","phx_join",{{"meta":{meta}}}]"#)).await;
        let want = json!(["1", "1", "room:a", "phx_reply", { "status": "error", "response": { "reason": reason } }]);
        assert_eq!(serde_json::from_str::<Value>(&client.receive().await).unwrap(), want, "{meta}");
    }
    let fits = format!(r#"{{"name":"{}"}}"#, "x".repeat(21));
    client.join("1", "room:a", &format!(r#"{{"meta":{fits}}}"#)).await;
    refused(&mut client, "update_meta", &long, "meta too large").await;
    refused(&mut client, "update_meta", "[]", "invalid meta").await;
    refused(&mut client, "update_meta", r#"{"phx_ref":"x"}"#, "invalid meta").await;
    client.send_binary(b"\x00\x01\x01\x06\x0b13room:aupdate_meta{}").await;
    assert!(client.receive_until("phx_reply").await.contains("invalid meta"));
}

#[actix_web::test]
async fn a_member_that_is_not_listed_has_no_presence_entry_to_change() {
    let node = node(&[]);
    let (mut plain, mut seer) = (member(&node, "{}").await, member(&node, r#"{"presence":true}"#).await);
    assert_eq!(hear(&mut seer, "presence_state").await, json!({}));
    refused(&mut plain, "update_meta", "{}", "not listed").await;
    refused(&mut seer, "update_meta", "{}", "not listed").await;
    seer.expect_nothing().await;
}

#[actix_web::test]
async fn a_join_that_asks_for_nonsense_is_refused() {
    let node = node(&[]);
    let mut client = Client::new(node.address()).await;
    for payload in ["[]", "1", "null", r#""x""#, r#"{"presence":1}"#] {
        client.send(&format!(r#"["1","1","room:a","phx_join",{payload}]"#)).await;
        assert!(client.receive().await.contains(r#"{"reason":"invalid payload"}"#), "{payload}");
    }
    client.send_binary(b"\x00\x01\x01\x06\x0811room:aphx_join{}").await;
    assert!(client.receive().await.contains(r#"{"reason":"invalid payload"}"#));
}

#[actix_web::test]
async fn a_room_holds_as_many_rows_and_members_as_it_may() {
    let node = node(&["presence.entries_per_topic=1", "limits.members_per_topic=3"]);
    let listed = member(&node, r#"{"meta":{}}"#).await;
    let mut client = Client::new(node.address()).await;
    let full = r#"["1","1","room:a","phx_reply",{"status":"error","response":{"reason":"topic is full"}}]"#;
    client.exchange(r#"["1","1","room:a","phx_join",{"meta":{}}]"#, full).await;
    let (second, third) = (member(&node, "{}").await, member(&node, r#"{"presence":true}"#).await);
    client.exchange(r#"["1","1","room:a","phx_join",{}]"#, full).await;
    drop((listed, second, third));
    empty_but_one(&node).await;
    client.join("1", "room:a", r#"{"meta":{}}"#).await;
}

async fn empty_but_one(node: &Node) {
    common::wait_until("an empty room", || async { node.pubsub().count("room:a") == 0 && node.connections() == 1 })
        .await;
}
