//! Engine.IO over HTTP: the handshake and its errors, polls and posts, and overlapping requests. The child modules test
//! revisions 2 and 3, JSONP, the upgrade to a WebSocket, and limits. The messages themselves are in
//! `transcripts/{engineio,socketio}`.

use std::net::SocketAddr;
use std::time::Duration;

use handclasp::{Channel, ConnectError, Context, Endpoint, Mount, Node, Payload, Reply, Router};
use serde_json::Value;
use tokio::io::AsyncWriteExt;

use crate::common::{self, Client, Received, config, wait_until, wait_until_empty};

mod contests;
mod jsonp;
mod limits;
mod old_revisions;
mod upgrade;

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
    let refused = |_: &handclasp::ConnectInfo| Err(ConnectError::forbidden());
    Endpoint::new(config(&sets))
        .engineio(Mount::new("/echo", router()).message_bytes(100_000))
        .engineio(Mount::new("/refused", router()).connect(refused))
        .start()
        .unwrap()
}

/// A response: its status, its head in lower case, and its body.
#[derive(Debug, PartialEq, Eq)]
struct Response {
    status: u16,
    head: String,
    body: Vec<u8>,
}

impl Response {
    fn text(&self) -> &str {
        std::str::from_utf8(&self.body).unwrap()
    }

    /// The error code in the body.
    fn error_code(&self) -> u64 {
        assert!(self.head.contains("content-type: application/json"), "{}", self.head);
        serde_json::from_str::<Value>(self.text()).unwrap()["code"].as_u64().unwrap()
    }
}

fn request(method: &str, path: &str, headers: &[&str], body: &[u8]) -> Vec<u8> {
    let more: String = headers.iter().map(|line| format!("{line}\r\n")).collect();
    let length = if method == "GET" { String::new() } else { format!("Content-Length: {}\r\n", body.len()) };
    let head = format!("{method} {path} HTTP/1.1\r\nHost: node.localhost\r\n{length}{more}\r\n");
    [head.as_bytes(), body].concat()
}

/// Sends a request, and leaves its response for later.
async fn begin(address: SocketAddr, bytes: &[u8]) -> Client {
    let stream = tokio::net::TcpStream::connect(address).await.unwrap();
    let mut client = Client::from_stream(stream);
    client.raw(bytes).await;
    client
}

async fn finish(client: &mut Client) -> Response {
    let head = client.head().await;
    let body = client.body(&head).await;
    Response { status: head[9..12].parse().unwrap(), head: head.to_lowercase(), body }
}

async fn send(address: SocketAddr, method: &str, path: &str, headers: &[&str], body: &[u8]) -> Response {
    finish(&mut begin(address, &request(method, path, headers, body)).await).await
}

async fn poll(address: SocketAddr, path: &str) -> Response {
    send(address, "GET", path, &[], b"").await
}

async fn post(address: SocketAddr, path: &str, body: &str) -> Response {
    send(address, "POST", path, &["Content-Type: text/plain;charset=UTF-8"], body.as_bytes()).await
}

/// A payload of text packets in the binary form of revisions 2 and 3.
fn packed(packets: &[&str]) -> Vec<u8> {
    let pack = |packet: &&str| {
        let digits: Vec<u8> = packet.len().to_string().bytes().map(|digit| digit - b'0').collect();
        [&[0][..], &digits, &[255], packet.as_bytes()].concat()
    };
    packets.iter().flat_map(pack).collect()
}

/// Opens a session, and returns the path of its requests.
async fn open(address: SocketAddr, path: &str) -> String {
    let response = poll(address, path).await;
    assert_eq!(response.status, 200, "{response:?}");
    // the length before the packet may not be UTF-8
    let text = String::from_utf8_lossy(&response.body);
    let json = &text[text.find('{').unwrap()..];
    let sid = serde_json::from_str::<Value>(json).unwrap()["sid"].as_str().unwrap().to_owned();
    format!("{path}&sid={sid}")
}

fn websocket(path: &str) -> String {
    path.replace("polling", "websocket")
}

/// Opens a WebSocket for a long-polling session, up to the successful probe.
async fn probe(address: SocketAddr, path: &str) -> Client {
    let mut client = Client::open(address, &websocket(path), &[]).await;
    client.exchange("2probe", "3probe").await;
    client
}

// ---- the handshake

#[actix_web::test]
async fn the_handshake_contains_the_session_parameters() {
    let node = start(&["socketio.ping_interval=7s", "socketio.ping_timeout=9s"]);
    let response = poll(node.address(), V4).await;
    let sid = serde_json::from_str::<Value>(&response.text()[1..]).unwrap()["sid"].as_str().unwrap().to_owned();
    let rest = r#""upgrades":["websocket"],"pingInterval":7000,"pingTimeout":9000,"maxPayload":100000}"#;
    assert_eq!(response.text(), format!(r#"0{{"sid":"{sid}",{rest}"#));
    assert!(response.head.contains("content-type: text/plain; charset=utf-8"), "{}", response.head);
    assert!(response.head.contains("cache-control: no-store"), "{}", response.head);
    let mut client = Client::open(node.address(), &websocket(V4), &[]).await;
    assert!(client.receive().await.contains(r#""upgrades":[]"#));
}

#[actix_web::test]
async fn every_invalid_request_has_an_error_code() {
    let node = start(&[]);
    let address = node.address();
    for path in ["/echo/?EIO=4", "/echo/?EIO=4&transport=abc", "/echo/"] {
        assert_eq!((poll(address, path).await.status, poll(address, path).await.error_code()), (400, 0), "{path}");
    }
    for sid in ["nobody", "local.nobody.4", "%00", ".4", "4"] {
        assert_eq!(poll(address, &format!("{V4}&sid={sid}")).await.error_code(), 1, "{sid}");
        assert_eq!(post(address, &format!("{V4}&sid={sid}"), "4x").await.error_code(), 1, "{sid}");
    }
    for method in ["POST", "PUT", "DELETE"] {
        assert_eq!(send(address, method, V4, &[], b"").await.error_code(), 2, "{method}");
    }
    assert_eq!(poll(address, &websocket(V4)).await.error_code(), 3, "not an upgrade request");
    assert_eq!(poll(address, "/echo/?EIO=4&transport=polling&x=%ff").await.error_code(), 3, "not UTF-8");
    for path in ["/echo/?transport=polling", "/echo/?EIO=abc&transport=polling", "/echo/?EIO=5&transport=polling"] {
        assert_eq!(poll(address, path).await.error_code(), 5, "{path}");
    }
    let response = poll(address, "/refused/?EIO=4&transport=polling").await;
    assert_eq!((response.status, response.text()), (403, r#"{"code":4,"message":"Forbidden"}"#));
    let session = open(address, V4).await;
    assert_eq!(send(address, "PUT", &session, &[], b"").await.error_code(), 3);
    assert_eq!(poll(address, &session.replace("EIO=4", "EIO=3")).await.error_code(), 3, "another revision");
    assert_eq!(
        poll(address, &session.replace("/echo/", "/socket.io/")).await.error_code(),
        1,
        "the session of another mount"
    );
    let (_, response) = Client::try_open(address, &websocket(&session.replace("sid=", "sid=x")), &[]).await;
    assert!(response.starts_with("HTTP/1.1 400"), "{response}");
    assert_eq!(node.connections(), 1, "a rejected request leaves nothing behind");
}

#[actix_web::test]
async fn other_origins_can_read_responses_if_the_mount_allows_them() {
    let node = start(&["socket.check_origin=https://page.test"]);
    let address = node.address();
    let (page, other_origin) = ("Origin: https://page.test", "Origin: https://evil.test");
    let response = send(address, "GET", V4, &[page], b"").await;
    assert_eq!(response.status, 200);
    for line in ["access-control-allow-origin: https://page.test", "access-control-allow-credentials: true"] {
        assert!(response.head.contains(line), "{line} in {}", response.head);
    }
    let response = send(address, "GET", V4, &[other_origin], b"").await;
    assert_eq!((response.status, response.error_code()), (403, 4));
    assert!(!response.head.contains("access-control"), "{}", response.head);
    let session = open(address, V4).await;
    assert_eq!(send(address, "GET", &session, &[other_origin], b"").await.status, 403, "nor with an existing session");
    let requested_headers = "Access-Control-Request-Headers: x-one,content-type";
    let response =
        send(address, "OPTIONS", V4, &[page, "Access-Control-Request-Method: POST", requested_headers], b"").await;
    assert_eq!(response.status, 204);
    for line in ["allow-origin: https://page.test", "allow-headers: x-one,content-type", "allow-methods: get,post"] {
        assert!(response.head.contains(line), "{line} in {}", response.head);
    }
    let invalid = send(address, "GET", "/echo/?EIO=9&transport=polling", &[page], b"").await;
    assert!(invalid.head.contains("access-control-allow-origin"), "a page can read the error");
}

/// A page that was opened as a file has the origin `null`. The application's own mounts keep `socket.check_origin`.
#[actix_web::test]
async fn pages_of_every_origin_may_use_the_relay_unless_it_is_configured() {
    let (default, listed) = (start(&[]), start(&["socketio.check_origin=https://page.test"]));
    let relay = V4.replace("/echo/", "/socket.io/");
    let websocket = relay.replace("polling", "websocket");
    for origin in ["null", "https://page.test", "https://evil.test"] {
        let header = format!("Origin: {origin}");
        let response = send(default.address(), "GET", &relay, &[&header], b"").await;
        assert_eq!(response.status, 200, "{origin}");
        for line in [format!("allow-origin: {origin}"), "allow-credentials: true".to_owned()] {
            assert!(response.head.contains(&line), "{line} in {}", response.head);
        }
        let (_, head) = Client::try_open(default.address(), &websocket, &[&header]).await;
        assert!(head.starts_with("HTTP/1.1 101"), "{head}");
        assert_eq!(send(default.address(), "GET", V4, &[&header], b"").await.status, 403, "{origin}: own mount");
        let expected = if origin == "https://page.test" { 200 } else { 403 };
        assert_eq!(send(listed.address(), "GET", &relay, &[&header], b"").await.status, expected, "{origin}: listed");
    }
}

// ---- polls and posts

#[actix_web::test]
async fn posted_messages_are_echoed_in_order_in_the_next_poll() {
    let node = start(&[]);
    let session = open(node.address(), V4).await;
    let response = post(node.address(), &session, "4a\u{1e}4\u{2603}\u{1e}bAP8=").await;
    assert_eq!((response.status, response.text()), (200, "ok"));
    assert!(response.head.contains("content-type: text/html"), "{}", response.head);
    assert_eq!(poll(node.address(), &session).await.text(), "4a\u{1e}4\u{2603}\u{1e}bAP8=");
    for n in 0..20 {
        post(node.address(), &session, &format!("4{n}")).await;
    }
    let all: Vec<String> = (0..20).map(|n| format!("4{n}")).collect();
    assert_eq!(poll(node.address(), &session).await.text(), all.join("\u{1e}"));
}

#[actix_web::test]
async fn a_too_large_body_is_rejected_and_the_session_stays_open() {
    let node = start(&[]);
    let session = open(node.address(), V4).await;
    let head = format!("POST {session} HTTP/1.1\r\nHost: node.localhost\r\nContent-Length: 1000000000\r\n\r\n");
    let mut declared = begin(node.address(), head.as_bytes()).await;
    assert_eq!(finish(&mut declared).await.status, 413, "because of the declared length");
    let head = format!("POST {session} HTTP/1.1\r\nHost: node.localhost\r\nTransfer-Encoding: chunked\r\n\r\n");
    let mut chunked = begin(node.address(), head.as_bytes()).await;
    for _ in 0..11 {
        chunked.raw(&[b"2710\r\n", &[b'x'; 10_000][..], b"\r\n"].concat()).await;
    }
    assert_eq!(finish(&mut chunked).await.status, 413, "because of the received bytes");
    let largest = format!("4{}", "x".repeat(99_999));
    assert_eq!(post(node.address(), &session, &largest).await.status, 200);
    assert_eq!(poll(node.address(), &session).await.text(), largest);
}

#[actix_web::test]
async fn two_polls_at_the_same_time_close_the_session() {
    let node = start(&[]);
    for (path, close) in [(V4, b"1".to_vec()), (V3, packed(&["1"]))] {
        let session = open(node.address(), path).await;
        let mut first = begin(node.address(), &request("GET", &session, &[], b"")).await;
        // the first poll must arrive first, and nothing reports its arrival
        tokio::time::sleep(Duration::from_millis(100)).await;
        let second = poll(node.address(), &session).await;
        let first = finish(&mut first).await;
        assert_eq!((first.status, first.body, second.status), (200, close, 400));
        assert_eq!(poll(node.address(), &session).await.status, 400);
    }
    wait_until_empty(&node).await;
}

#[actix_web::test]
async fn an_aborted_poll_closes_the_session() {
    let node = start(&[]);
    let session = open(node.address(), V4).await;
    drop(begin(node.address(), &request("GET", &session, &[], b"")).await);
    wait_until_empty(&node).await;
    assert_eq!(poll(node.address(), &session).await.error_code(), 1);
}

#[actix_web::test]
async fn an_aborted_post_closes_the_session() {
    let node = start(&[]);
    let session = open(node.address(), V4).await;
    let head = format!("POST {session} HTTP/1.1\r\nHost: node.localhost\r\nContent-Length: 10\r\n\r\n4half");
    let mut posting = begin(node.address(), head.as_bytes()).await;
    posting.stream.shutdown().await.unwrap();
    wait_until_empty(&node).await;
}

#[actix_web::test]
async fn a_close_packet_ends_the_poll_with_a_noop_and_closes_the_session() {
    let node = start(&[]);
    for (path, close, noop) in [(V4, "1", b"6".to_vec()), (V3, "1:1", packed(&["6"]))] {
        let session = open(node.address(), path).await;
        let mut polling = begin(node.address(), &request("GET", &session, &[], b"")).await;
        assert_eq!(post(node.address(), &session, close).await.text(), "ok");
        let polled = finish(&mut polling).await;
        assert_eq!((polled.status, polled.body), (200, noop));
        assert_eq!(poll(node.address(), &session).await.status, 400);
    }
    wait_until_empty(&node).await;
}

#[actix_web::test]
async fn a_malformed_body_closes_the_session() {
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
        let response = post(node.address(), &session, body).await;
        assert_eq!((response.status, response.error_code()), (400, 3), "{body:?}");
        assert_eq!(poll(node.address(), &session).await.status, 400, "{body:?}");
    }
    let session = open(node.address(), V4).await;
    let response = send(node.address(), "POST", &session, &["Content-Type: application/octet-stream"], b"4a").await;
    assert_eq!(response.status, 400, "revision 4 has no such body");
    wait_until_empty(&node).await;
}

#[actix_web::test]
async fn ten_thousand_packets_in_a_body_close_the_session() {
    let node = start(&[]);
    let session = open(node.address(), V4).await;
    assert_eq!(post(node.address(), &session, &"6\u{1e}".repeat(49_999)).await.status, 400);
    let session = open(node.address(), V4).await;
    assert_eq!(post(node.address(), &session, &vec!["6"; 9_999].join("\u{1e}")).await.status, 400, "too many messages");
    wait_until_empty(&node).await;
}
