//! The hub: all connections of a node. It limits their number, checks their timeouts, and closes them when the node
//! drains. Limits per client IP are in [`ip_limits`](crate::connections::ip_limits).
//!
//! One sweep checks all connections, because a session cannot run a timer of its own: its actor is not polled while its
//! client does not read.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::ops::Bound::{Excluded, Included};
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crate::close::{self, Reason};
use crate::connections::client_kinds::ClientKind;
use crate::connections::clock::Clock;
use crate::connections::connection::{Connection, ConnectionId};
use crate::connections::envelope::Envelope;
use crate::connections::ip_limits::{IpLimitError, IpSlot, IpTable, Newcomer};
use crate::connections::limits::ConnectionLimits;
use crate::connections::limits::QueueDepth;
use crate::connections::relief::relieve;
use crate::connections::walk::{Connections, Walk};
use crate::metrics::instruments::GaugeGuard;

/// The limit on connections, and how long one may take to close.
#[derive(Clone, Copy, Debug)]
pub(crate) struct HubLimits {
    pub(crate) connections: usize,
    /// How long a connection may take to close before it is aborted.
    pub(crate) close_timeout: Duration,
}

/// Why no further connection is admitted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum AdmissionError {
    /// The node has reached `server.connections`.
    Node,
    /// The node has used up `limits.memory_bytes`.
    Memory,
    /// The client IP has reached a limit.
    Address(IpLimitError),
}

/// The connections of a node.
pub(crate) struct Hub {
    limits: HubLimits,
    ip_table: Arc<IpTable>,
    last_id: AtomicU64,
    /// The number of WebSockets of upgraded sessions.
    upgraded: AtomicUsize,
    state: Mutex<Inner>,
}

#[derive(Default)]
struct Inner {
    /// By number, so that a [`Walk`] can go through them in steps.
    open: BTreeMap<ConnectionId, Tracked>,
}

struct Tracked {
    connection: Arc<Connection>,
    active_at: Instant,
    pinged_at: Instant,
    closing_since: Option<Instant>,
    /// `None` once the connection has made way for another one of its IP.
    ip_slot: Option<IpSlot>,
}

/// Whose limits a new connection counts against.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ClientIdentity {
    pub(crate) address: IpAddr,
    pub(crate) kind: ClientKind,
    /// Whether it is a long-polling session.
    pub(crate) polls: bool,
}

/// A connection's slot in the hub. Dropping it removes the connection.
pub(crate) struct ConnectionSlot {
    pub(crate) connection: Arc<Connection>,
    /// Counts the connection as open, once its protocol is known.
    pub(crate) counted: Option<GaugeGuard>,
    hub: Arc<Hub>,
}

/// The slot of an upgraded session's WebSocket. The session leaves the hub before its WebSocket is closed. A drain waits
/// for both, so that the client receives the close frame.
pub(crate) struct UpgradedSlot(Arc<Hub>);

impl Drop for UpgradedSlot {
    fn drop(&mut self) {
        self.0.upgraded.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Drop for ConnectionSlot {
    fn drop(&mut self) {
        self.hub.remove(&self.connection);
    }
}

impl Hub {
    /// The limits per client IP.
    pub(crate) fn ip_table(&self) -> &IpTable {
        &self.ip_table
    }

    pub(crate) fn new(limits: HubLimits, ip_table: Arc<IpTable>) -> Arc<Self> {
        Arc::new(Self {
            limits,
            ip_table,
            last_id: AtomicU64::new(0),
            upgraded: AtomicUsize::new(0),
            state: Mutex::default(),
        })
    }

    /// Admits a client, unless a limit is reached. If its IP has too many sockets, the oldest long-polling session of the
    /// IP that was never used makes way: its client opens sessions in a loop, or has given up.
    pub(crate) fn admit(
        self: &Arc<Self>,
        client: ClientIdentity,
        limits: Arc<ConnectionLimits>,
    ) -> Result<ConnectionSlot, AdmissionError> {
        let ClientIdentity { address, kind, polls } = client;
        let now = Instant::now();
        let id = ConnectionId(self.last_id.fetch_add(1, Ordering::Relaxed) + 1);
        let newcomer = Newcomer { id, address, kind, polls };
        let mut state = self.lock();
        if state.open.len() >= self.limits.connections {
            return Err(AdmissionError::Node);
        }
        if limits.memory.is_full() {
            return Err(AdmissionError::Memory);
        }
        let admitted = match self.ip_table.admit_socket(newcomer, now) {
            Err(IpLimitError::TooMany) if state.close_unused(&self.ip_table, address) => {
                self.ip_table.admit_socket(newcomer, now)
            }
            admitted => admitted,
        };
        let (ip_slot, not_found_budget) = admitted.map_err(AdmissionError::Address)?;
        let connection = Arc::new(Connection::new(id, address, limits, not_found_budget));
        let opened = connection.opened;
        let tracked = Tracked {
            connection: connection.clone(),
            active_at: opened,
            pinged_at: opened,
            closing_since: None,
            ip_slot: Some(ip_slot),
        };
        state.open.insert(id, tracked);
        drop(state);
        Ok(ConnectionSlot { connection, counted: None, hub: self.clone() })
    }

    /// Counts the WebSocket of an upgraded session.
    pub(crate) fn add_upgraded(self: &Arc<Self>) -> UpgradedSlot {
        self.upgraded.fetch_add(1, Ordering::Relaxed);
        UpgradedSlot(self.clone())
    }

    /// Closes the connections whose token was revoked. Returns how many.
    pub(crate) fn close_revoked(self: &Arc<Self>) -> usize {
        let is_revoked = |connection: &Arc<Connection>| connection.access().is_some_and(|access| access.is_revoked());
        let revoked = self.walk().flatten().filter(is_revoked);
        revoked.filter(|connection| connection.close(&close::TOKEN_REVOKED)).count()
    }

    /// All connections, in steps.
    pub(crate) fn walk(self: &Arc<Self>) -> Walk {
        Walk::new(self.clone(), ConnectionId(self.last_id.load(Ordering::Relaxed)))
    }

    /// The connection with this number.
    pub(crate) fn connection(&self, id: ConnectionId) -> Option<Arc<Connection>> {
        self.lock().open.get(&id).map(|tracked| tracked.connection.clone())
    }

    /// The number of connections.
    pub(crate) fn len(&self) -> usize {
        self.lock().open.len()
    }

    /// The totals of all mailboxes.
    pub(crate) fn queue_totals(&self) -> QueueTotals {
        let depths: Vec<QueueDepth> =
            self.lock().open.values().map(|tracked| tracked.connection.mailbox.depth()).collect();
        let mut totals = QueueTotals::default();
        depths.iter().for_each(|depth| totals.add(depth));
        totals
    }

    /// Frees about `excess` bytes: disconnects the clients that hold most and wait longest. Returns how many.
    pub(crate) fn relieve(self: &Arc<Self>, excess: usize, now: Instant) -> usize {
        relieve(self.walk().flatten(), excess, now)
    }

    fn remove(&self, connection: &Connection) {
        connection.mailbox.close_and_discard();
        connection.free_place();
        log::debug!("{}: closed", connection.id);
        self.lock().open.remove(&connection.id);
    }

    /// Checks every connection once. It sends the pings that are due, closes connections that are idle, slow, have not
    /// joined a topic in time, or whose token has expired, and aborts those that did not close in time. Returns the
    /// connections that were found closed for the first time: the registry must remove what they have. `now` is the time
    /// that the node's clock has judged.
    #[must_use]
    pub(crate) fn sweep(&self, now: Instant) -> Vec<Arc<Connection>> {
        let (mut closed, system_now) = (Vec::new(), Instant::now());
        for tracked in self.lock().open.values_mut() {
            if tracked.connection.activity.take() {
                tracked.active_at = now;
            }
            if tracked.connection.mailbox.is_overdue(now) {
                // its messages are dropped: it would not read them
                tracked.connection.mailbox.evict();
            } else if let Some(reason) = tracked.close_reason(now, system_now) {
                tracked.connection.close(reason);
            }
            if tracked.is_ping_due(now) {
                let _ = tracked.connection.mailbox.push(Envelope::Ping, now);
            }
            if !tracked.connection.mailbox.is_closed() {
                continue;
            }
            match tracked.closing_since {
                None => {
                    tracked.closing_since = Some(now);
                    closed.push(tracked.connection.clone());
                }
                Some(since) if now.saturating_duration_since(since) >= self.limits.close_timeout => {
                    tracked.connection.abort()
                }
                Some(_) => {}
            }
        }
        closed
    }

    /// Closes all connections, in steps over `spread`, so that the clients do not all reconnect at the same time.
    /// Returns when all are closed, or after `timeout`.
    pub(crate) async fn drain(self: &Arc<Self>, spread: Duration, timeout: Duration, clock: &Clock) {
        const STEP: Duration = Duration::from_millis(50);
        let started = clock.now();
        let all: Vec<_> = self.walk().flatten().collect();
        let steps = (spread.as_millis() / STEP.as_millis()).max(1) as usize;
        for batch in all.chunks(all.len().div_ceil(steps).max(1)) {
            for connection in batch {
                connection.close(&close::RESTART);
            }
            tokio::time::sleep(STEP.min(spread)).await;
        }
        let is_over = || clock.judged().saturating_duration_since(started) >= timeout;
        while (self.len() > 0 || self.upgraded.load(Ordering::Relaxed) > 0) && !is_over() {
            tokio::time::sleep(STEP).await;
        }
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Connections for Hub {
    fn connections_after(&self, after: ConnectionId, last: ConnectionId, limit: usize) -> Vec<Arc<Connection>> {
        if after >= last {
            return Vec::new();
        }
        let state = self.lock();
        let further = state.open.range((Excluded(after), Included(last)));
        further.take(limit).map(|(_, tracked)| tracked.connection.clone()).collect()
    }
}

impl Inner {
    /// Closes the oldest long-polling session of an IP that was never used, and frees its slot. Returns whether there
    /// was one. A session that is in use is checked only once.
    fn close_unused(&mut self, ip_table: &IpTable, address: IpAddr) -> bool {
        while let Some(id) = ip_table.take_maybe_unused(address) {
            let Some(tracked) = self.open.get_mut(&id) else { continue };
            if !tracked.connection.activity.is_used() {
                tracked.connection.close(&close::UNUSED);
                tracked.ip_slot = None;
                return true;
            }
        }
        false
    }
}

/// The totals of all connections' mailboxes.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct QueueTotals {
    /// The number of connections with queued messages.
    pub(crate) connections: usize,
    pub(crate) messages: usize,
    pub(crate) bytes: usize,
    /// The size of the largest queue.
    pub(crate) most_bytes: usize,
    /// When the oldest message was queued.
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
    /// Whether the next ping is due. If several were missed, only one is sent.
    fn is_ping_due(&mut self, now: Instant) -> bool {
        let Some(ping) = self.connection.timeouts().ping_interval else { return false };
        let late = now.saturating_duration_since(self.pinged_at);
        if late < ping {
            return false;
        }
        // keeps to the interval, so that delays of the sweep do not add up
        self.pinged_at = if late < 2 * ping { self.pinged_at + ping } else { now };
        true
    }

    fn close_reason(&self, now: Instant, system_now: Instant) -> Option<&'static Reason> {
        if self.connection.is_over(system_now) {
            return Some(&close::TOKEN_EXPIRED);
        }
        let opened = self.connection.opened;
        let timeouts = self.connection.timeouts();
        if now.saturating_duration_since(self.active_at) >= timeouts.idle {
            return Some(&close::IDLE);
        }
        let unjoined = !self.connection.has_joined() && now.saturating_duration_since(opened) >= timeouts.join;
        unjoined.then_some(&close::NOT_JOINED)
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;

    use super::*;
    use crate::config::schema::Config;

    #[actix_web::test]
    async fn a_drain_waits_for_the_sockets_of_upgraded_sessions() {
        let limits = HubLimits { connections: 1, close_timeout: Duration::MAX };
        let hub = Hub::new(limits, IpTable::new(&Config::default().limits));
        let (slot, clock) = (hub.add_upgraded(), Clock::default());
        let mut drain = std::pin::pin!(hub.drain(Duration::ZERO, Duration::MAX, &clock));
        assert_eq!(drain.as_mut().now_or_never(), None);
        drop(slot);
        drain.await;
    }
}
