//! The plain relay: where it is served, which pages may use it, its timeouts, and what ends a connection. Its messages
//! are in `transcripts/relay`.

use handclasp::Node;

use crate::common::{Client, node, wait_until, wait_until_empty};

const ON: &str = "relay.enabled=true";

/// Clients that all receive each other's messages.
async fn connect<const N: usize>(node: &Node) -> [Client; N] {
    let mut clients = Vec::new();
    let before = node.pubsub().metrics().joins.get();
    for n in 1..=N {
        clients.push(Client::open(node.address(), "/relay", &[]).await);
        wait_until("the client to be a member", || async { node.pubsub().metrics().joins.get() == before + n as u64 })
            .await;
    }
    clients.try_into().unwrap_or_else(|_| unreachable!("as many as asked for"))
}

#[actix_web::test]
async fn it_is_off_by_default_and_its_path_can_be_changed() {
    for (sets, path, is_open) in [
        (&[][..], "/relay", false),
        (&[ON], "/relay", true),
        (&[ON], "/elsewhere", false),
        (&[ON, "relay.path=/room/one"], "/room/one", true),
        (&[ON, "relay.path=/room/one"], "/relay", false),
    ] {
        let node = node(sets);
        let (_, head) = Client::try_open(node.address(), path, &[]).await;
        assert_eq!(head.starts_with("HTTP/1.1 101"), is_open, "{sets:?} {path}: {head}");
    }
}

#[actix_web::test]
async fn pages_of_every_origin_may_use_it_unless_it_is_configured() {
    let (default, listed) = (node(&[ON]), node(&[ON, "relay.check_origin=https://page.test"]));
    for (node, origin, is_allowed) in [
        (&default, "null", true),
        (&default, "file://", true),
        (&default, "https://page.test", true),
        (&listed, "https://page.test", true),
        (&listed, "null", false),
        (&listed, "https://evil.test", false),
    ] {
        let (_, head) = Client::try_open(node.address(), "/relay", &[&format!("origin: {origin}")]).await;
        assert_eq!(head.starts_with("HTTP/1.1 101"), is_allowed, "{origin}: {head}");
        assert_eq!(head.starts_with("HTTP/1.1 403"), !is_allowed, "{origin}: {head}");
    }
}

/// Pages that use a bare WebSocket send nothing while they wait.
#[actix_web::test]
async fn a_client_that_does_not_reply_to_pings_is_closed_and_hears_nothing_more() {
    let node = node(&[ON, "relay.ping_interval=200ms", "relay.ping_timeout=1s"]);
    let [mut active, mut silent] = connect(&node).await;
    let reply_to_pings = async {
        while node.connections() > 1 {
            active.answer_ping().await;
        }
    };
    let (code, ()) = tokio::join!(silent.ignore_pings_until_closed(), reply_to_pings);
    assert_eq!(code, 1001);
    active.send("anybody?").await;
    drop((active, silent));
    wait_until_empty(&node).await;
}

#[actix_web::test]
async fn a_flooding_client_is_disconnected_and_a_drain_closes_with_service_restart() {
    let node = node(&[ON, "limits.messages_burst=50", "limits.messages_per_second=1", "drain.spread=0s"]);
    let [mut flooding, mut other] = connect(&node).await;
    for _ in 0..200 {
        flooding.send("x").await;
    }
    assert_eq!(flooding.close_code().await, 1008);
    // the join counts as a message
    for _ in 1..50 {
        other.expect("x").await;
    }
    wait_until("the other connection stays open", || async { node.connections() == 1 }).await;
    actix_web::rt::spawn(node.drain());
    assert_eq!(other.close_code().await, 1012);
}

/// A member that reads nothing costs the others nothing.
#[actix_web::test]
async fn a_slow_client_is_disconnected_and_the_others_receive_everything() {
    let node = node(&[ON, "limits.messages_per_second=10000", "limits.queue_bytes=65536", "limits.queue_age=1h"]);
    let [mut talker, mut listener] = connect(&node).await;
    let stalled = Client::open(node.address(), "/relay", &[]).await;
    wait_until("the client to be a member", || async { node.pubsub().metrics().joins.get() == 3 }).await;
    let message = "x".repeat(60_000);
    let mut sent = 0;
    while node.connections() > 2 {
        talker.send(&message).await;
        listener.expect(&message).await;
        sent += 1;
        assert!(sent < 10_000, "the stalled client is still connected");
    }
    talker.send("end").await;
    listener.expect("end").await;
    drop((talker, listener, stalled));
    wait_until_empty(&node).await;
}
