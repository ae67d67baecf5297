//! What a node counts, by reason. The `scrape` module reads the same numbers over HTTP.

mod scrape;

use handclasp::message::DeliveryStatus;
use handclasp::metrics::{ConnectRefusal, DropReason, JoinRefusal, Label, PushRefusal, StatusClass, Transport};
use handclasp::{ConnectError, Endpoint, Mount, Router, SocketInit, close};

use crate::common::{Client, config, frame, get, node, wait_until};

const ALICE: &str = "00000000-0000-4000-8000-00000000000a";
const ABSENT: &str = "00000000-0000-4000-8000-00000000000c";

#[actix_web::test]
async fn rejected_connections_are_counted_by_reason() {
    let own = Mount::new("/own", Router::new()).subprotocols(&["mine"]).connect(|info| match info.param("be") {
        Some("refused") => Err(ConnectError::forbidden()),
        Some("dead") => panic!("a failure for the test"),
        _ => Ok(SocketInit::default()),
    });
    let node = Endpoint::new(config(&["limits.sockets_per_ip=1", "hello.enabled=true"])).mount(own).start().unwrap();
    let pubsub = node.pubsub();
    let refused = &pubsub.metrics().connections_refused;
    let _client = Client::new(node.address()).await;
    for (path, header, why) in [
        ("/own/websocket?a=%ff", "x: y", ConnectRefusal::Request),
        ("/own/websocket", "origin: https://evil.example", ConnectRefusal::Origin),
        ("/own/websocket", "sec-websocket-key: twice", ConnectRefusal::Upgrade),
        ("/own/websocket", "sec-websocket-protocol: other", ConnectRefusal::Subprotocol),
        ("/own/websocket", "sec-websocket-protocol: base64url.bearer.phx.!", ConnectRefusal::Token),
        ("/own/websocket?vsn=9.0.0", "x: y", ConnectRefusal::Version),
        ("/own/websocket?be=refused", "x: y", ConnectRefusal::Mount),
        ("/own/websocket?be=dead", "x: y", ConnectRefusal::Crash),
        ("/own/websocket", "x: y", ConnectRefusal::Address),
        ("/hello", "sec-websocket-key: twice", ConnectRefusal::Upgrade),
        ("/peerjs?key=%ff&key=a", "x: y", ConnectRefusal::Request),
        ("/socket.io/?EIO=4&transport=websocket&sid=none", "x: y", ConnectRefusal::Session),
        ("/socket.io/?EIO=9&transport=websocket", "x: y", ConnectRefusal::Version),
        ("/socket.io/?EIO=4&transport=pigeon", "x: y", ConnectRefusal::Request),
        ("/socket.io/?EIO=4&transport=websocket", "sec-websocket-key: twice", ConnectRefusal::Upgrade),
    ] {
        let before = (refused.get(), refused.of(why));
        let (_, response) = Client::try_open(node.address(), path, &[header]).await;
        assert!(!response.starts_with("HTTP/1.1 101"), "{path}: {response}");
        assert_eq!((refused.get(), refused.of(why)), (before.0 + 1, before.1 + 1), "{path} {header}: {refused:?}");
    }
    let full = self::node(&["server.connections=1"]);
    let _client = Client::new(full.address()).await;
    Client::try_open(full.address(), "/socket/websocket", &[]).await;
    assert_eq!(full.pubsub().metrics().connections_refused.of(ConnectRefusal::Full), 1);
    assert_eq!(full.pubsub().metrics().connections_refused.get(), 1, "a node counts its own");
}

#[actix_web::test]
async fn closed_connections_are_counted_by_reason() {
    let node = node(&["limits.message_bytes=1024", "limits.fragments=2", "socket.join_timeout=500ms"]);
    let pubsub = node.pubsub();
    let closed = &pubsub.metrics().connections_closed;
    let long = frame(0x81, &[b'a'; 1025]);
    for (bytes, why) in [
        (&[0xC1, 0x80][..], &close::PROTOCOL),
        (&frame(0x81, &[0xFF]), &close::NOT_UTF8),
        (&long, &close::TOO_BIG),
        (&[frame(0x01, b"a"), frame(0x00, b"b"), frame(0x00, b"c")].concat(), &close::FRAGMENTED),
        (&frame(0x81, b"?"), &close::MALFORMED),
        (&[], &close::NOT_JOINED),
    ] {
        let before = closed.of(why);
        let mut client = Client::new(node.address()).await;
        client.raw(bytes).await;
        assert_eq!(client.close_code().await, why.code, "{}", why.text);
        assert_eq!(closed.of(why), before + 1, "{}: {closed:?}", why.text);
    }
    let before = closed.of(&close::GONE);
    drop(Client::new(node.address()).await);
    wait_until("the connection is closed", || async { closed.of(&close::GONE) > before }).await;
    let metrics = pubsub.metrics();
    wait_until("no connection is open", || async { metrics.connections.get() == 0 }).await;
    assert_eq!(metrics.connections_opened.of(Transport::WebSocket), closed.get());
}

#[actix_web::test]
async fn rejected_joins_and_messages_are_counted_by_reason() {
    let node = node(&["limits.joins_per_socket=2", "limits.topic_bytes=60", "limits.event_bytes=16"]);
    let pubsub = node.pubsub();
    let metrics = pubsub.metrics();
    let mut alice = Client::new(node.address()).await;
    let mut bob = Client::new(node.address()).await;
    alice.join("1", &format!("peer:{ALICE}"), "{}").await;
    let long = "x".repeat(61);
    for (topic, payload, why) in [
        (&*format!("room:{long}"), "{}", JoinRefusal::TooLong),
        ("nothing:here", "{}", JoinRefusal::Unmatched),
        ("room:a", "[]", JoinRefusal::Payload),
        ("peer:me", "{}", JoinRefusal::Channel),
        (&format!("peer:{ALICE}"), "{}", JoinRefusal::Taken),
    ] {
        bob.send(&format!(r#"["2","2","{topic}","phx_join",{payload}]"#)).await;
        if why == JoinRefusal::Taken {
            alice.answer_ping().await;
        }
        bob.receive_until("error").await;
        assert_eq!(metrics.joins_refused.of(why), 1, "{topic}: {:?}", metrics.joins_refused);
    }
    bob.join("3", "room:b", "{}").await;
    bob.join("4", "room:c", "{}").await;
    bob.send(r#"["5","5","room:d","phx_join",{}]"#).await;
    bob.receive_until("error").await;
    assert_eq!(metrics.joins_refused.of(JoinRefusal::TooMany), 1);
    assert_eq!((metrics.joins.get(), metrics.joins_refused.get()), (3, 6));
    for (topic, event, why) in [
        ("room:none", "e", PushRefusal::NotJoined),
        ("room:b", "seventeen letters", PushRefusal::TooLong),
        ("room:b", "presence_state", PushRefusal::Channel),
    ] {
        bob.send(&format!(r#"["3","6","{topic}","{event}",{{}}]"#)).await;
        bob.receive_until("error").await;
        assert_eq!(metrics.messages_refused.of(why), 1, "{event}: {:?}", metrics.messages_refused);
    }
    for (to, status) in [(ALICE, DeliveryStatus::Delivered), (ABSENT, DeliveryStatus::Absent)] {
        alice.send(&format!(r#"["1","7","peer:{ALICE}","offer",{{"peer_id":"{to}"}}]"#)).await;
        alice.receive_until("phx_reply").await;
        assert_eq!(metrics.signals.of(status), 1, "{:?}", metrics.signals);
    }
    assert_eq!((metrics.signals.get(), metrics.delivered.get()), (2, 1));
    assert_eq!(metrics.messages.get(), 14);
}

#[actix_web::test]
async fn rate_limited_messages_are_counted() {
    let node = node(&["limits.messages_burst=3", "limits.messages_per_second=1"]);
    let mut client = Client::new(node.address()).await;
    for n in 0..4 {
        client.send(&format!(r#"["{n}","{n}","room:{n}","phx_join",{{}}]"#)).await;
    }
    client.receive_until("rate_limited").await;
    assert_eq!(node.pubsub().metrics().messages_refused.of(PushRefusal::RateLimited), 1);
}

#[actix_web::test]
async fn an_expired_signal_is_counted_as_dropped() {
    let node = node(&["peerjs.expire_timeout=100ms"]);
    let mut peer = Client::open(node.address(), "/peerjs?key=peerjs&id=me&token=t", &[]).await;
    peer.expect(r#"{"type":"OPEN"}"#).await;
    peer.send(r#"{"type":"OFFER","dst":"you","payload":{}}"#).await;
    peer.receive_until("EXPIRE").await;
    assert_eq!(node.pubsub().metrics().messages_dropped.of(DropReason::Expired), 1);
    assert_eq!(DropReason::Expired.name(), "expired");
}

#[actix_web::test]
async fn http_responses_are_counted_by_status_class() {
    let node = node(&[]);
    let pubsub = node.pubsub();
    let responses = &pubsub.metrics().http_responses;
    for path in ["/healthz", "/none", "/socket/websocket"] {
        get(node.address(), path).await;
    }
    Client::new(node.address()).await;
    assert_eq!(
        (
            responses.of(StatusClass::Success),
            responses.of(StatusClass::ClientError),
            responses.of(StatusClass::Informational)
        ),
        (1, 2, 1)
    );
}
