//! Phoenix Channels' two serializers: V1 (JSON objects) and V2 (JSON arrays and binary frames).
//!
//! The behaviour is that of Phoenix 1.8, as observed in its traffic. Everything specific to Phoenix's messages is here:
//! the event names, the heartbeat topic, and the place of `join_ref` in each message. `ref` and `join_ref` are sent
//! back as the JSON that the client sent, because clients compare them strictly.
//!
//! The WebSocket route is in `routes.rs`, long polling is in `longpoll.rs`.

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

/// The maximum length of a name (topic, event, `ref`) in a binary frame: its length has one byte.
const MAX_BINARY_NAME: usize = 255;
/// The maximum length of a `ref` or `join_ref` from a client, in bytes of JSON. The server keeps a `join_ref` as long
/// as the join, and a `ref` until the reply.
pub(crate) const MAX_REF_BYTES: usize = 1_024;

pub(crate) const JOIN: &str = "phx_join";
pub(crate) const LEAVE: &str = "phx_leave";
pub(crate) const REPLY: &str = "phx_reply";
pub(crate) const CLOSE: &str = "phx_close";
pub(crate) const ERROR: &str = "phx_error";
const CRASHED: &str = r#"{"reason":"channel_crash"}"#;
/// The topic and the event of a heartbeat.
const HEARTBEAT_TOPIC: &str = "phoenix";
const HEARTBEAT: &str = "heartbeat";

/// The kind of a binary frame, its first byte.
const KIND_PUSH: u8 = 0;
const KIND_REPLY: u8 = 1;
const KIND_BROADCAST: u8 = 2;

/// V1: `{"topic", "event", "payload", "ref"}`. It has no binary frames.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct V1;

/// V2: `[join_ref, ref, topic, event, payload]`, and binary frames for binary payloads.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct V2;

impl Protocol for V1 {
    fn decode<'a>(&'a mut self, frame: &'a Frame) -> Result<Option<Decoded<'a>>, Malformed> {
        let text = match frame {
            Frame::Text(text) => text,
            Frame::Binary(bytes) => std::str::from_utf8(bytes)?,
            Frame::Several(_) => return Err(Malformed),
        };
        v1_message(text).map(request)
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
            Outbound::Alive { reference } => v1_text(HEARTBEAT_TOPIC, REPLY, Some("ok"), "{}", reference),
        };
        Some(Frame::Text(text.into()))
    }
}

impl Protocol for V2 {
    fn decode<'a>(&'a mut self, frame: &'a Frame) -> Result<Option<Decoded<'a>>, Malformed> {
        match frame {
            Frame::Text(text) => v2_message(text).map(request),
            Frame::Binary(bytes) => v2_binary(bytes).map(request),
            Frame::Several(_) => Err(Malformed),
        }
    }

    fn encode(&mut self, outbound: &Outbound) -> Result<Option<Frame>, Unencodable> {
        Self::frame(outbound).map(Some).ok_or(Unencodable)
    }

    fn broadcast(Broadcast { topic, event, payload }: &Broadcast) -> Option<Frame> {
        match payload {
            Payload::Json(text) => Some(Frame::Text(v2_text(&None, &None, topic.as_str(), event, None, text).into())),
            Payload::Binary(data) => binary_frame(KIND_BROADCAST, &[topic.as_str(), event], data),
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
                    let names = [&*ref_name(join_ref), &*ref_name(reference), topic.as_str(), status.as_str()];
                    return binary_frame(KIND_REPLY, &names, data);
                }
                _ => v2_text(join_ref, reference, topic.as_str(), REPLY, Some(status.as_str()), json_text(payload)?),
            },
            Outbound::Push { join_ref, topic, event, payload } => match payload {
                Payload::Binary(data) => {
                    return binary_frame(KIND_PUSH, &[&*ref_name(join_ref), topic.as_str(), event], data);
                }
                _ => v2_text(join_ref, none, topic.as_str(), event, None, json_text(payload)?),
            },
            Outbound::Close { join_ref, topic } => v2_text(join_ref, join_ref, topic.as_str(), CLOSE, None, "{}"),
            Outbound::Error { join_ref, topic } => v2_text(join_ref, join_ref, topic.as_str(), ERROR, None, CRASHED),
            Outbound::Alive { reference } => v2_text(none, reference, HEARTBEAT_TOPIC, REPLY, Some("ok"), "{}"),
        };
        Some(Frame::Text(text.into()))
    }
}

// ---- reading

fn request(inbound: Inbound<'_>) -> Option<Decoded<'_>> {
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
    // serde also reads a JSON array as a struct
    if !text.trim_ascii_start().starts_with('{') || !is_portable(text) {
        return Err(Malformed);
    }
    let message: V1Message<'_> = serde_json::from_str(text)?;
    let join_ref = message.join_ref.map(parse_ref).transpose()?.flatten();
    Ok(inbound(join_ref, parse_ref(message.reference)?, message.topic, message.event, copy_payload(message.payload)))
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
    let (join_ref, reference) = (parse_ref(message.join_ref)?, parse_ref(message.reference)?);
    Ok(inbound(join_ref, reference, message.topic, message.event, copy_payload(message.payload)))
}

impl<'de> Deserialize<'de> for V2Message<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_seq(V2Visitor)
    }
}

/// Reads the first five elements of an array and ignores the others, as Phoenix does.
struct V2Visitor;

impl<'de> Visitor<'de> for V2Visitor {
    type Value = V2Message<'de>;

    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("an array of join_ref, ref, topic, event and payload")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<V2Message<'de>, A::Error> {
        /// `Cow` alone would always copy.
        #[derive(Deserialize)]
        struct JsonString<'a>(#[serde(borrow)] Cow<'a, str>);
        let too_short = || serde::de::Error::custom("fewer than five elements");
        let message = V2Message {
            join_ref: seq.next_element()?.ok_or_else(too_short)?,
            reference: seq.next_element()?.ok_or_else(too_short)?,
            topic: seq.next_element::<JsonString<'de>>()?.ok_or_else(too_short)?.0,
            event: seq.next_element::<JsonString<'de>>()?.ok_or_else(too_short)?.0,
            payload: seq.next_element()?.ok_or_else(too_short)?,
        };
        while seq.next_element::<IgnoredAny>()?.is_some() {}
        Ok(message)
    }
}

/// Decodes a binary frame: its kind, four lengths, four names, and the payload.
fn v2_binary(bytes: &Bytes) -> Result<Inbound<'_>, Malformed> {
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
    Ok(inbound(Some(quote_ref(join_ref)?), Some(quote_ref(reference)?), topic.into(), event.into(), payload))
}

fn inbound<'a>(
    join_ref: Option<Ref>,
    reference: Option<Ref>,
    topic: Cow<'a, str>,
    event: Cow<'a, str>,
    payload: Payload,
) -> Inbound<'a> {
    let request = match &*event {
        HEARTBEAT if topic == HEARTBEAT_TOPIC => Request::Heartbeat,
        JOIN => Request::Join(payload),
        LEAVE => Request::Leave,
        _ => Request::Push(event, payload),
    };
    Inbound { topic, join_ref, reference, request }
}

/// Copies a payload out of its frame. It may wait in many queues, and without the copy it would keep the whole frame
/// and the read buffer in memory, which the queues' limits do not count.
fn copy_payload(payload: &RawValue) -> Payload {
    Payload::Json(ByteString::from(payload.get()))
}

/// Reads a `ref` or `join_ref`, which stays JSON; `null` is none. Escapes in a string are normalised, which never makes
/// it longer, so that equal strings are equal refs.
fn parse_ref(raw: &RawValue) -> Result<Option<Ref>, Malformed> {
    match raw.get() {
        "null" => Ok(None),
        text if text.len() > MAX_REF_BYTES => Err(Malformed),
        text if text.starts_with('"') && text.contains('\\') => {
            Ok(Some(serde_json::from_str::<serde_json::Value>(text)?.to_compact_string()))
        }
        text => Ok(Some(text.into())),
    }
}

/// Turns a `ref` of a binary frame into JSON. The length is checked afterwards because a control character takes six
/// bytes in JSON.
fn quote_ref(name: &str) -> Result<Ref, Malformed> {
    let mut text = String::with_capacity(name.len() + 2);
    push_string(&mut text, name);
    if text.len() > MAX_REF_BYTES { Err(Malformed) } else { Ok(text.into()) }
}

/// The name of a `ref` in a binary frame: a string without its quotes, and an empty one for none.
fn ref_name(reference: &Option<Ref>) -> CompactString {
    let Some(reference) = reference else { return CompactString::default() };
    serde_json::from_str::<CompactString>(reference).unwrap_or_else(|_| reference.clone())
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

/// Writes a payload. A reply, which has a status, gets its payload wrapped in `{"status", "response"}`.
fn push_payload(text: &mut String, status: Option<&str>, payload: &str) {
    let Some(status) = status else { return text.push_str(payload) };
    text.push_str(r#"{"status":"#);
    push_string(text, status);
    text.push_str(r#","response":"#);
    text.push_str(payload);
    text.push('}');
}

/// The JSON text of a payload. None for a payload with bytes, which a text frame cannot hold.
fn json_text(payload: &Payload) -> Option<&str> {
    match payload {
        Payload::Json(text) => Some(text),
        Payload::Binary(_) | Payload::Attached(..) => None,
    }
}

/// Encodes a binary frame. Returns nothing if a name is longer than [`MAX_BINARY_NAME`].
fn binary_frame(kind: u8, names: &[&str], data: &Bytes) -> Option<Frame> {
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

    /// If it did, a payload of two bytes would keep the 64 KiB of its frame in the queues of a whole room.
    #[test]
    fn a_payload_does_not_keep_its_frame_in_memory() {
        let text = format!(r#"["1","1","room:a","x",{{}},"{}"]"#, "x".repeat(60_000));
        let object =
            format!(r#"{{"topic":"room:a","event":"x","payload":{{}},"ref":"1","x":"{}"}}"#, "x".repeat(60_000));
        let bytes = [&[0, 1, 1, 6, 1][..], b"11room:ax", b"payload"].concat();
        let (text, object, bytes) = (Frame::Text(text.into()), Frame::Text(object.into()), Frame::Binary(bytes.into()));
        let (mut v1, mut v2, mut other) = (V1, V2, V2);
        let decoded = [v2.decode(&text), v1.decode(&object), other.decode(&bytes)];
        for (result, frame) in decoded.into_iter().zip([&text, &object, &bytes]) {
            let Ok(Some(Decoded::Request(Inbound { request: Request::Push(_, payload), .. }))) = result else {
                panic!("not a push")
            };
            let payload_start = match &payload {
                Payload::Json(text) | Payload::Attached(text, _) => text.as_ptr(),
                Payload::Binary(bytes) => bytes.as_ptr(),
            };
            let frame_range = match frame {
                Frame::Text(text) => text.as_bytes().as_ptr_range(),
                Frame::Binary(bytes) => bytes.as_ptr_range(),
                Frame::Several(_) => unreachable!(),
            };
            assert!(!frame_range.contains(&payload_start), "{payload:?}");
        }
    }
}
