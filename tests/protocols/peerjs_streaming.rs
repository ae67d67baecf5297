//! PeerServer's HTTP transport, which PeerJS 0.3 uses until its WebSocket is open. What its messages are is in
//! `tests/transcripts/peerjs/05-http.txt`.

use handclasp::Node;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;

use crate::common::longpoll::{self, Response};
use crate::common::streaming::{Line, Stream, post};
use crate::common::{Client, Received, node, wait_until, wait_until_empty};

const OPEN: &str = r#"{"type":"OPEN"}"#;

async fn stream(node: &Node, id: &str, index: u32) -> Stream {
    Stream::open(node.address(), &format!("/peerjs/{id}/t/id?i={index}")).await
}

async fn socket(node: &Node, id: &str) -> Client {
    Client::open(node.address(), &format!("/peerjs?key=peerjs&id={id}&token=t"), &[]).await
}

fn offer(to: &str, n: u32) -> String {
    format!(r#"{{"type":"OFFER","dst":"{to}","payload":{n}}}"#)
}

fn received(from: &str, to: &str, n: u32) -> String {
    format!(r#"{{"type":"OFFER","src":"{from}","dst":"{to}","payload":{n}}}"#)
}

#[actix_web::test]
async fn a_stream_and_preflights_have_cors_headers() {
    let node = node(&[]);
    let stream = stream(&node, "a", 0).await;
    assert!(stream.head.contains("access-control-allow-origin: https://a.test"), "{}", stream.head);
    assert!(stream.head.contains("content-type: application/octet-stream"), "{}", stream.head);
    let from = ["origin: https://b.test", "access-control-request-headers: content-type"];
    let Response { head, .. } = longpoll::request(node.address(), "OPTIONS", "/peerjs/a/t/offer", &from, b"").await;
    assert!(head.starts_with("http/1.1 204") && head.contains("access-control-allow-headers: content-type"), "{head}");
    let Response { head, .. } = longpoll::request(node.address(), "POST", "/peerjs/a/x/offer", &from, b"{}").await;
    assert!(head.starts_with("http/1.1 401") && head.contains("allow-origin: https://b.test"), "{head}");
    let closed = self::node(&["peerjs.cors=[\"https://b.test\"]"]);
    let Response { http, .. } =
        longpoll::request(closed.address(), "POST", "/peerjs/a/t/id", &["origin: https://a.test"], b"").await;
    assert_eq!(http, 403);
}

#[actix_web::test]
async fn the_websocket_takes_over_and_no_message_is_lost_or_doubled() {
    let node = node(&[]);
    let mut other = socket(&node, "b").await;
    other.expect(OPEN).await;
    let mut stream = stream(&node, "a", 0).await;
    stream.expect(OPEN).await;
    for n in 0..10 {
        other.send(&offer("a", n)).await;
    }
    stream.expect(&received("b", "a", 0)).await;
    let mut socket = socket(&node, "a").await;
    let mut next = 1;
    loop {
        match stream.next().await {
            Line::Text(line) => assert_eq!(line, received("b", "a", next)),
            Line::End(rest) => break assert_eq!(rest, ""),
            Line::Cut => panic!("the connection was cut"),
        }
        next += 1;
    }
    assert!(next < 10, "messages wait for the WebSocket");
    for n in next..10 {
        socket.expect(&received("b", "a", n)).await;
    }
    socket.send(&offer("b", 1)).await;
    other.expect(&received("a", "b", 1)).await;
    assert_eq!(node.connections(), 2, "both transports are one client");
    drop((other, socket));
    wait_until_empty(&node).await;
}

#[actix_web::test]
async fn a_stream_after_the_websocket_ends_at_once() {
    let node = node(&[]);
    let mut socket = socket(&node, "a").await;
    socket.expect(OPEN).await;
    assert_eq!(stream(&node, "a", 0).await.next().await, Line::End(String::new()));
    assert_eq!(stream(&node, "a", 1).await.next().await, Line::End(String::new()));
    assert_eq!(post(node.address(), "/peerjs/a/t/offer", &offer("a", 7)).await.http, 200);
    socket.expect(&received("a", "a", 7)).await;
}

/// Otherwise a client whose connection broke would wait for its `OPEN` until the server notices.
#[actix_web::test]
async fn a_client_that_reconnects_gets_an_open_whichever_transport_is_first() {
    let node = node(&[]);
    let mut dead = stream(&node, "a", 0).await;
    dead.expect(OPEN).await;
    let dead_socket = socket(&node, "a").await;
    assert_eq!(dead.next().await, Line::End(String::new()));
    let mut second = stream(&node, "a", 0).await;
    second.expect(OPEN).await;
    let socket_of_second = socket(&node, "a").await;
    assert_eq!(second.next().await, Line::End(String::new()));
    let mut third = socket(&node, "a").await;
    third.expect(OPEN).await;
    assert_eq!(stream(&node, "a", 0).await.next().await, Line::End(String::new()));
    for mut old in [dead_socket, socket_of_second] {
        assert_eq!(old.receive_any().await, Received::Close(1005, String::new()));
    }
    third.send(&offer("a", 1)).await;
    third.expect(&received("a", "a", 1)).await;
}

#[actix_web::test]
async fn the_next_stream_of_a_client_replaces_the_one_before_it() {
    let node = node(&[]);
    let mut first = stream(&node, "a", 0).await;
    first.expect(OPEN).await;
    let mut second = stream(&node, "a", 1).await;
    assert_eq!(first.next().await, Line::End(String::new()));
    drop(first);
    assert_eq!(post(node.address(), "/peerjs/a/t/offer", &offer("a", 1)).await.http, 200);
    second.expect(&received("a", "a", 1)).await;
    assert_eq!(node.connections(), 1);
}

#[actix_web::test]
async fn a_stream_whose_client_goes_away_frees_its_id_at_once() {
    let node = node(&["peerjs.alive_timeout=1h", "socket.write_timeout=10m", "socket.close_timeout=10m"]);
    let mut stream = stream(&node, "a", 0).await;
    stream.expect(OPEN).await;
    drop(stream);
    wait_until_empty(&node).await;
}

#[actix_web::test]
async fn a_stream_that_is_not_replaced_in_time_is_cut() {
    let node = node(&["peerjs.alive_timeout=300ms"]);
    let mut stream = stream(&node, "a", 0).await;
    stream.expect(OPEN).await;
    assert_eq!(stream.next().await, Line::Cut);
    wait_until_empty(&node).await;
}

#[actix_web::test]
async fn a_drain_cuts_streams_so_that_their_clients_reconnect() {
    let node = node(&["drain.spread=0s"]);
    let mut stream = stream(&node, "a", 0).await;
    stream.expect(OPEN).await;
    actix_web::rt::spawn(node.drain());
    assert_eq!(stream.next().await, Line::Cut);
}

/// A client of PeerJS 0.3 sends no heartbeats, but its browser answers pings.
#[actix_web::test]
async fn a_client_that_only_answers_pings_stays_connected() {
    let node = node(&["peerjs.alive_timeout=300ms"]);
    let mut stream = stream(&node, "a", 0).await;
    stream.expect(OPEN).await;
    let mut clients = [socket(&node, "a").await, socket(&node, "b").await];
    clients[1].expect(OPEN).await;
    for _ in 0..6 {
        for client in &mut clients {
            assert!(matches!(client.receive_any().await, Received::Ping(_)));
            client.raw(&crate::common::frame(0x8A, b"")).await;
        }
    }
    assert_eq!(node.connections(), 2);
}

#[actix_web::test]
async fn posts_of_clients_that_are_not_connected_are_refused() {
    let node = node(&["limits.message_bytes=1024"]);
    let mut stream = stream(&node, "a%20b", 0).await;
    stream.expect(OPEN).await;
    let status = async |path: &str, body: &str| post(node.address(), path, body).await.http;
    assert_eq!(status("/peerjs/a%20b/t/offer", &offer("a b", 1)).await, 200);
    stream.expect(&received("a b", "a b", 1)).await;
    assert_eq!(status("/peerjs/a%20b/x/offer", &offer("a b", 2)).await, 401);
    assert_eq!(status("/peerjs/c/t/offer", &offer("a b", 3)).await, 401);
    assert_eq!(status("/other/a%20b/t/offer", &offer("a b", 4)).await, 401);
    assert_eq!(status("/peerjs/a%20b/t/offer", "{").await, 400);
    assert_eq!(status("/peerjs/a%20b/t/offer", "[]").await, 400);
    assert_eq!(status("/peerjs/a%20b/t/offer", &offer(&"x".repeat(1_024), 5)).await, 413);
    assert_eq!(status("/peerjs/a%20b/t/other", "{}").await, 405);
    assert_eq!(node.pubsub().count("\u{1}a b"), 1);
    assert_eq!(status("/peerjs/a%20b/t/leave", r#"{"type":"LEAVE"}"#).await, 200);
    wait_until("the id is free", || async { node.pubsub().count("\u{1}a b") == 0 }).await;
}

/// The client's next message may take another transport.
#[actix_web::test]
async fn a_post_returns_when_its_message_was_sent_on_even_if_many_messages_wait_for_the_stream() {
    let rates = ["limits.messages_per_second=1000000", "limits.messages_burst=1000000"];
    let node = node(&[rates[0], rates[1], "limits.queue_bytes=10000000", "limits.queue_age=1h"]);
    let mut stream = stream(&node, "a", 0).await;
    stream.expect(OPEN).await;
    let mut other = socket(&node, "b").await;
    other.expect(OPEN).await;
    // more than is encoded in advance for a stream, which sends one after the other
    let pad = "x".repeat(1_000);
    for _ in 0..1_000 {
        other.send(&format!(r#"{{"type":"OFFER","dst":"a","payload":"{pad}"}}"#)).await;
    }
    other.send(&offer("b", 1)).await;
    other.expect(&received("b", "b", 1)).await;
    assert_eq!(post(node.address(), "/peerjs/a/t/offer", &offer("b", 2)).await.http, 200);
    other.send(&offer("b", 3)).await;
    other.expect(&received("a", "b", 2)).await;
    other.expect(&received("b", "b", 3)).await;
    let mut socket = socket(&node, "a").await;
    assert_eq!(post(node.address(), "/peerjs/a/t/offer", &offer("a", 4)).await.http, 200);
    socket.receive_until(r#""payload":4"#).await;
    assert_eq!(post(node.address(), "/peerjs/a/t/offer", &offer("b", 5)).await.http, 200);
    socket.send(&offer("b", 6)).await;
    other.expect(&received("a", "b", 5)).await;
    other.expect(&received("a", "b", 6)).await;
}

/// The client may post a message before its stream arrives.
#[actix_web::test]
async fn a_post_waits_a_moment_for_its_sender() {
    let node = node(&[]);
    let body = offer("a", 1);
    let early = post(node.address(), "/peerjs/a/t/offer", &body);
    let (response, mut stream) = tokio::join!(early, stream(&node, "a", 0));
    assert_eq!(response.http, 200);
    stream.expect(OPEN).await;
    stream.expect(&received("a", "a", 1)).await;
}

/// Other statuses would make clients up to 0.3.9 close their WebSocket, which receives the reason.
#[actix_web::test]
async fn a_stream_that_is_refused_says_so_with_status_200() {
    let node = node(&["peerjs.concurrent_limit=1"]);
    let mut holder = socket(&node, "a").await;
    holder.expect(OPEN).await;
    let mut other = Stream::open(node.address(), "/peerjs/a/another/id?i=0").await;
    holder.answer_ping().await;
    assert_eq!(other.next().await, Line::End(r#"{"type":"HTTP-ERROR"}"#.into()));
    for path in ["/peerjs/b/t/id?i=0", "/wrong/a/t/id?i=0"] {
        let mut refused = Stream::request(node.address(), path).await;
        assert_eq!(refused.next().await, Line::End(r#"{"type":"HTTP-ERROR"}"#.into()));
    }
    drop(holder);
    wait_until_empty(&node).await;
}

#[actix_web::test]
async fn a_client_that_reads_its_stream_keeps_its_id() {
    let node = node(&[]);
    let mut holder = stream(&node, "a", 0).await;
    holder.expect(OPEN).await;
    let mut other = Client::open(node.address(), "/peerjs?key=peerjs&id=a&token=another", &[]).await;
    other.expect(r#"{"type":"ID-TAKEN","payload":{"msg":"ID is taken"}}"#).await;
    assert_eq!(post(node.address(), "/peerjs/a/t/offer", &offer("a", 1)).await.http, 200);
    holder.expect(&received("a", "a", 1)).await;
}

#[actix_web::test]
async fn a_message_to_an_absent_peer_expires_after_the_websocket_has_taken_over() {
    let node = node(&["peerjs.expire_timeout=300ms"]);
    let mut stream = stream(&node, "a", 0).await;
    stream.expect(OPEN).await;
    assert_eq!(post(node.address(), "/peerjs/a/t/offer", &offer("nobody", 1)).await.http, 200);
    let mut socket = socket(&node, "a").await;
    socket.expect(r#"{"type":"EXPIRE","src":"nobody","dst":"a"}"#).await;
}

/// A body that never arrives costs a request, which ends.
#[actix_web::test]
async fn a_post_whose_body_stalls_is_given_up() {
    let node = node(&["socket.poll_window=200ms"]);
    let mut own = stream(&node, "a", 0).await;
    own.expect(OPEN).await;
    let mut stalled = TcpStream::connect(node.address()).await.unwrap();
    stalled
        .write_all(b"POST /peerjs/a/t/offer HTTP/1.1\r\nhost: localhost\r\ncontent-length: 100\r\n\r\n{")
        .await
        .unwrap();
    assert_eq!(longpoll::response(&mut stalled).await.http, 408);
    assert_eq!(post(node.address(), "/peerjs/a/t/offer", &offer("a", 1)).await.http, 200);
    own.expect(&received("a", "a", 1)).await;
}
