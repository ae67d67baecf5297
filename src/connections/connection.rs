//! One client's connection, as the rest of the broker sees it: a mailbox, a sign of life, and a way to
//! end it that works even when its actor stands still.
//!
//! A session actor is the body of an HTTP response: while its client does not read, it is not run.
//! So its life is judged from outside, by [`connections`](crate::connections::hub).

use std::fmt;
use std::net::IpAddr;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock, Weak};
use std::task::{Context, Poll, Waker};
use std::time::Instant;

use futures_util::Stream;

use crate::close::Reason;
use crate::connections::envelope::{Envelope, SocketEvent};
use crate::connections::limits::{ConnectionLimits, Timeouts};
use crate::connections::mailbox::{Batch, Mailbox, PushError};
use crate::connections::ready_queue::ReadyQueue;
use crate::connections::token_bucket::SharedTokenBucket;
use crate::connections::writer::{Fastlane, Writer};
use crate::message::JoinId;
use crate::metrics::families::Metrics;
use crate::protocol::Delivery;
use crate::topic::Realm;

/// Of so many batches of mail, how long one waited is measured: a clock asked for each would be asked for nearly every
/// message.
pub(crate) const SAMPLE_EVERY: u32 = 16;

/// A connection's number, unique in its process; what the log calls it.
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

/// What an [write_side](crate::transports::websocket::io) connection is written to by, and who else than its task does that. In memory as
/// written, as is a [`Connection`].
#[repr(C)]
pub(crate) struct WriteSide {
    /// Whether the courier is on its way.
    is_flush_requested: AtomicBool,
    ready_queue: ReadyQueue<Connection>,
    pub(crate) writer: Writer,
    /// Nothing where no socket has come of it.
    connection: OnceLock<Weak<Connection>>,
}

impl WriteSide {
    /// One that a courier comes to who is called at `ready_queue`.
    pub(crate) fn new(ready_queue: ReadyQueue<Connection>) -> Self {
        Self {
            writer: Writer::default(),
            ready_queue,
            connection: OnceLock::new(),
            is_flush_requested: AtomicBool::new(false),
        }
    }

    /// Has the courier come, and says whether it will.
    pub(crate) fn request_flush(&self) -> bool {
        let connection = self.connection.get().and_then(Weak::upgrade);
        connection.is_some_and(|connection| self.request_flush_of(&connection))
    }

    /// Has the courier come to its connection, which the caller knows.
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

    /// The courier is here: whoever has something for it from now on is to call it again. It swaps, as callers do, and so
    /// sees what was left by those who found it called already.
    pub(crate) fn clear_flush_request(&self) {
        self.is_flush_requested.swap(false, Ordering::AcqRel);
    }
}

/// The connection itself; shared by its actor, the tables it is in, and whoever has mail for it.
///
/// In memory as written: of thousands, none lies in the processor's caches, and who has mail for one needs to fetch
/// its beginning alone.
#[repr(C)]
pub(crate) struct Connection {
    write_side: OnceLock<Arc<WriteSide>>,
    pub(crate) mailbox: Mailbox,
    /// What its address has left of signals to nobody.
    pub(crate) not_found_budget: Arc<SharedTokenBucket>,
    pub(crate) id: ConnectionId,
    pub(crate) opened: Instant,
    active: AtomicBool,
    joined: AtomicBool,
    registered: AtomicBool,
    /// Whose limit it counts against.
    pub(crate) address: IpAddr,
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
            opened: Instant::now(),
            mailbox: Mailbox::new(limits),
            not_found_budget,
            active: AtomicBool::new(true),
            joined: AtomicBool::new(false),
            registered: AtomicBool::new(false),
            write_side: OnceLock::new(),
        }
    }

    pub(crate) fn timeouts(&self) -> &Timeouts {
        &self.mailbox.limits().timeouts
    }

    /// It has been upgraded: once in its life, if at all.
    pub(crate) fn set_write_side(self: &Arc<Self>, write_side: Arc<WriteSide>) {
        let known = write_side.connection.set(Arc::downgrade(self));
        let attached = self.write_side.set(write_side);
        debug_assert!(known.is_ok() && attached.is_ok(), "else the sweep would cut another wire");
    }

    pub(crate) fn write_side(&self) -> Option<&WriteSide> {
        self.write_side.get().map(Arc::as_ref)
    }

    pub(crate) fn writer(&self) -> Option<&Writer> {
        self.write_side().map(|write_side| &write_side.writer)
    }

    /// Cuts the wire, whatever waits on it; the actor ends within milliseconds.
    pub(crate) fn abort(&self) {
        if let Some(writer) = self.writer() {
            writer.abort();
        }
    }

    /// Says what the worker's courier may bring, from now on.
    pub(crate) fn enable_fastlane(&self, fastlane: Fastlane) {
        if let Some(writer) = self.writer() {
            writer.state().fastlane = Some(fastlane);
            self.mailbox.set_flusher();
        }
    }

    /// Nothing passes any more: the client has been told goodbye.
    pub(crate) fn disable_fastlane(&self) {
        if let Some(writer) = self.writer() {
            writer.state().fastlane = None;
        }
    }

    /// Puts a broadcast into its mailbox, for one of its joins.
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

    /// Bytes have come from the client.
    pub(crate) fn mark_active(&self) {
        self.active.store(true, Ordering::Relaxed);
    }

    /// Whether bytes have come since this was last asked.
    pub(crate) fn take_active(&self) -> bool {
        self.active.swap(false, Ordering::Relaxed)
    }

    /// Something has been joined.
    pub(crate) fn mark_joined(&self) {
        self.joined.store(true, Ordering::Relaxed);
    }

    pub(crate) fn has_joined(&self) -> bool {
        self.joined.load(Ordering::Relaxed)
    }

    /// The registry is about to hear of it.
    pub(crate) fn mark_registered(&self) {
        self.registered.store(true, Ordering::Relaxed);
    }

    /// Whether the registry may have something of it.
    pub(crate) fn is_registered(&self) -> bool {
        self.registered.load(Ordering::Relaxed)
    }

    /// Tells the socket something. A full mailbox has closed itself by then, and the sweep of
    /// [`connections`](crate::connections::hub) does the rest.
    pub(crate) fn send_event(&self, event: SocketEvent) -> Result<(), PushError> {
        self.mailbox.push(Envelope::SocketEvent(Box::new(event)), Instant::now())
    }

    /// Asks the actor to say why, and end.
    pub(crate) fn close(&self, reason: &'static Reason) -> bool {
        self.mailbox.close(reason)
    }
}

impl fmt::Debug for Connection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Connection").field("id", &self.id).field("mailbox", &self.mailbox).finish_non_exhaustive()
    }
}

/// Which join of which connection.
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

/// A connection's mail as a stream for its actor. It ends after [`Envelope::Close`].
pub(crate) struct MailboxStream {
    connection: Arc<Connection>,
    metrics: Arc<Metrics>,
    realm: Realm,
    /// What it has fetched, the last first.
    batch: Batch,
    batches: u32,
    ended: bool,
}

impl MailboxStream {
    /// How long mail waited is counted as of `realm`.
    pub(crate) fn new(connection: Arc<Connection>, metrics: Arc<Metrics>, realm: Realm) -> Self {
        Self { connection, metrics, realm, batch: Batch::new(), batches: 0, ended: false }
    }

    /// Fetches what waits; says whether there was something.
    fn fetch(&mut self, reader: &Waker) -> bool {
        let mailbox = &self.connection.mailbox;
        let since = if self.batches.is_multiple_of(SAMPLE_EVERY) { mailbox.waits_since() } else { None };
        if !mailbox.drain(&mut self.batch, reader) {
            return false;
        }
        self.batch.reverse();
        self.batches = self.batches.wrapping_add(1);
        if let Some(since) = since {
            self.metrics.queue_wait.add(self.realm, since.elapsed());
        }
        true
    }
}

impl Stream for MailboxStream {
    type Item = Envelope;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Envelope>> {
        let this = self.get_mut();
        if this.ended {
            return Poll::Ready(None);
        }
        if this.batch.is_empty() && !this.fetch(cx.waker()) {
            return Poll::Pending;
        }
        let envelope = this.batch.pop();
        this.ended = matches!(envelope, Some(Envelope::Close(_)));
        Poll::Ready(envelope)
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use std::net::Ipv4Addr;

    use std::time::Duration;

    use super::*;
    use crate::connections::limits::QueueLimit;
    use crate::connections::token_bucket::Rate;

    /// A connection whose mailbox takes so many bytes.
    pub(crate) fn allowing(bytes: usize) -> Connection {
        let timeouts = Timeouts { idle: Duration::MAX, join: Duration::MAX, ping_interval: None };
        let limits = Arc::new(ConnectionLimits { timeouts, queue: QueueLimit { bytes, age: Duration::MAX } });
        let not_found_budget = Arc::new(SharedTokenBucket::full(Rate::per_second(1, 1), Instant::now()));
        Connection::new(ConnectionId(1), Ipv4Addr::LOCALHOST.into(), limits, not_found_budget)
    }
}
