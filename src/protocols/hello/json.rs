//! Reads and writes the messages of the JSON dialects.

use std::borrow::Cow;

use serde::de::Deserializer;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use super::message::{BROADCAST, PendingPush, UNICAST};
use crate::json::is_portable;
use crate::message::{Payload, Ref};
use crate::topic::{Realm, Topic};

/// The prefix of a name's topic, so that no name can be the common topic.
pub(super) const NAME_PREFIX: &str = "name:";
/// The name of a client that gives none: what JavaScript makes of a missing value.
const NO_NAME: &str = "undefined";

/// A message of either dialect. The first dialect's keys begin with an underscore; the second dialect puts the content
/// type inside of the content.
#[derive(Deserialize)]
struct Message<'a> {
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
    let is_first = message.first_type.is_some() || message.first_from.is_some();
    let (message_type, to, from) = match is_first {
        true => (message.first_type, message.first_to, message.first_from),
        false => (message.second_type, message.to, message.from),
    };
    let from = Realm::Hello.topic(&format!("{NAME_PREFIX}{}", name(from)?)).ok()?;
    let (event, to) = match message_type.and_then(string).as_deref() {
        Some(UNICAST) => (UNICAST, Some(Ref::from(format!("{NAME_PREFIX}{}", name(to)?)))),
        Some(BROADCAST) => (BROADCAST, None),
        _ => return Some((from, None)),
    };
    let payload = Payload::json(&message.forwarded(is_first, to.is_some())).ok()?;
    let push = PendingPush { from: from.clone(), event, to, payload };
    Some((from, Some(push)))
}

impl<'a> Message<'a> {
    fn forwarded(&self, is_first: bool, has_to: bool) -> Forwarded<'a> {
        match is_first {
            true => Forwarded {
                content_type: self.content_type,
                first_content: self.first_content,
                first_to: self.first_to.filter(|_| has_to),
                first_from: self.first_from,
                ..Forwarded::default()
            },
            false => Forwarded {
                content: self.content,
                to: self.to.filter(|_| has_to),
                from: self.from,
                ..Forwarded::default()
            },
        }
    }
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
