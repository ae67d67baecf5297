//! What the load has done so far, how long each thing took, and what went wrong first.

use std::cell::{Cell, RefCell};
use std::io;
use std::rc::Rc;

use actix_web::rt::spawn;
use hdrhistogram::Histogram;
use tokio::sync::Notify;

use crate::dialect::now;

/// The longest delay that is told from longer ones, in nanoseconds.
const LONGEST: u64 = 60_000_000_000;

/// A meter that the parts of a load share. Cloning copies a pointer.
#[derive(Clone)]
pub struct Meter(Rc<Reading>);

struct Reading {
    all: Cell<u64>,
    /// How many were done when the measurement began.
    before: Cell<u64>,
    /// In nanoseconds, within one part in a thousand.
    delays: RefCell<Histogram<u64>>,
    fault: RefCell<Option<String>>,
    change: Notify,
}

impl Meter {
    pub fn new() -> Self {
        let delays = Histogram::new_with_max(LONGEST, 3).expect("bounds that make sense");
        Self(Rc::new(Reading {
            all: Cell::new(0),
            before: Cell::new(0),
            delays: RefCell::new(delays),
            fault: RefCell::new(None),
            change: Notify::new(),
        }))
    }

    /// The measurement begins: what was done before warmed the server up.
    pub fn reset(&self) {
        self.0.before.set(self.all());
        self.0.delays.borrow_mut().reset();
    }

    /// How many were done, the warming up included.
    pub fn all(&self) -> u64 {
        self.0.all.get()
    }

    /// How many were done since the measurement began.
    pub fn done(&self) -> u64 {
        self.all() - self.0.before.get()
    }

    /// The delay, in microseconds, that so large a part of all stayed below.
    pub fn delay(&self, part: f64) -> f64 {
        self.0.delays.borrow().value_at_quantile(part) as f64 / 1e3
    }

    /// What went wrong first, if anything has.
    pub fn check(&self) -> io::Result<()> {
        self.0.fault.borrow().as_ref().map_or(Ok(()), |fault| Err(io::Error::other(fault.clone())))
    }

    /// One more is done, which began at that time.
    pub fn note(&self, since: u64) {
        self.0.delays.borrow_mut().saturating_record(now().saturating_sub(since));
        self.0.all.set(self.all() + 1);
        self.0.change.notify_one();
    }

    /// Waits until one more is done, or was since it was last waited for.
    pub async fn change(&self) {
        self.0.change.notified().await;
    }

    /// Runs a part of the load for as long as the measurement lasts; that it fails is a fault.
    pub fn run(&self, part: impl Future<Output = io::Result<()>> + 'static) {
        let meter = self.clone();
        spawn(async move {
            if let Err(error) = part.await {
                meter.0.fault.borrow_mut().get_or_insert_with(|| error.to_string());
            }
        });
    }
}
