//! The attacks on Phoenix's endpoint, repeated at every entry point: invalid upgrades, invalid frames, and messages
//! that a protocol cannot decode.

use std::net::SocketAddr;

use super::Scene;
use crate::common::{Client, Received, frame, wait_until};

const V1: &str = "/socket/websocket";
const PEERJS: &str = "/peerjs?key=peerjs&id=mallory&token=t";
const HELLO: &str = "/hello";
const SOCKET_IO: &str = "/socket.io/?EIO=4&transport=websocket";
const SOCKET_IO_V3: &str = "/socket.io/?EIO=3&transport=websocket";
/// The session does not exist: after the upgrade, the client only learns that.
const SOCKET_IO_0_9: &str = "/socket.io/1/websocket/nobody";
const RELAY: &str = "/relay";
const ENTRY_POINTS: [&str; 7] = [V1, "/peer/websocket?vsn=2.0.0", PEERJS, HELLO, RELAY, SOCKET_IO, SOCKET_IO_V3];

/// The headers of an upgrade, by name.
const UPGRADE: [(&str, &str); 4] = [
    ("Connection", "Upgrade"),
    ("Upgrade", "websocket"),
    ("Sec-WebSocket-Version", "13"),
    ("Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ=="),
];

/// Requests an upgrade with one header replaced or left out. Returns the status.
async fn upgrade_status(address: SocketAddr, version: &str, path: &str, name: &str, value: Option<&str>) -> u16 {
    let kept = UPGRADE.iter().filter(|(other, _)| *other != name);
    let lines: String = kept.map(|(name, value)| format!("{name}: {value}\r\n")).collect();
    let more = value.map_or(String::new(), |value| format!("{name}: {value}\r\n"));
    let request = format!("GET {path} HTTP/{version}\r\nHost: {address}\r\n{lines}{more}\r\n");
    let (_, head) = Client::request(address, &request).await;
    head.get(9..12)
        .and_then(|code| code.parse().ok())
        .unwrap_or_else(|| panic!("{path}, {name}: the response is {head:?}"))
}

#[actix_web::test]
async fn an_invalid_upgrade_is_rejected_at_every_entry_point() {
    let scene = Scene::new(&[]).await;
    let address = scene.node.address();
    let wrong = [
        ("1.1", "Sec-WebSocket-Key", None),
        ("1.1", "Sec-WebSocket-Key", Some("dGhlIHNhbXBsZQ==")),
        ("1.1", "Sec-WebSocket-Key", Some("a\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==")),
        ("1.1", "Sec-WebSocket-Version", None),
        ("1.1", "Sec-WebSocket-Version", Some("12")),
        ("1.1", "Sec-WebSocket-Version", Some("14")),
        ("1.1", "Content-Length", Some("5")),
        ("1.1", "Transfer-Encoding", Some("chunked")),
        ("1.0", "Via", Some("1.0 another time")),
    ];
    for path in ENTRY_POINTS.into_iter().chain([SOCKET_IO_0_9]) {
        for (version, name, value) in wrong {
            let before = scene.refused();
            assert_eq!(upgrade_status(address, version, path, name, value).await, 400, "{path}: {name} {value:?}");
            assert_eq!(scene.refused(), before + 1, "{path}: {name} {value:?}: not counted");
        }
        let both = Some("chunked\r\nContent-Length: 5");
        assert_eq!(upgrade_status(address, "1.1", path, "Transfer-Encoding", both).await, 400, "{path}: two lengths");
        let protocols: Vec<String> = (0..300).map(|n| format!("protocol-{n}")).collect();
        let offered = Some(&*protocols.join(", "));
        assert_eq!(upgrade_status(address, "1.1", path, "Sec-WebSocket-Protocol", offered).await, 101, "{path}");
    }
    scene.finish().await;
}

#[actix_web::test]
async fn another_origin_is_rejected_at_every_entry_point() {
    let list = r#"["https://example.com"]"#;
    let keys =
        ["socket.check_origin", "socketio.check_origin", "relay.check_origin", "peerjs.cors", "hello.check_origin"];
    let sets = keys.map(|key| format!("{key}={list}"));
    let scene = Scene::new(&sets.each_ref().map(String::as_str)).await;
    let address = scene.node.address();
    for path in ENTRY_POINTS.into_iter().chain([SOCKET_IO_0_9]) {
        for origin in [
            "null",
            "https://evil-example.com",
            "https://example.com.evil.test",
            "https://me@example.com",
            "https://example.com:8443",
            "https://xn--exmple-cua.com",
            "https://example.com\r\nOrigin: https://example.com",
        ] {
            assert_eq!(upgrade_status(address, "1.1", path, "Origin", Some(origin)).await, 403, "{path}: {origin}");
        }
        for origin in [Some("https://example.com"), Some("HTTPS://EXAMPLE.COM:443"), None] {
            assert_eq!(upgrade_status(address, "1.1", path, "Origin", origin).await, 101, "{path}: {origin:?}");
        }
    }
    scene.finish().await;
}

#[actix_web::test]
async fn a_forged_address_is_ignored_at_every_entry_point() {
    // alice, bob, and one more client
    let scene = Scene::new(&["limits.sockets_per_ip=3"]).await;
    let address = scene.node.address();
    let polls = ["/socket/longpoll?vsn=2.0.0", "/socket.io/?EIO=4&transport=polling", "/socket.io/1/", SOCKET_IO_0_9];
    let client = Client::open(address, V1, &[]).await;
    for path in ENTRY_POINTS.iter().chain(&polls) {
        for forged in ["198.51.100.1", "::ffff:198.51.100.1", "127.0.0.2, 198.51.100.1", "10.0.0.1", "::1", "localhost"]
        {
            let before = scene.refused();
            assert_eq!(
                upgrade_status(address, "1.1", path, "X-Forwarded-For", Some(forged)).await,
                429,
                "{path}: {forged}"
            );
            assert_eq!(scene.refused(), before + 1, "{path}: {forged}: not counted");
        }
    }
    drop(client);
    scene.finish().await;
}

#[actix_web::test]
async fn an_invalid_frame_closes_the_connection_at_every_entry_point() {
    let scene = Scene::new(&["socketio.max_payload=65536"]).await;
    let declared = |length: u64| [&[0x82, 0xFF][..], &length.to_be_bytes(), &[0; 4]].concat();
    let frames = [
        (vec![0x81, 0x02, b'[', b']'], 1002, "an unmasked frame"),
        (frame(0xC1, b"[]"), 1002, "a reserved bit"),
        (frame(0x83, b""), 1002, "an unknown opcode"),
        (frame(0x09, b""), 1002, "a fragmented ping"),
        (frame(0x89, &[0; 126]), 1002, "a ping of 126 bytes"),
        ([frame(0x01, b"["), frame(0x81, b"]")].concat(), 1002, "a message inside another"),
        (frame(0x88, &[3]), 1002, "half a close code"),
        (declared(1 << 63), 1002, "2^63 bytes"),
        (declared(1 << 40), 1009, "a tebibyte"),
        ([frame(0x01, b"\xc3"), frame(0x80, b"(")].concat(), 1007, "text that is not UTF-8"),
        ([frame(0x01, b"["), frame(0x00, b" ").repeat(1_100)].concat(), 0, "1,101 fragments"),
    ];
    for path in ENTRY_POINTS {
        for (bytes, code, why) in &frames {
            let (mut client, before) = (Client::open(scene.node.address(), path, &[]).await, scene.closed());
            client.raw(bytes).await;
            let received = client.close_code().await;
            // fragments also count as messages, so the rate limit may come first
            let is_right = if *code == 0 { [1008, 1009].contains(&received) } else { received == *code };
            assert!(is_right, "{path}: {why}: closed with {received}");
            assert_eq!(scene.closed(), before + 1, "{path}: {why}: not counted");
        }
    }
    scene.finish().await;
}

/// Values that no JSON parser accepts, or that are nested too deeply.
fn unreadable(message: impl Fn(&str) -> String) -> Vec<String> {
    let deep = format!("{}1{}", "[".repeat(10_000), "]".repeat(10_000));
    let values = [&deep, "1e400", r#""\ud800""#, "\"a\0b\"", "[1,", "NaN", &"[".repeat(50_000)];
    values.iter().map(|value| message(value)).collect()
}

#[actix_web::test]
async fn undecodable_messages_close_the_connection_in_strict_protocols() {
    let scene = Scene::new(&[]).await;
    let v1 = |value: &str| format!(r#"{{"topic":"room:a","event":"x","payload":{value},"ref":"1"}}"#);
    let mut messages: Vec<(&str, String)> = unreadable(v1).into_iter().map(|text| (V1, text)).collect();
    messages.extend([
        (V1, r#"{"topic":"a","topic":"b","event":"x","payload":{},"ref":"1"}"#.into()),
        (V1, r#"["1","1","room:a","phx_join",{}]"#.into()),
    ]);
    for path in [SOCKET_IO, SOCKET_IO_V3] {
        messages.extend(unreadable(|value| format!(r#"42["x",{value}]"#)).into_iter().map(|text| (path, text)));
    }
    messages.extend(unreadable(|value| format!("40{{\"a\":{value}}}")).into_iter().map(|text| (SOCKET_IO, text)));
    for (path, text) in messages {
        let mut client = Client::open(scene.node.address(), path, &[]).await;
        if path == SOCKET_IO && text.starts_with("42") {
            client.send("40").await;
            client.receive_until("40{").await;
        }
        client.send(&text).await;
        assert_eq!(client.close_code().await, 1011, "{path}: {}", &text[..text.len().min(80)]);
    }
    scene.finish().await;
}

#[actix_web::test]
async fn undecodable_messages_are_ignored_and_counted_in_lenient_protocols() {
    let scene = Scene::new(&[]).await;
    let offer = |value: &str| format!(r#"{{"type":"OFFER","dst":"mallory","payload":{value}}}"#);
    let broadcast = |value: &str| format!(r#"{{"_messageType":"broadcast","_from":"mallory","_content":{value}}}"#);
    for (path, mut messages, repeated_key, valid) in [
        (PEERJS, unreadable(offer), r#"{"type":"OFFER","type":"LEAVE","dst":"mallory"}"#, offer("1")),
        (HELLO, unreadable(broadcast), r#"{"_from":"mallory","_from":"ann"}"#, broadcast("1")),
    ] {
        let (mut client, before) = (Client::open(scene.node.address(), path, &[]).await, scene.ignored());
        messages.extend([repeated_key.into(), "[]".into(), "null".into(), "{".into(), String::new()]);
        for text in &messages {
            client.send(text).await;
        }
        client.send_binary(b"\xff\xfe").await;
        // the connection stays open, and receives its own message
        client.send(&valid).await;
        client.receive_until(":1").await;
        assert_eq!(scene.ignored() - before, messages.len() as u64 + 1, "{path}");
    }
    scene.finish().await;
}

#[actix_web::test]
async fn offered_compression_is_not_negotiated_and_compressed_frames_are_rejected() {
    let scene = Scene::new(&[]).await;
    for path in ENTRY_POINTS {
        let offer = ["Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits"];
        let (mut client, head) = Client::try_open(scene.node.address(), path, &offer).await;
        assert!(head.starts_with("HTTP/1.1 101") && !head.to_lowercase().contains("extensions"), "{head}");
        // "Hello", as compressed in RFC 7692
        client.raw(&frame(0xC1, b"\xf2\x48\xcd\xc9\xc9\x07\x00")).await;
        assert_eq!(client.close_code().await, 1002, "{path}");
    }
    scene.finish().await;
}

#[actix_web::test]
async fn a_ping_between_two_fragments_gets_an_immediate_pong() {
    let scene = Scene::new(&[]).await;
    let mut client = scene.client().await;
    let text = br#"[null,"1","phoenix","heartbeat",{}]"#;
    client.raw(&[frame(0x01, &text[..9]), frame(0x89, b"?"), frame(0x8A, b"")].concat()).await;
    assert_eq!(client.receive_any().await, Received::Pong(b"?".to_vec()));
    client.raw(&frame(0x80, &text[9..])).await;
    client.expect(r#"[null,"1","phoenix","phx_reply",{"status":"ok","response":{}}]"#).await;
    drop(client);
    scene.finish().await;
}

/// 1,000 signals to absent peers are an attempt to find the ids that exist.
#[actix_web::test]
async fn probing_for_ids_is_rate_limited_in_every_protocol_that_reports_absent_peers() {
    let free = ["limits.messages_burst=1000000", "limits.messages_per_second=1000000"];
    let scene = Scene::new(&[free[0], free[1], "peerjs.expire_timeout=100ms"]).await;
    let (mut client, mut not_found, mut limited) = (Client::open(scene.node.address(), SOCKET_IO, &[]).await, 0, 0);
    client.send("40").await;
    client.receive_until("40{").await;
    for n in 0..1_000 {
        client.send(&format!(r#"42{n}["signal",{{"to":"nobody-{n}"}}]"#)).await;
        let reply = client.receive_until("43").await;
        not_found += usize::from(reply.contains("peer_not_found"));
        limited += usize::from(reply.contains("rate_limited"));
    }
    assert!(
        (120..=140).contains(&not_found) && not_found + limited == 1_000,
        "{not_found} not found, {limited} limited"
    );
    drop(client);
    // here the sender learns that a peer is absent only when the held signal expires; beyond the limit it must not wait
    let mut client = Client::open(scene.node.address(), PEERJS, &[]).await;
    client.expect(r#"{"type":"OPEN"}"#).await;
    let offer = |to: &str| frame(0x81, format!(r#"{{"type":"OFFER","dst":"{to}","payload":1}}"#).as_bytes());
    client.raw(&(0..1_000).flat_map(|n| offer(&format!("nobody-{n}"))).collect::<Vec<u8>>()).await;
    let pubsub = scene.node.pubsub();
    wait_until("signals are held", || async { pubsub.stats().await.held > 0 }).await;
    wait_until("no signal is held", || async { pubsub.stats().await.held == 0 }).await;
    let mut ann = Client::open(scene.node.address(), "/peerjs?key=peerjs&id=ann&token=t", &[]).await;
    ann.send(r#"{"type":"OFFER","dst":"mallory","payload":"the last"}"#).await;
    let mut expired = 0;
    loop {
        let text = client.receive().await;
        if text.contains("the last") {
            break;
        }
        expired += usize::from(text.contains("EXPIRE"));
    }
    assert!((120..=140).contains(&expired), "{expired} signals expired");
    drop((client, ann));
    scene.finish().await;
}
