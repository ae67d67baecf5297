//! The example `echo`, which the Autobahn test suite can run against.

use handclasp::Node;

use crate::common::{Client, Received, config, frame, wait_until_empty};

#[path = "../examples/echo.rs"]
#[allow(dead_code, reason = "its main is not run here")]
mod example;

async fn open() -> (Node, Client) {
    let node = example::endpoint(config(&[])).start().unwrap();
    let client = Client::open(node.address(), "/echo", &[]).await;
    (node, client)
}

#[actix_web::test]
async fn messages_come_back_as_they_were_sent() {
    let (node, mut client) = open().await;
    for length in [0, 125, 126, 127, 128, 65_535, 65_536, 1_000_000] {
        let text = "x".repeat(length);
        client.send(&text).await;
        assert_eq!(client.receive_any().await, Received::Text(text));
        let bytes = vec![0xFE; length];
        client.send_binary(&bytes).await;
        assert_eq!(client.receive_any().await, Received::Binary(bytes));
    }
    drop(client);
    wait_until_empty(&node).await;
}

#[actix_web::test]
async fn fragments_come_back_as_one_message() {
    let (node, mut client) = open().await;
    let text = "\u{20ac}".repeat(22_000);
    let pieces: Vec<&[u8]> = text.as_bytes().chunks(1_300).collect();
    let last = pieces.len() - 1;
    for (n, piece) in pieces.iter().enumerate() {
        client.raw(&frame(if n == last { 0x80 } else { u8::from(n == 0) }, piece)).await;
    }
    assert_eq!(client.receive_any().await, Received::Text(text));
    drop(client);
    wait_until_empty(&node).await;
}
