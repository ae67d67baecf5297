//! The frames that come out of a WebSocket's bytes, however they are cut, and the messages that are put together of them.

use std::net::Ipv4Addr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use actix_http::ws::{CloseReason, Item, Message};
use actix_web::error::PayloadError;
use bytes::Bytes;
use futures_util::{FutureExt, StreamExt, stream};

use super::seeds::{Writer, bytes_of, transcripts};
use super::{SMALL, Target};
use crate::close::{self, Reason};
use crate::connections::connection::{Connection, ConnectionId};
use crate::connections::limits::{ConnectionLimits, QueueLimit, Timeouts};
use crate::connections::token_bucket::{Rate, SharedTokenBucket};
use crate::protocol::Frame;
use crate::transports::websocket::frame_reader::FrameReader;
use crate::transports::websocket::{FragmentAssembler, MessageLimits, close_reason};

/// Bounds that are soon met, and those that a node has by default.
const NARROW: MessageLimits = MessageLimits { bytes: 300, fragments: 5 };
const USUAL: MessageLimits = MessageLimits { bytes: 65_536, fragments: 1_024 };

const WORDS: &[&str] = &["\u{1}\u{80}"];

pub(super) const TARGETS: &[Target] = &[
    Target { name: "websocket", run: |data| run(NARROW, data), seeds, words: WORDS, most: SMALL },
    Target { name: "websocket_usual", run: |data| run(USUAL, data), seeds: large, words: WORDS, most: 70_000 },
];

/// What every transcript's clients say, framed, and cut in several ways: the first byte says how.
fn seeds() -> Vec<Vec<u8>> {
    let framed = |line: Writer| match line {
        Writer::Say(Frame::Text(text)) => framed(0x81, text.as_bytes()),
        Writer::Say(frame) => framed(0x82, &bytes_of(&frame)),
        Writer::Frame(first, payload) => framed(first, &payload),
        Writer::Raw(bytes) => bytes,
        Writer::Connect(_) => Vec::new(),
    };
    let all = ["phoenix", "hello"].into_iter().flat_map(transcripts);
    let wires = all.map(|lines| lines.into_iter().map(framed).collect::<Vec<_>>().concat());
    wires.enumerate().map(|(n, wire)| [vec![n as u8 * 7], wire].concat()).collect()
}

/// What is as large, or in as many pieces, as it may be, and what is beyond that by one.
fn large() -> Vec<Vec<u8>> {
    let whole = [65_535, 65_536, 65_537].map(|bytes| framed(0x82, &vec![0; bytes]));
    let halves =
        [32_768, 32_769].map(|bytes| [framed(0x01, &vec![b'x'; bytes]), framed(0x80, &[b'x'; 32_768])].concat());
    let pieces = [1_024, 1_025].map(|count| {
        let piece = |n| if n == 0 { framed(0x02, b"") } else { framed(if n + 1 == count { 0x80 } else { 0 }, b"x") };
        (0..count).flat_map(piece).collect::<Vec<u8>>()
    });
    let wires = whole.into_iter().chain(halves).chain(pieces);
    // behind each of them there is more to come
    wires.enumerate().map(|(n, wire)| [&[n as u8 * 3 + 5], &wire[..], &framed(0x89, b"more")].concat()).collect()
}

pub(super) fn framed(first: u8, payload: &[u8]) -> Vec<u8> {
    let length = match payload.len() {
        short @ 0..126 => vec![0x80 | short as u8],
        middle @ 126..65_536 => [&[0x80 | 126][..], &(middle as u16).to_be_bytes()].concat(),
        long => [&[0x80 | 127][..], &(long as u64).to_be_bytes()].concat(),
    };
    [&[first][..], &length, &[0; 4], payload].concat()
}

/// A frame's first byte, and its payload.
type Framed = (u8, Vec<u8>);

/// The whole frames before the first that must not come, and why that must not: RFC 6455, section 5.2, read once more.
fn frames_of(bytes: &[u8], limit: u64) -> (Vec<Framed>, Option<&'static Reason>) {
    let (mut frames, mut rest) = (Vec::new(), bytes);
    let bad = loop {
        let Some((frame, behind)) = (match first_of(rest, limit) {
            Ok(first) => first,
            Err(reason) => break Some(reason),
        }) else {
            break None;
        };
        frames.push(frame);
        rest = behind;
    };
    (frames, bad)
}

/// The first frame, if it is there, and what is behind it.
fn first_of(bytes: &[u8], limit: u64) -> Result<Option<(Framed, &[u8])>, &'static Reason> {
    let [first, second, rest @ ..] = bytes else { return Ok(None) };
    let (opcode, is_control, short) = (first & 15, first & 8 != 0, second & 127);
    let is_known = matches!(opcode, 0 | 1 | 2 | 8 | 9 | 10);
    let is_odd = is_control && (first & 128 == 0 || short > 125 || opcode == 8 && short == 1);
    if first & 112 != 0 || !is_known || second & 128 == 0 || is_odd {
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
    let Some((payload, behind)) = rest.split_at_checked(length as usize) else { return Ok(None) };
    let payload = payload.iter().zip(mask.iter().cycle()).map(|(byte, mask)| byte ^ mask).collect();
    Ok(Some(((*first, payload), behind)))
}

/// What the frame is to its session, `begun` saying whether a message has that comes in pieces; nothing when it must not
/// come now, or says what nobody may say.
fn meant((first, payload): Framed, begun: &mut bool) -> Option<Message> {
    let (is_last, opcode, payload) = (first & 128 != 0, first & 15, Bytes::from(payload));
    let is_piece = opcode == 0;
    if opcode < 8 {
        if is_piece != *begun {
            return None;
        }
        *begun = !is_last;
    }
    Some(match (opcode, is_last) {
        (0, false) => Message::Continuation(Item::Continue(payload)),
        (0, true) => Message::Continuation(Item::Last(payload)),
        (1, false) => Message::Continuation(Item::FirstText(payload)),
        (2, false) => Message::Continuation(Item::FirstBinary(payload)),
        (1, true) => Message::Text(payload.try_into().ok()?),
        (2, true) => Message::Binary(payload),
        (9, _) => Message::Ping(payload),
        (10, _) => Message::Pong(payload),
        _ => Message::Close(farewell(&payload)?),
    })
}

fn farewell(payload: &[u8]) -> Option<Option<CloseReason>> {
    let Some((code, words)) = payload.split_first_chunk() else { return Some(None) };
    let (code, words) = (u16::from_be_bytes(*code), std::str::from_utf8(words).ok()?);
    if !matches!(code, 1000..=1003 | 1007..=1014 | 3000..=4999) {
        return None;
    }
    let description = Some(words.to_owned()).filter(|words| !words.is_empty());
    Some(Some(CloseReason { code: code.into(), description }))
}

/// Of whatever comes, in whatever chunks, all is handed out that comes before a bad header, then why that is bad, and
/// nothing more.
fn run(size: MessageLimits, data: &[u8]) {
    let Some((how, bytes)) = data.split_first() else { return };
    let chunks = cut(*how, bytes);
    let budget = 2 + chunks.len();
    let mut frames =
        FrameReader::new(stream::iter(chunks.into_iter().map(Ok::<_, PayloadError>)), connection(), size.bytes);
    let (expected, bad) = frames_of(bytes, size.bytes as u64);
    let mut next = || (0..budget).find_map(|_| frames.next().now_or_never()).expect("it hands out, or ends");
    let (mut begun, mut desk) = (false, ReadyQueue::new(size));
    for frame in expected {
        let told = next().expect("a frame is missing");
        assert_eq!(told.as_ref().ok(), meant(frame, &mut begun).as_ref());
        if let Ok(Message::Continuation(piece)) = told {
            desk.add(piece);
        }
    }
    if let Some(reason) = bad {
        let told = next().expect("the fault is missing");
        assert_eq!(told.as_ref().map_err(close_reason), Err(reason));
    }
    assert!(next().is_none(), "something has come after the end");
}

/// Chunks of sizes that follow from `how`.
pub(super) fn cut(how: u8, mut bytes: &[u8]) -> Vec<Bytes> {
    let (mut chunks, mut state) = (Vec::new(), u32::from(how));
    while !bytes.is_empty() {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        let most = if how.is_multiple_of(4) { 1 } else { 1 << (how % 8) };
        let (chunk, rest) = bytes.split_at((1 + (state >> 24) as usize % most).min(bytes.len()));
        chunks.push(Bytes::copy_from_slice(chunk));
        bytes = rest;
    }
    chunks
}

fn connection() -> Arc<Connection> {
    let time = Duration::from_secs(60);
    let timeouts = Timeouts { idle: time, join: time, ping_interval: None };
    let queue = QueueLimit { bytes: 65_536, age: time };
    let connection_limits = Arc::new(ConnectionLimits { timeouts, queue });
    let misses = Arc::new(SharedTokenBucket::full(Rate::per_second(1, 1), Instant::now()));
    Arc::new(Connection::new(ConnectionId(1), Ipv4Addr::LOCALHOST.into(), connection_limits, misses))
}

/// What is behind it: no message is larger than it may be.
struct ReadyQueue {
    size: MessageLimits,
    assembly: Option<FragmentAssembler>,
    pieces: u32,
}

impl ReadyQueue {
    fn new(size: MessageLimits) -> Self {
        Self { size, assembly: Some(FragmentAssembler::new(size)), pieces: 0 }
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
            // the connection ends over it
            Some(Err(_)) => self.assembly = None,
            None => {}
        }
    }
}
