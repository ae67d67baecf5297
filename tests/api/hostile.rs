//! Hostile callers: foreign hosts, huge and slow bodies, too many connections, deep JSON.

use std::time::Duration;

use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::{ALL, api_node, raw, request, send};
use crate::common::{TIMEOUT, wait_until};

#[actix_web::test]
async fn a_foreign_host_is_refused() {
    let node = api_node(&["api.hosts=[\"localhost\", \"api.example.com\", \"[::1]\"]"]);
    let address = node.api_address().unwrap();
    let text = request("GET", "/healthz", "", "", "");
    for (host, status) in [
        ("localhost", 200),
        ("LOCALHOST.:4001", 200),
        ("api.example.com:80", 200),
        ("[::1]:4001", 200),
        ("evil.example", 421),
        ("127.0.0.1", 421),
        ("localhost.evil.example", 421),
        ("a.localhost", 421),
        ("", 421),
        ("api.example.com, evil.example", 421),
    ] {
        let response = raw(address, text.replace("Host: localhost", &format!("Host: {host}")).as_bytes()).await;
        assert_eq!(response.status, status, "{host}: {}", response.body);
    }
    assert_eq!(raw(address, b"GET /healthz HTTP/1.0\r\n\r\n").await.status, 200, "not a browser");
    node.stop().await;
}

/// A client that announces a GiB or nothing, and sends as long as it can.
#[actix_web::test]
async fn a_huge_body_is_refused_before_it_has_arrived() {
    let node = api_node(&[]);
    for (key, header, status) in [
        (ALL, "Content-Length: 1073741824\r\n", "413"),
        ("", "Content-Length: 1073741824\r\n", "401"),
        (ALL, "Transfer-Encoding: chunked\r\n", "413"),
    ] {
        let key = if key.is_empty() { String::new() } else { format!("Authorization: Bearer {key}\r\n") };
        let head = format!(
            "POST /v1/publish HTTP/1.1\r\nHost: localhost\r\n{key}Content-Type: application/json\r\n{header}\r\n"
        );
        let (mut reader, mut writer) = TcpStream::connect(node.api_address().unwrap()).await.unwrap().into_split();
        writer.write_all(head.as_bytes()).await.unwrap();
        let sending = actix_web::rt::spawn(async move {
            let chunk = [b"100000\r\n".as_slice(), &[b'x'; 0x10_0000], b"\r\n"].concat();
            while writer.write_all(&chunk).await.is_ok() {}
        });
        let mut start = [0; 12];
        timeout(TIMEOUT, reader.read_exact(&mut start)).await.expect("a response").unwrap();
        assert_eq!(&start[9..], status.as_bytes(), "{header}");
        timeout(TIMEOUT, sending).await.expect("the connection is closed").unwrap();
    }
    node.stop().await;
}

/// The body that never ends comes from a client with a key: without one, none is read.
#[actix_web::test]
async fn a_slow_body_ends_its_request() {
    let node = api_node(&[]);
    let head = request("POST", "/v1/publish", ALL, "", "{}").replace("Content-Length: 2", "Content-Length: 20");
    let mut slow = TcpStream::connect(node.api_address().unwrap()).await.unwrap();
    slow.write_all(head.as_bytes()).await.unwrap();
    let mut start = [0; 12];
    timeout(Duration::from_secs(30), slow.read_exact(&mut start)).await.expect("a response").unwrap();
    assert_eq!(&start, b"HTTP/1.1 408");
    let mut rest = Vec::new();
    timeout(TIMEOUT, slow.read_to_end(&mut rest)).await.expect("the connection is closed").unwrap();
    assert!(String::from_utf8_lossy(&rest).contains("the body comes too slowly"));
    node.stop().await;
}

#[actix_web::test]
async fn headers_that_never_end_close_the_connection() {
    let node = api_node(&[]);
    let mut slow = TcpStream::connect(node.api_address().unwrap()).await.unwrap();
    slow.write_all(b"GET /healthz HTTP/1.1\r\nHost: ").await.unwrap();
    let mut rest = Vec::new();
    timeout(TIMEOUT, slow.read_to_end(&mut rest)).await.expect("the connection is closed").unwrap();
    node.stop().await;
}

#[actix_web::test]
async fn the_65th_connection_waits_and_the_node_does_not() {
    let node = api_node(&[]);
    let address = node.api_address().unwrap();
    let text = request("GET", "/v1/topics", ALL, "", "").replace("Connection: close\r\n", "");
    let mut open = Vec::new();
    for _ in 0..64 {
        let mut stream = TcpStream::connect(address).await.unwrap();
        stream.write_all(text.as_bytes()).await.unwrap();
        let mut start = [0; 12];
        timeout(TIMEOUT, stream.read_exact(&mut start)).await.expect("a response").unwrap();
        open.push(stream);
    }
    let mut late = TcpStream::connect(address).await.unwrap();
    late.write_all(text.as_bytes()).await.unwrap();
    let (status, _) = crate::common::get(node.address(), "/healthz").await;
    assert_eq!(status, 200, "the public listener");
    let mut start = [0; 12];
    let waits = timeout(Duration::from_millis(300), late.read_exact(&mut start)).await;
    assert!(waits.is_err(), "it is served beside 64 others");
    drop(open.pop());
    timeout(TIMEOUT, late.read_exact(&mut start)).await.expect("it is its turn").unwrap();
    assert_eq!(&start, b"HTTP/1.1 200");
    drop((open, late));
    wait_until("the listener serves again", || async { send(&node, "GET", "/healthz", "", "").await.status == 200 })
        .await;
    node.stop().await;
}

/// A client that has sent its key keeps its place.
#[actix_web::test]
async fn silent_clients_do_not_keep_out_one_with_a_key() {
    let node = api_node(&[]);
    let address = node.api_address().unwrap();
    let text = request("GET", "/v1/topics", ALL, "", "").replace("Connection: close\r\n", "");
    let mut kept = TcpStream::connect(address).await.unwrap();
    let mut answer = async || {
        kept.write_all(text.as_bytes()).await.unwrap();
        let mut start = vec![0; 4_096];
        timeout(TIMEOUT, kept.read(&mut start)).await.expect("a response").unwrap()
    };
    assert!(answer().await > 0);
    let mut silent = Vec::new();
    for _ in 0..100 {
        silent.push(TcpStream::connect(address).await.unwrap());
    }
    assert_eq!(send(&node, "GET", "/v1/topics", ALL, "").await.status, 200);
    assert!(answer().await > 0, "the connection is kept");
    drop(silent);
    node.stop().await;
}

#[actix_web::test]
async fn a_request_without_a_key_ends_its_connection() {
    let node = api_node(&[]);
    for (path, key) in
        [("/healthz", ""), ("/openapi.json", ""), ("/v1/topics", "wrong"), ("/v1/topics", ""), ("/x", "")]
    {
        let text = request("GET", path, key, "", "").replace("Connection: close\r\n", "");
        // `raw` reads until the end of the connection
        raw(node.api_address().unwrap(), text.as_bytes()).await;
    }
    node.stop().await;
}

#[actix_web::test]
async fn json_is_not_deep_and_every_receiver_can_read_it() {
    let node = api_node(&[]);
    let deep = |levels: usize| format!("{}{}", "[".repeat(levels), "]".repeat(levels));
    let publish = |payload: &str| format!(r#"{{"topic":"room:a","event":"e","payload":{payload}}}"#);
    assert_eq!(send(&node, "POST", "/v1/publish", ALL, &publish(&deep(99))).await.status, 200);
    for payload in [&deep(100), &deep(10_000), "1e400", r#""\ud800""#] {
        assert_eq!(send(&node, "POST", "/v1/publish", ALL, &publish(payload)).await.status, 400, "{payload:.20}");
    }
    assert_eq!(send(&node, "POST", "/v1/publish", ALL, &deep(101)).await.status, 400);
    let batch = json!({ "operations": [{ "publish": { "topic": "room:a", "event": "e", "payload": 0 } }] }).to_string();
    let batch = batch.replace(r#""payload":0"#, &format!(r#""payload":{}"#, deep(100)));
    assert_eq!(send(&node, "POST", "/v1/batch", ALL, &batch).await.status, 400);
    let not_utf8 = [request("POST", "/v1/publish", ALL, "", "xx").as_bytes(), b""].concat();
    let not_utf8: Vec<u8> = not_utf8.iter().map(|byte| if *byte == b'x' { 0xFF } else { *byte }).collect();
    assert_eq!(raw(node.api_address().unwrap(), &not_utf8).await.status, 400);
    node.stop().await;
}
