//! The write side of an upgraded connection: its output buffer, the write half of its socket, and the means to abort
//! it. When something is written is decided in `flusher` and in `transports`.
//!
//! The connection's task and its worker's [flusher](crate::connections::flusher) run on the same thread and share the
//! socket. While the task is asleep, the socket is parked here and the flusher writes. The task writes large messages,
//! the last bytes of a connection, and bytes that the socket does not accept immediately.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Waker};

use actix_http::ws::Message;
use smallvec::SmallVec;
use tokio::net::tcp::OwnedWriteHalf;

use crate::connections::output::Output;
use crate::memory::MemoryBudget;
use crate::message::JoinId;
use crate::protocol::{Delivery, Frame};

/// Output that is larger than this (bytes) is left to the connection's task.
pub(crate) const LARGE: usize = 16 * 1024;

/// While this much output (bytes) waits for a client, nothing more is done for it: its messages wait in the mailbox, and
/// its requests in the socket. It is more than [`LARGE`], so that the task, which writes such output, notices when there
/// is room again.
pub(crate) const HIGH_WATER: usize = 64 * 1024;

/// The write side of one connection.
pub(crate) struct Writer(Mutex<WriterState>);

/// The content of a [`Writer`]. `repr(C)` keeps the fields in this order: the flusher needs all but the last.
#[repr(C)]
pub(crate) struct WriterState {
    pub(crate) parked: Option<ParkedSocket>,
    /// Output of the session. It is written before any broadcast.
    pub(crate) output: Output,
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
    /// A writer whose output counts against `memory`.
    pub(crate) fn new(memory: Arc<MemoryBudget>) -> Self {
        let (output, task) = (Output::new(memory), Task::default());
        Self(Mutex::new(WriterState { parked: None, output, fastlane: None, task }))
    }

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
        self.state().output.add_frame(frame);
    }

    /// Buffers a control frame: a ping, a pong or a close frame.
    pub(crate) fn control(&self, message: Message) {
        self.state().output.add_control(message);
    }

    /// Drops everything when the task exits. Otherwise a remaining reference to this writer would keep the socket open.
    pub(crate) fn end(&self) {
        let mut state = self.state();
        state.parked = None;
        state.fastlane = None;
        state.task = Task::default();
        state.output.drop_all();
    }

    /// Whether so much output waits that nothing more is done for the client.
    pub(crate) fn is_high(&self) -> bool {
        self.state().output.len() >= HIGH_WATER
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
