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
pub(crate) enum Dialect {
    V4,
    V3,
    /// Revision 3, in text alone.
    V3Text,
}

/// A body to be sent.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Body {
    Text(String),
    Bytes(Vec<u8>),
}

impl Dialect {
    /// What the client's requests call it.
    pub(crate) fn revision(self) -> &'static str {
        match self {
            Self::V4 => "4",
            Self::V3 | Self::V3Text => "3",
        }
    }

    /// Reads what a client has sent, as bytes where it says so.
    pub(crate) fn read(self, body: &[u8], as_bytes: bool) -> Result<Vec<Frame>, Malformed> {
        match (self, as_bytes) {
            (Self::V4, true) => Err(Malformed),
            (Self::V4, false) => read_separated(std::str::from_utf8(body)?),
            (_, false) => read_counted(std::str::from_utf8(body)?),
            (_, true) => read_bytes(body),
        }
    }

    pub(crate) fn write(self, frames: &[Frame]) -> Body {
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
            frames.push(Frame::Text(decoded_twice(packet).map_or_else(|| packet.into(), Into::into)));
        }
        if frames.len() > MOST_PACKETS {
            return Err(Malformed);
        }
        body = rest;
    }
    Ok(frames)
}

/// What clients of Socket.IO 1.x mean, who write UTF-8 as if its bytes were characters, so that it is encoded
/// twice. Nothing when it cannot be that; no other client is likely to send what looks like it.
fn decoded_twice(packet: &str) -> Option<String> {
    if packet.is_ascii() {
        return None;
    }
    let bytes: Option<Vec<u8>> = packet.chars().map(|c| u8::try_from(u32::from(c)).ok()).collect();
    String::from_utf8(bytes?).ok()
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

#[cfg(test)]
mod tests {
    use super::*;

    fn bytes(bytes: &'static [u8]) -> Frame {
        Frame::Binary(Bytes::from_static(bytes))
    }

    #[test]
    fn what_is_written_is_read_again() {
        let old = [text("4hé😀"), bytes(&[4, 0, 255]), text("2")];
        assert_eq!(Dialect::V3.write(&old[..1]), Body::Text("5:4hé😀".to_owned()), "counted as JavaScript does");
        assert_eq!(Dialect::V3Text.write(&old), Body::Text("5:4hé😀6:b4AP8=1:2".to_owned()));
        let Body::Bytes(written) = Dialect::V3.write(&old) else { panic!("there are bytes in it") };
        assert_eq!(Dialect::V3.read(&written, true).unwrap(), old);
        let Body::Text(written) = Dialect::V4.write(&[text("4a"), bytes(&[0, 255])]) else { panic!("always text") };
        assert_eq!(written, "4a\u{1e}bAP8=");
        assert_eq!(Dialect::V4.read(written.as_bytes(), false).unwrap(), [text("4a"), text("bAP8=")]);
    }

    #[test]
    fn text_that_was_encoded_twice_is_read_as_it_was_meant() {
        let read = |body: &str| Dialect::V3.read(body.as_bytes(), false).unwrap();
        assert_eq!(read("6:4h\u{c3}\u{a9}llo".replace("6:", "7:").as_str()), [text("4héllo")]);
        assert_eq!(read("6:4héllo"), [text("4héllo")], "2.x does not");
    }

    #[test]
    fn what_is_no_payload_is_refused() {
        for body in ["", "4", ":", "2:4", "x:4", "-1:4", "1:4x", "9999999999:4", "1:😀"] {
            assert!(Dialect::V3.read(body.as_bytes(), false).is_err(), "{body}");
        }
        let bad: [&[u8]; 6] =
            [&[0], &[0, 1], &[0, 2, 255, 52], &[2, 1, 255, 52], &[0, 11, 255], &[0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 255]];
        for body in bad {
            assert!(Dialect::V3.read(body, true).is_err(), "{body:?}");
        }
        assert!(Dialect::V4.read(&[0xff], false).is_err());
        assert!(Dialect::V4.read(b"4", true).is_err());
        assert!(Dialect::V4.read("\u{1e}".repeat(MOST_PACKETS).as_bytes(), false).is_err());
    }
}
