//! Socket.IO, revision 5 and, over revision 3 of Engine.IO, the one before it (clients of 1.x and 2.x).
//!
//! A namespace is a topic of [`Realm::SocketIo`], such as `/` or `/chat`. What is told to a topic
//! `<namespace>#<anything>`, which no client can name, is told in the namespace: so a channel has rooms. The facts,
//! in the words of the core:
//!
//! - CONNECT is a join with the client's `auth`, `{}` if there is none; accepted, the client is told a `sid`:
//!   the one of the channel's own welcome, or else a random one. Refused, it is told the reason as the
//!   `message` of an error.
//! - EVENT is a push; its payload is the array of the arguments after the event's name, with their bytes if
//!   there are any. A push or a broadcast is an event back: a payload that is an array is its list of
//!   arguments, any other its only one.
//! - The reply to an event whose sender asked for an acknowledgement is that, with arguments likewise.
//! - DISCONNECT is a leave, and says nothing of the client's other namespaces.
//!
//! Older clients are on `/` without asking, and give their `auth` as a query behind the namespace. Whatever breaks
//! the format ends the connection.

use std::borrow::Cow;

use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use bytes::Bytes;
use compact_str::{CompactString, format_compact};
use serde::Deserialize;
use serde::de::IgnoredAny;
use uuid::Uuid;

use self::packet::{Kind, MAIN, Packet};
use super::engineio::{EncodedMessage, MessageCodec, routes as engineio_routes};
use crate::channels::builtin::routers;
use crate::config::schema::{self, Limits};
use crate::http::acceptor::ProtocolMount;
use crate::http::mount::Mount;
use crate::http::request::params;
use crate::message::{Broadcast, Inbound, Outbound, Payload, Ref, Request, Status};
use crate::protocol::{Decoded, Frame, Malformed, Unencodable};
use crate::topic::{Realm, Topic};

mod client_script;
mod packet;

/// What divides a namespace from what its channels call a part of it.
const PART: char = '#';
const REALM: Realm = Realm::SocketIo;
/// Begins the mark of a join; that of an event is the number of its acknowledgement.
const JOIN: char = 'j';
/// What npm's socket.io says where no channel answers.
const INVALID: &str = "Invalid namespace";

pub(crate) const MOUNT: ProtocolMount = ProtocolMount { realm: REALM, timeouts: engineio_routes::timeouts, routes };

/// The standard mount: the relay of the tutorials.
pub(crate) fn mount(terms: &schema::SocketIo) -> (Mount, ProtocolMount) {
    (Mount::new(&terms.path, routers::relay()).message_bytes(terms.max_payload), MOUNT)
}

fn routes(acceptor: &crate::http::acceptor::Acceptor, app: &mut actix_web::web::ServiceConfig) {
    engineio_routes::routes::<SocketIo>(acceptor, app);
    client_script::routes(acceptor, app);
}

/// One client's Socket.IO.
pub(crate) struct SocketIo {
    is_old: bool,
    /// Where the client is, or has asked to be.
    namespaces: Vec<Namespace>,
    last_join: u32,
    /// A message of which not all bytes have come.
    partial: Option<Partial>,
    /// How large a message may be with all its bytes.
    most: usize,
    greeting: bool,
}

/// One namespace of the client's.
struct Namespace {
    /// The topic's key: the name, behind its realm's mark.
    key: CompactString,
    /// Which of the client's joins it is.
    join: u32,
}

/// A message whose bytes come in messages of their own.
struct Partial {
    is_event: bool,
    namespace: String,
    id: Option<Ref>,
    event: String,
    arguments: String,
    wanted: usize,
    size: usize,
    attachments: Vec<Bytes>,
}

impl MessageCodec for SocketIo {
    fn new(revision: u8, limits: &Limits) -> Self {
        let is_old = revision < 4;
        Self {
            is_old,
            namespaces: Vec::new(),
            last_join: 0,
            partial: None,
            most: limits.message_bytes,
            greeting: is_old,
        }
    }

    fn text<'a>(&'a mut self, text: &'a str) -> Result<Option<Decoded<'a>>, Malformed> {
        if self.partial.is_some() {
            return Err(Malformed);
        }
        let packet = packet::read(text)?;
        match packet.kind {
            Kind::Connect => self.connect(&packet),
            Kind::Disconnect => self.disconnect(&packet),
            Kind::Event => self.event(packet),
            Kind::Ack => self.ack(&packet),
        }
    }

    fn bytes(&mut self, bytes: Bytes) -> Result<Option<Decoded<'_>>, Malformed> {
        let partial = self.partial.as_mut().ok_or(Malformed)?;
        partial.size += bytes.len();
        if partial.size > self.most {
            return Err(Malformed);
        }
        partial.attachments.push(bytes);
        if partial.attachments.len() < partial.wanted {
            return Ok(None);
        }
        let Some(whole) = self.partial.take().filter(|whole| whole.is_event) else { return Ok(None) };
        let payload = Payload::Attached(whole.arguments.into(), whole.attachments.into());
        let Namespace { key, .. } = self.find(&whole.namespace).ok_or(Malformed)?;
        Ok(Some(push(key, whole.id, whole.event.into(), payload)))
    }

    fn next_step(&mut self) -> Option<Decoded<'static>> {
        std::mem::take(&mut self.greeting).then(|| self.join(MAIN, Payload::empty()))
    }

    fn encode(&mut self, outbound: &Outbound) -> Result<Option<EncodedMessage>, Unencodable> {
        Ok(match outbound {
            Outbound::Push { topic, event, payload, .. } => Some(packet::event(namespace_of(topic), event, payload)),
            Outbound::Reply { reference: Some(mark), topic, status, payload, .. } => match mark.strip_prefix(JOIN) {
                Some(join) => self.answer_join(topic, join, *status, payload),
                None => self.find(topic.as_str()).map(|_| packet::ack(namespace_of(topic), mark, payload)),
            },
            Outbound::Close { topic, join_ref } | Outbound::Error { topic, join_ref } => {
                self.remove(topic, join_ref.as_deref()).then(|| packet::disconnect(namespace_of(topic)))
            }
            Outbound::Reply { .. } | Outbound::Alive { .. } => None,
        })
    }

    fn encode_broadcast(Broadcast { topic, event, payload }: &Broadcast) -> Option<EncodedMessage> {
        Some(packet::event(namespace_of(topic), event, payload))
    }

    fn ascii_only(text: String) -> String {
        packet::ascii_only(text)
    }
}

impl SocketIo {
    // ---- reading

    fn connect<'a>(&mut self, packet: &Packet<'a>) -> Result<Option<Decoded<'a>>, Malformed> {
        let (name, query) = match packet.namespace.split_once('?') {
            Some((name, query)) if self.is_old => (name, query),
            _ => (packet.namespace, ""),
        };
        if self.find(name).is_some() {
            // an older client is on the main namespace already, and may not know it
            return if self.is_old && name == MAIN { Ok(None) } else { Err(Malformed) };
        }
        if name.contains(PART) {
            let text = packet::refusal(name, &self.refusal_of(&Payload::reason("unmatched topic")));
            return Ok(Some(Decoded::Respond(Frame::Text(text.into()))));
        }
        let auth = match packet.data {
            _ if self.is_old => auth_of(query)?,
            "" => Payload::empty(),
            data => Payload::Json(data.into()),
        };
        Ok(Some(self.join(name, auth)))
    }

    fn join(&mut self, name: &str, auth: Payload) -> Decoded<'static> {
        self.last_join = self.last_join.wrapping_add(1);
        let (key, join) = (format_compact!("{}{name}", REALM.mark()), self.last_join);
        let inbound = Inbound {
            topic: Cow::Owned(key.to_string()),
            join_ref: Some(format_compact!("{join}")),
            reference: Some(format_compact!("{JOIN}{join}")),
            request: Request::Join(auth),
        };
        self.namespaces.push(Namespace { key, join });
        Decoded::Request(inbound)
    }

    fn disconnect<'a>(&mut self, packet: &Packet<'_>) -> Result<Option<Decoded<'a>>, Malformed> {
        let at = self.namespaces.iter().position(|namespace| namespace.name() == packet.namespace);
        let Namespace { key, .. } = self.namespaces.swap_remove(at.ok_or(Malformed)?);
        let topic = Cow::Owned(key.into_string());
        Ok(Some(Decoded::Request(Inbound { topic, join_ref: None, reference: None, request: Request::Leave })))
    }

    fn event<'a>(&'a mut self, packet: Packet<'a>) -> Result<Option<Decoded<'a>>, Malformed> {
        let (event, arguments) = packet::event_of(packet.data)?;
        let id = packet.id.map(Ref::from);
        if packet.attachments > 0 {
            self.await_attachments(&packet, true, event.into_owned(), arguments)?;
            return Ok(None);
        }
        let Namespace { key, .. } = self.find(packet.namespace).ok_or(Malformed)?;
        Ok(Some(push(key, id, event, Payload::Json(arguments.into()))))
    }

    /// Nobody here asks for an acknowledgement; that one comes all the same breaks nothing.
    fn ack<'a>(&mut self, packet: &Packet<'_>) -> Result<Option<Decoded<'a>>, Malformed> {
        if packet.id.is_none() || !packet.data.starts_with('[') {
            return Err(Malformed);
        }
        self.find(packet.namespace).ok_or(Malformed)?;
        if packet.attachments > 0 {
            self.await_attachments(packet, false, String::new(), packet.data.to_owned())?;
        }
        Ok(None)
    }

    /// Waits for the bytes of a message.
    fn await_attachments(
        &mut self,
        packet: &Packet<'_>,
        is_event: bool,
        event: String,
        arguments: String,
    ) -> Result<(), Malformed> {
        self.find(packet.namespace).ok_or(Malformed)?;
        packet::check_placeholders(&arguments, packet.attachments)?;
        self.partial = Some(Partial {
            is_event,
            namespace: packet.namespace.to_owned(),
            id: packet.id.map(Ref::from),
            event,
            size: arguments.len(),
            arguments,
            wanted: packet.attachments,
            attachments: Vec::with_capacity(packet.attachments),
        });
        Ok(())
    }

    fn find(&self, name: &str) -> Option<&Namespace> {
        self.namespaces.iter().find(|namespace| namespace.name() == name)
    }

    // ---- writing

    fn answer_join(&mut self, topic: &Topic, join: &str, status: Status, payload: &Payload) -> Option<EncodedMessage> {
        let name = namespace_of(topic);
        if status == Status::Ok {
            // a client that has left meanwhile hears nothing of it
            self.find(name).filter(|namespace| namespace.is(join))?;
            let welcome = if self.is_old { String::new() } else { welcome(payload) };
            return Some(EncodedMessage::Text(packet::connect(name, &welcome)));
        }
        let refusal = self.refusal_of(payload);
        self.remove(topic, Some(join)).then(|| EncodedMessage::Text(packet::refusal(name, &refusal)))
    }

    /// Why a join was refused: an object with a `message`, or for older clients the message alone.
    fn refusal_of(&self, payload: &Payload) -> String {
        #[derive(Deserialize)]
        struct Told {
            message: Option<String>,
            reason: Option<String>,
        }
        let told = payload.parse::<Told>().unwrap_or(Told { message: None, reason: None });
        let message = match (told.message, told.reason) {
            (Some(message), _) => message,
            (None, Some(reason)) if reason == "unmatched topic" => INVALID.to_owned(),
            (None, reason) => reason.unwrap_or_else(|| "refused".to_owned()),
        };
        let message = serde_json::Value::from(message);
        if self.is_old { message.to_string() } else { format!(r#"{{"message":{message}}}"#) }
    }

    /// Takes a namespace off the list; says whether it was there, by this join.
    fn remove(&mut self, topic: &Topic, join: Option<&str>) -> bool {
        let at = self
            .namespaces
            .iter()
            .position(|namespace| namespace.name() == topic.as_str() && join.is_none_or(|join| namespace.is(join)));
        at.map(|at| self.namespaces.swap_remove(at)).is_some()
    }
}

impl Namespace {
    fn name(&self) -> &str {
        &self.key[REALM.mark().len()..]
    }

    fn is(&self, join: &str) -> bool {
        join.parse() == Ok(self.join)
    }
}

fn push<'a>(key: &'a str, reference: Option<Ref>, event: Cow<'a, str>, payload: Payload) -> Decoded<'a> {
    Decoded::Request(Inbound {
        topic: Cow::Borrowed(key),
        join_ref: None,
        reference,
        request: Request::Push(event, payload),
    })
}

/// What an older client has put behind the name of its namespace, as an object.
fn auth_of(query: &str) -> Result<Payload, Malformed> {
    let params = params(query).map_err(|_| Malformed)?;
    let members = params.into_iter().map(|(name, value)| (name, serde_json::Value::from(value)));
    Ok(serde_json::Value::Object(members.collect()).into())
}

/// The namespace in which a topic's members are told.
fn namespace_of(topic: &Topic) -> &str {
    let name = topic.as_str();
    name.split_once(PART).map_or(name, |(namespace, _)| namespace)
}

/// What a client is told that has been let in: the channel's own object, with a sid if it has none.
fn welcome(payload: &Payload) -> String {
    #[derive(Deserialize)]
    struct Named {
        #[expect(dead_code, reason = "that it is there is all we want to know")]
        sid: IgnoredAny,
    }
    let text = match payload {
        Payload::Json(text) if payload.is_object() => text.trim(),
        _ => "{}",
    };
    if serde_json::from_str::<Named>(text).is_ok() {
        return text.to_owned();
    }
    let sid = BASE64_URL_SAFE_NO_PAD.encode(Uuid::new_v4().as_bytes());
    let rest = text[1..].trim_start();
    let comma = if rest == "}" { "" } else { "," };
    format!(r#"{{"sid":"{sid}"{comma}{rest}"#)
}
