//! The same in requests: bodies that cannot be read, are two at once, or never come to an end.

use std::io::Write;
use std::net::SocketAddr;

use flate2::Compression;
use flate2::write::GzEncoder;
use serde_json::Value;
use tokio::io::AsyncWriteExt;

use super::{NOBODY, Scene};
use crate::common::longpoll::{LongPollClient, request};
use crate::common::{Client, wait_until};

const ENGINE_IO: &str = "/socket.io/?EIO=4&transport=polling";

/// Opens a polling session of Socket.IO that is in the main namespace; the path of its requests.
async fn session(address: SocketAddr) -> String {
    let opened = request(address, "GET", ENGINE_IO, &[], b"").await.body;
    let sid = serde_json::from_str::<Value>(&opened[1..]).unwrap()["sid"].as_str().unwrap().to_owned();
    let path = format!("{ENGINE_IO}&sid={sid}");
    assert_eq!(request(address, "POST", &path, &[], b"40").await.body, "ok");
    path
}

#[actix_web::test]
async fn a_body_that_no_reader_could_read_ends_its_session() {
    let scene = Scene::new(&[]).await;
    let address = scene.node.address();
    let deep = format!("{}1{}", "[".repeat(10_000), "]".repeat(10_000));
    for value in [&*deep, "1e400", r#""\ud800""#, "\"a\0b\"", "NaN", "{\"a\":", "\u{1e}"] {
        let (client, before) = (LongPollClient::open(address, "/socket", "2.0.0", &[]).await, scene.closed());
        assert_eq!(client.post(&format!(r#"[null,"1","room:a","x",{value}]"#)).await, 400, "{value:.40}");
        assert_eq!(client.post("[]").await, 410, "{value:.40}");
        let path = session(address).await;
        let answer = request(address, "POST", &path, &[], format!(r#"42["x",{value}]"#).as_bytes()).await;
        assert_eq!(answer.http, 400, "{value:.40}");
        assert_eq!(request(address, "GET", &path, &[], b"").await.http, 400, "{value:.40}");
        wait_until("both to be counted", || async { scene.closed() == before + 2 }).await;
    }
    scene.ends_well().await;
}

#[actix_web::test]
async fn a_secret_of_a_mebibyte_is_too_large_a_body() {
    let scene = Scene::new(&[]).await;
    let client = LongPollClient::open(scene.node.address(), "/socket", "2.0.0", &[]).await;
    let secret = "A".repeat(1 << 20);
    let join = format!(r#"["1","1","peer:{NOBODY}","phx_join",{{"secret":"{secret}"}}]"#);
    assert_eq!(client.post(&join).await, 413);
    assert_eq!(client.post("[]").await, 410);
    scene.ends_well().await;
}

/// What it would be if somebody unpacked it: a message that is in order, behind 32 MiB of spaces.
#[actix_web::test]
async fn a_body_that_is_packed_is_not_unpacked() {
    let scene = Scene::new(&[]).await;
    let address = scene.node.address();
    let client = LongPollClient::open(address, "/socket", "2.0.0", &[]).await;
    let paths = [
        (client.with_token(), r#"[null,"1","phoenix","heartbeat",{}]"#),
        (session(address).await, r#"42["join",{"room":"r"}]"#),
    ];
    for (path, words) in paths {
        let bomb = gzip(&format!("{words}{}", " ".repeat(32 << 20)));
        assert!(bomb.len() < 65_536, "{} bytes", bomb.len());
        let answer = request(address, "POST", &path, &["content-encoding: gzip"], &bomb).await;
        assert!(answer.http == 400 || answer.status() == 400, "{path}: {answer:?}");
    }
    scene.ends_well().await;
}

fn gzip(text: &str) -> Vec<u8> {
    let mut gzip = GzEncoder::new(Vec::new(), Compression::best());
    gzip.write_all(text.as_bytes()).unwrap();
    gzip.finish().unwrap()
}

/// Whoever reads one of the two takes the rest for another request, which nobody meant.
#[actix_web::test]
async fn a_body_with_two_lengths_is_refused_with_all_that_follows() {
    let scene = Scene::new(&[]).await;
    let client = LongPollClient::open(scene.node.address(), "/socket", "2.0.0", &[]).await;
    let paths = [client.with_token(), session(scene.node.address()).await];
    for path in &paths {
        let smuggled = "GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n";
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
            let request = format!("POST {path} HTTP/1.1\r\nHost: x\r\n{lengths}\r\n\r\n0\r\n\r\n{smuggled}");
            let (mut client, head) = Client::request(scene.node.address(), &request).await;
            assert!(head.starts_with("HTTP/1.1 400"), "{lengths}: {head}");
            assert_eq!(client.head().await, "", "{lengths}: what follows is not answered");
        }
    }
    // the sessions go on, until they end themselves
    assert_eq!(client.post(r#"[null,"1","phoenix","heartbeat",{}]"#).await, 200);
    assert_eq!(client.post("[]").await, 400);
    assert_eq!(request(scene.node.address(), "POST", &paths[1], &[], b"1").await.http, 200);
    scene.ends_well().await;
}

/// Engine.IO's; Phoenix's is in `longpoll.rs`.
#[actix_web::test]
async fn a_body_that_drips_ends_in_time_with_its_session() {
    let scene = Scene::new(&["socketio.ping_interval=300ms", "socketio.ping_timeout=700ms"]).await;
    let path = session(scene.node.address()).await;
    let head = format!("POST {path} HTTP/1.1\r\nHost: x\r\nContent-Length: 100000\r\n\r\n");
    let mut client = Client::from_stream(tokio::net::TcpStream::connect(scene.node.address()).await.unwrap());
    client.raw(head.as_bytes()).await;
    while scene.node.connections() > 2 {
        let _ = client.stream.write_all(b"4").await;
        tokio::time::sleep(std::time::Duration::from_millis(10)).await;
    }
    assert!(client.head().await.starts_with("HTTP/1.1 400"));
    assert_eq!(request(scene.node.address(), "GET", &path, &[], b"").await.http, 400);
    scene.ends_well().await;
}
