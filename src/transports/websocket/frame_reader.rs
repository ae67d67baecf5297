//! Parses WebSocket frames (RFC 6455, section 5.2). An invalid or too large frame is refused by its header alone,
//! before any of its payload is buffered, and a text at its first wrong byte, before the rest of its frame has arrived.
//! Fragments are reassembled in [`websocket`](super).
//!
//! No more bytes are read before the frames that have arrived are handled, and no buffer is kept between frames. An
//! error is the last item of the stream.
//!
//! Once the server has sent a close frame, only the client's close frame is looked for. All other frames are skipped by
//! their headers, and their payloads are neither kept nor checked. After [`MAX_SKIPPED`] frames, the stream ends.

use std::cell::Cell;
use std::io;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use actix_http::ws::{Item, Message, Parser, ProtocolError};
use actix_web::error::PayloadError;
use bytes::{Buf, Bytes, BytesMut};
use bytestring::ByteString;
use futures_util::Stream;

use crate::connections::connection::Connection;
use crate::connections::incomplete::IncompleteBytes;
use crate::transports::websocket::io::MAX_DROPPED;
use crate::transports::websocket::text_check::{NotUtf8, TextCheck};

/// How many chunks without a whole frame are read before other tasks run.
const CHUNKS_PER_POLL: usize = 16;
/// How many frames are skipped after the server's close frame. A client that sends more does not get to send its close
/// frame: what follows is not looked at.
const MAX_SKIPPED: u32 = 1024;
/// How many bytes of a text are unmasked at a time, to check them.
const UNMASKED: usize = 1024;

const CONTINUATION: u8 = 0;
const TEXT: u8 = 1;
const BINARY: u8 = 2;
const CLOSE: u8 = 8;
const PING: u8 = 9;
const PONG: u8 = 10;

/// The stream of a connection's messages, including control frames and fragments.
pub(crate) struct FrameReader<S> {
    bytes: S,
    connection: Arc<Connection>,
    limit: usize,
    /// The bytes that have arrived and are not parsed yet. They start at the beginning of a frame.
    buffer: BytesMut,
    /// What has begun of a message in fragments.
    unfinished: Unfinished,
    /// What has arrived of a text.
    text: TextCheck,
    /// How many bytes of the first frame's payload are in `text`.
    checked: usize,
    /// Whether the server has sent a close frame. The session sets it.
    closing: Rc<Cell<bool>>,
    /// How many bytes have arrived since then.
    dropped: usize,
    /// How many frames were skipped since then.
    skipped: u32,
    /// How many bytes are left of the frame that is being skipped.
    skip: usize,
    has_ended: bool,
    /// Counts `buffer`.
    counted: IncompleteBytes,
}

/// Whether a message in fragments has begun, and of which kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Unfinished {
    None,
    Text,
    Binary,
}

/// A frame's header.
struct Header {
    is_final: bool,
    opcode: u8,
    mask: [u8; 4],
    /// The length of the header.
    size: usize,
    /// The length of the payload.
    payload: usize,
}

impl<S> FrameReader<S> {
    /// A reader of frames whose payloads have at most `limit` bytes. From the time that `closing` is set, it returns
    /// only a close frame.
    pub(crate) fn new(bytes: S, connection: Arc<Connection>, limit: usize, closing: Rc<Cell<bool>>) -> Self {
        Self {
            bytes,
            counted: IncompleteBytes::new(connection.clone()),
            connection,
            limit,
            buffer: BytesMut::new(),
            unfinished: Unfinished::None,
            text: TextCheck::default(),
            checked: 0,
            closing,
            dropped: 0,
            skipped: 0,
            skip: 0,
            has_ended: false,
        }
    }

    /// The next whole frame in the buffer, or the error in it.
    fn next_frame(&mut self) -> Option<Result<Message, ProtocolError>> {
        let message = if self.closing.get() { self.find_close_frame() } else { self.parse_frame() };
        self.has_ended |= message.is_err();
        if self.buffer.is_empty() || self.has_ended {
            // an empty buffer would share the message's memory and keep it alive
            self.buffer = BytesMut::new();
        }
        let incomplete = if message.as_ref().is_ok_and(Option::is_none) { self.buffer.capacity() } else { 0 };
        self.counted.set(incomplete);
        message.transpose()
    }

    fn parse_frame(&mut self) -> Result<Option<Message>, ProtocolError> {
        let Some(header) = parse_header(&self.buffer, self.limit as u64)? else { return Ok(None) };
        self.check_order(&header)?;
        if header.opcode == TEXT || header.opcode == CONTINUATION && self.unfinished == Unfinished::Text {
            self.check_text(&header).map_err(|NotUtf8| not_utf8())?;
        }
        let message = self.take_message(&header)?;
        if message.is_some() && header.opcode < CLOSE {
            self.unfinished = match header.opcode {
                _ if header.is_final => Unfinished::None,
                TEXT => Unfinished::Text,
                BINARY => Unfinished::Binary,
                _ => self.unfinished,
            };
        }
        Ok(message)
    }

    /// Checks that a fragment continues a message, and that no message begins inside another.
    fn check_order(&self, header: &Header) -> Result<(), ProtocolError> {
        match (header.opcode, self.unfinished) {
            (CONTINUATION, Unfinished::None) => Err(ProtocolError::ContinuationNotStarted),
            (TEXT | BINARY, Unfinished::Text | Unfinished::Binary) => Err(ProtocolError::ContinuationStarted),
            _ => Ok(()),
        }
    }

    /// Checks as much of a text as has arrived. A whole text in one frame is left to [`message`], which checks it anyway.
    fn check_text(&mut self, header: &Header) -> Result<(), NotUtf8> {
        let payload = &self.buffer[header.size..];
        let arrived = &payload[..payload.len().min(header.payload)];
        let is_whole = arrived.len() == header.payload;
        if is_whole && header.is_final && header.opcode == TEXT && self.checked == 0 {
            return Ok(());
        }
        let mut unmasked = [0; UNMASKED];
        for masked in arrived[self.checked..].chunks(UNMASKED) {
            let mut mask = header.mask;
            mask.rotate_left(self.checked % 4);
            let unmasked = &mut unmasked[..masked.len()];
            unmasked.iter_mut().zip(masked).zip(mask.iter().cycle()).for_each(|((to, byte), mask)| *to = byte ^ mask);
            self.text.add(unmasked)?;
            self.checked += masked.len();
        }
        if is_whole {
            self.checked = 0;
        }
        if is_whole && header.is_final { self.text.finish() } else { Ok(()) }
    }

    /// Takes the first frame out of the buffer, if all of it has arrived.
    fn take_message(&mut self, header: &Header) -> Result<Option<Message>, ProtocolError> {
        let Some((_, _, payload)) = Parser::parse(&mut self.buffer, true, self.limit)? else { return Ok(None) };
        if self.buffer.len() < header.payload {
            // copied, because a few bytes would keep the memory of the whole frame
            self.buffer = BytesMut::from(&self.buffer[..]);
        }
        message(header, payload.unwrap_or_default().freeze()).map(Some)
    }

    /// Skips all frames before a close frame. After too many of them, ends the stream.
    fn find_close_frame(&mut self) -> Result<Option<Message>, ProtocolError> {
        loop {
            let skipped = self.skip.min(self.buffer.len());
            self.buffer.advance(skipped);
            self.skip -= skipped;
            let Some(header) = parse_header(&self.buffer, self.limit as u64)? else { return Ok(None) };
            if header.opcode == CLOSE {
                return self.take_message(&header);
            }
            self.skip = header.size + header.payload;
            self.skipped += 1;
            if self.skipped > MAX_SKIPPED {
                self.has_ended = true;
                return Ok(None);
            }
        }
    }

    fn add(&mut self, chunk: Bytes) {
        self.connection.activity.mark();
        if self.closing.get() {
            self.dropped += chunk.len();
            // a client that floods does not get to send its close frame
            self.has_ended |= self.dropped > MAX_DROPPED;
        }
        if self.buffer.is_empty() {
            self.buffer = chunk.into();
        } else {
            self.buffer.extend_from_slice(&chunk);
        }
    }
}

impl<S> Stream for FrameReader<S>
where
    S: Stream<Item = Result<Bytes, PayloadError>> + Unpin,
{
    type Item = Result<Message, ProtocolError>;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let this = self.get_mut();
        for _ in 0..CHUNKS_PER_POLL {
            if !this.has_ended
                && let Some(frame) = this.next_frame()
            {
                return Poll::Ready(Some(frame));
            }
            if this.has_ended {
                return Poll::Ready(None);
            }
            match ready!(Pin::new(&mut this.bytes).poll_next(cx)) {
                Some(Ok(chunk)) => this.add(chunk),
                // a WebSocket always ends in the middle of its HTTP body: this is no invalid frame
                Some(Err(_)) | None => return Poll::Ready(None),
            }
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    }
}

/// The first frame's header, or `None` if it has not arrived whole. An invalid header is refused by the bytes that have
/// arrived.
fn parse_header(bytes: &[u8], limit: u64) -> Result<Option<Header>, ProtocolError> {
    let [first, second, rest @ ..] = bytes else { return Ok(None) };
    let (is_final, reserved, opcode) = (first & 0x80 != 0, first & 0x70, first & 0x0F);
    let (masked, short) = (second & 0x80 != 0, second & 0x7F);
    if reserved != 0 || !matches!(opcode, CONTINUATION | TEXT | BINARY | CLOSE | PING | PONG) {
        return Err(ProtocolError::InvalidOpcode(first & 0x7F));
    }
    if !masked {
        return Err(ProtocolError::UnmaskedFrame);
    }
    if opcode >= CLOSE && (!is_final || short > 125 || opcode == CLOSE && short == 1) {
        return Err(ProtocolError::InvalidLength(short.into()));
    }
    let (length, digits) = match short {
        126 => (rest.first_chunk().map(|length| u16::from_be_bytes(*length).into()), 2),
        127 => (rest.first_chunk().map(|length| u64::from_be_bytes(*length)), 8),
        short => (Some(short.into()), 0),
    };
    match length {
        Some(length) if length >> 63 != 0 => return Err(ProtocolError::InvalidLength(usize::MAX)),
        Some(length) if length > limit => return Err(ProtocolError::Overflow),
        _ => {}
    }
    let mask = rest.get(digits..).and_then(|rest| rest.first_chunk().copied());
    Ok(length.zip(mask).map(|(length, mask)| {
        let size = 2 + digits + mask.len();
        // at most the limit, which is a `usize`
        Header { is_final, opcode, mask, size, payload: length as usize }
    }))
}

/// The message in a whole frame.
fn message(header: &Header, payload: Bytes) -> Result<Message, ProtocolError> {
    Ok(match (header.opcode, header.is_final) {
        (CONTINUATION, false) => Message::Continuation(Item::Continue(payload)),
        (CONTINUATION, true) => Message::Continuation(Item::Last(payload)),
        (TEXT, false) => Message::Continuation(Item::FirstText(payload)),
        (TEXT, true) => Message::Text(ByteString::try_from(payload).map_err(|_| not_utf8())?),
        (BINARY, false) => Message::Continuation(Item::FirstBinary(payload)),
        (BINARY, true) => Message::Binary(payload),
        (CLOSE, _) => Message::Close(Parser::try_parse_close_payload(&payload)?),
        (PING, _) => Message::Ping(payload),
        _ => Message::Pong(payload),
    })
}

fn not_utf8() -> ProtocolError {
    ProtocolError::Io(io::ErrorKind::InvalidData.into())
}

#[cfg(test)]
mod tests;
