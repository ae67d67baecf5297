//! The flusher of a worker: a task that writes the output of all its sessions to their sockets. While a session's actor
//! sleeps, the flusher also writes broadcasts from the mailbox straight to the socket. Phoenix calls that the fastlane.
//!
//! Waking an actor touches all of its memory, and in a room of a thousand members none of that is in the processor's
//! caches. A broadcast needs no actor: it is encoded once for all members, and each member's
//! [fastlane](crate::connections::writer::Fastlane) says whether the client receives it unchanged. The order of the
//! mailbox is kept, because the flusher takes messages only from the front, and only while the actor is asleep. For any
//! other message, and for a socket whose send buffer is full, it wakes the actor.
//!
//! The flusher runs after the tasks that were woken together with it. So it writes all output for a client with one
//! call, and wakes each client once.

use std::collections::VecDeque;
use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use libc::MSG_NOSIGNAL;
use socket2::SockRef;
use tokio::net::tcp::OwnedWriteHalf;

use crate::connections::connection::Connection;
use crate::connections::mailbox::Mailbox;
use crate::connections::mailbox_stream::SAMPLE_EVERY;
use crate::connections::output::Output;
use crate::connections::ready_queue::ReadyQueue;
use crate::connections::writer::{Fastlane, LARGE, ParkedSocket, Writer, WriterState};
use crate::memory::MemoryBudget;
use crate::metrics::families::Metrics;
use crate::protocol::Delivery;
use crate::refusal::DropReason;

/// How many connections are flushed in one poll, before other tasks run.
const CONNECTIONS_PER_POLL: usize = 1024;
/// How much is taken from one mailbox at a time, in bytes as they count against its limit.
const BYTES_PER_CONNECTION: usize = 64 * 1024;

/// The flusher of one worker, as a task of its own.
pub(crate) struct Flusher {
    ready_queue: ReadyQueue<Connection>,
    metrics: Arc<Metrics>,
    round: VecDeque<Arc<Connection>>,
    batch: Vec<Arc<Delivery>>,
    output: Output,
    flushes: u32,
}

impl Flusher {
    /// Starts a flusher on the current thread. It flushes the connections that are pushed to the returned queue.
    pub(crate) fn start(metrics: Arc<Metrics>, memory: Arc<MemoryBudget>) -> ReadyQueue<Connection> {
        let ready_queue = ReadyQueue::new();
        actix_web::rt::spawn(Self::new(ready_queue.clone(), metrics, memory));
        ready_queue
    }

    fn new(ready_queue: ReadyQueue<Connection>, metrics: Arc<Metrics>, memory: Arc<MemoryBudget>) -> Self {
        let (round, batch, output) = (VecDeque::new(), Vec::new(), Output::new(memory));
        Self { ready_queue, metrics, round, batch, output, flushes: 0 }
    }

    /// Flushes one connection. If messages remain that it cannot write, it wakes the actor.
    fn flush_connection(&mut self, connection: Arc<Connection>) {
        let Some(write_side) = connection.write_side() else { return connection.mailbox.wake_reader() };
        write_side.clear_flush_request();
        match self.try_flush(&connection.mailbox, &write_side.writer) {
            Some(true) if write_side.request_flush_of(&connection) => {}
            Some(false) => {}
            _ => connection.mailbox.wake_reader(),
        }
    }

    /// Writes the session's output, then broadcasts from the mailbox. Returns whether more broadcasts wait, or `None`
    /// if the socket is not parked or its send buffer is full.
    fn try_flush(&mut self, mailbox: &Mailbox, writer: &Writer) -> Option<bool> {
        let mut state = writer.state();
        let WriterState { parked: Some(parked @ ParkedSocket { is_full: false, .. }), fastlane, output, .. } =
            &mut *state
        else {
            return None;
        };
        if !output.is_empty() {
            self.output.append(output);
        }
        let has_more = self.take_fastlane(mailbox, fastlane.as_ref());
        if write(&parked.writer, &mut self.output) {
            self.output.clear();
        } else {
            output.append(&mut self.output);
            mailbox.set_behind(Some(mailbox.limits().clock.now()));
            parked.is_full = true;
            state.wake();
        }
        Some(has_more)
    }

    /// Encodes broadcasts from the mailbox into `self.output`. Returns whether more of them wait.
    fn take_fastlane(&mut self, mailbox: &Mailbox, fastlane: Option<&Fastlane>) -> bool {
        let joins = fastlane.map_or(&[][..], |fastlane| &fastlane.joins);
        let passes = |join, delivery: &Delivery| delivery.size() <= LARGE && joins.contains(&join);
        self.flushes = self.flushes.wrapping_add(1);
        let since = if self.flushes.is_multiple_of(SAMPLE_EVERY) { mailbox.waits_since() } else { None };
        let has_more = mailbox.drain_fastlane(passes, BYTES_PER_CONNECTION, &mut self.batch);
        if let (Some(since), Some(first)) = (since, self.batch.first()) {
            let waited = mailbox.limits().clock.now().saturating_duration_since(since);
            self.metrics.queue_wait.add(first.broadcast.topic.realm(), waited);
        }
        for delivery in self.batch.drain(..) {
            match fastlane.and_then(|fastlane| (fastlane.frame)(&delivery)) {
                Some(frame) => self.output.add_frame(&frame),
                None => self.metrics.messages_dropped.add(delivery.broadcast.topic.realm(), DropReason::Unencodable, 1),
            }
        }
        has_more
    }
}

impl Future for Flusher {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let this = &mut *self;
        this.ready_queue.drain_into(&mut this.round, cx);
        for _ in 0..CONNECTIONS_PER_POLL {
            let Some(connection) = this.round.pop_front() else { return Poll::Pending };
            this.flush_connection(connection);
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    }
}

/// Closes the queue and wakes the actors and tasks of the queued connections, which then write their output themselves.
impl Drop for Flusher {
    fn drop(&mut self) {
        let waiting = self.ready_queue.close();
        for connection in self.round.drain(..).chain(waiting) {
            connection.mailbox.wake_reader();
            if let Some(write_side) = connection.write_side() {
                write_side.clear_flush_request();
                write_side.writer.state().wake();
            }
        }
    }
}

/// Writes as much as the socket accepts, and returns whether that was all. Unwritten bytes stay in `output`. An error is
/// not reported here: the connection's task writes the rest and gets the same error.
fn write(writer: &OwnedWriteHalf, output: &mut Output) -> bool {
    // not through the writer, which asks the runtime first whether the socket is writable: `is_full` says that already
    let socket = SockRef::from(writer.as_ref());
    let mut left = output.len();
    while left > 0 {
        match output.with_slices(|slices| socket.send_vectored_with_flags(slices, MSG_NOSIGNAL)) {
            Ok(0) => return false,
            Ok(count) if count == left => return true,
            Ok(count) => {
                output.advance(count);
                left -= count;
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(_) => return false,
        }
    }
    true
}

#[cfg(test)]
mod tests;
