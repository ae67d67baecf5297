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
        self.take_many(rate, 1, now, clock)
    }

    /// Counts a message that takes several tokens, such as one for each byte.
    pub(crate) fn take_many(&mut self, rate: &Rate, count: usize, now: Instant, clock: &Clock) -> RateVerdict {
        let verdict = self.bucket.take_many(rate, count, now);
        if verdict == RateVerdict::Allow {
            return verdict;
        }
        let lost = clock.lost();
        let time = lost.saturating_sub(self.lost);
        self.lost = self.lost.max(lost);
        if !self.bucket.credit(rate, time) {
            return verdict;
        }
        self.bucket.give_back_many(rate, count);
        self.bucket.take_many(rate, count, now)
    }
}
