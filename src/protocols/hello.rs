//! HelloWebRTC's protocol: JSON over a WebSocket, in the two dialects of that project.
//!
//! The facts are those of its servers, read and run. A message registers its sender's name, and is then for one
//! name (`unicast`) or for all of them (`broadcast`, the sender's included); it is handed on in its own dialect,
//! without its type, and what is absent stays absent. Where the original dies, at what is no JSON, we pass over it.
//!
//! A name is a topic with one member, the last who spoke under it; all names hear one more topic together.

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

/// What a message is for; others do nothing but register.
const UNICAST: &str = "unicast";
const BROADCAST: &str = "broadcast";
/// What the topics of names begin with, so that none is that of all.
const NAME: &str = "name:";
/// The topic that all names hear.
const EVERYBODY: &str = "everybody";
/// The mark of a registration.
const REGISTER: &str = "register";
/// The name of one who gives none, as JavaScript has it.
const NO_NAME: &str = "undefined";

/// One client's end of the protocol.
pub(crate) struct Hello {
    metrics: Arc<Metrics>,
    /// The names that it holds, or has asked for.
    names: HashSet<Topic>,
    /// What waits behind a registration.
    said: Option<PendingPush>,
}

/// Something that a client has said under a name that it holds.
struct PendingPush {
    from: Topic,
    event: &'static str,
    /// Whose topic it is for.
    to: Option<Ref>,
    payload: Payload,
}

impl Hello {
    pub(crate) fn new(metrics: Arc<Metrics>) -> Self {
        Self { metrics, names: HashSet::new(), said: None }
    }
}

impl Protocol for Hello {
    const PINGED_BY_TRANSPORT: bool = true;

    fn decode<'a>(&'a mut self, frame: &'a Frame) -> Result<Option<Decoded<'a>>, Malformed> {
        let Some((from, said)) = read(frame) else {
            self.metrics.messages_dropped.add(Realm::Hello, DropReason::Ignored, 1);
            return Ok(None);
        };
        if self.names.contains(&from) {
            return Ok(said.map(PendingPush::step));
        }
        self.said = said;
        self.names.insert(from.clone());
        let topic = Cow::Owned(from.key().to_owned());
        let (reference, request) = (Some(Ref::const_new(REGISTER)), Request::Join(Payload::empty()));
        Ok(Some(Decoded::Request(Inbound { topic, join_ref: None, reference, request })))
    }

    fn next_step(&mut self) -> Option<Decoded<'static>> {
        self.said.take().map(PendingPush::step)
    }

    /// Nothing is answered. Who has lost a name, or was not given it, asks anew when it speaks again.
    fn encode(&mut self, outbound: &Outbound) -> Result<Option<Frame>, Unencodable> {
        match outbound {
            Outbound::Close { topic, .. } | Outbound::Error { topic, .. } => {
                self.names.remove(topic);
            }
            Outbound::Reply { topic, status: Status::Error, reference: Some(mark), .. } if mark == REGISTER => {
                self.names.remove(topic);
            }
            _ => {}
        }
        Ok(None)
    }

    /// The sender's own end has written it.
    fn broadcast(Broadcast { payload, .. }: &Broadcast) -> Option<Frame> {
        match payload {
            Payload::Json(text) => Some(Frame::Text(text.clone())),
            Payload::Binary(_) | Payload::Attached(..) => None,
        }
    }
}

impl PendingPush {
    fn step(self) -> Decoded<'static> {
        Decoded::Request(Inbound {
            topic: Cow::Owned(self.from.key().to_owned()),
            join_ref: None,
            reference: self.to,
            request: Request::Push(Cow::Borrowed(self.event), self.payload),
        })
    }
}

// ---- reading and writing

/// A message, in either dialect: the first's keys have an underscore, the second's content has a type inside.
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

/// What is there, `null` included: it is not the same as what is absent.
fn present<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<&'de RawValue>, D::Error> {
    <&RawValue>::deserialize(deserializer).map(Some)
}

/// What is handed on, in the original's order.
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

/// Who speaks, and what it says, if that is for anybody; nothing when it cannot be read.
fn read(frame: &Frame) -> Option<(Topic, Option<PendingPush>)> {
    let Frame::Text(text) = frame else { return None };
    // serde would read a list as a struct too
    if !text.trim_ascii_start().starts_with('{') || !is_portable(text) {
        return None;
    }
    let message: Message<'_> = serde_json::from_str(text).ok()?;
    let is_first = message.first_type.is_some() || message.first_from.is_some();
    let (kind, to, from) = match is_first {
        true => (message.first_type, message.first_to, message.first_from),
        false => (message.second_type, message.to, message.from),
    };
    let from = Realm::Hello.topic(&format!("{NAME}{}", name(from)?)).ok()?;
    let (event, to) = match kind.and_then(word).as_deref() {
        Some(UNICAST) => (UNICAST, Some(Ref::from(format!("{NAME}{}", name(to)?)))),
        Some(BROADCAST) => (BROADCAST, None),
        _ => return Some((from, None)),
    };
    let payload = Payload::json(&message.forwarded(is_first, to.is_some())).ok()?;
    let said = PendingPush { from: from.clone(), event, to, payload };
    Some((from, Some(said)))
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

/// A name as JavaScript makes one of what stands there; nothing of a list or an object.
fn name(value: Option<&RawValue>) -> Option<Cow<'_, str>> {
    match value {
        None => Some(Cow::Borrowed(NO_NAME)),
        Some(value) if value.get().starts_with('"') => word(value),
        Some(value) if value.get().starts_with(['[', '{']) => None,
        Some(value) => Some(Cow::Borrowed(value.get())),
    }
}

fn word(value: &RawValue) -> Option<Cow<'_, str>> {
    #[derive(Deserialize)]
    struct Text<'a>(#[serde(borrow)] Cow<'a, str>);
    serde_json::from_str::<Text<'_>>(value.get()).ok().map(|text| text.0)
}
