//! Malformed and malicious HTTP requests: bodies that cannot be decoded, have two lengths, or never end.

use std::io::Write;
use std::net::SocketAddr;

use flate2::Compression;
use flate2::write::GzEncoder;
use serde_json::Value;
use tokio::io::AsyncWriteExt;

use super::{MALLORY, Scene};
use crate::common::longpoll::{LongPollClient, request};
use crate::common::{Client, wait_until};

const ENGINE_IO: &str = "/socket.io/?EIO=4&transport=polling";

/// Opens a Socket.IO long-polling session in the main namespace. Returns the path of its requests.
async fn session(address: SocketAddr) -> String {
    let opened = request(address, "GET", ENGINE_IO, &[], b"").await.body;
    let sid = serde_json::from_str::<Value>(&opened[1..]).unwrap()["sid"].as_str().unwrap().to_owned();
    let path = format!("{ENGINE_IO}&sid={sid}");
    assert_eq!(request(address, "POST", &path, &[], b"40").await.body, "ok");
    path
}

#[actix_web::test]
async fn an_undecodable_body_closes_its_session() {
    let scene = Scene::new(&[]).await;
    let address = scene.node.address();
    let deep = format!("{}1{}", "[".repeat(10_000), "]".repeat(10_000));
    for value in [&*deep, "1e400", r#""\ud800""#, "\"a\0b\"", "NaN", "{\"a\":", "\u{1e}"] {
        let (client, before) = (LongPollClient::open(address, "/socket", "2.0.0", &[]).await, scene.closed());
        assert_eq!(client.post(&format!(r#"[null,"1","room:a","x",{value}]"#)).await, 400, "{value:.40}");
        assert_eq!(client.post("[]").await, 410, "{value:.40}");
        let path = session(address).await;
        let response = request(address, "POST", &path, &[], format!(r#"42["x",{value}]"#).as_bytes()).await;
        assert_eq!(response.http, 400, "{value:.40}");
        assert_eq!(request(address, "GET", &path, &[], b"").await.http, 400, "{value:.40}");
        wait_until("both are counted", || async { scene.closed() == before + 2 }).await;
    }
    scene.finish().await;
}

#[actix_web::test]
async fn a_body_with_a_secret_of_1_mib_is_too_large() {
    let scene = Scene::new(&[]).await;
    let client = LongPollClient::open(scene.node.address(), "/socket", "2.0.0", &[]).await;
    let secret = "A".repeat(1 << 20);
    let join = format!(r#"["1","1","peer:{MALLORY}","phx_join",{{"secret":"{secret}"}}]"#);
    assert_eq!(client.post(&join).await, 413);
    assert_eq!(client.post("[]").await, 410);
    scene.finish().await;
}

/// Decompressed, the body would be a valid message followed by 32 MiB of spaces.
#[actix_web::test]
async fn a_compressed_body_is_rejected() {
    let scene = Scene::new(&[]).await;
    let address = scene.node.address();
    let client = LongPollClient::open(address, "/socket", "2.0.0", &[]).await;
    let paths = [
        (client.with_token(), r#"[null,"1","phoenix","heartbeat",{}]"#),
        (session(address).await, r#"42["join",{"room":"r"}]"#),
    ];
    for (path, message) in paths {
        let bomb = gzip(&format!("{message}{}", " ".repeat(32 << 20)));
        assert!(bomb.len() < 65_536, "{} bytes", bomb.len());
        let response = request(address, "POST", &path, &["content-encoding: gzip"], &bomb).await;
        assert!(response.http == 400 || response.status() == 400, "{path}: {response:?}");
    }
    scene.finish().await;
}

fn gzip(text: &str) -> Vec<u8> {
    let mut gzip = GzEncoder::new(Vec::new(), Compression::best());
    gzip.write_all(text.as_bytes()).unwrap();
    gzip.finish().unwrap()
}

/// A proxy that uses the other length would take the rest of the body for a second request.
#[actix_web::test]
async fn a_body_with_two_lengths_is_rejected_with_everything_after_it() {
    let scene = Scene::new(&[]).await;
    let client = LongPollClient::open(scene.node.address(), "/socket", "2.0.0", &[]).await;
    let paths = [client.with_token(), session(scene.node.address()).await];
    for path in &paths {
        let smuggled = "GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n";
        for lengths in [
            "Content-Length: 4\r\nTransfer-Encoding: chunked",
            "Transfer-Encoding: chunked\r\nContent-Length: 4",
            "Content-Length: 4\r\nContent-Length: 5",
            "Transfer-Encoding: chunked\r\nTransfer-Encoding: identity",
            "Transfer-Encoding: xchunked",
            "Content-Length: +4",
            "Content-Length: -1",
            "Content-Length: 18446744073709551616",
        ] {
            let request = format!("POST {path} HTTP/1.1\r\nHost: localhost\r\n{lengths}\r\n\r\n0\r\n\r\n{smuggled}");
            let (mut client, head) = Client::request(scene.node.address(), &request).await;
            assert!(head.starts_with("HTTP/1.1 400"), "{lengths}: {head}");
            assert_eq!(client.head().await, "", "{lengths}: what follows gets no response");
        }
    }
    // the sessions remain open until they close themselves
    assert_eq!(client.post(r#"[null,"1","phoenix","heartbeat",{}]"#).await, 200);
    assert_eq!(client.post("[]").await, 400);
    assert_eq!(request(scene.node.address(), "POST", &paths[1], &[], b"1").await.http, 200);
    scene.finish().await;
}

/// The same test for Phoenix is in `protocols/phoenix_longpoll.rs`.
#[actix_web::test]
async fn a_slow_body_is_stopped_in_time_with_its_session() {
    let scene = Scene::new(&["socketio.ping_interval=300ms", "socketio.ping_timeout=700ms"]).await;
    let path = session(scene.node.address()).await;
    let head = format!("POST {path} HTTP/1.1\r\nHost: localhost\r\nContent-Length: 100000\r\n\r\n");
    let mut client = Client::from_stream(tokio::net::TcpStream::connect(scene.node.address()).await.unwrap());
    client.raw(head.as_bytes()).await;
    while scene.node.connections() > 2 {
        let _ = client.stream.write_all(b"4").await;
        tokio::time::sleep(std::time::Duration::from_millis(10)).await;
    }
    assert!(client.head().await.starts_with("HTTP/1.1 400"));
    assert_eq!(request(scene.node.address(), "GET", &path, &[], b"").await.http, 400);
    scene.finish().await;
}
