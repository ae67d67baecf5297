//! PeerServer's protocol, which PeerJS clients use: `{"type", "src", "dst", "payload"}`, and one id per client.
//!
//! The behaviour is that of `peer` 1.0 and `peerjs` 1.5, as observed in its traffic. An id is a topic with one member.
//! Its token proves on a new connection that it is the same client. Each request has its `dst` as `ref`, so the reply
//! to it shows which peer it was for.
//!
//! Three things differ from PeerServer. Malformed messages are ignored, while PeerServer crashes on them. A client that
//! reconnects while its old connection still looks open receives `OPEN`, and the old connection is closed. A `LEAVE` or
//! `EXPIRE` to a peer for whom earlier messages of its sender are held is held behind them, while PeerServer drops it.
//!
//! What such a topic does is in `channel.rs`, the routes are in `routes.rs`. Clients of PeerJS 0.3 begin with HTTP
//! (`http.rs`, `stream.rs`, `http_clients.rs`) and send no heartbeats. So the server pings all clients.

mod channel;
mod http;
mod http_clients;
pub(crate) mod mount;
pub(crate) mod routes;
mod stream;

use std::borrow::Cow;
use std::sync::Arc;

use bytestring::ByteString;
use serde::Deserialize;
use serde_json::value::RawValue;

use self::http_clients::Registration;
use crate::close;
use crate::http::acceptor::ClientCount;
use crate::json::{is_portable, push_string};
use crate::message::{Broadcast, Inbound, Outbound, Payload, Ref, Request, Status};
use crate::metrics::families::Metrics;
use crate::protocol::{Decoded, Frame, Malformed, Protocol, Unencodable};
use crate::protocols::next_steps::NextSteps;
use crate::refusal::DropReason;
use crate::topic::{Realm, Topic};

const OPEN: &str = r#"{"type":"OPEN"}"#;
const TAKEN: &str = r#"{"type":"ID-TAKEN","payload":{"msg":"ID is taken"}}"#;
const ERROR_START: &str = r#"{"type":"ERROR","#;
const OFFER: &str = "OFFER";
const ANSWER: &str = "ANSWER";
const LEAVE: &str = "LEAVE";
const EXPIRE: &str = "EXPIRE";
/// Stands for a ping or pong of a client whose session has begun with HTTP.
const CONTROL: ByteString = ByteString::from_static(r#"{"type":"PONG"}"#);
/// The message types that one client may send to another.
const FORWARDED_TYPES: [&str; 5] = [OFFER, ANSWER, "CANDIDATE", LEAVE, EXPIRE];
/// The `ref` of a connection's only join.
const JOIN: &str = "join";

/// The protocol state of one client.
pub(crate) struct PeerJs {
    id: Topic,
    next_steps: NextSteps,
    /// Whether the client has left its id, or never had it. After `LEAVE` the connection stays open, and the client can
    /// still send.
    has_left: bool,
    metrics: Arc<Metrics>,
    _client_count: Option<ClientCount>,
    _registration: Option<Registration>,
}

impl PeerJs {
    /// A client that requests `id`. A reconnecting client presents the same `token` as before.
    pub(crate) fn new(id: Topic, token: &str, client_count: Option<ClientCount>, metrics: Arc<Metrics>) -> Self {
        let token = Payload::from(serde_json::json!({ "token": token }));
        let join = Inbound {
            topic: Cow::Owned(id.key().to_owned()),
            join_ref: None,
            reference: Some(Ref::const_new(JOIN)),
            request: Request::Join(token),
        };
        let next_steps = [Decoded::Request(join)].into();
        Self { id, next_steps, has_left: false, metrics, _client_count: client_count, _registration: None }
    }

    /// The client can use PeerServer's HTTP transport while `registration` lives.
    pub(crate) fn registered(self, registration: Registration) -> Self {
        Self { _registration: Some(registration), ..self }
    }

    /// A client that only receives an error and is then closed. It is not refused before the upgrade because browsers
    /// hide the reason of a failed upgrade.
    pub(crate) fn refused(message: &'static str, metrics: Arc<Metrics>) -> Self {
        let id = Topic::of(Realm::PeerJs.prefix(), "");
        let next_steps = [Decoded::Respond(error(message)), Decoded::Close(&close::REFUSED)].into();
        Self { id, next_steps, has_left: true, metrics, _client_count: None, _registration: None }
    }

    fn request<'a>(&'a self, reference: Option<Ref>, request: Request<'a>) -> Decoded<'a> {
        Decoded::Request(Inbound { topic: Cow::Borrowed(self.id.key()), join_ref: None, reference, request })
    }
}

impl Protocol for PeerJs {
    const PINGED_BY_TRANSPORT: bool = true;

    fn decode<'a>(&'a mut self, frame: &'a Frame) -> Result<Option<Decoded<'a>>, Malformed> {
        let Some(message) = read(frame) else {
            self.metrics.messages_dropped.add(Realm::PeerJs, DropReason::Ignored, 1);
            return Ok(None);
        };
        let forwarded = FORWARDED_TYPES.into_iter().find(|name| *name == message.message_type);
        let Some(message_type) = forwarded else { return Ok(None) };
        let Some(dst) = message.dst.filter(|dst| !dst.is_empty()) else {
            let leaves = message_type == LEAVE && !std::mem::replace(&mut self.has_left, true);
            let push = Request::Push(Cow::Borrowed(LEAVE), Payload::empty());
            return Ok(leaves.then(|| self.request(None, push)));
        };
        let text = encode_message(message_type, self.id.as_str(), &dst, message.payload);
        let push = Request::Push(Cow::Borrowed(message_type), Payload::from_json_text(text));
        Ok(Some(self.request(Some(Ref::from(dst)), push)))
    }

    fn next_step(&mut self) -> Option<Decoded<'static>> {
        self.next_steps.pop()
    }

    fn encode(&mut self, outbound: &Outbound) -> Result<Option<Frame>, Unencodable> {
        match outbound {
            Outbound::Reply { reference: Some(reference), status, payload, .. } if reference == JOIN => {
                Ok(Some(self.join_response(*status, payload)))
            }
            // the recipient stayed absent until the hold time was up; PeerServer sends nothing for other results, and
            // addresses `EXPIRE` to the id, which a client that has left no longer has
            Outbound::Reply { reference: Some(dst), status: Status::Error, payload, .. } if *payload == not_found() => {
                let expire = || text(encode_message(EXPIRE, dst, self.id.as_str(), None));
                Ok((!self.has_left).then(expire))
            }
            Outbound::Close { .. } | Outbound::Error { .. } => {
                self.next_steps.push(Decoded::Close(&close::TAKEN_OVER));
                Ok(None)
            }
            _ => Ok(None),
        }
    }

    /// The payload is the frame: the session of the sender has already encoded it.
    fn broadcast(Broadcast { payload, .. }: &Broadcast) -> Option<Frame> {
        match payload {
            Payload::Json(text) => Some(Frame::Text(text.clone())),
            Payload::Binary(_) | Payload::Attached(..) => None,
        }
    }
}

impl PeerJs {
    fn join_response(&mut self, status: Status, payload: &Payload) -> Frame {
        if status == Status::Ok {
            return Frame::Text(OPEN.into());
        }
        self.has_left = true;
        self.next_steps.push(Decoded::Close(&close::REFUSED));
        match payload == &Payload::reason("taken") {
            true => Frame::Text(TAKEN.into()),
            false => error("This id cannot be had now"),
        }
    }
}

fn not_found() -> Payload {
    Payload::reason("peer_not_found")
}

#[derive(Deserialize)]
struct Message<'a> {
    #[serde(borrow, rename = "type")]
    message_type: Cow<'a, str>,
    #[serde(borrow, default)]
    dst: Option<Cow<'a, str>>,
    #[serde(borrow, default)]
    payload: Option<&'a RawValue>,
}

/// Reads a message from a text or binary frame. Returns nothing if it is malformed.
fn read(frame: &Frame) -> Option<Message<'_>> {
    let text = match frame {
        Frame::Text(text) => text,
        Frame::Binary(bytes) => std::str::from_utf8(bytes).ok()?,
        Frame::Several(_) => return None,
    };
    // serde also reads a JSON array as a struct
    let is_object = text.trim_ascii_start().starts_with('{');
    if is_object && is_portable(text) { serde_json::from_str(text).ok() } else { None }
}

/// Encodes a message with its keys in PeerServer's order. Keys that PeerJS does not use are dropped.
fn encode_message(message_type: &str, src: &str, dst: &str, payload: Option<&RawValue>) -> String {
    let payload = payload.map_or("", RawValue::get);
    let mut text = String::with_capacity(message_type.len() + src.len() + dst.len() + payload.len() + 48);
    text.push_str(r#"{"type":"#);
    push_string(&mut text, message_type);
    text.push_str(r#","src":"#);
    push_string(&mut text, src);
    text.push_str(r#","dst":"#);
    push_string(&mut text, dst);
    if !payload.is_empty() {
        text.push_str(r#","payload":"#);
        text.push_str(payload);
    }
    text.push('}');
    text
}

fn error(message: &str) -> Frame {
    text(format!(r#"{ERROR_START}"payload":{{"msg":"{message}"}}}}"#))
}

fn text(text: String) -> Frame {
    Frame::Text(text.into())
}
