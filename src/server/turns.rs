//! The turns of the workers, by which the node knows that what has arrived from its clients has been read. The node's
//! [clock](crate::connections::clock) ticks when all workers have had a turn, and stands still until then.
//!
//! In its turn, a worker sends a byte to itself. The system reports this byte to the worker's thread after everything
//! that arrived before it, so the turn ends after the tasks that read from clients have run.

use std::io::{self, ErrorKind};
use std::os::unix::net::UnixStream as StdStream;
use std::sync::Arc;
use std::time::{Duration, Instant};

use actix::ArbiterHandle;
use futures_util::future::join_all;
use tokio::net::UnixStream;
use tokio::sync::watch;
use tokio::task::yield_now;
use tokio::time::{MissedTickBehavior, interval, timeout};

use crate::connections::clock::{Clock, Ticker};

/// How long a worker is waited for. The deadlines of the other workers' clients must not depend on a worker that never
/// comes back, for example because an application's channel blocks it for ever.
const PATIENCE: Duration = Duration::from_secs(20);

/// The turns of all workers of a node, which have numbers.
pub(crate) struct Turns {
    /// The number of the latest turn.
    asked: watch::Sender<u64>,
    /// The latest turn that each worker has had.
    done: Vec<watch::Receiver<u64>>,
}

impl Turns {
    /// The turns of these threads.
    ///
    /// # Errors
    /// When the system has no descriptor left.
    pub(crate) fn start(workers: &[ArbiterHandle]) -> io::Result<Self> {
        let asked = watch::Sender::new(0);
        let done = workers.iter().map(|worker| start(worker, asked.subscribe())).collect::<io::Result<_>>()?;
        Ok(Self { asked, done })
    }

    /// Ticks `clock` in this interval, as long as all workers get their turns. Does not complete.
    pub(crate) async fn tick(mut self, clock: Arc<Clock>, tick: Duration) {
        let mut ticker = Ticker::start(clock, tick);
        let mut ticks = interval(tick);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            ticks.tick().await;
            let asked = Instant::now();
            self.take(tick, PATIENCE).await;
            ticker.tick(asked);
        }
    }

    /// Waits until all workers have had a turn, except those that have missed the turn before, for at most `patience`.
    async fn take(&mut self, tick: Duration, patience: Duration) {
        let before = *self.asked.borrow();
        let number = before + 1;
        self.asked.send_replace(number);
        let mut waited: Vec<_> = self.done.iter_mut().filter(|done| *done.borrow() == before).collect();
        // many short waits: a time in which the node does not run ends one of them, and is not time of the workers
        for _ in 0..patience.div_duration_f64(tick) as u64 {
            // an error means that the worker has stopped
            let turns = join_all(waited.iter_mut().map(|done| done.wait_for(|done| *done == number)));
            if timeout(tick, turns).await.is_ok() {
                return;
            }
        }
        log::error!("a worker has not run for {patience:?}: is it blocked? The timeouts of its clients go on");
    }
}

/// Makes a worker have the turns that are `asked` for. Returns the number of the latest one that it has had.
fn start(worker: &ArbiterHandle, mut asked: watch::Receiver<u64>) -> io::Result<watch::Receiver<u64>> {
    let (near, far) = StdStream::pair()?;
    near.set_nonblocking(true)?;
    far.set_nonblocking(true)?;
    let done = watch::Sender::new(0);
    let latest = done.subscribe();
    worker.spawn_fn(move || {
        // an error means that the node has stopped
        let turns = async move {
            let (near, far) = (UnixStream::from_std(near)?, UnixStream::from_std(far)?);
            while asked.changed().await.is_ok() {
                let number = *asked.borrow_and_update();
                turn(&near, &far).await?;
                done.send_replace(number);
            }
            Ok::<_, io::Error>(())
        };
        actix_web::rt::spawn(turns);
    });
    Ok(latest)
}

async fn turn(near: &UnixStream, far: &UnixStream) -> io::Result<()> {
    // the system reports first that it accepts bytes
    while is_blocked(near.writable().await.and_then(|()| near.try_write(&[0])))? {}
    // what was received in the turns before is read until nothing is left, so that only the new byte is reported
    far.readable().await?;
    while !is_blocked(far.try_read(&mut [0; 8]))? {}
    yield_now().await;
    Ok(())
}

/// Whether the system has nothing to read, or accepts nothing.
fn is_blocked(result: io::Result<usize>) -> io::Result<bool> {
    match result {
        Ok(0) => Err(ErrorKind::UnexpectedEof.into()),
        Ok(_) => Ok(false),
        Err(error) if error.kind() == ErrorKind::WouldBlock => Ok(true),
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use actix::Arbiter;

    use super::*;

    #[actix_web::test]
    async fn a_worker_that_is_blocked_is_waited_for_once() {
        const TICK: Duration = Duration::from_millis(5);
        let (free, blocked) = (Arbiter::new(), Arbiter::new());
        let (release, released) = mpsc::channel::<()>();
        blocked.spawn_fn(move || assert!(released.recv().is_err(), "released"));
        let mut turns = Turns::start(&[free.handle(), blocked.handle()]).unwrap();
        let latest = |turns: &Turns| turns.done.iter().map(|done| *done.borrow()).collect::<Vec<_>>();
        turns.take(TICK, 400 * TICK).await;
        turns.take(TICK, Duration::MAX).await;
        turns.take(TICK, Duration::MAX).await;
        assert_eq!(latest(&turns), [3, 0]);
        drop(release);
        turns.done[1].wait_for(|done| *done == 3).await.unwrap();
        turns.take(TICK, Duration::MAX).await;
        assert_eq!(latest(&turns), [4, 4], "it is waited for again");
    }
}
