//! One client's connection as the rest of the broker sees it: its mailbox, a flag that records activity, and an abort
//! that works even while its actor is not running.
//!
//! A session actor is the body of an HTTP response and does not run while its client does not read. So the
//! [hub](crate::connections::hub) checks its timeouts.

use std::fmt;
use std::net::IpAddr;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError, Weak};
use std::time::Instant;

use actix_http::ws::Message;
use bytes::Bytes;
use tokio::sync::oneshot;

use crate::auth::{Access, SubjectSlot};
use crate::close::{self, Reason};
use crate::connections::activity::Activity;
use crate::connections::clock::Clock;
use crate::connections::envelope::{Envelope, SocketEvent};
use crate::connections::held_token::HeldToken;
use crate::connections::limits::{ConnectionLimits, Timeouts};
use crate::connections::mailbox::{Mailbox, PushError};
use crate::connections::ready_queue::ReadyQueue;
use crate::connections::token_bucket::SharedTokenBucket;
use crate::connections::writer::{Fastlane, HIGH_WATER, Writer};
use crate::memory::{MemoryBudget, about};
use crate::message::JoinId;
use crate::protocol::{Delivery, Frame};

/// The overhead of a queued frame in bytes, about its size in memory. It is counted in addition to the frame's content.
pub(crate) const QUEUED_OVERHEAD: usize = 64;

/// A connection's number, unique in its process. The log shows it as `c1`.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ConnectionId(pub(crate) u64);

impl fmt::Display for ConnectionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "c{}", self.0)
    }
}

impl fmt::Debug for ConnectionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// The write side of an [upgraded](crate::transports::websocket::io) connection: its writer, and the queue of the
/// flusher that writes to it. `repr(C)` keeps the fields in this order, for the reason given at [`Connection`].
#[repr(C)]
pub(crate) struct WriteSide {
    /// Whether the connection is in the ready queue.
    is_flush_requested: AtomicBool,
    ready_queue: ReadyQueue<Connection>,
    pub(crate) writer: Writer,
    /// Empty until the upgrade succeeds.
    connection: OnceLock<Weak<Connection>>,
    /// The size of the output that the connection's task has taken from the writer and cannot write yet.
    unwritten: AtomicUsize,
}

impl WriteSide {
    /// A write side that the flusher of `ready_queue` writes to.
    pub(crate) fn new(ready_queue: ReadyQueue<Connection>, memory: Arc<MemoryBudget>) -> Self {
        Self {
            writer: Writer::new(memory),
            ready_queue,
            connection: OnceLock::new(),
            is_flush_requested: AtomicBool::new(false),
            unwritten: AtomicUsize::new(0),
        }
    }

    /// The connection's task cannot write this much output yet.
    pub(crate) fn set_unwritten(&self, bytes: usize) {
        self.unwritten.store(bytes, Ordering::Relaxed);
    }

    /// The size of all output that waits for the client, in bytes.
    fn output_bytes(&self) -> usize {
        self.writer.state().output.len() + self.unwritten.load(Ordering::Relaxed)
    }

    /// From now on the client accepts no bytes, although some wait for it; or it has accepted all.
    pub(crate) fn set_behind(&self, is_behind: bool) {
        if let Some(connection) = self.connection.get().and_then(Weak::upgrade) {
            connection.mailbox.set_behind(is_behind.then(|| connection.now()));
        }
    }

    /// Queues the connection for the flusher. Returns `false` if there is no flusher or no connection.
    pub(crate) fn request_flush(&self) -> bool {
        let connection = self.connection.get().and_then(Weak::upgrade);
        connection.is_some_and(|connection| self.request_flush_of(&connection))
    }

    /// Like [`request_flush`](Self::request_flush), for a caller that has the connection.
    pub(crate) fn request_flush_of(&self, connection: &Arc<Connection>) -> bool {
        if self.is_flush_requested.swap(true, Ordering::AcqRel) {
            return true;
        }
        let accepted = self.ready_queue.push(connection.clone());
        if !accepted {
            self.is_flush_requested.swap(false, Ordering::AcqRel);
        }
        accepted
    }

    /// The flusher calls this before it looks for output: output that is added later needs a new request. It is a swap,
    /// like that of the callers, so that the flusher sees the output of a caller that found the flag set.
    pub(crate) fn clear_flush_request(&self) {
        self.is_flush_requested.swap(false, Ordering::AcqRel);
    }
}

/// One client's connection. Its actor, the tables that list it, and the senders of messages share it.
///
/// `repr(C)` keeps the fields in this order: a broadcast goes to thousands of connections that are not in the
/// processor's caches, and needs only the first fields of each.
#[repr(C)]
pub(crate) struct Connection {
    write_side: OnceLock<Arc<WriteSide>>,
    pub(crate) mailbox: Mailbox,
    /// The budget of its IP for signals to absent peers.
    pub(crate) not_found_budget: Arc<SharedTokenBucket>,
    pub(crate) id: ConnectionId,
    pub(crate) opened: Instant,
    /// Whether bytes arrive from the client.
    pub(crate) activity: Activity,
    joined: AtomicBool,
    registered: AtomicBool,
    /// The size of the frames that wait outside of the mailbox and the writer, until the client polls or its stream
    /// takes them; and how much of it counts against the node's budget.
    queued: AtomicUsize,
    queued_own: AtomicUsize,
    /// The size of its frames, messages and bodies that have arrived in part, or wait to be handled; and since when
    /// there are any.
    incomplete: Mutex<(usize, Option<Instant>)>,
    /// The client IP whose limits it counts against.
    pub(crate) address: IpAddr,
    /// The client's token, if it has one.
    token: OnceLock<Box<HeldToken>>,
}

impl Connection {
    pub(crate) fn new(
        id: ConnectionId,
        address: IpAddr,
        limits: Arc<ConnectionLimits>,
        not_found_budget: Arc<SharedTokenBucket>,
    ) -> Self {
        Self {
            id,
            address,
            opened: limits.clock.now(),
            mailbox: Mailbox::new(limits),
            not_found_budget,
            activity: Activity::default(),
            joined: AtomicBool::new(false),
            registered: AtomicBool::new(false),
            queued: AtomicUsize::new(0),
            queued_own: AtomicUsize::new(0),
            incomplete: Mutex::default(),
            token: OnceLock::new(),
            write_side: OnceLock::new(),
        }
    }

    /// The node's memory budget.
    pub(crate) fn memory(&self) -> &Arc<MemoryBudget> {
        &self.mailbox.limits().memory
    }

    pub(crate) fn timeouts(&self) -> &Timeouts {
        &self.mailbox.limits().timeouts
    }

    /// The clock of the node.
    pub(crate) fn clock(&self) -> &Arc<Clock> {
        &self.mailbox.limits().clock
    }

    /// The present time, by the node's clock.
    pub(crate) fn now(&self) -> Instant {
        self.clock().now()
    }

    /// Called when the connection is upgraded, at most once.
    pub(crate) fn set_write_side(self: &Arc<Self>, write_side: Arc<WriteSide>) {
        self.mailbox.set_socket();
        let linked = write_side.connection.set(Arc::downgrade(self));
        let attached = self.write_side.set(write_side);
        debug_assert!(linked.is_ok() && attached.is_ok(), "a second upgrade would make `abort` close the wrong socket");
    }

    pub(crate) fn write_side(&self) -> Option<&WriteSide> {
        self.write_side.get().map(Arc::as_ref)
    }

    pub(crate) fn writer(&self) -> Option<&Writer> {
        self.write_side().map(|write_side| &write_side.writer)
    }

    /// Closes the socket and drops pending output. The actor exits within milliseconds.
    pub(crate) fn abort(&self) {
        if let Some(writer) = self.writer() {
            writer.abort();
        }
    }

    /// A frame waits outside of the mailbox and the writer.
    pub(crate) fn frame_queued(&self, frame: &Frame) {
        let own = QUEUED_OVERHEAD + frame.own_bytes();
        self.queued.fetch_add(QUEUED_OVERHEAD + frame.size(), Ordering::AcqRel);
        let before = self.queued_own.fetch_add(own, Ordering::Relaxed);
        self.memory().resize(about(before), about(before + own));
    }

    /// A frame that waited is on its way to the client, or was dropped. If there is room again, the session reads on.
    pub(crate) fn frame_taken(&self, frame: &Frame) {
        let (size, own) = (QUEUED_OVERHEAD + frame.size(), QUEUED_OVERHEAD + frame.own_bytes());
        let own_before = self.queued_own.fetch_sub(own, Ordering::Relaxed);
        self.memory().resize(about(own_before), about(own_before - own));
        let before = self.queued.fetch_sub(size, Ordering::AcqRel);
        if before >= HIGH_WATER && before - size < HIGH_WATER {
            self.mailbox.resume();
        } else if before >= HIGH_WATER {
            self.mailbox.mark_progress(self.now());
        }
    }

    /// The size of the frames that wait outside of the mailbox and the writer, in bytes.
    pub(crate) fn queued_bytes(&self) -> usize {
        self.queued.load(Ordering::Acquire)
    }

    /// Changes the size of an incomplete input.
    pub(crate) fn change_incomplete(&self, from: usize, to: usize) {
        let mut incomplete = self.incomplete.lock().unwrap_or_else(PoisonError::into_inner);
        let (bytes, since) = &mut *incomplete;
        *bytes = *bytes + to - from;
        *since = if *bytes == 0 { None } else { since.or_else(|| Some(self.now())) };
        drop(incomplete);
        self.memory().resize(from, to);
    }

    /// What waits for this client or came from it, in bytes, and since when. Output of a client that is not behind is
    /// about to be written.
    pub(crate) fn held(&self) -> (usize, Option<Instant>) {
        let depth = self.mailbox.depth();
        let output = self.write_side().map_or(0, WriteSide::output_bytes);
        let (incomplete, since) = *self.incomplete.lock().unwrap_or_else(PoisonError::into_inner);
        let since = [self.mailbox.behind_since(), depth.since, since].into_iter().flatten().min();
        (depth.bytes + output + self.queued_bytes() + incomplete, since)
    }

    /// Disconnects the client, because the node needs the memory that it holds.
    pub(crate) fn evict(&self) {
        self.mailbox.evict();
        self.abort();
    }

    /// Sets the broadcasts that the flusher may write from now on.
    pub(crate) fn enable_fastlane(&self, fastlane: Fastlane) {
        if let Some(writer) = self.writer() {
            writer.state().fastlane = Some(fastlane);
            self.mailbox.set_flusher();
        }
    }

    /// Keeps the flusher from writing broadcasts. No frame may follow the close frame.
    pub(crate) fn disable_fastlane(&self) {
        if let Some(writer) = self.writer() {
            writer.state().fastlane = None;
        }
    }

    /// Puts a broadcast for one of its joins into the mailbox.
    pub(crate) fn deliver(
        self: &Arc<Self>,
        join: JoinId,
        delivery: &Arc<Delivery>,
        now: Instant,
    ) -> Result<(), PushError> {
        let wants_flush = self.mailbox.push_for_flusher(Envelope::Delivery(join, delivery.clone()), now)?;
        if wants_flush && !self.write_side().is_some_and(|write_side| write_side.request_flush_of(self)) {
            self.mailbox.wake_reader();
        }
        Ok(())
    }

    /// Makes the session ping the client, in the way of its protocol and transport. Returns whether the mailbox was open.
    pub(crate) fn probe(&self, now: Instant) -> bool {
        self.activity.expect_answer();
        self.mailbox.push(Envelope::Probe, now).is_ok()
    }

    /// Sends a WebSocket ping, if the connection is upgraded.
    pub(crate) fn ping(&self) {
        let Some(write_side) = self.write_side() else { return };
        write_side.writer.control(Message::Ping(Bytes::new()));
        if !write_side.request_flush() {
            write_side.writer.state().wake();
        }
    }

    /// Sets what the client's token permits, or its next one. The first one comes with the place of the client's socket.
    /// A token that is revoked at the same time is found here or by the search for the connections that have it.
    pub(crate) fn set_access(&self, access: Access, place: Option<SubjectSlot>) {
        self.token.get_or_init(|| Box::new(HeldToken::new(access.clone(), place))).replace(access.clone());
        if access.is_revoked() {
            self.close(&close::TOKEN_REVOKED);
        }
    }

    /// Frees the place of the client's socket among those of its subject: the connection has ended.
    pub(super) fn free_place(&self) {
        if let Some(token) = self.token.get() {
            token.free_place();
        }
    }

    /// What the client's token permits, if it has one.
    pub(crate) fn access(&self) -> Option<Access> {
        self.token.get().map(|token| token.access())
    }

    /// Whether the client's token has ended the connection, at a time of the system's clock.
    pub(crate) fn is_over(&self, now: Instant) -> bool {
        self.token.get().is_some_and(|token| token.is_over(now))
    }

    /// Records that the client has joined a topic.
    pub(crate) fn mark_joined(&self) {
        self.joined.store(true, Ordering::Relaxed);
    }

    pub(crate) fn has_joined(&self) -> bool {
        self.joined.load(Ordering::Relaxed)
    }

    /// Records that the registry is about to receive a command for this connection.
    pub(crate) fn mark_registered(&self) {
        self.registered.store(true, Ordering::Relaxed);
    }

    /// Whether the registry may have entries of this connection.
    pub(crate) fn is_registered(&self) -> bool {
        self.registered.load(Ordering::Relaxed)
    }

    /// Sends an event to the session. If the mailbox is full, it closes itself, and the sweep of the
    /// [hub](crate::connections::hub) does the rest.
    pub(crate) fn send_event(&self, event: SocketEvent) -> Result<(), PushError> {
        self.mailbox.push(Envelope::SocketEvent(Box::new(event)), self.now())
    }

    /// Passes a message of the client to the session. It has arrived in an HTTP request beside the transport. The
    /// returned future completes when the session has handled it.
    pub(crate) fn receive_posted(&self, frame: Frame) -> Result<oneshot::Receiver<()>, PushError> {
        self.activity.mark();
        let (handled, is_handled) = oneshot::channel();
        self.mailbox.push(Envelope::Posted(frame, handled), self.now()).map(|()| is_handled)
    }

    /// Asks the actor to send a close frame with `reason` and to exit. Returns whether the mailbox was open.
    pub(crate) fn close(&self, reason: &'static Reason) -> bool {
        self.mailbox.close(reason)
    }
}

impl fmt::Debug for Connection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Connection").field("id", &self.id).field("mailbox", &self.mailbox).finish_non_exhaustive()
    }
}

/// Identifies a join of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct MemberId {
    pub(crate) connection: ConnectionId,
    pub(crate) join: JoinId,
}

/// One member of one topic.
#[derive(Clone, Debug)]
pub(crate) struct Member {
    pub(crate) join: JoinId,
    pub(crate) connection: Arc<Connection>,
}

impl Member {
    pub(crate) fn id(&self) -> MemberId {
        MemberId { connection: self.connection.id, join: self.join }
    }
}

#[cfg(test)]
pub(crate) mod tests;
