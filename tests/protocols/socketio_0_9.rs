//! Socket.IO 0.9 over HTTP: which pages may connect, `htmlfile`, timeouts, and limits. The packets are in
//! `transcripts/socketio-0.9`.

use std::net::SocketAddr;

use handclasp::close::Reason;
use handclasp::metrics::DropReason;
use handclasp::{Channel, ConnectError, Context, Endpoint, Join, Mount, Node, Payload, Router, close};
use tokio::net::TcpStream;

use crate::common::longpoll::request;
use crate::common::{Client, Received, config, wait_until, wait_until_empty};

/// Refuses every client.
struct Private;

impl Channel for Private {
    fn join(&mut self, _: &Payload, _: &mut Context<'_>) -> Join {
        Join::error("unauthorized")
    }
}

/// A node with the standard relay at `/socket.io`, on several workers.
fn start(sets: &[&str]) -> Node {
    let sets: Vec<&str> = sets.iter().copied().chain(["server.workers=2"]).collect();
    let namespaces = || Router::new().channel("/private", |_| Private);
    Endpoint::new(config(&sets))
        .socketio(Mount::new("/other", namespaces()))
        .socketio(Mount::new("/refused", namespaces()).connect(|_| Err(ConnectError::forbidden())))
        .start()
        .unwrap()
}

async fn get(address: SocketAddr, path: &str) -> String {
    request(address, "GET", path, &[], b"").await.body
}

async fn post(address: SocketAddr, path: &str, body: &str) -> String {
    request(address, "POST", path, &[], body.as_bytes()).await.body
}

/// Shakes hands, and returns the session's id.
async fn shake_hands(address: SocketAddr) -> String {
    let body = get(address, "/socket.io/1/").await;
    body.split(':').next().unwrap().to_owned()
}

/// The path of a session's requests by a transport.
fn path(transport: &str, sid: &str) -> String {
    format!("/socket.io/1/{transport}/{sid}")
}

/// A session that polls. Returns the path of its requests.
async fn open_polling(address: SocketAddr) -> String {
    let path = path("xhr-polling", &shake_hands(address).await);
    assert_eq!(get(address, &path).await, "1::");
    path
}

async fn open_websocket(address: SocketAddr) -> Client {
    let mut client = Client::open(address, &path("websocket", &shake_hands(address).await), &[]).await;
    client.expect("1::").await;
    client
}

/// Sends a request, and leaves its response for later.
async fn begin(address: SocketAddr, path: &str) -> Client {
    let mut client = Client::from_stream(TcpStream::connect(address).await.unwrap());
    client.raw(format!("GET {path} HTTP/1.1\r\nHost: node.localhost\r\n\r\n").as_bytes()).await;
    client
}

async fn finish(client: &mut Client) -> String {
    let head = client.head().await;
    String::from_utf8(client.body(&head).await).unwrap()
}

fn closed(node: &Node, reason: &'static Reason) -> u64 {
    node.pubsub().metrics().connections_closed.of(reason)
}

// ---- which pages may connect

#[actix_web::test]
async fn a_page_of_an_allowed_origin_can_read_each_response_with_credentials() {
    let node = start(&[r#"socketio.check_origin=["http://ok.test"]"#]);
    let (address, ok) = (node.address(), ["Origin: http://ok.test"]);
    let opened = request(address, "GET", "/socket.io/1/?t=1", &ok, b"").await;
    let sid = opened.body.split(':').next().unwrap().to_owned();
    let polled = request(address, "GET", &path("xhr-polling", &sid), &ok, b"").await;
    let posted = request(address, "POST", &path("xhr-polling", &sid), &ok, b"2::").await;
    assert_eq!((&*polled.body, &*posted.body), ("1::", "1"));
    for head in [opened.head, polled.head, posted.head] {
        let head = head.to_lowercase();
        assert!(head.contains("access-control-allow-origin: http://ok.test\r\n"), "{head}");
        assert!(head.contains("access-control-allow-credentials: true\r\n"), "{head}");
        assert!(head.contains("content-type: text/plain"), "{head}");
    }
    let options = request(address, "OPTIONS", &path("xhr-polling", &sid), &ok, b"").await;
    let put = request(address, "PUT", &path("xhr-polling", &sid), &ok, b"").await;
    assert_eq!((options.http, put.http), (204, 405));
}

#[actix_web::test]
async fn a_page_of_another_origin_is_refused_with_the_originals_words() {
    let node = start(&[r#"socketio.check_origin=["http://ok.test"]"#]);
    let (address, evil) = (node.address(), ["Origin: http://evil.test"]);
    let refused = request(address, "GET", "/socket.io/1/", &evil, b"").await;
    assert_eq!(refused.http, 403);
    let why = "handshake bad origin: origin \"http://evil.test\" is not allowed; allowed: http://ok.test";
    assert!(refused.body.starts_with(why), "{}", refused.body);
    // a script: its page cannot read a status, and has no `Origin`
    let script = r#"(function(text){io.j[0](new Error(text))})("handshake bad origin: origin "#;
    for headers in [&["Referer: http://evil.test/page"][..], &[]] {
        let refused = request(address, "GET", "/socket.io/1/?jsonp=0", headers, b"").await;
        assert!(refused.http == 200 && refused.body.starts_with(script), "{}", refused.body);
    }
    let allowed = request(address, "GET", "/socket.io/1/?jsonp=0", &["Referer: http://ok.test/"], b"").await;
    assert!(allowed.body.starts_with("io.j[0](\""), "{}", allowed.body);
    let sid = shake_hands(address).await;
    for (method, transport) in
        [("GET", "xhr-polling"), ("POST", "xhr-polling"), ("GET", "htmlfile"), ("POST", "jsonp-polling")]
    {
        assert_eq!(
            request(address, method, &path(transport, &sid), &evil, b"").await.http,
            403,
            "{method} {transport}"
        );
    }
    assert_eq!(request(address, "GET", &path("jsonp-polling", &sid), &[], b"").await.http, 403);
    let (_, response) = Client::try_open(address, &path("websocket", &sid), &evil).await;
    assert!(response.starts_with("HTTP/1.1 403"), "{response}");
    let refused = request(address, "GET", "/refused/1/", &[], b"").await;
    assert_eq!((refused.http, &*refused.body), (403, "handshake unauthorized"));
}

#[actix_web::test]
async fn every_client_has_the_main_namespace_and_learns_why_another_one_refuses_it() {
    let node = start(&[]);
    let body = get(node.address(), "/other/1/").await;
    let sid = body.split(':').next().unwrap();
    let mut client = Client::open(node.address(), &format!("/other/1/websocket/{sid}"), &[]).await;
    client.expect("1::").await;
    client.send("1::/nosuch").await;
    client.exchange("1::/private", "7::/private:2").await;
    // it may ask again
    client.exchange("1::/private", "7::/private:2").await;
}

// ---- htmlfile

/// Reads a chunk of a response.
async fn chunk(client: &mut Client) -> String {
    let mut length = String::new();
    while !length.ends_with("\r\n") {
        length.push(char::from(client.byte().await.expect("a chunk")));
    }
    let length = usize::from_str_radix(length.trim(), 16).unwrap();
    let mut bytes = Vec::new();
    while bytes.len() < length + 2 {
        bytes.push(client.byte().await.expect("a whole chunk"));
    }
    String::from_utf8(bytes[..length].to_vec()).unwrap()
}

#[actix_web::test]
async fn htmlfile_is_a_page_that_grows_by_a_script_for_each_packet() {
    let node = start(&["socketio.ping_interval=300ms", "socketio.ping_timeout=60s"]);
    let address = node.address();
    let path = path("htmlfile", &shake_hands(address).await);
    let mut page = begin(address, &path).await;
    let head = page.head().await.to_lowercase();
    assert!(head.contains("content-type: text/html; charset=utf-8") && head.contains("chunked"), "{head}");
    let beginning = "<html><body><script>var _ = function (msg) { parent.s._(msg, document); };</script>";
    assert_eq!(chunk(&mut page).await, format!("{beginning:256}"));
    assert_eq!(chunk(&mut page).await, r#"<script>_("1::");</script>"#);
    assert_eq!(chunk(&mut page).await, r#"<script>_("2::");</script>"#);
    assert_eq!(post(address, &path, "2::").await, "1");
    let mut other = open_websocket(address).await;
    other.send("3:::<!--<script></script>\u{2028}").await;
    let text = r#"\u003c!--\u003cscript>\u003c\/script>\u2028"#;
    let packet = format!(r#"<script>_("5:::{{\"name\":\"message\",\"args\":[\"{text}\"]}}");</script>"#);
    loop {
        match chunk(&mut page).await {
            text if text == packet => break,
            text => assert_eq!(text, r#"<script>_("2::");</script>"#),
        }
    }
    assert_eq!(post(address, &path, "0::").await, "1");
    let mut text = chunk(&mut page).await;
    while text.contains("2::") {
        text = chunk(&mut page).await;
    }
    assert_eq!(text, r#"<script>_("0::");</script>"#);
    other.receive_until("user disconnected").await;
    // a page of a session that does not exist, and one whose client goes
    assert!(get(address, &path).await.ends_with(r#"<script>_("7:::1+0");</script>"#));
    let path = self::path("htmlfile", &shake_hands(address).await);
    let mut page = begin(address, &path).await;
    page.head().await;
    chunk(&mut page).await;
    chunk(&mut page).await;
    drop(page);
    other.receive_until("user disconnected").await;
}

#[actix_web::test]
async fn a_session_is_not_found_in_the_format_of_another_version() {
    let node = start(&[]);
    let address = node.address();
    let engine_path = |sid: &str| format!("/socket.io/?EIO=4&transport=polling&sid={sid}");
    let with_suffix = |sid: &str, suffix: &str| format!("{}{suffix}", &sid[..sid.rfind('.').unwrap()]);
    let opened = get(address, "/socket.io/?EIO=4&transport=polling").await;
    let newer = opened.split('"').nth(3).unwrap().to_owned();
    assert_eq!(post(address, &engine_path(&newer), "40").await, "ok");
    assert!(get(address, &engine_path(&newer)).await.starts_with("40{"));
    let older = shake_hands(address).await;
    assert_eq!(get(address, &path("xhr-polling", &older)).await, "1::");
    // bytes, which have no form in 0.9, wait for the newer client
    let bytes = r#"451-["message",{"_placeholder":true,"num":0}]"#;
    let sender = get(address, "/socket.io/?EIO=4&transport=polling").await;
    let sender = engine_path(sender.split('"').nth(3).unwrap());
    assert_eq!(post(address, &sender, "40").await, "ok");
    assert_eq!(post(address, &sender, &format!("{bytes}\u{1e}bAAEC")).await, "ok");
    assert_eq!(get(address, &path("xhr-polling", &with_suffix(&newer, ".0"))).await, "7:::1+0");
    let unknown = r#"{"code":1,"message":"Session ID unknown"}"#;
    assert_eq!(get(address, &engine_path(&with_suffix(&older, ".4"))).await, unknown);
    let other_revision = format!("{}&transport=polling&sid={}", "/socket.io/?EIO=3", with_suffix(&newer, ".3b"));
    assert_eq!(get(address, &other_revision).await, unknown);
    assert_eq!(get(address, &engine_path(&newer)).await, format!("{bytes}\u{1e}bAAEC"));
}

// ---- timeouts

#[actix_web::test]
async fn a_session_that_no_transport_opens_ends_and_no_one_hears_of_it() {
    let node = start(&["socketio.connect_timeout=300ms"]);
    let mut other = open_websocket(node.address()).await;
    let sid = shake_hands(node.address()).await;
    wait_until("the session has ended", || async { closed(&node, &close::NOT_JOINED) == 1 }).await;
    assert_eq!(get(node.address(), &path("xhr-polling", &sid)).await, "7:::1+0");
    other.exchange("3:1::x", "6:::1").await;
}

#[actix_web::test]
async fn a_silent_client_is_closed_and_the_others_hear_of_it() {
    let node = start(&["socketio.ping_interval=200ms", "socketio.ping_timeout=800ms"]);
    let address = node.address();
    let mut silent = open_websocket(address).await;
    let polling = open_polling(address).await;
    // a client that polls is no silent one
    let mut heard = String::new();
    while !heard.contains("user disconnected") {
        heard = get(address, &polling).await;
    }
    assert_eq!(closed(&node, &close::IDLE), 1);
    silent.receive_until("2::").await;
    // without the client's answer to a heartbeat
    loop {
        match silent.receive_any().await {
            Received::Close(code, _) => break assert_eq!(code, 1001),
            other => assert_eq!(other, Received::Text("2::".into())),
        }
    }
    // it stops polling
    wait_until("the other is closed", || async { closed(&node, &close::IDLE) == 2 }).await;
    assert_eq!(get(address, &polling).await, "7:::1+0");
    drop(silent);
    wait_until_empty(&node).await;
}

#[actix_web::test]
async fn a_client_that_abandons_its_poll_is_gone_at_once() {
    let node = start(&[]);
    let mut other = open_websocket(node.address()).await;
    let polling = open_polling(node.address()).await;
    let waiting = begin(node.address(), &polling).await;
    assert_eq!(post(node.address(), &polling, "3:::the poll waits").await, "1");
    other.receive_until("the poll waits").await;
    drop(waiting);
    other.receive_until("user disconnected").await;
}

#[actix_web::test]
async fn a_websocket_that_was_replaced_is_aborted_even_if_its_client_does_not_read() {
    let node = start(&[]);
    let sid = shake_hands(node.address()).await;
    let mut old = Client::open(node.address(), &path("websocket", &sid), &[]).await;
    old.expect("1::").await;
    let mut new = Client::open(node.address(), &path("websocket", &sid), &[]).await;
    new.expect("1::").await;
    // the end of its stream may come before the abort
    let end = old.receive_any().await;
    assert!(matches!(end, Received::Eof | Received::Close(1005, _)), "{end:?}");
    new.exchange("3:1::x", "6:::1").await;
    drop(old);
    new.exchange("3:2::x", "6:::2").await;
    assert_eq!(node.connections(), 1);
    drop(new);
    wait_until_empty(&node).await;
}

// ---- limits

#[actix_web::test]
async fn a_payload_of_too_many_packets_is_ignored() {
    let node = start(&["limits.messages_burst=1000000"]);
    let (address, polling) = (node.address(), open_polling(node.address()).await);
    let ignored = || node.pubsub().metrics().messages_dropped.of(DropReason::Ignored);
    let empty = "\u{fffd}0\u{fffd}";
    assert_eq!(post(address, &polling, &empty.repeat(10_000)).await, "1");
    assert_eq!(ignored(), 10_000);
    assert_eq!(post(address, &polling, &empty.repeat(10_001)).await, "1");
    assert_eq!(ignored(), 10_001);
    for length in ["999999999", "9999999999", "18446744073709551616", "-1", "", "1e3"] {
        assert_eq!(post(address, &polling, &format!("\u{fffd}{length}\u{fffd}3:::x")).await, "1");
    }
    assert_eq!(ignored(), 10_007);
    assert_eq!(post(address, &polling, "3:1::still here").await, "1");
    assert_eq!(get(address, &polling).await, "6:::1");
}

#[actix_web::test]
async fn a_body_that_is_too_large_is_refused() {
    let node = start(&["socketio.max_payload=65536"]);
    let polling = open_polling(node.address()).await;
    let text = "x".repeat(65_537);
    assert_eq!(request(node.address(), "POST", &polling, &[], text.as_bytes()).await.http, 413);
    let mut client = open_websocket(node.address()).await;
    client.send(&text).await;
    assert_eq!(client.close_code().await, 1009);
    assert_eq!(post(node.address(), &polling, "3:1::still here").await, "1");
    assert!(get(node.address(), &polling).await.contains("6:::1"));
}

#[actix_web::test]
async fn a_flood_of_packets_closes_the_session() {
    let node = start(&["limits.messages_burst=100", "limits.messages_per_second=10"]);
    let (address, polling) = (node.address(), open_polling(node.address()).await);
    assert_eq!(post(address, &polling, &"\u{fffd}5\u{fffd}3:::x".repeat(5_000)).await, "1");
    assert_eq!(closed(&node, &close::FLOOD), 1);
    assert_eq!(get(address, &polling).await, "7:::1+0");
    assert_eq!(post(address, &polling, "3:::x").await, "1");
    wait_until_empty(&node).await;
}

#[actix_web::test]
async fn a_client_that_reads_nothing_is_a_slow_consumer() {
    let node = start(&["limits.queue_bytes=20000"]);
    let address = node.address();
    let polling = open_polling(address).await;
    let mut speaker = open_websocket(address).await;
    for _ in 0..12 {
        speaker.send(&format!("3:::{}", "x".repeat(10_000))).await;
    }
    speaker.receive_until("user disconnected").await;
    assert_eq!(closed(&node, &close::SLOW), 1);
    assert_eq!(get(address, &polling).await, "7:::1+0");
}

#[actix_web::test]
async fn sessions_count_against_the_limit_per_address() {
    let node = start(&["limits.sockets_per_ip=2"]);
    let address = node.address();
    let _first = open_polling(address).await;
    let mut second = open_websocket(address).await;
    assert_eq!(request(address, "GET", "/socket.io/1/", &[], b"").await.http, 429);
    // so does a WebSocket of a session that does not exist
    let (_, response) = Client::try_open(address, &path("websocket", "nobody"), &[]).await;
    assert!(response.starts_with("HTTP/1.1 429"), "{response}");
    second.exchange("3:1::x", "6:::1").await;
}

#[actix_web::test]
async fn an_open_poll_gets_its_answer_in_a_body_of_its_own() {
    let node = start(&[]);
    let polling = open_polling(node.address()).await;
    let mut waiting = begin(node.address(), &polling).await;
    assert_eq!(post(node.address(), &polling, "5:1+::{\"name\":\"join\",\"args\":[\"r\"]}").await, "1");
    assert_eq!(finish(&mut waiting).await, "6:::1+[{}]");
}
