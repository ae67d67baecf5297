//! The end of a lease.

use std::time::Duration;

use rustix::time::{ClockId, clock_gettime};
use tokio::time::Instant;

/// When a lease ends. The clock of [`Instant`] stands still while the machine sleeps, so the time since the machine's start
/// counts too, which goes on. The lease is over when one of them says so.
#[derive(Clone, Copy, Debug)]
pub(super) struct LeaseEnd {
    at: Instant,
    since_start: Duration,
}

impl LeaseEnd {
    /// The end of a lease that begins now.
    pub(super) fn after(lease: Duration) -> Self {
        Self { at: Instant::now() + lease, since_start: since_start() + lease }
    }

    pub(super) fn is_over(self) -> bool {
        self.is_over_at(Instant::now(), since_start())
    }

    fn is_over_at(self, at: Instant, since_start: Duration) -> bool {
        at >= self.at || since_start >= self.since_start
    }
}

/// The time since the machine's start, with the time that it has slept.
fn since_start() -> Duration {
    // this clock is never negative
    Duration::try_from(clock_gettime(ClockId::Boottime)).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lease_is_over_when_one_of_the_clocks_says_so() {
        let lease = Duration::from_secs(10);
        let (at, start) = (Instant::now(), since_start());
        let end = LeaseEnd::after(lease);
        let (later, slept) = (at + lease * 2, start + lease * 2);
        let results =
            [(at, start), (later, start), (at, slept), (later, slept)].map(|(at, start)| end.is_over_at(at, start));
        assert_eq!(results, [false, true, true, true]);
    }
}
