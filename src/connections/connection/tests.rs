//! Connections for the tests of this part, and what the sweep and the registry see of one.

use std::net::Ipv4Addr;
use std::time::Duration;

use super::*;
use crate::connections::limits::QueueLimit;
use crate::connections::token_bucket::Rate;

/// A connection whose mailbox is limited to `bytes`.
pub(crate) fn allowing(bytes: usize) -> Connection {
    numbered(1, bytes)
}

/// The same, for one of several connections.
pub(crate) fn numbered(id: u64, bytes: usize) -> Connection {
    let timeouts = Timeouts { idle: Duration::MAX, join: Duration::MAX, ping_interval: None };
    let queue = QueueLimit { bytes, age: Duration::MAX };
    let limits = Arc::new(ConnectionLimits { timeouts, queue, clock: Arc::default(), memory: MemoryBudget::new(0) });
    let not_found_budget = Arc::new(SharedTokenBucket::full(Rate::per_second(1, 1), Instant::now()));
    Connection::new(ConnectionId(id), Ipv4Addr::LOCALHOST.into(), limits, not_found_budget)
}

#[test]
fn the_sweep_and_the_registry_see_the_same_bytes() {
    let connection = allowing(usize::MAX);
    assert!(connection.activity.take() && !connection.activity.take(), "a new connection counts as active");
    connection.activity.mark();
    assert!(connection.probe(Instant::now()));
    assert!(!connection.activity.has_answered(), "what came before the ping is no answer");
    connection.activity.mark();
    assert!(connection.activity.take() && connection.activity.has_answered());
    assert!(!connection.activity.take() && connection.activity.has_answered());
}
