//! Long polling as Phoenix has it, request by request: section 10 of the protocol's specification, what
//! section 13 changes of it, and what a hostile client may try.

use std::time::{Duration, Instant};

use futures_util::future::join_all;
use handclasp::metrics::DropReason;
use handclasp::{Channel, Context, Endpoint, Mount, Node, Payload, Reply, Router, SocketInit};
use serde_json::{Value, json};
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;

use crate::common::longpoll::{BATCH, LongPollClient, Response, request, response};
use crate::common::{self, Client, config, node, wait_until, wait_until_empty};

const V2: &str = "2.0.0";
const PATH: &str = "/socket/longpoll?vsn=2.0.0";
const BEAT: &str = r#"[null,"7","phoenix","heartbeat",{}]"#;

fn beaten() -> Value {
    json!([null, "7", "phoenix", "phx_reply", { "status": "ok", "response": {} }])
}

async fn open(node: &Node) -> LongPollClient {
    LongPollClient::open(node.address(), "/socket", V2, &[]).await
}

/// A session ends, and nothing of it is left.
async fn is_gone(client: &LongPollClient) {
    assert_eq!(client.post(BEAT).await, 410);
    let answer = client.get().await.json();
    assert_eq!(answer["status"], 410);
    assert_ne!(answer["token"], json!(client.token));
}

// ---- GET

#[actix_web::test]
async fn a_get_without_a_session_opens_one_and_says_410() {
    let node = node(&[]);
    let mut tokens = Vec::new();
    for query in ["", "&token=", "&token=null", "&token=local.0123", "&token=%00%ff"] {
        let answer = request(node.address(), "GET", &format!("{PATH}{query}"), &[], b"").await;
        if query.contains("%ff") {
            assert_eq!((answer.http, answer.body.as_str()), (400, ""));
            continue;
        }
        assert_eq!(answer.http, 200);
        assert_eq!(answer.header("content-type"), Some("application/json; charset=utf-8"));
        assert_eq!(answer.header("access-control-allow-origin"), Some("*"));
        assert_eq!(answer.header("cache-control"), Some("no-store"));
        let token = answer.json()["token"].as_str().unwrap().to_owned();
        assert_eq!(answer.json(), json!({ "status": 410, "token": token, "messages": [] }));
        assert!(!tokens.contains(&token));
        tokens.push(token);
    }
    assert_eq!(node.connections(), 4);
}

#[actix_web::test]
async fn one_trailing_slash_is_the_same_path() {
    let node = node(&[]);
    for (path, status) in [("/socket/longpoll/", 200), ("/ws/longpoll", 200), ("/socket/longpoll/more", 404)] {
        assert_eq!(request(node.address(), "GET", path, &[], b"").await.http, status, "{path}");
    }
}

#[actix_web::test]
async fn a_client_that_may_not_connect_is_answered_403() {
    let mount = Mount::new("/own", Router::new()).connect(|info| {
        assert_ne!(info.param("be"), Some("dead"), "as the test wants it");
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
        let answer = request(node.address(), method, path, headers, b"").await;
        assert_eq!((answer.http, answer.body.as_str()), (200, r#"{"status":403}"#), "{method} {path}");
        assert_eq!(answer.header("access-control-allow-origin"), Some("*"));
    }
    assert_eq!(node.pubsub().metrics().connections_refused.get(), 6);
    let answer = request(node.address(), "GET", "/own/longpoll?vsn=2.0.0&be=dead", &[], b"").await;
    assert_eq!((answer.http, answer.body.as_str()), (500, r#"{"status":500}"#));
}

#[actix_web::test]
async fn a_poll_is_answered_with_the_first_message_or_after_the_window() {
    let node = node(&["socket.poll_window=2s"]);
    let mut client = open(&node).await;
    client.join("room:a").await;
    let answer = client.get().await;
    assert_eq!(answer.json(), json!({ "status": 204, "token": client.token, "messages": [] }));
    let mut other = Client::new(node.address()).await;
    other.join("1", "room:a", "{}").await;
    let asking = actix_web::rt::spawn({
        let (address, path) = (node.address(), client.with_token());
        async move { request(address, "GET", &path, &[], b"").await }
    });
    other.send(r#"["1","2","room:a","said",{"é\n":"\"\u0000"}]"#).await;
    let heard = asking.await.unwrap().json();
    assert_eq!(heard["messages"], json!([r#"[null,null,"room:a","said",{"é\n":"\"\u0000"}]"#]));
    client.batch(&[BEAT, r#"["1","2","room:a","said",{"n":1}]"#]).await;
    other.receive_until(r#"{"n":1}"#).await;
    let ok = json!(["1", "2", "room:a", "phx_reply", { "status": "ok", "response": {} }]);
    assert_eq!(client.poll().await, [beaten(), ok], "what waits comes at once, in order");
}

#[actix_web::test]
async fn of_two_polls_the_newer_one_gets_the_messages() {
    let node = node(&[]);
    let client = open(&node).await;
    let older = client.get();
    let newer = async {
        // the older one has been asked before: its answer shows when the newer has taken its place
        tokio::time::sleep(Duration::from_millis(50)).await;
        client.get().await
    };
    let speak = async {
        tokio::time::sleep(Duration::from_millis(300)).await;
        client.send(BEAT).await;
    };
    let (older, newer, ()) = tokio::join!(older, newer, speak);
    assert_eq!((older.status(), newer.status()), (204, 200));
}

#[actix_web::test]
async fn a_token_may_come_in_a_header_which_counts_first() {
    let node = node(&[]);
    let client = open(&node).await;
    client.send(BEAT).await;
    let header = format!("x-phoenix-longpoll-token: {}", client.token);
    for path in [PATH, &format!("{PATH}&token=nonsense")] {
        assert_eq!(request(node.address(), "POST", path, &[&header], BEAT.as_bytes()).await.status(), 200);
    }
    let nonsense = ["x-phoenix-longpoll-token: nonsense"];
    assert_eq!(request(node.address(), "GET", &client.with_token(), &nonsense, b"").await.status(), 410);
    assert_eq!(request(node.address(), "GET", PATH, &[&header], b"").await.json()["token"], json!(client.token));
}

/// Tells its client how it has come.
struct Mirror;

/// What the mount has seen.
struct Seen(Value);

impl Channel for Mirror {
    fn handle_in(&mut self, _: &str, _: &Payload, ctx: &mut Context<'_>) -> Reply {
        let transport = ctx.transport();
        let seen = ctx.assigns().get::<Seen>().map(|seen| seen.0.clone());
        Reply::ok_with(json!({ "transport": transport, "seen": seen }).into())
    }
}

#[actix_web::test]
async fn a_mount_is_told_of_the_transport_and_the_auth_token() {
    let mount = Mount::new("/own", Router::new().channel("mirror:*", |_| Mirror)).connect(|info| {
        let seen = json!([info.transport(), info.auth_token(), info.param("user")]);
        Ok(SocketInit::default().assign(Seen(seen)))
    });
    let node = Endpoint::new(config(&[])).mount(mount).start().unwrap();
    let headers = ["x-phoenix-authtoken: secret"];
    let mut client = LongPollClient::open(node.address(), "/own?user=me", V2, &headers).await;
    client.join("mirror:a").await;
    client.send(r#"["1","2","mirror:a","see",{}]"#).await;
    let want = json!({ "transport": "longpoll", "seen": ["longpoll", "secret", "me"] });
    assert_eq!(client.receive().await[4]["response"], want);
    let mut other = Client::open(node.address(), "/own/websocket?vsn=2.0.0", &[]).await;
    other.join("1", "mirror:a", "{}").await;
    other.send(r#"["1","2","mirror:a","see",{}]"#).await;
    let heard: Value = serde_json::from_str(&other.receive().await).unwrap();
    assert_eq!(heard[4]["response"], json!({ "transport": "websocket", "seen": ["websocket", null, null] }));
}

// ---- POST, OPTIONS, and the rest

#[actix_web::test]
async fn a_post_without_a_session_hears_410() {
    let node = node(&[]);
    let client = open(&node).await;
    let elsewhere = client.with_token().replace("/socket/", "/ws/");
    for path in [PATH, &format!("{PATH}&token=nonsense"), &elsewhere] {
        let answer = request(node.address(), "POST", path, &[], BEAT.as_bytes()).await;
        assert_eq!((answer.http, answer.body.as_str()), (200, r#"{"status":410}"#), "{path}");
    }
    assert_eq!(client.post(BEAT).await, 200, "at its own mount the token is good");
}

#[actix_web::test]
async fn a_preflight_is_granted_and_other_methods_are_not_known() {
    let node = node(&[]);
    let wants = ["access-control-request-headers: content-type, x-phoenix-authtoken"];
    let answer = request(node.address(), "OPTIONS", PATH, &wants, b"").await;
    assert_eq!((answer.http, answer.body.as_str()), (200, ""));
    assert_eq!(answer.header("access-control-allow-origin"), Some("*"));
    assert_eq!(answer.header("access-control-allow-headers"), Some("content-type, x-phoenix-authtoken"));
    assert_eq!(answer.header("access-control-allow-methods"), Some("get, post, options"));
    assert_eq!(answer.header("access-control-max-age"), Some("3600"));
    for method in ["PUT", "DELETE", "PATCH", "HEAD", "TRACE"] {
        let answer = request(node.address(), method, PATH, &[], b"").await;
        assert_eq!((answer.http, answer.body.as_str()), (400, ""), "{method}");
    }
    assert_eq!(node.connections(), 0);
}

#[actix_web::test]
async fn what_cannot_be_read_is_400_and_ends_the_session() {
    let node = node(&[]);
    let plain: [&[u8]; 6] = [b"", b"[", br#"["1","1","room:a"]"#, b"{}", b"\xff", br#"[1e400,"1","a","b",{}]"#];
    let batches: [&[u8]; 6] = [b"", b"%%%", b"{}", b"AAEBCgM", b"[\n", b"\n"];
    let mut all: Vec<(&[u8], &[&str])> = plain.map(|body| (body, &[][..])).to_vec();
    all.extend(batches.map(|body| (body, &[BATCH][..])));
    for (body, headers) in all {
        let client = open(&node).await;
        let answer = request(node.address(), "POST", &client.with_token(), headers, body).await;
        assert_eq!((answer.http, answer.body.as_str()), (200, r#"{"status":400}"#), "{body:?}");
        is_gone(&client).await;
    }
    // a line that cannot be read keeps none of its batch from being heard that stands before it
    let (client, mut other) = (open(&node).await, Client::new(node.address()).await);
    other.join("1", "room:a", "{}").await;
    client.send(r#"["1","1","room:a","phx_join",{}]"#).await;
    assert_eq!(client.batch(&[r#"["1","2","room:a","said",{}]"#, "[]"]).await, 400);
    other.expect(r#"[null,null,"room:a","said",{}]"#).await;
}

#[actix_web::test]
async fn bytes_go_up_and_not_down() {
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
    let heard = other.receive_any().await;
    assert_eq!(heard, common::Received::Binary(b"\x02\x06\x03room:bbin\x01\x02".to_vec()));
    client.expect(json!(["1", "3", "room:b", "phx_reply", { "status": "ok", "response": {} }])).await;
    other.send_binary(b"\x00\x01\x01\x06\x0314room:bbin\x03").await;
    other.receive_until("phx_reply").await;
    other.send(r#"["1","5","room:b","text",{}]"#).await;
    client.expect(json!([null, null, "room:b", "text", {}])).await;
    v1.expect(json!({ "topic": "room:b", "event": "text", "payload": {}, "ref": null })).await;
    // of two messages of bytes, V1 missed both and the one who polls one
    let pubsub = node.pubsub();
    let unencodable = || pubsub.metrics().messages_dropped.of(DropReason::Unencodable);
    wait_until("three are counted", || async { unencodable() == 3 }).await;
}

// ---- how a session ends

#[actix_web::test]
async fn a_session_lives_by_polls_and_by_posts_and_ends_without() {
    let node = node(&["socket.poll_window=1s"]);
    let client = open(&node).await;
    let began = Instant::now();
    while began.elapsed() < Duration::from_secs(3) {
        client.send(BEAT).await;
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    client.poll().await;
    let silence = Instant::now();
    wait_until_empty(&node).await;
    assert!(silence.elapsed() >= Duration::from_millis(1_000), "gone after {:?}", silence.elapsed());
    is_gone(&client).await;
}

#[actix_web::test]
async fn a_drain_ends_polls_and_lets_nobody_in() {
    let node = node(&["drain.spread=0s"]);
    let client = open(&node).await;
    let (address, poll) = (node.address(), client.with_token());
    let asking = actix_web::rt::spawn(async move { request(address, "GET", &poll, &[], b"").await });
    tokio::time::sleep(Duration::from_millis(100)).await;
    actix_web::rt::spawn(node.drain());
    let answer = asking.await.unwrap();
    assert_eq!((answer.http, answer.body.as_str()), (503, r#"{"status":500}"#));
}

#[actix_web::test]
async fn a_client_that_does_not_poll_for_its_messages_is_cut_off_and_nobody_waits() {
    let node = node(&["limits.queue_bytes=4096"]);
    let (mut client, mut other) = (open(&node).await, Client::new(node.address()).await);
    client.join("room:a").await;
    other.join("1", "room:a", "{}").await;
    let large = "x".repeat(20_000);
    // larger than the queue, and heard all the same
    other.send(&format!(r#"["1","2","room:a","said",{{"x":"{large}"}}]"#)).await;
    other.receive_until("phx_reply").await;
    assert_eq!(client.receive().await[4]["x"], json!(large));
    for n in 0..5 {
        other.send(&format!(r#"["1","{n}","room:a","said",{{"x":"{large}"}}]"#)).await;
        other.receive_until("phx_reply").await;
    }
    is_gone(&client).await;
    other.expect_nothing().await;
}

#[actix_web::test]
async fn a_client_that_floods_is_cut_off() {
    let node = node(&["limits.messages_burst=50", "limits.messages_per_second=1"]);
    let mut client = open(&node).await;
    client.join("room:a").await;
    let beats = vec![BEAT; 100];
    let told = [client.batch(&beats).await, client.batch(&beats).await];
    assert!(told.contains(&410), "{told:?}");
    is_gone(&client).await;
}

#[actix_web::test]
async fn sessions_count_against_the_limit_of_their_address() {
    let node = node(&["limits.sockets_per_ip=2"]);
    let (_first, _second) = (open(&node).await, Client::new(node.address()).await);
    let answer = request(node.address(), "GET", PATH, &[], b"").await;
    assert_eq!((answer.http, answer.body.as_str()), (429, r#"{"status":500}"#));
}

// ---- what a hostile client may try

#[actix_web::test]
async fn a_body_that_is_too_large_is_413_and_ends_the_session() {
    let node = node(&["limits.message_bytes=2000", "limits.batch_bytes=5000"]);
    let long_line = format!(r#"[null,"7","phoenix","heartbeat","{}"]"#, "x".repeat(2_000));
    let long_bytes = "A".repeat(2_800);
    for (headers, body) in [
        (&[][..], long_line.as_str()),
        (&[BATCH][..], long_line.as_str()),
        (&[BATCH], long_bytes.as_str()),
        (&[BATCH], [BEAT].repeat(200).join("\n").as_str()),
    ] {
        let client = open(&node).await;
        let answer = request(node.address(), "POST", &client.with_token(), headers, body.as_bytes()).await;
        assert_eq!((answer.http, answer.body.as_str()), (200, r#"{"status":413}"#), "{} bytes", body.len());
        is_gone(&client).await;
    }
}

/// Its length is not told before, and it never ends.
#[actix_web::test]
async fn a_body_without_end_is_given_up() {
    let node = node(&[]);
    let client = open(&node).await;
    let mut stream = TcpStream::connect(node.address()).await.unwrap();
    let head =
        format!("POST {} HTTP/1.1\r\nhost: x\r\n{BATCH}\r\ntransfer-encoding: chunked\r\n\r\n", client.with_token());
    stream.write_all(head.as_bytes()).await.unwrap();
    let chunk = [b"10000\r\n", &[b'A'; 65_536][..], b"\r\n"].concat();
    let (mut reader, mut writer) = stream.split();
    let mut heard = Vec::new();
    let send = async { while writer.write_all(&chunk).await.is_ok() {} };
    let (_, _) = tokio::join!(tokio::io::AsyncReadExt::read_to_end(&mut reader, &mut heard), send);
    assert!(heard.ends_with(br#"{"status":413}"#), "{:?}", String::from_utf8_lossy(&heard));
    is_gone(&client).await;
}

#[actix_web::test]
async fn of_ten_thousand_lines_a_hundred_count() {
    let node = node(&[]);
    let client = open(&node).await;
    assert_eq!(client.batch(&vec![BEAT; 10_000]).await, 200);
    assert_eq!(client.poll().await, vec![beaten(); 100]);
}

#[actix_web::test]
async fn a_body_that_does_not_arrive_is_408_and_holds_nobody_up() {
    let node = node(&["socket.poll_window=1s"]);
    let (client, other) = (open(&node).await, open(&node).await);
    let mut stream = TcpStream::connect(node.address()).await.unwrap();
    let head = format!("POST {} HTTP/1.1\r\nhost: x\r\ncontent-length: 35\r\n\r\n[null,", client.with_token());
    stream.write_all(head.as_bytes()).await.unwrap();
    other.send(BEAT).await;
    let slow = response(&mut stream).await;
    assert_eq!((slow.http, slow.body.as_str()), (200, r#"{"status":408}"#));
    assert_eq!(client.post(BEAT).await, 200, "the session goes on");
}

#[actix_web::test]
async fn a_thousand_polls_of_one_session_are_one() {
    let node = node(&["server.workers=2", "limits.http_connections_per_ip=2000"]);
    let client = open(&node).await;
    let polls = (0..1_000).map(|_| client.get());
    let speak = async {
        tokio::time::sleep(Duration::from_millis(500)).await;
        client.send(BEAT).await;
    };
    let (answers, ()) = tokio::join!(join_all(polls), speak);
    let told: Vec<u64> = answers.iter().map(Response::status).collect();
    assert!(told.iter().all(|status| [200, 204].contains(status)), "{told:?}");
    assert_eq!(told.iter().filter(|status| **status == 200).count(), 1);
    assert_eq!(node.connections(), 1);
}

/// Messages of many senders reach one who polls, all of them and once, however the polls fall.
#[actix_web::test]
async fn nothing_is_lost_between_two_polls() {
    let node = node(&["socket.poll_window=500ms", "limits.messages_per_second=100000"]);
    let (mut client, mut other) = (open(&node).await, Client::new(node.address()).await);
    client.join("room:a").await;
    other.join("1", "room:a", "{}").await;
    let speak = async {
        for n in 0..300 {
            other.send(&format!(r#"["1","2","room:a","said",{{"n":{n}}}]"#)).await;
            other.receive_until("phx_reply").await;
            if n % 30 == 0 {
                tokio::time::sleep(Duration::from_millis(495)).await;
            }
        }
    };
    let hear = async {
        for n in 0..300 {
            client.expect(json!([null, null, "room:a", "said", { "n": n }])).await;
        }
    };
    tokio::join!(speak, hear);
}
