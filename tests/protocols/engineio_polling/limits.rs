//! Engine.IO: timeouts, slow clients, the limit per address, and draining.

use super::*;

const SHORT_PINGS: [&str; 2] = ["socketio.ping_interval=200ms", "socketio.ping_timeout=800ms"];

#[actix_web::test]
async fn a_revision_4_client_stays_connected_while_it_replies_to_pings() {
    let node = start(&SHORT_PINGS);
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
async fn a_silent_client_is_closed() {
    let node = start(&SHORT_PINGS);
    let session = open(node.address(), V4).await;
    let mut client = Client::open(node.address(), &websocket(V4), &[]).await;
    assert_eq!(client.close_code().await, 1001);
    wait_until_empty(&node).await;
    assert_eq!(poll(node.address(), &session).await.status, 400);
    // a client that polls, but sends no pings, receives a close packet in its last poll
    let session = open(node.address(), V3).await;
    assert_eq!(poll(node.address(), &session).await.body, packed(&["1"]));
    wait_until_empty(&node).await;
}

#[actix_web::test]
async fn a_client_that_joins_no_namespace_in_time_is_closed() {
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
    // a client that has joined a namespace may leave it and be in none
    client.send("41").await;
    client.exchange("40/end", r#"44/end,{"message":"Invalid namespace"}"#).await;
}

#[actix_web::test]
async fn a_client_that_does_not_poll_is_a_slow_consumer() {
    let node = start(&["limits.queue_bytes=120000"]);
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

/// The node cannot see that a client reads an answer, until the client polls again.
#[actix_web::test]
async fn a_client_that_reads_an_answer_slowly_is_no_slow_consumer() {
    let node = start(&["limits.queue_age=200ms"]);
    let session = open(node.address(), V4).await;
    let large = format!("4{}", "x".repeat(90_000));
    for _ in 0..3 {
        post(node.address(), &session, &large).await;
    }
    assert_eq!(poll(node.address(), &session).await.text(), large);
    // another client shows that the time is over
    let mut stalled = Client::open_with_small_window(node.address(), &websocket(V4)).await;
    let echoed = common::frame(0x81, large.as_bytes());
    actix_web::rt::spawn(async move { while stalled.stream.write_all(&echoed).await.is_ok() {} });
    let is_closed = async || node.pubsub().metrics().connections_closed.of(&handclasp::close::SLOW) == 1;
    wait_until("the other client is a slow consumer", is_closed).await;
    let answer = poll(node.address(), &session).await;
    assert!(answer.text() == large, "{:.80}", answer.text());
}

#[actix_web::test]
async fn one_large_message_passes_even_if_the_queue_is_smaller() {
    let node = start(&["limits.queue_bytes=4096"]);
    let large = format!("4{}", "x".repeat(90_000));
    let session = open(node.address(), V4).await;
    post(node.address(), &session, &large).await;
    assert_eq!(poll(node.address(), &session).await.text(), large);
    let mut client = probe(node.address(), &session).await;
    client.send("5").await;
    client.exchange(&large, &large).await;
    // its binary attachments, which are messages of their own, count as part of it
    let path = "/socket.io/?EIO=4&transport=polling";
    let (receiver, sender) = (open(node.address(), path).await, open(node.address(), path).await);
    for session in [&receiver, &sender] {
        post(node.address(), session, "40").await;
        poll(node.address(), session).await;
    }
    let placeholders: Vec<String> = (0..10).map(|n| format!(r#"{{"_placeholder":true,"num":{n}}}"#)).collect();
    let text = |kind: &str| format!(r#"{kind}["message",{}]"#, placeholders.join(","));
    let bytes = format!("\u{1e}b{}", "AAAA".repeat(2_000)).repeat(10);
    post(node.address(), &sender, &(text("4510-") + &bytes)).await;
    // it arrives in several answers
    let mut packets = Vec::new();
    while packets.len() < 11 {
        packets.extend(poll(node.address(), &receiver).await.text().split('\u{1e}').map(str::to_owned));
    }
    assert_eq!(packets.join("\u{1e}"), text("4510-") + &bytes);
}

#[actix_web::test]
async fn polling_sessions_and_websockets_share_the_limit_per_address() {
    let node = start(&["limits.sockets_per_ip=2"]);
    let first = open(node.address(), V4).await;
    post(node.address(), &first, "4used").await;
    let _second = Client::open(node.address(), &websocket(V4), &[]).await;
    let refused = poll(node.address(), V4).await;
    assert_eq!((refused.status, refused.head.contains("retry-after: 1")), (429, true));
    let (_, response) = Client::try_open(node.address(), &websocket(V4), &[]).await;
    assert!(response.starts_with("HTTP/1.1 429"), "{response}");
}

/// A client that opens sessions in a loop and uses none fills the limit of its address only with sessions that make way.
#[actix_web::test]
async fn the_oldest_session_that_was_never_used_makes_way_for_a_new_client() {
    for path in [V4, V3, "/socket.io/?EIO=3&transport=polling"] {
        let node = start(&["limits.sockets_per_ip=20"]);
        let used = open(node.address(), V4).await;
        post(node.address(), &used, "4used").await;
        let mut unused = Vec::new();
        for _ in 0..100 {
            unused.push(open(node.address(), path).await);
        }
        wait_until("those that made way are closed", || async { node.connections() == 20 }).await;
        for session in &unused[..81] {
            assert_eq!(poll(node.address(), session).await.status, 400);
        }
        // ten clients of the same address, with WebSockets or polling
        for n in 0..10 {
            if n % 2 == 0 {
                let mut client = Client::open(node.address(), &websocket(V4), &[]).await;
                client.receive().await;
                client.exchange("4hello", "4hello").await;
            } else {
                let session = open(node.address(), V4).await;
                post(node.address(), &session, "4hello").await;
                assert_eq!(poll(node.address(), &session).await.text(), "4hello");
            }
        }
        assert_eq!(poll(node.address(), &used).await.text(), "4used");
        assert!(node.pubsub().metrics().connections_closed.of(&handclasp::close::UNUSED) >= 81);
    }
}

#[actix_web::test]
async fn a_drain_answers_every_poll_that_waits() {
    let node = start(&["drain.spread=0s", "limits.sockets_per_ip=1000", "limits.http_connections_per_ip=1000"]);
    let mut polls = Vec::new();
    for _ in 0..250 {
        let session = open(node.address(), V4).await;
        polls.push(begin(node.address(), &request("GET", &session, &[], b"")).await);
    }
    let draining = actix_web::rt::spawn(node.drain());
    for poll in &mut polls {
        assert_eq!(finish(poll).await.text(), "1");
    }
    draining.await.unwrap();
}

#[actix_web::test]
async fn a_drain_closes_polling_sessions() {
    let node = start(&["drain.spread=0s"]);
    let session = open(node.address(), V4).await;
    let mut polling = begin(node.address(), &request("GET", &session, &[], b"")).await;
    let changed = open(node.address(), V4).await;
    let mut client = probe(node.address(), &changed).await;
    client.send("5").await;
    client.exchange("4here", "4here").await;
    let address = node.address();
    wait_until("both sessions are connected", || async { node.connections() == 2 }).await;
    let draining = actix_web::rt::spawn(node.drain());
    assert_eq!(finish(&mut polling).await.text(), "1");
    assert_eq!(client.close_code().await, 1012);
    drop(client);
    drop(draining.await);
    assert!(tokio::net::TcpStream::connect(address).await.is_err());
}
