//! Engine.IO, revisions 4 and 3: packets with a type, over WebSockets and over requests that poll.
//!
//! It carries messages and knows nothing of what is said in them: that is a [`MessageCodec`], of which there
//! are two, plain text and bytes ([`plain`]) and [Socket.IO](super::socketio). In revision 4 the server asks
//! for signs of life, in revision 3 (clients of Socket.IO 1.x and 2.x) the client does. A frame is a packet
//! as a WebSocket carries it; how several become the body of a request stands in [`payload`].

use std::marker::PhantomData;
use std::sync::Arc;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use bytes::{BufMut, Bytes, BytesMut};
use bytestring::ByteString;

use crate::close;
use crate::config::schema::Limits;
use crate::message::{Broadcast, Outbound};
use crate::protocol::{Decoded, Frame, Malformed, Protocol, Unencodable};

mod error;
pub(crate) mod payload;
pub(crate) mod plain;
pub(crate) mod routes;
mod upgrade;

/// A packet's type, the first character of its text.
const OPEN: char = '0';
const PING: ByteString = ByteString::from_static("2");
const PONG: ByteString = ByteString::from_static("3");
const PING_PROBE: &str = "2probe";
const PONG_PROBE: ByteString = ByteString::from_static("3probe");
pub(crate) const MESSAGE: char = '4';
const UPGRADE: &str = "5";
const CLOSE: ByteString = ByteString::from_static("1");
const NOOP: ByteString = ByteString::from_static("6");
/// The type as a byte, before the bytes of a message in revision 3.
const MESSAGE_BYTE: u8 = 4;

/// What is said in Engine.IO's messages.
pub(crate) trait MessageCodec: Unpin + 'static {
    /// As one client of this revision speaks it.
    fn new(revision: u8, limits: &Limits) -> Self;

    /// Reads a message of text.
    fn text<'a>(&'a mut self, text: &'a str) -> Result<Option<Decoded<'a>>, Malformed>;

    /// Reads a message of bytes.
    fn bytes(&mut self, bytes: Bytes) -> Result<Option<Decoded<'_>>, Malformed>;

    /// As [`Protocol::next_step`].
    fn next_step(&mut self) -> Option<Decoded<'static>>;

    /// Writes what one client is told.
    fn encode(&mut self, outbound: &Outbound) -> Result<Option<EncodedMessage>, Unencodable>;

    /// Writes what a whole topic is told.
    fn encode_broadcast(broadcast: &Broadcast) -> Option<EncodedMessage>;

    /// Puts a packet of text into ASCII, where its words allow it: the oldest clients of revision 3, of
    /// Socket.IO 1.x, read nothing else while they poll.
    fn ascii_only(text: String) -> String {
        text
    }
}

/// One or more messages, in order.
pub(crate) enum EncodedMessage {
    /// A packet of text: it begins with [`MESSAGE`].
    Text(String),
    /// A message of bytes.
    Bytes(Bytes),
    /// A packet of text, and the messages of bytes that belong to it.
    With(String, Arc<[Bytes]>),
}

/// What is different between the revisions.
pub(crate) trait Revision: Unpin + 'static {
    const NUMBER: u8;

    /// Who asks for signs of life: the server, or else the client.
    const SERVER_PINGS: bool;

    /// A message's bytes, as a packet.
    fn packet(bytes: &Bytes) -> Bytes;

    /// A packet's bytes, as a message.
    fn message(packet: &[u8]) -> Option<&[u8]>;
}

/// Socket.IO 1.x and 2.x.
pub(crate) struct V3;

/// Socket.IO 3.x and later.
pub(crate) struct V4;

impl Revision for V4 {
    const NUMBER: u8 = 4;
    const SERVER_PINGS: bool = true;

    fn packet(bytes: &Bytes) -> Bytes {
        bytes.clone()
    }

    fn message(packet: &[u8]) -> Option<&[u8]> {
        Some(packet)
    }
}

impl Revision for V3 {
    const NUMBER: u8 = 3;
    const SERVER_PINGS: bool = false;

    fn packet(bytes: &Bytes) -> Bytes {
        let mut packet = BytesMut::with_capacity(bytes.len() + 1);
        packet.put_u8(MESSAGE_BYTE);
        packet.put_slice(bytes);
        packet.freeze()
    }

    fn message(packet: &[u8]) -> Option<&[u8]> {
        packet.strip_prefix(&[MESSAGE_BYTE])
    }
}

/// One client's Engine.IO.
pub(crate) struct EngineIo<R, L> {
    /// What is said first, unless it has been said in the answer to the handshake.
    opening: Option<Frame>,
    codec: L,
    revision: PhantomData<R>,
}

impl<R: Revision, L: MessageCodec> EngineIo<R, L> {
    pub(crate) fn new(limits: &Limits, opening: Option<Frame>) -> Self {
        Self { opening, codec: L::new(R::NUMBER, limits), revision: PhantomData }
    }

    fn packet<'a>(&'a mut self, text: &'a str) -> Result<Option<Decoded<'a>>, Malformed> {
        let (kind, rest) = text.split_at_checked(1).ok_or(Malformed)?;
        match kind {
            "1" => Ok(Some(Decoded::Close(&close::LEFT))),
            "2" if !R::SERVER_PINGS => Ok(Some(Decoded::Respond(Frame::Text(PONG)))),
            "3" if R::SERVER_PINGS => Ok(None),
            "4" => self.codec.text(rest),
            // bytes, where the way carries only text; revision 3 tells the type here too
            "b" => {
                let text = if R::SERVER_PINGS { rest } else { rest.strip_prefix(MESSAGE).ok_or(Malformed)? };
                self.codec.bytes(BASE64_STANDARD.decode(text)?.into())
            }
            // of no meaning once a session is open
            "0" | "5" | "6" => Ok(None),
            _ => Err(Malformed),
        }
    }
}

impl<R: Revision, L: MessageCodec> Protocol for EngineIo<R, L> {
    fn decode<'a>(&'a mut self, frame: &'a Frame) -> Result<Option<Decoded<'a>>, Malformed> {
        match frame {
            Frame::Text(text) => self.packet(text),
            // it may be kept for long, and must not keep the buffer that it was read into
            Frame::Binary(packet) => self.codec.bytes(Bytes::copy_from_slice(R::message(packet).ok_or(Malformed)?)),
            Frame::Several(_) => Err(Malformed),
        }
    }

    fn next_step(&mut self) -> Option<Decoded<'static>> {
        self.opening.take().map(Decoded::Respond).or_else(|| self.codec.next_step())
    }

    fn encode(&mut self, outbound: &Outbound) -> Result<Option<Frame>, Unencodable> {
        self.codec.encode(outbound).map(|encoded| encoded.map(frame::<R, L>))
    }

    fn ping(&mut self) -> Option<Frame> {
        R::SERVER_PINGS.then_some(Frame::Text(PING))
    }

    fn broadcast(broadcast: &Broadcast) -> Option<Frame> {
        L::encode_broadcast(broadcast).map(frame::<R, L>)
    }
}

fn frame<R: Revision, L: MessageCodec>(encoded: EncodedMessage) -> Frame {
    let text_frame = |text| Frame::Text(if R::SERVER_PINGS { text } else { L::ascii_only(text) }.into());
    match encoded {
        EncodedMessage::Text(text) => text_frame(text),
        EncodedMessage::Bytes(bytes) => Frame::Binary(R::packet(&bytes)),
        EncodedMessage::With(text, attachments) => {
            let bytes = attachments.iter().map(|bytes| Frame::Binary(R::packet(bytes)));
            Frame::Several(std::iter::once(text_frame(text)).chain(bytes).collect())
        }
    }
}
