//! A guard on the bytes that come in: it reads the headers of WebSocket frames as they arrive, so that a
//! frame is refused by what it declares, before anything of it is kept.
//!
//! The codec behind it compares a length only once the whole frame lies in memory, and reads on after
//! an error. Here a bad header is the last thing that passes: whatever follows is read and dropped, so
//! that the client still receives the close frame that says why.
//!
//! The codec also takes all that there is before it reads the first frame of it, while its actor handles
//! only some frames at a time. So nothing more passes before all frames that have passed are handled.

use std::cell::Cell;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll};

use actix_web::error::PayloadError;
use bytes::Bytes;
use futures_util::Stream;

use crate::close::{self, Reason};
use crate::connection::Connection;

/// How many chunks are dropped before others get a turn.
const DROPPED_A_TURN: usize = 16;

/// What a guard and the session behind it tell each other.
#[derive(Clone, Default)]
pub(crate) struct Gate(Rc<Passed>);

#[derive(Default)]
struct Passed {
    fault: Cell<Option<&'static Reason>>,
    /// Whole frames that have passed, and are not handled yet.
    frames: Cell<usize>,
}

impl Gate {
    /// Why the guard has shut, for the session that must say so.
    pub(crate) fn fault(&self) -> Option<&'static Reason> {
        self.0.fault.take()
    }

    /// The session has handled a frame.
    pub(crate) fn handled(&self) {
        self.0.frames.set(self.0.frames.get().saturating_sub(1));
    }
}

/// The stream of a connection's bytes, as long as they are frames.
pub(crate) struct Guard<S> {
    bytes: S,
    connection: Arc<Connection>,
    headers: Headers,
    gate: Gate,
    /// Why to shut, once what came before it has been read.
    bad: Option<&'static Reason>,
    is_shut: bool,
}

impl<S> Guard<S> {
    /// Lets frames of at most `limit` bytes pass. The fault is set before the stream's error is read.
    pub(crate) fn new(bytes: S, connection: Arc<Connection>, limit: usize, gate: Gate) -> Self {
        Self { bytes, connection, headers: Headers::new(limit as u64), gate, bad: None, is_shut: false }
    }

    fn shut(&mut self, reason: &'static Reason) -> PayloadError {
        self.is_shut = true;
        self.gate.0.fault.set(Some(reason));
        PayloadError::Overflow
    }
}

impl<S> Stream for Guard<S>
where
    S: Stream<Item = Result<Bytes, PayloadError>> + Unpin,
{
    type Item = Result<Bytes, PayloadError>;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let this = self.get_mut();
        if this.gate.0.frames.get() > 0 {
            // whoever asks has a frame to handle, and asks again after that
            return Poll::Pending;
        }
        if let Some(reason) = this.bad.take() {
            return Poll::Ready(Some(Err(this.shut(reason))));
        }
        for _ in 0..DROPPED_A_TURN {
            let chunk = match Pin::new(&mut this.bytes).poll_next(cx) {
                Poll::Ready(Some(Ok(chunk))) => chunk,
                // the connection has ended in the middle of its body, as it always does; no frame was wrong
                Poll::Ready(Some(Err(_)) | None) => return Poll::Ready(None),
                Poll::Pending => return Poll::Pending,
            };
            if this.is_shut {
                continue;
            }
            this.connection.hear();
            let read = this.headers.read(&chunk);
            this.gate.0.frames.set(this.headers.take_whole());
            match read {
                Ok(()) => return Poll::Ready(Some(Ok(chunk))),
                Err(Bad { reason, at: 0 }) => return Poll::Ready(Some(Err(this.shut(reason)))),
                Err(Bad { reason, at }) => {
                    // the frames before the bad one are good, and are heard
                    this.bad = Some(reason);
                    return Poll::Ready(Some(Ok(chunk.slice(..at))));
                }
            }
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    }
}

/// A header that gives a reason to end the connection.
#[derive(Debug)]
pub(crate) struct Bad {
    pub(crate) reason: &'static Reason,
    /// Where in the chunk it begins; 0 when it began in an earlier one.
    pub(crate) at: usize,
}

/// Reads frame headers (RFC 6455, section 5.2) out of chunks of any size.
pub(crate) struct Headers {
    limit: u64,
    header: [u8; 14],
    filled: usize,
    /// How much of the current frame's payload is still to come.
    payload: u64,
    /// How many frames have been whole since this was last asked.
    whole: usize,
}

impl Headers {
    pub(crate) fn new(limit: u64) -> Self {
        Self { limit, header: [0; 14], filled: 0, payload: 0, whole: 0 }
    }

    /// Goes over one chunk.
    ///
    /// # Errors
    /// The first header that is bad, and where in the chunk it begins.
    pub(crate) fn read(&mut self, chunk: &[u8]) -> Result<(), Bad> {
        let (mut at, mut header) = (0, 0);
        while at < chunk.len() {
            if self.payload > 0 {
                let skipped = (chunk.len() - at).min(usize::try_from(self.payload).unwrap_or(usize::MAX));
                at += skipped;
                self.payload -= skipped as u64;
                self.whole += usize::from(self.payload == 0);
                continue;
            }
            if self.filled == 0 {
                header = at;
            }
            self.header[self.filled] = chunk[at];
            self.filled += 1;
            at += 1;
            if self.filled >= 2 {
                self.look().map_err(|reason| Bad { reason, at: header })?;
            }
        }
        Ok(())
    }

    fn look(&mut self) -> Result<(), &'static Reason> {
        let [first, second, rest @ ..] = &self.header;
        let (final_frame, reserved, opcode) = (first & 0x80 != 0, first & 0x70, first & 0x0F);
        let (masked, short) = (second & 0x80 != 0, second & 0x7F);
        let is_control = opcode >= 8;
        if reserved != 0 || !matches!(opcode, 0..=2 | 8..=10) || !masked {
            return Err(&close::PROTOCOL);
        }
        if is_control && (!final_frame || short > 125 || opcode == 8 && short == 1) {
            return Err(&close::PROTOCOL);
        }
        let (size, length) = match short {
            126 => (4, u64::from(u16::from_be_bytes([rest[0], rest[1]]))),
            127 => (10, u64::from_be_bytes([rest[0], rest[1], rest[2], rest[3], rest[4], rest[5], rest[6], rest[7]])),
            short => (2, u64::from(short)),
        };
        if self.filled < size {
            return Ok(());
        }
        if length >> 63 != 0 {
            return Err(&close::PROTOCOL);
        }
        if length > self.limit {
            return Err(&close::TOO_BIG);
        }
        if self.filled == size + 4 {
            self.filled = 0;
            self.payload = length;
            self.whole += usize::from(length == 0);
        }
        Ok(())
    }

    fn take_whole(&mut self) -> usize {
        std::mem::take(&mut self.whole)
    }
}

#[cfg(test)]
mod tests {
    use futures_util::{FutureExt, StreamExt};

    use super::*;
    use crate::table::tests::crowd;

    fn frame(first: u8, length: usize) -> Vec<u8> {
        let mut bytes = vec![first];
        match length {
            0..126 => bytes.push(0x80 | length as u8),
            126..65_536 => {
                bytes.push(0x80 | 126);
                bytes.extend((length as u16).to_be_bytes());
            }
            _ => {
                bytes.push(0x80 | 127);
                bytes.extend((length as u64).to_be_bytes());
            }
        }
        bytes.extend([1, 2, 3, 4]);
        bytes.extend(std::iter::repeat_n(0xFF, length));
        bytes
    }

    #[test]
    fn frames_pass_however_they_are_cut() {
        let bytes: Vec<u8> = [(0x81, 5), (0x89, 125), (0x82, 70_000), (0x01, 300), (0x80, 0), (0x88, 2)]
            .iter()
            .flat_map(|(first, length)| frame(*first, *length))
            .collect();
        for size in [1, 2, 3, 7, 1000, bytes.len()] {
            let mut headers = Headers::new(70_000);
            assert!(bytes.chunks(size).all(|chunk| headers.read(chunk).is_ok()), "in chunks of {size}");
            assert_eq!((headers.filled, headers.payload), (0, 0), "in chunks of {size}");
            assert_eq!(headers.take_whole(), 6, "in chunks of {size}");
        }
    }

    /// The codec's buffer grew by a chunk for every sixteen small frames of a client that floods.
    #[test]
    fn nothing_passes_before_what_has_passed_is_handled() {
        let chunks = [[frame(0x89, 0), frame(0x81, 3)].concat(), frame(0x89, 0)].map(|chunk| Ok(Bytes::from(chunk)));
        let (connection, gate) = (crowd(1).remove(0).connection, Gate::default());
        let mut guard = Guard::new(futures_util::stream::iter(chunks), connection, 1000, gate.clone());
        let mut next = || guard.next().now_or_never();
        assert!(matches!(next(), Some(Some(Ok(_)))));
        assert!(next().is_none());
        gate.handled();
        assert!(next().is_none(), "one of two is handled");
        gate.handled();
        assert!(matches!(next(), Some(Some(Ok(_)))));
        gate.handled();
        assert!(matches!(next(), Some(None)));
    }

    #[test]
    fn a_bad_header_is_found_where_it_begins() {
        let bytes = [frame(0x81, 5), frame(0x81, 7), vec![0xC1, 0x80]].concat();
        assert_eq!(Headers::new(1000).read(&bytes).unwrap_err().at, 11 + 13);
        let mut headers = Headers::new(1000);
        headers.read(&bytes[..25]).unwrap();
        assert_eq!(headers.read(&bytes[25..]).unwrap_err().at, 0, "it began in the chunk before");
    }

    #[test]
    fn a_header_is_refused_before_its_payload_comes() {
        let refused = |bytes: &[u8]| Headers::new(1000).read(bytes).unwrap_err().reason.code;
        assert_eq!(refused(&[0x82, 0xFE, 0x03, 0xE9]), 1009, "1,001 bytes");
        assert_eq!(refused(&[0x82, 0xFF, 0, 0, 1, 0, 0, 0, 0, 0]), 1009, "a tebibyte");
        assert_eq!(refused(&[0x82, 0xFF, 0x80, 0, 0, 0, 0, 0, 0, 0]), 1002, "2^63 bytes");
        for (bad, why) in [
            ([0x81, 0x05], "unmasked"),
            ([0xC1, 0x85], "reserved bit"),
            ([0x83, 0x85], "reserved opcode"),
            ([0x8B, 0x80], "reserved control opcode"),
            ([0x09, 0x80], "a control frame in pieces"),
            ([0x89, 0xFE], "a control frame of more than 125 bytes"),
            ([0x88, 0x81], "a close code of one byte"),
        ] {
            assert_eq!(refused(&bad), 1002, "{why}");
        }
    }
}
