//! All connections of a node: how many there may be, which have fallen silent, and how they are told to
//! go when the node does.
//!
//! One sweep over all of them stands in for a timer in each: a session whose client does not read is
//! not run, so it could not keep its own time.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crate::broker::pubsub::Pubsub;
use crate::close::{self, Reason};
use crate::connections::connection::{Connection, ConnectionId};
use crate::connections::ip_limits::{IpLimitError, IpSlot, IpTable};
use crate::connections::limits::ConnectionLimits;
use crate::connections::mail::Envelope;
use crate::connections::mailbox::QueueDepth;
use crate::metrics::instruments::GaugeGuard;

/// How many connections there may be, and how long a dying one may take.
#[derive(Clone, Copy, Debug)]
pub(crate) struct HubLimits {
    pub(crate) connections: usize,
    /// How long after it was told to go a connection is cut.
    pub(crate) write_timeout: Duration,
}

/// Why there is no room for one more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum AdmissionError {
    Node,
    Address(IpLimitError),
}

/// The connections of a node.
pub(crate) struct Hub {
    ceiling: HubLimits,
    addresses: Arc<IpTable>,
    pubsub: Pubsub,
    last_id: AtomicU64,
    state: Mutex<Inner>,
}

#[derive(Default)]
struct Inner {
    open: HashMap<ConnectionId, Tracked>,
}

struct Tracked {
    connection: Arc<Connection>,
    heard_at: Instant,
    asked_at: Instant,
    closing_since: Option<Instant>,
}

/// A connection's place among the others; dropping it gives the place back.
pub(crate) struct ConnectionSlot {
    pub(crate) connection: Arc<Connection>,
    /// It among the open ones, once it is known what it speaks.
    pub(crate) counted: Option<GaugeGuard>,
    connections: Arc<Hub>,
    _place: IpSlot,
}

impl Drop for ConnectionSlot {
    fn drop(&mut self) {
        self.connections.leave(&self.connection);
    }
}

impl Hub {
    pub(crate) fn new(ceiling: HubLimits, addresses: Arc<IpTable>, pubsub: Pubsub) -> Arc<Self> {
        Arc::new(Self { ceiling, addresses, pubsub, last_id: AtomicU64::new(0), state: Mutex::default() })
    }

    /// Makes room for a connection from `address`.
    pub(crate) fn enter(
        self: &Arc<Self>,
        address: IpAddr,
        allowance: Arc<ConnectionLimits>,
    ) -> Result<ConnectionSlot, AdmissionError> {
        let mut state = self.lock();
        if state.open.len() >= self.ceiling.connections {
            return Err(AdmissionError::Node);
        }
        let (place, misses) = self.addresses.open(address, Instant::now()).map_err(AdmissionError::Address)?;
        let id = ConnectionId(self.last_id.fetch_add(1, Ordering::Relaxed) + 1);
        let connection = Arc::new(Connection::new(id, address, allowance, misses));
        let opened = connection.opened;
        let kept = Tracked { connection: connection.clone(), heard_at: opened, asked_at: opened, closing_since: None };
        state.open.insert(id, kept);
        drop(state);
        Ok(ConnectionSlot { connection, counted: None, connections: self.clone(), _place: place })
    }

    /// How many there are.
    pub(crate) fn len(&self) -> usize {
        self.lock().open.len()
    }

    /// Adds up what waits for all of them.
    pub(crate) fn waiting(&self) -> QueueTotals {
        let depths: Vec<QueueDepth> = self.lock().open.values().map(|kept| kept.connection.mailbox.depth()).collect();
        let mut waiting = QueueTotals::default();
        depths.iter().for_each(|depth| waiting.add(depth));
        waiting
    }

    fn leave(&self, connection: &Connection) {
        connection.mailbox.abandon();
        log::debug!("{}: gone", connection.id);
        self.lock().open.remove(&connection.id);
    }

    /// Looks once at every connection: asks for signs of life, tells those to go that are silent, slow, or
    /// have joined nothing, has the registry forget them, and cuts those that did not go in time.
    pub(crate) fn sweep(&self, now: Instant) {
        for kept in self.lock().open.values_mut() {
            if kept.connection.was_heard() {
                kept.heard_at = now;
            }
            if let Some(reason) = kept.fault(now) {
                kept.connection.close(reason);
            }
            if kept.is_to_be_asked(now) {
                let _ = kept.connection.mailbox.push(Envelope::Ping, now);
            }
            if !kept.connection.mailbox.is_closed() {
                continue;
            }
            match kept.closing_since {
                None => {
                    kept.closing_since = Some(now);
                    self.pubsub.down(&kept.connection);
                }
                Some(since) if now.saturating_duration_since(since) >= self.ceiling.write_timeout => {
                    kept.connection.cut()
                }
                Some(_) => {}
            }
        }
    }

    /// Tells every connection to go, a few at a time, so that they do not all come back at once. Ends
    /// when all are gone, or `timeout` has passed.
    pub(crate) async fn drain(&self, spread: Duration, timeout: Duration) {
        const STEP: Duration = Duration::from_millis(50);
        let started = Instant::now();
        let all: Vec<Arc<Connection>> = self.lock().open.values().map(|kept| kept.connection.clone()).collect();
        let steps = (spread.as_millis() / STEP.as_millis()).max(1) as usize;
        for batch in all.chunks(all.len().div_ceil(steps).max(1)) {
            for connection in batch {
                connection.close(&close::RESTART);
            }
            tokio::time::sleep(STEP.min(spread)).await;
        }
        while self.len() > 0 && started.elapsed() < timeout {
            tokio::time::sleep(STEP).await;
        }
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What waits in the mailboxes of all connections.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct QueueTotals {
    /// For how many of them something waits.
    pub(crate) connections: usize,
    pub(crate) messages: usize,
    pub(crate) bytes: usize,
    /// The most that waits for one.
    pub(crate) most_bytes: usize,
    /// Since when the oldest waits.
    pub(crate) since: Option<Instant>,
}

impl QueueTotals {
    fn add(&mut self, QueueDepth { messages, bytes, since }: &QueueDepth) {
        self.connections += usize::from(*messages > 0);
        self.messages += messages;
        self.bytes += bytes;
        self.most_bytes = self.most_bytes.max(*bytes);
        self.since = self.since.into_iter().chain(*since).min();
    }
}

impl Tracked {
    /// Whether it is time for the next sign of life; of times that were missed, one is made up for.
    fn is_to_be_asked(&mut self, now: Instant) -> bool {
        let Some(ping) = self.connection.patience().ping else { return false };
        let late = now.saturating_duration_since(self.asked_at);
        if late < ping {
            return false;
        }
        // what the sweep came late by is not to add up
        self.asked_at = if late < 2 * ping { self.asked_at + ping } else { now };
        true
    }

    fn fault(&self, now: Instant) -> Option<&'static Reason> {
        let Connection { opened, mailbox, .. } = &*self.connection;
        let patience = self.connection.patience();
        if now.saturating_duration_since(self.heard_at) >= patience.idle {
            return Some(&close::IDLE);
        }
        if mailbox.is_overdue(now) {
            return Some(&close::SLOW);
        }
        let unjoined = !self.connection.has_joined() && now.saturating_duration_since(*opened) >= patience.unjoined;
        unjoined.then_some(&close::NOT_JOINED)
    }
}
