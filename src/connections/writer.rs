//! The write side of an upgraded connection: its output buffer, the write half of its socket, and the means to abort
//! it. When something is written is decided in `flusher` and in `transports`.
//!
//! The connection's task and its worker's [flusher](crate::connections::flusher) run on the same thread and share the
//! socket. While the task is asleep, the socket is parked here and the flusher writes. The task writes large messages,
//! the last bytes of a connection, and bytes that the socket does not accept immediately.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::task::{Context, Waker};

use actix_codec::Encoder;
use actix_http::ws::{Codec, Message, OpCode, Parser};
use bytes::BytesMut;
use smallvec::SmallVec;
use tokio::net::tcp::OwnedWriteHalf;

use crate::message::JoinId;
use crate::protocol::{Delivery, Frame};

/// Output that is larger than this (bytes) is left to the connection's task.
pub(crate) const LARGE: usize = 16 * 1024;

/// The write side of one connection.
#[derive(Default)]
pub(crate) struct Writer(Mutex<WriterState>);

/// The content of a [`Writer`]. `repr(C)` keeps the fields in this order: the flusher needs all but the last.
#[derive(Default)]
#[repr(C)]
pub(crate) struct WriterState {
    pub(crate) parked: Option<ParkedSocket>,
    /// Output of the session. It is written before any broadcast.
    pub(crate) buffer: BytesMut,
    pub(crate) fastlane: Option<Fastlane>,
    task: Task,
}

/// The socket's write half, which the task leaves here while it is asleep.
pub(crate) struct ParkedSocket {
    pub(crate) writer: OwnedWriteHalf,
    /// Whether the socket did not accept all of the output, so that the task has to write the rest.
    pub(crate) is_full: bool,
}

/// The state of the connection's task.
enum Task {
    Running(Waker),
    /// The connection was aborted: the task has to exit.
    Aborted,
}

impl Default for Task {
    fn default() -> Self {
        Self::Running(Waker::noop().clone())
    }
}

/// Some of a socket's joins. Usually there are few.
pub(crate) type JoinIds = SmallVec<[JoinId; 4]>;

/// The broadcasts that bypass a session, as in Phoenix's fastlane: all members receive them as the same bytes.
pub(crate) struct Fastlane {
    /// The joins whose channels do not intercept broadcasts.
    pub(crate) joins: JoinIds,
    /// Encodes a broadcast for the client.
    pub(crate) frame: fn(&Delivery) -> Option<Frame>,
}

/// The connection was aborted.
pub(crate) struct Aborted;

impl Writer {
    /// Aborts the connection, from any thread: its task exits, which closes the socket. This needs no second file
    /// descriptor.
    pub(crate) fn abort(&self) {
        let task = std::mem::replace(&mut self.state().task, Task::Aborted);
        task.wake();
    }

    /// Returns the parked socket to the task, if it is parked. From now on the task of `cx` is woken when the
    /// connection needs it.
    pub(crate) fn unpark(&self, cx: &Context<'_>) -> Result<Option<ParkedSocket>, Aborted> {
        let mut state = self.state();
        let Task::Running(waker) = &mut state.task else { return Err(Aborted) };
        waker.clone_from(cx.waker());
        Ok(state.parked.take())
    }

    /// Parks the socket while the task is asleep. The flusher writes the output from now on.
    pub(crate) fn park(&self, writer: OwnedWriteHalf) {
        self.state().parked = Some(ParkedSocket { writer, is_full: false });
    }

    /// Buffers a message for the client. The task or the flusher writes it.
    pub(crate) fn send(&self, frame: &Frame) {
        write_frame(frame, &mut self.state().buffer);
    }

    /// Buffers a control frame: a ping, a pong or a close frame.
    pub(crate) fn control(&self, message: Message) {
        // the codec refuses only a continuation without a first fragment
        let encoded = Codec::new().encode(message, &mut self.state().buffer);
        debug_assert!(encoded.is_ok(), "a control frame is never fragmented");
    }

    /// Drops everything when the task exits. Otherwise a remaining reference to this writer would keep the socket open.
    pub(crate) fn end(&self) {
        *self.state() = WriterState::default();
    }

    /// Locks the state. Only the connection's own worker holds the lock while it writes to the socket, and such a write
    /// never blocks.
    pub(crate) fn state(&self) -> MutexGuard<'_, WriterState> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl WriterState {
    /// Wakes the connection's task.
    pub(crate) fn wake(&self) {
        self.task.wake();
    }
}

impl Task {
    fn wake(&self) {
        if let Self::Running(waker) = self {
            waker.wake_by_ref();
        }
    }
}

/// Appends a message to `bytes` as a WebSocket frame (RFC 6455, section 5.2).
pub(crate) fn write_frame(frame: &Frame, bytes: &mut BytesMut) {
    match frame {
        Frame::Text(text) => Parser::write_message(bytes, text, OpCode::Text, true, false),
        Frame::Binary(data) => Parser::write_message(bytes, data, OpCode::Binary, true, false),
        Frame::Several(frames) => frames.iter().for_each(|frame| write_frame(frame, bytes)),
    }
}
