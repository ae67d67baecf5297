//! How often somebody may do something: a token bucket that can tell an excess from a flood.
//!
//! It is our own because `governor` cannot return a token, cannot look without taking one, and does not remember refusals,
//! which are what tells a flood from an excess.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// What a bucket says to one more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum RateVerdict {
    /// Go on.
    Allow,
    /// Too fast: refuse this one.
    Throttle,
    /// Too fast by a whole burst of refusals: end the connection.
    Flood,
}

/// `burst` at once, and then as many in each `period` as `rate`.
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

/// The bucket of one socket for one kind of thing. It may go into debt by as much as it holds; the
/// debt is what separates a client that hurries from one that floods.
#[derive(Debug)]
pub(crate) struct TokenBucket {
    tokens: f64,
    filled: Instant,
}

impl TokenBucket {
    pub(crate) fn full(rate: &Rate, now: Instant) -> Self {
        Self { tokens: f64::from(rate.burst), filled: now }
    }

    /// With one left, and so soon with more.
    pub(crate) fn of_one(now: Instant) -> Self {
        Self { tokens: 1.0, filled: now }
    }

    /// Whether nothing is left, without taking anything.
    pub(crate) fn is_empty(&mut self, rate: &Rate, now: Instant) -> bool {
        self.refill(rate, now);
        self.tokens < 1.0
    }

    pub(crate) fn take(&mut self, rate: &Rate, now: Instant) -> RateVerdict {
        self.refill(rate, now);
        let burst = f64::from(rate.burst);
        self.tokens = (self.tokens - 1.0).max(-burst - 1.0);
        match self.tokens {
            t if t >= 0.0 => RateVerdict::Allow,
            t if t >= -burst => RateVerdict::Throttle,
            _ => RateVerdict::Flood,
        }
    }

    /// What was taken for has not come true. The next refill sees to it that there are never too many.
    pub(crate) fn give_back(&mut self) {
        self.tokens += 1.0;
    }

    fn refill(&mut self, rate: &Rate, now: Instant) {
        let passed = now.saturating_duration_since(self.filled).as_secs_f64();
        let refill = passed * f64::from(rate.rate) / rate.period.as_secs_f64();
        self.tokens = (self.tokens + refill).min(f64::from(rate.burst));
        self.filled = now;
    }
}

/// A bucket that many take from, on any thread and without a lock: all it keeps is when it will be full again. It goes
/// into no debt.
#[derive(Debug)]
pub(crate) struct SharedTokenBucket {
    made: Instant,
    /// What one takes to be refilled, in nanoseconds.
    each: u64,
    burst: u64,
    /// In nanoseconds since it was made.
    full_at: AtomicU64,
}

impl SharedTokenBucket {
    pub(crate) fn full(rate: Rate, now: Instant) -> Self {
        let each = nanos(rate.period) / u64::from(rate.rate);
        Self { made: now, each, burst: each.saturating_mul(rate.burst.into()), full_at: AtomicU64::new(0) }
    }

    pub(crate) fn is_empty(&self, now: Instant) -> bool {
        let owed = self.full_at.load(Ordering::Relaxed).saturating_sub(self.since(now));
        owed.saturating_add(self.each) > self.burst
    }

    pub(crate) fn is_full(&self, now: Instant) -> bool {
        self.full_at.load(Ordering::Relaxed) <= self.since(now)
    }

    pub(crate) fn take(&self, now: Instant) {
        let now = self.since(now);
        let (each, most) = (self.each, now.saturating_add(self.burst));
        let later = |full_at: u64| Some(full_at.max(now).saturating_add(each).min(most));
        let _ = self.full_at.fetch_update(Ordering::Relaxed, Ordering::Relaxed, later);
    }

    /// What was taken for has not come true.
    pub(crate) fn give_back(&self) {
        let earlier = |full_at: u64| Some(full_at.saturating_sub(self.each));
        let _ = self.full_at.fetch_update(Ordering::Relaxed, Ordering::Relaxed, earlier);
    }

    fn since(&self, now: Instant) -> u64 {
        nanos(now.saturating_duration_since(self.made))
    }
}

fn nanos(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pool_gives_a_burst_and_then_the_rate() {
        let (rate, start) = (Rate::per_second(10, 5), Instant::now());
        let pool = SharedTokenBucket::full(rate, start);
        let all_at = |now| std::iter::repeat_with(|| pool.take(now)).take_while(|()| !pool.is_empty(now)).count() + 1;
        assert_eq!(all_at(start), 5);
        for _ in 0..100 {
            pool.take(start); // no debt
        }
        let later = start + Duration::from_millis(250);
        assert!(!pool.is_full(later));
        assert_eq!(all_at(later), 2);
        pool.give_back();
        assert!(!pool.is_empty(later));
        assert!(pool.is_full(later + Duration::from_millis(500)));
    }

    #[test]
    fn a_burst_passes_then_the_rate_then_a_flood_is_told_from_an_excess() {
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
    fn who_keeps_to_the_rate_is_never_refused() {
        let rate = Rate::per_second(100, 3);
        let start = Instant::now();
        let mut bucket = TokenBucket::full(&rate, start);
        for n in 0..10_000 {
            assert_eq!(bucket.take(&rate, start + Duration::from_millis(10 * n)), RateVerdict::Allow, "at {n}");
        }
    }
}
