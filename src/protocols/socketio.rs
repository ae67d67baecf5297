//! Socket.IO, revision 5, and over revisions 2 and 3 of Engine.IO the revision before it (clients of 1.x and 2.x).
//! Clients of 0.9, which do not use Engine.IO, are in `v09.rs`.
//!
//! A namespace is a topic of [`Realm::SocketIo`], such as `/` or `/chat`. Rooms are topics `<namespace>#<name>`: their
//! messages arrive in the namespace, and clients cannot join them directly. The packets map to the broker as follows:
//!
//! - CONNECT is a join, with the client's `auth` as payload, or `{}`. An accepted client receives a `sid`: that of the
//!   join's reply, or a random one. A refused client receives the reason as the `message` of a CONNECT_ERROR.
//! - EVENT is a push. Its payload is the array of the event's arguments, with their attachments if there are any.
//!   Pushes and broadcasts to the client become events: a payload that is an array is the list of arguments, any other
//!   payload is the only argument.
//! - An acknowledgement is the reply to an event whose sender asked for one. Its arguments are made in the same way.
//! - DISCONNECT is a leave of one namespace. The client's other namespaces are not affected.
//!
//! Older clients join `/` when they connect, and send their `auth` as a query after the name of a namespace. A
//! malformed packet closes the connection.
//!
//! The client's namespaces are in `namespaces.rs`, the format of single packets is in `packet.rs`, and the HTTP routes
//! are Engine.IO's.

use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use bytes::Bytes;
use serde::Deserialize;
use serde::de::IgnoredAny;
use uuid::Uuid;

use self::namespaces::{Namespaces, REALM, ROOM_SEPARATOR, UNMATCHED, join_of, namespace_of, push};
use self::packet::{MAIN, Packet, PacketType};
use self::v09::routes as v09_routes;
use super::engineio::{EncodedMessage, MessageCodec, format as engineio_format, routes as engineio_routes};
use crate::channels::builtin::relay::IceRefused;
use crate::channels::builtin::routers;
use crate::config::schema::{self, Config, Limits};
use crate::http::acceptor::ProtocolMount;
use crate::http::jsonp;
use crate::http::mount::{Mount, SocketInit};
use crate::http::request::{check_origin, params};
use crate::message::{Broadcast, Outbound, Payload, Ref, Status};
use crate::protocol::{Decoded, Frame, Malformed, Unencodable};
use crate::topic::Topic;

mod client_script;
mod namespaces;
pub(crate) mod packet;
pub(crate) mod v09;

/// The error message of npm's socket.io for an unknown namespace.
const INVALID_NAMESPACE: &str = "Invalid namespace";

pub(crate) const MOUNT: ProtocolMount =
    ProtocolMount { realm: REALM, timeouts: engineio_routes::timeouts, routes, cors: Some(engineio_routes::cors_rule) };

/// The standard mount, with the relay that Socket.IO's tutorials use.
pub(crate) fn mount(config: &Config) -> (Mount, ProtocolMount) {
    let schema::SocketIo { path, check_origin, max_payload, .. } = &config.socketio;
    let mount = Mount::new(path, routers::relay(config))
        .check_origin(check_origin.clone())
        .message_bytes(*max_payload)
        .check_tokens();
    (without_ice_for_other_pages(mount, config), MOUNT)
}

/// More pages may use the relay than may receive credentials, so the relay must know which. A page that connects by a
/// script may be of any origin, although its request has no `Origin` header.
fn without_ice_for_other_pages(mount: Mount, config: &Config) -> Mount {
    if config.peer.ice_servers.is_empty() {
        return mount;
    }
    let origins = config.ice.check_origin.clone();
    mount.connect(move |info| {
        let callbacks = [engineio_format::CALLBACK_PARAM, v09_routes::CALLBACK_PARAM];
        let is_script = callbacks.iter().any(|name| info.param(name).is_some());
        let check = if is_script { jsonp::check_page } else { check_origin };
        match check(&info.request, &origins) {
            Ok(()) => Ok(SocketInit::default()),
            Err(_) => Ok(SocketInit::default().assign(IceRefused)),
        }
    })
}

fn routes(acceptor: &crate::http::acceptor::Acceptor, app: &mut actix_web::web::ServiceConfig) {
    engineio_routes::routes::<SocketIo>(acceptor, app);
    v09_routes::routes(acceptor, app);
    client_script::routes(acceptor, app);
}

/// The protocol state of one client.
pub(crate) struct SocketIo {
    /// Whether the client is one of Socket.IO 1.x or 2.x.
    is_old: bool,
    /// The namespaces that the client has joined or requested.
    namespaces: Namespaces,
    /// A packet that waits for attachments.
    partial: Option<Partial>,
    /// The maximum size of a packet with its attachments.
    max_message_bytes: usize,
    /// Whether the join of the main namespace, which older clients do not request, is still to be sent.
    needs_main_join: bool,
}

/// A packet whose attachments have not all arrived.
struct Partial {
    is_event: bool,
    namespace: String,
    id: Option<Ref>,
    event: String,
    arguments: String,
    expected: usize,
    size: usize,
    attachments: Vec<Bytes>,
}

impl MessageCodec for SocketIo {
    const HAS_TOKENS_AT_JOIN: bool = true;

    fn new(revision: u8, limits: &Limits) -> Self {
        let is_old = revision < 4;
        Self {
            is_old,
            namespaces: Namespaces::default(),
            partial: None,
            max_message_bytes: limits.message_bytes,
            needs_main_join: is_old,
        }
    }

    fn text<'a>(&'a mut self, text: &'a str) -> Result<Option<Decoded<'a>>, Malformed> {
        if self.partial.is_some() {
            return Err(Malformed);
        }
        let packet = packet::read(text)?;
        match packet.packet_type {
            PacketType::Connect => self.connect(&packet),
            PacketType::Disconnect => self.disconnect(&packet),
            PacketType::Event => self.event(packet),
            PacketType::Ack => self.ack(&packet),
        }
    }

    fn bytes(&mut self, bytes: Bytes) -> Result<Option<Decoded<'_>>, Malformed> {
        let partial = self.partial.as_mut().ok_or(Malformed)?;
        partial.size += bytes.len();
        if partial.size > self.max_message_bytes {
            return Err(Malformed);
        }
        partial.attachments.push(bytes);
        if partial.attachments.len() < partial.expected {
            return Ok(None);
        }
        let Some(complete) = self.partial.take().filter(|packet| packet.is_event) else { return Ok(None) };
        let payload = Payload::Attached(complete.arguments.into(), complete.attachments.into());
        let key = self.namespaces.key(&complete.namespace).ok_or(Malformed)?;
        Ok(Some(push(key, complete.id, complete.event.into(), payload)))
    }

    fn next_step(&mut self) -> Option<Decoded<'static>> {
        std::mem::take(&mut self.needs_main_join).then(|| self.namespaces.join(MAIN, Payload::empty()))
    }

    fn encode(&mut self, outbound: &Outbound) -> Result<Option<EncodedMessage>, Unencodable> {
        Ok(match outbound {
            Outbound::Push { topic, event, payload, .. } => Some(packet::event(namespace_of(topic), event, payload)),
            Outbound::Reply { reference: Some(reference), topic, status, payload, .. } => match join_of(reference) {
                Some(join) => self.join_response(topic, join, *status, payload),
                None => {
                    let key = self.namespaces.key(topic.as_str());
                    key.map(|_| packet::ack(namespace_of(topic), reference, payload))
                }
            },
            Outbound::Close { topic, join_ref } | Outbound::Error { topic, join_ref } => {
                self.namespaces.remove(topic, join_ref.as_deref()).then(|| packet::disconnect(namespace_of(topic)))
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
        if self.namespaces.key(name).is_some() {
            // an older client has joined the main namespace already, but may still request it
            return if self.is_old && name == MAIN { Ok(None) } else { Err(Malformed) };
        }
        if name.contains(ROOM_SEPARATOR) {
            let text = packet::connect_error(name, &self.error_data(&Payload::reason(UNMATCHED)));
            return Ok(Some(Decoded::Respond(Frame::Text(text.into()))));
        }
        let auth = match packet.data {
            _ if self.is_old => auth_of(query)?,
            "" => Payload::empty(),
            data => Payload::Json(data.into()),
        };
        Ok(Some(self.namespaces.join(name, auth)))
    }

    fn disconnect<'a>(&mut self, packet: &Packet<'_>) -> Result<Option<Decoded<'a>>, Malformed> {
        self.namespaces.leave(packet.namespace).map(Some).ok_or(Malformed)
    }

    fn event<'a>(&'a mut self, packet: Packet<'a>) -> Result<Option<Decoded<'a>>, Malformed> {
        let (event, arguments) = packet::event_of(packet.data)?;
        let id = packet.id.map(Ref::from);
        if packet.attachments > 0 {
            self.await_attachments(&packet, true, event.into_owned(), arguments)?;
            return Ok(None);
        }
        let key = self.namespaces.key(packet.namespace).ok_or(Malformed)?;
        Ok(Some(push(key, id, event, Payload::Json(arguments.into()))))
    }

    /// Checks an acknowledgement and ignores it: the server never requests one.
    fn ack<'a>(&mut self, packet: &Packet<'_>) -> Result<Option<Decoded<'a>>, Malformed> {
        if packet.id.is_none() || !packet.data.starts_with('[') {
            return Err(Malformed);
        }
        self.namespaces.key(packet.namespace).ok_or(Malformed)?;
        if packet.attachments > 0 {
            self.await_attachments(packet, false, String::new(), packet.data.to_owned())?;
        }
        Ok(None)
    }

    /// Keeps a packet until its attachments arrive.
    fn await_attachments(
        &mut self,
        packet: &Packet<'_>,
        is_event: bool,
        event: String,
        arguments: String,
    ) -> Result<(), Malformed> {
        self.namespaces.key(packet.namespace).ok_or(Malformed)?;
        packet::check_placeholders(&arguments, packet.attachments)?;
        self.partial = Some(Partial {
            is_event,
            namespace: packet.namespace.to_owned(),
            id: packet.id.map(Ref::from),
            event,
            size: arguments.len(),
            arguments,
            expected: packet.attachments,
            attachments: Vec::with_capacity(packet.attachments),
        });
        Ok(())
    }

    // ---- writing

    fn join_response(
        &mut self,
        topic: &Topic,
        join: &str,
        status: Status,
        payload: &Payload,
    ) -> Option<EncodedMessage> {
        let name = namespace_of(topic);
        if status == Status::Ok {
            // a client that has already left again receives no response
            return self.namespaces.is_of_join(topic, join).then(|| {
                let data = if self.is_old { String::new() } else { connect_data(payload) };
                EncodedMessage::Text(packet::connect(name, &data))
            });
        }
        let data = self.error_data(payload);
        self.namespaces.remove(topic, Some(join)).then(|| EncodedMessage::Text(packet::connect_error(name, &data)))
    }

    /// The data of a CONNECT_ERROR packet: an object with a `message`, or for older clients only the message.
    fn error_data(&self, payload: &Payload) -> String {
        #[derive(Deserialize)]
        struct RefusalPayload {
            message: Option<String>,
            reason: Option<String>,
        }
        let refusal = payload.parse::<RefusalPayload>().unwrap_or(RefusalPayload { message: None, reason: None });
        let message = match (refusal.message, refusal.reason) {
            (Some(message), _) => message,
            (None, Some(reason)) if reason == UNMATCHED => INVALID_NAMESPACE.to_owned(),
            (None, reason) => reason.unwrap_or_else(|| "refused".to_owned()),
        };
        let message = serde_json::Value::from(message);
        if self.is_old { message.to_string() } else { format!(r#"{{"message":{message}}}"#) }
    }
}

/// The query that an older client sends after the name of a namespace, as an object.
fn auth_of(query: &str) -> Result<Payload, Malformed> {
    let params = params(query).map_err(|_| Malformed)?;
    let members = params.into_iter().map(|(name, value)| (name, serde_json::Value::from(value)));
    Ok(serde_json::Value::Object(members.collect()).into())
}

/// The data of a CONNECT packet: the object of the join's reply, with a random `sid` if it has none.
fn connect_data(payload: &Payload) -> String {
    #[derive(Deserialize)]
    struct WithSid {
        #[expect(dead_code, reason = "only its presence is checked")]
        sid: IgnoredAny,
    }
    let text = match payload {
        Payload::Json(text) if payload.is_object() => text.trim(),
        _ => "{}",
    };
    if serde_json::from_str::<WithSid>(text).is_ok() {
        return text.to_owned();
    }
    let sid = BASE64_URL_SAFE_NO_PAD.encode(Uuid::new_v4().as_bytes());
    let rest = text[1..].trim_start();
    let comma = if rest == "}" { "" } else { "," };
    format!(r#"{{"sid":"{sid}"{comma}{rest}"#)
}
