//! Clients that mean harm, or are badly broken: each gets the exact answer or close code it deserves,
//! and two others go on talking as if nothing had happened.
//!
//! A binary of its own: `frames` measures the memory of this process, which holds the node too.

#[path = "../common/mod.rs"]
mod common;

mod counted;
mod entry_points;
mod frames;
mod messages;
mod requests;

use common::{Client, config, wait_until_empty};
use handclasp::metrics::DropReason;
use handclasp::{Endpoint, Node, close};

const ALICE: &str = "00000000-0000-4000-8000-00000000000a";
const BOB: &str = "00000000-0000-4000-8000-00000000000b";
const NOBODY: &str = "00000000-0000-4000-8000-00000000000c";

/// A node, and two who behave.
struct Scene {
    node: Node,
    alice: Client,
    bob: Client,
}

impl Scene {
    async fn new(sets: &[&str]) -> Self {
        let node = Endpoint::new(config(sets)).start().unwrap();
        let (mut alice, mut bob) = (Client::new(node.address()).await, Client::new(node.address()).await);
        alice.join("1", &format!("peer:{ALICE}"), "{}").await;
        bob.join("1", &format!("peer:{BOB}"), "{}").await;
        Self { node, alice, bob }
    }

    async fn client(&self) -> Client {
        Client::new(self.node.address()).await
    }

    /// Sends raw bytes on a connection of its own, which must then be closed with `code`.
    async fn closes(&self, bytes: &[u8], code: u16, why: &str) {
        let (mut client, before) = (self.client().await, self.closed());
        client.raw(bytes).await;
        assert_eq!(client.close_code().await, code, "{why}");
        assert_eq!(self.closed(), before + 1, "{why}: not counted");
    }

    /// How many connections the node has ended, for whatever reason.
    fn closed(&self) -> u64 {
        let pubsub = self.node.pubsub();
        let ends = &pubsub.metrics().connections_closed;
        ends.get() - ends.of(&close::GONE)
    }

    /// How many were not let in.
    fn refused(&self) -> u64 {
        self.node.pubsub().metrics().connections_refused.get()
    }

    /// How many messages were passed over.
    fn ignored(&self) -> u64 {
        self.node.pubsub().metrics().messages_dropped.of(DropReason::Ignored)
    }

    /// Says a text on a connection of its own, which must then be closed with `code`.
    async fn closes_text(&self, text: &str, code: u16, why: &str) {
        self.closes(&common::frame(0x81, text.as_bytes()), code, why).await;
    }

    /// The two still signal each other, and when they are gone too nothing is left of anybody.
    async fn ends_well(self) {
        let Self { node, mut alice, mut bob } = self;
        signal(&mut alice, ALICE, &mut bob, BOB).await;
        signal(&mut bob, BOB, &mut alice, ALICE).await;
        drop((alice, bob));
        wait_until_empty(&node).await;
    }
}

async fn signal(speaker: &mut Client, from: &str, listener: &mut Client, to: &str) {
    speaker.send(&format!(r#"["1","s","peer:{from}","offer",{{"peer_id":"{to}","sdp":"v=0"}}]"#)).await;
    listener.expect(&format!(r#"[null,null,"peer:{to}","offer",{{"peer_id":"{from}","sdp":"v=0"}}]"#)).await;
    speaker.expect(&format!(r#"["1","s","peer:{from}","phx_reply",{{"status":"ok","response":{{}}}}]"#)).await;
}
