//! Payloads of Engine.IO's long polling: several packets in the body of one request or response.
//!
//! Revision 4 separates the packets with a character and encodes binary ones in base64. Revision 3 puts its length
//! before each packet, counted in UTF-16 code units. It has a second, binary form for bodies with binary packets,
//! unless the client asked for base64 (`b64=1`).

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use bytes::Bytes;

use super::{MESSAGE, MESSAGE_BYTE};
use crate::protocol::{Frame, Malformed};

const SEPARATOR: char = '\u{1e}';
/// The maximum number of packets in one body. Without it a body of empty packets, a byte each, would take much memory.
const MAX_PACKETS: usize = 10_000;
/// The binary form of revision 3: the types of a text and of a binary packet, and the byte that ends a length.
const IS_TEXT: u8 = 0;
const IS_BINARY: u8 = 1;
const END_OF_LENGTH: u8 = 255;
/// The maximum number of digits in a length.
const MAX_DIGITS: usize = 9;

/// The payload format of one session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Dialect {
    V4,
    V3,
    /// Revision 3 with binary packets in base64.
    V3Text,
}

/// An encoded body.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Body {
    Text(String),
    Bytes(Vec<u8>),
}

impl Dialect {
    /// The revision as the client's requests name it, in `EIO`.
    pub(crate) fn revision(self) -> &'static str {
        match self {
            Self::V4 => "4",
            Self::V3 | Self::V3Text => "3",
        }
    }

    /// Decodes the body of a client's request. `is_binary` is whether it has a binary content type.
    pub(crate) fn read(self, body: &[u8], is_binary: bool) -> Result<Vec<Frame>, Malformed> {
        match (self, is_binary) {
            (Self::V4, true) => Err(Malformed),
            (Self::V4, false) => read_separated(std::str::from_utf8(body)?),
            (_, false) => read_length_prefixed(std::str::from_utf8(body)?),
            (_, true) => read_binary(body),
        }
    }

    pub(crate) fn write(self, frames: &[Frame]) -> Body {
        let has_binary = || frames.iter().any(|frame| matches!(frame, Frame::Binary(_)));
        match self {
            Self::V4 => Body::Text(write_separated(frames)),
            Self::V3 if has_binary() => Body::Bytes(write_binary(frames)),
            Self::V3 | Self::V3Text => Body::Text(write_length_prefixed(frames)),
        }
    }
}

fn text(packet: &str) -> Frame {
    Frame::Text(packet.into())
}

fn read_separated(body: &str) -> Result<Vec<Frame>, Malformed> {
    let frames: Vec<Frame> = body.split(SEPARATOR).take(MAX_PACKETS + 1).map(text).collect();
    if frames.len() > MAX_PACKETS { Err(Malformed) } else { Ok(frames) }
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
            Frame::Several(_) => debug_assert!(false, "the transport splits these"),
        }
    }
    body
}

fn read_length_prefixed(mut body: &str) -> Result<Vec<Frame>, Malformed> {
    let mut frames = Vec::new();
    if body.is_empty() {
        return Err(Malformed);
    }
    while !body.is_empty() {
        let (length, rest) = body.split_once(':').ok_or(Malformed)?;
        if length.len() > MAX_DIGITS || !length.bytes().all(|b| b.is_ascii_digit()) {
            return Err(Malformed);
        }
        let (packet, rest) = split_units(rest, length.parse()?).ok_or(Malformed)?;
        if !packet.is_empty() {
            frames.push(Frame::Text(undo_double_encoding(packet).map_or_else(|| packet.into(), Into::into)));
        }
        if frames.len() > MAX_PACKETS {
            return Err(Malformed);
        }
        body = rest;
    }
    Ok(frames)
}

/// Decodes a packet of a Socket.IO 1.x client, which encodes its text in UTF-8 twice. Returns nothing if the packet is
/// not encoded twice. Text of newer clients is unlikely to look like it.
fn undo_double_encoding(packet: &str) -> Option<String> {
    if packet.is_ascii() {
        return None;
    }
    let bytes: Option<Vec<u8>> = packet.chars().map(|c| u8::try_from(u32::from(c)).ok()).collect();
    String::from_utf8(bytes?).ok()
}

/// Splits `text` after `units` UTF-16 code units, JavaScript's unit of string length.
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

fn write_length_prefixed(frames: &[Frame]) -> String {
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
            Frame::Several(_) => debug_assert!(false, "the transport splits these"),
        }
    }
    body
}

fn read_binary(mut body: &[u8]) -> Result<Vec<Frame>, Malformed> {
    let mut frames = Vec::new();
    while let [packet_type, rest @ ..] = body {
        let digits = rest.iter().take(MAX_DIGITS + 1).position(|b| *b == END_OF_LENGTH).ok_or(Malformed)?;
        let length = rest[..digits].iter().try_fold(0_usize, |length, digit| match digit {
            0..=9 => Ok(length * 10 + usize::from(*digit)),
            _ => Err(Malformed),
        })?;
        let (packet, rest) = rest[digits + 1..].split_at_checked(length).ok_or(Malformed)?;
        frames.push(match *packet_type {
            IS_TEXT => text(std::str::from_utf8(packet)?),
            IS_BINARY => Frame::Binary(Bytes::copy_from_slice(packet)),
            _ => return Err(Malformed),
        });
        if frames.len() > MAX_PACKETS {
            return Err(Malformed);
        }
        body = rest;
    }
    Ok(frames)
}

fn write_binary(frames: &[Frame]) -> Vec<u8> {
    let mut body = Vec::new();
    for frame in frames {
        let (packet_type, packet): (u8, &[u8]) = match frame {
            Frame::Text(text) => (IS_TEXT, text.as_bytes()),
            Frame::Binary(bytes) => (IS_BINARY, bytes),
            Frame::Several(_) => {
                debug_assert!(false, "the transport splits these");
                continue;
            }
        };
        body.push(packet_type);
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
    fn an_encoded_body_decodes_to_the_same_packets() {
        let packets = [text("4hé😀"), bytes(&[4, 0, 255]), text("2")];
        assert_eq!(Dialect::V3.write(&packets[..1]), Body::Text("5:4hé😀".to_owned()), "UTF-16 code units");
        assert_eq!(Dialect::V3Text.write(&packets), Body::Text("5:4hé😀6:b4AP8=1:2".to_owned()));
        let Body::Bytes(body) = Dialect::V3.write(&packets) else { panic!("a binary packet needs a binary body") };
        assert_eq!(Dialect::V3.read(&body, true).unwrap(), packets);
        let Body::Text(body) = Dialect::V4.write(&[text("4a"), bytes(&[0, 255])]) else { panic!("always text") };
        assert_eq!(body, "4a\u{1e}bAP8=");
        assert_eq!(Dialect::V4.read(body.as_bytes(), false).unwrap(), [text("4a"), text("bAP8=")]);
    }

    #[test]
    fn doubly_encoded_text_is_decoded_twice() {
        let read = |body: &str| Dialect::V3.read(body.as_bytes(), false).unwrap();
        assert_eq!(read("6:4h\u{c3}\u{a9}llo".replace("6:", "7:").as_str()), [text("4héllo")]);
        assert_eq!(read("6:4héllo"), [text("4héllo")], "Socket.IO 2.x encodes once");
    }

    #[test]
    fn a_malformed_payload_is_rejected() {
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
        assert!(Dialect::V4.read("\u{1e}".repeat(MAX_PACKETS).as_bytes(), false).is_err());
    }
}
