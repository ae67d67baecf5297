//! Frames that break RFC 6455, and valid frames that are abusive.

use std::time::Duration;

use tokio::io::AsyncWriteExt;

use super::Scene;
use crate::common::process::resident;
use crate::common::{Received, frame};

/// More memory than a test itself needs, and much less than the bytes that are sent.
const SLACK: u64 = 24 << 20;
const SENT: usize = 96 << 20;

#[actix_web::test]
async fn a_declared_length_allocates_no_memory() {
    let scene = Scene::new(&[]).await;
    let lengths: [(u64, u16, &str); 4] = [
        (1 << 63, 1002, "2^63 bytes"),
        (u64::MAX, 1002, "2^64 - 1 bytes"),
        (1 << 40, 1009, "a tebibyte"),
        (524_289, 1009, "one byte more than the limit"),
    ];
    let before = resident(std::process::id());
    for (length, code, why) in lengths {
        let mut client = scene.client().await;
        let mut header = vec![0x82, 0xFF];
        header.extend(length.to_be_bytes());
        // send byte by byte, so that the server reads the header in pieces
        for byte in header {
            client.raw(&[byte]).await;
            tokio::task::yield_now().await;
        }
        let chunk = vec![0; 1 << 16];
        for _ in 0..SENT / lengths.len() / chunk.len() {
            client.raw(&chunk).await;
        }
        assert_eq!(client.close_code().await, code, "{why}");
    }
    let grown = resident(std::process::id()).saturating_sub(before);
    assert!(grown < SLACK, "memory grew by {1} KiB after {0} MiB were sent", SENT >> 20, grown >> 10);
    scene.finish().await;
}

#[actix_web::test]
async fn an_invalid_frame_is_a_protocol_error() {
    let scene = Scene::new(&[]).await;
    scene.expect_closed_after(&[0x81, 0x02, b'[', b']'], 1002, "an unmasked frame").await;
    for bit in [0x40, 0x20, 0x10] {
        scene
            .expect_closed_after(&frame(0x81 | bit, b"[]"), 1002, "a reserved bit, compression that was not negotiated")
            .await;
    }
    for opcode in [3, 4, 5, 6, 7, 11, 12, 13, 14, 15] {
        scene.expect_closed_after(&frame(0x80 | opcode, b""), 1002, "an unknown opcode").await;
    }
    for opcode in [8, 9, 10] {
        scene.expect_closed_after(&frame(0x80 | opcode, &[b'x'; 126]), 1002, "a control frame of 126 bytes").await;
        scene.expect_closed_after(&frame(opcode, b""), 1002, "a fragmented control frame").await;
    }
    scene.expect_closed_after(&frame(0x80, b"x"), 1002, "a continuation without a first frame").await;
    for (first, second) in [(0x01, 0x81), (0x01, 0x82), (0x02, 0x81), (0x01, 0x01), (0x02, 0x02)] {
        let bytes = [frame(first, b"["), frame(second, b"]")].concat();
        scene.expect_closed_after(&bytes, 1002, "a message inside another").await;
    }
    scene.finish().await;
}

#[actix_web::test]
async fn frames_after_an_invalid_frame_or_a_close_frame_are_ignored() {
    let scene = Scene::new(&[]).await;
    let join = frame(0x81, br#"["1","1","room:a","phx_join",{}]"#);
    let mut client = scene.client().await;
    client.raw(&[&frame(0x83, b""), &*join].concat()).await;
    assert!(matches!(client.receive_any().await, Received::Close(1002, _)));
    drop(client);
    // the same after the client's own close frame
    let mut client = scene.client().await;
    client.raw(&[&frame(0x88, &[0x0F, 0xA0]), &*join, &frame(0x89, b"?")].concat()).await;
    assert_eq!(client.receive_any().await, Received::Close(4000, String::new()));
    assert_eq!(client.receive_any().await, Received::Eof);
    drop(client);
    assert_eq!(scene.node.pubsub().count("room:a"), 0);
    scene.finish().await;
}

#[actix_web::test]
async fn an_invalid_close_code_is_a_protocol_error() {
    let scene = Scene::new(&[]).await;
    scene.expect_closed_after(&frame(0x88, &[3]), 1002, "half a close code").await;
    for code in [0_u16, 1, 999, 1004, 1005, 1006, 1015, 1016, 2000, 2999, 5000, 65_535] {
        scene.expect_closed_after(&frame(0x88, &code.to_be_bytes()), 1002, &format!("the close code {code}")).await;
    }
    for code in [1000_u16, 1001, 1003, 1011, 3000, 4999] {
        let payload = [&code.to_be_bytes(), &b"bye"[..]].concat();
        let mut client = scene.client().await;
        client.raw(&frame(0x88, &payload)).await;
        assert_eq!(client.close_code().await, code, "a valid close code");
    }
    scene.finish().await;
}

#[actix_web::test]
async fn invalid_utf8_is_rejected_however_it_is_fragmented() {
    let scene = Scene::new(&[]).await;
    let bad: [&[u8]; 5] = [b"\xff", b"\xc3", b"\xc0\x80", b"\xed\xa0\x80", b"\xf4\x90\x80\x80"];
    for bytes in bad {
        scene.expect_closed_after(&frame(0x81, bytes), 1007, "in one frame").await;
        let (one, other) = bytes.split_at(bytes.len() / 2);
        let fragments = [frame(0x01, one), frame(0x00, other), frame(0x80, b"")].concat();
        scene.expect_closed_after(&fragments, 1007, "fragmented").await;
    }
    scene.finish().await;
}

#[actix_web::test]
async fn a_message_of_300_000_fragments_is_not_assembled() {
    let fragments = [frame(0x01, b"["), frame(0x00, b" ").repeat(300_000)].concat();
    // the default rate limit rejects them first; without it the fragment limit does
    let free = ["limits.messages_per_second=1000000", "limits.messages_burst=1000000"];
    for (sets, code) in [(&[][..], 1008), (&free, 1009)] {
        let scene = Scene::new(sets).await;
        let before = resident(std::process::id());
        scene.expect_closed_after(&fragments, code, "300,000 fragments").await;
        let grown = resident(std::process::id()).saturating_sub(before);
        assert!(grown < SLACK, "memory grew by {} KiB", grown >> 10);
        scene.finish().await;
    }
}

#[actix_web::test]
async fn empty_fragments_count_towards_the_limit() {
    let scene = Scene::new(&["limits.messages_per_second=1000000", "limits.messages_burst=1000000"]).await;
    let empty = [frame(0x02, b""), frame(0x00, b"").repeat(1_024)].concat();
    scene.expect_closed_after(&empty, 1009, "1,025 empty fragments").await;
    let mut client = scene.client().await;
    let text = br#"[null,"1","phoenix","heartbeat",{}]"#;
    let fragmented = [frame(0x01, text), frame(0x00, b"").repeat(1_022), frame(0x80, b"")].concat();
    client.raw(&fragmented).await;
    client.expect(r#"[null,"1","phoenix","phx_reply",{"status":"ok","response":{}}]"#).await;
    drop(client);
    scene.finish().await;
}

#[actix_web::test]
async fn fifty_thousand_pings_are_closed_as_a_flood() {
    let scene = Scene::new(&[]).await;
    for opcode in [0x89, 0x8A] {
        let mut client = scene.client().await;
        client.raw(&frame(opcode, b"x").repeat(50_000)).await;
        let mut pongs = 0;
        let code = loop {
            match client.receive_any().await {
                Received::Pong(_) => pongs += 1,
                Received::Close(code, _) => break code,
                other => panic!("received {other:?}"),
            }
        };
        assert_eq!(code, 1008);
        assert!(pongs < 2_000, "{pongs} pongs");
    }
    scene.finish().await;
}

#[actix_web::test]
async fn a_half_closed_connection_is_closed() {
    let scene = Scene::new(&[]).await;
    let mut client = scene.client().await;
    client.join("1", "room:half", "{}").await;
    client.stream.shutdown().await.unwrap();
    let pubsub = scene.node.pubsub();
    crate::common::wait_until("the client has left", || async { pubsub.count("room:half") == 0 }).await;
    assert_eq!(client.close_code().await, 1006);
    // the same in the middle of a frame
    let mut client = scene.client().await;
    client.join("1", "room:half", "{}").await;
    client.raw(&[0x81, 0xFE, 0x01]).await;
    client.stream.shutdown().await.unwrap();
    crate::common::wait_until("the client has left", || async { pubsub.count("room:half") == 0 }).await;
    drop(client);
    scene.finish().await;
}

#[actix_web::test]
async fn the_idle_timeout_counts_only_what_the_client_sends() {
    let scene = Scene::new(&["socket.idle_timeout=1500ms"]).await;
    let Scene { node, mut alice, mut bob } = scene;
    let mut silent = crate::common::Client::new(node.address()).await;
    silent.join("1", "room:silent", "{}").await;
    let topic = handclasp::Topic::parse("room:silent").unwrap();
    // a pong or part of a frame resets the idle timeout; what the server sends does not
    let half = frame(0x81, br#"[null,"1","phoenix","heartbeat",{}]"#);
    let mut half = half.iter().cycle();
    let code = tokio::time::timeout(Duration::from_secs(8), async {
        loop {
            alice.raw(&frame(0x8A, b"")).await;
            bob.raw(&[*half.next().unwrap()]).await;
            node.pubsub().broadcast(&topic, "noise", handclasp::Payload::empty());
            if let Received::Close(code, _) = silent.receive_any().await {
                break code;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    });
    assert_eq!(code.await, Ok(1001));
    drop(silent);
    crate::common::wait_until("the other two clients stay connected", || async { node.connections() == 2 }).await;
    drop((alice, bob));
    crate::common::wait_until_empty(&node).await;
}

#[actix_web::test]
async fn a_connection_closes_once_both_sides_sent_a_close_frame() {
    let scene = Scene::new(&["socket.write_timeout=10m", "socket.close_timeout=10m"]).await;
    let close = frame(0x88, &[0x0F, 0xA0]);
    for trailing in [&b""[..], b"\x89", &frame(0x89, b"?"), &frame(0x82, &[0; 60_000])] {
        let mut client = scene.client().await;
        client.raw(&[&*close, trailing].concat()).await;
        assert_eq!(client.receive_any().await, Received::Close(4000, String::new()));
        assert_eq!(client.receive_any().await, Received::Eof, "with {} bytes after it", trailing.len());
    }
    // the same if the server sends its close frame first
    let mut client = scene.client().await;
    client.send("{").await;
    assert_eq!(client.close_code().await, 1011);
    client.raw(&close).await;
    assert_eq!(client.receive_any().await, Received::Eof);
    drop(client);
    scene.finish().await;
}
