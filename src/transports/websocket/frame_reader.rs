//! Parses WebSocket frames (RFC 6455, section 5.2). An invalid or too large frame is refused by its header alone,
//! before any of its payload is buffered, and a text at its first wrong byte, before the rest of its frame has arrived.
//! Fragments are reassembled in [`websocket`](super).
//!
//! No more bytes are read before the frames that have arrived are handled, and no buffer is kept between frames. An
//! error is the last item of the stream.
//!
//! Once the server has sent a close frame, only the client's close frame is looked for. All other frames are skipped by
//! their headers, and their payloads are neither kept nor checked.

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
use crate::transports::websocket::io::MAX_DROPPED;
use crate::transports::websocket::text_check::{NotUtf8, TextCheck};

/// How many chunks without a whole frame are read before other tasks run.
const CHUNKS_PER_POLL: usize = 16;
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
    /// How many bytes are left of the frame that is being skipped.
    skip: usize,
    has_ended: bool,
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
            connection,
            limit,
            buffer: BytesMut::new(),
            unfinished: Unfinished::None,
            text: TextCheck::default(),
            checked: 0,
            closing,
            dropped: 0,
            skip: 0,
            has_ended: false,
        }
    }

    /// The next whole frame in the buffer, or the error in it.
    fn next_frame(&mut self) -> Option<Result<Message, ProtocolError>> {
        let message = if self.closing.get() { self.find_close_frame() } else { self.parse_frame() };
        self.has_ended = message.is_err();
        if self.buffer.is_empty() || self.has_ended {
            // an empty buffer would share the message's memory and keep it alive
            self.buffer = BytesMut::new();
        }
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
        message(header, payload.unwrap_or_default().freeze()).map(Some)
    }

    /// Skips all frames before a close frame.
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
        }
    }

    fn add(&mut self, chunk: Bytes) {
        self.connection.mark_active();
        if self.closing.get() {
            self.dropped += chunk.len();
            // a client that floods does not get to send its close frame
            self.has_ended = self.dropped > MAX_DROPPED;
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
            if this.has_ended {
                return Poll::Ready(None);
            }
            if let Some(frame) = this.next_frame() {
                return Poll::Ready(Some(frame));
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
mod tests {
    use futures_util::{FutureExt, StreamExt, stream};

    use super::*;
    use crate::broker::topic_table::tests::crowd;
    use crate::transports::websocket::close_reason;

    /// A frame with a payload of `x`.
    fn frame(first: u8, length: usize) -> Vec<u8> {
        frame_with(first, &vec![b'x'; length])
    }

    fn frame_with(first: u8, payload: &[u8]) -> Vec<u8> {
        let mut bytes = vec![first];
        let length = payload.len();
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
        bytes.extend(payload.iter().enumerate().map(|(n, byte)| byte ^ (n % 4 + 1) as u8));
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
        FrameReader::new(stream::iter(chunks), crowd(1).remove(0).connection, limit, Rc::default())
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

    /// The first fragment ends in the middle of a character, and so does each of the chunks.
    #[test]
    fn a_text_may_be_split_in_the_middle_of_a_character() {
        let text = "\u{20ac}\u{1f600}".repeat(300);
        let (one, other) = text.as_bytes().split_at(1_000);
        let bytes = [
            frame_with(0x81, text.as_bytes()),
            frame_with(0x01, one),
            frame(0x89, 2),
            frame_with(0x80, other),
            frame_with(0x81, text.as_bytes()),
        ]
        .concat();
        for size in [1, 2, 3, 5, 1_030, bytes.len()] {
            let messages = all(frames(bytes.chunks(size).map(<[u8]>::to_vec), 10_000));
            assert!(messages.len() == 5 && messages.iter().all(Result::is_ok), "in chunks of {size}: {messages:?}");
        }
    }

    #[test]
    fn a_text_is_refused_at_its_first_wrong_byte() {
        let begun = frame_with(0x01, b"\xe2\x82");
        for (before, first, right, wrong) in [
            (&[][..], 0x81, &b"right \xf0\x9f"[..], b'('),
            (&[], 0x01, b"right", 0xFF),
            (&begun, 0x00, b"\xac ", 0xC0),
            (&[&*begun, &frame(0x8A, 3)].concat(), 0x80, b"", b'('),
        ] {
            // the frame has more bytes, which do not arrive
            let more = [right, &[wrong], &[b'x'; 300]].concat();
            let bytes = [before, &frame_with(first, &more)].concat();
            let arrived = bytes.len() - 300;
            let messages = all(frames([bytes[..arrived - 1].to_vec()], 1_000));
            assert!(messages.iter().all(Result::is_ok), "refused too early: {messages:?}");
            for size in [1, 3, arrived] {
                let messages = all(frames(bytes[..arrived].chunks(size).map(<[u8]>::to_vec), 1_000));
                let last = messages.last().and_then(|last| last.as_ref().err());
                assert_eq!(last.map(|error| close_reason(error).code), Some(1007), "in chunks of {size}: {messages:?}");
            }
        }
    }

    #[test]
    fn binary_fragments_are_no_text() {
        let bytes = [frame_with(0x02, b"\xff"), frame_with(0x00, b"\xff"), frame_with(0x80, b"\xff")].concat();
        let messages = all(frames(bytes.chunks(1).map(<[u8]>::to_vec), 1_000));
        assert!(matches!(messages[..], [Ok(_), Ok(_), Ok(_)]), "{messages:?}");
    }

    /// Whether the frame in which the close frame was sent had arrived in part makes no difference.
    #[test]
    fn while_closing_only_a_close_frame_is_returned() {
        let ignored = [
            frame(0x89, 4),
            frame_with(0x81, b"\xff"),
            frame(0x82, 900),
            frame(0x80, 3),
            frame(0x01, 3),
            frame(0x01, 3),
            frame(0x8A, 0),
        ];
        let bytes = [&ignored.concat()[..], &frame_with(0x88, &[0x0F, 0xA0]), &frame(0x89, 0)].concat();
        for size in [1, 2, 5, 100, bytes.len()] {
            let mut frames = frames(bytes.chunks(size).map(<[u8]>::to_vec), 1_000);
            frames.buffer.extend_from_slice(&frame(0x82, 50)[..20]);
            frames.closing.set(true);
            frames.add(Bytes::copy_from_slice(&frame(0x82, 50)[20..]));
            let first = std::iter::from_fn(|| Some(frames.next().now_or_never())).flatten().next();
            assert!(matches!(first, Some(Some(Ok(Message::Close(Some(_)))))), "in chunks of {size}: {first:?}");
        }
        let invalid = frames([[ignored.concat(), frame(0x83, 0), frame(0x88, 0)].concat()], 1_000);
        invalid.closing.set(true);
        assert!(matches!(all(invalid)[..], [Err(_)]), "a close frame after an invalid frame");
    }

    #[test]
    fn a_client_that_floods_while_closing_is_not_waited_for() {
        let chunk = frame(0x82, 60_000);
        let count = MAX_DROPPED / chunk.len();
        let closes = |count| {
            let frames = frames(std::iter::repeat_n(chunk.clone(), count).chain([frame(0x88, 0)]), 60_000);
            frames.closing.set(true);
            all(frames).len()
        };
        assert_eq!((closes(count - 1), closes(count + 1)), (1, 0));
    }
}
