//! The limits of one connection: its timeouts, the clock that measures them, and the size of its mailbox. All connections
//! of a mount share one copy. Limits per client IP are in [`ip_limits`](crate::connections::ip_limits).

use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::connections::clock::Clock;
use crate::memory::MemoryBudget;

/// The limits of a connection.
#[derive(Clone, Debug)]
pub(crate) struct ConnectionLimits {
    pub(crate) timeouts: Timeouts,
    pub(crate) queue: QueueLimit,
    /// The clock of the node.
    pub(crate) clock: Arc<Clock>,
    /// The node's memory budget.
    pub(crate) memory: Arc<MemoryBudget>,
}

/// The timeouts of a connection.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Timeouts {
    /// A client that sends nothing for this long is disconnected.
    pub(crate) idle: Duration,
    /// A client that has joined nothing within this time is disconnected.
    pub(crate) join: Duration,
    /// The interval between pings, if the server sends them.
    pub(crate) ping_interval: Option<Duration>,
}

/// The limit of a mailbox. It counts while the client is behind: it has not accepted all bytes that were written to its
/// socket.
#[derive(Clone, Copy, Debug)]
pub(crate) struct QueueLimit {
    /// How many bytes may wait.
    pub(crate) bytes: usize,
    /// How long the client may accept nothing.
    pub(crate) age: Duration,
}

/// How full a mailbox is.
#[derive(Clone, Copy, Debug)]
pub(crate) struct QueueDepth {
    pub(crate) messages: usize,
    /// Their size, as it counts against the limit.
    pub(crate) bytes: usize,
    /// Since when the oldest message waits, if there is one.
    pub(crate) since: Option<Instant>,
}
