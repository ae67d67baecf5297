//! HelloWebRTC's protocol: JSON over a WebSocket, in the three dialects of that project, or bencode, in the dialect of
//! the project that followed it.
//!
//! The behaviour was taken from the source of its servers and checked against running ones. Each message registers the
//! name of its sender. A `unicast` message then goes to one name, a `broadcast` message to all names, including its
//! sender's. The message is forwarded in its own dialect without its type; absent fields stay absent. The original
//! server crashes on malformed input; this one ignores it.
//!
//! A name is a topic with one member, the client that used the name last. All names also subscribe to one common topic.
//! What such a topic does is in `channel.rs`, the HTTP routes are in `routes.rs`, the dialects in `json.rs` and
//! `binary.rs`.

mod bencode;
mod binary;
mod channel;
mod json;
mod message;
mod recent_names;
pub(crate) mod routes;

use std::borrow::Cow;
use std::collections::HashSet;
use std::sync::Arc;

use message::PendingPush;

use crate::message::{Broadcast, Inbound, Outbound, Payload, Ref, Request, Status};
use crate::metrics::families::Metrics;
use crate::protocol::{Decoded, Frame, Malformed, Protocol, Unencodable};
use crate::refusal::DropReason;
use crate::topic::{Realm, Topic};

/// The `ref` of a registration.
const REGISTER: &str = "register";

/// The protocol state of one client.
pub(crate) struct Hello {
    metrics: Arc<Metrics>,
    /// The names that the client owns or has requested.
    names: HashSet<Topic>,
    /// The push to send once the registration that precedes it is sent.
    pending: Option<PendingPush>,
}

impl Hello {
    pub(crate) fn new(metrics: Arc<Metrics>) -> Self {
        Self { metrics, names: HashSet::new(), pending: None }
    }
}

impl Protocol for Hello {
    const PINGED_BY_TRANSPORT: bool = true;

    fn decode<'a>(&'a mut self, frame: &'a Frame) -> Result<Option<Decoded<'a>>, Malformed> {
        let message = match frame {
            Frame::Text(text) => json::read(text),
            Frame::Binary(bytes) => binary::read(bytes),
            Frame::Several(_) => None,
        };
        let Some((from, push)) = message else {
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
            Outbound::Push { payload, .. } => return Ok(frame(payload)),
            _ => {}
        }
        Ok(None)
    }

    fn broadcast(Broadcast { payload, .. }: &Broadcast) -> Option<Frame> {
        frame(payload)
    }
}

/// The payload is the frame: the session of the sender has already encoded it.
fn frame(payload: &Payload) -> Option<Frame> {
    match payload {
        Payload::Json(text) => Some(Frame::Text(text.clone())),
        Payload::Binary(bytes) => Some(Frame::Binary(bytes.clone())),
        Payload::Attached(..) => None,
    }
}
