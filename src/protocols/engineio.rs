//! Engine.IO, revisions 4, 3 and 2: typed packets over WebSockets and over HTTP long polling.
//!
//! Engine.IO carries messages. What they contain is the business of a [`MessageCodec`]. There are two of them: plain
//! text and bytes ([`plain`]), and [Socket.IO](super::socketio). In revision 4 the server sends the pings, in revisions
//! 3 (clients of Socket.IO 1.1 to 2.x) and 2 (Socket.IO 1.0) the client does. A [`Frame`] is one packet as a WebSocket
//! carries it; [`payload`] puts several packets into one HTTP body.

use std::borrow::Cow;
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

mod byte_string;
mod error;
pub(crate) mod format;
pub(crate) mod payload;
pub(crate) mod plain;
pub(crate) mod routes;
mod upgrade;

/// The packet type, the first character of a text packet.
const OPEN: char = '0';
const PING: ByteString = ByteString::from_static("2");
const PONG: ByteString = ByteString::from_static("3");
const PING_PROBE: &str = "2probe";
const PONG_PROBE: ByteString = ByteString::from_static("3probe");
pub(crate) const MESSAGE: char = '4';
const UPGRADE: &str = "5";
const CLOSE: ByteString = ByteString::from_static("1");
const NOOP: ByteString = ByteString::from_static("6");
/// The packet type of a binary message in revisions 2 and 3, the first byte of its packet.
const MESSAGE_BYTE: u8 = 4;

/// The format of the messages inside of Engine.IO's packets, with the state of one client.
pub(crate) trait MessageCodec: Unpin + 'static {
    /// Whether a join may carry the client's token.
    const HAS_TOKENS_AT_JOIN: bool = false;

    /// The codec of a client of this revision.
    fn new(revision: u8, limits: &Limits) -> Self;

    /// Decodes a text message.
    fn text<'a>(&'a mut self, text: &'a str) -> Result<Option<Decoded<'a>>, Malformed>;

    /// Decodes a binary message.
    fn bytes(&mut self, bytes: Bytes) -> Result<Option<Decoded<'_>>, Malformed>;

    /// See [`Protocol::next_step`].
    fn next_step(&mut self) -> Option<Decoded<'static>>;

    /// Encodes a message to this client.
    fn encode(&mut self, outbound: &Outbound) -> Result<Option<EncodedMessage>, Unencodable>;

    /// Encodes a broadcast, once for all members of its topic.
    fn encode_broadcast(broadcast: &Broadcast) -> Option<EncodedMessage>;

    /// Escapes the non-ASCII characters of a text packet, where the format allows it. In a response of text, the clients
    /// of revision 3 before Socket.IO 2 cannot read other characters.
    fn ascii_only(text: String) -> String {
        text
    }
}

/// One or more messages, in order.
pub(crate) enum EncodedMessage {
    /// A text packet. It begins with [`MESSAGE`].
    Text(String),
    /// A binary message, without a packet type.
    Bytes(Bytes),
    /// A text packet, and the binary messages that follow it.
    With(String, Arc<[Bytes]>),
}

/// The differences between the revisions.
pub(crate) trait Revision: Unpin + 'static {
    const NUMBER: u8;

    /// Whether the server sends the pings. If not, the client does.
    const SERVER_PINGS: bool;

    /// The packet of a binary message.
    fn packet(bytes: &Bytes) -> Bytes {
        let mut packet = BytesMut::with_capacity(bytes.len() + 1);
        packet.put_u8(MESSAGE_BYTE);
        packet.put_slice(bytes);
        packet.freeze()
    }

    /// The message of a binary packet.
    fn message(packet: &[u8]) -> Option<&[u8]> {
        packet.strip_prefix(&[MESSAGE_BYTE])
    }

    /// The frame of a text packet.
    fn text_frame<C: MessageCodec>(packet: String) -> Frame {
        Frame::Text(packet.into())
    }

    /// The text packet of a frame.
    fn text_packet(frame: &str) -> Result<Cow<'_, str>, Malformed> {
        Ok(Cow::Borrowed(frame))
    }
}

/// Revision 2, of Socket.IO 1.0. Its text frames are [byte strings](byte_string).
pub(crate) struct V2;

/// Revision 3, of Socket.IO 1.1 to 2.x.
pub(crate) struct V3;

/// Revision 4, of Socket.IO 3.x and later.
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

    fn text_frame<C: MessageCodec>(packet: String) -> Frame {
        Frame::Text(C::ascii_only(packet).into())
    }
}

impl Revision for V2 {
    const NUMBER: u8 = 2;
    const SERVER_PINGS: bool = false;

    fn text_frame<C: MessageCodec>(packet: String) -> Frame {
        let text = if packet.is_ascii() { packet } else { byte_string::of_bytes(packet.as_bytes()) };
        Frame::Text(text.into())
    }

    fn text_packet(frame: &str) -> Result<Cow<'_, str>, Malformed> {
        byte_string::packet(frame)
    }
}

/// The protocol state of one client.
pub(crate) struct EngineIo<R, C> {
    /// The open packet, which is sent first. None for long polling, where the handshake's response contains it.
    open_packet: Option<Frame>,
    codec: C,
    revision: PhantomData<R>,
}

impl<R: Revision, C: MessageCodec> EngineIo<R, C> {
    pub(crate) fn new(limits: &Limits, open_packet: Option<Frame>) -> Self {
        Self { open_packet, codec: C::new(R::NUMBER, limits), revision: PhantomData }
    }

    fn packet<'a>(&'a mut self, text: &'a str) -> Result<Option<Decoded<'a>>, Malformed> {
        let (packet_type, rest) = text.split_at_checked(1).ok_or(Malformed)?;
        match packet_type {
            "1" => Ok(Some(Decoded::Close(&close::LEFT))),
            "2" if !R::SERVER_PINGS => Ok(Some(Decoded::Respond(Frame::Text(PONG)))),
            "3" if R::SERVER_PINGS => Ok(None),
            "4" => self.codec.text(rest),
            // a binary message in base64, over a transport of text; revisions 2 and 3 repeat the packet type here
            "b" => {
                let text = if R::SERVER_PINGS { rest } else { rest.strip_prefix(MESSAGE).ok_or(Malformed)? };
                self.codec.bytes(BASE64_STANDARD.decode(text)?.into())
            }
            // open, upgrade and noop packets mean nothing in an open session
            "0" | "5" | "6" => Ok(None),
            _ => Err(Malformed),
        }
    }
}

impl<R: Revision, C: MessageCodec> Protocol for EngineIo<R, C> {
    fn decode<'a>(&'a mut self, frame: &'a Frame) -> Result<Option<Decoded<'a>>, Malformed> {
        match frame {
            Frame::Text(text) => match R::text_packet(text)? {
                Cow::Borrowed(packet) => self.packet(packet),
                Cow::Owned(packet) => Ok(self.packet(&packet)?.map(encoded_again::<R, C>)),
            },
            // a copy, because the message may wait in queues and would keep the whole read buffer in memory
            Frame::Binary(packet) => self.codec.bytes(Bytes::copy_from_slice(R::message(packet).ok_or(Malformed)?)),
            Frame::Several(_) => Err(Malformed),
        }
    }

    fn next_step(&mut self) -> Option<Decoded<'static>> {
        self.open_packet.take().map(Decoded::Respond).or_else(|| self.codec.next_step())
    }

    fn encode(&mut self, outbound: &Outbound) -> Result<Option<Frame>, Unencodable> {
        self.codec.encode(outbound).map(|encoded| encoded.map(frame::<R, C>))
    }

    fn ping(&mut self) -> Option<Frame> {
        R::SERVER_PINGS.then_some(Frame::Text(PING))
    }

    fn broadcast(broadcast: &Broadcast) -> Option<Frame> {
        C::encode_broadcast(broadcast).map(frame::<R, C>)
    }
}

/// What was decoded from a copy of a text frame, with its response encoded as frames are.
fn encoded_again<R: Revision, C: MessageCodec>(decoded: Decoded<'_>) -> Decoded<'static> {
    match decoded.into_owned() {
        Decoded::Respond(Frame::Text(packet)) => Decoded::Respond(R::text_frame::<C>(packet.to_string())),
        other => other,
    }
}

fn frame<R: Revision, C: MessageCodec>(encoded: EncodedMessage) -> Frame {
    match encoded {
        EncodedMessage::Text(text) => R::text_frame::<C>(text),
        EncodedMessage::Bytes(bytes) => Frame::Binary(R::packet(&bytes)),
        EncodedMessage::With(text, attachments) => {
            let bytes = attachments.iter().map(|bytes| Frame::Binary(R::packet(bytes)));
            Frame::Several(std::iter::once(R::text_frame::<C>(text)).chain(bytes).collect())
        }
    }
}
