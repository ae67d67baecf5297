//! Packets, payloads and forms of Socket.IO 0.9.

use std::sync::{Arc, LazyLock};

use super::request::{OwnedRequest, frames};
use super::seeds::{conversations, messages};
use super::session_input::{self, Part, parts};
use super::socketio::reply_to;
use super::{SMALL, Target};
use crate::metrics::families::Metrics;
use crate::protocol::{Decoded, Frame, Protocol};
use crate::protocols::socketio::v09::{SocketIo09, payload, polling};

const WORDS: &[&str] = &[
    "0::",
    "1::/chat",
    "2::",
    "3:1::",
    "4:2+::",
    "5:::{\"name\":\"",
    "\",\"args\":[",
    "6:::1+[",
    "7:::1+0",
    "8::",
    "/chat:",
    "\u{fffd}",
    "\u{fffd}5\u{fffd}3:::a",
    "d=%22",
    "\\ufffd",
];
/// The maximum number of packets in a payload, and the size of a payload with a few more of the shortest packets.
const MAX_PACKETS: usize = 10_000;
const MAX_PAYLOAD: usize = 7 * MAX_PACKETS + 100;

pub(super) const TARGETS: &[Target] = &[
    Target { name: "socketio_0_9", run, seeds, dictionary: WORDS, max_len: SMALL },
    Target {
        name: "socketio_0_9_body",
        run: body,
        seeds: || messages("socketio-0.9"),
        dictionary: WORDS,
        max_len: MAX_PAYLOAD,
    },
    Target {
        name: "socketio_0_9_form",
        run: form,
        seeds: || messages("socketio-0.9"),
        dictionary: WORDS,
        max_len: SMALL,
    },
];

fn client() -> SocketIo09 {
    static METRICS: LazyLock<Arc<Metrics>> = LazyLock::new(Arc::default);
    SocketIo09::new(METRICS.clone())
}

fn seeds() -> Vec<Vec<u8>> {
    conversations("socketio-0.9").iter().map(|messages| session_input::write(messages, b"")).collect()
}

/// Accepts every join, and sends every event back: the client must decode what it sent. No packet is an error.
fn run(data: &[u8]) {
    let mut client = client();
    client.transport_opened();
    run_next_steps(&mut client, 0);
    for part in parts(data) {
        let Part::Message(frame) = part else { continue };
        let request = match client.decode(&frame).expect("a malformed packet is ignored") {
            Some(Decoded::Request(inbound)) => OwnedRequest::of(inbound),
            Some(Decoded::Close(_)) => return,
            Some(Decoded::Respond(_)) | None => continue,
        };
        reply_to(&mut client, &request, 6 * frame.size() + 16);
        run_next_steps(&mut client, frame.size());
    }
    client.transport_opened();
    run_next_steps(&mut client, 0);
}

/// At most one step follows a packet.
fn run_next_steps(client: &mut SocketIo09, received: usize) {
    match client.next_step() {
        Some(Decoded::Request(inbound)) => {
            let request = OwnedRequest::of(inbound);
            reply_to(client, &request, 6 * received + 16);
        }
        Some(Decoded::Respond(Frame::Text(_))) | None => {}
        other => panic!("{other:?}"),
    }
    assert!(client.next_step().is_none());
}

/// Packets that are written again and read again are the same packets.
fn body(data: &[u8]) {
    for frame in frames(data) {
        let Frame::Text(text) = frame else { continue };
        let Ok(packets) = payload::read(&text) else { continue };
        assert!(packets.len() <= MAX_PACKETS, "{} packets", packets.len());
        let written = payload::write(&packets);
        // a packet that is alone is written without its length
        let is_same = |read: Vec<Frame>| read == packets || packets == [Frame::Text(written.clone().into())];
        assert!(payload::read(&written).is_ok_and(is_same) || packets.len() < 2, "{written:?} of {text:?}");
    }
}

fn form(data: &[u8]) {
    if let Ok(packets) = polling::form(data) {
        assert!(packets.iter().map(Frame::size).sum::<usize>() <= 2 * data.len(), "more than the form");
    }
}
