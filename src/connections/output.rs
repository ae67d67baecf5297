//! [`Output`]: the bytes that wait to be written to one socket. Large frames are shared by all the sockets that they wait
//! for; only small ones are copied.

use std::collections::VecDeque;
use std::io::IoSlice;
use std::sync::Arc;

use actix_codec::Encoder;
use actix_http::ws::{Codec, Message, OpCode, Parser};
use bytes::{Buf, BufMut, Bytes, BytesMut};

use crate::memory::{MemoryBudget, Reservation, about};
use crate::protocol::{Frame, SHARED_FROM};

/// The maximum number of slices that are written with one call.
const SLICES: usize = 16;

/// The bytes that wait for a socket, in order: first the parts, then the tail.
#[derive(Debug)]
pub(crate) struct Output {
    parts: VecDeque<Part>,
    tail: BytesMut,
    bytes: usize,
    /// How many of them other sockets may share. They count elsewhere.
    shared: usize,
    /// Counts the others.
    reservation: Reservation,
}

#[derive(Debug)]
struct Part {
    bytes: Bytes,
    is_shared: bool,
}

impl Output {
    pub(crate) fn new(memory: Arc<MemoryBudget>) -> Self {
        Self { parts: VecDeque::new(), tail: BytesMut::new(), bytes: 0, shared: 0, reservation: memory.take(0) }
    }

    /// The budget that it counts against.
    pub(crate) fn memory(&self) -> &Arc<MemoryBudget> {
        self.reservation.memory()
    }

    /// The number of bytes.
    pub(crate) fn len(&self) -> usize {
        self.bytes
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.bytes == 0
    }

    /// Adds a message as WebSocket frames (RFC 6455, section 5.2).
    pub(crate) fn add_frame(&mut self, frame: &Frame) {
        let (bytes, opcode) = match frame {
            Frame::Text(text) => (text.as_bytes(), OpCode::Text),
            Frame::Binary(bytes) => (bytes, OpCode::Binary),
            Frame::Several(frames) => return frames.iter().for_each(|frame| self.add_frame(frame)),
        };
        if bytes.len() < SHARED_FROM {
            return self.write(|tail| Parser::write_message(tail, bytes, opcode, true, false));
        }
        let shared = bytes.clone();
        self.write(|tail| write_header(tail, bytes.len(), opcode));
        self.add_part(shared, true);
    }

    /// Adds a control frame: a ping, a pong or a close frame.
    pub(crate) fn add_control(&mut self, message: Message) {
        self.write(|tail| {
            // the codec refuses only a continuation without a first fragment
            let encoded = Codec::new().encode(message, tail);
            debug_assert!(encoded.is_ok(), "a control frame is never fragmented");
        });
    }

    /// Adds bytes of an HTTP response.
    pub(crate) fn add_bytes(&mut self, bytes: Bytes) {
        self.add_part(bytes, false);
    }

    /// Adds all of `other`, and leaves that empty.
    pub(crate) fn append(&mut self, other: &mut Self) {
        if self.is_empty() {
            std::mem::swap(&mut self.parts, &mut other.parts);
            std::mem::swap(&mut self.tail, &mut other.tail);
            std::mem::swap(&mut self.bytes, &mut other.bytes);
            std::mem::swap(&mut self.shared, &mut other.shared);
            // the memory that this one had kept
            other.release();
        } else {
            if !other.parts.is_empty() {
                self.seal_tail();
                self.parts.append(&mut other.parts);
            }
            self.tail.extend_from_slice(&other.tail);
            self.bytes += other.bytes;
            self.shared += other.shared;
            (other.tail, other.bytes, other.shared) = (BytesMut::new(), 0, 0);
        }
        self.count();
        other.count();
    }

    /// The first bytes, as slices for one call.
    pub(crate) fn with_slices<R>(&self, write: impl FnOnce(&[IoSlice<'_>]) -> R) -> R {
        let mut slices = [IoSlice::new(&[]); SLICES];
        let mut count = 0;
        let parts = self.parts.iter().map(|part| &part.bytes[..]).chain([&self.tail[..]]);
        for (slice, bytes) in slices.iter_mut().zip(parts.filter(|bytes| !bytes.is_empty())) {
            *slice = IoSlice::new(bytes);
            count += 1;
        }
        write(&slices[..count])
    }

    /// Removes the first `count` bytes, which are written.
    pub(crate) fn advance(&mut self, mut count: usize) {
        self.bytes -= count;
        while let Some(part) = self.parts.front_mut() {
            let written = part.bytes.len().min(count);
            if part.is_shared {
                self.shared -= written;
            }
            if written < part.bytes.len() {
                part.bytes.advance(written);
                return self.count();
            }
            count -= written;
            self.parts.pop_front();
        }
        self.tail.advance(count);
        if self.bytes == 0 {
            self.release();
        }
        self.count();
    }

    /// Like [`advance`](Self::advance) with all bytes, but keeps the memory of the tail for the next ones.
    pub(crate) fn clear(&mut self) {
        self.parts.clear();
        self.tail.clear();
        (self.bytes, self.shared) = (0, 0);
        self.count();
    }

    /// Drops everything, and frees the memory.
    pub(crate) fn drop_all(&mut self) {
        self.release();
        self.clear();
    }

    /// Frees the memory: idle connections are many, and an allocation per batch is cheap.
    fn release(&mut self) {
        self.parts = VecDeque::new();
        self.tail = BytesMut::new();
    }

    fn write(&mut self, write: impl FnOnce(&mut BytesMut)) {
        let before = self.tail.len();
        write(&mut self.tail);
        self.bytes += self.tail.len() - before;
        self.count();
    }

    fn add_part(&mut self, bytes: Bytes, is_shared: bool) {
        self.seal_tail();
        self.bytes += bytes.len();
        if is_shared {
            self.shared += bytes.len();
        }
        self.parts.push_back(Part { bytes, is_shared });
        self.count();
    }

    /// Makes the tail a part, so that the next part follows it.
    fn seal_tail(&mut self) {
        if !self.tail.is_empty() {
            let bytes = self.tail.split().freeze();
            self.parts.push_back(Part { bytes, is_shared: false });
        }
    }

    /// Tells the budget how many bytes are only here.
    fn count(&mut self) {
        self.reservation.set(about(self.bytes - self.shared));
    }
}

/// Writes the header of a frame from the server, which is not masked.
fn write_header(bytes: &mut BytesMut, length: usize, opcode: OpCode) {
    bytes.put_u8(0x80 | u8::from(opcode));
    match length {
        0..=125 => bytes.put_u8(length as u8),
        126..=0xFFFF => {
            bytes.put_u8(126);
            bytes.put_u16(length as u16);
        }
        _ => {
            bytes.put_u8(127);
            bytes.put_u64(length as u64);
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn bytes_of(output: &mut Output, most: usize) -> Vec<u8> {
        let mut bytes = Vec::new();
        while !output.is_empty() {
            let taken = output.with_slices(|slices| {
                let before = bytes.len();
                bytes.extend(slices.iter().flat_map(|slice| slice.iter().copied()).take(most));
                bytes.len() - before
            });
            output.advance(taken);
        }
        bytes
    }

    /// The memory of the flusher's last batch must not go to the connection of the next one, which may be idle for hours.
    #[test]
    fn a_connection_keeps_no_memory_once_its_output_was_taken() {
        let memory = MemoryBudget::new(0);
        let [mut flusher, mut connection] = [(); 2].map(|()| Output::new(memory.clone()));
        flusher.add_frame(&Frame::Binary(Bytes::from(vec![0; SHARED_FROM - 1])));
        flusher.clear();
        connection.add_frame(&Frame::Binary(Bytes::from_static(b"reply")));
        flusher.append(&mut connection);
        assert_eq!((flusher.len(), connection.len(), connection.tail.capacity()), (7, 0, 0));
    }

    proptest! {
        /// Frames of all sizes, written in pieces of any size, are the bytes that the codec would write, and the budget
        /// counts no shared byte.
        #[test]
        fn frames_are_written_whole_and_in_order(
            sizes in prop::collection::vec(prop_oneof![0..200_usize, 4_000..5_000_usize, 65_500..65_600_usize], 0..12),
            split in 0..12_usize,
            most in 1..50_000_usize,
        ) {
            let memory = MemoryBudget::new(1 << 30);
            let (mut output, mut rest) = (Output::new(memory.clone()), Output::new(memory.clone()));
            let mut expected = BytesMut::new();
            for (n, size) in sizes.iter().enumerate() {
                let frame = Frame::Binary(Bytes::from(vec![n as u8; *size]));
                let Frame::Binary(bytes) = &frame else { unreachable!() };
                Parser::write_message(&mut expected, bytes, OpCode::Binary, true, false);
                if n < split { &mut output } else { &mut rest }.add_frame(&frame);
            }
            output.append(&mut rest);
            prop_assert!(rest.is_empty() && output.len() == expected.len());
            let shared: usize = sizes.iter().filter(|size| **size >= SHARED_FROM).sum();
            prop_assert!(memory.used() <= output.len() - shared);
            prop_assert_eq!(bytes_of(&mut output, most), expected.to_vec());
            prop_assert_eq!(memory.used(), 0);
        }
    }
}
