//! Many messages in one input: they are divided by a byte that no text has.

use super::seeds::bytes_of;
use crate::protocol::Frame;

const NEXT: u8 = 0xFF;
/// Begins a message of bytes.
const BYTES: u8 = 0xFE;
/// Begins what is no message, but happens on the other side.
const EVENTS: u8 = 0xFD;

/// One part of a tape.
#[derive(Clone)]
pub(super) enum Part {
    Says(Frame),
    Happens(Vec<u8>),
}

pub(super) fn parts(tape: &[u8]) -> impl Iterator<Item = Part> + Clone {
    tape.split(|byte| *byte == NEXT).map(|part| match part {
        [EVENTS, events @ ..] => Part::Happens(events.to_vec()),
        [BYTES, bytes @ ..] => Part::Says(Frame::Binary(bytes.to_vec().into())),
        text => Part::Says(match str::from_utf8(text) {
            Ok(text) => Frame::Text(text.into()),
            Err(_) => Frame::Binary(text.to_vec().into()),
        }),
    })
}

/// A conversation, as a tape; after each message `events` happens.
pub(super) fn write(said: &[Frame], events: &[u8]) -> Vec<u8> {
    let mut tape = Vec::new();
    for frame in said {
        if let Frame::Binary(_) = frame {
            tape.push(BYTES);
        }
        tape.extend_from_slice(&bytes_of(frame));
        if !events.is_empty() {
            tape.extend_from_slice(&[NEXT, EVENTS]);
            tape.extend_from_slice(events);
        }
        tape.push(NEXT);
    }
    tape
}
