//! Engine.IO packets, and the payloads of long-polling requests.

use std::sync::LazyLock;

use super::request::{Command, decode, frames, is_same};
use super::seeds::{bytes_of, conversations, messages};
use super::{SMALL, Target};
use crate::config::schema::Limits;
use crate::message::Outbound;
use crate::protocol::{Frame, Protocol};
use crate::protocols::engineio::payload::{Body, Dialect};
use crate::protocols::engineio::plain::Plain;
use crate::protocols::engineio::{EngineIo, Revision, V3, V4};
use crate::topic::Realm;

pub(super) const WORDS: &[&str] = &["2probe", "3probe", "b4", "bAQI=", "\u{1e}", "4hello", "10:4", "1:2"];

/// The maximum number of packets in a payload, and the size of a payload with a few more of the shortest packets.
const MAX_PACKETS: usize = 10_000;
const MAX_PAYLOAD: usize = 4 * MAX_PACKETS + 100;

pub(super) const TARGETS: &[Target] = &[
    Target {
        name: "engineio_packets",
        run: packets,
        seeds: || messages("engineio"),
        dictionary: WORDS,
        max_len: SMALL,
    },
    Target {
        name: "engineio_v4_body",
        run: |data| body(Dialect::V4, data),
        seeds: v4_bodies,
        dictionary: WORDS,
        max_len: MAX_PAYLOAD,
    },
    Target {
        name: "engineio_v3_body",
        run: |data| body(Dialect::V3, data),
        seeds: v3_bodies,
        dictionary: WORDS,
        max_len: MAX_PAYLOAD,
    },
];

pub(super) fn client<R: Revision>() -> EngineIo<R, Plain> {
    static LIMITS: LazyLock<Limits> = LazyLock::new(Limits::default);
    EngineIo::new(&LIMITS, None)
}

fn packets(data: &[u8]) {
    packet::<V4>(data);
    packet::<V3>(data);
}

/// A message that is encoded again and decoded again is the same message.
fn packet<R: Revision>(data: &[u8]) {
    for request in frames(data).filter_map(|frame| decode(&mut client::<R>(), &frame)) {
        let Command::Push(event, payload) = &request.command else { panic!("{request:?} is not a message") };
        assert!(payload.len() <= 6 * data.len() + 2, "{} bytes are kept of {} received", payload.len(), data.len());
        let topic = Realm::EngineIo.topic("/").expect("a name");
        let push = Outbound::Push { join_ref: None, topic, event: event.into(), payload: payload.clone() };
        let frame = client::<R>().encode(&push).expect("a decoded message can be encoded").expect("a message");
        assert!(frame.size() <= data.len() + 1, "{} bytes are sent back for {} received", frame.size(), data.len());
        let decoded = decode(&mut client::<R>(), &frame).expect("a message");
        assert!(is_same(decoded.payload().expect("a payload"), payload), "decoded {decoded:?} instead of {request:?}");
    }
}

/// The frames read from a payload are no larger than it, and are the same after being written and read again.
fn body(dialect: Dialect, data: &[u8]) {
    for as_bytes in [false, true] {
        let Ok(frames) = dialect.read(data, as_bytes) else { continue };
        let size: usize = frames.iter().map(Frame::size).sum();
        assert!(size <= data.len() && frames.len() <= MAX_PACKETS, "{size} bytes from {}", data.len());
        // V3 text that looks as if it were UTF-8 encoded twice is decoded once more, and a packet without a type is
        // never written
        let is_canonical = |frame: &Frame| frame.size() > 0 && (dialect == Dialect::V4 || is_plain(frame));
        if !frames.is_empty() && frames.iter().all(is_canonical) {
            check_round_trip(dialect, &frames);
        }
    }
}

fn is_plain(frame: &Frame) -> bool {
    !matches!(frame, Frame::Text(text) if !text.is_ascii())
}

fn check_round_trip(dialect: Dialect, frames: &[Frame]) {
    let read = match dialect.write(frames) {
        Body::Text(text) => dialect.read(text.as_bytes(), false),
        Body::Bytes(bytes) => dialect.read(&bytes, true),
    };
    assert_eq!(read.as_deref(), Ok(frames), "after being written and read again");
    if dialect == Dialect::V3 {
        let Body::Text(text) = Dialect::V3Text.write(frames) else { panic!("V3 without binary support is text") };
        assert!(Dialect::V3Text.read(text.as_bytes(), false).is_ok(), "{text}");
    }
}

/// A payload with the maximum number of packets, and one with a packet more.
fn repeated(packet: &[u8]) -> [Vec<u8>; 2] {
    [packet.repeat(MAX_PACKETS), packet.repeat(MAX_PACKETS + 1)]
}

fn v4_bodies() -> Vec<Vec<u8>> {
    let joined = |messages: &Vec<Frame>| messages.iter().map(bytes_of).collect::<Vec<_>>().join(&0x1e);
    // a separator divides packets, so one fewer is needed
    let repeated = repeated(b"\x1e").map(|body| body[1..].to_vec());
    conversations("engineio").iter().chain(&conversations("socketio")).map(joined).chain(repeated).collect()
}

fn v3_bodies() -> Vec<Vec<u8>> {
    let conversations = [conversations("engineio"), conversations("socketio")].concat();
    let text = |messages: &Vec<Frame>| {
        messages.iter().filter(|frame| matches!(frame, Frame::Text(_))).cloned().collect::<Vec<_>>()
    };
    let written = conversations.iter().cloned().chain(conversations.iter().map(text)).map(|messages| match Dialect::V3
        .write(&messages)
    {
        Body::Text(text) => text.into_bytes(),
        Body::Bytes(bytes) => bytes,
    });
    written.chain(repeated(b"1:2")).chain(repeated(&[0, 1, 255, b'2'])).collect()
}
