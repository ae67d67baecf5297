//! The WebSocket frame reader, with the bytes split in any way, before and after the server's close frame, and the
//! assembly of fragmented messages.

use std::cell::Cell;
use std::net::Ipv4Addr;
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use actix_http::ws::{CloseReason, Item, Message};
use actix_web::error::PayloadError;
use bytes::Bytes;
use futures_util::{FutureExt, StreamExt, stream};

use super::seeds::{Action, bytes_of, transcripts};
use super::{SMALL, Target};
use crate::close::{self, Reason};
use crate::connections::connection::{Connection, ConnectionId};
use crate::connections::limits::{ConnectionLimits, QueueLimit, Timeouts};
use crate::connections::token_bucket::{Rate, SharedTokenBucket};
use crate::memory::MemoryBudget;
use crate::protocol::Frame;
use crate::transports::websocket::frame_reader::FrameReader;
use crate::transports::websocket::{FragmentAssembler, MessageLimits, close_reason};

/// Low limits, which are soon reached, and a node's default limits.
const LOW_LIMITS: MessageLimits = MessageLimits { bytes: 300, fragments: 5 };
const DEFAULT_LIMITS: MessageLimits = MessageLimits { bytes: 65_536, fragments: 1_024 };

const WORDS: &[&str] = &["\u{1}\u{80}"];

pub(super) const TARGETS: &[Target] = &[
    Target { name: "websocket", run: |data| run(LOW_LIMITS, data), seeds, dictionary: WORDS, max_len: SMALL },
    Target {
        name: "websocket_default_limits",
        run: |data| run(DEFAULT_LIMITS, data),
        seeds: large,
        dictionary: WORDS,
        max_len: 70_000,
    },
];

/// What the clients of the transcripts send, framed, and split in several ways. The first byte selects the way.
fn seeds() -> Vec<Vec<u8>> {
    let framed = |line: Action| match line {
        Action::Send(Frame::Text(text)) => framed(0x81, text.as_bytes()),
        Action::Send(frame) => framed(0x82, &bytes_of(&frame)),
        Action::Frame(first, payload) => framed(first, &payload),
        Action::Raw(bytes) => bytes,
        Action::Connect(_) => Vec::new(),
    };
    let all = ["phoenix", "hello"].into_iter().flat_map(transcripts);
    let inputs = all.map(|lines| lines.into_iter().map(framed).collect::<Vec<_>>().concat());
    inputs.enumerate().map(|(n, input)| [vec![n as u8 * 7], input].concat()).collect()
}

/// Messages of the maximum size or with the maximum number of fragments, and one byte or fragment more.
fn large() -> Vec<Vec<u8>> {
    let whole = [65_535, 65_536, 65_537].map(|bytes| framed(0x82, &vec![0; bytes]));
    let halves =
        [32_768, 32_769].map(|bytes| [framed(0x01, &vec![b'x'; bytes]), framed(0x80, &[b'x'; 32_768])].concat());
    let pieces = [1_024, 1_025].map(|count| {
        let piece = |n| if n == 0 { framed(0x02, b"") } else { framed(if n + 1 == count { 0x80 } else { 0 }, b"x") };
        (0..count).flat_map(piece).collect::<Vec<u8>>()
    });
    let inputs = whole.into_iter().chain(halves).chain(pieces);
    // another frame follows each of them
    inputs.enumerate().map(|(n, input)| [&[n as u8 * 3 + 5], &input[..], &framed(0x89, b"more")].concat()).collect()
}

pub(super) fn framed(first: u8, payload: &[u8]) -> Vec<u8> {
    let length = match payload.len() {
        short @ 0..126 => vec![0x80 | short as u8],
        middle @ 126..65_536 => [&[0x80 | 126][..], &(middle as u16).to_be_bytes()].concat(),
        long => [&[0x80 | 127][..], &(long as u64).to_be_bytes()].concat(),
    };
    [&[first][..], &length, &[0; 4], payload].concat()
}

/// The first frame of some bytes.
struct First<'a> {
    byte: u8,
    /// As much of the payload as has arrived.
    payload: Vec<u8>,
    is_whole: bool,
    /// The bytes after the frame.
    rest: &'a [u8],
}

/// What has begun of a message in fragments: whether it is a text, and its bytes.
type Begun = Option<(bool, Vec<u8>)>;

/// The messages before the first error, and the close reason for the error: a second implementation of RFC 6455,
/// sections 5.2 and 5.4, to compare with.
fn messages_of(bytes: &[u8], limit: u64) -> (Vec<Message>, Option<&'static Reason>) {
    let (mut messages, mut rest, mut begun) = (Vec::new(), bytes, None);
    loop {
        let first = match first_of(rest, limit) {
            Ok(Some(first)) => first,
            Ok(None) => return (messages, None),
            Err(reason) => return (messages, Some(reason)),
        };
        rest = first.rest;
        match to_message(first, &mut begun) {
            Ok(Some(message)) => messages.push(message),
            Ok(None) => return (messages, None),
            Err(reason) => return (messages, Some(reason)),
        }
    }
}

/// The first close frame, or the close reason for an error before it: what remains to be read once the server has sent
/// its own close frame.
fn close_frame_of(bytes: &[u8], limit: u64) -> Option<Result<Message, &'static Reason>> {
    let mut rest = bytes;
    loop {
        let first = match first_of(rest, limit) {
            Ok(first) => first?,
            Err(reason) => return Some(Err(reason)),
        };
        if first.byte & 15 == 8 {
            return to_message(first, &mut None).transpose();
        }
        rest = first.rest;
    }
}

/// The first frame, if its header is complete.
fn first_of(bytes: &[u8], limit: u64) -> Result<Option<First<'_>>, &'static Reason> {
    let [first, second, rest @ ..] = bytes else { return Ok(None) };
    let (opcode, is_control, short) = (first & 15, first & 8 != 0, second & 127);
    let is_known = matches!(opcode, 0 | 1 | 2 | 8 | 9 | 10);
    let is_bad_control = is_control && (first & 128 == 0 || short > 125 || opcode == 8 && short == 1);
    if first & 112 != 0 || !is_known || second & 128 == 0 || is_bad_control {
        return Err(&close::PROTOCOL);
    }
    let digits = match short {
        126 => 2,
        127 => 8,
        _ => 0,
    };
    let Some((length, rest)) = rest.split_at_checked(digits) else { return Ok(None) };
    let length = match length {
        [] => u64::from(short),
        digits => digits.iter().fold(0, |length, byte| length << 8 | u64::from(*byte)),
    };
    if length >= 1 << 63 {
        return Err(&close::PROTOCOL);
    }
    if length > limit {
        return Err(&close::TOO_BIG);
    }
    let Some((mask, rest)) = rest.split_at_checked(4) else { return Ok(None) };
    let (payload, rest) = rest.split_at(rest.len().min(length as usize));
    let is_whole = payload.len() as u64 == length;
    let payload = payload.iter().zip(mask.iter().cycle()).map(|(byte, mask)| byte ^ mask).collect();
    Ok(Some(First { byte: *first, payload, is_whole, rest }))
}

/// The message that the session gets for a frame, `None` if the frame is not whole, or the close reason if it is not
/// allowed now or its content is invalid.
fn to_message(frame: First<'_>, begun: &mut Begun) -> Result<Option<Message>, &'static Reason> {
    let (is_last, opcode, payload) = (frame.byte & 128 != 0, frame.byte & 15, Bytes::from(frame.payload));
    if opcode < 8 {
        if (opcode == 0) != begun.is_some() {
            return Err(&close::PROTOCOL);
        }
        let (is_text, bytes) = begun.get_or_insert_with(|| (opcode == 1, Vec::new()));
        bytes.extend_from_slice(&payload);
        let wrong = std::str::from_utf8(bytes).err();
        let is_complete = is_last && frame.is_whole;
        if *is_text && wrong.is_some_and(|error| is_complete || error.error_len().is_some()) {
            return Err(&close::NOT_UTF8);
        }
        if is_complete {
            *begun = None;
        }
    }
    if !frame.is_whole {
        return Ok(None);
    }
    Ok(Some(match (opcode, is_last) {
        (0, false) => Message::Continuation(Item::Continue(payload)),
        (0, true) => Message::Continuation(Item::Last(payload)),
        (1, false) => Message::Continuation(Item::FirstText(payload)),
        (2, false) => Message::Continuation(Item::FirstBinary(payload)),
        (1, true) => Message::Text(payload.try_into().unwrap()),
        (2, true) => Message::Binary(payload),
        (9, _) => Message::Ping(payload),
        (10, _) => Message::Pong(payload),
        _ => Message::Close(parse_close(&payload).ok_or(&close::PROTOCOL)?),
    }))
}

fn parse_close(payload: &[u8]) -> Option<Option<CloseReason>> {
    let Some((code, reason)) = payload.split_first_chunk() else { return Some(None) };
    let (code, reason) = (u16::from_be_bytes(*code), std::str::from_utf8(reason).ok()?);
    if !matches!(code, 1000..=1003 | 1007..=1014 | 3000..=4999) {
        return None;
    }
    let description = Some(reason.to_owned()).filter(|reason| !reason.is_empty());
    Some(Some(CloseReason { code: code.into(), description }))
}

/// However the bytes are split, the reader returns every message before the first error, then the error, then nothing
/// more. Once the server has sent a close frame, the reader returns only the client's, or the error before it.
fn run(size: MessageLimits, data: &[u8]) {
    let Some((mode, bytes)) = data.split_first() else { return };
    let chunks = split(*mode, bytes);
    let (messages, error) = messages_of(bytes, size.bytes as u64);
    let (mut received, last) = read(chunks.clone(), size.bytes, false);
    assert_eq!(received, messages);
    assert_eq!(last, error);
    let mut assembly_check = AssemblyCheck::new(size);
    for message in received.drain(..) {
        if let Message::Continuation(piece) = message {
            assembly_check.add(piece);
        }
    }
    let (mut received, last) = read(chunks, size.bytes, true);
    let expected = close_frame_of(bytes, size.bytes as u64);
    // frames after the client's close frame are not read
    assert_eq!(received.drain(..).next().map(Ok).or(last.map(Err)), expected);
}

/// All messages that the reader returns, and the close reason for the error at their end.
fn read(chunks: Vec<Bytes>, limit: usize, closing: bool) -> (Vec<Message>, Option<&'static Reason>) {
    let budget = 2 + chunks.len();
    let chunks = stream::iter(chunks.into_iter().map(Ok::<_, PayloadError>));
    let mut frames = FrameReader::new(chunks, connection(), limit, Rc::new(Cell::new(closing)));
    let mut next =
        || (0..budget).find_map(|_| frames.next().now_or_never()).expect("the reader returns a frame or ends");
    let mut messages = Vec::new();
    loop {
        match next() {
            Some(Ok(message)) => messages.push(message),
            Some(Err(error)) => {
                assert!(next().is_none(), "a frame after the error");
                return (messages, Some(close_reason(&error)));
            }
            None => return (messages, None),
        }
    }
}

/// Splits the bytes into chunks. Their sizes depend on `mode`.
pub(super) fn split(mode: u8, mut bytes: &[u8]) -> Vec<Bytes> {
    let (mut chunks, mut state) = (Vec::new(), u32::from(mode));
    while !bytes.is_empty() {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        let max_len = if mode.is_multiple_of(4) { 1 } else { 1 << (mode % 8) };
        let (chunk, rest) = bytes.split_at((1 + (state >> 24) as usize % max_len).min(bytes.len()));
        chunks.push(Bytes::copy_from_slice(chunk));
        bytes = rest;
    }
    chunks
}

fn connection() -> Arc<Connection> {
    let time = Duration::from_secs(60);
    let timeouts = Timeouts { idle: time, join: time, ping_interval: None };
    let queue = QueueLimit { bytes: 65_536, age: time };
    let connection_limits =
        Arc::new(ConnectionLimits { timeouts, queue, clock: Arc::default(), memory: MemoryBudget::new(0) });
    let not_found = Arc::new(SharedTokenBucket::full(Rate::per_second(1, 1), Instant::now()));
    Arc::new(Connection::new(ConnectionId(1), Ipv4Addr::LOCALHOST.into(), connection_limits, not_found))
}

/// Assembles fragments, and checks that no message exceeds its limits.
struct AssemblyCheck {
    size: MessageLimits,
    assembly: Option<FragmentAssembler>,
    pieces: u32,
}

impl AssemblyCheck {
    fn new(size: MessageLimits) -> Self {
        Self { size, assembly: Some(FragmentAssembler::new(size, &connection())), pieces: 0 }
    }

    fn add(&mut self, piece: Item) {
        self.pieces += 1;
        match self.assembly.as_mut().map(|assembly| assembly.add(piece)) {
            Some(Ok(None)) => assert!(self.pieces <= self.size.fragments),
            Some(Ok(Some(frame))) => {
                assert!(
                    frame.size() <= self.size.bytes && self.pieces <= self.size.fragments,
                    "{} bytes",
                    frame.size()
                );
                self.pieces = 0;
            }
            // the connection closes because of this error
            Some(Err(_)) => self.assembly = None,
            None => {}
        }
    }
}
