//! An upgraded connection's line: what its session has said, the writing half of its wire, which its task and its
//! worker's [courier](crate::connections::flusher) take turns with, and the means to cut it.
//!
//! Both run on the same thread, and whoever has the writer in hand writes: the courier while the task rests, the task
//! what is large, what is its last, and what the wire does not take at once.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::task::{Context, Waker};

use actix_codec::Encoder;
use actix_http::ws::{Codec, Message, OpCode, Parser};
use bytes::BytesMut;
use smallvec::SmallVec;
use tokio::net::tcp::OwnedWriteHalf;

use crate::message::JoinId;
use crate::protocol::{Delivery, Frame};

/// What is larger (bytes) is left to the task, which writes one such thing at a time.
pub(crate) const LARGE: usize = 16 * 1024;

/// The line itself.
#[derive(Default)]
pub(crate) struct Writer(Mutex<WriterState>);

/// The line as it is at one moment. In memory as written: the courier needs all but the end.
#[derive(Default)]
#[repr(C)]
pub(crate) struct WriterState {
    pub(crate) parked: Option<ParkedSocket>,
    /// What the session has said, to be written before all else.
    pub(crate) buffer: BytesMut,
    pub(crate) fastlane: Option<Fastlane>,
    task: Task,
}

/// What the task leaves behind while it rests.
pub(crate) struct ParkedSocket {
    pub(crate) writer: OwnedWriteHalf,
    /// Whether the wire has not taken what was said, which so is the task's to write.
    pub(crate) is_full: bool,
}

/// Whose line it is.
enum Task {
    Running(Waker),
    /// The line has been cut: the task is to end itself.
    Aborted,
}

impl Default for Task {
    fn default() -> Self {
        Self::Running(Waker::noop().clone())
    }
}

/// Some of a socket's joins: few, as a rule.
pub(crate) type JoinIds = SmallVec<[JoinId; 4]>;

/// What may pass a session by, as in Phoenix's fastlane: broadcasts that all members are told in the same bytes.
pub(crate) struct Fastlane {
    /// The joins that pass them on as they are.
    pub(crate) joins: JoinIds,
    /// Makes of a broadcast what the client reads.
    pub(crate) frame: fn(&Delivery) -> Option<Frame>,
}

/// A line that has been cut.
pub(crate) struct Aborted;

impl Writer {
    /// Cuts it, from whatever thread, so that its task ends itself: no second descriptor is needed for that.
    pub(crate) fn abort(&self) {
        let task = std::mem::replace(&mut self.state().task, Task::Aborted);
        task.wake();
    }

    /// The task is at work: what it left behind, if it has rested. From now on the task of `cx` is woken when there is
    /// something about the line that it has to know.
    pub(crate) fn unpark(&self, cx: &Context<'_>) -> Result<Option<ParkedSocket>, Aborted> {
        let mut state = self.state();
        let Task::Running(waker) = &mut state.task else { return Err(Aborted) };
        waker.clone_from(cx.waker());
        Ok(state.parked.take())
    }

    /// The task rests from now on, and leaves what was said to the courier.
    pub(crate) fn park(&self, writer: OwnedWriteHalf) {
        self.state().parked = Some(ParkedSocket { writer, is_full: false });
    }

    /// Has the client told something, as soon as the task or the courier comes to it.
    pub(crate) fn send(&self, frame: &Frame) {
        write_frame(frame, &mut self.state().buffer);
    }

    /// The same, for what is no message: a ping, a pong, a goodbye.
    pub(crate) fn control(&self, message: Message) {
        // the codec refuses nothing but a piece without a beginning
        let buffer = Codec::new().encode(message, &mut self.state().buffer);
        debug_assert!(buffer.is_ok(), "what we say is whole");
    }

    /// The task is over: whoever still knows the line would else keep the wire open.
    pub(crate) fn end(&self) {
        *self.state() = WriterState::default();
    }

    /// What lies here while the task rests. Only its own worker's thread writes, so that nobody waits for that.
    pub(crate) fn state(&self) -> MutexGuard<'_, WriterState> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl WriterState {
    /// Has the task look at its line.
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

/// Adds a message as a WebSocket carries it (RFC 6455, section 5.2).
pub(crate) fn write_frame(frame: &Frame, bytes: &mut BytesMut) {
    match frame {
        Frame::Text(text) => Parser::write_message(bytes, text, OpCode::Text, true, false),
        Frame::Binary(data) => Parser::write_message(bytes, data, OpCode::Binary, true, false),
        Frame::Several(frames) => frames.iter().for_each(|frame| write_frame(frame, bytes)),
    }
}
