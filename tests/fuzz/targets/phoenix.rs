//! Phoenix's two serializers, its subprotocols, and the bodies of its clients that poll.

use actix_web::http::header::{HeaderMap, HeaderValue, SEC_WEBSOCKET_PROTOCOL};
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use bytes::Bytes;
use serde_json::value::RawValue;

use super::asked::{Asked, Wish, ask, frames};
use super::seeds::{conversations, messages};
use super::{SMALL, Target};
use crate::message::{Broadcast, Outbound, Payload, Ref, Status};
use crate::protocol::{Frame, Protocol};
use crate::protocols::phoenix::longpoll::lines;
use crate::protocols::phoenix::routes::subprotocol;
use crate::protocols::phoenix::{MAX_REF_BYTES, V1, V2};
use crate::topic::{Realm, Topic};

/// How long a message of one who polls may be.
const MOST: usize = 1_024;
/// Just above what the transport lets through by default.
const MESSAGE: usize = 66_000;

pub(super) const WORDS: &[&str] = &[
    "phx_join",
    "phx_leave",
    "phx_reply",
    "phoenix",
    "heartbeat",
    "\"topic\":",
    "\"event\":",
    "\"payload\":{}",
    "\"ref\":",
    "\"join_ref\":",
    "null",
    "room:a",
    "room:*",
    "peer:00000000-0000-4000-8000-00000000000a",
    "broker:match",
    "\\u0000",
    "\\ud800",
    "1e15",
];

pub(super) const TARGETS: &[Target] = &[
    Target { name: "phoenix_v1", run: v1, seeds, words: WORDS, most: MESSAGE },
    Target { name: "phoenix_v2", run: v2, seeds: || [seeds(), large()].concat(), words: WORDS, most: MESSAGE },
    Target { name: "phoenix_batch", run: batch, seeds: batches, words: WORDS, most: SMALL },
    Target {
        name: "subprotocols",
        run: offer,
        seeds: offers,
        words: &["phoenix", "base64url.bearer.phx.", ", "],
        most: SMALL,
    },
];

fn seeds() -> Vec<Vec<u8>> {
    messages("phoenix")
}

/// Bytes behind the longest names that there can be, as many as a message may have.
fn large() -> Vec<Vec<u8>> {
    let names = [b'1'; 3 * 255 + 253];
    let push = |bytes: usize| [&[0, 253, 255, 255, 255], &names[..], &vec![0; bytes - names.len() - 5]].concat();
    vec![push(names.len() + 5), push(65_536), push(65_537)]
}

fn v1(data: &[u8]) {
    for asked in frames(data).filter_map(|frame| ask(&mut V1, &frame)) {
        is_within(&asked, data);
        let Wish::Push(event, payload) = &asked.command else { continue };
        let topic = Topic::echo(Realm::Phoenix, &asked.topic);
        let told = Asked { join_ref: None, reference: None, ..asked.clone() };
        let broadcast = Broadcast { topic: topic.clone(), event: event.into(), payload: payload.clone() };
        let broadcast = V1::broadcast(&broadcast).expect("json can be said");
        assert_eq!(ask(&mut V1, &broadcast).as_ref(), Some(&told), "a broadcast of it");
        let push = Outbound::Push { join_ref: asked.join_ref, topic, event: event.into(), payload: payload.clone() };
        assert_eq!(ask(&mut V1, &said(&mut V1, &push)), Some(told), "a push of it");
    }
}

fn v2(data: &[u8]) {
    for asked in frames(data).filter_map(|frame| ask(&mut V2, &frame)) {
        is_within(&asked, data);
        replied(&asked);
        let Wish::Push(event, payload) = &asked.command else { continue };
        let topic = Topic::echo(Realm::Phoenix, &asked.topic);
        let broadcast = Broadcast { topic: topic.clone(), event: event.into(), payload: payload.clone() };
        let broadcast = V2::broadcast(&broadcast).expect("what a frame had room for has room in another");
        let join_ref = asked.join_ref.clone();
        let push = Outbound::Push { join_ref, topic, event: event.into(), payload: payload.clone() };
        let push = said(&mut V2, &push);
        if let Payload::Binary(bytes) = payload {
            let (mark, names) = (plain(&asked.join_ref), [&*asked.topic, event]);
            assert_eq!(names_of(&broadcast, 2, 2), (names.map(str::to_owned).to_vec(), bytes.clone()));
            assert_eq!(
                names_of(&push, 0, 3),
                ([vec![mark], names.map(str::to_owned).to_vec()].concat(), bytes.clone())
            );
            continue;
        }
        let told = Asked { join_ref: None, reference: None, ..asked.clone() };
        assert_eq!(ask(&mut V2, &broadcast), Some(told), "a broadcast of it");
        assert_eq!(ask(&mut V2, &push), Some(Asked { reference: None, ..asked }), "a push of it");
    }
}

/// What is kept of a message is not more than came, and its marks are within their bound.
fn is_within(asked: &Asked, data: &[u8]) {
    assert!(asked.size() <= data.len(), "{} bytes are kept of {}", asked.size(), data.len());
    for mark in [&asked.join_ref, &asked.reference].into_iter().flatten() {
        assert!(mark.len() <= MAX_REF_BYTES, "a mark of {} bytes is kept", mark.len());
        assert!(serde_json::from_str::<&RawValue>(mark).is_ok(), "a mark that is no json: {mark}");
    }
}

/// An answer to it carries its marks, its topic and its payload as they came.
fn replied(asked: &Asked) {
    let (topic, payload) = (Topic::echo(Realm::Phoenix, &asked.topic), asked.payload().cloned());
    let (join_ref, reference) = (asked.join_ref.clone(), asked.reference.clone());
    let payload = payload.unwrap_or_else(Payload::empty);
    let reply = Outbound::Reply { join_ref, reference, topic, status: Status::Ok, payload: payload.clone() };
    match (said(&mut V2, &reply), payload) {
        (Frame::Text(text), Payload::Json(json)) => {
            let parts: [&RawValue; 5] = serde_json::from_str(&text).expect("a message of five");
            let marks = [&asked.join_ref, &asked.reference].map(|mark| mark.as_deref().unwrap_or("null"));
            assert_eq!([parts[0].get(), parts[1].get()], marks);
            assert_eq!(serde_json::from_str::<String>(parts[2].get()).expect("a topic"), asked.topic);
            assert_eq!(parts[4].get(), format!(r#"{{"status":"ok","response":{json}}}"#));
        }
        (frame, Payload::Binary(bytes)) => {
            let names = [plain(&asked.join_ref), plain(&asked.reference), asked.topic.clone(), "ok".to_owned()];
            assert_eq!(names_of(&frame, 1, 4), (names.to_vec(), bytes));
        }
        other => panic!("{other:?} is no reply"),
    }
}

fn said(protocol: &mut impl Protocol, outbound: &Outbound) -> Frame {
    protocol.encode(outbound).expect("what can be read can be written").expect("phoenix has a word for it")
}

/// A mark as it stood in a frame of bytes.
fn plain(mark: &Option<Ref>) -> String {
    mark.as_deref().map_or_else(String::new, |mark| serde_json::from_str(mark).expect("marks of bytes are strings"))
}

/// Reads the names of a server's frame of bytes, and what follows them.
fn names_of(frame: &Frame, kind: u8, count: usize) -> (Vec<String>, Bytes) {
    let Frame::Binary(bytes) = frame else { panic!("{frame:?} is not of bytes") };
    assert_eq!(bytes[0], kind);
    let mut at = 1 + count;
    let names = bytes[1..at].iter().map(|length| {
        let name = &bytes[at..at + usize::from(*length)];
        at += name.len();
        String::from_utf8(name.to_vec()).expect("a name is text")
    });
    let names = names.collect();
    (names, bytes.slice(at..))
}

/// Several messages in one request of a client that polls.
fn batch(data: &[u8]) {
    let Ok(frames) = lines(&Bytes::copy_from_slice(data), MOST) else { return };
    assert!(frames.len() <= 100 && frames.iter().all(|frame| frame.size() <= MOST));
    let again = frames.iter().map(|frame| match frame {
        Frame::Text(text) => text.to_string(),
        Frame::Binary(bytes) => BASE64_STANDARD.encode(bytes),
        Frame::Several(_) => panic!("a line is one message"),
    });
    let again: Vec<String> = again.collect();
    // of several returns at the end of a line, one belongs to the line
    if again.iter().any(|line| line.ends_with('\r')) {
        return;
    }
    assert_eq!(lines(&again.join("\n").into(), MOST), Ok(frames), "written again");
}

fn batches() -> Vec<Vec<u8>> {
    let line = |frame: &Frame| match frame {
        Frame::Text(text) => text.to_string(),
        frame => BASE64_STANDARD.encode(super::seeds::bytes_of(frame)),
    };
    conversations("phoenix").iter().map(|said| said.iter().map(line).collect::<Vec<_>>().join("\n").into()).collect()
}

/// What a client offers as subprotocols, a header a line.
fn offer(data: &[u8]) {
    let mut headers = HeaderMap::new();
    for value in data.split(|byte| *byte == b'\n').filter_map(|line| HeaderValue::from_bytes(line).ok()) {
        headers.append(SEC_WEBSOCKET_PROTOCOL, value);
    }
    for ours in [&[][..], &["ours".to_owned()]] {
        let Ok(offer) = subprotocol(&headers, ours) else { continue };
        assert!(offer.token.is_none_or(|token| token.len() <= data.len()));
        let offered = |name: &str| data.windows(name.len()).any(|part| part == name.as_bytes());
        assert!(offer.answer.is_none_or(|answer| offered(&answer)), "an answer that nobody offered");
    }
}

fn offers() -> Vec<Vec<u8>> {
    ["phoenix", "phoenix, base64url.bearer.phx.YWJj", "base64url.bearer.phx.YWI_\nours", "other,ours"]
        .map(|offer| offer.as_bytes().to_vec())
        .to_vec()
}
