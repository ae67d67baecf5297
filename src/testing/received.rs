//! The frames of a test client: encodes and decodes Phoenix's serializer V2 from the client's side.

use std::fmt;

use bytes::Bytes;
use serde::Deserialize;
use serde_json::Value;
use serde_json::value::RawValue;

use crate::message::Payload;
use crate::protocol::Frame;
use crate::protocols::phoenix::{CLOSE, ERROR, REPLY};

/// The kind of a received message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// A message to this client only, with its event.
    Push(String),
    /// A message to all members of the topic, with its event.
    Broadcast(String),
    /// A reply, with the `ref` of its request and its status.
    Reply(String, String),
    /// The join has ended.
    Close,
    /// The channel has crashed.
    Crash,
}

/// One message from the server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Received {
    pub(super) topic: String,
    pub(super) kind: Kind,
    pub(super) payload: Payload,
}

impl Received {
    /// Decodes a frame from the server.
    pub(super) fn read(frame: &Frame) -> Self {
        let read = match frame {
            Frame::Text(text) => Self::of_text(text),
            Frame::Binary(bytes) => Self::of_bytes(bytes),
            Frame::Several(_) => None,
        };
        read.expect("the server sends valid frames")
    }

    fn of_text(text: &str) -> Option<Self> {
        type Parts = (Option<String>, Option<String>, String, String, Box<RawValue>);
        #[derive(Deserialize)]
        struct Reply {
            status: String,
            response: Box<RawValue>,
        }
        let (join_ref, reference, topic, event, payload): Parts = serde_json::from_str(text).ok()?;
        let (kind, payload) = match (&*event, join_ref) {
            (REPLY, _) => {
                let Reply { status, response } = serde_json::from_str(payload.get()).ok()?;
                (Kind::Reply(reference.unwrap_or_default(), status), response)
            }
            (CLOSE, _) => (Kind::Close, payload),
            (ERROR, _) => (Kind::Crash, payload),
            (_, Some(_)) => (Kind::Push(event), payload),
            (_, None) => (Kind::Broadcast(event), payload),
        };
        Some(Self { topic, kind, payload: Payload::from_json_text(payload.get().to_owned()) })
    }

    /// Decodes a binary frame: its kind, the lengths of its parts, the parts, and the payload.
    fn of_bytes(bytes: &Bytes) -> Option<Self> {
        let parts = match bytes.first()? {
            0 => 3,
            1 => 4,
            2 => 2,
            _ => return None,
        };
        let (mut texts, mut at) = (Vec::new(), 1 + parts);
        for length in bytes.get(1..at)? {
            let end = at + usize::from(*length);
            texts.push(std::str::from_utf8(bytes.get(at..end)?).ok()?.to_owned());
            at = end;
        }
        let (topic, kind) = match <[String; 4]>::try_from(texts) {
            Ok([_, reference, topic, status]) => (topic, Kind::Reply(reference, status)),
            Err(mut texts) => {
                let (event, topic) = (texts.pop()?, texts.pop()?);
                (topic, if texts.is_empty() { Kind::Broadcast(event) } else { Kind::Push(event) })
            }
        };
        Some(Self { topic, kind, payload: Payload::binary(bytes.slice(at..)) })
    }

    /// Whether it has this payload: the same JSON value, or the same bytes.
    pub(super) fn has(&self, payload: &Payload) -> bool {
        match (self.payload.parse::<Value>(), payload.parse::<Value>()) {
            (Ok(have), Ok(want)) => have == want,
            _ => self.payload == *payload,
        }
    }
}

/// Encodes a frame from the client.
pub(super) fn frame(join_ref: &str, reference: &str, topic: &str, event: &str, payload: &Payload) -> Frame {
    match payload {
        Payload::Json(text) => {
            let payload: &RawValue = serde_json::from_str(text).expect("a payload is JSON");
            let parts = (join_ref, reference, topic, event, payload);
            Frame::Text(serde_json::to_string(&parts).expect("texts and JSON are JSON").into())
        }
        Payload::Binary(data) => {
            let parts = [join_ref, reference, topic, event];
            let lengths = parts.map(|part| u8::try_from(part.len()).expect("a part of at most 255 bytes"));
            let texts = parts.iter().flat_map(|part| part.bytes());
            Frame::Binary([0].into_iter().chain(lengths).chain(texts).chain(data.iter().copied()).collect())
        }
        Payload::Attached(..) => panic!("Phoenix clients send either JSON or bytes in one message"),
    }
}

impl fmt::Display for Received {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { topic, kind, payload } = self;
        match kind {
            Kind::Push(event) => write!(f, "push {event:?} on {topic:?}: ")?,
            Kind::Broadcast(event) => write!(f, "broadcast {event:?} on {topic:?}: ")?,
            Kind::Reply(reference, status) => write!(f, "reply {status:?} to request {reference} on {topic:?}: ")?,
            Kind::Close => write!(f, "close of {topic:?}: ")?,
            Kind::Crash => write!(f, "crash of {topic:?}: ")?,
        }
        Shown(payload).fmt(f)
    }
}

/// A payload in the form in which a failed assertion prints it.
pub(super) struct Shown<'a>(pub(super) &'a Payload);

impl fmt::Display for Shown<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Payload::Json(text) | Payload::Attached(text, _) => f.write_str(text),
            Payload::Binary(bytes) => write!(f, "{bytes:?}"),
        }
    }
}
