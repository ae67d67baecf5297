//! Messages: publish, signal, batch, and the answers that are remembered.

use std::collections::BTreeSet;

use futures_util::future::join_all;
use handclasp::Node;
use serde_json::{Value, json};

use super::{ALL, api_node, post, raw, request, send};
use crate::common::{Client, UNLIMITED, id};

async fn member(node: &Node, path: &str, room: &str) -> Client {
    let mut client = Client::open(node.address(), path, &[]).await;
    match path.contains("1.0.0") {
        true => {
            client.send(&format!(r#"{{"topic":"{room}","event":"phx_join","payload":{{}},"ref":"1"}}"#)).await;
            client.receive_until("phx_reply").await;
        }
        false => drop(client.join("1", room, "{}").await),
    }
    client
}

/// A member of the Socket.IO relay's room.
async fn relay_member(node: &Node, room: &str) -> Client {
    let mut client = Client::open(node.address(), "/socket.io/?EIO=4&transport=websocket", &[]).await;
    client.receive().await;
    client.send("40").await;
    client.receive_until("40{").await;
    client.exchange(&format!(r#"421["join","{room}"]"#), "431[{}]").await;
    client
}

#[actix_web::test]
async fn a_message_reaches_each_member_once_and_in_order() {
    let node = api_node(&UNLIMITED);
    let mut clients = Vec::new();
    for n in 0..60 {
        let version = if n % 2 == 0 { "1.0.0" } else { "2.0.0" };
        clients.push(member(&node, &format!("/socket/websocket?vsn={version}"), "room:a").await);
    }
    let _other = member(&node, "/socket/websocket?vsn=2.0.0", "room:b").await;
    for n in 0..20 {
        let answer = post(&node, "/v1/publish", json!({ "topic": "room:a", "event": "e", "payload": n })).await;
        assert_eq!(answer, json!({ "delivered": 60, "nodes": 1 }));
    }
    for client in &mut clients {
        for n in 0..20 {
            let text: Value = serde_json::from_str(&client.receive().await).unwrap();
            let payload = text.get("payload").unwrap_or_else(|| &text[4]);
            assert_eq!(payload, &json!(n), "{text}");
        }
    }
    let nobody = post(&node, "/v1/publish", json!({ "topic": "room:none", "event": "e", "payload": 1 })).await;
    assert_eq!(nobody, json!({ "delivered": 0, "nodes": 1 }));
    drop((clients, _other));
    node.stop().await;
}

#[actix_web::test]
async fn a_socketio_room_hears_arguments() {
    let node = api_node(&[]);
    let (mut a, mut b) = (relay_member(&node, "a").await, relay_member(&node, "b").await);
    for (topic, payload, delivered) in [("/#room:a", json!([1, "two"]), 1), ("/", json!({ "all": true }), 2)] {
        let body = json!({ "topic": topic, "event": "notice", "payload": payload, "protocol": "socketio" });
        assert_eq!(post(&node, "/v1/publish", body).await["delivered"], delivered, "{topic}");
    }
    a.expect(r#"42["notice",1,"two"]"#).await;
    a.expect(r#"42["notice",{"all":true}]"#).await;
    b.expect(r#"42["notice",{"all":true}]"#).await;
    node.stop().await;
}

#[actix_web::test]
async fn what_clients_may_not_say_the_api_may_not_either() {
    let node = api_node(&["limits.message_bytes=1024"]);
    let long = "x".repeat(256);
    for (topic, event, payload, reason) in [
        ("", "e", json!(1), "invalid topic"),
        ("room:\u{1}", "e", json!(1), "invalid topic"),
        (&*long, "e", json!(1), "topic too long"),
        ("peer:00000000-0000-4000-8000-000000000001", "e", json!(1), "the topic is a peer: use /v1/signal"),
        ("room:a", "", json!(1), "empty event"),
        ("room:a", &*long, json!(1), "event too long"),
        ("room:a", "phx_close", json!(1), "reserved event"),
        ("room:a", "presence_diff", json!(1), "reserved event"),
        ("room:a", "e", json!("x".repeat(1_023)), "payload too large"),
    ] {
        let body = json!({ "topic": topic, "event": event, "payload": payload }).to_string();
        let response = send(&node, "POST", "/v1/publish", ALL, &body).await;
        assert_eq!(response.error(), (422, reason.to_owned()), "{topic} {event}");
    }
    for (to, payload, reason) in [
        ("u7", json!({}), "invalid peer id"),
        ("00000000-0000-4000-8000-00000000000A", json!({}), "invalid peer id"),
        (&id(1), json!([]), "the payload must be an object without peer_id and sender_id, which the node sets"),
        (
            &id(1),
            json!({ "peer_id": id(2) }),
            "the payload must be an object without peer_id and sender_id, which the node sets",
        ),
    ] {
        let body = json!({ "to": to, "event": "e", "payload": payload }).to_string();
        let response = send(&node, "POST", "/v1/signal", ALL, &body).await;
        assert_eq!(response.error(), (422, reason.to_owned()), "{to} {payload}");
    }
    for event in ["peer_connect", "phx_reply"] {
        let body = json!({ "to": id(1), "event": event, "payload": {} }).to_string();
        assert_eq!(send(&node, "POST", "/v1/signal", ALL, &body).await.status, 422, "{event}");
    }
    node.stop().await;
}

#[actix_web::test]
async fn a_signal_has_a_verdict() {
    let node = api_node(&UNLIMITED);
    let mut peer = Client::new(node.address()).await;
    peer.join("1", &format!("peer:{}", id(1)), "{}").await;
    let to = |n: usize, payload: Value| json!({ "to": id(n), "event": "ring", "payload": payload });
    assert_eq!(post(&node, "/v1/signal", to(1, json!({ "a": 1 }))).await, json!({ "verdict": "delivered" }));
    peer.expect(&format!(r#"[null,null,"peer:{}","ring",{{"peer_id":null,"a":1}}]"#, id(1))).await;
    assert_eq!(post(&node, "/v1/signal", to(2, json!({}))).await, json!({ "verdict": "peer_not_found" }));
    let mut slow = Client::with_small_window(node.address()).await;
    slow.join("1", &format!("peer:{}", id(3)), "{}").await;
    let mut verdicts = BTreeSet::new();
    for _ in 0..1_000 {
        let answer = post(&node, "/v1/signal", to(3, json!({ "x": "x".repeat(50_000) }))).await;
        let verdict = answer["verdict"].as_str().unwrap().to_owned();
        verdicts.insert(verdict.clone());
        if verdict == "overloaded" {
            break;
        }
    }
    assert_eq!(verdicts, BTreeSet::from(["delivered".to_owned(), "overloaded".to_owned()]));
    node.stop().await;
}

// ---- batch

#[actix_web::test]
async fn the_results_of_a_batch_are_in_order() {
    let node = api_node(&[]);
    let mut peer = Client::new(node.address()).await;
    peer.join("1", &format!("peer:{}", id(1)), "{}").await;
    let answer = post(
        &node,
        "/v1/batch",
        json!({ "operations": [
            { "signal": { "to": id(1), "event": "first", "payload": {} } },
            { "publish": { "topic": "", "event": "e", "payload": {} } },
            { "signal": { "to": id(2), "event": "e", "payload": {} } },
            { "publish": { "topic": "room:a", "event": "e", "payload": {} } },
            { "signal": { "to": id(1), "event": "second", "payload": {} } },
        ] }),
    )
    .await;
    let expected = json!({ "results": [
        { "verdict": "delivered" },
        { "reason": "invalid topic" },
        { "verdict": "peer_not_found" },
        { "delivered": 0, "nodes": 1 },
        { "verdict": "delivered" },
    ] });
    assert_eq!(answer, expected);
    peer.receive_until("first").await;
    peer.receive_until("second").await;
    assert_eq!(post(&node, "/v1/batch", json!({ "operations": [] })).await, json!({ "results": [] }));
    node.stop().await;
}

#[actix_web::test]
async fn a_batch_with_a_mistake_does_nothing() {
    let node = api_node(&[]);
    let mut peer = Client::new(node.address()).await;
    peer.join("1", &format!("peer:{}", id(1)), "{}").await;
    let good = json!({ "signal": { "to": id(1), "event": "e", "payload": {} } });
    for (bad, reason) in [
        (json!({ "publsh": {} }), "operation 1: expected publish, signal, disconnect or revoke"),
        (json!({ "publish": { "topic": "room:a", "event": "e" } }), "operation 1: missing field `payload`"),
        (json!({ "publish": ["room:a", "e", {}] }), "operation 1: expected a JSON object"),
        (json!({ "publish": {}, "signal": {} }), "expected an object with one operation"),
        (json!({}), "expected an object with one operation"),
    ] {
        let body = json!({ "operations": [good, bad] }).to_string();
        let response = send(&node, "POST", "/v1/batch", ALL, &body).await;
        assert_eq!(response.error(), (400, reason.to_owned()), "{bad}");
    }
    let many = json!({ "operations": vec![good; 1_001] }).to_string();
    let response = send(&node, "POST", "/v1/batch", ALL, &many).await;
    assert_eq!(response.error(), (400, "a batch has at most 1000 operations".to_owned()));
    peer.expect_nothing().await;
    node.stop().await;
}

#[actix_web::test]
async fn each_operation_of_a_batch_counts_against_the_rate() {
    let node = api_node(&["api.requests_per_second=10"]);
    let publish = json!({ "publish": { "topic": "room:a", "event": "e", "payload": {} } });
    let batch = json!({ "operations": vec![publish; 1_000] }).to_string();
    // more than the rate ever allows at once: it is done, and paid for afterwards
    let response = send(&node, "POST", "/v1/batch", ALL, &batch).await;
    assert_eq!((response.status, response.json()["results"].as_array().unwrap().len()), (200, 1_000));
    let refused = send(&node, "POST", "/v1/batch", ALL, &batch).await;
    assert_eq!(refused.error(), (429, "too many requests".to_owned()));
    let wait: u32 = refused.header("retry-after").unwrap().parse().unwrap();
    assert!((90..=100).contains(&wait), "{wait} s for 1,000 operations at 10 a second");
    let answer = send(&node, "POST", "/v1/publish", super::PUBLISH, r#"{"topic":"a","event":"e","payload":1}"#).await;
    assert_eq!(answer.status, 200, "another key");
    node.stop().await;
}

// ---- answers that are remembered

async fn with_key(node: &Node, key: &str, idempotency: &str, body: &Value) -> super::Response {
    let header = format!("Idempotency-Key: {idempotency}\r\n");
    let text = request("POST", "/v1/publish", key, &header, &body.to_string());
    raw(node.api_address().unwrap(), text.as_bytes()).await
}

#[actix_web::test]
async fn a_repeated_request_is_answered_and_not_done_again() {
    let node = api_node(&UNLIMITED);
    let mut client = member(&node, "/socket/websocket?vsn=2.0.0", "room:a").await;
    let body = |n: usize| json!({ "topic": "room:a", "event": "e", "payload": n });
    // 50 at a time, since more connections than 64 would wait for each other
    let first = body(1);
    for _ in 0..2 {
        let answers = join_all((0..50).map(|_| with_key(&node, ALL, "one", &first)));
        for answer in answers.await {
            assert_eq!((answer.status, answer.json()), (200, json!({ "delivered": 1, "nodes": 1 })));
        }
    }
    assert_eq!(with_key(&node, ALL, "one", &body(1)).await.header("idempotent-replayed"), Some("true"));
    client.receive_until(r#""e",1]"#).await;
    client.expect_nothing().await;
    let other = with_key(&node, ALL, "one", &body(2)).await;
    assert_eq!(other.error(), (409, "Idempotency-Key was used with another body".to_owned()));
    assert_eq!(with_key(&node, super::PUBLISH, "one", &body(3)).await.status, 200, "another key of the API");
    client.receive_until(r#""e",3]"#).await;
    for bad in ["a b", "", &"x".repeat(65), "é"] {
        assert_eq!(with_key(&node, ALL, bad, &body(1)).await.status, 400, "{bad:?}");
    }
    client.expect_nothing().await;
    node.stop().await;
}

#[actix_web::test]
async fn a_request_goes_on_when_its_client_has_gone() {
    use tokio::io::AsyncWriteExt;
    let node = api_node(&UNLIMITED);
    let mut client = member(&node, "/socket/websocket?vsn=2.0.0", "room:a").await;
    let operations: Vec<Value> =
        (0..1_000).map(|n| json!({ "publish": { "topic": "room:a", "event": "e", "payload": n } })).collect();
    let text = request("POST", "/v1/batch", ALL, "", &json!({ "operations": operations }).to_string());
    let mut stream = tokio::net::TcpStream::connect(node.api_address().unwrap()).await.unwrap();
    stream.write_all(text.as_bytes()).await.unwrap();
    client.receive_until(r#""e",0]"#).await;
    // it resets the connection instead of ending it
    socket2::SockRef::from(&stream).set_linger(Some(std::time::Duration::ZERO)).unwrap();
    drop(stream);
    client.receive_until(r#""e",999]"#).await;
    node.stop().await;
}
