//! Tests of `room:<name>`: which members receive a message, the presence list, and refused messages.

use handclasp::Payload;
use handclasp::testing::{TestClient, TestServer};
use serde_json::{Value, json};

use super::standard_server;
use crate::common::{wait_until, wait_until_registry_empty};

const ID: &str = "20dd48ca-fdcf-41c9-9a3b-2a1ab2a0f1c4";

async fn member(server: &TestServer, params: Value) -> TestClient {
    let mut client = server.connect().await;
    client.join("room:a", params).await;
    client
}

/// Sends `event` to the room, and returns the status and response of the reply.
async fn ask(client: &mut TestClient, event: &str, payload: impl Into<Payload>) -> (String, Value) {
    let push = client.push("room:a", event, payload).await;
    let (status, response) = client.reply(push).await;
    (status, response.parse().unwrap())
}

async fn refused(client: &mut TestClient, event: &str, payload: impl Into<Payload>, reason: &str) {
    assert_eq!(ask(client, event, payload).await, ("error".into(), json!({ "reason": reason })), "{event}");
}

async fn refused_join(client: &mut TestClient, params: impl Into<Payload>, reason: &str) {
    assert_eq!(client.try_join("room:a", params).await, Err(Payload::reason(reason)));
}

async fn state(client: &mut TestClient) -> Value {
    client.next_push("room:a", "presence_state").await.parse().unwrap()
}

async fn diff(client: &mut TestClient) -> Value {
    client.next_broadcast("room:a", "presence_diff").await.parse().unwrap()
}

/// The metas of a presence list or of one half of a diff, without their `phx_ref`s.
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
async fn a_message_reaches_all_other_members() {
    let server = standard_server(&[]);
    let (mut one, mut other) = (member(&server, json!({})).await, member(&server, json!({})).await);
    let mut stranger = server.connect().await;
    stranger.join("room:b", json!({})).await;
    assert_eq!(ask(&mut one, "hello", json!({ "a": [1] })).await, ("ok".into(), json!({})));
    other.assert_broadcast("room:a", "hello", json!({ "a": [1] })).await;
    assert_eq!(ask(&mut one, "blob", Payload::binary(vec![0, 255])).await, ("ok".into(), json!({})));
    other.assert_broadcast("room:a", "blob", Payload::binary(vec![0, 255])).await;
    for mut client in [one, other, stranger] {
        client.assert_quiet().await;
        client.disconnect().await;
    }
    wait_until_registry_empty(&server.pubsub()).await;
}

#[actix_web::test]
async fn the_brokers_own_words_are_not_the_clients() {
    let server = standard_server(&[]);
    let (mut one, mut other) = (member(&server, json!({})).await, member(&server, json!({})).await);
    for event in ["phx_close", "phx_error", "phx_reply", "presence_state", "presence_diff", "peer_up", "registered"] {
        refused(&mut one, event, json!({}), "reserved event").await;
    }
    other.assert_quiet().await;
}

#[actix_web::test]
async fn a_member_that_joins_with_a_meta_is_listed_and_sees_the_list() {
    let server = standard_server(&["presence.interval=5ms"]);
    let mut deaf = member(&server, json!({})).await;
    let mut one = member(&server, json!({ "meta": { "name": "one" } })).await;
    let (told, changed) = (state(&mut one).await, diff(&mut one).await);
    assert_eq!([metas(&told), metas(&changed["joins"])].concat(), [json!({ "name": "one" })]);

    let mut seer = member(&server, json!({ "presence": true })).await;
    assert_eq!(metas(&state(&mut seer).await), [json!({ "name": "one" })]);

    assert_eq!(ask(&mut one, "update_meta", json!({ "name": "uno" })).await.0, "ok");
    for client in [&mut one, &mut seer] {
        let diff = diff(client).await;
        assert_eq!(metas(&diff["joins"]), [json!({ "name": "uno" })]);
        assert_eq!(metas(&diff["leaves"]), [json!({ "name": "one" })]);
    }
    one.disconnect().await;
    let diff = diff(&mut seer).await;
    assert_eq!((metas(&diff["joins"]), metas(&diff["leaves"])), (vec![], vec![json!({ "name": "uno" })]));
    deaf.assert_quiet().await;
    deaf.disconnect().await;
    seer.disconnect().await;
    wait_until_registry_empty(&server.pubsub()).await;
}

#[actix_web::test]
async fn a_row_stands_under_the_peers_id_if_there_is_one() {
    let server = standard_server(&["presence.interval=5ms"]);
    let mut peer = server.connect().await;
    peer.join(&format!("peer:{ID}"), json!({})).await;
    peer.join("room:a", json!({ "meta": {} })).await;
    let mut other = member(&server, json!({ "meta": {} })).await;
    // an entry is in the list, or in the diff right after it, depending on when the last diff was sent
    let mut keys: Vec<String> = state(&mut other).await.as_object().unwrap().keys().cloned().collect();
    while keys.len() < 2 {
        keys.extend(diff(&mut other).await["joins"].as_object().unwrap().keys().cloned());
    }
    keys.sort_by_key(|key| key != ID);
    assert_eq!(keys[0], ID);
    assert_eq!(uuid::Uuid::parse_str(&keys[1]).unwrap().get_version_num(), 4);
}

#[actix_web::test]
async fn a_meta_is_an_object_of_bounded_size_that_forges_no_phx_ref() {
    let server = standard_server(&["presence.meta_bytes=32"]);
    let mut client = server.connect().await;
    let long = Payload::Json(format!(r#"{{"name":"{}"}}"#, "x".repeat(22)).into());
    for (meta, reason) in [
        (long.parse().unwrap(), "meta too large"),
        (json!([]), "invalid meta"),
        (json!(1), "invalid meta"),
        (json!({ "phx_ref": "x" }), "invalid meta"),
        (json!({ "phx_ref_prev": "x" }), "invalid meta"),
    ] {
        refused_join(&mut client, json!({ "meta": meta }), reason).await;
    }
    let escaped = r#"{"meta":{"\u0070hx_ref":"x"}}"#;
    refused_join(&mut client, Payload::Json(escaped.into()), "invalid meta").await;
    client.join("room:a", json!({ "meta": { "name": "x".repeat(21) } })).await;
    refused(&mut client, "update_meta", long, "meta too large").await;
    refused(&mut client, "update_meta", json!([]), "invalid meta").await;
    refused(&mut client, "update_meta", json!({ "phx_ref": "x" }), "invalid meta").await;
    refused(&mut client, "update_meta", Payload::binary(&b"{}"[..]), "invalid meta").await;
}

#[actix_web::test]
async fn a_member_that_is_not_listed_has_no_presence_entry_to_change() {
    let server = standard_server(&[]);
    let mut plain = member(&server, json!({})).await;
    let mut seer = member(&server, json!({ "presence": true })).await;
    assert_eq!(state(&mut seer).await, json!({}));
    refused(&mut plain, "update_meta", json!({}), "not listed").await;
    refused(&mut seer, "update_meta", json!({}), "not listed").await;
    seer.assert_quiet().await;
}

#[actix_web::test]
async fn a_join_that_asks_for_nonsense_is_refused() {
    let server = standard_server(&[]);
    let mut client = server.connect().await;
    for params in [json!([]), json!(1), json!(null), json!("x"), json!({ "presence": 1 })] {
        refused_join(&mut client, params, "invalid payload").await;
    }
    refused_join(&mut client, Payload::binary(&b"{}"[..]), "invalid payload").await;
}

#[actix_web::test]
async fn a_room_holds_as_many_rows_and_members_as_it_may() {
    let server = standard_server(&["presence.entries_per_topic=1", "limits.members_per_topic=3"]);
    let listed = member(&server, json!({ "meta": {} })).await;
    let mut client = server.connect().await;
    refused_join(&mut client, json!({ "meta": {} }), "topic is full").await;
    let (second, third) = (member(&server, json!({})).await, member(&server, json!({ "presence": true })).await);
    refused_join(&mut client, json!({}), "topic is full").await;
    for member in [listed, second, third] {
        member.disconnect().await;
    }
    wait_until("an empty room", || async { server.pubsub().count("room:a") == 0 }).await;
    client.join("room:a", json!({ "meta": {} })).await;
}
