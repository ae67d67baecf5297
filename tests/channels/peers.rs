//! Tests of `peer:<uuid>` and `broker:match`: ids are assigned, peers call each other, calls to absent peers are
//! answered immediately, and watchers are notified when peers join and leave.

use std::time::Instant;

use handclasp::{Config, Node};
use serde_json::{Value, json};

use crate::common::{self, Client, id, node, wait_until_empty};

const A: &str = "20dd48ca-fdcf-41c9-9a3b-2a1ab2a0f1c4";
const B: &str = "20dd48ca-fdcf-41c9-9a3b-2a1ab2a0f1c5";
const C: &str = "20dd48ca-fdcf-41c9-9a3b-2a1ab2a0f1c6";

async fn peer(node: &Node, id: &str) -> Client {
    let mut client = Client::new(node.address()).await;
    client.join("1", &format!("peer:{id}"), "{}").await;
    client
}

/// A push of the client A on its own topic.
fn say(event: &str, payload: &str) -> String {
    format!(r#"["1","2","peer:{A}","{event}",{payload}]"#)
}

fn to(id: &str) -> String {
    format!(r#"{{"peer_id":"{id}"}}"#)
}

fn reply(status: &str, response: &str) -> String {
    format!(r#"["1","2","peer:{A}","phx_reply",{{"status":"{status}","response":{response}}}]"#)
}

fn refusal(reason: &str) -> String {
    reply("error", &format!(r#"{{"reason":"{reason}"}}"#))
}

fn pushed(event: &str, payload: &str) -> String {
    format!(r#"["1",null,"peer:{A}","{event}",{payload}]"#)
}

#[actix_web::test]
async fn the_broker_hands_out_random_ids() {
    let node = node(&[]);
    let mut client = Client::new(node.address()).await;
    client.join("1", "broker:match", "{}").await;
    let mut ids = Vec::new();
    for _ in 0..2 {
        client.send(r#"["1","2","broker:match","register",{}]"#).await;
        let push: Value = serde_json::from_str(&client.receive().await).unwrap();
        let reply: Value = serde_json::from_str(&client.receive().await).unwrap();
        let id = push[4]["id"].as_str().unwrap().to_owned();
        assert_eq!(uuid::Uuid::parse_str(&id).unwrap().get_version_num(), 4);
        assert_eq!(push, json!(["1", null, "broker:match", "registered", { "id": id }]));
        let answer = json!({ "status": "ok", "response": { "id": id } });
        assert_eq!(reply, json!(["1", "2", "broker:match", "phx_reply", answer]));
        ids.push(id);
    }
    assert_ne!(ids[0], ids[1]);
    client.send(r#"["1","3","broker:match","unregister",{}]"#).await;
    assert!(client.receive().await.contains(r#"{"reason":"unknown event"}"#));
    client.send(r#"["9","9","broker:other","phx_join",{}]"#).await;
    assert!(client.receive().await.contains(r#"{"status":"error","response":{"reason":"Invalid subchannel"}}"#));
}

#[actix_web::test]
async fn a_peer_receives_its_id_the_ice_servers_and_the_message_limit() {
    let servers = r#"peer.ice_servers=[{ urls = "stun:stun.example.com:3478" }]"#;
    let config = common::config(&[servers, "limits.message_bytes=100000"]);
    let node = handclasp::Endpoint::new(config).start().unwrap();
    let mut client = Client::new(node.address()).await;
    let answer = client.join("1", &format!("peer:{A}"), "{}").await;
    let response = serde_json::from_str::<Value>(&answer).unwrap()[4]["response"].take();
    let servers = json!([{ "urls": ["stun:stun.example.com:3478"] }]);
    let single = json!([{ "urls": "stun:stun.example.com:3478" }]);
    assert_eq!(response["peer_id"], A);
    assert_eq!(response["max_message_bytes"], 100_000);
    assert!(response["ice_servers"] == servers || response["ice_servers"] == single, "{response}");
}

#[actix_web::test]
async fn peers_call_each_other_by_their_ids() {
    let node = node(&[]);
    let (mut a, mut b, mut c) = (peer(&node, A).await, peer(&node, B).await, peer(&node, C).await);
    a.exchange(&say("connect", &to(B)), &reply("ok", "{}")).await;
    b.expect(&format!(r#"[null,null,"peer:{B}","peer_connect",{{"peer_id":"{A}"}}]"#)).await;
    for event in ["offer", "answer", "candidate", "signal", "my_own"] {
        let payload = format!(r#"{{"sdp": "v=0","peer_id":"{B}","n":[1, 2]}}"#);
        a.exchange(&say(event, &payload), &reply("ok", "{}")).await;
        let heard: Value = serde_json::from_str(&b.receive().await).unwrap();
        let want = json!([null, null, format!("peer:{B}"), event, { "sdp": "v=0", "peer_id": A, "n": [1, 2] }]);
        assert_eq!(heard, want);
    }
    c.expect_nothing().await;
    a.expect_nothing().await;
}

#[actix_web::test]
async fn a_call_to_an_absent_peer_is_answered_immediately() {
    let node = node(&[]);
    let mut a = peer(&node, A).await;
    a.exchange(&say("connect", &to(B)), &pushed("error_connect", &format!(r#"{{"id":"{B}"}}"#))).await;
    a.expect(&refusal("peer_not_found")).await;
    a.exchange(&say("offer", &to(B)), &refusal("peer_not_found")).await;
    drop(peer(&node, B).await);
    common::wait_until("B gone", || async { node.pubsub().count(&format!("peer:{B}")) == 0 }).await;
    a.exchange(&say("offer", &to(B)), &refusal("peer_not_found")).await;
}

#[actix_web::test]
async fn a_signal_without_a_receiver_is_refused() {
    let node = node(&[]);
    let mut a = peer(&node, A).await;
    for payload in ["{}", "[]", "null", r#"{"peer_id":1}"#, r#"{"peer_id":null}"#] {
        a.exchange(&say("offer", payload), &refusal("invalid payload")).await;
    }
    for id in ["", "x", &B.to_uppercase()] {
        for event in ["offer", "connect", "watch", "unwatch"] {
            a.exchange(&say(event, &to(id)), &refusal("invalid peer id")).await;
        }
    }
    a.send_binary(format!("\x00\x01\x01\x29\x0512peer:{A}offer{{}}").as_bytes()).await;
    a.expect(&refusal("invalid payload")).await;
}

/// Otherwise the reply could be used to search for ids.
#[actix_web::test]
async fn a_peer_that_names_many_absent_peers_is_slowed_down() {
    let node = node(&["limits.not_found_burst=2", "limits.not_found_per_minute=1"]);
    let (mut a, mut b) = (peer(&node, A).await, peer(&node, B).await);
    for _ in 0..2 {
        a.exchange(&say("offer", &to(C)), &refusal("peer_not_found")).await;
    }
    for id in [C, B] {
        a.exchange(&say("offer", &to(id)), &refusal("rate_limited")).await;
    }
    b.expect_nothing().await;
}

#[actix_web::test]
async fn a_peer_that_watches_many_absent_peers_is_slowed_down() {
    let node = node(&["limits.not_found_burst=2", "limits.not_found_per_minute=1"]);
    let (mut a, mut b) = (peer(&node, A).await, peer(&node, B).await);
    for absent in [C, &id(4)] {
        a.exchange(&say("watch", &to(absent)), &reply("ok", r#"{"online":false}"#)).await;
    }
    for refused in [&id(5), B] {
        a.exchange(&say("watch", &to(refused)), &refusal("rate_limited")).await;
    }
    a.exchange(&say("watch", &to(C)), &reply("ok", r#"{"online":false}"#)).await;
    a.exchange(&say("offer", &to(B)), &refusal("rate_limited")).await;
    b.expect_nothing().await;
}

/// A page that watches its contacts, and watches them again after it has reconnected.
#[actix_web::test]
async fn a_watch_costs_nothing_while_the_peer_is_online_or_watched_already() {
    let node = node(&["limits.not_found_burst=1", "limits.not_found_per_minute=1"]);
    let (mut a, b) = (peer(&node, A).await, peer(&node, B).await);
    for _ in 0..5 {
        a.exchange(&say("watch", &to(B)), &reply("ok", r#"{"online":true}"#)).await;
        a.exchange(&say("unwatch", &to(B)), &reply("ok", "{}")).await;
    }
    for _ in 0..5 {
        a.exchange(&say("watch", &to(C)), &reply("ok", r#"{"online":false}"#)).await;
    }
    let c = peer(&node, C).await;
    a.expect(&pushed("peer_up", &to(C))).await;
    drop((b, c));
    let contacts = common::node(&[]);
    let mut page = peer(&contacts, A).await;
    for contact in 100..200 {
        page.exchange(&say("watch", &to(&id(contact))), &reply("ok", r#"{"online":false}"#)).await;
    }
    page.exchange(&say("offer", &to(B)), &refusal("peer_not_found")).await;
}

/// The search for ids that was seen: 500 ids in 11 s.
#[actix_web::test]
async fn watches_find_out_no_more_ids_than_the_budget_allows() {
    let node = node(&["limits.messages_burst=10000"]);
    let (mut a, start, mut found) = (peer(&node, A).await, Instant::now(), 0);
    for n in 100..600 {
        a.send(&say("watch", &to(&id(n)))).await;
        found += u32::from(a.receive().await.contains("online"));
        a.exchange(&say("unwatch", &to(&id(n))), &reply("ok", "{}")).await;
    }
    let limits = Config::default().limits;
    let refilled = start.elapsed().as_secs() * u64::from(limits.not_found_per_minute) / 60;
    assert!(u64::from(found) <= u64::from(limits.not_found_burst) + refilled + 1, "{found} ids");
}

/// A client that joins ids, and leaves those that it gets, learns which ones other clients have.
#[actix_web::test]
async fn a_client_that_joins_many_ids_is_slowed_down() {
    let node = node(&["limits.not_found_burst=2", "limits.not_found_per_minute=1"]);
    let mut owner = peer(&node, B).await;
    let mut client = Client::new(node.address()).await;
    let join = |id: &str| format!(r#"["1","2","peer:{id}","phx_join",{{}}]"#);
    let leave = |id: &str| format!(r#"["1","3","peer:{id}","phx_leave",{{}}]"#);
    // its own id is free, however often it joins
    for _ in 0..4 {
        client.send(&join(A)).await;
        assert!(client.receive_until("phx_reply").await.contains(r#""status":"ok""#));
        client.send(&leave(A)).await;
        client.receive_until("phx_close").await;
    }
    client.send(&join(C)).await;
    assert!(client.receive_until("phx_reply").await.contains(r#""status":"ok""#));
    client.send(&leave(C)).await;
    client.receive_until("phx_close").await;
    client.send(&join(B)).await;
    owner.answer_ping().await;
    assert!(client.receive().await.contains("taken"));
    for refused in [B, C, &id(4)] {
        client.send(&join(refused)).await;
        assert!(client.receive().await.contains("rate_limited"), "{refused}");
    }
    client.send(&join(A)).await;
    assert!(client.receive_until("phx_reply").await.contains(r#""status":"ok""#));
    client.send(&format!(r#"["1","4","peer:{A}","offer",{{"peer_id":"{B}"}}]"#)).await;
    assert!(client.receive().await.contains("rate_limited"));
}

/// A PeerJS client has one id, so it asks for each with a connection of its own.
#[actix_web::test]
async fn ids_that_are_taken_count_for_the_client_ip() {
    let node = node(&[
        "limits.not_found_burst_per_ip=1",
        "limits.not_found_per_minute_per_ip=1",
        "limits.not_found_per_minute=1",
    ]);
    let path = |token: &str| format!("/peerjs?key=peerjs&id=ann&token={token}");
    let mut owner = Client::open(node.address(), &path("one"), &[]).await;
    owner.expect(r#"{"type":"OPEN"}"#).await;
    let mut before = peer(&node, A).await;
    let mut second = Client::open(node.address(), &path("two"), &[]).await;
    owner.answer_ping().await;
    assert!(second.receive().await.contains("ID-TAKEN"));
    // a new socket of this IP has a budget of one
    let mut after = peer(&node, B).await;
    after.send(&format!(r#"["1","2","peer:{B}","offer",{{"peer_id":"{C}"}}]"#)).await;
    assert!(after.receive().await.contains("peer_not_found"));
    after.send(&format!(r#"["1","2","peer:{B}","offer",{{"peer_id":"{C}"}}]"#)).await;
    assert!(after.receive().await.contains("rate_limited"));
    for _ in 0..2 {
        before.exchange(&say("offer", &to(C)), &refusal("peer_not_found")).await;
    }
}

#[actix_web::test]
async fn a_peer_that_comes_and_goes_is_reported_once_in_an_interval() {
    let node = node(&["presence.interval=1m"]);
    let mut a = peer(&node, A).await;
    a.exchange(&say("watch", &to(B)), &reply("ok", r#"{"online":false}"#)).await;
    let mut b = Client::new(node.address()).await;
    for n in 0..5 {
        b.join("1", &format!("peer:{B}"), "{}").await;
        if n == 0 {
            a.expect(&pushed("peer_up", &to(B))).await;
        }
        b.send(&format!(r#"["1","2","peer:{B}","phx_leave",{{}}]"#)).await;
        b.receive_until("phx_close").await;
    }
    // the next message is the answer, and it is true
    a.exchange(&say("watch", &to(B)), &reply("ok", r#"{"online":false}"#)).await;
    a.expect_nothing().await;
}

#[actix_web::test]
async fn the_last_notification_is_true_and_none_repeats_the_one_before() {
    let node = node(&["presence.interval=10ms"]);
    let mut a = peer(&node, A).await;
    a.exchange(&say("watch", &to(B)), &reply("ok", r#"{"online":false}"#)).await;
    let mut b = Client::new(node.address()).await;
    for _ in 0..50 {
        b.join("1", &format!("peer:{B}"), "{}").await;
        b.send(&format!(r#"["1","2","peer:{B}","phx_leave",{{}}]"#)).await;
        b.receive_until("phx_close").await;
    }
    b.join("1", &format!("peer:{B}"), "{}").await;
    b.send(&format!(r#"["1","3","peer:{B}","offer",{{"peer_id":"{A}","last":true}}]"#)).await;
    let (mut online, mut is_over) = (false, false);
    while !(online && is_over) {
        let heard = a.receive().await;
        is_over |= heard.contains("last");
        if heard.contains("peer_") && !heard.contains("last") {
            assert_eq!(heard.contains("peer_up"), !online, "{heard}");
            online = !online;
        }
    }
    a.expect_nothing().await;
}

#[actix_web::test]
async fn a_watcher_is_notified_when_peers_join_and_leave() {
    let node = node(&[]);
    let mut a = peer(&node, A).await;
    a.exchange(&say("watch", &to(B)), &reply("ok", r#"{"online":false}"#)).await;
    let b = peer(&node, B).await;
    a.expect(&pushed("peer_up", &to(B))).await;
    a.exchange(&say("watch", &to(B)), &reply("ok", r#"{"online":true}"#)).await;
    drop(b);
    a.expect(&pushed("peer_down", &to(B))).await;
    let mut b = peer(&node, B).await;
    a.expect(&pushed("peer_up", &to(B))).await;
    b.send(&format!(r#"["1","2","peer:{B}","phx_leave",{{}}]"#)).await;
    a.expect(&pushed("peer_down", &to(B))).await;
    a.expect_nothing().await;
    drop((a, b));
    wait_until_empty(&node).await;
}

#[actix_web::test]
async fn a_peer_that_unwatches_receives_no_notification() {
    let node = node(&[]);
    let mut a = peer(&node, A).await;
    let mut other = peer(&node, C).await;
    other.send(&format!(r#"["1","2","peer:{C}","watch",{}]"#, to(B))).await;
    other.receive_until("online").await;
    a.exchange(&say("unwatch", &to(B)), &reply("ok", "{}")).await;
    a.exchange(&say("watch", &to(B)), &reply("ok", r#"{"online":false}"#)).await;
    a.exchange(&say("unwatch", &to(B)), &reply("ok", "{}")).await;
    assert_eq!(node.pubsub().stats().await.watches, 1);
    let b = peer(&node, B).await;
    // once the other client has received it, all have
    other.receive_until("peer_up").await;
    a.expect_nothing().await;
    a.exchange(&say("watch", &to(B)), &reply("ok", r#"{"online":true}"#)).await;
    a.send(&say("phx_leave", "{}")).await;
    a.receive_until("phx_close").await;
    drop(b);
    other.receive_until("peer_down").await;
    a.expect_nothing().await;
    drop((a, other));
    wait_until_empty(&node).await;
}

/// The request to watch was left without an answer when the next one took it back.
#[actix_web::test]
async fn a_watch_that_is_cancelled_immediately_is_still_answered() {
    let node = node(&[]);
    let mut a = peer(&node, A).await;
    let ask = |n: u8, event: &str| format!(r#"["1","{n}","peer:{A}","{event}",{}]"#, to(B));
    let asked = [ask(3, "watch"), ask(4, "unwatch"), ask(5, "watch")];
    // in one piece, so that all are read before the registry has answered the first
    a.raw(&asked.iter().flat_map(|text| common::frame(0x81, text.as_bytes())).collect::<Vec<u8>>()).await;
    let mut answers: Vec<Value> = Vec::new();
    for _ in asked {
        answers.push(serde_json::from_str(&a.receive_until("phx_reply").await).unwrap());
    }
    answers.sort_by_key(|answer| answer[1].to_string());
    assert_eq!(answers.iter().map(|answer| &answer[1]).collect::<Vec<_>>(), ["3", "4", "5"]);
    assert_eq!(answers[2][4], json!({ "status": "ok", "response": { "online": false } }));
    let _b = peer(&node, B).await;
    a.receive_until("peer_up").await;
}

#[actix_web::test]
async fn a_peer_watches_as_many_others_as_it_may() {
    let node = node(&["limits.watches_per_socket=1"]);
    let mut a = peer(&node, A).await;
    let watching = reply("ok", r#"{"online":false}"#);
    a.exchange(&say("watch", &to(B)), &watching).await;
    a.exchange(&say("watch", &to(C)), &refusal("too many watches")).await;
    a.exchange(&say("watch", &to(B)), &watching).await;
    a.exchange(&say("unwatch", &to(B)), &reply("ok", "{}")).await;
    a.exchange(&say("watch", &to(C)), &watching).await;
}
