//! Engine.IO packets, and the payloads of long-polling requests, plain or in a form.

use std::sync::LazyLock;

use actix_web::http::header::HeaderMap;

use super::request::{Command, decode, frames, is_same};
use super::seeds::{bytes_of, conversations, messages};
use super::{SMALL, Target};
use crate::config::schema::Limits;
use crate::http::jsonp;
use crate::message::Outbound;
use crate::protocol::{Frame, Protocol};
use crate::protocols::engineio::format::PollFormat;
use crate::protocols::engineio::payload::{Body, Dialect};
use crate::protocols::engineio::plain::Plain;
use crate::protocols::engineio::{EngineIo, Revision, V2, V3, V4};
use crate::topic::Realm;

pub(super) const WORDS: &[&str] = &["2probe", "3probe", "b4", "bAQI=", "\u{1e}", "4hello", "10:4", "1:2"];

const FORM_WORDS: &[&str] = &["d=", "&", "%5Cn", "%5C%5Cn", "\\n", "\\\\n", "%C3%A9", "%u", "+", "10:4", "1:2", "%1E"];

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
        seeds: || old_bodies(Dialect::V3),
        dictionary: WORDS,
        max_len: MAX_PAYLOAD,
    },
    Target {
        name: "engineio_v2_body",
        run: |data| body(Dialect::V2, data),
        seeds: || old_bodies(Dialect::V2),
        dictionary: WORDS,
        max_len: MAX_PAYLOAD,
    },
    Target { name: "engineio_form", run: form, seeds: forms, dictionary: FORM_WORDS, max_len: SMALL },
];

pub(super) fn client<R: Revision>() -> EngineIo<R, Plain> {
    static LIMITS: LazyLock<Limits> = LazyLock::new(Limits::default);
    EngineIo::new(&LIMITS, None)
}

fn packets(data: &[u8]) {
    packet::<V4>(data);
    packet::<V3>(data);
    packet::<V2>(data);
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

/// The frames read from a payload are hardly larger than it, and are the same after being written and read again.
fn body(dialect: Dialect, data: &[u8]) {
    for as_bytes in [false, true] {
        let Ok(frames) = dialect.read(data, as_bytes) else { continue };
        let size: usize = frames.iter().map(Frame::size).sum();
        // in V2, each byte of a binary body becomes a character
        let limit = if dialect == Dialect::V2 { 2 * data.len() } else { data.len() };
        assert!(size <= limit && frames.len() <= MAX_PACKETS, "{size} bytes from {}", data.len());
        // V3 text that looks as if it were UTF-8 encoded twice is decoded once more, V2 text that is not encoded twice
        // is never written, and neither is a packet without a type
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
    if dialect != Dialect::V4 {
        let Body::Text(text) = Dialect::V3Text.write(frames) else { panic!("V3 without binary support is text") };
        assert_eq!(Dialect::V2Text.write(frames), Body::Text(text.clone()), "text is the same in both revisions");
        assert!(Dialect::V3Text.read(text.as_bytes(), false).is_ok(), "{text}");
    }
}

/// A form is read as its field would be without the form, apart from newlines. The script of a text is one string.
fn form(data: &[u8]) {
    let Some(field) = jsonp::form_field(data, "d") else { return };
    assert!(field.len() <= data.len(), "{} bytes from {}", field.len(), data.len());
    let literal = jsonp::quoted(&field);
    assert_eq!(serde_json::from_str::<String>(&literal).ok().as_deref(), Some(&*field), "{literal}");
    assert!(!literal.contains("</") && !literal.contains(['\n', '\u{2028}', '\u{2029}']), "{literal}");
    for (suffix, dialect) in [("4j0", Dialect::V4), ("3bj1", Dialect::V3Text), ("2bj2", Dialect::V2Text)] {
        let format = PollFormat::of_suffix(suffix).expect("the suffix of a session");
        let read = format.read(data, &HeaderMap::new());
        if !field.contains("\\n") {
            assert_eq!(read, dialect.read(field.as_bytes(), false), "{field}");
        }
    }
}

/// The text payloads of the transcripts, as clients escape them in a form.
fn forms() -> Vec<Vec<u8>> {
    let bodies = [Dialect::V4, Dialect::V3Text, Dialect::V2Text].into_iter().flat_map(|dialect| {
        let conversations = [conversations("engineio"), conversations("socketio")].concat();
        conversations.into_iter().map(move |messages| dialect.write(&messages))
    });
    let escaped = bodies.map(|body| {
        let Body::Text(text) = body else { panic!("a form has a payload of text") };
        let text = text.replace("\\n", "\\\\n").replace('\n', "\\n");
        format!("d={}", percent_encoding::percent_encode(text.as_bytes(), percent_encoding::NON_ALPHANUMERIC))
    });
    escaped.map(String::into_bytes).collect()
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

fn old_bodies(dialect: Dialect) -> Vec<Vec<u8>> {
    let conversations = [conversations("engineio"), conversations("socketio")].concat();
    let written = conversations.iter().flat_map(|messages| [dialect, Dialect::V3Text].map(|form| form.write(messages)));
    let bytes = written.map(|body| match body {
        Body::Text(text) => text.into_bytes(),
        Body::Bytes(bytes) => bytes,
    });
    bytes.chain(repeated(b"1:2")).chain(repeated(&[0, 1, 255, b'2'])).collect()
}
