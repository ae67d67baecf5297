//! Every rejection is counted once, under its reason, so that an operator can see an attack.

use handclasp::close;
use handclasp::message::DeliveryStatus;
use handclasp::metrics::Metrics;
use handclasp::metrics::{ConnectRefusal, DropReason, JoinRefusal, PushRefusal};

use super::{ALICE, MALLORY, Scene};
use crate::common::{Client, Received, frame};

/// Reads one counter.
type Counter = fn(&Metrics) -> u64;

/// Invalid messages, each with the counter that it must increase by one.
fn rejected_messages() -> Vec<(String, Counter)> {
    let long = "x".repeat(300);
    let topic = format!("peer:{MALLORY}");
    let push = |topic: &str, event: &str, payload: &str| format!(r#"["1","2","{topic}","{event}",{payload}]"#);
    let join = |topic: &str, payload: &str| push(topic, "phx_join", payload);
    vec![
        (push("room:not", "x", "{}"), |metrics| metrics.messages_refused.of(PushRefusal::NotJoined)),
        (push(&topic, &long, "{}"), |metrics| metrics.messages_refused.of(PushRefusal::TooLong)),
        (push(&topic, "offer", "[]"), |metrics| metrics.messages_refused.of(PushRefusal::Channel)),
        (push(&topic, "offer", r#"{"peer_id":7}"#), |metrics| metrics.messages_refused.of(PushRefusal::Channel)),
        (push(&topic, "phx_reply", "{}"), |metrics| metrics.messages_refused.of(PushRefusal::Channel)),
        (push(&topic, "offer", r#"{"peer_id":"00000000-0000-4000-8000-0000000000ff"}"#), |metrics| {
            metrics.signals.of(DeliveryStatus::Absent)
        }),
        (push(&topic, "offer", &format!(r#"{{"peer_id":"{MALLORY}"}}"#)), |metrics| {
            metrics.signals.of(DeliveryStatus::Delivered)
        }),
        (join("$SYS.>", "{}"), |metrics| metrics.joins_refused.of(JoinRefusal::Unmatched)),
        (join(r"room:\r\n", "{}"), |metrics| metrics.joins_refused.of(JoinRefusal::Unmatched)),
        (join(&format!("room:{long}"), "{}"), |metrics| metrics.joins_refused.of(JoinRefusal::TooLong)),
        (join("room:a", "[]"), |metrics| metrics.joins_refused.of(JoinRefusal::Payload)),
        (join("peer:nobody", "{}"), |metrics| metrics.joins_refused.of(JoinRefusal::Channel)),
        (join(&topic, r#"{"secret":7}"#), |metrics| metrics.joins_refused.of(JoinRefusal::Channel)),
        (join(&format!("peer:{ALICE}"), "{}"), |metrics| metrics.joins_refused.of(JoinRefusal::Taken)),
    ]
}

/// The sum of all these counters.
fn all(metrics: &Metrics) -> u64 {
    metrics.messages_refused.get() + metrics.joins_refused.get() + metrics.signals.get()
}

#[actix_web::test]
async fn every_rejected_message_is_counted_once() {
    let mut scene = Scene::new(&[]).await;
    let pubsub = scene.node.pubsub();
    for (text, counter) in rejected_messages() {
        let mut client = scene.client().await;
        client.join("1", &format!("peer:{MALLORY}"), "{}").await;
        let (before, all_before) = (counter(pubsub.metrics()), all(pubsub.metrics()));
        client.send(&text).await;
        if text.contains(&format!(r#""peer:{ALICE}","phx_join""#)) {
            while !matches!(scene.alice.receive_any().await, Received::Ping(_)) {}
            scene.alice.pong().await;
        }
        // the session replies in order, so this reply comes after its own; the registry's reply may come later
        client.send(r#"[null,"last","phoenix","heartbeat",{}]"#).await;
        client.receive_until(r#""last""#).await;
        crate::common::wait_until(&text, || async { counter(pubsub.metrics()) > before }).await;
        assert_eq!(counter(pubsub.metrics()), before + 1, "{text:.100}");
        assert_eq!(all(pubsub.metrics()), all_before + 1, "{text:.100}: counted under another reason too");
        drop(client);
        crate::common::wait_until("the connection is closed", || async { scene.node.connections() == 2 }).await;
    }
    scene.finish().await;
}

#[actix_web::test]
async fn every_closed_connection_is_counted_once() {
    let scene = Scene::new(&[]).await;
    let pubsub = scene.node.pubsub();
    let flood = frame(0x89, b"x").repeat(5_000);
    for (bytes, reason) in [
        (frame(0xC1, b"[]"), &close::PROTOCOL),
        (frame(0x88, &[3]), &close::PROTOCOL),
        (frame(0x88, &[&1000_u16.to_be_bytes()[..], b"\xff"].concat()), &close::PROTOCOL),
        (frame(0x81, b"\xff"), &close::NOT_UTF8),
        (frame(0x81, &[b' '; 524_289]), &close::TOO_BIG),
        (frame(0x81, b"["), &close::MALFORMED),
        (flood, &close::FLOOD),
        (frame(0x88, &1000_u16.to_be_bytes()), &close::GONE),
    ] {
        let closed = &pubsub.metrics().connections_closed;
        let (mut client, before, all_before) = (scene.client().await, closed.of(reason), closed.get());
        client.raw(&bytes).await;
        client.close_code().await;
        crate::common::wait_until(reason.text, || async { closed.of(reason) == before + 1 }).await;
        assert_eq!(closed.get(), all_before + 1, "{}: counted under another reason too", reason.text);
    }
    scene.finish().await;
}

#[actix_web::test]
async fn every_rejected_connection_and_ignored_message_is_counted_once() {
    let scene = Scene::new(&["limits.sockets_per_ip=3"]).await;
    let pubsub = scene.node.pubsub();
    let refused = |why| pubsub.metrics().connections_refused.of(why);
    let third = scene.client().await;
    for (path, headers, why) in [
        ("/socket/websocket?x=%ff", &[][..], ConnectRefusal::Request),
        ("/socket/websocket", &["Origin: https://evil.test"], ConnectRefusal::Origin),
        ("/socket/websocket", &["Content-Length: 5"], ConnectRefusal::Upgrade),
        ("/socket/websocket", &["Sec-WebSocket-Protocol: base64url.bearer.phx.!"], ConnectRefusal::Token),
        ("/socket/websocket?vsn=9", &[], ConnectRefusal::Version),
        ("/socket/websocket", &["X-Forwarded-For: ::ffff:198.51.100.1"], ConnectRefusal::Address),
    ] {
        let (before, all_before) = (refused(why), scene.refused());
        drop(Client::try_open(scene.node.address(), path, headers).await);
        assert_eq!(refused(why), before + 1, "{path} {headers:?}");
        assert_eq!(scene.refused(), all_before + 1, "{path} {headers:?}: counted under another reason too");
    }
    drop(third);
    crate::common::wait_until("the third connection is closed", || async { scene.node.connections() == 2 }).await;
    let mut client = Client::open(scene.node.address(), "/hello", &[]).await;
    client.send("{").await;
    let ignored = || async { pubsub.metrics().messages_dropped.of(DropReason::Ignored) == 1 };
    crate::common::wait_until("the message is counted as ignored", ignored).await;
    drop(client);
    scene.finish().await;
}
