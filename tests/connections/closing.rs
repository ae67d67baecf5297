//! The end of a WebSocket (RFC 6455, sections 5.5.1 and 7.1): the server sends its close frame immediately, and the
//! connection ends as soon as both sides have sent theirs, or the client's cannot come any more.
//!
//! In these tests, which pass with and without TLS, no timeout of the server is shorter than the time that a test waits, and the clients do not close the
//! connection.

use tokio::io::AsyncWriteExt;
use tokio::time::timeout;

use crate::common::tls::{ReachableNode, without_and_with_tls};
use crate::common::{Client, Received, TIMEOUT, frame, wait_until_empty};

const PATIENT: [&str; 4] =
    ["socket.write_timeout=10m", "socket.close_timeout=10m", "socket.idle_timeout=10m", "socket.join_timeout=10m"];

/// A close frame with the code 4000.
fn close_frame() -> Vec<u8> {
    frame(0x88, &[0x0F, 0xA0])
}

/// The server's close frame must come, with this code, and then the end of the connection.
async fn expect_end(client: &mut Client, code: u16, why: &str) {
    let received = client.receive_any().await;
    assert!(matches!(received, Received::Close(actual, _) if actual == code), "{why}: {received:?} instead of {code}");
    assert_eq!(client.receive_any().await, Received::Eof, "{why}");
}

/// What a client sends must end its connection, although the client does not answer the close frame.
async fn expect_end_after(node: &ReachableNode, bytes: &[u8], code: u16, why: &str) {
    let mut client = Client::new(node.address()).await;
    client.raw(bytes).await;
    expect_end(&mut client, code, why).await;
}

/// A client to which the server has sent a close frame, and that has not answered yet.
async fn closed_by_the_server(node: &ReachableNode) -> Client {
    let mut client = Client::new(node.address()).await;
    client.send("{").await;
    assert_eq!(client.close_code().await, 1011);
    client
}

/// Sends these bytes again and again, until the server has aborted the connection. The client reads nothing.
async fn flood_until_aborted(client: &mut Client, bytes: &[u8]) {
    let flood = async { while client.stream.write_all(bytes).await.is_ok() {} };
    timeout(TIMEOUT, flood).await.expect("the server aborts the connection");
}

#[actix_web::test]
async fn an_invalid_frame_ends_the_connection_without_an_answer() {
    for node in without_and_with_tls(&PATIENT).await {
        for (bytes, why) in [
            (frame(0xC1, b"x"), "a reserved bit"),
            (frame(0x83, b"x"), "an unknown opcode"),
            (frame(0x8B, b""), "an unknown control opcode"),
            (frame(0x89, &[b'x'; 126]), "a ping of 126 bytes"),
            (frame(0x09, b"x"), "a fragmented ping"),
            (vec![0x81, 1, b'x'], "an unmasked frame"),
            (frame(0x80, b"x"), "a continuation of nothing"),
            ([frame(0x01, b"x"), frame(0x81, b"x")].concat(), "a message inside another"),
            (frame(0x88, b"x"), "half a close code"),
            (frame(0x88, &[0, 0]), "the close code 0"),
            (frame(0x88, &1005_u16.to_be_bytes()), "the close code 1005"),
            (frame(0x88, b"\x03\xe8\xff"), "a close reason that is not UTF-8"),
        ] {
            expect_end_after(&node, &bytes, 1002, why).await;
        }
        for length in [524_289, 100_000_000_u64] {
            let header = [&[0x82, 0xFF][..], &length.to_be_bytes()].concat();
            expect_end_after(&node, &header, 1009, "the header of a frame that is too big").await;
        }
        let pieces = [frame(0x02, &[0; 300_000]), frame(0x80, &[0; 300_000])].concat();
        expect_end_after(&node, &pieces, 1009, "a message that is too big").await;
        wait_until_empty(&node).await;
    }
}

#[actix_web::test]
async fn a_message_of_too_many_fragments_ends_the_connection() {
    for node in without_and_with_tls(&[&PATIENT[..], &["limits.messages_burst=10000"]].concat()).await {
        let pieces = [frame(0x02, b""), frame(0x00, b"").repeat(2_000)].concat();
        expect_end_after(&node, &pieces, 1009, "too many fragments").await;
        wait_until_empty(&node).await;
    }
}

#[actix_web::test]
async fn a_text_ends_the_connection_at_its_first_wrong_byte() {
    for node in without_and_with_tls(&PATIENT).await {
        let begun = frame(0x01, "right, \u{20ac}".as_bytes());
        let (half, ping) = (frame(0x01, b"\xe2\x82"), frame(0x89, b""));
        for (before, first, start) in [
            (vec![], 0x81, &b"right \xf4\x90"[..]),
            (vec![], 0x01, b"\xff"),
            (begun, 0x00, b"\xc0"),
            (half.clone(), 0x80, b"("),
            ([half, frame(0x00, b"")].concat(), 0x00, b"\xac \xed\xa0"),
        ] {
            // the rest of the frame never comes
            let mut bytes = [before, frame(first, &[start, &[b'x'; 1_000]].concat())].concat();
            bytes.truncate(bytes.len() - 1_000);
            expect_end_after(&node, &bytes, 1007, &start.escape_ascii().to_string()).await;
        }
        // until then the connection works: the text is right so far
        let mut client = Client::new(node.address()).await;
        client.raw(&[frame(0x01, b"\xf0\x9f"), ping].concat()).await;
        assert_eq!(client.receive_any().await, Received::Pong(vec![]));
        client.raw(&frame(0x80, b"")).await;
        expect_end(&mut client, 1007, "a text that ends in the middle of a character").await;
        drop(client);
        wait_until_empty(&node).await;
    }
}

#[actix_web::test]
async fn a_close_frame_is_answered_and_ends_the_connection() {
    for node in without_and_with_tls(&PATIENT).await {
        expect_end_after(&node, &close_frame(), 4000, "a close frame").await;
        expect_end_after(&node, &frame(0x88, b""), 1005, "a close frame without a code").await;
        expect_end_after(&node, &[close_frame(), close_frame()].concat(), 4000, "two of them").await;
        wait_until_empty(&node).await;
    }
}

#[actix_web::test]
async fn after_the_servers_close_frame_only_the_clients_is_looked_for() {
    for node in without_and_with_tls(&PATIENT).await {
        let join = frame(0x81, br#"["1","1","room:a","phx_join",{}]"#);
        for wrong in [frame(0x81, b"{"), frame(0x81, b"\xff"), frame(0x80, b""), frame(0x89, b"?"), frame(0x01, b"(")] {
            let mut client = closed_by_the_server(&node).await;
            let handled = node.pubsub().metrics().messages.get();
            client.raw(&[&join[..], &wrong, &join, &close_frame()].concat()).await;
            assert_eq!(client.receive_any().await, Received::Eof, "no pong, no reply, no second close frame");
            assert_eq!((node.pubsub().count("room:a"), node.pubsub().metrics().messages.get()), (0, handled));
        }
        wait_until_empty(&node).await;
    }
}

#[actix_web::test]
async fn a_flood_after_the_servers_close_frame_is_not_looked_at() {
    for node in without_and_with_tls(&PATIENT).await {
        let join = frame(0x81, br#"["1","1","room:a","phx_join",{}]"#);
        for message in [frame(0x89, b"x"), frame(0x8A, b""), frame(0x02, b""), join] {
            let mut client = closed_by_the_server(&node).await;
            let handled = node.pubsub().metrics().messages.get();
            // far less than the bytes after which the connection is aborted
            client.raw(&message.repeat(2_000)).await;
            assert_eq!(client.receive_any().await, Received::Eof, "the client's close frame is not waited for");
            assert_eq!(node.pubsub().metrics().messages.get(), handled);
        }
        wait_until_empty(&node).await;
    }
}

#[actix_web::test]
async fn the_connection_ends_when_the_clients_close_frame_cannot_come_any_more() {
    for node in without_and_with_tls(&PATIENT).await {
        for (bytes, why) in [
            (frame(0xC1, b"x"), "a reserved bit"),
            (vec![0x88, 0x00], "an unmasked close frame"),
            (frame(0x88, &[0, 0]), "a close frame with an invalid code"),
        ] {
            let mut client = closed_by_the_server(&node).await;
            client.raw(&bytes).await;
            assert_eq!(client.receive_any().await, Received::Eof, "{why}");
        }
        let mut client = closed_by_the_server(&node).await;
        client.stream.shutdown().await.unwrap();
        assert_eq!(client.receive_any().await, Received::Eof, "the client has closed its write side");
        drop(client);
        wait_until_empty(&node).await;
    }
}

#[actix_web::test]
async fn a_client_that_sends_without_end_is_aborted() {
    for node in without_and_with_tls(&PATIENT).await {
        let mut client = Client::new(node.address()).await;
        client.raw(&frame(0xC1, b"x")).await;
        flood_until_aborted(&mut client, &[0; 65_536]).await;
        let mut client = Client::new(node.address()).await;
        client.raw(&close_frame()).await;
        flood_until_aborted(&mut client, &[0; 65_536]).await;
        // while the server waits for a close frame
        let mut client = closed_by_the_server(&node).await;
        flood_until_aborted(&mut client, &frame(0x89, b"?").repeat(10_000)).await;
        wait_until_empty(&node).await;
    }
}

/// The client sends more than the kernel buffers before it reads, and still gets the reason.
#[actix_web::test]
async fn a_client_that_sends_on_for_a_while_gets_the_close_frame() {
    for node in without_and_with_tls(&PATIENT).await {
        let mut client = Client::new(node.address()).await;
        client.raw(&frame(0xC1, b"x")).await;
        for _ in 0..64 {
            client.raw(&[0; 65_536]).await;
        }
        expect_end(&mut client, 1002, "after 4 MiB").await;
        drop(client);
        wait_until_empty(&node).await;
    }
}
