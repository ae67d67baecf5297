//! Parses WebSocket frames (RFC 6455, section 5.2). An invalid or too large frame is refused by its header alone,
//! before any of its payload is buffered. Fragments are reassembled in [`websocket`](super).
//!
//! No more bytes are read before the frames that have arrived are handled, and no buffer is kept between frames. An
//! invalid header is the last item of the stream. Later bytes are read and dropped, so that the client still receives
//! the close frame that gives the reason.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use actix_codec::Decoder;
use actix_http::ws::{Codec, Frame, Message, ProtocolError};
use actix_web::error::PayloadError;
use bytes::{Bytes, BytesMut};
use bytestring::ByteString;
use futures_util::Stream;

use crate::connections::connection::Connection;

/// How many chunks without a whole frame are read before other tasks run.
const CHUNKS_PER_POLL: usize = 16;

/// The stream of a connection's messages, including control frames and fragments.
pub(crate) struct FrameReader<S> {
    bytes: S,
    connection: Arc<Connection>,
    codec: Codec,
    limit: usize,
    /// The bytes that have arrived and are not parsed yet. They start at the beginning of a frame.
    buffer: BytesMut,
    /// Whether an invalid frame has arrived. Later bytes are dropped.
    has_failed: bool,
}

impl<S> FrameReader<S> {
    /// A reader of frames whose payloads have at most `limit` bytes.
    pub(crate) fn new(bytes: S, connection: Arc<Connection>, limit: usize) -> Self {
        let codec = Codec::new().max_size(limit);
        Self { bytes, connection, codec, limit, buffer: BytesMut::new(), has_failed: false }
    }

    /// The next whole frame in the buffer, or the error in it.
    fn next_frame(&mut self) -> Option<Result<Message, ProtocolError>> {
        if let Err(error) = check(&self.buffer, self.limit as u64) {
            self.has_failed = true;
            self.buffer = BytesMut::new();
            return Some(Err(error));
        }
        let frame = self.codec.decode(&mut self.buffer).transpose()?;
        if self.buffer.is_empty() {
            // an empty buffer would share the message's memory and keep it alive
            self.buffer = BytesMut::new();
        }
        Some(frame.and_then(message))
    }

    fn add(&mut self, chunk: Bytes) {
        self.connection.mark_active();
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
            if let Some(frame) = this.next_frame() {
                return Poll::Ready(Some(frame));
            }
            match ready!(Pin::new(&mut this.bytes).poll_next(cx)) {
                Some(Ok(_)) if this.has_failed => {}
                Some(Ok(chunk)) => this.add(chunk),
                // a WebSocket always ends in the middle of its HTTP body: this is no invalid frame
                Some(Err(_)) | None => return Poll::Ready(None),
            }
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    }
}

/// Checks as much of a frame's header as has arrived.
fn check(header: &[u8], limit: u64) -> Result<(), ProtocolError> {
    let [first, second, rest @ ..] = header else { return Ok(()) };
    let (final_frame, reserved, opcode) = (first & 0x80 != 0, first & 0x70, first & 0x0F);
    let (masked, short) = (second & 0x80 != 0, second & 0x7F);
    let is_control = opcode >= 8;
    if reserved != 0 || !matches!(opcode, 0..=2 | 8..=10) {
        return Err(ProtocolError::InvalidOpcode(first & 0x7F));
    }
    if !masked {
        return Err(ProtocolError::UnmaskedFrame);
    }
    if is_control && (!final_frame || short > 125 || opcode == 8 && short == 1) {
        return Err(ProtocolError::InvalidLength(short.into()));
    }
    let length = match short {
        126 => rest.first_chunk().map(|length| u16::from_be_bytes(*length).into()),
        127 => rest.first_chunk().map(|length| u64::from_be_bytes(*length)),
        short => Some(short.into()),
    };
    match length {
        Some(length) if length >> 63 != 0 => Err(ProtocolError::InvalidLength(usize::MAX)),
        Some(length) if length > limit => Err(ProtocolError::Overflow),
        _ => Ok(()),
    }
}

fn message(frame: Frame) -> Result<Message, ProtocolError> {
    Ok(match frame {
        Frame::Text(bytes) => {
            let text = ByteString::try_from(bytes);
            Message::Text(text.map_err(|error| ProtocolError::Io(io::Error::new(io::ErrorKind::InvalidData, error)))?)
        }
        Frame::Binary(bytes) => Message::Binary(bytes),
        Frame::Continuation(piece) => Message::Continuation(piece),
        Frame::Ping(bytes) => Message::Ping(bytes),
        Frame::Pong(bytes) => Message::Pong(bytes),
        Frame::Close(reason) => Message::Close(reason),
    })
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;
    use std::rc::Rc;

    use actix_http::ws::Item;
    use futures_util::{FutureExt, StreamExt, stream};

    use super::*;
    use crate::broker::topic_table::tests::crowd;
    use crate::transports::websocket::close_reason;

    fn frame(first: u8, length: usize) -> Vec<u8> {
        let mut bytes = vec![first];
        match length {
            0..126 => bytes.push(0x80 | length as u8),
            126..65_536 => {
                bytes.push(0x80 | 126);
                bytes.extend((length as u16).to_be_bytes());
            }
            _ => {
                bytes.push(0x80 | 127);
                bytes.extend((length as u64).to_be_bytes());
            }
        }
        bytes.extend([1, 2, 3, 4]);
        bytes.extend((0..length).map(|n| b'x' ^ (n % 4 + 1) as u8));
        bytes
    }

    fn frames<I>(
        chunks: I,
        limit: usize,
    ) -> FrameReader<stream::Iter<impl Iterator<Item = Result<Bytes, PayloadError>>>>
    where
        I: IntoIterator<Item = Vec<u8>>,
    {
        let chunks = chunks.into_iter().map(|chunk| Ok(Bytes::from(chunk)));
        FrameReader::new(stream::iter(chunks), crowd(1).remove(0).connection, limit)
    }

    /// All messages of a client that has sent everything and disconnected. A reader that yields is polled again.
    fn all(
        mut frames: impl Stream<Item = Result<Message, ProtocolError>> + Unpin,
    ) -> Vec<Result<Message, ProtocolError>> {
        let mut all = Vec::new();
        loop {
            match frames.next().now_or_never() {
                Some(Some(message)) => all.push(message),
                Some(None) => return all,
                None => {}
            }
        }
    }

    #[test]
    fn frames_are_parsed_from_chunks_of_any_size() {
        let sizes = [(0x81, 5), (0x89, 125), (0x82, 70_000), (0x01, 300), (0x80, 0), (0x8A, 2)];
        let bytes: Vec<u8> = sizes.iter().flat_map(|(first, length)| frame(*first, *length)).collect();
        for size in [1, 2, 3, 7, 1000, bytes.len()] {
            let messages = all(frames(bytes.chunks(size).map(<[u8]>::to_vec), 70_000));
            let lengths = messages.into_iter().map(|message| match message.unwrap() {
                Message::Text(text) => text.len(),
                Message::Binary(bytes) | Message::Ping(bytes) | Message::Pong(bytes) => bytes.len(),
                Message::Continuation(Item::FirstText(bytes) | Item::Last(bytes)) => bytes.len(),
                other => panic!("{other:?}"),
            });
            assert_eq!(lengths.collect::<Vec<_>>(), sizes.map(|(_, length)| length), "in chunks of {size}");
        }
    }

    /// A client that floods has one chunk buffered, and a silent client nothing.
    #[test]
    fn a_chunk_is_read_only_after_the_last_one_is_handled_and_its_buffer_is_freed() {
        let read = Rc::new(Cell::new(0));
        let chunks = [[frame(0x89, 0), frame(0x81, 3)].concat(), frame(0x89, 0)];
        let counted = chunks.into_iter().inspect(|_| read.set(read.get() + 1));
        let mut frames = frames(counted, 1000);
        for has_read in [1, 1, 2] {
            assert!(matches!(frames.next().now_or_never(), Some(Some(Ok(_)))));
            assert_eq!(read.get(), has_read);
        }
        assert_eq!(frames.buffer.capacity(), 0);
    }

    #[test]
    fn frames_before_an_invalid_header_are_handled_and_none_after_it() {
        let bytes = [frame(0x81, 5), frame(0x81, 7), vec![0xC1, 0x80], frame(0x81, 5)].concat();
        for size in [1, 25, 26, bytes.len()] {
            let messages = all(frames(bytes.chunks(size).map(<[u8]>::to_vec), 1000));
            assert!(matches!(messages[..], [Ok(_), Ok(_), Err(_)]), "in chunks of {size}: {messages:?}");
        }
    }

    #[test]
    fn an_invalid_header_is_refused_before_its_payload_arrives() {
        let refused = |bytes: &[u8]| match &all(frames([bytes.to_vec()], 1000))[..] {
            [Err(error)] => close_reason(error).code,
            other => panic!("{other:?}"),
        };
        assert_eq!(refused(&[0x82, 0xFE, 0x03, 0xE9]), 1009, "1,001 bytes");
        assert_eq!(refused(&[0x82, 0xFF, 0, 0, 1, 0, 0, 0, 0, 0]), 1009, "a tebibyte");
        assert_eq!(refused(&[0x82, 0xFF, 0x80, 0, 0, 0, 0, 0, 0, 0]), 1002, "2^63 bytes");
        for (bad, why) in [
            ([0x81, 0x05], "unmasked"),
            ([0xC1, 0x85], "reserved bit"),
            ([0x83, 0x85], "reserved opcode"),
            ([0x8B, 0x80], "reserved control opcode"),
            ([0x09, 0x80], "a fragmented control frame"),
            ([0x89, 0xFE], "a control frame of more than 125 bytes"),
            ([0x88, 0x81], "a close code of one byte"),
        ] {
            assert_eq!(refused(&bad), 1002, "{why}");
        }
    }
}
