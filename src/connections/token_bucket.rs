//! Rate limits: a token bucket that distinguishes a client that is too fast from one that floods, and a lock-free
//! bucket that many sockets share.
//!
//! The crate `governor` does not fit: it cannot return a token, cannot check without taking one, and does not count
//! refusals, by which a flood is recognised.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// The longest time that the broker did not run for which a client gets tokens.
const LONGEST_CREDIT: Duration = Duration::from_secs(60);

/// The result of taking a token.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum RateVerdict {
    /// Within the rate.
    Allow,
    /// Too fast: refuse this request.
    Throttle,
    /// Too fast, and a whole burst has been refused already: close the connection.
    Flood,
}

/// A burst of `burst`, and then a sustained `rate` per `period`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Rate {
    pub(crate) rate: u32,
    pub(crate) period: Duration,
    pub(crate) burst: u32,
}

impl Rate {
    pub(crate) const fn per_second(rate: u32, burst: u32) -> Self {
        Self { rate, period: Duration::from_secs(1), burst }
    }

    pub(crate) const fn per_minute(rate: u32, burst: u32) -> Self {
        Self { rate, period: Duration::from_secs(60), burst }
    }
}

impl Rate {
    /// How many tokens are refilled in this time.
    fn tokens_in(&self, time: Duration) -> f64 {
        time.as_secs_f64() * f64::from(self.rate) / self.period.as_secs_f64()
    }
}

/// A socket's bucket for one kind of request. It can go into debt by as much as it holds. A client that exhausts the
/// debt too is flooding.
#[derive(Debug)]
pub(crate) struct TokenBucket {
    tokens: f64,
    filled: Instant,
}

impl TokenBucket {
    pub(crate) fn full(rate: &Rate, now: Instant) -> Self {
        Self { tokens: f64::from(rate.burst), filled: now }
    }

    /// A bucket with one token, which refills at the usual rate.
    pub(crate) fn of_one(now: Instant) -> Self {
        Self { tokens: 1.0, filled: now }
    }

    /// Whether no token is left. It takes none.
    pub(crate) fn is_empty(&mut self, rate: &Rate, now: Instant) -> bool {
        self.refill(rate, now);
        self.tokens < 1.0
    }

    /// The time after which it has a token, if it has none.
    pub(crate) fn time_until_token(&self, rate: &Rate) -> Duration {
        rate.period.mul_f64((1.0 - self.tokens).max(0.0) / f64::from(rate.rate))
    }

    /// Whether a new bucket would be the same.
    pub(crate) fn is_full(&mut self, rate: &Rate, now: Instant) -> bool {
        self.refill(rate, now);
        self.tokens >= f64::from(rate.burst)
    }

    pub(crate) fn take(&mut self, rate: &Rate, now: Instant) -> RateVerdict {
        self.take_many(rate, 1, now)
    }

    /// Takes several tokens for one request. More than a whole burst counts as a burst.
    pub(crate) fn take_many(&mut self, rate: &Rate, count: usize, now: Instant) -> RateVerdict {
        self.refill(rate, now);
        let burst = f64::from(rate.burst);
        self.tokens = (self.tokens - tokens(rate, count)).max(-burst - 1.0);
        match self.tokens {
            t if t >= 0.0 => RateVerdict::Allow,
            t if t >= -burst => RateVerdict::Throttle,
            _ => RateVerdict::Flood,
        }
    }

    /// Charges for something that was done, however large: the bucket is empty until all of it is refilled.
    pub(crate) fn charge(&mut self, rate: &Rate, cost: f64, now: Instant) {
        self.refill(rate, now);
        self.tokens -= cost;
    }

    /// Returns a token that was not needed.
    pub(crate) fn give_back(&mut self, rate: &Rate) {
        self.give_back_many(rate, 1);
    }

    /// Returns the tokens of a [`take_many`](Self::take_many).
    pub(crate) fn give_back_many(&mut self, rate: &Rate, count: usize) {
        self.add(rate, tokens(rate, count));
    }

    /// Adds what was not refilled in a time during which the broker did not run, because the bucket was full by then. All
    /// of it may be taken at once. Returns whether there was any.
    pub(crate) fn credit(&mut self, rate: &Rate, time: Duration) -> bool {
        let credit = rate.tokens_in(time.min(LONGEST_CREDIT)) - f64::from(rate.burst);
        self.tokens += credit.max(0.0);
        credit > 0.0
    }

    fn refill(&mut self, rate: &Rate, now: Instant) {
        let passed = now.saturating_duration_since(self.filled);
        self.add(rate, rate.tokens_in(passed));
        self.filled = now;
    }

    /// Adds tokens up to the burst. More than that is left from a [`credit`](Self::credit).
    fn add(&mut self, rate: &Rate, tokens: f64) {
        self.tokens = (self.tokens + tokens).min(f64::from(rate.burst).max(self.tokens));
    }
}

/// What a request of this size takes. A rate of 0 allows nothing.
fn tokens(rate: &Rate, count: usize) -> f64 {
    f64::from(u32::try_from(count).unwrap_or(u32::MAX).min(rate.burst.max(1)))
}

/// A bucket that many sockets share, on any thread and without a lock. It stores only the time at which it will be full
/// again. It does not go into debt.
#[derive(Debug)]
pub(crate) struct SharedTokenBucket {
    created: Instant,
    /// The time that one token takes to refill, in nanoseconds.
    nanos_per_token: u64,
    /// The time that a whole burst takes to refill, in nanoseconds.
    burst: u64,
    /// When the bucket will be full, in nanoseconds since `created`.
    full_at: AtomicU64,
}

impl SharedTokenBucket {
    pub(crate) fn full(rate: Rate, now: Instant) -> Self {
        let nanos_per_token = nanos(rate.period) / u64::from(rate.rate);
        Self {
            created: now,
            nanos_per_token,
            burst: nanos_per_token.saturating_mul(rate.burst.into()),
            full_at: AtomicU64::new(0),
        }
    }

    pub(crate) fn is_empty(&self, now: Instant) -> bool {
        let refill_time = self.full_at.load(Ordering::Relaxed).saturating_sub(self.since(now));
        refill_time.saturating_add(self.nanos_per_token) > self.burst
    }

    pub(crate) fn is_full(&self, now: Instant) -> bool {
        self.full_at.load(Ordering::Relaxed) <= self.since(now)
    }

    pub(crate) fn take(&self, now: Instant) {
        let now = self.since(now);
        let (nanos_per_token, most) = (self.nanos_per_token, now.saturating_add(self.burst));
        let later = |full_at: u64| Some(full_at.max(now).saturating_add(nanos_per_token).min(most));
        let _ = self.full_at.fetch_update(Ordering::Relaxed, Ordering::Relaxed, later);
    }

    /// Returns a token that was not needed.
    pub(crate) fn give_back(&self) {
        let earlier = |full_at: u64| Some(full_at.saturating_sub(self.nanos_per_token));
        let _ = self.full_at.fetch_update(Ordering::Relaxed, Ordering::Relaxed, earlier);
    }

    fn since(&self, now: Instant) -> u64 {
        nanos(now.saturating_duration_since(self.created))
    }
}

pub(crate) fn nanos(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_shared_bucket_allows_a_burst_and_then_the_rate() {
        let (rate, start) = (Rate::per_second(10, 5), Instant::now());
        let bucket = SharedTokenBucket::full(rate, start);
        let tokens_at =
            |now| std::iter::repeat_with(|| bucket.take(now)).take_while(|()| !bucket.is_empty(now)).count() + 1;
        assert_eq!(tokens_at(start), 5);
        for _ in 0..100 {
            bucket.take(start); // must not go into debt
        }
        let later = start + Duration::from_millis(250);
        assert!(!bucket.is_full(later));
        assert_eq!(tokens_at(later), 2);
        bucket.give_back();
        assert!(!bucket.is_empty(later));
        assert!(bucket.is_full(later + Duration::from_millis(500)));
    }

    #[test]
    fn a_burst_is_allowed_the_next_is_throttled_and_the_rest_is_a_flood() {
        let rate = Rate::per_second(10, 5);
        let start = Instant::now();
        let mut bucket = TokenBucket::full(&rate, start);
        assert!((0..5).all(|_| bucket.take(&rate, start) == RateVerdict::Allow));
        assert!((0..5).all(|_| bucket.take(&rate, start) == RateVerdict::Throttle));
        assert_eq!(bucket.take(&rate, start), RateVerdict::Flood);
        let later = start + Duration::from_secs(10);
        assert!((0..5).all(|_| bucket.take(&rate, later) == RateVerdict::Allow));
        assert_eq!(bucket.take(&rate, later), RateVerdict::Throttle);
    }

    #[test]
    fn what_a_client_could_have_sent_while_the_broker_did_not_run_is_allowed_at_once() {
        let (rate, start) = (Rate::per_second(10, 5), Instant::now());
        let (mut bucket, later) = (TokenBucket::full(&rate, start), start + Duration::from_secs(10));
        assert!((0..5).all(|_| bucket.take(&rate, start) == RateVerdict::Allow));
        assert!(!bucket.credit(&rate, Duration::from_millis(500)), "no more than the refill");
        assert!((0..5).all(|_| bucket.take(&rate, later) == RateVerdict::Allow), "the refill");
        assert!(bucket.credit(&rate, Duration::from_secs(10)));
        assert!((0..95).all(|_| bucket.take(&rate, later) == RateVerdict::Allow));
        assert_eq!(bucket.take(&rate, later), RateVerdict::Throttle);
        bucket.give_back(&rate);
        assert!((1..2_000).all(|n| bucket.take(&rate, later + Duration::from_millis(101 * n)) == RateVerdict::Allow));
    }

    #[test]
    fn a_large_request_takes_as_many_tokens_as_it_has_bytes() {
        let (rate, start) = (Rate::per_second(10, 100), Instant::now());
        let mut bucket = TokenBucket::full(&rate, start);
        assert_eq!(bucket.take_many(&rate, 60, start), RateVerdict::Allow);
        assert_eq!(bucket.take_many(&rate, 60, start), RateVerdict::Throttle);
        bucket.give_back_many(&rate, 60);
        assert_eq!(bucket.take_many(&rate, 40, start), RateVerdict::Allow);
        assert_eq!(bucket.take_many(&rate, 90, start), RateVerdict::Throttle);
        assert_eq!(bucket.take_many(&rate, 20, start), RateVerdict::Flood);
        let later = start + Duration::from_secs(60);
        assert_eq!(bucket.take_many(&rate, 1_000_000, later), RateVerdict::Allow, "larger than the burst");
        assert_eq!(bucket.take_many(&rate, 1, later), RateVerdict::Throttle);
    }

    #[test]
    fn what_was_done_is_paid_in_full() {
        let (rate, start) = (Rate::per_second(10, 100), Instant::now());
        let mut bucket = TokenBucket::full(&rate, start);
        bucket.charge(&rate, 99.0, start);
        assert!(!bucket.is_empty(&rate, start));
        bucket.charge(&rate, 1_000.0, start);
        assert!(bucket.is_empty(&rate, start + Duration::from_secs(99)));
        assert!(!bucket.is_empty(&rate, start + Duration::from_secs(101)));
    }

    #[test]
    fn a_client_within_the_rate_is_never_refused() {
        let rate = Rate::per_second(100, 3);
        let start = Instant::now();
        let mut bucket = TokenBucket::full(&rate, start);
        for n in 0..10_000 {
            assert_eq!(bucket.take(&rate, start + Duration::from_millis(10 * n)), RateVerdict::Allow, "at {n}");
        }
    }
}
