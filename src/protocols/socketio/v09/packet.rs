//! The packets of Socket.IO 0.9: `<type>:[<id>[+]]:[<namespace>][:<data>]`.
//!
//! A packet that cannot be read means nothing to the server of that time, and it ignores the packet. What a packet
//! means for the client's namespaces is in [`SocketIo09`](super::SocketIo09), not here.

use std::borrow::Cow;

use serde::Deserialize;
use serde::de::IgnoredAny;
use serde_json::value::RawValue;

use crate::json::{is_portable, push_string};
use crate::message::Payload;
use crate::protocol::Unencodable;
use crate::protocols::engineio::payload::MAX_DIGITS;
use crate::protocols::socketio::packet::{MAIN, RESERVED, without_brackets};

/// The event of a message that has no name.
const MESSAGE: &str = "message";

pub(super) const HEARTBEAT: &str = "2::";
pub(super) const NOOP: &str = "8::";
/// The end of the whole connection. The client does not connect again.
pub(super) const DISCONNECT: &str = "0::";
/// The answer to requests of a session that does not exist. The client connects again, with a new session.
pub(super) const NOT_HANDSHAKEN: &str = "7:::1+0";

/// A packet from the client.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Packet<'a> {
    pub(super) namespace: &'a str,
    pub(super) content: Content<'a>,
}

#[derive(Debug, PartialEq, Eq)]
pub(super) enum Content<'a> {
    Disconnect,
    Connect,
    /// An event with its arguments, a JSON array.
    Event(Cow<'a, str>, String, Ack<'a>),
    /// A heartbeat, or another packet that asks for nothing.
    Nothing,
}

/// The acknowledgement that the sender of an event expects, with its id.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ack<'a> {
    None,
    /// The event has arrived.
    Receipt(&'a str),
    /// The reply to the event.
    Reply(&'a str),
}

/// Reads a packet. `None` if it is malformed, or of an unknown type.
pub(super) fn read(text: &str) -> Option<Packet<'_>> {
    let (packet_type, rest) = text.split_once(':')?;
    let digits = rest.bytes().take_while(u8::is_ascii_digit).count();
    let (id, rest) = rest.split_at(digits);
    let (wants_reply, rest) = rest.strip_prefix('+').map_or((false, rest), |rest| (true, rest));
    let (namespace, data) = rest.strip_prefix(':').map(|rest| rest.split_once(':').unwrap_or((rest, "")))?;
    if digits > MAX_DIGITS {
        return None;
    }
    let ack = match (id, wants_reply) {
        ("", _) => Ack::None,
        (id, true) => Ack::Reply(id),
        (id, false) => Ack::Receipt(id),
    };
    let content = match packet_type {
        "0" => Content::Disconnect,
        "1" => Content::Connect,
        "3" => Content::Event(MESSAGE.into(), argument(data), ack),
        "4" => Content::Event(MESSAGE.into(), is_json(data).then(|| format!("[{data}]"))?, ack),
        "5" => event(data, ack)?,
        // the client's acknowledgements have no use, because the server never asks for one
        "2" | "6" | "7" | "8" => Content::Nothing,
        _ => return None,
    };
    Some(Packet { namespace: if namespace.is_empty() { MAIN } else { namespace }, content })
}

/// A text as the only argument of an event.
fn argument(text: &str) -> String {
    let mut arguments = String::with_capacity(text.len() + 4);
    arguments.push('[');
    push_string(&mut arguments, text);
    arguments.push(']');
    arguments
}

fn is_json(text: &str) -> bool {
    is_portable(text) && serde_json::from_str::<IgnoredAny>(text).is_ok()
}

fn event<'a>(data: &'a str, ack: Ack<'a>) -> Option<Content<'a>> {
    #[derive(Deserialize)]
    struct Event<'a> {
        #[serde(borrow)]
        name: Cow<'a, str>,
        #[serde(borrow)]
        args: Option<&'a RawValue>,
    }
    let event: Event<'_> = serde_json::from_str(data).ok()?;
    let arguments = event.args.map_or("[]", RawValue::get);
    let is_valid = arguments.starts_with('[') && !RESERVED.contains(&&*event.name) && is_portable(data);
    is_valid.then(|| Content::Event(event.name, arguments.to_owned(), ack))
}

// ---- writing

/// The packet that accepts a client in a namespace.
pub(super) fn connect(namespace: &str) -> String {
    format!("1::{}", endpoint(namespace))
}

/// The packet that refuses a client in a namespace: its error is `unauthorized`.
pub(super) fn unauthorized(namespace: &str) -> String {
    format!("7::{}:2", endpoint(namespace))
}

pub(super) fn disconnect(namespace: &str) -> String {
    format!("0::{}", endpoint(namespace))
}

pub(super) fn encode_event(namespace: &str, event: &str, payload: &Payload) -> Result<String, Unencodable> {
    let (namespace, arguments) = (endpoint(namespace), arguments(payload)?);
    let mut text = String::with_capacity(namespace.len() + event.len() + arguments.len() + 26);
    text.push_str("5::");
    text.push_str(namespace);
    text.push_str(r#":{"name":"#);
    push_string(&mut text, event);
    if !arguments.is_empty() {
        text.push_str(r#","args":["#);
        text.push_str(arguments);
        text.push(']');
    }
    text.push('}');
    Ok(text)
}

/// The acknowledgement that an event has arrived.
pub(super) fn receipt(namespace: &str, id: &str) -> String {
    format!("6::{}:{id}", endpoint(namespace))
}

/// The acknowledgement with the reply to an event.
pub(super) fn reply(namespace: &str, id: &str, payload: &Payload) -> Result<String, Unencodable> {
    let mut text = receipt(namespace, id);
    let arguments = arguments(payload)?;
    if !arguments.is_empty() {
        text.push_str("+[");
        text.push_str(arguments);
        text.push(']');
    }
    Ok(text)
}

/// A namespace as packets name it. The main one has no name.
fn endpoint(namespace: &str) -> &str {
    if namespace == MAIN { "" } else { namespace }
}

/// The arguments of an event or a reply, without the brackets of the array. Bytes have no form in these packets.
fn arguments(payload: &Payload) -> Result<&str, Unencodable> {
    match payload {
        Payload::Json(text) => Ok(without_brackets(text)),
        Payload::Binary(_) | Payload::Attached(..) => Err(Unencodable),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event_of<'a>(text: &'a str) -> Option<(&'a str, String, String, Ack<'a>)> {
        match read(text)? {
            Packet { namespace, content: Content::Event(name, arguments, ack) } => {
                Some((namespace, name.into_owned(), arguments, ack))
            }
            _ => None,
        }
    }

    #[test]
    fn a_packet_is_split_into_its_parts() {
        let some = |namespace, name: &str, arguments: &str, ack| Some((namespace, name.into(), arguments.into(), ack));
        assert_eq!(event_of("3:::a:b\n"), some("/", "message", r#"["a:b\n"]"#, Ack::None));
        assert_eq!(event_of("3:1::"), some("/", "message", r#"[""]"#, Ack::Receipt("1")));
        assert_eq!(event_of("3:::\"\u{2028}"), some("/", "message", "[\"\\\"\u{2028}\"]", Ack::None));
        assert_eq!(event_of("4:2+:/chat:{\"a\":1}"), some("/chat", "message", r#"[{"a":1}]"#, Ack::Reply("2")));
        assert_eq!(event_of(r#"5:07+::{"name":"x"}"#), some("/", "x", "[]", Ack::Reply("07")));
        let spaced = r#"5:::{ "args" : [1, "a:b"] , "name" : "\u0041" }"#;
        assert_eq!(event_of(spaced), some("/", "A", r#"[1, "a:b"]"#, Ack::None));
        let content = |text| read(text).map(|packet| packet.content);
        assert_eq!(content("0::"), Some(Content::Disconnect));
        assert_eq!(read("1::/chat:?a=b"), Some(Packet { namespace: "/chat", content: Content::Connect }));
        for text in ["2::", "6:::1+[2]", "7:::1+0", "8::"] {
            assert_eq!(content(text), Some(Content::Nothing), "{text}");
        }
    }

    #[test]
    fn a_malformed_packet_is_no_packet() {
        let deep = format!("4:::{}{}", "[".repeat(200), "]".repeat(200));
        let bad = [
            "",
            "garbage",
            "9:::x",
            "33:::x",
            ":::x",
            "3",
            "3:",
            "3:1",
            "3:1+",
            "3:a::b",
            "3:-1::x",
            "4:::",
            "4:::{bad",
            "4:::1e999",
            "5:::",
            "5:::{bad",
            "5:::[]",
            "5:::null",
            r#"5:::{"name":1}"#,
            r#"5:::{"args":[]}"#,
            r#"5:::{"name":"x","args":{}}"#,
            r#"5:::{"name":"x","args":"[]"}"#,
            r#"5:::{"name":"disconnect"}"#,
            r#"5:::{"name":"x","name":"y"}"#,
            r#"5:::{"name":"x","args":["\ud800"]}"#,
            "3:1234567890123::x",
            &deep,
        ];
        for text in bad {
            assert_eq!(read(text), None, "{text}");
        }
    }

    #[test]
    fn packets_are_written_as_npm_socket_io_writes_them() {
        let json = |text: &'static str| Payload::from_json_text(text);
        assert_eq!(encode_event("/", "a\"", &json("[]")).unwrap(), r#"5:::{"name":"a\""}"#);
        assert_eq!(encode_event("/chat", "x", &json("[1,[2]]")).unwrap(), r#"5::/chat:{"name":"x","args":[1,[2]]}"#);
        assert_eq!(encode_event("/", "x", &json("{}")).unwrap(), r#"5:::{"name":"x","args":[{}]}"#);
        assert_eq!(reply("/", "4", &json("[1]")).unwrap(), "6:::4+[1]");
        assert_eq!(reply("/chat", "5", &json("[]")).unwrap(), "6::/chat:5");
        assert_eq!(encode_event("/", "x", &Payload::binary(vec![1])), Err(Unencodable));
        assert_eq!(
            (connect("/"), connect("/chat"), unauthorized("/p")),
            ("1::".into(), "1::/chat".into(), "7::/p:2".into())
        );
    }
}
