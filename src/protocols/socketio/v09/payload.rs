//! Payloads of Socket.IO 0.9's polling: several packets in the body of one request or response.
//!
//! A packet that is alone is the body. Otherwise each packet follows its length, counted in UTF-16 code units, between
//! two U+FFFD.

use std::fmt::Write;

use crate::protocol::{Frame, Malformed};
use crate::protocols::engineio::payload::{MAX_PACKETS, split_units, units};

const MARK: char = '\u{fffd}';

/// Decodes the body of a client's request.
pub(crate) fn read(body: &str) -> Result<Vec<Frame>, Malformed> {
    if !body.starts_with(MARK) {
        return Ok(if body.is_empty() { Vec::new() } else { vec![Frame::Text(body.into())] });
    }
    let (mut frames, mut rest) = (Vec::new(), body);
    while !rest.is_empty() {
        let (length, after) = rest.strip_prefix(MARK).and_then(|rest| rest.split_once(MARK)).ok_or(Malformed)?;
        if frames.len() == MAX_PACKETS {
            return Err(Malformed);
        }
        let (packet, after) = split_units(after, length)?;
        frames.push(Frame::Text(packet.into()));
        rest = after;
    }
    Ok(frames)
}

/// Encodes the body of a response.
pub(crate) fn write(frames: &[Frame]) -> String {
    let packets: Vec<&str> = frames
        .iter()
        .filter_map(|frame| match frame {
            Frame::Text(text) => Some(&**text),
            Frame::Binary(_) | Frame::Several(_) => {
                debug_assert!(false, "the format has only text");
                None
            }
        })
        .collect();
    if let [packet] = packets[..] {
        return packet.to_owned();
    }
    let mut body = String::with_capacity(packets.iter().map(|packet| packet.len() + 16).sum());
    for packet in packets {
        let _ = write!(body, "{MARK}{}{MARK}{packet}", units(packet));
    }
    body
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frames(packets: &[&str]) -> Vec<Frame> {
        packets.iter().map(|packet| Frame::Text((*packet).into())).collect()
    }

    #[test]
    fn a_payload_counts_utf_16_code_units() {
        let packets = frames(&[r#"6:::3+["one"]"#, r#"6:::4+["two😀"]"#, "6:::5"]);
        let body = "\u{fffd}13\u{fffd}6:::3+[\"one\"]\u{fffd}15\u{fffd}6:::4+[\"two😀\"]\u{fffd}5\u{fffd}6:::5";
        assert_eq!(write(&packets), body);
        assert_eq!(read(body), Ok(packets));
        let marked = frames(&["3:::\u{fffd}1\u{fffd}", "", "3:::"]);
        assert_eq!(read(&write(&marked)), Ok(marked));
    }

    #[test]
    fn a_single_packet_is_read_with_and_without_its_length() {
        for (body, packets) in [("", &[][..]), ("3:::a", &["3:::a"]), ("\u{fffd}5\u{fffd}3:::a", &["3:::a"])] {
            assert_eq!(read(body), Ok(frames(packets)), "{body}");
        }
        assert_eq!(write(&frames(&["1::"])), "1::");
    }

    #[test]
    fn a_malformed_payload_is_rejected() {
        let many = "\u{fffd}0\u{fffd}".repeat(MAX_PACKETS + 1);
        assert_eq!(read(&"\u{fffd}0\u{fffd}".repeat(MAX_PACKETS)).map(|frames| frames.len()), Ok(MAX_PACKETS));
        for body in [
            "\u{fffd}",
            "\u{fffd}5",
            "\u{fffd}\u{fffd}a",
            "\u{fffd}5\u{fffd}3::",
            "\u{fffd}4\u{fffd}3:::a",
            "\u{fffd}1\u{fffd}😀",
            "\u{fffd}-1\u{fffd}a",
            "\u{fffd}+1\u{fffd}a",
            "\u{fffd}9999999999\u{fffd}a",
            "\u{fffd}999999999\u{fffd}a",
            &many,
        ] {
            assert_eq!(read(body), Err(Malformed), "{}", &body[..body.len().min(40)]);
        }
    }
}
