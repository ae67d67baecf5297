//! Phoenix's own integration tests of channels over long polling, translated to Rust. Each case has a number. The
//! server is the example `phoenix_conformance`.

use std::net::SocketAddr;
use std::time::Duration;

use handclasp::Node;
use serde_json::{Value, json};

use crate::common::longpoll::{BATCH, LongPollClient, request};
use crate::common::phoenix::{BOTH, V1, V2};
use crate::common::{Client, TIMEOUT, get, wait_until};
use crate::conformance_server as server;
use crate::conformance_websocket::channel_count;

const LOBBY: &str = "room:lobby";

/// The server, with poll windows long enough for a busy machine.
fn start() -> Node {
    server::endpoint(0, TIMEOUT, Duration::from_secs(2)).start().unwrap()
}

/// A message from the client, in V1 or V2.
fn client_message(
    vsn: &str,
    join_ref: Option<&str>,
    reference: &str,
    topic: &str,
    event: &str,
    payload: Value,
) -> String {
    match vsn {
        V1 => json!({ "topic": topic, "event": event, "payload": payload, "ref": reference }).to_string(),
        _ => json!([join_ref, reference, topic, event, payload]).to_string(),
    }
}

/// A message from the server, in V1 or V2.
fn server_message(
    vsn: &str,
    join_ref: Option<&str>,
    reference: Value,
    topic: &str,
    event: &str,
    payload: Value,
) -> Value {
    match vsn {
        V1 => json!({ "topic": topic, "event": event, "payload": payload, "ref": reference }),
        _ => json!([join_ref, reference, topic, event, payload]),
    }
}

fn reply(vsn: &str, join_ref: Option<&str>, reference: &str, topic: &str, status: &str, response: Value) -> Value {
    let payload = json!({ "status": status, "response": response });
    server_message(vsn, join_ref, json!(reference), topic, "phx_reply", payload)
}

/// Joins, and does not poll for the reply yet.
async fn join(address: SocketAddr, mount: &str, vsn: &str, topic: &str, headers: &[&str]) -> LongPollClient {
    let client = LongPollClient::open(address, mount, vsn, headers).await;
    client.send(&client_message(vsn, Some("1"), "1", topic, "phx_join", json!({}))).await;
    client
}

fn join_messages(vsn: &str, topic: &str) -> [Value; 3] {
    [
        reply(vsn, Some("1"), "1", topic, "ok", json!({})),
        server_message(vsn, None, Value::Null, topic, "user_entered", json!({ "user": null })),
        server_message(vsn, Some("1"), Value::Null, topic, "joined", json!({ "status": "connected", "user_id": null })),
    ]
}

/// 1
#[actix_web::test]
async fn join_and_poll() {
    let node = start();
    for vsn in BOTH {
        for mount in ["/ws", "/ws/admin"] {
            let topic = format!("room:{vsn}{mount}");
            let client = join(node.address(), mount, vsn, &topic, &[]).await;
            assert_eq!(client.poll().await, join_messages(vsn, &topic));
        }
    }
    let client = LongPollClient::open(node.address(), "/ws", V1, &[]).await;
    assert_eq!(client.get().await.json(), json!({ "status": 204, "token": client.token, "messages": [] }));
}

/// 2
#[actix_web::test]
async fn a_session_can_join_100_topics_and_not_101() {
    let node = start();
    let mut client = LongPollClient::open(node.address(), "/ws", V1, &[]).await;
    for n in 1..=101 {
        client.send(&client_message(V1, None, &n.to_string(), &format!("room:{n}"), "phx_join", json!({}))).await;
    }
    for n in 1..=100 {
        client.expect(reply(V1, None, &n.to_string(), &format!("room:{n}"), "ok", json!({}))).await;
        client.receive().await;
        client.receive().await;
    }
    let refusal = json!({ "reason": "too many channels joined" });
    client.expect(reply(V1, None, "101", "room:101", "error", refusal)).await;
}

/// 3 to 6
#[actix_web::test]
async fn channels_know_the_request() {
    let node = start();
    let headers = ["x-application: Phoenix", "traceparent: 00-0af7-b7ad-01", "tracestate: congo=t61rcWkgMz"];
    let client = join(node.address(), "/ws/connect_info", V1, LOBBY, &headers).await;
    let mut info = client.poll().await[2]["payload"]["connect_info"].take();
    assert!(info["peer_data"]["port"].take().is_u64());
    let expected = json!({
        "x_headers": { "x-application": "Phoenix" },
        "trace_context_headers": { "traceparent": "00-0af7-b7ad-01", "tracestate": "congo=t61rcWkgMz" },
        "peer_data": { "address": "127.0.0.1", "port": null, "ssl_cert": null },
        "uri": {
            "scheme": "http", "host": "127.0.0.1", "port": node.address().port(),
            "path": "/ws/connect_info/longpoll", "query": "vsn=1.0.0",
        },
    });
    assert_eq!(info, expected);
}

/// 7
#[actix_web::test]
async fn published_messages_reach_members_and_not_unjoined_topics() {
    let node = start();
    let client = join(node.address(), "/ws", V1, LOBBY, &[]).await;
    let mut other = Client::open(node.address(), "/ws/websocket?vsn=2.0.0", &[]).await;
    other.join("1", LOBBY, "{}").await;
    other.receive_until("joined").await;
    client.send(&client_message(V1, None, "1", LOBBY, "new_msg", json!({ "body": "hi!" }))).await;
    let received: Value = serde_json::from_str(&other.receive().await).unwrap();
    assert_eq!(received, json!(["1", null, LOBBY, "new_msg", { "body": "hi!", "transport": ":websocket" }]));
    let pushed = json!({ "body": "hi!", "transport": ":longpoll" });
    let expected = server_message(V1, None, Value::Null, LOBBY, "new_msg", pushed);
    assert_eq!(client.poll().await.last(), Some(&expected));
    client
        .send(&client_message(V1, None, "12300", "room:private-room", "new_msg", json!({ "body": "not sent" })))
        .await;
    let refusal = json!({ "reason": "unmatched topic" });
    assert_eq!(client.poll().await, [reply(V1, None, "12300", "room:private-room", "error", refusal)]);
}

/// 8
#[actix_web::test]
async fn a_message_without_join_ref_is_accepted() {
    let node = start();
    let client = join(node.address(), "/ws", V2, LOBBY, &[]).await;
    client.send(&client_message(V2, None, "2", LOBBY, "new_msg", json!({ "body": "hi!" }))).await;
    let pushed = json!({ "body": "hi!", "transport": ":longpoll" });
    assert_eq!(client.poll().await[3..], [server_message(V2, Some("1"), Value::Null, LOBBY, "new_msg", pushed)]);
}

/// 9: text and binary messages in one request keep their order, and a message of an older join is ignored.
#[actix_web::test]
async fn a_batch_is_handled_in_order() {
    let node = start();
    let client = join(node.address(), "/ws", V2, LOBBY, &[]).await;
    let push = |join_ref, n: u32| client_message(V2, Some(join_ref), "2", LOBBY, "new_msg", json!({ "body": n }));
    // 00, four lengths, "1" "3" "room:lobby" "bin", 01 02
    let bytes = "AAEBCgMxM3Jvb206bG9iYnliaW4BAg==";
    let lines = [push("1", 1), push("0", 2), bytes.to_owned(), push("1", 3)];
    assert_eq!(client.batch(&lines.each_ref().map(String::as_str)).await, 200);
    let pushed = |event: &str, payload: Value| server_message(V2, Some("1"), Value::Null, LOBBY, event, payload);
    let expected = [
        pushed("new_msg", json!({ "body": 1, "transport": ":longpoll" })),
        pushed("bin_ack", json!({ "transport": ":longpoll" })),
        pushed("new_msg", json!({ "body": 3, "transport": ":longpoll" })),
    ];
    assert_eq!(client.poll().await[3..], expected);
}

/// 10
#[actix_web::test]
async fn a_session_that_is_not_polled_expires() {
    let node = server::endpoint(0, server::IDLE, server::WINDOW).start().unwrap();
    for vsn in BOTH {
        let client = join(node.address(), "/ws", vsn, LOBBY, &[]).await;
        wait_until("the lobby is empty", || async { channel_count(node.address(), LOBBY).await == "0" }).await;
        assert_eq!(client.post("").await, 410);
        let response = client.get().await.json();
        assert_eq!(response["status"], 410);
        assert_ne!(response["token"], json!(client.token));
    }
}

/// 11: other clients do not wait.
#[actix_web::test]
async fn a_request_that_hangs_gets_status_408() {
    let node = start();
    for vsn in BOTH {
        let client = LongPollClient::open(node.address(), "/ws/slow", vsn, &[]).await;
        let join_message = client_message(vsn, Some("1"), "1", LOBBY, "phx_join", json!({}));
        let mut post = Box::pin(client.post(&join_message));
        tokio::select! {
            biased;
            status = &mut post => panic!("status {status} without waiting"),
            _ = join(node.address(), "/ws", vsn, LOBBY, &[]) => {}
        }
        assert_eq!(post.await, 408);
    }
    let (_, head) = Client::try_open(node.address(), "/ws/slow/websocket", &[]).await;
    assert!(head.starts_with("HTTP/1.1 404"), "{head}");
}

/// 12
#[actix_web::test]
async fn only_the_first_100_messages_of_a_batch_are_handled() {
    let node = start();
    let mut client = LongPollClient::open(node.address(), "/ws", V2, &[]).await;
    let heartbeats: Vec<String> =
        (1..=102).map(|n| client_message(V2, None, &n.to_string(), "phoenix", "heartbeat", json!({}))).collect();
    assert_eq!(client.batch(&heartbeats.iter().map(String::as_str).collect::<Vec<_>>()).await, 200);
    client.send(&client_message(V2, None, "last", "phoenix", "heartbeat", json!({}))).await;
    for n in (1..=100).map(|n| n.to_string()).chain(["last".to_owned()]) {
        client.expect(reply(V2, None, &n, "phoenix", "ok", json!({}))).await;
    }
}

/// 13, 14 and 18
#[actix_web::test]
async fn a_rejected_session_gets_the_status_in_the_body() {
    let node = start();
    for vsn in BOTH {
        let status = async |query: &str, headers: &[&str]| {
            let response =
                request(node.address(), "GET", &format!("/ws/longpoll?vsn={vsn}{query}"), headers, b"").await;
            assert_eq!(response.http, 200);
            response.status()
        };
        assert_eq!(status("&reject=true", &[]).await, 403);
        assert_eq!(status("&custom_error=true", &[]).await, 403);
        assert_eq!(status("", &["origin: https://example.com"]).await, 410);
        assert_eq!(status("", &["origin: http://notallowed.com"]).await, 403);
    }
    let response = request(node.address(), "GET", "/ws/longpoll?vsn=123.1.1", &[], b"").await;
    assert_eq!((response.http, response.body.as_str()), (200, r#"{"status":403}"#));
}

/// 15
#[actix_web::test]
async fn a_channel_that_crashes_sends_phx_error() {
    let node = start();
    for vsn in BOTH {
        let topic = format!("room:{vsn}");
        let client = join(node.address(), "/ws", vsn, &topic, &[]).await;
        client.send(&client_message(vsn, Some("1"), "2", &topic, "boom", json!({}))).await;
        let reference = if vsn == V1 { Value::Null } else { json!("1") };
        let crashed = json!({ "reason": "channel_crash" });
        assert_eq!(client.poll().await[3..], [server_message(vsn, Some("1"), reference, &topic, "phx_error", crashed)]);
        assert_eq!(channel_count(node.address(), &topic).await, "0");
    }
}

/// 16
#[actix_web::test]
async fn a_leave_is_confirmed_with_phx_close() {
    let node = start();
    for vsn in BOTH {
        let client = join(node.address(), "/ws", vsn, LOBBY, &[]).await;
        let mut expected = join_messages(vsn, LOBBY).to_vec();
        if vsn == V2 {
            client.send(&client_message(vsn, Some("0"), "2", LOBBY, "phx_leave", json!({}))).await;
        }
        client.send(&client_message(vsn, None, "3", LOBBY, "phx_leave", json!({}))).await;
        let reference = if vsn == V1 { Value::Null } else { json!("1") };
        expected.push(reply(vsn, Some("1"), "3", LOBBY, "ok", json!({})));
        expected.push(server_message(vsn, Some("1"), reference, LOBBY, "phx_close", json!({})));
        assert_eq!(client.poll().await, expected);
    }
}

/// 17
#[actix_web::test]
async fn a_session_can_be_disconnected_by_its_id() {
    let node = start();
    for vsn in BOTH {
        let client = LongPollClient::open(node.address(), "/ws?user_id=456", vsn, &[]).await;
        let topics = ["room:lpdisconnect1", "room:lpdisconnect2"];
        for topic in topics {
            client.send(&client_message(vsn, Some("1"), "1", topic, "phx_join", json!({}))).await;
            assert_eq!(channel_count(node.address(), topic).await, "1");
        }
        get(node.address(), "/broadcast?topic=user_sockets:456&event=disconnect").await;
        for topic in topics {
            wait_until("the topic is empty", || async { channel_count(node.address(), topic).await == "0" }).await;
        }
        assert_eq!(client.get().await.status(), 410);
    }
}

/// 19
#[actix_web::test]
async fn a_body_of_another_content_type_is_one_message() {
    let node = start();
    for vsn in BOTH {
        let client = LongPollClient::open(node.address(), "/ws", vsn, &[]).await;
        let join_message = client_message(vsn, Some("1"), "1", LOBBY, "phx_join", json!({}));
        for content_type in ["content-type: text/plain; x=\"", "content-type: application/x-ndjson; charset=utf-8"] {
            let response =
                request(node.address(), "POST", &client.with_token(), &[content_type], join_message.as_bytes()).await;
            assert_eq!(response.status(), 200, "{content_type}");
        }
        let both = [BATCH, BATCH];
        assert_eq!(
            request(node.address(), "POST", &client.with_token(), &both, join_message.as_bytes()).await.status(),
            200
        );
        assert_eq!(client.poll().await[..3], join_messages(vsn, LOBBY));
    }
}
