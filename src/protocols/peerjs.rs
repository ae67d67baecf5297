//! PeerServer's protocol, as PeerJS clients speak it: `{"type", "src", "dst", "payload"}`, one id a client.
//!
//! The facts are those of `peer` 1.0 and `peerjs` 1.5, observed on the wire. An id is a topic with one member,
//! who proves by its token that it is the same again; `dst` is the mark of each request, so that an answer to it
//! knows whom it was about. Where PeerServer falls over, we do not: what cannot be read is ignored, and a client
//! that comes back while its old connection still seems alive is told `OPEN`, and the old one is closed.

mod channel;
pub(crate) mod routes;

use std::borrow::Cow;
use std::collections::VecDeque;
use std::sync::Arc;

use serde::Deserialize;
use serde_json::value::RawValue;

use crate::close;
use crate::http::acceptor::ClientCount;
use crate::json::{is_portable, push_string};
use crate::message::{Broadcast, Inbound, Outbound, Payload, Ref, Request, Status};
use crate::metrics::families::Metrics;
use crate::protocol::{Decoded, Frame, Malformed, Protocol, Unencodable};
use crate::refusal::DropReason;
use crate::topic::{Realm, Topic};

const OPEN: &str = r#"{"type":"OPEN"}"#;
const TAKEN: &str = r#"{"type":"ID-TAKEN","payload":{"msg":"ID is taken"}}"#;
const LEAVE: &str = "LEAVE";
const EXPIRE: &str = "EXPIRE";
/// What one client may say to another.
const KINDS: [&str; 5] = ["OFFER", "ANSWER", "CANDIDATE", LEAVE, EXPIRE];
/// The mark of the one join of a connection.
const JOIN: &str = "join";

/// One client's end of the protocol.
pub(crate) struct PeerJs {
    id: Topic,
    steps: VecDeque<Decoded<'static>>,
    /// Whether it has given up its id; its connection may go on.
    has_left: bool,
    metrics: Arc<Metrics>,
    _client_count: Option<ClientCount>,
}

impl PeerJs {
    /// A client that asks for `id`, and proves with `token` that it is the same again.
    pub(crate) fn new(id: Topic, token: &str, client_count: Option<ClientCount>, metrics: Arc<Metrics>) -> Self {
        let token = Payload::from(serde_json::json!({ "token": token }));
        let join = Inbound {
            topic: Cow::Owned(id.key().to_owned()),
            join_ref: None,
            reference: Some(Ref::const_new(JOIN)),
            request: Request::Join(token),
        };
        Self { id, steps: [Decoded::Request(join)].into(), has_left: false, metrics, _client_count: client_count }
    }

    /// A client that is told why it cannot stay, and nothing else: browsers do not see why an upgrade failed.
    pub(crate) fn refused(words: &'static str, metrics: Arc<Metrics>) -> Self {
        let id = Topic::of(Realm::PeerJs.mark(), "");
        let steps = [Decoded::Respond(error(words)), Decoded::Close(&close::REFUSED)].into();
        Self { id, steps, has_left: true, metrics, _client_count: None }
    }

    fn ask<'a>(&'a self, reference: Option<Ref>, request: Request<'a>) -> Decoded<'a> {
        Decoded::Request(Inbound { topic: Cow::Borrowed(self.id.key()), join_ref: None, reference, request })
    }
}

impl Protocol for PeerJs {
    fn decode<'a>(&'a mut self, frame: &'a Frame) -> Result<Option<Decoded<'a>>, Malformed> {
        let Some(message) = read(frame) else {
            self.metrics.messages_dropped.add(Realm::PeerJs, DropReason::Ignored, 1);
            return Ok(None);
        };
        let Some(kind) = KINDS.into_iter().find(|kind| *kind == message.kind) else { return Ok(None) };
        let Some(dst) = message.dst.filter(|dst| !dst.is_empty()) else {
            let leaves = kind == LEAVE && !std::mem::replace(&mut self.has_left, kind == LEAVE);
            return Ok(leaves.then(|| self.ask(None, Request::Leave)));
        };
        let text = encode_message(kind, self.id.as_str(), &dst, message.payload);
        let push = Request::Push(Cow::Borrowed(kind), Payload::from_json_text(text));
        Ok(Some(self.ask(Some(Ref::from(dst)), push)))
    }

    fn next_step(&mut self) -> Option<Decoded<'static>> {
        let step = self.steps.pop_front();
        if step.is_none() {
            // most of the time there is none
            self.steps = VecDeque::new();
        }
        step
    }

    fn encode(&mut self, outbound: &Outbound) -> Result<Option<Frame>, Unencodable> {
        match outbound {
            Outbound::Reply { reference: Some(mark), status, payload, .. } if mark == JOIN => {
                Ok(Some(self.joined(*status, payload)))
            }
            // somebody was waited for in vain; the other verdicts have no words
            Outbound::Reply { reference: Some(dst), status: Status::Error, payload, .. } if *payload == absent() => {
                Ok(Some(text(encode_message(EXPIRE, dst, self.id.as_str(), None))))
            }
            Outbound::Close { .. } | Outbound::Error { .. } => {
                if !self.has_left {
                    self.steps.push_back(Decoded::Close(&close::TAKEN_OVER));
                }
                Ok(None)
            }
            _ => Ok(None),
        }
    }

    /// The sender's own end has written it: what one client says to another is the same for all.
    fn broadcast(Broadcast { payload, .. }: &Broadcast) -> Option<Frame> {
        match payload {
            Payload::Json(text) => Some(Frame::Text(text.clone())),
            Payload::Binary(_) | Payload::Attached(..) => None,
        }
    }
}

impl PeerJs {
    fn joined(&mut self, status: Status, payload: &Payload) -> Frame {
        if status == Status::Ok {
            return Frame::Text(OPEN.into());
        }
        self.has_left = true;
        self.steps.push_back(Decoded::Close(&close::REFUSED));
        match payload == &Payload::reason("taken") {
            true => Frame::Text(TAKEN.into()),
            false => error("This id cannot be had now"),
        }
    }
}

fn absent() -> Payload {
    Payload::reason("peer_not_found")
}

#[derive(Deserialize)]
struct Message<'a> {
    #[serde(borrow, rename = "type")]
    kind: Cow<'a, str>,
    #[serde(borrow, default)]
    dst: Option<Cow<'a, str>>,
    #[serde(borrow, default)]
    payload: Option<&'a RawValue>,
}

/// A message, if it is one: text and bytes are read alike.
fn read(frame: &Frame) -> Option<Message<'_>> {
    let text = match frame {
        Frame::Text(text) => text,
        Frame::Binary(bytes) => std::str::from_utf8(bytes).ok()?,
        Frame::Several(_) => return None,
    };
    // serde would read a list as a struct too
    let is_object = text.trim_ascii_start().starts_with('{');
    if is_object && is_portable(text) { serde_json::from_str(text).ok() } else { None }
}

/// A message in PeerServer's order of keys; what is not known here is left out.
fn encode_message(kind: &str, src: &str, dst: &str, payload: Option<&RawValue>) -> String {
    let payload = payload.map_or("", RawValue::get);
    let mut text = String::with_capacity(kind.len() + src.len() + dst.len() + payload.len() + 48);
    text.push_str(r#"{"type":"#);
    push_string(&mut text, kind);
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

fn error(words: &str) -> Frame {
    text(format!(r#"{{"type":"ERROR","payload":{{"msg":"{words}"}}}}"#))
}

fn text(text: String) -> Frame {
    Frame::Text(text.into())
}
