//! HelloWebRTC's protocol: JSON over a WebSocket, in the two dialects of that project.
//!
//! The behaviour was taken from the source of its servers and checked against running ones. Each message registers the
//! name of its sender. A `unicast` message then goes to one name, a `broadcast` message to all names, including its
//! sender's. The message is forwarded in its own dialect without its type; absent fields stay absent. The original
//! server crashes on input that is not JSON; this one ignores it.
//!
//! A name is a topic with one member, the client that used the name last. All names also subscribe to one common topic.
//! What such a topic does is in `channel.rs`, the HTTP routes are in `routes.rs`.

mod channel;
pub(crate) mod routes;

use std::borrow::Cow;
use std::collections::HashSet;
use std::sync::Arc;

use serde::de::Deserializer;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use crate::json::is_portable;
use crate::message::{Broadcast, Inbound, Outbound, Payload, Ref, Request, Status};
use crate::metrics::families::Metrics;
use crate::protocol::{Decoded, Frame, Malformed, Protocol, Unencodable};
use crate::refusal::DropReason;
use crate::topic::{Realm, Topic};

/// The message types that are forwarded. A message of any other type only registers its sender's name.
const UNICAST: &str = "unicast";
const BROADCAST: &str = "broadcast";
/// The prefix of a name's topic, so that no name can be the common topic.
const NAME_PREFIX: &str = "name:";
/// The topic that all names subscribe to.
const COMMON_TOPIC: &str = "everybody";
/// The `ref` of a registration.
const REGISTER: &str = "register";
/// The name of a client that gives none: what JavaScript makes of a missing value.
const NO_NAME: &str = "undefined";

/// The protocol state of one client.
pub(crate) struct Hello {
    metrics: Arc<Metrics>,
    /// The names that the client owns or has requested.
    names: HashSet<Topic>,
    /// The push to send once the registration that precedes it is sent.
    pending: Option<PendingPush>,
}

/// A message to forward, sent under a name of the client.
struct PendingPush {
    from: Topic,
    event: &'static str,
    /// The topic of the recipient; none for a broadcast.
    to: Option<Ref>,
    payload: Payload,
}

impl Hello {
    pub(crate) fn new(metrics: Arc<Metrics>) -> Self {
        Self { metrics, names: HashSet::new(), pending: None }
    }
}

impl Protocol for Hello {
    const PINGED_BY_TRANSPORT: bool = true;

    fn decode<'a>(&'a mut self, frame: &'a Frame) -> Result<Option<Decoded<'a>>, Malformed> {
        let Some((from, push)) = read(frame) else {
            self.metrics.messages_dropped.add(Realm::Hello, DropReason::Ignored, 1);
            return Ok(None);
        };
        if self.names.contains(&from) {
            return Ok(push.map(PendingPush::into_request));
        }
        self.pending = push;
        self.names.insert(from.clone());
        let topic = Cow::Owned(from.key().to_owned());
        let (reference, request) = (Some(Ref::const_new(REGISTER)), Request::Join(Payload::empty()));
        Ok(Some(Decoded::Request(Inbound { topic, join_ref: None, reference, request })))
    }

    fn next_step(&mut self) -> Option<Decoded<'static>> {
        self.pending.take().map(PendingPush::into_request)
    }

    /// The client receives no reply. If it loses a name, or does not get it, its next message under that name requests
    /// the name again.
    fn encode(&mut self, outbound: &Outbound) -> Result<Option<Frame>, Unencodable> {
        match outbound {
            Outbound::Close { topic, .. } | Outbound::Error { topic, .. } => {
                self.names.remove(topic);
            }
            Outbound::Reply { topic, status: Status::Error, reference: Some(reference), .. }
                if reference == REGISTER =>
            {
                self.names.remove(topic);
            }
            _ => {}
        }
        Ok(None)
    }

    /// The payload is the frame: the session of the sender has already encoded it.
    fn broadcast(Broadcast { payload, .. }: &Broadcast) -> Option<Frame> {
        match payload {
            Payload::Json(text) => Some(Frame::Text(text.clone())),
            Payload::Binary(_) | Payload::Attached(..) => None,
        }
    }
}

impl PendingPush {
    fn into_request(self) -> Decoded<'static> {
        Decoded::Request(Inbound {
            topic: Cow::Owned(self.from.key().to_owned()),
            join_ref: None,
            reference: self.to,
            request: Request::Push(Cow::Borrowed(self.event), self.payload),
        })
    }
}

// ---- reading and writing

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
fn read(frame: &Frame) -> Option<(Topic, Option<PendingPush>)> {
    let Frame::Text(text) = frame else { return None };
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
