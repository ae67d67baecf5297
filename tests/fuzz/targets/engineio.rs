//! Engine.IO's packets, and the bodies of its clients that poll.

use std::sync::LazyLock;

use super::asked::{Wish, ask, frames, is_same};
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

/// How many packets a body has at most, and how long one is that has more of the shortest.
const PACKETS: usize = 10_000;
const PACKED: usize = 4 * PACKETS + 100;

pub(super) const TARGETS: &[Target] = &[
    Target { name: "engineio_packets", run: packets, seeds: || messages("engineio"), words: WORDS, most: SMALL },
    Target {
        name: "engineio_v4_body",
        run: |data| body(Dialect::V4, data),
        seeds: v4_bodies,
        words: WORDS,
        most: PACKED,
    },
    Target {
        name: "engineio_v3_body",
        run: |data| body(Dialect::V3, data),
        seeds: v3_bodies,
        words: WORDS,
        most: PACKED,
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

/// A message is sent back as it came.
fn packet<R: Revision>(data: &[u8]) {
    for asked in frames(data).filter_map(|frame| ask(&mut client::<R>(), &frame)) {
        let Wish::Push(event, payload) = &asked.command else { panic!("{asked:?} in a message") };
        assert!(payload.len() <= 6 * data.len() + 2, "{} bytes are kept of {}", payload.len(), data.len());
        let topic = Realm::EngineIo.topic("/").expect("a name");
        let push = Outbound::Push { join_ref: None, topic, event: event.into(), payload: payload.clone() };
        let frame = client::<R>().encode(&push).expect("what can be read can be written").expect("a message");
        assert!(frame.size() <= data.len() + 1, "{} bytes are sent back of {}", frame.size(), data.len());
        let again = ask(&mut client::<R>(), &frame).expect("a message");
        assert!(is_same(again.payload().expect("a payload"), payload), "{again:?} instead of {asked:?}");
    }
}

/// What is read is no more than came, and is read the same when it is written again.
fn body(dialect: Dialect, data: &[u8]) {
    for as_bytes in [false, true] {
        let Ok(frames) = dialect.read(data, as_bytes) else { continue };
        let size: usize = frames.iter().map(Frame::size).sum();
        assert!(size <= data.len() && frames.len() <= PACKETS, "{size} bytes of {}", data.len());
        // text that looks as if it were encoded twice is decoded once more, and nobody writes a packet without a type
        let is_ours = |frame: &Frame| frame.size() > 0 && (dialect == Dialect::V4 || is_plain(frame));
        if !frames.is_empty() && frames.iter().all(is_ours) {
            again(dialect, &frames);
        }
    }
}

fn is_plain(frame: &Frame) -> bool {
    !matches!(frame, Frame::Text(text) if !text.is_ascii())
}

fn again(dialect: Dialect, frames: &[Frame]) {
    let read = match dialect.write(frames) {
        Body::Text(text) => dialect.read(text.as_bytes(), false),
        Body::Bytes(bytes) => dialect.read(&bytes, true),
    };
    assert_eq!(read.as_deref(), Ok(frames), "written again");
    if dialect == Dialect::V3 {
        let Body::Text(text) = Dialect::V3Text.write(frames) else { panic!("always text") };
        assert!(Dialect::V3Text.read(text.as_bytes(), false).is_ok(), "{text}");
    }
}

/// As many of a packet as a body may have, and one more.
fn packed(packet: &[u8]) -> [Vec<u8>; 2] {
    [packet.repeat(PACKETS), packet.repeat(PACKETS + 1)]
}

fn v4_bodies() -> Vec<Vec<u8>> {
    let joined = |said: &Vec<Frame>| said.iter().map(bytes_of).collect::<Vec<_>>().join(&0x1e);
    // one packet stands before the first separator
    let packed = packed(b"\x1e").map(|body| body[1..].to_vec());
    conversations("engineio").iter().chain(&conversations("socketio")).map(joined).chain(packed).collect()
}

fn v3_bodies() -> Vec<Vec<u8>> {
    let conversations = [conversations("engineio"), conversations("socketio")].concat();
    let text =
        |said: &Vec<Frame>| said.iter().filter(|frame| matches!(frame, Frame::Text(_))).cloned().collect::<Vec<_>>();
    let written = conversations.iter().cloned().chain(conversations.iter().map(text)).map(|said| {
        match Dialect::V3.write(&said) {
            Body::Text(text) => text.into_bytes(),
            Body::Bytes(bytes) => bytes,
        }
    });
    written.chain(packed(b"1:2")).chain(packed(&[0, 1, 255, b'2'])).collect()
}
