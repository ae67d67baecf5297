//! HelloWebRTC messages, in each dialect.

use std::sync::{Arc, LazyLock};

use super::request::{Command, OwnedRequest, decode, frames};
use super::seeds::messages;
use super::{SMALL, Target};
use crate::json::is_portable;
use crate::message::{Broadcast, Payload};
use crate::metrics::families::Metrics;
use crate::protocol::{Decoded, Frame, Protocol};
use crate::protocols::hello::Hello;
use crate::topic::Realm;

pub(super) const WORDS: &[&str] = &[
    "\"_type\":",
    "\"_uuid\":",
    "\"_touuid\":",
    "\"_sdp\":",
    "\"join\"",
    "\"offer\"",
    "\"_messageType\":",
    "\"_contentType\":",
    "\"_content\":",
    "\"_to\":",
    "\"_from\":",
    "\"messageType\":",
    "\"content\":",
    "\"to\":",
    "\"from\":",
    "\"unicast\"",
    "\"broadcast\"",
    "null",
    "\\u0000",
    "11:messageType",
    "7:unicast",
    "9:broadcast",
    "4:list",
    "7:content",
    "2:to",
    "4:from",
    "3:ann",
    "de",
];

pub(super) const TARGETS: &[Target] = &[Target { name: "hello", run, seeds, dictionary: WORDS, max_len: SMALL }];

fn seeds() -> Vec<Vec<u8>> {
    messages("hello")
}

/// Shared by all inputs: building the metrics takes much longer than decoding a message.
pub(super) static METRICS: LazyLock<Arc<Metrics>> = LazyLock::new(Arc::default);

pub(super) fn client() -> Hello {
    Hello::new(METRICS.clone())
}

/// The first message of a client registers it and is then handled as a message; the same message a second time is only
/// handled as a message.
fn run(data: &[u8]) {
    for frame in frames(data) {
        let mut hello = client();
        let Some(register) = decode(&mut hello, &frame) else { continue };
        assert!(matches!(register.command, Command::Join(_)), "{register:?} instead of a registration");
        let next = match hello.next_step() {
            Some(Decoded::Request(inbound)) => Some(OwnedRequest::of(inbound)),
            other => {
                assert!(other.is_none());
                None
            }
        };
        assert_eq!(decode(&mut hello, &frame), next, "the same message a second time");
        assert!(hello.next_step().is_none(), "the message is handled twice");
        let Some(OwnedRequest { topic, command: Command::Push(event, payload), .. }) = next else { continue };
        assert_eq!(topic, register.topic);
        if event == "list" {
            assert_eq!(payload, Payload::empty(), "the answer is made by the channel");
            continue;
        }
        let topic = Realm::Hello.topic("everybody").expect("a name");
        let text = match Hello::broadcast(&Broadcast { topic, event: event.into(), payload: payload.clone() }) {
            Some(Frame::Text(text)) => text,
            Some(Frame::Binary(bytes)) => {
                assert!(bytes.len() < data.len(), "{} bytes are sent for {} received", bytes.len(), data.len());
                assert!(is_one_dictionary(&bytes), "{bytes:?}");
                continue;
            }
            other => panic!("{payload:?} is encoded as {other:?}"),
        };
        // the server adds a key to a join of the early dialect
        let added = ",\"_name\":\"name\"".len();
        assert!(text.len() <= data.len() + added, "{} bytes are sent for {} received", text.len(), data.len());
        assert!(is_portable(&text) && payload.is_object());
        assert!(Payload::parse::<serde_json::Value>(&payload).is_ok(), "not JSON: {text}");
    }
}

/// What a container of bencode expects next.
#[derive(PartialEq)]
enum Next {
    Item,
    Key,
    Value,
}

/// Whether the bytes are exactly one bencoded dictionary: read byte by byte, in another way than the decoder.
fn is_one_dictionary(bytes: &[u8]) -> bool {
    let mut open: Vec<Next> = Vec::new();
    let mut rest = bytes.iter().copied().peekable();
    loop {
        let Some(first) = rest.next() else { return false };
        let is_key = open.last() == Some(&Next::Key);
        match first {
            b'e' if open.last().is_some_and(|next| *next != Next::Value) => {
                open.pop();
            }
            b'd' | b'l' if !is_key => {
                open.push(if first == b'd' { Next::Key } else { Next::Item });
                continue;
            }
            b'i' if !is_key => {
                let number: String = rest.by_ref().map(char::from).take_while(|c| *c != 'e').collect();
                if number.parse::<i64>().is_err() {
                    return false;
                }
            }
            b'0'..=b'9' => {
                let more = std::iter::from_fn(|| rest.next_if(u8::is_ascii_digit));
                let length: String = std::iter::once(first).chain(more).map(char::from).collect();
                let (Some(b':'), Ok(length)) = (rest.next(), length.parse::<usize>()) else { return false };
                if rest.by_ref().take(length).count() < length {
                    return false;
                }
            }
            _ => return false,
        }
        // a value has ended
        match open.last_mut() {
            None => return rest.next().is_none() && bytes[0] == b'd',
            Some(next @ Next::Key) => *next = Next::Value,
            Some(next @ Next::Value) => *next = Next::Key,
            Some(Next::Item) => {}
        }
    }
}
