//! Several packets in the body of one request or answer, for clients that poll.
//!
//! Revision 4 puts a separator between packets and writes bytes in base64. Revision 3 puts each packet's
//! length before it, counted in the units of JavaScript's strings, and has a second form for bodies with bytes
//! in them, unless the client has asked for base64 (`b64=1`).

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use bytes::Bytes;

use super::{MESSAGE, MESSAGE_BYTE};
use crate::protocol::{Frame, Malformed};

const SEPARATOR: char = '\u{1e}';
/// How many packets one body may hold: an empty one takes a byte here, and much more in memory.
const MOST_PACKETS: usize = 10_000;
/// In the second form of revision 3: what follows is text, or bytes; and where its length ends.
const IS_TEXT: u8 = 0;
const IS_BYTES: u8 = 1;
const END_OF_LENGTH: u8 = 255;
/// How many digits a length may have.
const MOST_DIGITS: usize = 9;

/// How one session's bodies are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Dialect {
    V4,
    V3,
    /// Revision 3, in text alone.
    V3Text,
}

/// A body to be sent.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Body {
    Text(String),
    Bytes(Vec<u8>),
}

impl Dialect {
    /// What the client's requests call it.
    pub(super) fn revision(self) -> &'static str {
        match self {
            Self::V4 => "4",
            Self::V3 | Self::V3Text => "3",
        }
    }

    /// Reads what a client has sent, as bytes where it says so.
    pub(super) fn read(self, body: &[u8], as_bytes: bool) -> Result<Vec<Frame>, Malformed> {
        match (self, as_bytes) {
            (Self::V4, true) => Err(Malformed),
            (Self::V4, false) => read_separated(std::str::from_utf8(body)?),
            (_, false) => read_counted(std::str::from_utf8(body)?),
            (_, true) => read_bytes(body),
        }
    }

    pub(super) fn write(self, frames: &[Frame]) -> Body {
        let has_bytes = || frames.iter().any(|frame| matches!(frame, Frame::Binary(_)));
        match self {
            Self::V4 => Body::Text(write_separated(frames)),
            Self::V3 if has_bytes() => Body::Bytes(write_bytes(frames)),
            Self::V3 | Self::V3Text => Body::Text(write_counted(frames)),
        }
    }
}

fn text(packet: &str) -> Frame {
    Frame::Text(packet.into())
}

fn read_separated(body: &str) -> Result<Vec<Frame>, Malformed> {
    let frames: Vec<Frame> = body.split(SEPARATOR).take(MOST_PACKETS + 1).map(text).collect();
    if frames.len() > MOST_PACKETS { Err(Malformed) } else { Ok(frames) }
}

fn write_separated(frames: &[Frame]) -> String {
    let mut body = String::with_capacity(frames.iter().map(|frame| frame.size() + 1).sum());
    for frame in frames {
        if !body.is_empty() {
            body.push(SEPARATOR);
        }
        match frame {
            Frame::Text(text) => body.push_str(text),
            Frame::Binary(bytes) => {
                body.push('b');
                BASE64_STANDARD.encode_string(bytes, &mut body);
            }
            Frame::Several(_) => debug_assert!(false, "the transport takes them apart"),
        }
    }
    body
}

fn read_counted(mut body: &str) -> Result<Vec<Frame>, Malformed> {
    let mut frames = Vec::new();
    if body.is_empty() {
        return Err(Malformed);
    }
    while !body.is_empty() {
        let (length, rest) = body.split_once(':').ok_or(Malformed)?;
        if length.len() > MOST_DIGITS || !length.bytes().all(|b| b.is_ascii_digit()) {
            return Err(Malformed);
        }
        let (packet, rest) = split_units(rest, length.parse()?).ok_or(Malformed)?;
        if !packet.is_empty() {
            frames.push(text(packet));
        }
        if frames.len() > MOST_PACKETS {
            return Err(Malformed);
        }
        body = rest;
    }
    Ok(frames)
}

/// Splits after so many units of UTF-16, which is how JavaScript counts.
fn split_units(text: &str, units: usize) -> Option<(&str, &str)> {
    let mut left = units;
    for (at, c) in text.char_indices() {
        if left == 0 {
            return Some(text.split_at(at));
        }
        left = left.checked_sub(c.len_utf16())?;
    }
    (left == 0).then_some((text, ""))
}

fn write_counted(frames: &[Frame]) -> String {
    let mut body = String::new();
    let mut put = |packet: &str| {
        let units: usize = packet.chars().map(char::len_utf16).sum();
        body.push_str(&units.to_string());
        body.push(':');
        body.push_str(packet);
    };
    for frame in frames {
        match frame {
            Frame::Text(text) => put(text),
            Frame::Binary(bytes) => {
                let message = bytes.strip_prefix(&[MESSAGE_BYTE]).unwrap_or(bytes);
                put(&format!("b{MESSAGE}{}", BASE64_STANDARD.encode(message)));
            }
            Frame::Several(_) => debug_assert!(false, "the transport takes them apart"),
        }
    }
    body
}

fn read_bytes(mut body: &[u8]) -> Result<Vec<Frame>, Malformed> {
    let mut frames = Vec::new();
    while let [kind, rest @ ..] = body {
        let digits = rest.iter().take(MOST_DIGITS + 1).position(|b| *b == END_OF_LENGTH).ok_or(Malformed)?;
        let length = rest[..digits].iter().try_fold(0_usize, |length, digit| match digit {
            0..=9 => Ok(length * 10 + usize::from(*digit)),
            _ => Err(Malformed),
        })?;
        let (packet, rest) = rest[digits + 1..].split_at_checked(length).ok_or(Malformed)?;
        frames.push(match *kind {
            IS_TEXT => text(std::str::from_utf8(packet)?),
            IS_BYTES => Frame::Binary(Bytes::copy_from_slice(packet)),
            _ => return Err(Malformed),
        });
        if frames.len() > MOST_PACKETS {
            return Err(Malformed);
        }
        body = rest;
    }
    Ok(frames)
}

fn write_bytes(frames: &[Frame]) -> Vec<u8> {
    let mut body = Vec::new();
    for frame in frames {
        let (kind, packet): (u8, &[u8]) = match frame {
            Frame::Text(text) => (IS_TEXT, text.as_bytes()),
            Frame::Binary(bytes) => (IS_BYTES, bytes),
            Frame::Several(_) => {
                debug_assert!(false, "the transport takes them apart");
                continue;
            }
        };
        body.push(kind);
        body.extend(packet.len().to_string().bytes().map(|digit| digit - b'0'));
        body.push(END_OF_LENGTH);
        body.extend_from_slice(packet);
    }
    body
}
