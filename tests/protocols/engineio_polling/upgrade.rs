//! Engine.IO: the upgrade of a long-polling session to a WebSocket.

use super::old_revisions::V2;
use super::*;

#[actix_web::test]
async fn a_session_upgrades_to_a_websocket_without_losing_messages() {
    let node = start(&[]);
    for (path, noop) in [(V4, b"6".to_vec()), (V3, packed(&["6"])), (V2, packed(&["6"]))] {
        let session = open(node.address(), path).await;
        let mut polling = begin(node.address(), &request("GET", &session, &[], b"")).await;
        let mut client = probe(node.address(), &session).await;
        assert_eq!(finish(&mut polling).await.body, noop, "the poll returns");
        assert_eq!(poll(node.address(), &session).await.body, noop, "and so does the next one");
        let message = if path == V4 { "4before" } else { "7:4before" };
        post(node.address(), &session, message).await;
        client.send("5").await;
        client.expect("4before").await;
        client.exchange("4after", "4after").await;
        assert_eq!(poll(node.address(), &session).await.error_code(), 3);
        assert_eq!(post(node.address(), &session, message).await.error_code(), 3);
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
async fn a_second_websocket_of_a_session_is_closed_and_the_first_stays_open() {
    let node = start(&["socket.write_timeout=300ms", "socket.close_timeout=300ms"]);
    let session = open(node.address(), V4).await;
    let mut client = probe(node.address(), &session).await;
    let mut second = Client::open(node.address(), &websocket(&session), &[]).await;
    assert_eq!(second.close_code().await, 1005, "during the probe");
    client.send("5").await;
    let mut third = Client::open(node.address(), &websocket(&session), &[]).await;
    assert_eq!(third.close_code().await, 1005, "after the upgrade");
    // one WebSocket does not reply to the close frame and is cut off, the other replies
    third.raw(&common::frame(0x88, b"")).await;
    for other in [&mut second, &mut third] {
        assert_eq!(other.receive_any().await, Received::Eof);
    }
    client.exchange("4still here", "4still here").await;
    drop(client);
    wait_until_empty(&node).await;
}

#[actix_web::test]
async fn after_a_failed_upgrade_the_session_continues_polling() {
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
async fn an_upgrade_that_takes_too_long_is_aborted() {
    let node = start(&["socketio.upgrade_timeout=300ms"]);
    let session = open(node.address(), V4).await;
    let mut silent = Client::open(node.address(), &websocket(&session), &[]).await;
    assert_eq!(silent.close_code().await, 1005);
    let mut probing = probe_again(&node, &session).await;
    assert_eq!(probing.close_code().await, 1005);
    post(node.address(), &session, "4a").await;
    assert_eq!(poll(node.address(), &session).await.text(), "4a", "polling continues");
}

/// Another WebSocket is accepted only after the server has noticed that the previous one is closed.
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
async fn a_session_closes_with_its_websocket() {
    let node = start(&[]);
    let session = open(node.address(), V4).await;
    let mut client = probe(node.address(), &session).await;
    client.send("5").await;
    client.send("4last words").await;
    client.expect("4last words").await;
    drop(client);
    wait_until_empty(&node).await;
    assert_eq!(poll(node.address(), &session).await.error_code(), 1);
}

#[actix_web::test]
async fn a_malformed_packet_closes_an_upgraded_session() {
    let node = start(&[]);
    let session = open(node.address(), V4).await;
    let mut client = probe(node.address(), &session).await;
    client.send("5").await;
    client.send("abc").await;
    assert_eq!(client.close_code().await, 1011);
    wait_until_empty(&node).await;
}

/// Its session leaves the hub when it is closed, so no sweep aborts the WebSocket any more.
#[actix_web::test]
async fn the_websocket_of_a_closed_session_is_aborted_although_its_client_does_not_read() {
    let sets = ["limits.queue_age=300ms", "socket.close_timeout=300ms", "socket.write_timeout=10m"];
    let node = start(&[&sets[..], &["socket.send_buffer_bytes=4608"]].concat());
    let session = open(node.address(), V4).await;
    let mut client = Client::open_with_small_window(node.address(), &websocket(&session)).await;
    client.exchange("2probe", "3probe").await;
    client.send("5").await;
    for _ in 0..3 {
        client.send(&format!("4{}", "x".repeat(90_000))).await;
    }
    wait_until("a closed session", || async { node.connections() == 0 }).await;
    wait_until("a reset connection", || async { client.stream.try_write(b"x").is_err() }).await;
}
