//! Names and counters: what a node has done since it started. Counting is all that happens here.

use std::sync::atomic::{AtomicU64, Ordering};

/// A number that only grows.
#[derive(Debug, Default)]
pub struct Counter(AtomicU64);

impl Counter {
    pub(crate) fn add(&self, n: u64) {
        self.0.fetch_add(n, Ordering::Relaxed);
    }

    /// How much it is now.
    #[must_use]
    pub fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// A node's counters.
#[derive(Debug, Default)]
pub struct Metrics {
    /// Connections that were upgraded.
    pub connections: Counter,
    /// Upgrades refused: origin, version, limits, or the mount's own word.
    pub connections_refused: Counter,
    /// Connections that we ended, for whatever [reason](crate::close).
    pub connections_closed: Counter,
    /// Joins answered ok.
    pub joins: Counter,
    /// Joins that the registry refused: taken, or full.
    pub joins_refused: Counter,
    /// Messages put into the queues of members.
    pub delivered: Counter,
    /// Signals to names that nobody holds.
    pub absent: Counter,
    /// Messages that found a full queue; each is a connection cut off as a slow consumer.
    pub slow_consumers: Counter,
    /// Messages left out because the client's format has no words for them.
    pub unencodable: Counter,
    /// Messages that could not be read, where their format passes over them.
    pub ignored: Counter,
    /// Requests refused for coming too fast.
    pub rate_limited: Counter,
    /// Channels that panicked.
    pub channel_crashes: Counter,
}
