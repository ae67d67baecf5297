//! What a connection is allowed: how long it may do what, and how much may wait for it. A mount's connections share
//! one.

use std::time::Duration;

/// What a connection is allowed.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ConnectionLimits {
    pub(crate) timeouts: Timeouts,
    pub(crate) queue: QueueLimit,
}

/// How long a connection may do what.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Timeouts {
    /// Without a byte from the client.
    pub(crate) idle: Duration,
    /// Without having joined anything.
    pub(crate) join: Duration,
    /// Without being asked for a sign of life, where it is the server who asks.
    pub(crate) ping_interval: Option<Duration>,
}

/// The bound of a mailbox. A message is taken while what waits is below both, and a large one counts in
/// part. The batch that the reader has fetched before may be as much again.
#[derive(Clone, Copy, Debug)]
pub(crate) struct QueueLimit {
    pub(crate) bytes: usize,
    pub(crate) age: Duration,
}
