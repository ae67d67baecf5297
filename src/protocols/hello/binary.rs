//! Reads and writes the messages of the binary dialect: a bencoded dictionary in a binary frame.
//!
//! Its clients cannot read JSON, and those of the JSON dialects cannot read bencode, so the names of this dialect are
//! apart from theirs. A message of the type `list` is answered with the names that were used last.

use super::bencode;
use super::message::{BROADCAST, LIST, PendingPush, UNICAST};
use crate::message::{Payload, Ref};
use crate::topic::{Realm, Topic};

/// The prefix of a name's topic.
const NAME_PREFIX: &str = "binary:";
/// What the original makes of a missing content: an empty dictionary.
const NO_CONTENT: &[u8] = b"de";

/// The values of a message, as they are written.
#[derive(Default)]
struct Message<'a> {
    message_type: Option<&'a [u8]>,
    content: Option<&'a [u8]>,
    to: Option<&'a [u8]>,
    from: Option<&'a [u8]>,
}

impl<'a> Message<'a> {
    fn parse(bytes: &'a [u8]) -> Option<Self> {
        let mut message = Self::default();
        bencode::entries(bytes, |key, value| {
            let field = match key {
                b"messageType" => &mut message.message_type,
                b"content" => &mut message.content,
                b"to" => &mut message.to,
                b"from" => &mut message.from,
                _ => return Some(()),
            };
            field.replace(value).is_none().then_some(())
        })?;
        Some(message)
    }
}

/// Reads the topic of the sender's name, and the request to send under it if there is one. Returns nothing for a
/// malformed message.
pub(super) fn read(bytes: &[u8]) -> Option<(Topic, Option<PendingPush>)> {
    let message = Message::parse(bytes)?;
    let from_value = message.from?;
    let from = Realm::Hello.topic(&topic_name(from_value)?).ok()?;
    let content = message.content.unwrap_or(NO_CONTENT);
    let message_type = message.message_type.and_then(bencode::string).and_then(|name| str::from_utf8(name).ok());
    let (event, to, payload) = match message_type {
        Some(UNICAST) => {
            let to = message.to?;
            let payload = dictionary(&[(b"content", content), (b"to", to), (b"from", from_value)]);
            (UNICAST, Some(Ref::from(topic_name(to)?)), binary(payload))
        }
        Some(BROADCAST) => (BROADCAST, None, binary(dictionary(&[(b"content", content), (b"from", from_value)]))),
        Some(LIST) => (LIST, None, Payload::empty()),
        _ => return Some((from, None)),
    };
    let push = PendingPush { from: from.clone(), event, to, payload };
    Some((from, Some(push)))
}

fn topic_name(value: &[u8]) -> Option<String> {
    let name = str::from_utf8(bencode::string(value)?).ok()?;
    Some(format!("{NAME_PREFIX}{name}"))
}

/// The answer to a `list` message of the client with the name `from`. Both it and the names are topics.
pub(super) fn list(from: &Topic, names: &[Topic]) -> Payload {
    let string = |content: &str| {
        let mut value = Vec::new();
        bencode::write_string(&mut value, content.as_bytes());
        value
    };
    let body = [&b"l"[..], &names.iter().flat_map(|name| string(name.subtopic())).collect::<Vec<u8>>(), b"e"].concat();
    let content = dictionary(&[(b"body", &body), (b"contentType", &string(LIST))]);
    binary(dictionary(&[(b"content", &content), (b"from", &string(from.subtopic()))]))
}

/// A dictionary, with its keys in this order.
fn dictionary(entries: &[(&[u8], &[u8])]) -> Vec<u8> {
    let mut out = vec![b'd'];
    for (key, value) in entries {
        bencode::write_string(&mut out, key);
        out.extend_from_slice(value);
    }
    out.push(b'e');
    out
}

fn binary(bytes: Vec<u8>) -> Payload {
    Payload::Binary(bytes.into())
}
