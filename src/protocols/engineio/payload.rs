//! Payloads of Engine.IO's long polling: several packets in the body of one request or response.
//!
//! Revision 4 separates the packets with a character and encodes binary ones in base64. Revisions 2 and 3 have two
//! forms, and clients send both. The binary form has the length of each packet in bytes. The text form has it in UTF-16
//! code units, and binary packets in base64. Responses have the binary form, because clients of Socket.IO 1.0 to 1.3
//! discard any other, unless the client asked for text (`b64=1`).
//!
//! In revision 2 the text of a packet is a [byte string](byte_string). The text form has its characters as they are, the
//! binary form the bytes.

use std::borrow::Cow;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use bytes::Bytes;
use bytestring::ByteString;

use super::{MESSAGE, MESSAGE_BYTE, byte_string};
use crate::protocol::{Frame, Malformed};

const SEPARATOR: char = '\u{1e}';
/// The maximum number of packets in one body. Without it a body of empty packets, a byte each, would take much memory.
pub(crate) const MAX_PACKETS: usize = 10_000;
/// The binary form of revisions 2 and 3: the types of a text and of a binary packet, and the byte that ends a length.
const IS_TEXT: u8 = 0;
const IS_BINARY: u8 = 1;
const END_OF_LENGTH: u8 = 255;
/// The maximum number of digits in a length.
pub(crate) const MAX_DIGITS: usize = 9;

/// The payload format of one session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Dialect {
    V4,
    V3,
    /// Revision 3 with responses of text.
    V3Text,
    V2,
    /// Revision 2 with responses of text.
    V2Text,
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
            Self::V2 | Self::V2Text => "2",
        }
    }

    /// Decodes the body of a client's request. `is_binary` is whether it has a binary content type.
    pub(crate) fn read(self, body: &[u8], is_binary: bool) -> Result<Vec<Frame>, Malformed> {
        match (self, is_binary) {
            (Self::V4, true) => Err(Malformed),
            (Self::V4, false) => read_separated(std::str::from_utf8(body)?),
            (Self::V3 | Self::V3Text, false) => read_length_prefixed(std::str::from_utf8(body)?, encoded_once),
            (Self::V3 | Self::V3Text, true) => read_binary(body, |packet| Ok(std::str::from_utf8(packet)?.into())),
            (Self::V2 | Self::V2Text, false) => {
                read_length_prefixed(std::str::from_utf8(body)?, |packet| packet.into())
            }
            (Self::V2 | Self::V2Text, true) => read_binary(body, |packet| Ok(byte_string::of_bytes(packet).into())),
        }
    }

    pub(crate) fn write(self, frames: &[Frame]) -> Body {
        match self {
            Self::V4 => Body::Text(write_separated(frames)),
            Self::V3 => Body::Bytes(write_binary(frames, |text| Cow::Borrowed(text.as_bytes()))),
            Self::V2 => Body::Bytes(write_binary(frames, |text| Cow::Owned(byte_string::bytes(text)))),
            Self::V3Text | Self::V2Text => Body::Text(write_length_prefixed(frames)),
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

fn read_length_prefixed(mut body: &str, decode: fn(&str) -> ByteString) -> Result<Vec<Frame>, Malformed> {
    let mut frames = Vec::new();
    if body.is_empty() {
        return Err(Malformed);
    }
    while !body.is_empty() {
        let (length, rest) = body.split_once(':').ok_or(Malformed)?;
        let (packet, rest) = split_units(rest, length)?;
        if !packet.is_empty() {
            frames.push(Frame::Text(decode(packet)));
        }
        if frames.len() > MAX_PACKETS {
            return Err(Malformed);
        }
        body = rest;
    }
    Ok(frames)
}

/// A packet of revision 3. Clients of Socket.IO 1.x encode its text in UTF-8 twice, which is undone here. Text of later
/// clients is unlikely to look like it.
fn encoded_once(packet: &str) -> ByteString {
    byte_string::packet(packet).map_or_else(|_| packet.into(), |text| text.into_owned().into())
}

/// Splits `text` after `length` UTF-16 code units, JavaScript's unit of string length. `length` has only digits.
pub(crate) fn split_units<'a>(text: &'a str, length: &str) -> Result<(&'a str, &'a str), Malformed> {
    if length.len() > MAX_DIGITS || !length.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(Malformed);
    }
    let mut left: usize = length.parse()?;
    for (at, c) in text.char_indices() {
        if left == 0 {
            return Ok(text.split_at(at));
        }
        left = left.checked_sub(c.len_utf16()).ok_or(Malformed)?;
    }
    if left == 0 { Ok((text, "")) } else { Err(Malformed) }
}

/// The length of `text` in UTF-16 code units.
pub(crate) fn units(text: &str) -> usize {
    text.chars().map(char::len_utf16).sum()
}

fn write_length_prefixed(frames: &[Frame]) -> String {
    let mut body = String::new();
    let mut put = |packet: &str| {
        body.push_str(&units(packet).to_string());
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

fn read_binary(mut body: &[u8], text: fn(&[u8]) -> Result<ByteString, Malformed>) -> Result<Vec<Frame>, Malformed> {
    let mut frames = Vec::new();
    while let [packet_type, rest @ ..] = body {
        let digits = rest.iter().take(MAX_DIGITS + 1).position(|b| *b == END_OF_LENGTH).ok_or(Malformed)?;
        let length = rest[..digits].iter().try_fold(0_usize, |length, digit| match digit {
            0..=9 => Ok(length * 10 + usize::from(*digit)),
            _ => Err(Malformed),
        })?;
        let (packet, rest) = rest[digits + 1..].split_at_checked(length).ok_or(Malformed)?;
        frames.push(match *packet_type {
            IS_TEXT => Frame::Text(text(packet)?),
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

fn write_binary(frames: &[Frame], text_bytes: fn(&str) -> Cow<'_, [u8]>) -> Vec<u8> {
    let mut body = Vec::with_capacity(frames.iter().map(|frame| frame.size() + MAX_DIGITS + 2).sum());
    for frame in frames {
        let (packet_type, packet) = match frame {
            Frame::Text(text) => (IS_TEXT, text_bytes(text)),
            Frame::Binary(bytes) => (IS_BINARY, Cow::Borrowed(&**bytes)),
            Frame::Several(_) => {
                debug_assert!(false, "the transport splits these");
                continue;
            }
        };
        body.push(packet_type);
        body.extend(packet.len().to_string().bytes().map(|digit| digit - b'0'));
        body.push(END_OF_LENGTH);
        body.extend_from_slice(&packet);
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
        assert_eq!(Dialect::V3Text.write(&packets), Body::Text("5:4hé😀6:b4AP8=1:2".to_owned()), "UTF-16 code units");
        let body = [&[0, 8, 255][..], "4hé😀".as_bytes(), &[1, 3, 255, 4, 0, 255, 0, 1, 255], b"2"].concat();
        assert_eq!(Dialect::V3.write(&packets), Body::Bytes(body.clone()), "bytes");
        assert_eq!(Dialect::V3.read(&body, true).unwrap(), packets);
        let encoded = [text(&byte_string::of_bytes("4hé😀".as_bytes())), packets[1].clone(), packets[2].clone()];
        assert_eq!(Dialect::V2.write(&encoded), Body::Bytes(body.clone()), "the same bytes");
        assert_eq!(Dialect::V2.read(&body, true).unwrap(), encoded);
        let body = "8:4h\u{c3}\u{a9}\u{f0}\u{9f}\u{98}\u{80}6:b4AP8=1:2";
        assert_eq!(Dialect::V2Text.write(&encoded), Body::Text(body.to_owned()));
        assert_eq!(Dialect::V2Text.read(body.as_bytes(), false).unwrap()[0], encoded[0]);
        let Body::Text(body) = Dialect::V4.write(&[text("4a"), bytes(&[0, 255])]) else { panic!("always text") };
        assert_eq!(body, "4a\u{1e}bAP8=");
        assert_eq!(Dialect::V4.read(body.as_bytes(), false).unwrap(), [text("4a"), text("bAP8=")]);
    }

    #[test]
    fn doubly_encoded_text_is_decoded_twice() {
        let read = |body: &str| Dialect::V3.read(body.as_bytes(), false).unwrap();
        assert_eq!(read("7:4h\u{c3}\u{a9}llo"), [text("4héllo")]);
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
