//! What a decoder makes of a frame, in a form that can be kept and compared.

use bytes::Bytes;

use crate::message::{Inbound, Payload, Ref, Request};
use crate::protocol::{Decoded, Frame, Protocol};

/// An [`Inbound`] that has let go of its frame.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Asked {
    pub(super) topic: String,
    pub(super) join_ref: Option<Ref>,
    pub(super) reference: Option<Ref>,
    pub(super) command: Wish,
}

/// A [`Request`] that has let go of its frame.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Wish {
    Join(Payload),
    Leave,
    Push(String, Payload),
    Heartbeat,
}

impl Asked {
    pub(super) fn of(inbound: Inbound<'_>) -> Self {
        Self {
            topic: inbound.topic.into_owned(),
            join_ref: inbound.join_ref,
            reference: inbound.reference,
            command: match inbound.request {
                Request::Join(payload) => Wish::Join(payload),
                Request::Leave => Wish::Leave,
                Request::Push(event, payload) => Wish::Push(event.into_owned(), payload),
                Request::Heartbeat => Wish::Heartbeat,
            },
        }
    }

    pub(super) fn payload(&self) -> Option<&Payload> {
        match &self.command {
            Wish::Join(payload) | Wish::Push(_, payload) => Some(payload),
            Wish::Leave | Wish::Heartbeat => None,
        }
    }

    /// How much of memory it keeps, but for the marks.
    pub(super) fn size(&self) -> usize {
        let event = if let Wish::Push(event, _) = &self.command { event.len() } else { 0 };
        self.topic.len() + event + self.payload().map_or(0, Payload::len)
    }
}

/// What `protocol` is asked by `frame`, if it can be read and asks for anything.
pub(super) fn ask(protocol: &mut impl Protocol, frame: &Frame) -> Option<Asked> {
    match protocol.decode(frame) {
        Ok(Some(Decoded::Request(inbound))) => Some(Asked::of(inbound)),
        _ => None,
    }
}

/// The bytes as a transport may bring them: as bytes, and as text where they are.
pub(super) fn frames(data: &[u8]) -> impl Iterator<Item = Frame> {
    let text = str::from_utf8(data).ok().map(|text| Frame::Text(text.into()));
    [Frame::Binary(Bytes::copy_from_slice(data))].into_iter().chain(text)
}

/// Whether two payloads say the same: JSON by its value, bytes by themselves.
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
