//! The text form of a Socket.IO packet: `<type>[<attachments>-][<namespace>,][<ack id>][<json>]`.
//!
//! Bytes are sent in separate binary messages, the attachments. A placeholder in the JSON marks the place of each. What
//! a packet means for the client's namespaces is in [`SocketIo`](super::SocketIo), not here.

use std::borrow::Cow;
use std::fmt;
use std::sync::Arc;

use bytes::Bytes;
use serde::Deserialize;
use serde::de::{Deserializer, Error, IgnoredAny, SeqAccess, Visitor};
use serde_json::Value;
use serde_json::value::RawValue;

use crate::json::{is_portable, push_string};
use crate::message::Payload;
use crate::protocol::Malformed;
use crate::protocols::engineio::{EncodedMessage, MESSAGE};

/// The main namespace, which a packet does not name.
pub(super) const MAIN: &str = "/";

/// The maximum number of attachments of one packet, as in npm's socket.io-parser.
const MAX_ATTACHMENTS: usize = 10;
/// The maximum number of digits in an acknowledgement id: JavaScript's safe integers have no more.
const MAX_DIGITS: usize = 16;
/// The events that the client library itself emits. A packet with one of them is malformed.
pub(crate) const RESERVED: [&str; 6] =
    ["connect", "connect_error", "disconnect", "disconnecting", "newListener", "removeListener"];

/// The packet types that a client may send. CONNECT_ERROR is not among them: only the server sends it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum PacketType {
    Connect,
    Disconnect,
    Event,
    Ack,
}

/// The parts of a packet. The syntax of its JSON has been checked, except that of an event ([`event_of`]).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Packet<'a> {
    pub(super) packet_type: PacketType,
    pub(super) attachments: usize,
    pub(super) namespace: &'a str,
    pub(super) id: Option<&'a str>,
    pub(super) data: &'a str,
}

/// Splits a packet into its parts.
pub(super) fn read(text: &str) -> Result<Packet<'_>, Malformed> {
    let (packet_type, rest) = text.split_at_checked(1).ok_or(Malformed)?;
    let (packet_type, has_bytes) = match packet_type {
        "0" => (PacketType::Connect, false),
        "1" => (PacketType::Disconnect, false),
        "2" => (PacketType::Event, false),
        "3" => (PacketType::Ack, false),
        "5" => (PacketType::Event, true),
        "6" => (PacketType::Ack, true),
        _ => return Err(Malformed),
    };
    let (attachments, rest) = if has_bytes { attachments(rest)? } else { (0, rest) };
    let (namespace, rest) = match rest.starts_with('/') {
        true => rest.split_once(',').unwrap_or((rest, "")),
        false => (MAIN, rest),
    };
    let digits = rest.bytes().take_while(u8::is_ascii_digit).count();
    let (id, data) = rest.split_at(digits);
    if digits > MAX_DIGITS || !is_portable(data) {
        return Err(Malformed);
    }
    // the acknowledgement sends the id back as JavaScript prints the number: without leading zeros
    let id = (digits > 0).then(|| if id.bytes().all(|b| b == b'0') { "0" } else { id.trim_start_matches('0') });
    let is_valid = match packet_type {
        PacketType::Connect => {
            data.is_empty() || data.starts_with('{') && serde_json::from_str::<IgnoredAny>(data).is_ok()
        }
        PacketType::Disconnect => data.is_empty(),
        PacketType::Ack => serde_json::from_str::<IgnoredAny>(data).is_ok(),
        // `event_of` checks it
        PacketType::Event => true,
    };
    if is_valid { Ok(Packet { packet_type, attachments, namespace, id, data }) } else { Err(Malformed) }
}

fn attachments(text: &str) -> Result<(usize, &str), Malformed> {
    let (number, rest) = text.split_once('-').ok_or(Malformed)?;
    let is_number = number.len() <= 2 && number.bytes().all(|b| b.is_ascii_digit());
    let number = if is_number { number.parse()? } else { 0 };
    if (1..=MAX_ATTACHMENTS).contains(&number) { Ok((number, rest)) } else { Err(Malformed) }
}

/// The name of an event, and its arguments as a JSON array.
pub(super) fn event_of(data: &str) -> Result<(Cow<'_, str>, String), Malformed> {
    let First(name) = serde_json::from_str(data)?;
    // the arguments are copied unparsed from the end of the name on
    let name_end = name.get().as_ptr() as usize - data.as_ptr() as usize + name.get().len();
    let rest = data[name_end..].trim_ascii_start();
    let rest = rest.strip_prefix(',').unwrap_or(rest).trim_ascii_start();
    let event = match name.get().as_bytes() {
        [b'"', ..] => serde_json::from_str::<JsonString<'_>>(name.get())?.0,
        [b'-' | b'0'..=b'9', ..] => Cow::Borrowed(name.get()),
        _ => return Err(Malformed),
    };
    if RESERVED.contains(&&*event) {
        return Err(Malformed);
    }
    let mut arguments = String::with_capacity(rest.len() + 1);
    arguments.push('[');
    arguments.push_str(rest);
    Ok((event, arguments))
}

/// `Cow` alone would always copy.
#[derive(Deserialize)]
struct JsonString<'a>(#[serde(borrow)] Cow<'a, str>);

/// The first element of an array. The others are ignored.
struct First<'a>(&'a RawValue);

impl<'de: 'a, 'a> Deserialize<'de> for First<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Elements;
        impl<'de> Visitor<'de> for Elements {
            type Value = &'de RawValue;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an array that is not empty")
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<&'de RawValue, A::Error> {
                let first = seq.next_element()?.ok_or_else(|| A::Error::custom("an empty array"))?;
                while seq.next_element::<IgnoredAny>()?.is_some() {}
                Ok(first)
            }
        }
        deserializer.deserialize_seq(Elements).map(First)
    }
}

/// Checks that the number of every placeholder is that of an attachment.
pub(super) fn check_placeholders(arguments: &str, attachments: usize) -> Result<(), Malformed> {
    fn is_valid(value: &Value, attachments: usize) -> bool {
        match value {
            Value::Array(items) => items.iter().all(|item| is_valid(item, attachments)),
            Value::Object(members) if members.get("_placeholder") == Some(&Value::Bool(true)) => {
                let number = members.get("num").and_then(Value::as_u64);
                number.is_some_and(|number| number < attachments as u64)
            }
            Value::Object(members) => members.values().all(|value| is_valid(value, attachments)),
            _ => true,
        }
    }
    if is_valid(&serde_json::from_str(arguments)?, attachments) { Ok(()) } else { Err(Malformed) }
}

// ---- writing

/// A CONNECT packet, which accepts a client.
pub(super) fn connect(namespace: &str, data: &str) -> String {
    let mut text = begin('0', 0, namespace, data.len());
    text.push_str(data);
    text
}

/// A CONNECT_ERROR packet, which refuses a client.
pub(super) fn connect_error(namespace: &str, data: &str) -> String {
    let mut text = begin('4', 0, namespace, data.len());
    text.push_str(data);
    text
}

pub(super) fn disconnect(namespace: &str) -> EncodedMessage {
    EncodedMessage::Text(begin('1', 0, namespace, 0))
}

pub(super) fn event(namespace: &str, event: &str, payload: &Payload) -> EncodedMessage {
    let (arguments, attachments) = arguments(payload);
    let packet_type = if attachments.is_empty() { '2' } else { '5' };
    let mut text = begin(packet_type, attachments.len(), namespace, event.len() + arguments.len() + 5);
    text.push('[');
    push_string(&mut text, event);
    if !arguments.is_empty() {
        text.push(',');
        text.push_str(arguments);
    }
    text.push(']');
    end(text, attachments)
}

pub(super) fn ack(namespace: &str, id: &str, payload: &Payload) -> EncodedMessage {
    let (arguments, attachments) = arguments(payload);
    let packet_type = if attachments.is_empty() { '3' } else { '6' };
    let mut text = begin(packet_type, attachments.len(), namespace, id.len() + arguments.len() + 2);
    text.push_str(id);
    text.push('[');
    text.push_str(arguments);
    text.push(']');
    end(text, attachments)
}

/// The beginning of a packet, in a string with capacity for `extra` more bytes.
fn begin(packet_type: char, attachments: usize, namespace: &str, extra: usize) -> String {
    let mut text = String::with_capacity(extra + namespace.len() + 8);
    text.push(MESSAGE);
    text.push(packet_type);
    if attachments > 0 {
        text.push_str(&attachments.to_string());
        text.push('-');
    }
    if namespace != MAIN {
        text.push_str(namespace);
        text.push(',');
    }
    text
}

/// Escapes the non-ASCII characters in a packet's JSON. A namespace cannot be escaped and stays as it is.
pub(super) fn ascii_only(text: String) -> String {
    if text.is_ascii() {
        return text;
    }
    let json = text.find(['/', '[', '{', '"']).unwrap_or(text.len());
    let json = if text[json..].starts_with('/') { text.find(',').unwrap_or(text.len()) } else { json };
    let mut escaped = String::with_capacity(text.len() * 2);
    escaped.push_str(&text[..json]);
    for c in text[json..].chars() {
        if c.is_ascii() {
            escaped.push(c);
        } else {
            c.encode_utf16(&mut [0; 2]).iter().for_each(|unit| escaped.push_str(&format!("\\u{unit:04x}")));
        }
    }
    escaped
}

/// A packet that is complete but for its attachments.
fn end(text: String, attachments: Arc<[Bytes]>) -> EncodedMessage {
    if attachments.is_empty() { EncodedMessage::Text(text) } else { EncodedMessage::With(text, attachments) }
}

/// The event arguments of a payload, without the brackets of the array, and their attachments.
fn arguments(payload: &Payload) -> (&str, Arc<[Bytes]>) {
    match payload {
        Payload::Json(text) => (without_brackets(text), Arc::default()),
        Payload::Attached(text, attachments) => (without_brackets(text), attachments.clone()),
        Payload::Binary(bytes) => (r#"{"_placeholder":true,"num":0}"#, [bytes.clone()].into()),
    }
}

/// The elements of an array, or the text itself if it is not an array.
pub(super) fn without_brackets(text: &str) -> &str {
    let text = text.trim_ascii();
    let inside = text.strip_prefix('[').and_then(|text| text.strip_suffix(']'));
    inside.map_or(text, str::trim_ascii)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_packet_is_split_into_its_parts() {
        let packet = read(r#"52-/chat,007["e",{"_placeholder":true,"num":0}]"#).unwrap();
        let data = r#"["e",{"_placeholder":true,"num":0}]"#;
        let want = Packet { packet_type: PacketType::Event, attachments: 2, namespace: "/chat", id: Some("7"), data };
        assert_eq!(packet, want);
        let packet = read("1/chat").unwrap();
        assert_eq!((packet.packet_type, packet.namespace, packet.data), (PacketType::Disconnect, "/chat", ""));
    }

    #[test]
    fn a_malformed_packet_is_rejected() {
        let bad = [
            "",
            "4",
            "7",
            "é",
            "a",
            "0null",
            "0[]",
            "0{",
            "0{}x",
            "41",
            "1{}",
            "3",
            "31",
            "312[",
            "5[\"e\"]",
            "50-[\"e\"]",
            "511-[\"e\"]",
            "5-[\"e\"]",
            "5+1-[\"e\"]",
            "212345678901234567[\"e\"]",
        ];
        for text in bad {
            assert!(read(text).is_err(), "{text}");
        }
        for data in
            ["", "{}", "[]", "[null]", "[{}]", "[[\"e\"]]", "[\"e\"", "[\"e\"]]", "[\"disconnect\"]", "[\"e\",]"]
        {
            assert!(event_of(data).is_err(), "{data}");
        }
    }

    #[test]
    fn arguments_are_copied_unchanged() {
        let read = |data| event_of(data).map(|(event, arguments)| (event.into_owned(), arguments)).unwrap();
        assert_eq!(read(r#"["a\nb" , 1, {"x" : [2]}]"#), ("a\nb".into(), r#"[1, {"x" : [2]}]"#.into()));
        assert_eq!(read(r#"[ "e" ]"#), ("e".into(), "[]".into()));
        assert_eq!(read("[7,8]"), ("7".into(), "[8]".into()));
    }

    #[test]
    fn the_escaped_packet_is_the_same_json() {
        let escaped = ascii_only("42/ünï,[\"é😀\"]".to_owned());
        assert_eq!(escaped, r#"42/ünï,["\u00e9\ud83d\ude00"]"#);
        assert_eq!(serde_json::from_str::<(String,)>(&escaped[9..]).unwrap().0, "é😀");
    }

    #[test]
    fn a_placeholder_must_name_an_attachment() {
        let check = |arguments: &str| check_placeholders(arguments, 2).is_ok();
        assert!(check(r#"[{"a":[{"_placeholder":true,"num":1}]},{"_placeholder":false}]"#));
        for num in ["2", "-1", "0.5", "\"0\"", "null"] {
            assert!(!check(&format!(r#"[{{"_placeholder":true,"num":{num}}}]"#)), "{num}");
        }
        assert!(!check(r#"[{"_placeholder":true}]"#));
    }
}
