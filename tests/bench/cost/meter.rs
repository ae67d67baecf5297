//! Counts the work of the load, measures how long each piece took, and keeps the first error.

use std::cell::{Cell, RefCell};
use std::io;
use std::rc::Rc;

use actix_web::rt::spawn;
use hdrhistogram::Histogram;
use tokio::sync::Notify;

use crate::dialect::now;

/// The largest latency that can be recorded, in nanoseconds. Larger ones count as this.
const MAX_LATENCY: u64 = 60_000_000_000;

/// A meter shared by the parts of a load. Cloning it copies a pointer.
#[derive(Clone)]
pub struct Meter(Rc<Reading>);

struct Reading {
    all: Cell<u64>,
    /// The count when the measurement began.
    before: Cell<u64>,
    /// In nanoseconds, accurate to one part in a thousand.
    latencies: RefCell<Histogram<u64>>,
    error: RefCell<Option<String>>,
    change: Notify,
}

impl Meter {
    pub fn new() -> Self {
        let latencies = Histogram::new_with_max(MAX_LATENCY, 3).expect("the bounds are valid");
        Self(Rc::new(Reading {
            all: Cell::new(0),
            before: Cell::new(0),
            latencies: RefCell::new(latencies),
            error: RefCell::new(None),
            change: Notify::new(),
        }))
    }

    /// Begins the measurement: the work before it only warmed the server up.
    pub fn reset(&self) {
        self.0.before.set(self.all());
        self.0.latencies.borrow_mut().reset();
    }

    /// The count including the warm-up.
    pub fn all(&self) -> u64 {
        self.0.all.get()
    }

    /// The count since the measurement began.
    pub fn done(&self) -> u64 {
        self.all() - self.0.before.get()
    }

    /// The latency at this quantile, in microseconds.
    pub fn latency(&self, part: f64) -> f64 {
        self.0.latencies.borrow().value_at_quantile(part) as f64 / 1e3
    }

    /// The first error, if there was one.
    pub fn check(&self) -> io::Result<()> {
        self.0.error.borrow().as_ref().map_or(Ok(()), |error| Err(io::Error::other(error.clone())))
    }

    /// Counts one piece of work that began at `since`.
    pub fn record(&self, since: u64) {
        self.0.latencies.borrow_mut().saturating_record(now().saturating_sub(since));
        self.0.all.set(self.all() + 1);
        self.0.change.notify_one();
    }

    /// Waits until the count has changed since the last call.
    pub async fn change(&self) {
        self.0.change.notified().await;
    }

    /// Runs one part of the load for the whole measurement. An error in it fails the measurement.
    pub fn run(&self, part: impl Future<Output = io::Result<()>> + 'static) {
        let meter = self.clone();
        spawn(async move {
            if let Err(error) = part.await {
                meter.0.error.borrow_mut().get_or_insert_with(|| error.to_string());
            }
        });
    }
}
