//! The clock of a node, which stands still while the node does not run: while its process is stopped, its machine is
//! suspended, or a worker gets no processor time. A client must not lose its connection for time that the broker lost.
//!
//! Every deadline of a client is measured by this clock, and judged by [`judged`](Clock::judged): the time until which
//! everything that has arrived from clients has been read. The node [ticks](Ticker) the clock, each time after all of
//! its workers had a turn. A clock that nobody ticks is the monotonic clock of the system.
//!
//! The timers of the runtime run on while the node does not. So [`sleep`](Clock::sleep) and
//! [`timeout`](Clock::timeout) of this clock replace them wherever a client is judged.

use std::future::{Future, pending};
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use futures_util::future::{Either, select};

use crate::connections::token_bucket::nanos;

/// A tick that is later than this has lost the time in which it was late, unless the interval of the ticks is longer.
const LATE: Duration = Duration::from_millis(100);
/// A loss of time of at least this length is logged.
const LOGGED: Duration = Duration::from_secs(1);
/// For how many ticks the clock stands still after it has lost time, so that what has arrived meanwhile is handled: new
/// connections are accepted, and their first requests read.
const RECOVERY: u32 = 4;
/// The shortest sleep between two looks at the clock.
const SHORTEST_SLEEP: Duration = Duration::from_millis(2);
/// Stands for a clock that nobody ticks.
const UNTICKED: u64 = u64::MAX;

/// The time is over, by the node's clock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Elapsed;

/// A node's clock.
#[derive(Debug)]
pub(crate) struct Clock {
    /// When the clock was made. All its times are nanoseconds since then.
    origin: Instant,
    /// The time that has been lost until the last tick.
    lost: AtomicU64,
    /// The time of the last tick.
    judged: AtomicU64,
    /// How far the clock may run on from the last tick.
    reach: AtomicU64,
}

impl Default for Clock {
    fn default() -> Self {
        let (lost, judged, reach) = (AtomicU64::new(0), AtomicU64::new(0), AtomicU64::new(UNTICKED));
        Self { origin: Instant::now(), lost, judged, reach }
    }
}

impl Clock {
    /// The present time. Deadlines begin with it.
    pub(crate) fn now(&self) -> Instant {
        self.at(Instant::now())
    }

    /// The time until which everything that has arrived from clients has been read. Deadlines end by it. It is at most
    /// about one tick behind [`now`](Self::now).
    pub(crate) fn judged(&self) -> Instant {
        match self.reach.load(Ordering::Relaxed) {
            UNTICKED => self.now(),
            _ => self.origin + Duration::from_nanos(self.judged.load(Ordering::Acquire)),
        }
    }

    /// The time that the node has lost since its start.
    pub(crate) fn lost(&self) -> Duration {
        let real = Instant::now();
        real.saturating_duration_since(self.at(real))
    }

    /// Completes after `time`.
    pub(crate) async fn sleep(&self, time: Duration) {
        let Some(until) = self.now().checked_add(time) else { return pending().await };
        loop {
            let left = until.saturating_duration_since(self.judged());
            if left.is_zero() {
                return;
            }
            tokio::time::sleep(left.max(SHORTEST_SLEEP)).await;
        }
    }

    /// Waits for `future`, for at most `time`.
    pub(crate) async fn timeout<F: Future>(&self, time: Duration, future: F) -> Result<F::Output, Elapsed> {
        match select(pin!(future), pin!(self.sleep(time))).await {
            Either::Left((output, _)) => Ok(output),
            Either::Right(_) => Err(Elapsed),
        }
    }

    /// The time of this clock at a present time of the system.
    fn at(&self, real: Instant) -> Instant {
        // read in the reverse order of a tick's writes: what is read in the middle of a tick is wrong by its reach at most
        let (judged, reach) = (self.judged.load(Ordering::Acquire), self.reach.load(Ordering::Relaxed));
        let passed = nanos(real.saturating_duration_since(self.origin));
        let now = passed.saturating_sub(self.lost.load(Ordering::Relaxed));
        self.origin + Duration::from_nanos(now.min(judged.saturating_add(reach)))
    }
}

/// Ticks a clock.
pub(crate) struct Ticker {
    clock: Arc<Clock>,
    /// How late a tick may be until time is lost, plus the interval of the ticks.
    reach: Duration,
    last: Instant,
    /// For how many ticks the clock still stands still, if it has lost time just before. The tick after them counts even
    /// if it is late: the clock of a node that is always late must not stand still for ever.
    recovery: Option<u32>,
}

impl Ticker {
    /// From now on `clock` runs only as long as it is ticked in this interval.
    pub(crate) fn start(clock: Arc<Clock>, interval: Duration) -> Self {
        let (last, reach) = (Instant::now(), interval + interval.max(LATE));
        clock.judged.store(nanos(last.saturating_duration_since(clock.origin)), Ordering::Release);
        clock.reach.store(nanos(reach), Ordering::Release);
        Self { clock, reach, last, recovery: None }
    }

    /// Ticks. All workers have read what had arrived from clients at the time `read`.
    pub(crate) fn tick(&mut self, read: Instant) {
        let passed = read.saturating_duration_since(std::mem::replace(&mut self.last, read));
        let (counted, recovery) = match self.recovery {
            None if passed > self.reach => (Duration::ZERO, Some(RECOVERY)),
            Some(left @ 1..) => (Duration::ZERO, Some(left - 1)),
            None | Some(0) => (passed.min(self.reach), None),
        };
        self.recovery = recovery;
        if passed >= LOGGED + self.reach {
            log::warn!("the node did not run for {passed:.1?}, which counts against no client");
        }
        let Clock { lost, judged, .. } = &*self.clock;
        lost.fetch_add(nanos(passed - counted), Ordering::Relaxed);
        judged.fetch_add(nanos(counted), Ordering::Release);
    }
}

/// Runs `close`, which closes a connection, after `time`.
pub(crate) fn abort_later(close: impl FnOnce() + 'static, time: Duration, clock: Arc<Clock>) {
    actix_web::rt::spawn(async move {
        clock.sleep(time).await;
        close();
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    const TICK: Duration = Duration::from_secs(1);

    /// A clock that is ticked, and a reading of how far it was judged after ticks at these times (in milliseconds).
    fn judged_after(ticks: &[u64]) -> u128 {
        let clock = Arc::<Clock>::default();
        let mut ticker = Ticker::start(clock.clone(), TICK);
        let (start, first) = (ticker.last, clock.judged());
        ticks.iter().for_each(|at| ticker.tick(start + Duration::from_millis(*at)));
        clock.judged().duration_since(first).as_millis()
    }

    #[test]
    fn time_counts_while_the_node_runs() {
        assert_eq!(judged_after(&[1_000, 2_100, 4_000]), 4_000, "a tick may be late by one interval");
    }

    #[test]
    fn a_time_in_which_the_node_did_not_run_does_not_count_and_neither_do_the_ticks_that_follow_it() {
        assert_eq!(judged_after(&[1_000, 31_000]), 1_000);
        assert_eq!(judged_after(&[1_000, 31_000, 32_000, 33_000, 34_000, 35_000]), 1_000, "what waits is read");
        assert_eq!(judged_after(&[1_000, 31_000, 32_000, 33_000, 34_000, 35_000, 36_000, 37_000]), 3_000);
    }

    #[test]
    fn the_clock_of_a_node_that_is_always_late_does_not_stand_still() {
        let ticks: Vec<u64> = (1..=60).map(|n| 5_000 * n).collect();
        assert_eq!(judged_after(&ticks), 20_000, "the reach of each tenth of the ticks that count");
    }

    #[test]
    fn the_time_runs_on_between_two_ticks_but_not_without_end() {
        let clock = Arc::<Clock>::default();
        assert_eq!((clock.lost(), clock.judged() <= clock.now()), (Duration::ZERO, true), "nobody ticks it");
        let mut ticker = Ticker::start(clock.clone(), TICK);
        let (start, judged) = (ticker.last, clock.judged());
        let shown = |ms| clock.at(start + Duration::from_millis(ms)).duration_since(judged).as_millis();
        assert_eq!([0, 700, 2_000, 30_000].map(shown), [0, 700, 2_000, 2_000]);
        ticker.tick(start + Duration::from_secs(30));
        let shown = |ms| clock.at(start + Duration::from_millis(ms)).duration_since(judged).as_millis();
        assert_eq!([30_000, 30_700, 40_000].map(shown), [0, 700, 2_000]);
    }

    #[actix_web::test]
    async fn a_timer_waits_for_the_clock_and_not_for_the_system() {
        let clock = Arc::<Clock>::default();
        let mut ticker = Ticker::start(clock.clone(), TICK);
        let start = ticker.last;
        let mut sleep = pin!(clock.sleep(Duration::from_millis(20)));
        assert_eq!(tokio::time::timeout(Duration::from_millis(200), &mut sleep).await.ok(), None, "nobody ticks");
        ticker.tick(start + TICK);
        sleep.await;
        assert_eq!(clock.timeout(Duration::MAX, async { 1 }).await, Ok(1));
        assert_eq!(clock.timeout(Duration::ZERO, pending::<()>()).await, Err(Elapsed));
    }
}
