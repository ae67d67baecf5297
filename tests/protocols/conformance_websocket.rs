//! Phoenix's own integration tests of channels over WebSocket, translated to Rust. Each case has a number. The server
//! is the example `phoenix_conformance`.
//!
//! Cases 11 (cookie sessions) and 13 to 15 (log texts) are left out.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use handclasp::Node;
use serde_json::{Value, json};

use crate::common::phoenix::{BOTH, Phoenix, V1, V2, status};
use crate::common::{self, Client, Received, TIMEOUT, get, wait_until};
use crate::conformance_server as server;

const LOBBY: &str = "room:lobby";

/// The server, with timeouts long enough that a slow test machine does not look like a silent client.
fn start() -> Node {
    server::endpoint(0, TIMEOUT, TIMEOUT).start().unwrap()
}

/// The number of members of a topic, as the server reports it.
pub(crate) async fn channel_count(address: SocketAddr, topic: &str) -> String {
    let (status, body) = get(address, &format!("/alive?topic={topic}")).await;
    assert_eq!(status, 200);
    body
}

/// Joins as the client's first message, and receives all messages that follow.
async fn join(address: SocketAddr, mount: &str, vsn: &str, topic: &str) -> Phoenix {
    let mut client = Phoenix::open(address, mount, vsn, &[]).await;
    client.join(topic, json!({})).await;
    client.expect_reply("11", "1", topic, "ok", json!({})).await;
    client.expect_broadcast(topic, "user_entered", json!({ "user": null })).await;
    client.expect_push("11", topic, "joined", json!({ "status": "connected", "user_id": null })).await;
    client
}

/// 1
#[actix_web::test]
async fn a_mount_path_can_have_several_segments() {
    let node = start();
    for vsn in BOTH {
        join(node.address(), "/ws/admin", vsn, "room:admin-lobby1").await;
    }
}

/// 2
#[actix_web::test]
async fn join_push_and_leave() {
    let node = start();
    for vsn in BOTH {
        let mut client = join(node.address(), "/ws", vsn, LOBBY).await;
        assert_eq!(channel_count(node.address(), LOBBY).await, "1");

        client.send(LOBBY, "new_msg", json!({ "body": "hi!" })).await;
        client.expect_reply("11", "2", LOBBY, "ok", json!({})).await;
        client.expect_push("11", LOBBY, "new_msg", json!({ "body": "hi!", "transport": ":websocket" })).await;

        client.send(LOBBY, "phx_leave", json!({})).await;
        client.expect_reply("11", "3", LOBBY, "ok", json!({})).await;
        client.expect_push("11", LOBBY, "you_left", json!({ "message": "bye!" })).await;
        client.expect_close("11", LOBBY, "phx_close", json!({})).await;
        assert_eq!(channel_count(node.address(), LOBBY).await, "0");

        client.send(LOBBY, "new_msg", json!({ "body": "Should ignore" })).await;
        client.expect_unmatched("4", LOBBY).await;
        client.expect_nothing().await;
    }
}

/// 3
#[actix_web::test]
async fn a_socket_can_join_100_topics_and_not_101() {
    let node = start();
    for vsn in BOTH {
        let mut client = Phoenix::open(node.address(), "/ws", vsn, &[]).await;
        for n in 1..=100 {
            let topic = format!("room:{n}");
            client.join(&topic, json!({})).await;
            client.expect_reply(&(10 + n).to_string(), &n.to_string(), &topic, "ok", json!({})).await;
            client.receive().await;
            client.receive().await;
        }
        client.join("room:101", json!({})).await;
        client.expect_reply("111", "101", "room:101", "error", json!({ "reason": "too many channels joined" })).await;
    }
}

/// 4
#[actix_web::test]
async fn a_mount_can_have_its_own_limit_of_joins() {
    let node = start();
    for vsn in BOTH {
        let mut client = join(node.address(), "/ws/limited", vsn, LOBBY).await;
        client.join("room:second", json!({})).await;
        client.expect_reply("12", "2", "room:second", "error", json!({ "reason": "too many channels joined" })).await;
    }
}

/// 5 to 10, and 12
#[actix_web::test]
async fn channels_know_the_request() {
    let node = start();
    let headers = [
        "x-application: Phoenix",
        "sec-websocket-protocol: phoenix, 123",
        "sec-websocket-extensions: permessage-deflate; client_max_window_bits=15",
        "traceparent: 00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
        "tracestate: congo=t61rcWkgMzE",
        "user-agent: foo/1.0",
    ];
    for vsn in BOTH {
        let mut client = Phoenix::open(node.address(), "/ws/connect_info", vsn, &headers).await;
        let own = client.client.stream.local_addr().unwrap();
        client.join(LOBBY, json!({})).await;
        client.receive().await;
        client.receive().await;
        let mut info = client.receive().await.payload["connect_info"].take();
        let websocket = info["sec_websocket_headers"].take();
        assert_eq!(websocket["sec-websocket-protocol"], "phoenix, 123");
        assert_eq!(websocket["sec-websocket-extensions"], "permessage-deflate; client_max_window_bits=15");
        let expected = json!({
            "x_headers": { "x-application": "Phoenix" },
            "sec_websocket_headers": null,
            "trace_context_headers": {
                "traceparent": "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
                "tracestate": "congo=t61rcWkgMzE",
            },
            "peer_data": { "address": "127.0.0.1", "port": own.port(), "ssl_cert": null },
            "uri": {
                "scheme": "http", "host": "127.0.0.1", "port": node.address().port(),
                "path": "/ws/connect_info/websocket", "query": format!("vsn={vsn}&"),
            },
            "user_agent": "foo/1.0",
            "signing_salt": "salt",
        });
        assert_eq!(info, expected);
    }
}

/// 16
#[actix_web::test]
async fn a_channel_that_crashes_sends_phx_error() {
    let node = start();
    for vsn in BOTH {
        let mut client = join(node.address(), "/ws", vsn, LOBBY).await;
        client.send(LOBBY, "boom", json!({})).await;
        client.expect_close("11", LOBBY, "phx_error", json!({ "reason": "channel_crash" })).await;
        assert_eq!(channel_count(node.address(), LOBBY).await, "0");
    }
}

/// 17
#[actix_web::test]
async fn channels_terminate_when_their_client_closes() {
    let node = start();
    for vsn in BOTH {
        let mut client = join(node.address(), "/ws", vsn, LOBBY).await;
        client.client.raw(&common::frame(0x88, &1000_u16.to_be_bytes())).await;
        assert_eq!(client.client.close_code().await, 1000);
        wait_until("the lobby is empty", || async { channel_count(node.address(), LOBBY).await == "0" }).await;
    }
}

/// 18
#[actix_web::test]
async fn messages_without_a_join_are_rejected() {
    let node = start();
    for vsn in BOTH {
        let mut client = Phoenix::open(node.address(), "/ws", vsn, &[]).await;
        for reference in ["1", "2"] {
            client.send(LOBBY, "new_msg", json!({ "body": "hi!" })).await;
            client.expect_unmatched(reference, LOBBY).await;
        }
        client.expect_nothing().await;
    }
}

/// 19, 20, 21 and 24
#[actix_web::test]
async fn a_rejected_connection_gets_a_status() {
    let node = start();
    for vsn in BOTH {
        let open = async |mount, headers: &[&str]| status(node.address(), mount, vsn, headers).await;
        assert_eq!(open("/ws", &["origin: https://example.com"]).await, 101);
        assert_eq!(open("/ws", &["origin: http://notallowed.com"]).await, 403);
        assert_eq!(open("/ws?reject=true", &[]).await, 403);
        assert_eq!(open("/ws/admin?reject=true", &[]).await, 403);
        assert_eq!(open("/ws?ratelimit=true", &[]).await, 429);
        assert_eq!(open("/ws/admin?ratelimit=true", &[]).await, 101);
    }
    assert_eq!(status(node.address(), "/ws", "123.1.1", &[]).await, 403);
}

/// 22
#[actix_web::test]
async fn a_socket_can_be_disconnected_by_its_id() {
    let node = start();
    for vsn in BOTH {
        let mut client = Phoenix::open(node.address(), "/ws?user_id=1001", vsn, &[]).await;
        let mut other = Phoenix::open(node.address(), "/ws?user_id=1002", vsn, &[]).await;
        for (n, topic) in ["room:wsdisconnect1", "room:wsdisconnect2"].into_iter().enumerate() {
            let (join_ref, reference) = ((11 + n).to_string(), (1 + n).to_string());
            client.join(topic, json!({})).await;
            client.expect_reply(&join_ref, &reference, topic, "ok", json!({})).await;
            client.expect_broadcast(topic, "user_entered", json!({ "user": null })).await;
            client.expect_push(&join_ref, topic, "joined", json!({ "status": "connected", "user_id": "1001" })).await;
        }
        get(node.address(), "/broadcast?topic=user_sockets:1001&event=unheard_of").await;
        client.expect_nothing().await;
        get(node.address(), "/broadcast?topic=user_sockets:1001&event=disconnect").await;
        // code 1001 as in Phoenix 1.8, without messages from the channels before it
        assert!(matches!(client.client.receive_any().await, Received::Close(1001, _)));
        for topic in ["room:wsdisconnect1", "room:wsdisconnect2"] {
            assert_eq!(channel_count(node.address(), topic).await, "0");
        }
        other.expect_nothing().await;
    }
}

/// 23
#[actix_web::test]
async fn a_second_join_replaces_the_first() {
    let node = start();
    for vsn in BOTH {
        let mut client = join(node.address(), "/ws", vsn, "room:joiner").await;
        client.join("room:joiner", json!({})).await;
        client.expect_push("11", "room:joiner", "you_left", json!({ "message": "bye!" })).await;
        client.expect_reply("12", "2", "room:joiner", "ok", json!({})).await;
        client.expect_close("11", "room:joiner", "phx_close", json!({})).await;
        client.expect_broadcast("room:joiner", "user_entered", json!({ "user": null })).await;
        client.expect_push("12", "room:joiner", "joined", json!({ "status": "connected", "user_id": null })).await;
        assert_eq!(channel_count(node.address(), "room:joiner").await, "1");
        drop(client);
        wait_until("the room is empty", async || channel_count(node.address(), "room:joiner").await == "0").await;
    }
}

/// 25
#[actix_web::test]
async fn a_silent_client_is_closed() {
    let node = server::endpoint(0, server::IDLE, server::WINDOW).start().unwrap();
    for vsn in BOTH {
        let mut client = Phoenix::open(node.address(), "/ws", vsn, &[]).await;
        let last_sent = Instant::now();
        client.expect_nothing().await;
        assert!(matches!(client.client.receive_any().await, Received::Close(1001, _)));
        let silence = last_sent.elapsed();
        assert!((server::IDLE..Duration::from_millis(400)).contains(&silence), "closed after {silence:?}");
    }
}

/// 26
#[actix_web::test]
async fn a_topic_without_a_channel_cannot_be_joined() {
    let node = start();
    for vsn in BOTH {
        let mut client = Phoenix::open(node.address(), "/ws", vsn, &[]).await;
        client.join("unmatched-topic", json!({})).await;
        client.expect_unmatched("1", "unmatched-topic").await;
    }
}

/// 27
#[actix_web::test]
async fn channels_choose_their_join_replies() {
    let node = start();
    let mut client = Phoenix::open(node.address(), "/ws", V2, &[]).await;
    for (topic, action) in [("custom:ignore", "ignore"), ("custom:error", "error"), ("custom:ok", "ok")] {
        client.join(topic, json!({ "action": action })).await;
    }
    client.expect_reply("11", "1", "custom:ignore", "error", json!({ "action": "ignore" })).await;
    client.expect_reply("12", "2", "custom:error", "error", json!({ "reason": "join crashed" })).await;
    client.expect_reply("13", "3", "custom:ok", "ok", json!({ "action": "ok" })).await;
    client.send("custom:ok", "close", json!({ "body": "bye!" })).await;
    client.expect_close("13", "custom:ok", "phx_close", json!({})).await;
}

/// 28
#[actix_web::test]
async fn binary_messages_are_pushed_and_replied_to_with_their_refs() {
    let node = start();
    let mut client = join(node.address(), "/ws", V2, "room:bin").await;
    client.client.send_binary(b"\x00\x02\x01\x08\x0c112room:binbinary_event\x01\x02").await;
    assert_eq!(client.receive_binary().await, b"\x00\x02\x08\x0c11room:binbinary_event\x00\x01");
    assert_eq!(client.receive_binary().await, b"\x01\x02\x01\x08\x02112room:binok\x01\x02\x03\x04");
    client.client.send_binary(b"\x00\x02\x01\x08\x03113room:binbin").await;
    client.expect_push("11", "room:bin", "bin_ack", json!({ "transport": ":websocket" })).await;
}

/// A case that Phoenix does not have: both serializers receive a broadcast, each in its own format.
#[actix_web::test]
async fn both_serializers_receive_a_broadcast() {
    let node = start();
    let mut first = join(node.address(), "/ws", V1, LOBBY).await;
    let mut second = join(node.address(), "/ws", V2, LOBBY).await;
    first.expect_broadcast(LOBBY, "user_entered", json!({ "user": Value::Null })).await;
    second.send(LOBBY, "new_msg", json!({ "body": "hi!" })).await;
    let payload = json!({ "body": "hi!", "transport": ":websocket" });
    second.expect_reply("11", "2", LOBBY, "ok", json!({})).await;
    second.expect_push("11", LOBBY, "new_msg", payload.clone()).await;
    first.expect_push("11", LOBBY, "new_msg", payload).await;
    let head = Client::try_open(node.address(), "/ws/other/websocket?vsn=2.0.0", &[]).await.1;
    assert!(head.starts_with("HTTP/1.1 404"), "{head}");
}
