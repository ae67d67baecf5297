//! The input format of the session targets: messages and events, divided by a byte that never occurs in UTF-8.

use super::seeds::bytes_of;
use crate::protocol::Frame;

const SEPARATOR: u8 = 0xFF;
/// First byte of a binary message.
const BINARY: u8 = 0xFE;
/// First byte of a part that is not a message, but events elsewhere in the broker.
const EVENTS: u8 = 0xFD;

/// One part of an input.
#[derive(Clone)]
pub(super) enum Part {
    Message(Frame),
    Events(Vec<u8>),
}

pub(super) fn parts(input: &[u8]) -> impl Iterator<Item = Part> + Clone {
    input.split(|byte| *byte == SEPARATOR).map(|part| match part {
        [EVENTS, events @ ..] => Part::Events(events.to_vec()),
        [BINARY, bytes @ ..] => Part::Message(Frame::Binary(bytes.to_vec().into())),
        text => Part::Message(match str::from_utf8(text) {
            Ok(text) => Frame::Text(text.into()),
            Err(_) => Frame::Binary(text.to_vec().into()),
        }),
    })
}

/// Encodes messages as an input, with `events` after each message.
pub(super) fn write(messages: &[Frame], events: &[u8]) -> Vec<u8> {
    let mut input = Vec::new();
    for frame in messages {
        if let Frame::Binary(_) = frame {
            input.push(BINARY);
        }
        input.extend_from_slice(&bytes_of(frame));
        if !events.is_empty() {
            input.extend_from_slice(&[SEPARATOR, EVENTS]);
            input.extend_from_slice(events);
        }
        input.push(SEPARATOR);
    }
    input
}
