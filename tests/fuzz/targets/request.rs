//! An owned copy of a decoded request, so that targets can keep and compare requests.

use bytes::Bytes;

use crate::message::{Inbound, Payload, Ref, Request};
use crate::protocol::{Decoded, Frame, Protocol};

/// An [`Inbound`] that does not borrow from its frame.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct OwnedRequest {
    pub(super) topic: String,
    pub(super) join_ref: Option<Ref>,
    pub(super) reference: Option<Ref>,
    pub(super) command: Command,
}

/// A [`Request`] that does not borrow from its frame.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Command {
    Join(Payload),
    Leave,
    Push(String, Payload),
    Heartbeat,
}

impl OwnedRequest {
    pub(super) fn of(inbound: Inbound<'_>) -> Self {
        Self {
            topic: inbound.topic.into_owned(),
            join_ref: inbound.join_ref,
            reference: inbound.reference,
            command: match inbound.request {
                Request::Join(payload) => Command::Join(payload),
                Request::Leave => Command::Leave,
                Request::Push(event, payload) => Command::Push(event.into_owned(), payload),
                Request::Heartbeat => Command::Heartbeat,
            },
        }
    }

    pub(super) fn payload(&self) -> Option<&Payload> {
        match &self.command {
            Command::Join(payload) | Command::Push(_, payload) => Some(payload),
            Command::Leave | Command::Heartbeat => None,
        }
    }

    /// How much memory the request keeps, without its refs.
    pub(super) fn size(&self) -> usize {
        let event = if let Command::Push(event, _) = &self.command { event.len() } else { 0 };
        self.topic.len() + event + self.payload().map_or(0, Payload::len)
    }
}

/// The request that `protocol` decodes from `frame`, if the frame is valid and carries one.
pub(super) fn decode(protocol: &mut impl Protocol, frame: &Frame) -> Option<OwnedRequest> {
    match protocol.decode(frame) {
        Ok(Some(Decoded::Request(inbound))) => Some(OwnedRequest::of(inbound)),
        _ => None,
    }
}

/// The frames that a transport may make of the bytes: binary, and text if they are UTF-8.
pub(super) fn frames(data: &[u8]) -> impl Iterator<Item = Frame> {
    let text = str::from_utf8(data).ok().map(|text| Frame::Text(text.into()));
    [Frame::Binary(Bytes::copy_from_slice(data))].into_iter().chain(text)
}

/// Whether two payloads are equal: JSON is compared as values, binary data as bytes.
pub(super) fn is_same(one: &Payload, other: &Payload) -> bool {
    let value = |text: &str| serde_json::from_str::<serde_json::Value>(text).expect("a payload is json");
    match (one, other) {
        (Payload::Json(one), Payload::Json(other)) => value(one) == value(other),
        (Payload::Attached(one, these), Payload::Attached(other, those)) => {
            value(one) == value(other) && these == those
        }
        _ => one == other,
    }
}
