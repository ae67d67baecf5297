//! Socket.IO 0.9, with which most WebRTC tutorials of 2011 to 2014 were written. It is older than Engine.IO: packets,
//! transports and URLs are its own.
//!
//! Its clients join the same namespaces and rooms as those of later versions. The packets map to the broker as follows:
//!
//! - Opening the first transport is a join of the main namespace, and a connect packet is a join of another one. An
//!   unknown namespace is ignored, except the main one, which every client has.
//! - A message, a JSON message and an event are pushes. The first two are events with the name `message`.
//! - The acknowledgement of an event is its reply if the client asked for data. Otherwise it says only that the event
//!   has arrived, and the channel's reply is not sent.
//! - Bytes have no form. Messages with bytes are not sent, and counted.
//!
//! A packet that cannot be read is ignored and counted, as in the original. The packets are in `packet.rs`, the
//! requests in `routes.rs`.

use std::sync::Arc;

use crate::close::{self, Reason};
use crate::message::{Broadcast, Outbound, Payload, Ref, Status};
use crate::metrics::families::Metrics;
use crate::protocol::{Decoded, Frame, Malformed, Protocol, Unencodable};
use crate::protocols::next_steps::NextSteps;
use crate::refusal::DropReason;
use crate::topic::Topic;

use self::packet::{Ack, Content, Packet};
use super::namespaces::{Namespaces, REALM, ROOM_SEPARATOR, UNMATCHED, join_of, namespace_of, push};
use super::packet::MAIN;

mod packet;
pub(crate) mod payload;
pub(crate) mod polling;
pub(super) mod routes;
mod stream;

/// The protocol state of one client.
pub(crate) struct SocketIo09 {
    metrics: Arc<Metrics>,
    namespaces: Namespaces,
    next_steps: NextSteps,
    /// Whether the client has been accepted in the main namespace.
    is_connected: bool,
    /// Whether the client has sent anything. It does so only once it knows that it is connected.
    has_spoken: bool,
}

impl SocketIo09 {
    pub(crate) fn new(metrics: Arc<Metrics>) -> Self {
        let (namespaces, next_steps) = (Namespaces::default(), NextSteps::default());
        Self { metrics, namespaces, next_steps, is_connected: false, has_spoken: false }
    }

    /// A client whose session does not exist. It receives an error that makes it connect again, and is then closed.
    fn not_handshaken(metrics: Arc<Metrics>) -> Self {
        let steps = [Decoded::Respond(frame(packet::NOT_HANDSHAKEN)), Decoded::Close(&close::REFUSED)];
        Self { next_steps: steps.into(), ..Self::new(metrics) }
    }

    fn ignore(&self) {
        self.metrics.messages_dropped.add(REALM, DropReason::Ignored, 1);
    }

    fn connect(&mut self, namespace: &str) -> Option<Decoded<'static>> {
        // a client that reconnects may request a namespace twice
        if self.namespaces.key(namespace).is_some() {
            return None;
        }
        if namespace.contains(ROOM_SEPARATOR) {
            self.ignore();
            return None;
        }
        Some(self.namespaces.join(namespace, Payload::empty()))
    }

    fn disconnect(&mut self, namespace: &str) -> Option<Decoded<'static>> {
        if namespace == MAIN { Some(Decoded::Close(&close::LEFT)) } else { self.namespaces.leave(namespace) }
    }

    /// The packet for a client whose join of a namespace is decided.
    fn join_response(&mut self, topic: &Topic, join: &str, status: Status, payload: &Payload) -> Option<String> {
        let namespace = namespace_of(topic);
        let is_known = self.namespaces.is_of_join(topic, join);
        if status != Status::Ok {
            self.namespaces.remove(topic, Some(join));
        }
        let is_unmatched = *payload == Payload::reason(UNMATCHED);
        match status {
            _ if !is_known => None,
            Status::Error if is_unmatched && namespace != MAIN => None,
            Status::Error if !is_unmatched => Some(packet::unauthorized(namespace)),
            _ => {
                self.is_connected |= namespace == MAIN;
                Some(packet::connect(namespace))
            }
        }
    }
}

impl Protocol for SocketIo09 {
    /// A WebSocket or another stream receives heartbeats, a client that polls does not.
    const PINGED_BY_TRANSPORT: bool = true;

    fn transport_opened(&mut self) {
        if self.namespaces.key(MAIN).is_none() && !self.is_connected {
            let join = self.namespaces.join(MAIN, Payload::empty());
            self.next_steps.push(join);
        } else if self.is_connected && !self.has_spoken {
            // the client may have changed its transport because the first one did not bring this packet
            self.next_steps.push(Decoded::Respond(frame(packet::connect(MAIN))));
        }
    }

    fn decode<'a>(&'a mut self, frame: &'a Frame) -> Result<Option<Decoded<'a>>, Malformed> {
        self.has_spoken = true;
        let packet = if let Frame::Text(text) = frame { packet::read(text) } else { None };
        let Some(Packet { namespace, content }) = packet else {
            self.ignore();
            return Ok(None);
        };
        let (event, arguments, ack) = match content {
            Content::Nothing => return Ok(None),
            Content::Connect => return Ok(self.connect(namespace)),
            Content::Disconnect => return Ok(self.disconnect(namespace)),
            Content::Event(event, arguments, ack) => (event, arguments, ack),
        };
        let Some(key) = self.namespaces.key(namespace) else {
            self.ignore();
            return Ok(None);
        };
        let reference = match ack {
            Ack::None => None,
            Ack::Reply(id) => Some(Ref::from(id)),
            Ack::Receipt(id) => {
                let receipt = self::frame(packet::receipt(namespace, id));
                self.next_steps.push(Decoded::Respond(receipt));
                None
            }
        };
        Ok(Some(push(key, reference, event, Payload::Json(arguments.into()))))
    }

    fn next_step(&mut self) -> Option<Decoded<'static>> {
        self.next_steps.pop()
    }

    fn encode(&mut self, outbound: &Outbound) -> Result<Option<Frame>, Unencodable> {
        let text = match outbound {
            Outbound::Push { topic, event, payload, .. } => {
                Some(packet::encode_event(namespace_of(topic), event, payload)?)
            }
            Outbound::Reply { reference: Some(reference), topic, status, payload, .. } => match join_of(reference) {
                Some(join) => self.join_response(topic, join, *status, payload),
                None if self.namespaces.key(topic.as_str()).is_none() => None,
                None => Some(packet::reply(namespace_of(topic), reference, payload)?),
            },
            Outbound::Close { topic, join_ref } | Outbound::Error { topic, join_ref } => {
                let was_in = self.namespaces.remove(topic, join_ref.as_deref());
                was_in.then(|| packet::disconnect(namespace_of(topic)))
            }
            Outbound::Reply { .. } | Outbound::Alive { .. } => None,
        };
        Ok(text.map(frame))
    }

    fn broadcast(Broadcast { topic, event, payload }: &Broadcast) -> Option<Frame> {
        packet::encode_event(namespace_of(topic), event, payload).ok().map(frame)
    }
}

fn frame(text: impl Into<bytestring::ByteString>) -> Frame {
    Frame::Text(text.into())
}

/// The packet that tells a client why its session has ended. A client that is not to come back receives the end of the
/// connection, all others an error that makes them connect again.
fn close_frame(reason: &'static Reason) -> Frame {
    frame(if comes_back(reason) { packet::NOT_HANDSHAKEN } else { packet::DISCONNECT })
}

/// Whether the client is to connect again by itself.
fn comes_back(reason: &Reason) -> bool {
    reason.may_reconnect && *reason != close::LEFT
}
