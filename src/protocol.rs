//! The [`Protocol`] trait of a message format: how it decodes and encodes frames, and how a broadcast is encoded once
//! for all clients that use the format.
//!
//! The formats themselves are in `protocols`, and the sending and receiving of frames in `transports`.

use std::any::TypeId;
use std::error::Error;
use std::fmt;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};

use bytes::Bytes;
use bytestring::ByteString;

use crate::close::Reason;
use crate::memory::MemoryBudget;
use crate::message::{Broadcast, Inbound, Outbound, PayloadError};
use crate::topic::Topic;

/// Frames of at least this size (bytes) are shared by all the sockets that they wait for. Smaller ones are copied, which
/// costs less than a slice of their own.
pub(crate) const SHARED_FROM: usize = 4 * 1024;

/// One whole message, as a transport sends and receives it. Cloning copies a pointer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Frame {
    /// UTF-8 text.
    Text(ByteString),
    /// Binary data.
    Binary(Bytes),
    /// A message that consists of several frames, in order. They are not nested.
    Several(Arc<[Frame]>),
}

impl Frame {
    /// Its size in a queue, in bytes.
    #[must_use]
    pub fn size(&self) -> usize {
        match self {
            Self::Text(text) => text.len(),
            Self::Binary(bytes) => bytes.len(),
            Self::Several(frames) => frames.iter().map(Self::size).sum(),
        }
    }

    /// The size of those of its frames that are not [shared](SHARED_FROM), in bytes.
    pub(crate) fn own_bytes(&self) -> usize {
        match self {
            Self::Several(frames) => frames.iter().map(Self::own_bytes).sum(),
            frame => Some(frame.size()).filter(|size| *size < SHARED_FROM).unwrap_or_default(),
        }
    }

    /// The same frame, whose shared bytes count against the budget as long as a clone waits for a client.
    pub(crate) fn held_by(self, memory: &Arc<MemoryBudget>) -> Self {
        if self.size() < SHARED_FROM {
            return self;
        }
        match self {
            Self::Text(text) => {
                let bytes = memory.hold(text.into_bytes());
                Self::Text(ByteString::try_from(bytes).expect("these are the bytes of a text"))
            }
            Self::Binary(bytes) => Self::Binary(memory.hold(bytes)),
            Self::Several(frames) => Self::Several(frames.iter().map(|frame| frame.clone().held_by(memory)).collect()),
        }
    }
}

/// The result of decoding a frame, or a step that follows from it.
#[derive(Debug)]
pub enum Decoded<'a> {
    /// A request from the client.
    Request(Inbound<'a>),
    /// A frame that the format itself sends to the client, such as a pong or a handshake.
    Respond(Frame),
    /// The connection must close, for this reason.
    Close(&'static Reason),
}

impl Decoded<'_> {
    /// The same, without borrowing from the frame.
    #[must_use]
    pub fn into_owned(self) -> Decoded<'static> {
        match self {
            Self::Request(inbound) => Decoded::Request(inbound.into_owned()),
            Self::Respond(frame) => Decoded::Respond(frame),
            Self::Close(reason) => Decoded::Close(reason),
        }
    }
}

/// A message format, with the state that it keeps for one client.
pub trait Protocol: Unpin + 'static {
    /// Whether the transport pings the client, by WebSocket pings. For formats without pings of their own.
    const PINGED_BY_TRANSPORT: bool = false;

    /// The client has opened a transport of a long-polling session: the first one, or another one. [`Self::next_step`]
    /// says what follows.
    fn transport_opened(&mut self) {}

    /// Decodes one frame. `None` means that nothing follows from it: it was a heartbeat, or a part of a message.
    ///
    /// # Errors
    /// [`Malformed`] if the frame is not valid in this format. The connection is closed with
    /// [`close::MALFORMED`](crate::close::MALFORMED).
    fn decode<'a>(&'a mut self, frame: &'a Frame) -> Result<Option<Decoded<'a>>, Malformed>;

    /// The next additional step, if there is one. It is called when the connection opens and after each frame that was
    /// decoded or encoded, until it returns `None`.
    fn next_step(&mut self) -> Option<Decoded<'static>> {
        None
    }

    /// Encodes a message to this client. `None` means that the format does not send this kind of message.
    ///
    /// # Errors
    /// [`Unencodable`] if the format cannot express the message, such as binary data to a V1 client. The message is
    /// dropped and counted.
    fn encode(&mut self, outbound: &Outbound) -> Result<Option<Frame>, Unencodable>;

    /// A ping that the client has to answer, if the server sends the pings in this format.
    fn ping(&mut self) -> Option<Frame> {
        None
    }

    /// Encodes a broadcast. It has no `self`, because all clients of the format receive the same bytes, which are
    /// encoded once (see [`Delivery`]).
    fn broadcast(broadcast: &Broadcast) -> Option<Frame>
    where
        Self: Sized;
}

/// A message that a format cannot express.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Unencodable;

impl fmt::Display for Unencodable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the format cannot express this message")
    }
}

impl Error for Unencodable {}

/// A frame that its protocol cannot decode. It has no details, so that no error repeats what a hostile peer has sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Malformed;

impl fmt::Display for Malformed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the frame is not valid in this format")
    }
}

impl Error for Malformed {}

/// Lets a decoder use `?` on the errors of the parsers that it calls.
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

/// The number of formats for which a delivery keeps its frame: as many as the realm with the most formats has, Socket.IO
/// with three revisions of Engine.IO and 0.9. Any further format would be encoded again for each member.
const KEPT: usize = 4;

/// A broadcast on its way to the members of its topic, with its encoded frames.
///
/// The first member that uses a format encodes the frame. All later members share it, on any thread.
#[derive(Debug)]
pub struct Delivery {
    /// The broadcast.
    pub broadcast: Broadcast,
    /// The topics whose members receive it, each client once. `None` means every membership of the broadcast's topic.
    topics: Option<Arc<[Topic]>>,
    frames: [OnceLock<(TypeId, Option<Frame>)>; KEPT],
    /// The budget that it counts against, and for how many bytes.
    memory: Option<(Arc<MemoryBudget>, AtomicUsize)>,
}

impl Delivery {
    /// A delivery of `broadcast`, which is not encoded yet.
    #[must_use]
    pub fn new(broadcast: Broadcast) -> Self {
        Self { broadcast, topics: None, frames: Default::default(), memory: None }
    }

    /// A delivery to every client that is a member of at least one of `topics`. Each client receives it once.
    pub(crate) fn to_any(broadcast: Broadcast, topics: Arc<[Topic]>) -> Self {
        let mut delivery = Self::new(broadcast);
        delivery.topics = Some(topics);
        delivery
    }

    /// The same delivery, whose bytes count against the budget once, however many clients it waits for.
    #[must_use]
    pub(crate) fn counted(mut self, memory: &Arc<MemoryBudget>) -> Self {
        let bytes = size_of::<Self>() + self.size();
        memory.resize(0, bytes);
        self.memory = Some((memory.clone(), AtomicUsize::new(bytes)));
        self
    }

    /// The topics whose members receive it.
    pub(crate) fn topics(&self) -> &[Topic] {
        self.topics.as_deref().unwrap_or(std::slice::from_ref(&self.broadcast.topic))
    }

    /// Whether each client receives it once, although it may be a member of several of the topics.
    pub(crate) fn is_once_per_client(&self) -> bool {
        self.topics.is_some()
    }

    /// The frame for clients that use `P`, or `None` if `P` cannot express the broadcast.
    pub fn frame<P: Protocol>(&self) -> Option<Frame> {
        let format = TypeId::of::<P>();
        for slot in &self.frames {
            let (kept, frame) = slot.get_or_init(|| (format, self.encode::<P>()));
            if *kept == format {
                return frame.clone();
            }
        }
        let frame = P::broadcast(&self.broadcast)?;
        Some(match &self.memory {
            Some((memory, _)) => frame.held_by(memory),
            None => frame,
        })
    }

    /// Encodes a frame that is kept.
    fn encode<P: Protocol>(&self) -> Option<Frame> {
        let frame = P::broadcast(&self.broadcast)?;
        let Some((memory, reserved)) = &self.memory else { return Some(frame) };
        let frame = frame.held_by(memory);
        let bytes = frame.own_bytes();
        memory.resize(0, bytes);
        reserved.fetch_add(bytes, Ordering::Relaxed);
        Some(frame)
    }

    /// Its size in a queue, in bytes.
    #[must_use]
    pub fn size(&self) -> usize {
        self.broadcast.payload.len() + self.broadcast.event.len() + self.broadcast.topic.as_str().len()
    }
}

impl Drop for Delivery {
    fn drop(&mut self) {
        if let Some((memory, reserved)) = &mut self.memory {
            memory.resize(*reserved.get_mut(), 0);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{message::Payload, topic::Topic};

    static ENCODED: AtomicUsize = AtomicUsize::new(0);

    struct CountingProtocol<const N: u8>;

    impl<const N: u8> Protocol for CountingProtocol<N> {
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
    fn each_format_is_encoded_once_and_gets_its_own_frame() {
        let topic = Topic::parse("room:a").unwrap();
        let delivery = Delivery::new(Broadcast { topic, event: "e".into(), payload: Payload::empty() });
        for _ in 0..10 {
            assert_eq!(delivery.frame::<CountingProtocol<1>>(), Some(Frame::Binary(Bytes::from_static(&[1]))));
            assert_eq!(delivery.frame::<CountingProtocol<2>>(), Some(Frame::Binary(Bytes::from_static(&[2]))));
        }
        assert_eq!(ENCODED.load(Ordering::Relaxed), 2);
    }
}
