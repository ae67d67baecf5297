//! Phoenix Channels' two serializers: V1 (objects) and V2 (arrays, and frames of bytes).
//!
//! The facts are those of Phoenix 1.8, observed on the wire. What is specific to Phoenix stands here:
//! its event names, its heartbeat topic, where a join's mark goes in each message. Marks are echoed as
//! the JSON they came as, since clients compare them strictly.

use std::borrow::Cow;

use bytes::{BufMut, Bytes, BytesMut};
use bytestring::ByteString;
use compact_str::{CompactString, ToCompactString};
use serde::Deserialize;
use serde::de::{Deserializer, IgnoredAny, SeqAccess, Visitor};
use serde_json::value::RawValue;

use crate::json::{is_portable, push_string};
use crate::message::{Broadcast, Inbound, Outbound, Payload, Ref, Request};
use crate::protocol::{Decoded, Frame, Malformed, Protocol, Unencodable};

pub(crate) mod longpoll;
pub(crate) mod routes;
mod v2_text_only;
pub(crate) mod version;

/// How long a name of a topic or an event may be in a frame of bytes.
const MAX_BINARY_NAME: usize = 255;
/// How long a client's mark may be, in bytes of JSON: it is kept for as long as its join or its answer takes.
pub(crate) const MAX_MARK: usize = 1_024;

const JOIN: &str = "phx_join";
const LEAVE: &str = "phx_leave";
const REPLY: &str = "phx_reply";
const CLOSE: &str = "phx_close";
const ERROR: &str = "phx_error";
const CRASHED: &str = r#"{"reason":"channel_crash"}"#;
/// The topic, and the event on it, that ask whether the server lives.
const SERVER: &str = "phoenix";
const HEARTBEAT: &str = "heartbeat";

/// Kinds of a frame of bytes, its first byte.
const KIND_PUSH: u8 = 0;
const KIND_REPLY: u8 = 1;
const KIND_BROADCAST: u8 = 2;

/// V1: `{"topic", "event", "payload", "ref"}`, text only.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct V1;

/// V2: `[join_ref, ref, topic, event, payload]`, and frames of bytes.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct V2;

impl Protocol for V1 {
    fn decode<'a>(&'a mut self, frame: &'a Frame) -> Result<Option<Decoded<'a>>, Malformed> {
        let text = match frame {
            Frame::Text(text) => text,
            Frame::Binary(bytes) => std::str::from_utf8(bytes)?,
            Frame::Several(_) => return Err(Malformed),
        };
        v1_message(text).map(asked)
    }

    fn encode(&mut self, outbound: &Outbound) -> Result<Option<Frame>, Unencodable> {
        Self::frame(outbound).map(Some).ok_or(Unencodable)
    }

    fn broadcast(Broadcast { topic, event, payload }: &Broadcast) -> Option<Frame> {
        Some(Frame::Text(v1_text(topic.as_str(), event, None, json_text(payload)?, &None).into()))
    }
}

impl V1 {
    fn frame(outbound: &Outbound) -> Option<Frame> {
        let none = &None;
        let text = match outbound {
            Outbound::Reply { reference, topic, status, payload, .. } => {
                v1_text(topic.as_str(), REPLY, Some(status.as_str()), json_text(payload)?, reference)
            }
            Outbound::Push { topic, event, payload, .. } => {
                v1_text(topic.as_str(), event, None, json_text(payload)?, none)
            }
            Outbound::Close { join_ref, topic } => v1_text(topic.as_str(), CLOSE, None, "{}", join_ref),
            Outbound::Error { join_ref, topic } => v1_text(topic.as_str(), ERROR, None, CRASHED, join_ref),
            Outbound::Alive { reference } => v1_text(SERVER, REPLY, Some("ok"), "{}", reference),
        };
        Some(Frame::Text(text.into()))
    }
}

impl Protocol for V2 {
    fn decode<'a>(&'a mut self, frame: &'a Frame) -> Result<Option<Decoded<'a>>, Malformed> {
        match frame {
            Frame::Text(text) => v2_message(text).map(asked),
            Frame::Binary(bytes) => v2_bytes(bytes).map(asked),
            Frame::Several(_) => Err(Malformed),
        }
    }

    fn encode(&mut self, outbound: &Outbound) -> Result<Option<Frame>, Unencodable> {
        Self::frame(outbound).map(Some).ok_or(Unencodable)
    }

    fn broadcast(Broadcast { topic, event, payload }: &Broadcast) -> Option<Frame> {
        match payload {
            Payload::Json(text) => Some(Frame::Text(v2_text(&None, &None, topic.as_str(), event, None, text).into())),
            Payload::Binary(data) => bytes_of(KIND_BROADCAST, &[topic.as_str(), event], data),
            Payload::Attached(..) => None,
        }
    }
}

impl V2 {
    fn frame(outbound: &Outbound) -> Option<Frame> {
        let none = &None;
        let text = match outbound {
            Outbound::Reply { join_ref, reference, topic, status, payload } => match payload {
                Payload::Binary(data) => {
                    let names = [&*plain(join_ref), &*plain(reference), topic.as_str(), status.as_str()];
                    return bytes_of(KIND_REPLY, &names, data);
                }
                _ => v2_text(join_ref, reference, topic.as_str(), REPLY, Some(status.as_str()), json_text(payload)?),
            },
            Outbound::Push { join_ref, topic, event, payload } => match payload {
                Payload::Binary(data) => return bytes_of(KIND_PUSH, &[&*plain(join_ref), topic.as_str(), event], data),
                _ => v2_text(join_ref, none, topic.as_str(), event, None, json_text(payload)?),
            },
            Outbound::Close { join_ref, topic } => v2_text(join_ref, join_ref, topic.as_str(), CLOSE, None, "{}"),
            Outbound::Error { join_ref, topic } => v2_text(join_ref, join_ref, topic.as_str(), ERROR, None, CRASHED),
            Outbound::Alive { reference } => v2_text(none, reference, SERVER, REPLY, Some("ok"), "{}"),
        };
        Some(Frame::Text(text.into()))
    }
}

// ---- reading

fn asked(inbound: Inbound<'_>) -> Option<Decoded<'_>> {
    Some(Decoded::Request(inbound))
}

#[derive(Deserialize)]
struct V1Message<'a> {
    #[serde(borrow)]
    topic: Cow<'a, str>,
    #[serde(borrow)]
    event: Cow<'a, str>,
    #[serde(borrow)]
    payload: &'a RawValue,
    #[serde(borrow, rename = "ref")]
    reference: &'a RawValue,
    #[serde(borrow, default)]
    join_ref: Option<&'a RawValue>,
}

fn v1_message(text: &str) -> Result<Inbound<'_>, Malformed> {
    // serde would read a list as a struct too
    if !text.trim_ascii_start().starts_with('{') || !is_portable(text) {
        return Err(Malformed);
    }
    let message: V1Message<'_> = serde_json::from_str(text)?;
    let join_ref = message.join_ref.map(mark).transpose()?.flatten();
    Ok(inbound(join_ref, mark(message.reference)?, message.topic, message.event, copied(message.payload)))
}

struct V2Message<'a> {
    join_ref: &'a RawValue,
    reference: &'a RawValue,
    topic: Cow<'a, str>,
    event: Cow<'a, str>,
    payload: &'a RawValue,
}

fn v2_message(text: &str) -> Result<Inbound<'_>, Malformed> {
    if !is_portable(text) {
        return Err(Malformed);
    }
    let message: V2Message<'_> = serde_json::from_str(text)?;
    let (join_ref, reference) = (mark(message.join_ref)?, mark(message.reference)?);
    Ok(inbound(join_ref, reference, message.topic, message.event, copied(message.payload)))
}

impl<'de> Deserialize<'de> for V2Message<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_seq(V2Visitor)
    }
}

/// Reads the five elements and passes over whatever follows, as Phoenix does.
struct V2Visitor;

impl<'de> Visitor<'de> for V2Visitor {
    type Value = V2Message<'de>;

    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("an array of join_ref, ref, topic, event and payload")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<V2Message<'de>, A::Error> {
        #[derive(Deserialize)]
        struct Text<'a>(#[serde(borrow)] Cow<'a, str>);
        let short = || serde::de::Error::custom("fewer than five elements");
        let message = V2Message {
            join_ref: seq.next_element()?.ok_or_else(short)?,
            reference: seq.next_element()?.ok_or_else(short)?,
            topic: seq.next_element::<Text<'de>>()?.ok_or_else(short)?.0,
            event: seq.next_element::<Text<'de>>()?.ok_or_else(short)?.0,
            payload: seq.next_element()?.ok_or_else(short)?,
        };
        while seq.next_element::<IgnoredAny>()?.is_some() {}
        Ok(message)
    }
}

/// A frame of bytes: kind, four lengths, four names, and the payload to the end.
fn v2_bytes(bytes: &Bytes) -> Result<Inbound<'_>, Malformed> {
    let [KIND_PUSH, lengths @ ..] = bytes.get(..5).ok_or(Malformed)? else { return Err(Malformed) };
    let mut at = 5;
    let mut names = [""; 4];
    for (name, length) in names.iter_mut().zip(lengths) {
        let end = at + usize::from(*length);
        *name = std::str::from_utf8(bytes.get(at..end).ok_or(Malformed)?)?;
        at = end;
    }
    let [join_ref, reference, topic, event] = names;
    let payload = Payload::Binary(Bytes::copy_from_slice(&bytes[at..]));
    Ok(inbound(Some(quoted(join_ref)?), Some(quoted(reference)?), topic.into(), event.into(), payload))
}

fn inbound<'a>(
    join_ref: Option<Ref>,
    reference: Option<Ref>,
    topic: Cow<'a, str>,
    event: Cow<'a, str>,
    payload: Payload,
) -> Inbound<'a> {
    let request = match &*event {
        HEARTBEAT if topic == SERVER => Request::Heartbeat,
        JOIN => Request::Join(payload),
        LEAVE => Request::Leave,
        _ => Request::Push(event, payload),
    };
    Inbound { topic, join_ref, reference, request }
}

/// A payload may wait in many queues, and must not keep the whole frame in memory, nor the buffer that it
/// was read into: those are not what the queues count.
fn copied(payload: &RawValue) -> Payload {
    Payload::Json(ByteString::from(payload.get()))
}

/// A mark is kept as the JSON it came as; `null` is none. A string's escapes are written the one usual way,
/// which is never longer, so that equal strings are equal marks.
fn mark(raw: &RawValue) -> Result<Option<Ref>, Malformed> {
    match raw.get() {
        "null" => Ok(None),
        text if text.len() > MAX_MARK => Err(Malformed),
        text if text.starts_with('"') && text.contains('\\') => {
            Ok(Some(serde_json::from_str::<serde_json::Value>(text)?.to_compact_string()))
        }
        text => Ok(Some(text.into())),
    }
}

/// A mark of a frame of bytes, as JSON: control characters take six times as much there.
fn quoted(name: &str) -> Result<Ref, Malformed> {
    let mut text = String::with_capacity(name.len() + 2);
    push_string(&mut text, name);
    if text.len() > MAX_MARK { Err(Malformed) } else { Ok(text.into()) }
}

/// A mark as a frame of bytes has it: a string without its quotes, nothing for none.
fn plain(mark: &Option<Ref>) -> CompactString {
    let Some(mark) = mark else { return CompactString::default() };
    serde_json::from_str::<CompactString>(mark).unwrap_or_else(|_| mark.clone())
}

// ---- writing

fn v1_text(topic: &str, event: &str, status: Option<&str>, payload: &str, reference: &Option<Ref>) -> String {
    let mut text = String::with_capacity(topic.len() + event.len() + payload.len() + 80);
    text.push_str(r#"{"topic":"#);
    push_string(&mut text, topic);
    text.push_str(r#","event":"#);
    push_string(&mut text, event);
    text.push_str(r#","payload":"#);
    push_payload(&mut text, status, payload);
    text.push_str(r#","ref":"#);
    text.push_str(reference.as_deref().unwrap_or("null"));
    text.push('}');
    text
}

fn v2_text(
    join_ref: &Option<Ref>,
    reference: &Option<Ref>,
    topic: &str,
    event: &str,
    status: Option<&str>,
    payload: &str,
) -> String {
    let mut text = String::with_capacity(topic.len() + event.len() + payload.len() + 80);
    text.push('[');
    text.push_str(join_ref.as_deref().unwrap_or("null"));
    text.push(',');
    text.push_str(reference.as_deref().unwrap_or("null"));
    text.push(',');
    push_string(&mut text, topic);
    text.push(',');
    push_string(&mut text, event);
    text.push(',');
    push_payload(&mut text, status, payload);
    text.push(']');
    text
}

/// A payload as it is, or `{"status", "response"}` around that of a reply.
fn push_payload(text: &mut String, status: Option<&str>, payload: &str) {
    let Some(status) = status else { return text.push_str(payload) };
    text.push_str(r#"{"status":"#);
    push_string(text, status);
    text.push_str(r#","response":"#);
    text.push_str(payload);
    text.push('}');
}

/// Bytes have no place in a text.
fn json_text(payload: &Payload) -> Option<&str> {
    match payload {
        Payload::Json(text) => Some(text),
        Payload::Binary(_) | Payload::Attached(..) => None,
    }
}

/// A frame of bytes; nothing when a name is too long for its one byte of length.
fn bytes_of(kind: u8, names: &[&str], data: &Bytes) -> Option<Frame> {
    if names.iter().any(|name| name.len() > MAX_BINARY_NAME) {
        return None;
    }
    let size = 1 + names.len() + names.iter().map(|name| name.len()).sum::<usize>() + data.len();
    let mut frame = BytesMut::with_capacity(size);
    frame.put_u8(kind);
    names.iter().for_each(|name| frame.put_u8(name.len() as u8));
    names.iter().for_each(|name| frame.put_slice(name.as_bytes()));
    frame.put_slice(data);
    Some(Frame::Binary(frame.freeze()))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A payload of two bytes kept the 64 KiB of its frame in the queues of a whole room.
    #[test]
    fn a_payload_does_not_keep_its_frame_in_memory() {
        let text = format!(r#"["1","1","room:a","x",{{}},"{}"]"#, "x".repeat(60_000));
        let object =
            format!(r#"{{"topic":"room:a","event":"x","payload":{{}},"ref":"1","x":"{}"}}"#, "x".repeat(60_000));
        let bytes = [&[0, 1, 1, 6, 1][..], b"11room:ax", b"payload"].concat();
        let (text, object, bytes) = (Frame::Text(text.into()), Frame::Text(object.into()), Frame::Binary(bytes.into()));
        let (mut v1, mut v2, mut other) = (V1, V2, V2);
        let read = [v2.decode(&text), v1.decode(&object), other.decode(&bytes)];
        for (step, frame) in read.into_iter().zip([&text, &object, &bytes]) {
            let Ok(Some(Decoded::Request(Inbound { request: Request::Push(_, payload), .. }))) = step else {
                panic!("no push")
            };
            let at = match &payload {
                Payload::Json(text) | Payload::Attached(text, _) => text.as_ptr(),
                Payload::Binary(bytes) => bytes.as_ptr(),
            };
            let whole = match frame {
                Frame::Text(text) => text.as_bytes().as_ptr_range(),
                Frame::Binary(bytes) => bytes.as_ptr_range(),
                Frame::Several(_) => unreachable!(),
            };
            assert!(!whole.contains(&at), "{payload:?}");
        }
    }
}
