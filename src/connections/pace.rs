//! [`Pace`]: the rate of one socket's messages, by which no time counts that the broker has lost.

use std::time::{Duration, Instant};

use crate::connections::clock::Clock;
use crate::connections::token_bucket::{Rate, RateVerdict, TokenBucket};

/// A bucket that allows at once what the client could have sent while the broker did not run: that arrives at once, and
/// is no flood.
#[derive(Debug)]
pub(crate) struct Pace {
    bucket: TokenBucket,
    /// The time that the broker had lost when the bucket was checked against it last.
    lost: Duration,
}

impl Pace {
    /// The pace of a client that has sent nothing yet.
    pub(crate) fn new(rate: &Rate, now: Instant, clock: &Clock) -> Self {
        Self { bucket: TokenBucket::full(rate, now), lost: clock.lost() }
    }

    /// Counts a message.
    pub(crate) fn take(&mut self, rate: &Rate, now: Instant, clock: &Clock) -> RateVerdict {
        let verdict = self.bucket.take(rate, now);
        if verdict == RateVerdict::Allow {
            return verdict;
        }
        let lost = clock.lost();
        let time = lost.saturating_sub(self.lost);
        self.lost = self.lost.max(lost);
        if self.bucket.credit(rate, time) { self.bucket.take(rate, now) } else { verdict }
    }
}
