//! Engine.IO over requests: handshakes and their faults, polls and posts, what may not happen at the same time, and
//! the change to a WebSocket. The conversations themselves are in `transcripts/{engineio,socketio}`.

use std::net::SocketAddr;
use std::time::Duration;

use handclasp::{Channel, ConnectError, Context, Endpoint, Mount, Node, Payload, Reply, Router};
use serde_json::Value;
use tokio::io::AsyncWriteExt;

use crate::common::{self, Client, Received, config, wait_until, wait_until_empty};

const V4: &str = "/echo/?EIO=4&transport=polling";
const V3: &str = "/echo/?EIO=3&transport=polling";

/// Sends every message back.
struct Echo;

impl Channel for Echo {
    fn handle_in(&mut self, event: &str, payload: &Payload, ctx: &mut Context<'_>) -> Reply {
        ctx.push(event, payload.clone());
        Reply::NoReply
    }
}

fn router() -> Router {
    Router::new().channel("/", |_| Echo)
}

/// A node with the standard relay at `/socket.io` and an echo at `/echo`, on several workers.
fn start(sets: &[&str]) -> Node {
    let sets: Vec<&str> = sets.iter().copied().chain(["server.workers=2"]).collect();
    let refused = |_: &handclasp::ConnectInfo<'_>| Err(ConnectError::forbidden());
    Endpoint::new(config(&sets))
        .engineio(Mount::new("/echo", router()).message_bytes(100_000))
        .engineio(Mount::new("/refused", router()).connect(refused))
        .start()
        .unwrap()
}

/// An answer: its status, its head in lower case, its body.
#[derive(Debug, PartialEq, Eq)]
struct Answer {
    status: u16,
    head: String,
    body: Vec<u8>,
}

impl Answer {
    fn text(&self) -> &str {
        std::str::from_utf8(&self.body).unwrap()
    }

    /// The error's code, from its body.
    fn code(&self) -> u64 {
        assert!(self.head.contains("content-type: application/json"), "{}", self.head);
        serde_json::from_str::<Value>(self.text()).unwrap()["code"].as_u64().unwrap()
    }
}

fn request(method: &str, path: &str, headers: &[&str], body: &[u8]) -> Vec<u8> {
    let more: String = headers.iter().map(|line| format!("{line}\r\n")).collect();
    let length = if method == "GET" { String::new() } else { format!("Content-Length: {}\r\n", body.len()) };
    let head = format!("{method} {path} HTTP/1.1\r\nHost: node.test\r\n{length}{more}\r\n");
    [head.as_bytes(), body].concat()
}

/// A request whose answer is waited for later.
async fn begin(address: SocketAddr, bytes: &[u8]) -> Client {
    let stream = tokio::net::TcpStream::connect(address).await.unwrap();
    let mut client = Client::from_stream(stream);
    client.raw(bytes).await;
    client
}

async fn finish(client: &mut Client) -> Answer {
    let head = client.head().await;
    let body = client.body(&head).await;
    Answer { status: head[9..12].parse().unwrap(), head: head.to_lowercase(), body }
}

async fn ask(address: SocketAddr, method: &str, path: &str, headers: &[&str], body: &[u8]) -> Answer {
    finish(&mut begin(address, &request(method, path, headers, body)).await).await
}

async fn poll(address: SocketAddr, path: &str) -> Answer {
    ask(address, "GET", path, &[], b"").await
}

async fn post(address: SocketAddr, path: &str, body: &str) -> Answer {
    ask(address, "POST", path, &["Content-Type: text/plain;charset=UTF-8"], body.as_bytes()).await
}

/// Opens a session, and returns the path that its requests have.
async fn open(address: SocketAddr, path: &str) -> String {
    let answer = poll(address, path).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    let text = answer.text();
    let json = &text[text.find('{').unwrap()..];
    let sid = serde_json::from_str::<Value>(json).unwrap()["sid"].as_str().unwrap().to_owned();
    format!("{path}&sid={sid}")
}

fn websocket(path: &str) -> String {
    path.replace("polling", "websocket")
}

/// A WebSocket of a session that polls, tried and found good.
async fn probe(address: SocketAddr, path: &str) -> Client {
    let mut client = Client::open(address, &websocket(path), &[]).await;
    client.exchange("2probe", "3probe").await;
    client
}

// ---- the handshake

#[actix_web::test]
async fn a_session_opens_with_what_its_client_must_know() {
    let node = start(&["socketio.ping_interval=7s", "socketio.ping_timeout=9s"]);
    let answer = poll(node.address(), V4).await;
    let sid = serde_json::from_str::<Value>(&answer.text()[1..]).unwrap()["sid"].as_str().unwrap().to_owned();
    let rest = r#""upgrades":["websocket"],"pingInterval":7000,"pingTimeout":9000,"maxPayload":100000}"#;
    assert_eq!(answer.text(), format!(r#"0{{"sid":"{sid}",{rest}"#));
    assert!(answer.head.contains("content-type: text/plain; charset=utf-8"), "{}", answer.head);
    assert!(answer.head.contains("cache-control: no-store"), "{}", answer.head);
    let answer = poll(node.address(), V3).await;
    let (length, packet) = answer.text().split_once(':').unwrap();
    assert_eq!((length.parse(), &packet[..1]), (Ok(packet.len()), "0"));
    let mut client = Client::open(node.address(), &websocket(V4), &[]).await;
    assert!(client.receive().await.contains(r#""upgrades":[]"#));
}

#[actix_web::test]
async fn every_fault_of_a_request_has_its_code() {
    let node = start(&[]);
    let address = node.address();
    for path in ["/echo/?EIO=4", "/echo/?EIO=4&transport=abc", "/echo/"] {
        assert_eq!((poll(address, path).await.status, poll(address, path).await.code()), (400, 0), "{path}");
    }
    for sid in ["nobody", "local.nobody.4", "%00", ".4", "4"] {
        assert_eq!(poll(address, &format!("{V4}&sid={sid}")).await.code(), 1, "{sid}");
        assert_eq!(post(address, &format!("{V4}&sid={sid}"), "4x").await.code(), 1, "{sid}");
    }
    for method in ["POST", "PUT", "DELETE"] {
        assert_eq!(ask(address, method, V4, &[], b"").await.code(), 2, "{method}");
    }
    assert_eq!(poll(address, &websocket(V4)).await.code(), 3, "no upgrade");
    assert_eq!(poll(address, "/echo/?EIO=4&transport=polling&x=%ff").await.code(), 3, "no UTF-8");
    for path in ["/echo/?transport=polling", "/echo/?EIO=abc&transport=polling", "/echo/?EIO=5&transport=polling"] {
        assert_eq!(poll(address, path).await.code(), 5, "{path}");
    }
    let answer = poll(address, "/refused/?EIO=4&transport=polling").await;
    assert_eq!((answer.status, answer.text()), (403, r#"{"code":4,"message":"Forbidden"}"#));
    let session = open(address, V4).await;
    assert_eq!(ask(address, "PUT", &session, &[], b"").await.code(), 3);
    assert_eq!(poll(address, &session.replace("EIO=4", "EIO=3")).await.code(), 3, "another revision");
    assert_eq!(poll(address, &session.replace("/echo/", "/socket.io/")).await.code(), 1, "another mount's session");
    let (_, answer) = Client::try_open(address, &websocket(&session.replace("sid=", "sid=x")), &[]).await;
    assert!(answer.starts_with("HTTP/1.1 400"), "{answer}");
    assert_eq!(node.connections(), 1, "no fault leaves anything behind");
}

#[actix_web::test]
async fn pages_of_other_origins_read_what_the_mount_lets_them() {
    let node = start(&["socket.check_origin=https://page.test"]);
    let address = node.address();
    let (page, stranger) = ("Origin: https://page.test", "Origin: https://evil.test");
    let answer = ask(address, "GET", V4, &[page], b"").await;
    assert_eq!(answer.status, 200);
    for line in ["access-control-allow-origin: https://page.test", "access-control-allow-credentials: true"] {
        assert!(answer.head.contains(line), "{line} in {}", answer.head);
    }
    let answer = ask(address, "GET", V4, &[stranger], b"").await;
    assert_eq!((answer.status, answer.code()), (403, 4));
    assert!(!answer.head.contains("access-control"), "{}", answer.head);
    let session = open(address, V4).await;
    assert_eq!(ask(address, "GET", &session, &[stranger], b"").await.status, 403, "nor into another's session");
    let asks = "Access-Control-Request-Headers: x-one,content-type";
    let answer = ask(address, "OPTIONS", V4, &[page, "Access-Control-Request-Method: POST", asks], b"").await;
    assert_eq!(answer.status, 204);
    for line in ["allow-origin: https://page.test", "allow-headers: x-one,content-type", "allow-methods: get,post"] {
        assert!(answer.head.contains(line), "{line} in {}", answer.head);
    }
    let faulty = ask(address, "GET", "/echo/?EIO=9&transport=polling", &[page], b"").await;
    assert!(faulty.head.contains("access-control-allow-origin"), "a page may read what is wrong");
}

// ---- polls and posts

#[actix_web::test]
async fn what_is_posted_is_answered_in_order_by_the_next_poll() {
    let node = start(&[]);
    let session = open(node.address(), V4).await;
    let answer = post(node.address(), &session, "4a\u{1e}4\u{2603}\u{1e}bAP8=").await;
    assert_eq!((answer.status, answer.text()), (200, "ok"));
    assert!(answer.head.contains("content-type: text/html"), "{}", answer.head);
    assert_eq!(poll(node.address(), &session).await.text(), "4a\u{1e}4\u{2603}\u{1e}bAP8=");
    for n in 0..20 {
        post(node.address(), &session, &format!("4{n}")).await;
    }
    let all: Vec<String> = (0..20).map(|n| format!("4{n}")).collect();
    assert_eq!(poll(node.address(), &session).await.text(), all.join("\u{1e}"));
}

#[actix_web::test]
async fn revision_3_has_bytes_in_base64_or_as_they_are() {
    let node = start(&[]);
    let session = open(node.address(), V3).await;
    post(node.address(), &session, "6:4hello10:b4AQIDBA==").await;
    let answer = poll(node.address(), &session).await;
    assert_eq!(answer.body, [&[0, 6, 255][..], b"4hello", &[1, 5, 255, 4, 1, 2, 3, 4]].concat());
    assert!(answer.head.contains("content-type: application/octet-stream"), "{}", answer.head);
    let posted = ask(node.address(), "POST", &session, &["Content-Type: application/octet-stream"], &answer.body).await;
    assert_eq!(posted.text(), "ok");
    assert_eq!(poll(node.address(), &session).await.body, answer.body);
    let session = open(node.address(), &format!("{V3}&b64=1")).await.replace("&b64=1", "");
    post(node.address(), &session, "6:4hello10:b4AQIDBA==").await;
    assert_eq!(poll(node.address(), &session).await.text(), "6:4hello10:b4AQIDBA==", "as it was asked for");
    post(node.address(), &session, "1:2").await;
    assert_eq!(poll(node.address(), &session).await.text(), "1:3");
}

#[actix_web::test]
async fn a_body_larger_than_the_mount_lets_pass_is_refused_and_the_session_lives() {
    let node = start(&[]);
    let session = open(node.address(), V4).await;
    let head = format!("POST {session} HTTP/1.1\r\nHost: node.test\r\nContent-Length: 1000000000\r\n\r\n");
    let mut declared = begin(node.address(), head.as_bytes()).await;
    assert_eq!(finish(&mut declared).await.status, 413, "by what it declares");
    let head = format!("POST {session} HTTP/1.1\r\nHost: node.test\r\nTransfer-Encoding: chunked\r\n\r\n");
    let mut chunked = begin(node.address(), head.as_bytes()).await;
    for _ in 0..11 {
        chunked.raw(&[b"2710\r\n", &[b'x'; 10_000][..], b"\r\n"].concat()).await;
    }
    assert_eq!(finish(&mut chunked).await.status, 413, "by what comes");
    let most = format!("4{}", "x".repeat(99_999));
    assert_eq!(post(node.address(), &session, &most).await.status, 200);
    assert_eq!(poll(node.address(), &session).await.text(), most);
}

#[actix_web::test]
async fn two_polls_at_a_time_end_the_session() {
    let node = start(&[]);
    for (path, farewell) in [(V4, "1"), (V3, "1:1")] {
        let session = open(node.address(), path).await;
        let mut first = begin(node.address(), &request("GET", &session, &[], b"")).await;
        // nothing tells when it has arrived, and it must be the first
        tokio::time::sleep(Duration::from_millis(100)).await;
        let second = poll(node.address(), &session).await;
        let first = finish(&mut first).await;
        assert_eq!((first.status, first.text(), second.status), (200, farewell, 400));
        assert_eq!(poll(node.address(), &session).await.status, 400);
    }
    wait_until_empty(&node).await;
}

#[actix_web::test]
async fn a_poll_that_is_given_up_ends_the_session() {
    let node = start(&[]);
    let session = open(node.address(), V4).await;
    drop(begin(node.address(), &request("GET", &session, &[], b"")).await);
    wait_until_empty(&node).await;
    assert_eq!(poll(node.address(), &session).await.code(), 1);
}

#[actix_web::test]
async fn a_post_that_breaks_off_ends_the_session() {
    let node = start(&[]);
    let session = open(node.address(), V4).await;
    let head = format!("POST {session} HTTP/1.1\r\nHost: node.test\r\nContent-Length: 10\r\n\r\n4half");
    let mut posting = begin(node.address(), head.as_bytes()).await;
    posting.stream.shutdown().await.unwrap();
    wait_until_empty(&node).await;
}

#[actix_web::test]
async fn a_close_packet_is_answered_with_nothing_and_then_the_session_is_unknown() {
    let node = start(&[]);
    for (path, goodbye, nothing) in [(V4, "1", "6"), (V3, "1:1", "1:6")] {
        let session = open(node.address(), path).await;
        let mut polling = begin(node.address(), &request("GET", &session, &[], b"")).await;
        assert_eq!(post(node.address(), &session, goodbye).await.text(), "ok");
        let polled = finish(&mut polling).await;
        assert_eq!((polled.status, polled.text()), (200, nothing));
        assert_eq!(poll(node.address(), &session).await.status, 400);
    }
    wait_until_empty(&node).await;
}

#[actix_web::test]
async fn what_cannot_be_read_ends_the_session() {
    let node = start(&[]);
    for (path, body) in [
        (V4, "abc"),
        (V4, ""),
        (V4, "4a\u{1e}\u{1e}4b"),
        (V4, "2"),
        (V4, "b!"),
        (V3, "abc"),
        (V3, ""),
        (V3, "3:4"),
        (V3, "1:3"),
        (V3, "99999999999:4"),
    ] {
        let session = open(node.address(), path).await;
        let answer = post(node.address(), &session, body).await;
        assert_eq!((answer.status, answer.code()), (400, 3), "{body:?}");
        assert_eq!(poll(node.address(), &session).await.status, 400, "{body:?}");
    }
    let session = open(node.address(), V4).await;
    let answer = ask(node.address(), "POST", &session, &["Content-Type: application/octet-stream"], b"4a").await;
    assert_eq!(answer.status, 400, "revision 4 has no such body");
    wait_until_empty(&node).await;
}

#[actix_web::test]
async fn ten_thousand_packets_in_a_body_cost_their_sender_the_session() {
    let node = start(&[]);
    let session = open(node.address(), V4).await;
    assert_eq!(post(node.address(), &session, &"6\u{1e}".repeat(49_999)).await.status, 400);
    let session = open(node.address(), V4).await;
    assert_eq!(post(node.address(), &session, &vec!["6"; 9_999].join("\u{1e}")).await.status, 400, "a flood");
    wait_until_empty(&node).await;
}

// ---- time

const QUICK: [&str; 2] = ["socketio.ping_interval=200ms", "socketio.ping_timeout=800ms"];

#[actix_web::test]
async fn a_client_of_revision_4_is_pinged_and_stays_while_it_answers() {
    let node = start(&QUICK);
    let session = open(node.address(), V4).await;
    for _ in 0..8 {
        assert_eq!(poll(node.address(), &session).await.text(), "2");
        assert_eq!(post(node.address(), &session, "3").await.text(), "ok");
    }
    let mut client = Client::open(node.address(), &websocket(V4), &[]).await;
    client.receive().await;
    for _ in 0..8 {
        client.expect("2").await;
        client.send("3").await;
    }
}

#[actix_web::test]
async fn a_client_that_falls_silent_is_gone() {
    let node = start(&QUICK);
    let session = open(node.address(), V4).await;
    let mut client = Client::open(node.address(), &websocket(V4), &[]).await;
    assert_eq!(client.close_code().await, 1001);
    wait_until_empty(&node).await;
    assert_eq!(poll(node.address(), &session).await.status, 400);
    // one that polls, and says nothing else, is told
    let session = open(node.address(), V3).await;
    assert_eq!(poll(node.address(), &session).await.text(), "1:1");
    wait_until_empty(&node).await;
}

#[actix_web::test]
async fn a_client_that_connects_to_no_namespace_in_time_is_closed() {
    let node = start(&["socketio.connect_timeout=300ms"]);
    let path = "/socket.io/?EIO=4&transport=polling";
    let mut silent = Client::open(node.address(), &websocket(path), &[]).await;
    let mut client = Client::open(node.address(), &websocket(path), &[]).await;
    client.receive().await;
    client.send("40").await;
    client.receive_until("40{").await;
    assert_eq!(silent.close_code().await, 1008);
    let session = open(node.address(), path).await;
    assert_eq!(poll(node.address(), &session).await.text(), "1");
    // one that has been in a namespace may be in none
    client.send("41").await;
    client.exchange("40/end", r#"44/end,{"message":"Invalid namespace"}"#).await;
}

// ---- from polling to a WebSocket

#[actix_web::test]
async fn a_session_changes_to_a_websocket_and_loses_nothing() {
    let node = start(&[]);
    for (path, nothing) in [(V4, "6"), (V3, "1:6")] {
        let session = open(node.address(), path).await;
        let mut polling = begin(node.address(), &request("GET", &session, &[], b"")).await;
        let mut client = probe(node.address(), &session).await;
        assert_eq!(finish(&mut polling).await.text(), nothing, "the poll is let go");
        assert_eq!(poll(node.address(), &session).await.text(), nothing, "and the next");
        let said = if path == V4 { "4before" } else { "7:4before" };
        post(node.address(), &session, said).await;
        client.send("5").await;
        client.expect("4before").await;
        client.exchange("4after", "4after").await;
        assert_eq!(poll(node.address(), &session).await.code(), 3);
        assert_eq!(post(node.address(), &session, said).await.code(), 3);
        for n in 0..300 {
            client.send(&format!("4{n}")).await;
        }
        for n in 0..300 {
            client.expect(&format!("4{n}")).await;
        }
        client.send("1").await;
        assert_eq!(client.close_code().await, 1005);
    }
    wait_until_empty(&node).await;
}

#[actix_web::test]
async fn a_second_websocket_of_a_session_is_closed_and_the_first_goes_on() {
    let node = start(&["socket.write_timeout=300ms"]);
    let session = open(node.address(), V4).await;
    let mut client = probe(node.address(), &session).await;
    let mut second = Client::open(node.address(), &websocket(&session), &[]).await;
    assert_eq!(second.close_code().await, 1005, "while it is tried");
    client.send("5").await;
    let mut third = Client::open(node.address(), &websocket(&session), &[]).await;
    assert_eq!(third.close_code().await, 1005, "when it is done");
    // one does not answer the goodbye and is cut, the other answers
    third.raw(&common::frame(0x88, b"")).await;
    for other in [&mut second, &mut third] {
        assert_eq!(other.receive_any().await, Received::Eof);
    }
    client.exchange("4still here", "4still here").await;
    drop(client);
    wait_until_empty(&node).await;
}

#[actix_web::test]
async fn a_change_that_fails_leaves_the_session_polling() {
    let node = start(&[]);
    let session = open(node.address(), V4).await;
    let mut client = probe(node.address(), &session).await;
    client.send("4not yet").await;
    assert_eq!(client.close_code().await, 1005);
    drop(client);
    drop(probe_again(&node, &session).await);
    let mut client = probe_again(&node, &session).await;
    assert_eq!(post(node.address(), &session, "4polled").await.text(), "ok");
    assert_eq!(poll(node.address(), &session).await.text(), "4polled");
    client.send("5").await;
    client.exchange("4changed", "4changed").await;
}

#[actix_web::test]
async fn a_change_that_takes_too_long_is_none() {
    let node = start(&["socketio.upgrade_timeout=300ms"]);
    let session = open(node.address(), V4).await;
    let mut silent = Client::open(node.address(), &websocket(&session), &[]).await;
    assert_eq!(silent.close_code().await, 1005);
    let mut probing = probe_again(&node, &session).await;
    assert_eq!(probing.close_code().await, 1005);
    post(node.address(), &session, "4a").await;
    assert_eq!(poll(node.address(), &session).await.text(), "4a", "it polls on");
}

/// A WebSocket is let in again once the one before it is known to be gone.
async fn probe_again(node: &Node, session: &str) -> Client {
    loop {
        let mut client = Client::open(node.address(), &websocket(session), &[]).await;
        client.send("2probe").await;
        if client.receive_any().await == Received::Text("3probe".to_owned()) {
            return client;
        }
    }
}

#[actix_web::test]
async fn a_session_ends_with_its_websocket() {
    let node = start(&[]);
    let session = open(node.address(), V4).await;
    let mut client = probe(node.address(), &session).await;
    client.send("5").await;
    client.send("4last words").await;
    client.expect("4last words").await;
    drop(client);
    wait_until_empty(&node).await;
    assert_eq!(poll(node.address(), &session).await.code(), 1);
}

#[actix_web::test]
async fn what_breaks_the_format_ends_a_session_that_has_changed() {
    let node = start(&[]);
    let session = open(node.address(), V4).await;
    let mut client = probe(node.address(), &session).await;
    client.send("5").await;
    client.send("abc").await;
    assert_eq!(client.close_code().await, 1011);
    wait_until_empty(&node).await;
}

// ---- pressure and the end

#[actix_web::test]
async fn a_client_that_does_not_poll_is_a_slow_consumer() {
    let node = start(&["limits.queue_bytes=20000"]);
    let session = open(node.address(), V4).await;
    for _ in 0..3 {
        assert_eq!(post(node.address(), &session, &format!("4{}", "x".repeat(50_000))).await.status, 200);
    }
    for _ in 0..3 {
        post(node.address(), &session, &format!("4{}", "x".repeat(50_000))).await;
    }
    wait_until_empty(&node).await;
    assert_eq!(poll(node.address(), &session).await.status, 400);
}

#[actix_web::test]
async fn one_large_message_passes_however_little_may_wait() {
    let node = start(&["limits.queue_bytes=4096"]);
    let large = format!("4{}", "x".repeat(90_000));
    let session = open(node.address(), V4).await;
    post(node.address(), &session, &large).await;
    assert_eq!(poll(node.address(), &session).await.text(), large);
    let mut client = probe(node.address(), &session).await;
    client.send("5").await;
    client.exchange(&large, &large).await;
    // its bytes, in messages of their own, are a part of it
    let path = "/socket.io/?EIO=4&transport=polling";
    let (hearer, speaker) = (open(node.address(), path).await, open(node.address(), path).await);
    for session in [&hearer, &speaker] {
        post(node.address(), session, "40").await;
        poll(node.address(), session).await;
    }
    let placeholders: Vec<String> = (0..10).map(|n| format!(r#"{{"_placeholder":true,"num":{n}}}"#)).collect();
    let text = |kind: &str| format!(r#"{kind}["message",{}]"#, placeholders.join(","));
    let bytes = format!("\u{1e}b{}", "AAAA".repeat(2_000)).repeat(10);
    post(node.address(), &speaker, &(text("4510-") + &bytes)).await;
    assert_eq!(poll(node.address(), &hearer).await.text(), text("4510-") + &bytes);
}

#[actix_web::test]
async fn connections_of_an_address_are_counted_however_they_come() {
    let node = start(&["limits.sockets_per_ip=2"]);
    let _first = open(node.address(), V4).await;
    let _second = Client::open(node.address(), &websocket(V4), &[]).await;
    assert_eq!(poll(node.address(), V4).await.status, 429);
    let (_, answer) = Client::try_open(node.address(), &websocket(V4), &[]).await;
    assert!(answer.starts_with("HTTP/1.1 429"), "{answer}");
}

#[actix_web::test]
async fn a_drain_tells_polling_clients() {
    let node = start(&["drain.spread=0s"]);
    let session = open(node.address(), V4).await;
    let mut polling = begin(node.address(), &request("GET", &session, &[], b"")).await;
    let changed = open(node.address(), V4).await;
    let mut client = probe(node.address(), &changed).await;
    client.send("5").await;
    client.exchange("4here", "4here").await;
    let address = node.address();
    wait_until("a poll that waits", || async { node.connections() == 2 }).await;
    let draining = actix_web::rt::spawn(node.drain());
    assert_eq!(finish(&mut polling).await.text(), "1");
    assert_eq!(client.close_code().await, 1012);
    drop(client);
    drop(draining.await);
    assert!(tokio::net::TcpStream::connect(address).await.is_err());
}
