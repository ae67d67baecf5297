//! The queue of messages from the rest of the broker to one connection. Its size is limited, and senders never wait.
//!
//! An actix mailbox limits only the number of messages and allocates an envelope for each. Here the members of a topic
//! share one [`Delivery`], and the limits are about what a client that does not read costs the others: memory and time.
//! They count only while the client is *behind*: its socket has not accepted all that was written to it. A client that
//! reads, or has had no turn to read, is never called slow. When a limit is reached, the mailbox closes itself with
//! [`close::SLOW`] and drops its messages, and the connection is aborted. When it is closed for another reason, its
//! messages are still read, because their senders already have the status `delivered`.
//!
//! The connection's actor reads it. While the actor sleeps, the worker's [flusher](crate::connections::flusher) takes
//! the broadcasts that need no actor. Whenever a message waits, one of the two has been woken for it, or the reader has
//! [paused](Mailbox::pause) because enough waits for the client elsewhere.
//!
//! The channels of `tokio`, `flume` and `crossbeam` do not fit: they limit only the number of messages, and do not let
//! the flusher look at the first message before it takes it.

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::Waker;
use std::time::Instant;

use smallvec::SmallVec;

use crate::close::{self, Reason};
use crate::connections::envelope::Envelope;
use crate::connections::limits::{ConnectionLimits, QueueDepth};
use crate::memory::about;
use crate::message::JoinId;
use crate::protocol::Delivery;

/// How much the reader takes at a time, in bytes as they count against the limit.
const BATCH_BYTES: usize = 64 * 1024;

/// How many evicted joins are remembered. What a sender knows of the owners of names is out of date for an instant only.
const EVICTED: usize = 16;

/// Why a mailbox did not accept a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum PushError {
    /// It was full and has just closed itself. The sweep of the [hub](crate::connections::hub) does the rest.
    Full,
    /// It was closed already, or the join that the message is for was evicted.
    Closed,
}

/// Messages in order. Usually there is at most one, which needs no allocation.
pub(crate) type Batch = SmallVec<[Envelope; 1]>;

/// A connection's mailbox: written from any thread, read by the connection's actor.
///
/// `repr(C)` keeps the fields in this order, for the reason given at
/// [`Connection`](crate::connections::connection::Connection).
#[repr(C)]
pub(crate) struct Mailbox {
    limits: Arc<ConnectionLimits>,
    state: Mutex<Inner>,
}

#[derive(Default)]
#[repr(C)]
struct Inner {
    /// Whether a flusher may take broadcasts in place of the reader.
    has_flusher: bool,
    /// Whether a socket shows what the client accepts.
    has_socket: bool,
    /// The number of messages that were dropped when the mailbox was full.
    lost: u32,
    closed: Option<&'static Reason>,
    /// Since when the first message waits for the reader.
    since: Option<Instant>,
    /// Since when the client accepts no bytes, while some wait for it.
    behind_since: Option<Instant>,
    bytes: usize,
    /// How many bytes only this mailbox holds, and how many of the node's budget it uses for them.
    own: usize,
    reserved: usize,
    waiting: Batch,
    reader: Option<Waker>,
    /// The joins that were evicted last, the latest first. A sender may still take one for the owner of a name.
    evicted: Vec<JoinId>,
    /// The reader takes no messages until it is resumed, and is not woken for new ones.
    is_paused: bool,
}

impl Mailbox {
    pub(crate) fn new(limits: Arc<ConnectionLimits>) -> Self {
        Self { limits, state: Mutex::default() }
    }

    pub(crate) fn limits(&self) -> &ConnectionLimits {
        &self.limits
    }

    /// Queues `envelope` and wakes the reader, or refuses it without waiting. `now` is a parameter so that a broadcast
    /// reads the clock once, and not once per member.
    pub(crate) fn push(&self, envelope: Envelope, now: Instant) -> Result<(), PushError> {
        self.push_with(envelope, now, |state| wake(Batch::new(), state))
    }

    /// Like [`push`](Self::push), but does not wake the reader if there is a flusher. Returns whether the caller has to
    /// request a flush.
    pub(crate) fn push_for_flusher(&self, envelope: Envelope, now: Instant) -> Result<bool, PushError> {
        self.push_with(envelope, now, needs_flush)
    }

    fn push_with<R>(
        &self,
        envelope: Envelope,
        now: Instant,
        notify: impl FnOnce(MutexGuard<'_, Inner>) -> R,
    ) -> Result<R, PushError> {
        let mut state = self.lock();
        if state.closed.is_some() || envelope.is_for_one_of(&state.evicted) {
            return Err(PushError::Closed);
        }
        if let Some(join) = envelope.evicted() {
            state.evicted.truncate(EVICTED - 1);
            state.evicted.insert(0, join);
        }
        if state.is_overdue(&self.limits, now) || state.behind_since.is_some() && state.bytes >= self.limits.queue.bytes
        {
            self.give_up(state, 1);
            return Err(PushError::Full);
        }
        state.since.get_or_insert(now);
        state.bytes += envelope.size();
        state.own += envelope.own_bytes();
        state.waiting.push(envelope);
        state.count(&self.limits);
        Ok(notify(state))
    }

    /// Closes the mailbox of a slow consumer, which loses its messages and `more`.
    fn give_up(&self, mut state: MutexGuard<'_, Inner>, more: usize) {
        let discarded = std::mem::take(&mut state.waiting);
        state.lost = u32::try_from(discarded.len() + more).unwrap_or(u32::MAX);
        state.emptied(&self.limits);
        state.close(&close::SLOW);
        wake(discarded, state);
    }

    /// Closes the mailbox as if it was full, because the node needs its memory.
    pub(crate) fn evict(&self) {
        let state = self.lock();
        if state.closed.is_none() {
            self.give_up(state, 0);
        }
    }

    /// The client has accepted no bytes since `since`, although some wait for it; or it has accepted all.
    pub(crate) fn set_behind(&self, since: Option<Instant>) {
        self.lock().behind_since = since;
    }

    /// The reader takes no messages until it is [resumed](Self::resume), because enough waits for the client elsewhere.
    /// The client is behind from now on, if it is not already.
    pub(crate) fn pause(&self, reader: &Waker, now: Instant) {
        let mut state = self.lock();
        state.behind_since.get_or_insert(now);
        (state.is_paused, state.reader) = (true, Some(reader.clone()));
    }

    /// The client has accepted something, but not enough for the reader to go on.
    pub(crate) fn mark_progress(&self, now: Instant) {
        let mut state = self.lock();
        if state.is_paused {
            state.behind_since = Some(now);
        }
    }

    /// Wakes the reader if it has paused.
    pub(crate) fn resume(&self) {
        let mut state = self.lock();
        if std::mem::take(&mut state.is_paused) {
            state.behind_since = None;
            wake(Batch::new(), state);
        }
    }

    /// From now on a socket shows what the client accepts.
    pub(crate) fn set_socket(&self) {
        self.lock().has_socket = true;
    }

    /// From now on there is a flusher.
    pub(crate) fn set_flusher(&self) {
        self.lock().has_flusher = true;
    }

    /// Moves broadcasts from the front of the queue to the end of `batch`, for the flusher: as long as `passes` accepts
    /// them, and up to about `most` bytes. If another kind of message waits behind them, the reader is woken. Returns
    /// whether the flusher has to come again.
    pub(crate) fn drain_fastlane(
        &self,
        passes: impl Fn(JoinId, &Delivery) -> bool,
        most: usize,
        batch: &mut Vec<Arc<Delivery>>,
    ) -> bool {
        let mut state = self.lock();
        if state.reader.is_none() || state.is_paused {
            // the reader is awake or has paused: messages that it took before may not be in the writer's output yet
            return false;
        }
        let (mut count, mut taken, mut own) = (0, 0, 0);
        while taken < most
            && let Some(envelope @ Envelope::Delivery(join, delivery)) = state.waiting.get(count)
            && passes(*join, delivery)
        {
            taken += envelope.size();
            own += envelope.own_bytes();
            batch.push(delivery.clone());
            count += 1;
        }
        state.waiting.drain(..count);
        if state.waiting.is_empty() {
            // free the memory: idle connections are many, and an allocation per batch is cheap
            state.waiting = Batch::new();
            state.emptied(&self.limits);
            return false;
        }
        state.took(taken, own, &self.limits);
        if taken >= most {
            return true;
        }
        wake(Batch::new(), state);
        false
    }

    /// Wakes the reader, because the flusher cannot deliver the waiting messages.
    pub(crate) fn wake_reader(&self) {
        wake(Batch::new(), self.lock());
    }

    /// Refuses all further messages. The reader closes the connection once it has read the waiting ones. If the mailbox
    /// is closed already, it keeps its first reason. Returns whether it was open.
    pub(crate) fn close(&self, reason: &'static Reason) -> bool {
        let mut state = self.lock();
        if state.closed.is_some() {
            return false;
        }
        state.close(reason);
        wake(Batch::new(), state);
        true
    }

    /// Closes the mailbox and drops its messages, once there is no reader any more. Otherwise a message that refers to
    /// the connection would keep it, and so itself, in memory.
    pub(crate) fn close_and_discard(&self) {
        let mut state = self.lock();
        state.closed.get_or_insert(&close::GONE);
        let unread = std::mem::take(&mut state.waiting);
        state.emptied(&self.limits);
        wake(unread, state);
    }

    pub(crate) fn is_closed(&self) -> bool {
        self.closed().is_some()
    }

    /// The reason for which it was closed, if it was.
    pub(crate) fn closed(&self) -> Option<&'static Reason> {
        self.lock().closed
    }

    /// The number of messages that were dropped or are still unread, when the connection has closed.
    pub(crate) fn unread(&self) -> usize {
        let state = self.lock();
        state.lost as usize + state.waiting.iter().filter(|envelope| !matches!(envelope, Envelope::Close(_))).count()
    }

    /// Since when the oldest message waits, if there is one.
    pub(crate) fn waits_since(&self) -> Option<Instant> {
        self.lock().since
    }

    /// How full it is.
    pub(crate) fn depth(&self) -> QueueDepth {
        let state = self.lock();
        QueueDepth { messages: state.waiting.len(), bytes: state.bytes, since: state.since }
    }

    /// Since when the client is behind, if it is.
    pub(crate) fn behind_since(&self) -> Option<Instant> {
        self.lock().behind_since
    }

    /// Whether the client has accepted nothing for longer than `queue.age`.
    pub(crate) fn is_overdue(&self, now: Instant) -> bool {
        self.lock().is_overdue(&self.limits, now)
    }

    /// Moves messages into the empty `batch`, under one lock, and returns whether there were any. If there were none,
    /// `reader` is woken at the next message.
    pub(crate) fn drain(&self, batch: &mut Batch, reader: &Waker) -> bool {
        let mut state = self.lock();
        state.is_paused = false;
        if state.waiting.is_empty() {
            if !state.reader.as_ref().is_some_and(|r| r.will_wake(reader)) {
                state.reader = Some(reader.clone());
            }
            return false;
        }
        // the reader counts as awake until it finds the mailbox empty
        state.reader = None;
        if state.bytes <= BATCH_BYTES {
            // take the memory too: idle connections are many, and an allocation per batch is cheap
            *batch = std::mem::take(&mut state.waiting);
            state.emptied(&self.limits);
            return true;
        }
        let (mut count, mut taken, mut own) = (0, 0, 0);
        while taken < BATCH_BYTES
            && let Some(envelope) = state.waiting.get(count)
        {
            taken += envelope.size();
            own += envelope.own_bytes();
            count += 1;
        }
        batch.extend(state.waiting.drain(..count));
        state.took(taken, own, &self.limits);
        true
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Mailbox {
    fn drop(&mut self) {
        let state = self.state.get_mut().unwrap_or_else(PoisonError::into_inner);
        state.emptied(&self.limits);
    }
}

impl Inner {
    fn is_overdue(&self, limits: &ConnectionLimits, now: Instant) -> bool {
        // a client that polls shows only by its next poll that it has read an answer
        let age = if self.has_socket { limits.queue.age } else { limits.queue.age.max(limits.timeouts.idle) };
        self.behind_since.is_some_and(|since| now.saturating_duration_since(since) > age)
    }

    /// Some messages were taken, of this size.
    fn took(&mut self, bytes: usize, own: usize, limits: &ConnectionLimits) {
        (self.bytes, self.own) = (self.bytes - bytes, self.own - own);
        self.since = Some(limits.clock.now());
        self.count(limits);
    }

    /// No message waits any more.
    fn emptied(&mut self, limits: &ConnectionLimits) {
        (self.bytes, self.own, self.since) = (0, 0, None);
        self.count(limits);
    }

    /// Tells the node's budget how many bytes only this mailbox holds.
    fn count(&mut self, limits: &ConnectionLimits) {
        let reserved = about(self.own);
        if reserved != self.reserved {
            limits.memory.resize(self.reserved, reserved);
            self.reserved = reserved;
        }
    }

    fn close(&mut self, reason: &'static Reason) {
        (self.closed, self.is_paused) = (Some(reason), false);
        self.waiting.push(Envelope::Close(reason));
    }
}

/// Returns whether the caller has to request a flush. If there is no flusher, the reader is woken. A reader that is
/// awake will find the message without either.
fn needs_flush(state: MutexGuard<'_, Inner>) -> bool {
    if state.has_flusher {
        return state.reader.is_some();
    }
    wake(Batch::new(), state);
    false
}

/// Releases the lock, then drops `discarded` and wakes the reader, unless it has paused.
fn wake(discarded: Batch, mut state: MutexGuard<'_, Inner>) {
    let reader = if state.is_paused { None } else { state.reader.take() };
    drop(state);
    drop(discarded);
    if let Some(reader) = reader {
        reader.wake();
    }
}

impl fmt::Debug for Mailbox {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = self.lock();
        f.debug_struct("Mailbox").field("bytes", &state.bytes).field("closed", &state.closed).finish_non_exhaustive()
    }
}

#[cfg(test)]
pub(crate) mod tests;
