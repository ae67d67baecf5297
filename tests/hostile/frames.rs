//! Frames that break RFC 6455, or keep to it and are no good all the same.

use std::time::Duration;

use tokio::io::AsyncWriteExt;

use super::Scene;
use crate::common::{Received, frame};

/// More than a test's own doings may add to the memory of the process, and far less than what is sent.
const SLACK: usize = 24 << 20;
const SENT: usize = 96 << 20;

/// The memory of this process that is in use, in bytes.
fn resident() -> usize {
    let statm = std::fs::read_to_string("/proc/self/statm").unwrap();
    statm.split_whitespace().nth(1).unwrap().parse::<usize>().unwrap() * 4096
}

#[actix_web::test]
async fn a_length_that_is_declared_takes_no_memory() {
    let scene = Scene::new(&[]).await;
    let lengths: [(u64, u16, &str); 4] = [
        (1 << 63, 1002, "2^63 bytes"),
        (u64::MAX, 1002, "2^64 - 1 bytes"),
        (1 << 40, 1009, "a tebibyte"),
        (65_537, 1009, "one byte more than the limit"),
    ];
    let before = resident();
    for (length, code, why) in lengths {
        let mut client = scene.client().await;
        let mut header = vec![0x82, 0xFF];
        header.extend(length.to_be_bytes());
        // it drips, so that the header is read in pieces
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
    let grown = resident().saturating_sub(before);
    assert!(grown < SLACK, "{} MiB were sent, and memory grew by {} KiB", SENT >> 20, grown >> 10);
    scene.ends_well().await;
}

#[actix_web::test]
async fn a_frame_that_is_none_is_a_protocol_error() {
    let scene = Scene::new(&[]).await;
    scene.closes(&[0x81, 0x02, b'[', b']'], 1002, "not masked").await;
    for bit in [0x40, 0x20, 0x10] {
        scene.closes(&frame(0x81 | bit, b"[]"), 1002, "a reserved bit, compression that nobody agreed on").await;
    }
    for opcode in [3, 4, 5, 6, 7, 11, 12, 13, 14, 15] {
        scene.closes(&frame(0x80 | opcode, b""), 1002, "an unknown opcode").await;
    }
    for opcode in [8, 9, 10] {
        scene.closes(&frame(0x80 | opcode, &[b'x'; 126]), 1002, "a control frame of 126 bytes").await;
        scene.closes(&frame(opcode, b""), 1002, "a control frame in pieces").await;
    }
    scene.closes(&frame(0x80, b"x"), 1002, "a continuation of nothing").await;
    for (first, second) in [(0x01, 0x81), (0x01, 0x82), (0x02, 0x81), (0x01, 0x01), (0x02, 0x02)] {
        let bytes = [frame(first, b"["), frame(second, b"]")].concat();
        scene.closes(&bytes, 1002, "a message begun within another").await;
    }
    scene.ends_well().await;
}

#[actix_web::test]
async fn what_follows_a_frame_that_is_none_is_not_heard() {
    let scene = Scene::new(&[]).await;
    let join = frame(0x81, br#"["1","1","room:a","phx_join",{}]"#);
    let mut client = scene.client().await;
    client.raw(&[&frame(0x83, b""), &*join].concat()).await;
    assert!(matches!(client.receive_any().await, Received::Close(1002, _)));
    drop(client);
    // nor is what follows the client's own goodbye
    let mut client = scene.client().await;
    client.raw(&[&frame(0x88, &[0x0F, 0xA0]), &*join, &frame(0x89, b"?")].concat()).await;
    assert_eq!(client.receive_any().await, Received::Close(4000, String::new()));
    assert_eq!(client.receive_any().await, Received::Eof);
    drop(client);
    assert_eq!(scene.node.pubsub().count("room:a"), 0);
    scene.ends_well().await;
}

#[actix_web::test]
async fn a_close_frame_with_a_wrong_code_is_a_protocol_error() {
    let scene = Scene::new(&[]).await;
    scene.closes(&frame(0x88, &[3]), 1002, "half a code").await;
    for code in [0_u16, 1, 999, 1004, 1005, 1006, 1015, 1016, 2000, 2999, 5000, 65_535] {
        scene.closes(&frame(0x88, &code.to_be_bytes()), 1002, &format!("the code {code}")).await;
    }
    for code in [1000_u16, 1001, 1003, 1011, 3000, 4999] {
        let words = [&code.to_be_bytes(), &b"bye"[..]].concat();
        let mut client = scene.client().await;
        client.raw(&frame(0x88, &words)).await;
        assert_eq!(client.close_code().await, code, "a code that one may send");
    }
    scene.ends_well().await;
}

#[actix_web::test]
async fn text_that_is_no_utf8_is_told_so_however_it_is_cut() {
    let scene = Scene::new(&[]).await;
    let bad: [&[u8]; 5] = [b"\xff", b"\xc3", b"\xc0\x80", b"\xed\xa0\x80", b"\xf4\x90\x80\x80"];
    for bytes in bad {
        scene.closes(&frame(0x81, bytes), 1007, "in one frame").await;
        let (one, other) = bytes.split_at(bytes.len() / 2);
        let pieces = [frame(0x01, one), frame(0x00, other), frame(0x80, b"")].concat();
        scene.closes(&pieces, 1007, "in pieces").await;
    }
    scene.ends_well().await;
}

#[actix_web::test]
async fn a_message_in_300_000_pieces_is_not_put_together() {
    let pieces = [frame(0x01, b"["), frame(0x00, b" ").repeat(300_000)].concat();
    // by default they are too many messages; who may send as many as he likes still may not this
    let free = ["limits.messages_per_second=1000000", "limits.messages_burst=1000000"];
    for (sets, code) in [(&[][..], 1008), (&free, 1009)] {
        let scene = Scene::new(sets).await;
        let before = resident();
        scene.closes(&pieces, code, "300,000 pieces").await;
        let grown = resident().saturating_sub(before);
        assert!(grown < SLACK, "memory grew by {} KiB", grown >> 10);
        scene.ends_well().await;
    }
}

#[actix_web::test]
async fn pieces_without_anything_in_them_are_counted_too() {
    let scene = Scene::new(&["limits.messages_per_second=1000000", "limits.messages_burst=1000000"]).await;
    let empty = [frame(0x02, b""), frame(0x00, b"").repeat(1_024)].concat();
    scene.closes(&empty, 1009, "1,025 empty pieces").await;
    let mut client = scene.client().await;
    let text = br#"[null,"1","phoenix","heartbeat",{}]"#;
    let spaces = [frame(0x01, text), frame(0x00, b"").repeat(1_022), frame(0x80, b"")].concat();
    client.raw(&spaces).await;
    client.expect(r#"[null,"1","phoenix","phx_reply",{"status":"ok","response":{}}]"#).await;
    drop(client);
    scene.ends_well().await;
}

#[actix_web::test]
async fn fifty_thousand_pings_are_a_flood() {
    let scene = Scene::new(&[]).await;
    for opcode in [0x89, 0x8A] {
        let mut client = scene.client().await;
        client.raw(&frame(opcode, b"x").repeat(50_000)).await;
        let mut pongs = 0;
        let code = loop {
            match client.receive_any().await {
                Received::Pong(_) => pongs += 1,
                Received::Close(code, _) => break code,
                other => panic!("heard {other:?}"),
            }
        };
        assert_eq!(code, 1008);
        assert!(pongs < 2_000, "{pongs} pongs");
    }
    scene.ends_well().await;
}

#[actix_web::test]
async fn half_a_connection_is_none() {
    let scene = Scene::new(&[]).await;
    let mut client = scene.client().await;
    client.join("1", "room:half", "{}").await;
    client.stream.shutdown().await.unwrap();
    let pubsub = scene.node.pubsub();
    crate::common::wait_until("that it has left", || async { pubsub.count("room:half") == 0 }).await;
    assert_eq!(client.close_code().await, 1006);
    // the same in the middle of a frame
    let mut client = scene.client().await;
    client.join("1", "room:half", "{}").await;
    client.raw(&[0x81, 0xFE, 0x01]).await;
    client.stream.shutdown().await.unwrap();
    crate::common::wait_until("that it has left", || async { pubsub.count("room:half") == 0 }).await;
    drop(client);
    scene.ends_well().await;
}

#[actix_web::test]
async fn silence_is_measured_by_what_the_client_sends() {
    let scene = Scene::new(&["socket.idle_timeout=1500ms"]).await;
    let Scene { node, mut alice, mut bob } = scene;
    let mut silent = crate::common::Client::new(node.address()).await;
    silent.join("1", "room:silent", "{}").await;
    let topic = handclasp::Topic::parse("room:silent").unwrap();
    // whatever the two send counts: a pong, half a frame; what the silent one is sent does not
    let half = frame(0x81, br#"[null,"1","phoenix","heartbeat",{}]"#);
    let mut half = half.iter().cycle();
    let closed = tokio::time::timeout(Duration::from_secs(8), async {
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
    assert_eq!(closed.await, Ok(1001));
    drop(silent);
    crate::common::wait_until("the two who were heard", || async { node.connections() == 2 }).await;
    drop((alice, bob));
    crate::common::wait_until_empty(&node).await;
}

#[actix_web::test]
async fn a_connection_ends_when_both_have_sent_a_close_frame() {
    let scene = Scene::new(&["socket.write_timeout=10m"]).await;
    let goodbye = frame(0x88, &[0x0F, 0xA0]);
    for trailing in [&b""[..], b"\x89", &frame(0x89, b"?"), &frame(0x82, &[0; 60_000])] {
        let mut client = scene.client().await;
        client.raw(&[&*goodbye, trailing].concat()).await;
        assert_eq!(client.receive_any().await, Received::Close(4000, String::new()));
        assert_eq!(client.receive_any().await, Received::Eof, "{} bytes follow", trailing.len());
    }
    // the same when it is the server that says it first
    let mut client = scene.client().await;
    client.send("{").await;
    assert_eq!(client.close_code().await, 1011);
    client.raw(&goodbye).await;
    assert_eq!(client.receive_any().await, Received::Eof);
    drop(client);
    scene.ends_well().await;
}
