//! Malformed and malicious clients. Each test asserts the exact reply or close code, and that two other clients can
//! still signal each other.
//!
//! These tests are a binary of their own, because `frames` measures the memory of this process, which includes the
//! node.

#[path = "../common/mod.rs"]
mod common;

mod counted;
mod entry_points;
mod frames;
mod messages;
mod pace;
mod rates;
mod requests;
mod streams;

use common::{Client, config, wait_until_empty};
use handclasp::metrics::DropReason;
use handclasp::{Endpoint, Node, close};

const ALICE: &str = "00000000-0000-4000-8000-00000000000a";
const BOB: &str = "00000000-0000-4000-8000-00000000000b";
const MALLORY: &str = "00000000-0000-4000-8000-00000000000c";

/// A node with two well-behaved clients.
struct Scene {
    node: Node,
    alice: Client,
    bob: Client,
}

impl Scene {
    async fn new(sets: &[&str]) -> Self {
        let sets = [&["relay.enabled=true", "hello.enabled=true"], sets].concat();
        let node = Endpoint::new(config(&sets)).start().unwrap();
        let (mut alice, mut bob) = (Client::new(node.address()).await, Client::new(node.address()).await);
        alice.join("1", &format!("peer:{ALICE}"), "{}").await;
        bob.join("1", &format!("peer:{BOB}"), "{}").await;
        Self { node, alice, bob }
    }

    async fn client(&self) -> Client {
        Client::new(self.node.address()).await
    }

    /// Sends raw bytes on a new connection, which must then be closed with `code`.
    async fn expect_closed_after(&self, bytes: &[u8], code: u16, why: &str) {
        let (mut client, before) = (self.client().await, self.closed());
        client.raw(bytes).await;
        assert_eq!(client.close_code().await, code, "{why}");
        assert_eq!(self.closed(), before + 1, "{why}: not counted");
    }

    /// How many connections the node has closed because of an error.
    fn closed(&self) -> u64 {
        let pubsub = self.node.pubsub();
        let all_closed = &pubsub.metrics().connections_closed;
        all_closed.get() - all_closed.of(&close::GONE)
    }

    /// How many connections were rejected.
    fn refused(&self) -> u64 {
        self.node.pubsub().metrics().connections_refused.get()
    }

    /// How many messages were ignored.
    fn ignored(&self) -> u64 {
        self.node.pubsub().metrics().messages_dropped.of(DropReason::Ignored)
    }

    /// Sends a text message on a new connection, which must then be closed with `code`.
    async fn expect_closed_after_text(&self, text: &str, code: u16, why: &str) {
        self.expect_closed_after(&common::frame(0x81, text.as_bytes()), code, why).await;
    }

    /// The two clients can still signal each other, and nothing remains on the node once they have left.
    async fn finish(self) {
        let Self { node, mut alice, mut bob } = self;
        signal(&mut alice, ALICE, &mut bob, BOB).await;
        signal(&mut bob, BOB, &mut alice, ALICE).await;
        drop((alice, bob));
        wait_until_empty(&node).await;
    }
}

async fn signal(sender: &mut Client, from: &str, receiver: &mut Client, to: &str) {
    sender.send(&format!(r#"["1","s","peer:{from}","offer",{{"peer_id":"{to}","sdp":"v=0"}}]"#)).await;
    receiver.expect(&format!(r#"[null,null,"peer:{to}","offer",{{"peer_id":"{from}","sdp":"v=0"}}]"#)).await;
    sender.expect(&format!(r#"["1","s","peer:{from}","phx_reply",{{"status":"ok","response":{{}}}}]"#)).await;
}
