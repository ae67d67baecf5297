//! The orderly end: newcomers are turned away, clients are told to come back elsewhere, and then it is over.

mod common;

use common::process::Process;
use common::{Client, Heard, node};

#[actix_web::test]
async fn every_client_is_told_to_come_back_joined_or_not() {
    let node = node(&["drain.spread=200ms", "drain.timeout=5s"]);
    let (mut joined, mut idle) = (Client::new(node.address()).await, Client::new(node.address()).await);
    joined.join("1", "room:r", "{}").await;
    idle.hears_nothing().await;
    let clients = async {
        for client in [&mut joined, &mut idle] {
            assert_eq!(client.hear_any().await, Heard::Close(1012, "service restart".into()));
            client.raw(&common::frame(0x88, &1012_u16.to_be_bytes())).await;
        }
    };
    tokio::join!(node.drain(), clients);
}

#[actix_web::test]
async fn a_signal_drains_and_the_process_ends_well() {
    let mut process = Process::start(&["drain.spread=0s"]);
    let mut client = Client::new(process.address).await;
    client.join("1", "room:r", "{}").await;
    process.signal("TERM");
    assert_eq!(client.closed().await, 1012);
    drop(client);
    assert_eq!(process.ended().await, Some(0));
}

#[actix_web::test]
async fn nobody_new_comes_in_and_readiness_says_so() {
    let process = Process::start(&["drain.spread=20s", "drain.timeout=20s"]);
    let (_, ready) = Client::request(process.address, "GET /readyz HTTP/1.1\r\nHost: x\r\n\r\n").await;
    assert!(ready.starts_with("HTTP/1.1 200"), "{ready}");
    let mut asking = tokio::net::TcpStream::connect(process.address).await.unwrap();
    let mut clients = Vec::new();
    for _ in 0..20 {
        clients.push(Client::new(process.address).await);
    }
    process.signal("TERM");
    // the connection was there before: it may still ask
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    let mut saw = String::new();
    while !saw.contains("503") {
        asking.write_all(b"GET /readyz HTTP/1.1\r\nHost: x\r\n\r\n").await.unwrap();
        let mut chunk = [0; 4096];
        let read = asking.read(&mut chunk).await.unwrap();
        assert!(read > 0, "the connection ended first");
        saw = String::from_utf8_lossy(&chunk[..read]).into_owned();
    }
}

#[actix_web::test]
async fn a_second_signal_ends_at_once() {
    let mut process = Process::start(&["drain.spread=0s", "drain.timeout=1m", "socket.write_timeout=1m"]);
    let mut client = Client::new(process.address).await;
    client.hears_nothing().await;
    process.signal("TERM");
    // the drain is under way, and waits for a client that does not answer its goodbye
    assert_eq!(client.closed().await, 1012);
    process.signal("TERM");
    assert_eq!(process.ended().await, Some(0));
}
