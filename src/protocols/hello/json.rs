//! Reads and writes the messages of the JSON dialects, of which each came from a revision of the project's server.
//!
//! The early dialect has three message types: `join` for all clients, `offer` and `answer` for one. In the original, an
//! answer registers nobody. Here it does, because a client sends only under a name that it owns.

use std::borrow::Cow;

use serde::de::Deserializer;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use super::message::{BROADCAST, PendingPush, UNICAST};
use crate::json::is_portable;
use crate::message::{Payload, Ref};
use crate::topic::{Realm, Topic};

/// The prefix of a name's topic, so that no name can be the common topic.
const NAME_PREFIX: &str = "name:";
/// The name of a client that gives none: what JavaScript makes of a missing value.
const NO_NAME: &str = "undefined";

/// The types of the early dialect, and the name that its server gives to all clients.
const JOIN: &str = "join";
const OFFER: &str = "offer";
const ANSWER: &str = "answer";
const EARLY_NAME: &str = "name";

/// A message of any dialect. The first dialect's keys begin with an underscore; the second dialect puts the content type
/// inside of the content; the early dialect has descriptions instead of contents.
#[derive(Deserialize)]
struct Message<'a> {
    #[serde(borrow, default, rename = "_type", deserialize_with = "present")]
    early_type: Option<&'a RawValue>,
    #[serde(borrow, default, rename = "_sdp", deserialize_with = "present")]
    early_sdp: Option<&'a RawValue>,
    #[serde(borrow, default, rename = "_uuid", deserialize_with = "present")]
    early_from: Option<&'a RawValue>,
    #[serde(borrow, default, rename = "_touuid", deserialize_with = "present")]
    early_to: Option<&'a RawValue>,
    #[serde(borrow, default, rename = "_messageType", deserialize_with = "present")]
    first_type: Option<&'a RawValue>,
    #[serde(borrow, default, rename = "_contentType", deserialize_with = "present")]
    content_type: Option<&'a RawValue>,
    #[serde(borrow, default, rename = "_content", deserialize_with = "present")]
    first_content: Option<&'a RawValue>,
    #[serde(borrow, default, rename = "_to", deserialize_with = "present")]
    first_to: Option<&'a RawValue>,
    #[serde(borrow, default, rename = "_from", deserialize_with = "present")]
    first_from: Option<&'a RawValue>,
    #[serde(borrow, default, rename = "messageType", deserialize_with = "present")]
    second_type: Option<&'a RawValue>,
    #[serde(borrow, default, deserialize_with = "present")]
    content: Option<&'a RawValue>,
    #[serde(borrow, default, deserialize_with = "present")]
    to: Option<&'a RawValue>,
    #[serde(borrow, default, deserialize_with = "present")]
    from: Option<&'a RawValue>,
}

/// Reads a field that is present, even as `null`: the original forwards `null`, but not an absent field.
fn present<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<&'de RawValue>, D::Error> {
    <&RawValue>::deserialize(deserializer).map(Some)
}

/// A message as it is forwarded, with its keys in the original's order.
#[derive(Default, Serialize)]
struct Forwarded<'a> {
    #[serde(rename = "_type", skip_serializing_if = "Option::is_none")]
    early_type: Option<&'a RawValue>,
    #[serde(rename = "_sdp", skip_serializing_if = "Option::is_none")]
    early_sdp: Option<&'a RawValue>,
    #[serde(rename = "_uuid", skip_serializing_if = "Option::is_none")]
    early_from: Option<&'a RawValue>,
    #[serde(rename = "_touuid", skip_serializing_if = "Option::is_none")]
    early_to: Option<&'a RawValue>,
    #[serde(rename = "_name", skip_serializing_if = "Option::is_none")]
    early_name: Option<&'static str>,
    #[serde(rename = "_contentType", skip_serializing_if = "Option::is_none")]
    content_type: Option<&'a RawValue>,
    #[serde(rename = "_content", skip_serializing_if = "Option::is_none")]
    first_content: Option<&'a RawValue>,
    #[serde(rename = "_to", skip_serializing_if = "Option::is_none")]
    first_to: Option<&'a RawValue>,
    #[serde(rename = "_from", skip_serializing_if = "Option::is_none")]
    first_from: Option<&'a RawValue>,
    #[serde(skip_serializing_if = "Option::is_none")]
    content: Option<&'a RawValue>,
    #[serde(skip_serializing_if = "Option::is_none")]
    to: Option<&'a RawValue>,
    #[serde(skip_serializing_if = "Option::is_none")]
    from: Option<&'a RawValue>,
}

/// Reads the topic of the sender's name, and the message to forward if there is one. Returns nothing for a malformed
/// message.
pub(super) fn read(text: &str) -> Option<(Topic, Option<PendingPush>)> {
    // serde also reads a JSON array as a struct
    if !text.trim_ascii_start().starts_with('{') || !is_portable(text) {
        return None;
    }
    let message: Message<'_> = serde_json::from_str(text).ok()?;
    let Parts { event, from, to, forwarded } = message.parts()?;
    let topic_name = |value| Some(format!("{NAME_PREFIX}{}", name(value)?));
    let from = Realm::Hello.topic(&topic_name(from)?).ok()?;
    let Some(event) = event else { return Some((from, None)) };
    let to = if event == UNICAST { Some(Ref::from(topic_name(to)?)) } else { None };
    let push = PendingPush { from: from.clone(), event, to, payload: Payload::json(&forwarded).ok()? };
    Some((from, Some(push)))
}

/// The parts of a message that all dialects have. Without an event, the message only registers its sender's name.
struct Parts<'a> {
    event: Option<&'static str>,
    from: Option<&'a RawValue>,
    to: Option<&'a RawValue>,
    forwarded: Forwarded<'a>,
}

impl<'a> Message<'a> {
    /// The dialect is that of the keys which name the type and the sender.
    fn parts(&self) -> Option<Parts<'a>> {
        if self.first_type.is_some() || self.first_from.is_some() {
            Some(self.first())
        } else if self.early_type.is_some() && self.second_type.is_none() && self.from.is_none() {
            self.early()
        } else {
            Some(self.second())
        }
    }

    fn early(&self) -> Option<Parts<'a>> {
        let (early_type, from) = (self.early_type, self.early_from);
        let (event, forwarded) = match &*string(early_type?)? {
            JOIN => (BROADCAST, Forwarded { early_name: Some(EARLY_NAME), ..Forwarded::default() }),
            OFFER | ANSWER => {
                let (early_sdp, early_to) = (self.early_sdp, self.early_to);
                (UNICAST, Forwarded { early_sdp, early_to, ..Forwarded::default() })
            }
            _ => return None,
        };
        let forwarded = Forwarded { early_type, early_from: from, ..forwarded };
        Some(Parts { event: Some(event), from, to: self.early_to, forwarded })
    }

    fn first(&self) -> Parts<'a> {
        let event = forwarding(self.first_type);
        let forwarded = Forwarded {
            content_type: self.content_type,
            first_content: self.first_content,
            first_to: self.first_to.filter(|_| event == Some(UNICAST)),
            first_from: self.first_from,
            ..Forwarded::default()
        };
        Parts { event, from: self.first_from, to: self.first_to, forwarded }
    }

    fn second(&self) -> Parts<'a> {
        let event = forwarding(self.second_type);
        let forwarded = Forwarded {
            content: self.content,
            to: self.to.filter(|_| event == Some(UNICAST)),
            from: self.from,
            ..Forwarded::default()
        };
        Parts { event, from: self.from, to: self.to, forwarded }
    }
}

/// The event of a message type, if messages of that type are forwarded.
fn forwarding(message_type: Option<&RawValue>) -> Option<&'static str> {
    let message_type = string(message_type?)?;
    [UNICAST, BROADCAST].into_iter().find(|event| *event == message_type)
}

/// The name that JavaScript makes of a value when it uses it as a key. Arrays and objects are not supported.
fn name(value: Option<&RawValue>) -> Option<Cow<'_, str>> {
    match value {
        None => Some(Cow::Borrowed(NO_NAME)),
        Some(value) if value.get().starts_with('"') => string(value),
        Some(value) if value.get().starts_with(['[', '{']) => None,
        Some(value) => Some(Cow::Borrowed(value.get())),
    }
}

fn string(value: &RawValue) -> Option<Cow<'_, str>> {
    /// `Cow` alone would always copy.
    #[derive(Deserialize)]
    struct JsonString<'a>(#[serde(borrow)] Cow<'a, str>);
    serde_json::from_str::<JsonString<'_>>(value.get()).ok().map(|string| string.0)
}
