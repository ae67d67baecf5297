//! Phoenix over long polling, request by request: section 10 of the protocol's specification, the changes of section
//! 13, and hostile requests.

use std::time::{Duration, Instant};

use futures_util::future::join_all;
use handclasp::metrics::DropReason;
use handclasp::{Channel, Context, Endpoint, Mount, Node, Payload, Reply, Router, SocketInit};
use serde_json::{Value, json};
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;

use crate::common::longpoll::{BATCH, LongPollClient, Response, request, response};
use crate::common::phoenix::V2;
use crate::common::{self, Client, config, node, wait_until, wait_until_empty};

const PATH: &str = "/socket/longpoll?vsn=2.0.0";
const HEARTBEAT: &str = r#"[null,"7","phoenix","heartbeat",{}]"#;

fn heartbeat_reply() -> Value {
    json!([null, "7", "phoenix", "phx_reply", { "status": "ok", "response": {} }])
}

async fn open(node: &Node) -> LongPollClient {
    LongPollClient::open(node.address(), "/socket", V2, &[]).await
}

/// Asserts that the session is closed, and nothing of it is left.
async fn expect_closed(client: &LongPollClient) {
    assert_eq!(client.post(HEARTBEAT).await, 410);
    let response = client.get().await.json();
    assert_eq!(response["status"], 410);
    assert_ne!(response["token"], json!(client.token));
}

// ---- GET

#[actix_web::test]
async fn a_get_without_a_session_opens_one_with_status_410() {
    let node = node(&[]);
    let mut tokens = Vec::new();
    for query in ["", "&token=", "&token=null", "&token=local.0123", "&token=%00%ff"] {
        let response = request(node.address(), "GET", &format!("{PATH}{query}"), &[], b"").await;
        if query.contains("%ff") {
            assert_eq!((response.http, response.body.as_str()), (400, ""));
            continue;
        }
        assert_eq!(response.http, 200);
        assert_eq!(response.header("content-type"), Some("application/json; charset=utf-8"));
        assert_eq!(response.header("access-control-allow-origin"), Some("*"));
        assert_eq!(response.header("cache-control"), Some("no-store"));
        let token = response.json()["token"].as_str().unwrap().to_owned();
        assert_eq!(response.json(), json!({ "status": 410, "token": token, "messages": [] }));
        assert!(!tokens.contains(&token));
        tokens.push(token);
    }
    assert_eq!(node.connections(), 4);
}

#[actix_web::test]
async fn one_trailing_slash_is_allowed() {
    let node = node(&[]);
    for (path, status) in [("/socket/longpoll/", 200), ("/ws/longpoll", 200), ("/socket/longpoll/more", 404)] {
        assert_eq!(request(node.address(), "GET", path, &[], b"").await.http, status, "{path}");
    }
}

#[actix_web::test]
async fn a_client_that_may_not_connect_gets_status_403() {
    let mount = Mount::new("/own", Router::new()).connect(|info| {
        assert_ne!(info.param("be"), Some("dead"), "a failure for the test");
        Err(handclasp::ConnectError::new(actix_web::http::StatusCode::PAYMENT_REQUIRED, "no money"))
    });
    let node = Endpoint::new(config(&[])).mount(mount).start().unwrap();
    let foreign = ["origin: https://foreign.test"];
    let session = open(&node).await;
    for (method, path, headers) in [
        ("GET", "/own/longpoll?vsn=2.0.0", &[][..]),
        ("GET", "/socket/longpoll?vsn=123.1.1", &[]),
        ("GET", "/socket/longpoll?vsn[]=2.0.0", &[]),
        ("GET", PATH, &foreign),
        ("POST", &session.with_token(), &foreign),
        ("OPTIONS", PATH, &foreign),
    ] {
        let response = request(node.address(), method, path, headers, b"").await;
        let is_403 = match headers.is_empty() {
            true => response.body == r#"{"status":403}"#,
            false => response.body.starts_with(r#"{"status":403,"reason":"origin \"https://foreign.test\" is not"#),
        };
        assert!(response.http == 200 && is_403, "{method} {path}: {}", response.body);
        assert_eq!(response.header("access-control-allow-origin"), Some("*"));
    }
    assert_eq!(node.pubsub().metrics().connections_refused.get(), 6);
    let response = request(node.address(), "GET", "/own/longpoll?vsn=2.0.0&be=dead", &[], b"").await;
    assert_eq!((response.http, response.body.as_str()), (500, r#"{"status":500}"#));
}

#[actix_web::test]
async fn a_poll_returns_with_the_first_message_or_after_the_window() {
    let node = node(&["socket.poll_window=2s"]);
    let mut client = open(&node).await;
    client.join("room:a").await;
    let response = client.get().await;
    assert_eq!(response.json(), json!({ "status": 204, "token": client.token, "messages": [] }));
    let mut other = Client::new(node.address()).await;
    other.join("1", "room:a", "{}").await;
    let polling = actix_web::rt::spawn({
        let (address, path) = (node.address(), client.with_token());
        async move { request(address, "GET", &path, &[], b"").await }
    });
    other.send(r#"["1","2","room:a","msg",{"é\n":"\"\u0000"}]"#).await;
    let received = polling.await.unwrap().json();
    assert_eq!(received["messages"], json!([r#"[null,null,"room:a","msg",{"é\n":"\"\u0000"}]"#]));
    client.batch(&[HEARTBEAT, r#"["1","2","room:a","msg",{"n":1}]"#]).await;
    other.receive_until(r#"{"n":1}"#).await;
    let ok = json!(["1", "2", "room:a", "phx_reply", { "status": "ok", "response": {} }]);
    assert_eq!(client.poll().await, [heartbeat_reply(), ok], "queued messages arrive immediately and in order");
}

#[actix_web::test]
async fn of_two_polls_the_newer_one_gets_the_messages() {
    let node = node(&[]);
    let client = open(&node).await;
    let older = client.get();
    let newer = async {
        // the older poll was sent first; its response shows when the newer one has replaced it
        tokio::time::sleep(Duration::from_millis(50)).await;
        client.get().await
    };
    let send = async {
        tokio::time::sleep(Duration::from_millis(300)).await;
        client.send(HEARTBEAT).await;
    };
    let (older, newer, ()) = tokio::join!(older, newer, send);
    assert_eq!((older.status(), newer.status()), (204, 200));
}

#[actix_web::test]
async fn a_token_in_a_header_overrides_one_in_the_query() {
    let node = node(&[]);
    let client = open(&node).await;
    client.send(HEARTBEAT).await;
    let header = format!("x-phoenix-longpoll-token: {}", client.token);
    for path in [PATH, &format!("{PATH}&token=nonsense")] {
        assert_eq!(request(node.address(), "POST", path, &[&header], HEARTBEAT.as_bytes()).await.status(), 200);
    }
    let nonsense = ["x-phoenix-longpoll-token: nonsense"];
    assert_eq!(request(node.address(), "GET", &client.with_token(), &nonsense, b"").await.status(), 410);
    assert_eq!(request(node.address(), "GET", PATH, &[&header], b"").await.json()["token"], json!(client.token));
}

/// Replies with how its client is connected.
struct Mirror;

/// What the connect callback has seen.
struct Seen(Value);

impl Channel for Mirror {
    fn handle_in(&mut self, _: &str, _: &Payload, ctx: &mut Context<'_>) -> Reply {
        let transport = ctx.transport();
        let seen = ctx.assigns().get::<Seen>().map(|seen| seen.0.clone());
        Reply::ok_with(json!({ "transport": transport, "seen": seen }))
    }
}

#[actix_web::test]
async fn a_mount_knows_the_transport_and_the_auth_token() {
    let mount = Mount::new("/own", Router::new().channel("mirror:*", |_| Mirror)).connect(|info| {
        let seen = json!([info.transport(), info.auth_token(), info.param("user")]);
        Ok(SocketInit::default().assign(Seen(seen)))
    });
    let node = Endpoint::new(config(&[])).mount(mount).start().unwrap();
    let headers = ["x-phoenix-authtoken: secret"];
    let mut client = LongPollClient::open(node.address(), "/own?user=me", V2, &headers).await;
    client.join("mirror:a").await;
    client.send(r#"["1","2","mirror:a","see",{}]"#).await;
    let expected = json!({ "transport": "longpoll", "seen": ["longpoll", "secret", "me"] });
    assert_eq!(client.receive().await[4]["response"], expected);
    let mut other = Client::open(node.address(), "/own/websocket?vsn=2.0.0", &[]).await;
    other.join("1", "mirror:a", "{}").await;
    other.send(r#"["1","2","mirror:a","see",{}]"#).await;
    let received: Value = serde_json::from_str(&other.receive().await).unwrap();
    assert_eq!(received[4]["response"], json!({ "transport": "websocket", "seen": ["websocket", null, null] }));
}

// ---- POST, OPTIONS, and other methods

#[actix_web::test]
async fn a_post_without_a_session_gets_status_410() {
    let node = node(&[]);
    let client = open(&node).await;
    let other_mount = client.with_token().replace("/socket/", "/ws/");
    for path in [PATH, &format!("{PATH}&token=nonsense"), &other_mount] {
        let response = request(node.address(), "POST", path, &[], HEARTBEAT.as_bytes()).await;
        assert_eq!((response.http, response.body.as_str()), (200, r#"{"status":410}"#), "{path}");
    }
    assert_eq!(client.post(HEARTBEAT).await, 200, "the token is valid at its own mount");
}

#[actix_web::test]
async fn a_preflight_is_granted_and_other_methods_are_rejected() {
    let node = node(&[]);
    let requested = ["access-control-request-headers: content-type, x-phoenix-authtoken"];
    let response = request(node.address(), "OPTIONS", PATH, &requested, b"").await;
    assert_eq!((response.http, response.body.as_str()), (200, ""));
    assert_eq!(response.header("access-control-allow-origin"), Some("*"));
    assert_eq!(response.header("access-control-allow-headers"), Some("content-type, x-phoenix-authtoken"));
    assert_eq!(response.header("access-control-allow-methods"), Some("get, post, options"));
    assert_eq!(response.header("access-control-max-age"), Some("3600"));
    for method in ["PUT", "DELETE", "PATCH", "HEAD", "TRACE"] {
        let response = request(node.address(), method, PATH, &[], b"").await;
        assert_eq!((response.http, response.body.as_str()), (400, ""), "{method}");
    }
    assert_eq!(node.connections(), 0);
}

#[actix_web::test]
async fn a_malformed_body_gets_status_400_and_closes_the_session() {
    let node = node(&[]);
    let plain: [&[u8]; 6] = [b"", b"[", br#"["1","1","room:a"]"#, b"{}", b"\xff", br#"[1e400,"1","a","b",{}]"#];
    let batches: [&[u8]; 6] = [b"", b"%%%", b"{}", b"AAEBCgM", b"[\n", b"\n"];
    let mut all: Vec<(&[u8], &[&str])> = plain.map(|body| (body, &[][..])).to_vec();
    all.extend(batches.map(|body| (body, &[BATCH][..])));
    for (body, headers) in all {
        let client = open(&node).await;
        let response = request(node.address(), "POST", &client.with_token(), headers, body).await;
        assert_eq!((response.http, response.body.as_str()), (200, r#"{"status":400}"#), "{body:?}");
        expect_closed(&client).await;
    }
    // the lines of a batch before a malformed line are handled
    let (client, mut other) = (open(&node).await, Client::new(node.address()).await);
    other.join("1", "room:a", "{}").await;
    client.send(r#"["1","1","room:a","phx_join",{}]"#).await;
    assert_eq!(client.batch(&[r#"["1","2","room:a","msg",{}]"#, "[]"]).await, 400);
    other.expect(r#"[null,null,"room:a","msg",{}]"#).await;
}

#[actix_web::test]
async fn binary_messages_can_be_sent_and_not_received() {
    let node = node(&[]);
    let mut client = open(&node).await;
    client.join("room:b").await;
    let (mut other, mut v1) =
        (Client::new(node.address()).await, LongPollClient::open(node.address(), "/socket", "1.0.0", &[]).await);
    other.join("1", "room:b", "{}").await;
    v1.send(r#"{"topic":"room:b","event":"phx_join","payload":{},"ref":"1"}"#).await;
    v1.receive().await;
    // kind 0, four lengths, "1" "3" "room:b" "bin", 01 02
    assert_eq!(client.batch(&["AAEBBgMxM3Jvb206YmJpbgEC"]).await, 200);
    let received = other.receive_any().await;
    assert_eq!(received, common::Received::Binary(b"\x02\x06\x03room:bbin\x01\x02".to_vec()));
    client.expect(json!(["1", "3", "room:b", "phx_reply", { "status": "ok", "response": {} }])).await;
    other.send_binary(b"\x00\x01\x01\x06\x0314room:bbin\x03").await;
    other.receive_until("phx_reply").await;
    other.send(r#"["1","5","room:b","text",{}]"#).await;
    client.expect(json!([null, null, "room:b", "text", {}])).await;
    v1.expect(json!({ "topic": "room:b", "event": "text", "payload": {}, "ref": null })).await;
    // of two binary messages, V1 misses both and the long-polling client one
    let pubsub = node.pubsub();
    let unencodable = || pubsub.metrics().messages_dropped.of(DropReason::Unencodable);
    wait_until("three are counted", || async { unencodable() == 3 }).await;
}

// ---- how a session closes

#[actix_web::test]
async fn a_session_expires_without_polls_and_posts() {
    let node = node(&["socket.poll_window=1s"]);
    let client = open(&node).await;
    let started = Instant::now();
    while started.elapsed() < Duration::from_secs(3) {
        client.send(HEARTBEAT).await;
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    client.poll().await;
    let silence = Instant::now();
    wait_until_empty(&node).await;
    assert!(silence.elapsed() >= Duration::from_millis(1_000), "closed after {:?}", silence.elapsed());
    expect_closed(&client).await;
}

#[actix_web::test]
async fn a_drain_ends_polls_and_rejects_new_sessions() {
    let node = node(&["drain.spread=0s"]);
    let client = open(&node).await;
    let (address, poll) = (node.address(), client.with_token());
    let polling = actix_web::rt::spawn(async move { request(address, "GET", &poll, &[], b"").await });
    tokio::time::sleep(Duration::from_millis(100)).await;
    actix_web::rt::spawn(node.drain());
    let response = polling.await.unwrap();
    assert_eq!((response.http, response.body.as_str()), (503, r#"{"status":500}"#));
}

#[actix_web::test]
async fn a_client_that_does_not_poll_is_disconnected_and_no_other_client_waits() {
    let node = node(&["limits.queue_bytes=4096"]);
    let (mut client, mut other) = (open(&node).await, Client::new(node.address()).await);
    client.join("room:a").await;
    other.join("1", "room:a", "{}").await;
    let large = "x".repeat(20_000);
    // larger than the queue, but received
    other.send(&format!(r#"["1","2","room:a","msg",{{"x":"{large}"}}]"#)).await;
    other.receive_until("phx_reply").await;
    assert_eq!(client.receive().await[4]["x"], json!(large));
    for n in 0..5 {
        other.send(&format!(r#"["1","{n}","room:a","msg",{{"x":"{large}"}}]"#)).await;
        other.receive_until("phx_reply").await;
    }
    expect_closed(&client).await;
    other.expect_nothing().await;
}

#[actix_web::test]
async fn a_client_that_floods_is_disconnected() {
    let node = node(&["limits.messages_burst=50", "limits.messages_per_second=1"]);
    let mut client = open(&node).await;
    client.join("room:a").await;
    let heartbeats = vec![HEARTBEAT; 100];
    let statuses = [client.batch(&heartbeats).await, client.batch(&heartbeats).await];
    assert!(statuses.contains(&410), "{statuses:?}");
    expect_closed(&client).await;
}

#[actix_web::test]
async fn sessions_count_against_the_limit_of_their_address() {
    let node = node(&["limits.sockets_per_ip=2"]);
    let (mut first, _second) = (open(&node).await, Client::new(node.address()).await);
    first.join("room:a").await;
    let response = request(node.address(), "GET", PATH, &[], b"").await;
    assert_eq!((response.http, response.body.as_str()), (429, r#"{"status":500}"#));
    assert_eq!(response.header("retry-after"), Some("1"));
    first.send(HEARTBEAT).await;
}

// ---- hostile requests

#[actix_web::test]
async fn a_too_large_body_gets_status_413_and_closes_the_session() {
    let node = node(&["limits.message_bytes=2000", "limits.batch_bytes=5000"]);
    let long_line = format!(r#"[null,"7","phoenix","heartbeat","{}"]"#, "x".repeat(2_000));
    let long_bytes = "A".repeat(2_800);
    for (headers, body) in [
        (&[][..], long_line.as_str()),
        (&[BATCH][..], long_line.as_str()),
        (&[BATCH], long_bytes.as_str()),
        (&[BATCH], [HEARTBEAT].repeat(200).join("\n").as_str()),
    ] {
        let client = open(&node).await;
        let response = request(node.address(), "POST", &client.with_token(), headers, body.as_bytes()).await;
        assert_eq!((response.http, response.body.as_str()), (200, r#"{"status":413}"#), "{} bytes", body.len());
        expect_closed(&client).await;
    }
}

/// The body has no declared length, and never ends.
#[actix_web::test]
async fn an_endless_body_is_stopped() {
    let node = node(&[]);
    let client = open(&node).await;
    let mut stream = TcpStream::connect(node.address()).await.unwrap();
    let head = format!(
        "POST {} HTTP/1.1\r\nhost: localhost\r\n{BATCH}\r\ntransfer-encoding: chunked\r\n\r\n",
        client.with_token()
    );
    stream.write_all(head.as_bytes()).await.unwrap();
    let chunk = [b"10000\r\n", &[b'A'; 65_536][..], b"\r\n"].concat();
    let (mut reader, mut writer) = stream.split();
    let mut received = Vec::new();
    let send = async { while writer.write_all(&chunk).await.is_ok() {} };
    let (_, _) = tokio::join!(tokio::io::AsyncReadExt::read_to_end(&mut reader, &mut received), send);
    assert!(received.ends_with(br#"{"status":413}"#), "{:?}", String::from_utf8_lossy(&received));
    expect_closed(&client).await;
}

#[actix_web::test]
async fn only_100_of_10_000_lines_are_handled() {
    let node = node(&[]);
    let client = open(&node).await;
    assert_eq!(client.batch(&vec![HEARTBEAT; 10_000]).await, 200);
    assert_eq!(client.poll().await, vec![heartbeat_reply(); 100]);
}

#[actix_web::test]
async fn an_incomplete_body_gets_status_408_and_delays_no_other_client() {
    let node = node(&["socket.poll_window=1s"]);
    let (client, other) = (open(&node).await, open(&node).await);
    let mut stream = TcpStream::connect(node.address()).await.unwrap();
    let head = format!("POST {} HTTP/1.1\r\nhost: localhost\r\ncontent-length: 35\r\n\r\n[null,", client.with_token());
    stream.write_all(head.as_bytes()).await.unwrap();
    other.send(HEARTBEAT).await;
    let slow = response(&mut stream).await;
    assert_eq!((slow.http, slow.body.as_str()), (200, r#"{"status":408}"#));
    assert_eq!(client.post(HEARTBEAT).await, 200, "the session is still open");
}

#[actix_web::test]
async fn only_one_of_a_thousand_polls_of_a_session_gets_the_message() {
    let node = node(&["server.workers=2", "limits.http_connections_per_ip=2000"]);
    let client = open(&node).await;
    let polls = (0..1_000).map(|_| client.get());
    let send = async {
        tokio::time::sleep(Duration::from_millis(500)).await;
        client.send(HEARTBEAT).await;
    };
    let (responses, ()) = tokio::join!(join_all(polls), send);
    let statuses: Vec<u64> = responses.iter().map(Response::status).collect();
    assert!(statuses.iter().all(|status| [200, 204].contains(status)), "{statuses:?}");
    assert_eq!(statuses.iter().filter(|status| **status == 200).count(), 1);
    assert_eq!(node.connections(), 1);
}

/// All messages of another client arrive once, whenever the polls come.
#[actix_web::test]
async fn no_message_is_lost_between_two_polls() {
    let node = node(&["socket.poll_window=500ms", "limits.messages_per_second=100000"]);
    let (mut client, mut other) = (open(&node).await, Client::new(node.address()).await);
    client.join("room:a").await;
    other.join("1", "room:a", "{}").await;
    let send = async {
        for n in 0..300 {
            other.send(&format!(r#"["1","2","room:a","msg",{{"n":{n}}}]"#)).await;
            other.receive_until("phx_reply").await;
            if n % 30 == 0 {
                tokio::time::sleep(Duration::from_millis(495)).await;
            }
        }
    };
    let receive = async {
        for n in 0..300 {
            client.expect(json!([null, null, "room:a", "msg", { "n": n }])).await;
        }
    };
    tokio::join!(send, receive);
}
