//! The guard on a WebSocket's bytes, however they are cut, and the messages that are put together behind it.

use std::net::Ipv4Addr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use actix_http::ws::{Item, OpCode, Parser};
use actix_web::error::PayloadError;
use bytes::{Bytes, BytesMut};
use futures_util::{FutureExt, StreamExt, stream};

use super::seeds::{Line, bytes_of, transcripts};
use super::{SMALL, Target};
use crate::allowance::{Allowance, Bound, Patience};
use crate::close::{self, Reason};
use crate::connection::{Connection, ConnectionId};
use crate::guard::{Gate, Guard, Headers};
use crate::protocol::Frame;
use crate::rate::{Pool, Rate};
use crate::transports::websocket::{Assembly, Size};

/// Bounds that are soon met, and those that a node has by default.
const NARROW: Size = Size { bytes: 300, fragments: 5 };
const USUAL: Size = Size { bytes: 65_536, fragments: 1_024 };

const WORDS: &[&str] = &["\u{1}\u{80}"];

pub(super) const TARGETS: &[Target] = &[
    Target { name: "websocket", run: |data| run(NARROW, data), seeds, words: WORDS, most: SMALL },
    Target { name: "websocket_usual", run: |data| run(USUAL, data), seeds: large, words: WORDS, most: 70_000 },
];

/// What every transcript's clients say, framed, and cut in several ways: the first byte says how.
fn seeds() -> Vec<Vec<u8>> {
    let framed = |line: Line| match line {
        Line::Say(Frame::Text(text)) => framed(0x81, text.as_bytes()),
        Line::Say(frame) => framed(0x82, &bytes_of(&frame)),
        Line::Frame(first, payload) => framed(first, &payload),
        Line::Raw(bytes) => bytes,
        Line::Connect(_) => Vec::new(),
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

/// The first frame that must not pass, and where it begins: RFC 6455, section 5.2, read once more.
fn first_bad(bytes: &[u8], limit: u64) -> Option<(usize, &'static Reason)> {
    let mut at = 0;
    loop {
        let [first, second, rest @ ..] = bytes.get(at..)? else { return None };
        let (opcode, is_control, short) = (first & 15, first & 8 != 0, second & 127);
        let is_known = matches!(opcode, 0 | 1 | 2 | 8 | 9 | 10);
        let is_odd = is_control && (first & 128 == 0 || short > 125 || opcode == 8 && short == 1);
        if first & 112 != 0 || !is_known || second & 128 == 0 || is_odd {
            return Some((at, &close::PROTOCOL));
        }
        let digits = match short {
            126 => rest.get(..2)?,
            127 => rest.get(..8)?,
            _ => &[short],
        };
        let length = digits.iter().fold(0_u64, |length, byte| length << 8 | u64::from(*byte));
        if length >= 1 << 63 {
            return Some((at, &close::PROTOCOL));
        }
        if length > limit {
            return Some((at, &close::TOO_BIG));
        }
        at += 2 + if short < 126 { 0 } else { digits.len() } + 4 + length as usize;
    }
}

fn run(size: Size, data: &[u8]) {
    let Some((how, bytes)) = data.split_first() else { return };
    let chunks = cut(*how, bytes);
    let bad = first_bad(bytes, size.bytes as u64);
    let mut headers = Headers::new(size.bytes as u64);
    let mut at = 0;
    for chunk in &chunks {
        if let Err(found) = headers.read(chunk) {
            let (begins, reason) = bad.expect("a header that is bad");
            assert_eq!(found.reason, reason);
            assert!(if found.at > 0 { at + found.at == begins } else { begins <= at }, "{} in {chunks:?}", found.at);
            break;
        }
        at += chunk.len();
    }
    assert!(at < bytes.len() || bad.is_none() || bytes.is_empty(), "{bad:?} has passed");
    guarded(size, chunks, bad, bytes);
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

/// The guard lets all pass that comes before the bad frame, or the chunk it began in, and then says why it has shut. It
/// waits for each frame to be handled that has passed, and for nothing else.
fn guarded(size: Size, chunks: Vec<Bytes>, bad: Option<(usize, &'static Reason)>, bytes: &[u8]) {
    let (gate, count) = (Gate::default(), chunks.len());
    let stream = stream::iter(chunks.into_iter().map(Ok::<_, PayloadError>));
    let mut guard = Guard::new(stream, connection(), size.bytes, gate.clone());
    let (mut passed, mut is_shut, mut desk) = (0, false, Desk::new(size));
    // it gives others a turn now and then
    for _ in 0..=2 * count + 2 {
        match guard.next().now_or_never() {
            Some(Some(Ok(chunk))) => {
                assert!(!is_shut, "something has passed after the end");
                assert_eq!(bytes[passed..passed + chunk.len()], chunk);
                passed += chunk.len();
                (0..desk.read(&chunk)).for_each(|_| gate.handled());
            }
            Some(Some(Err(_))) => is_shut = true,
            Some(None) => break,
            None => assert!(is_shut, "it waits for a frame that nobody has"),
        }
    }
    assert_eq!((is_shut, gate.fault()), (bad.is_some(), bad.map(|(_, reason)| reason)));
    match bad {
        // of a header that is cut, a part has passed before it could be judged
        Some((begins, _)) => assert!((begins..begins + 14).contains(&passed), "{passed} passed"),
        None => assert_eq!(passed, bytes.len()),
    }
}

fn connection() -> Arc<Connection> {
    let time = Duration::from_secs(60);
    let patience = Patience { idle: time, unjoined: time, ping: None };
    let bound = Bound { bytes: 65_536, age: time };
    let allowance = Arc::new(Allowance { patience, bound });
    let misses = Arc::new(Pool::full(Rate::per_second(1, 1), Instant::now()));
    Arc::new(Connection::new(ConnectionId(1), Ipv4Addr::LOCALHOST.into(), allowance, misses))
}

/// What is behind the guard: the codec finds nothing too long, and no message is larger than it may be.
struct Desk {
    size: Size,
    bytes: BytesMut,
    assembly: Option<Assembly>,
    pieces: u32,
}

impl Desk {
    fn new(size: Size) -> Self {
        Self { size, bytes: BytesMut::new(), assembly: Some(Assembly::new(size)), pieces: 0 }
    }

    /// Takes a chunk; says how many frames have become whole.
    fn read(&mut self, chunk: &[u8]) -> usize {
        self.bytes.extend_from_slice(chunk);
        let mut frames = 0;
        loop {
            match Parser::parse(&mut self.bytes, true, self.size.bytes) {
                Ok(Some((is_last, opcode, payload))) => self.add(is_last, opcode, payload.unwrap_or_default().freeze()),
                Ok(None) => return frames,
                Err(error) => panic!("the guard has let pass: {error}"),
            }
            frames += 1;
        }
    }

    fn add(&mut self, is_last: bool, opcode: OpCode, payload: Bytes) {
        assert!(payload.len() <= self.size.bytes);
        let item = match (is_last, opcode) {
            (false, OpCode::Text) => Item::FirstText(payload),
            (false, OpCode::Binary) => Item::FirstBinary(payload),
            (false, OpCode::Continue) => Item::Continue(payload),
            (true, OpCode::Continue) => Item::Last(payload),
            _ => return,
        };
        self.pieces += 1;
        match self.assembly.as_mut().map(|assembly| assembly.add(item)) {
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
