//! Attacks on PeerServer's HTTP transport, which PeerJS 0.3 uses.

use std::time::Duration;

use handclasp::metrics::ConnectRefusal;
use socket2::{Domain, Socket, Type};
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;

use super::Scene;
use crate::common::streaming::{Line, Stream, post};
use crate::common::{Client, wait_until};

const OPEN: &str = r#"{"type":"OPEN"}"#;

#[actix_web::test]
async fn a_thousand_streams_of_one_address_are_at_most_as_many_as_its_sockets() {
    // alice, bob, and 18 streams
    let sets = ["limits.sockets_per_ip=20", "limits.http_connections_per_ip=2000", "limits.connects_burst=2000"];
    let scene = Scene::new(&sets).await;
    let mut open = Vec::new();
    for n in 0..1_000 {
        let mut stream = Stream::request(scene.node.address(), &format!("/peerjs/id{n}/t/id?i=0")).await;
        match stream.next().await {
            Line::Text(line) => {
                assert_eq!(line, OPEN);
                open.push(stream);
            }
            refused => assert_eq!(refused, Line::End(r#"{"type":"HTTP-ERROR"}"#.into())),
        }
    }
    assert_eq!(open.len(), 18);
    assert_eq!(scene.node.connections(), 20);
    drop(open);
    scene.finish().await;
}

#[actix_web::test]
async fn a_client_that_renews_its_stream_without_end_has_one_session_and_one_stream() {
    let scene = Scene::new(&[]).await;
    let mut streams = vec![Stream::open(scene.node.address(), "/peerjs/mallory/t/id?i=0").await];
    streams[0].expect(OPEN).await;
    for n in 1..100 {
        streams.push(Stream::open(scene.node.address(), &format!("/peerjs/mallory/t/id?i={n}")).await);
        assert_eq!(streams[n - 1].next().await, Line::End(String::new()));
        assert_eq!(scene.node.connections(), 3);
    }
    drop(streams);
    scene.finish().await;
}

#[actix_web::test]
async fn posts_with_a_guessed_token_do_nothing_and_are_counted() {
    let scene = Scene::new(&[]).await;
    let mut victim = Stream::open(scene.node.address(), "/peerjs/victim/secret/id?i=0").await;
    victim.expect(OPEN).await;
    for n in 0..100 {
        let path = format!("/peerjs/victim/guess{n}/leave");
        assert_eq!(post(scene.node.address(), &path, r#"{"type":"LEAVE"}"#).await.http, 401);
    }
    assert_eq!(scene.node.pubsub().metrics().connections_refused.of(ConnectRefusal::Session), 100);
    let offer = r#"{"type":"OFFER","dst":"victim","payload":1}"#;
    assert_eq!(post(scene.node.address(), "/peerjs/victim/secret/offer", offer).await.http, 200);
    victim.expect(r#"{"type":"OFFER","src":"victim","dst":"victim","payload":1}"#).await;
    drop(victim);
    scene.finish().await;
}

/// The messages of a client that posts too fast are dropped, and then the client is disconnected.
#[actix_web::test]
async fn a_client_that_floods_with_posts_is_disconnected() {
    let scene = Scene::new(&["limits.messages_per_second=1", "limits.messages_burst=10"]).await;
    let mut flood = Stream::open(scene.node.address(), "/peerjs/mallory/t/id?i=0").await;
    flood.expect(OPEN).await;
    let mut posts = 0;
    while post(scene.node.address(), "/peerjs/mallory/t/offer", r#"{"type":"HELLO"}"#).await.http == 200 {
        posts += 1;
        assert!(posts < 100, "the client is still connected");
    }
    assert_eq!(flood.next().await, Line::Cut);
    scene.finish().await;
}

#[actix_web::test]
async fn a_client_that_does_not_read_its_stream_is_disconnected() {
    let scene = Scene::new(&["socket.write_timeout=1s", "socket.close_timeout=1s"]).await;
    let socket = Socket::new(Domain::for_address(scene.node.address()), Type::STREAM, None).unwrap();
    socket.set_recv_buffer_size(4_096).unwrap();
    socket.connect(&scene.node.address().into()).unwrap();
    socket.set_nonblocking(true).unwrap();
    let mut stalled = TcpStream::from_std(socket.into()).unwrap();
    stalled.write_all(b"POST /peerjs/mallory/t/id?i=0 HTTP/1.1\r\nhost: localhost\r\n\r\n").await.unwrap();
    let is_connected = || scene.node.pubsub().count("\u{1}mallory") == 1;
    wait_until("the stream is open", || async { is_connected() }).await;
    let mut sender = Client::open(scene.node.address(), "/peerjs?key=peerjs&id=sender&token=t", &[]).await;
    sender.expect(OPEN).await;
    let large = format!(r#"{{"type":"OFFER","dst":"mallory","payload":"{}"}}"#, "x".repeat(60_000));
    for sent in 0.. {
        if !is_connected() {
            break;
        }
        assert!(sent < 400, "the client is still connected");
        sender.send(&large).await;
        // slower than the stream is written, so that the messages wait only because the client does not read
        tokio::time::sleep(Duration::from_millis(25)).await;
    }
    drop((stalled, sender));
    scene.finish().await;
}
