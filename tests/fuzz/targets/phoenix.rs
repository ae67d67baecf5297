//! Phoenix's two serializers, its WebSocket subprotocols, and the bodies of long-polling requests.

use actix_web::http::header::{HeaderMap, HeaderValue, SEC_WEBSOCKET_PROTOCOL};
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use bytes::Bytes;
use serde_json::value::RawValue;

use super::request::{Command, OwnedRequest, decode, frames};
use super::seeds::{conversations, messages};
use super::{SMALL, Target};
use crate::message::{Broadcast, Outbound, Payload, Ref, Status};
use crate::protocol::{Frame, Protocol};
use crate::protocols::phoenix::longpoll::lines;
use crate::protocols::phoenix::routes::subprotocol;
use crate::protocols::phoenix::{MAX_REF_BYTES, V1, V2};
use crate::topic::{Realm, Topic};

/// The maximum size of a message in a long-polling request, for this target.
const MAX_BATCHED: usize = 1_024;
/// A little more than the default limit of the transport.
const MAX_MESSAGE: usize = 66_000;

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
    Target { name: "phoenix_v1", run: v1, seeds, dictionary: WORDS, max_len: MAX_MESSAGE },
    Target {
        name: "phoenix_v2",
        run: v2,
        seeds: || [seeds(), large()].concat(),
        dictionary: WORDS,
        max_len: MAX_MESSAGE,
    },
    Target { name: "phoenix_batch", run: batch, seeds: batches, dictionary: WORDS, max_len: SMALL },
    Target {
        name: "subprotocols",
        run: subprotocols,
        seeds: subprotocol_offers,
        dictionary: &["phoenix", "base64url.bearer.phx.", ", "],
        max_len: SMALL,
    },
];

fn seeds() -> Vec<Vec<u8>> {
    messages("phoenix")
}

/// Binary messages with the longest possible names: the shortest, one of the maximum size, and one byte more.
fn large() -> Vec<Vec<u8>> {
    let names = [b'1'; 3 * 255 + 253];
    let push = |bytes: usize| [&[0, 253, 255, 255, 255], &names[..], &vec![0; bytes - names.len() - 5]].concat();
    vec![push(names.len() + 5), push(65_536), push(65_537)]
}

fn v1(data: &[u8]) {
    for request in frames(data).filter_map(|frame| decode(&mut V1, &frame)) {
        check_size(&request, data);
        let Command::Push(event, payload) = &request.command else { continue };
        let topic = Topic::echo(Realm::Phoenix, &request.topic);
        let expected = OwnedRequest { join_ref: None, reference: None, ..request.clone() };
        let broadcast = Broadcast { topic: topic.clone(), event: event.into(), payload: payload.clone() };
        let broadcast = V1::broadcast(&broadcast).expect("JSON can be encoded");
        assert_eq!(decode(&mut V1, &broadcast).as_ref(), Some(&expected), "as a broadcast");
        let push = Outbound::Push { join_ref: request.join_ref, topic, event: event.into(), payload: payload.clone() };
        assert_eq!(decode(&mut V1, &encode(&mut V1, &push)), Some(expected), "as a push");
    }
}

fn v2(data: &[u8]) {
    for request in frames(data).filter_map(|frame| decode(&mut V2, &frame)) {
        check_size(&request, data);
        check_reply(&request);
        let Command::Push(event, payload) = &request.command else { continue };
        let topic = Topic::echo(Realm::Phoenix, &request.topic);
        let broadcast = Broadcast { topic: topic.clone(), event: event.into(), payload: payload.clone() };
        let broadcast = V2::broadcast(&broadcast).expect("what fitted into one frame fits into another");
        let join_ref = request.join_ref.clone();
        let push = Outbound::Push { join_ref, topic, event: event.into(), payload: payload.clone() };
        let push = encode(&mut V2, &push);
        if let Payload::Binary(bytes) = payload {
            let (reference, names) = (ref_text(&request.join_ref), [&*request.topic, event]);
            assert_eq!(names_of(&broadcast, 2, 2), (names.map(str::to_owned).to_vec(), bytes.clone()));
            assert_eq!(
                names_of(&push, 0, 3),
                ([vec![reference], names.map(str::to_owned).to_vec()].concat(), bytes.clone())
            );
            continue;
        }
        let expected = OwnedRequest { join_ref: None, reference: None, ..request.clone() };
        assert_eq!(decode(&mut V2, &broadcast), Some(expected), "as a broadcast");
        assert_eq!(decode(&mut V2, &push), Some(OwnedRequest { reference: None, ..request }), "as a push");
    }
}

/// A decoded message is no larger than the input, and its refs are within their limit.
fn check_size(request: &OwnedRequest, data: &[u8]) {
    assert!(request.size() <= data.len(), "{} bytes are kept of {} received", request.size(), data.len());
    for reference in [&request.join_ref, &request.reference].into_iter().flatten() {
        assert!(reference.len() <= MAX_REF_BYTES, "a ref of {} bytes is kept", reference.len());
        assert!(serde_json::from_str::<&RawValue>(reference).is_ok(), "a ref that is not JSON: {reference}");
    }
}

/// A reply to the request carries its refs, topic and payload unchanged.
fn check_reply(request: &OwnedRequest) {
    let (topic, payload) = (Topic::echo(Realm::Phoenix, &request.topic), request.payload().cloned());
    let (join_ref, reference) = (request.join_ref.clone(), request.reference.clone());
    let payload = payload.unwrap_or_else(Payload::empty);
    let reply = Outbound::Reply { join_ref, reference, topic, status: Status::Ok, payload: payload.clone() };
    match (encode(&mut V2, &reply), payload) {
        (Frame::Text(text), Payload::Json(json)) => {
            let parts: [&RawValue; 5] = serde_json::from_str(&text).expect("a message of five parts");
            let refs = [&request.join_ref, &request.reference].map(|reference| reference.as_deref().unwrap_or("null"));
            assert_eq!([parts[0].get(), parts[1].get()], refs);
            assert_eq!(serde_json::from_str::<String>(parts[2].get()).expect("a topic"), request.topic);
            assert_eq!(parts[4].get(), format!(r#"{{"status":"ok","response":{json}}}"#));
        }
        (frame, Payload::Binary(bytes)) => {
            let names =
                [ref_text(&request.join_ref), ref_text(&request.reference), request.topic.clone(), "ok".to_owned()];
            assert_eq!(names_of(&frame, 1, 4), (names.to_vec(), bytes));
        }
        other => panic!("{other:?} is not a reply"),
    }
}

fn encode(protocol: &mut impl Protocol, outbound: &Outbound) -> Frame {
    protocol.encode(outbound).expect("a decoded message can be encoded").expect("Phoenix has this kind of message")
}

/// A ref as it stands in a binary frame.
fn ref_text(reference: &Option<Ref>) -> String {
    reference.as_deref().map_or_else(String::new, |reference| {
        serde_json::from_str(reference).expect("refs in binary frames are strings")
    })
}

/// The names in a binary frame from the server, and the rest of the frame.
fn names_of(frame: &Frame, kind: u8, count: usize) -> (Vec<String>, Bytes) {
    let Frame::Binary(bytes) = frame else { panic!("{frame:?} is not binary") };
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

/// Several messages in one long-polling request.
fn batch(data: &[u8]) {
    let Ok(frames) = lines(&Bytes::copy_from_slice(data), MAX_BATCHED) else { return };
    assert!(frames.len() <= 100 && frames.iter().all(|frame| frame.size() <= MAX_BATCHED));
    let written = frames.iter().map(|frame| match frame {
        Frame::Text(text) => text.to_string(),
        Frame::Binary(bytes) => BASE64_STANDARD.encode(bytes),
        Frame::Several(_) => panic!("a line is one message"),
    });
    let written: Vec<String> = written.collect();
    // of several carriage returns at the end of a line, one belongs to the line break
    if written.iter().any(|line| line.ends_with('\r')) {
        return;
    }
    assert_eq!(lines(&written.join("\n").into(), MAX_BATCHED), Ok(frames), "after being written and read again");
}

fn batches() -> Vec<Vec<u8>> {
    let line = |frame: &Frame| match frame {
        Frame::Text(text) => text.to_string(),
        frame => BASE64_STANDARD.encode(super::seeds::bytes_of(frame)),
    };
    conversations("phoenix")
        .iter()
        .map(|frames| frames.iter().map(line).collect::<Vec<_>>().join("\n").into())
        .collect()
}

/// The subprotocols that a client offers, one header per line.
fn subprotocols(data: &[u8]) {
    let mut headers = HeaderMap::new();
    for value in data.split(|byte| *byte == b'\n').filter_map(|line| HeaderValue::from_bytes(line).ok()) {
        headers.append(SEC_WEBSOCKET_PROTOCOL, value);
    }
    for supported in [&[][..], &["ours".to_owned()]] {
        let Ok(offer) = subprotocol(&headers, supported) else { continue };
        assert!(offer.token.is_none_or(|token| token.len() <= data.len()));
        let offered = |name: &str| data.windows(name.len()).any(|part| part == name.as_bytes());
        assert!(offer.answer.is_none_or(|answer| offered(&answer)), "a subprotocol that was not offered");
    }
}

fn subprotocol_offers() -> Vec<Vec<u8>> {
    ["phoenix", "phoenix, base64url.bearer.phx.YWJj", "base64url.bearer.phx.YWI_\nours", "other,ours"]
        .map(|offer| offer.as_bytes().to_vec())
        .to_vec()
}
