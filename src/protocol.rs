//! What a wire protocol is: how its frames are read and written, and how one broadcast becomes one
//! frame for all who speak it.
//!
//! The formats themselves are in `protocols`; how the bytes travel is the
//! transport's business.

use std::any::TypeId;
use std::error::Error;
use std::fmt;
use std::sync::{Arc, OnceLock};

use bytes::Bytes;
use bytestring::ByteString;

use crate::close::Reason;
use crate::message::{Broadcast, Inbound, Outbound, PayloadError};

/// One whole message as a transport carries it. Cloning copies a pointer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Frame {
    /// UTF-8 text.
    Text(ByteString),
    /// Bytes.
    Binary(Bytes),
    /// A message that takes several frames, in order; none of them is of this kind itself.
    Several(Arc<[Frame]>),
}

impl Frame {
    /// What it takes in a queue, in bytes.
    #[must_use]
    pub fn size(&self) -> usize {
        match self {
            Self::Text(text) => text.len(),
            Self::Binary(bytes) => bytes.len(),
            Self::Several(frames) => frames.iter().map(Self::size).sum(),
        }
    }
}

/// What one frame comes to, or what follows from it.
#[derive(Debug)]
pub enum Decoded<'a> {
    /// The client asks for something.
    Request(Inbound<'a>),
    /// The client is answered by the format itself: a pong, a handshake.
    Respond(Frame),
    /// The connection ends.
    Close(&'static Reason),
}

/// A wire format, as one client speaks it.
pub trait Protocol: Unpin + 'static {
    /// Whether clients are asked for a sign of life in the transport's own way, a WebSocket's ping: for formats
    /// without one.
    const PINGED_BY_TRANSPORT: bool = false;

    /// Reads one frame, which may come to nothing: a sign of life, or a part of a message.
    ///
    /// # Errors
    /// [`Malformed`] when it is none of this format; the connection ends with
    /// [`close::MALFORMED`](crate::close::MALFORMED).
    fn decode<'a>(&'a mut self, frame: &'a Frame) -> Result<Option<Decoded<'a>>, Malformed>;

    /// What is to be done besides, one thing at a time: asked for when the connection opens, and after
    /// each frame that was read or written, until there is nothing more.
    fn next_step(&mut self) -> Option<Decoded<'static>> {
        None
    }

    /// Writes what this client is told; nothing when the format says nothing about it.
    ///
    /// # Errors
    /// [`Unencodable`] when the format has no words for it (a V1 client cannot be sent bytes): it is then
    /// left out and counted.
    fn encode(&mut self, outbound: &Outbound) -> Result<Option<Frame>, Unencodable>;

    /// A sign of life that the client has to answer, where it is the server who asks for one.
    fn ping(&mut self) -> Option<Frame> {
        None
    }

    /// Writes what a whole topic is told. It has no `self`: the same bytes serve everybody who
    /// speaks this format, so they are made once (see [`Delivery`]).
    fn broadcast(broadcast: &Broadcast) -> Option<Frame>
    where
        Self: Sized;
}

/// A message that a format has no words for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Unencodable;

impl fmt::Display for Unencodable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the format cannot express this message")
    }
}

impl Error for Unencodable {}

/// A frame that its protocol cannot read. It says no more: what a hostile peer sent is not repeated.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Malformed;

impl fmt::Display for Malformed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the frame is not one of this format")
    }
}

impl Error for Malformed {}

/// So that a decoder can use `?` on the errors of what it decodes with.
macro_rules! malformed_from {
    ($($Error:ty),+) => {$(
        impl From<$Error> for Malformed {
            fn from(_: $Error) -> Self {
                Self
            }
        }
    )+};
}

malformed_from!(serde_json::Error, std::str::Utf8Error, std::num::ParseIntError, base64::DecodeError, PayloadError);

/// How many formats of one delivery are kept; a further one is encoded anew for each member.
const KEPT: usize = 3;

/// A broadcast on its way to its members, with the frames it has been turned into so far.
///
/// A frame is made by the first member that speaks a format and shared by all that follow, on
/// whatever thread they live.
#[derive(Debug)]
pub struct Delivery {
    /// What the topic is told.
    pub broadcast: Broadcast,
    frames: [OnceLock<(TypeId, Option<Frame>)>; KEPT],
}

impl Delivery {
    /// Nothing is encoded yet.
    #[must_use]
    pub fn new(broadcast: Broadcast) -> Self {
        Self { broadcast, frames: Default::default() }
    }

    /// The frame for clients that speak `P`, or nothing when `P` has no words for it.
    pub fn frame<P: Protocol>(&self) -> Option<Frame> {
        let format = TypeId::of::<P>();
        for slot in &self.frames {
            let (kept, frame) = slot.get_or_init(|| (format, P::broadcast(&self.broadcast)));
            if *kept == format {
                return frame.clone();
            }
        }
        P::broadcast(&self.broadcast)
    }

    /// What it takes in a queue, in bytes.
    #[must_use]
    pub fn size(&self) -> usize {
        self.broadcast.payload.len() + self.broadcast.event.len() + self.broadcast.topic.as_str().len()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;
    use crate::{message::Payload, topic::Topic};

    static ENCODED: AtomicUsize = AtomicUsize::new(0);

    struct Loud<const N: u8>;

    impl<const N: u8> Protocol for Loud<N> {
        fn decode<'a>(&'a mut self, _: &'a Frame) -> Result<Option<Decoded<'a>>, Malformed> {
            Err(Malformed)
        }
        fn encode(&mut self, _: &Outbound) -> Result<Option<Frame>, Unencodable> {
            Err(Unencodable)
        }
        fn broadcast(_: &Broadcast) -> Option<Frame> {
            ENCODED.fetch_add(1, Ordering::Relaxed);
            Some(Frame::Binary(Bytes::copy_from_slice(&[N])))
        }
    }

    #[test]
    fn each_format_is_encoded_once_and_never_taken_for_another() {
        let topic = Topic::parse("room:a").unwrap();
        let delivery = Delivery::new(Broadcast { topic, event: "e".into(), payload: Payload::empty() });
        for _ in 0..10 {
            assert_eq!(delivery.frame::<Loud<1>>(), Some(Frame::Binary(Bytes::from_static(&[1]))));
            assert_eq!(delivery.frame::<Loud<2>>(), Some(Frame::Binary(Bytes::from_static(&[2]))));
        }
        assert_eq!(ENCODED.load(Ordering::Relaxed), 2);
    }
}
