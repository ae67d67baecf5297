//! Tests of the mailbox's limits, and of the reader and the flusher taking turns with it.

use std::sync::atomic::{AtomicBool, Ordering};
use std::task::Wake;
use std::time::Duration;

use proptest::prelude::*;

use super::*;
use crate::connections::envelope::{ENVELOPE_OVERHEAD, SocketEvent};
use crate::connections::limits::{QueueLimit, Timeouts};
use crate::memory::MemoryBudget;
use crate::message::{Broadcast, Event, Payload};
use crate::topic::Topic;

fn mailbox(bytes: usize, age: Duration) -> Mailbox {
    let timeouts = Timeouts { idle: age, join: age, ping_interval: None };
    let memory = MemoryBudget::new(0);
    Mailbox::new(Arc::new(ConnectionLimits {
        timeouts,
        queue: QueueLimit { bytes, age },
        clock: Arc::default(),
        memory,
    }))
}

fn envelope(size: usize) -> Envelope {
    let payload = Payload::binary(vec![0; size]);
    Envelope::SocketEvent(Box::new(SocketEvent::Push(JoinId::SOCKET, Event::const_new("e"), payload)))
}

#[test]
fn a_client_that_is_not_behind_is_never_slow() {
    let mailbox = mailbox(10_000, Duration::from_secs(5));
    let start = Instant::now();
    let hours_later = start + Duration::from_secs(10_000);
    assert!((0..100).all(|_| mailbox.push(envelope(100_000), start).is_ok()));
    assert_eq!(mailbox.push(envelope(1), hours_later), Ok(()));
    assert!(!mailbox.is_overdue(hours_later));
}

/// A sender that has looked a name up may deliver after the name was taken over: it must learn that nobody gets it.
#[test]
fn a_delivery_behind_the_eviction_of_its_join_is_refused() {
    let (mailbox, now) = (mailbox(10_000, Duration::MAX), Instant::now());
    let broadcast =
        Broadcast { topic: Topic::parse("peer:a").unwrap(), event: Event::const_new("e"), payload: Payload::empty() };
    let delivery = Arc::new(Delivery::new(broadcast));
    let deliver = |join| mailbox.push(Envelope::Delivery(JoinId(join), delivery.clone()), now);
    let evict = |join| mailbox.push(Envelope::SocketEvent(Box::new(SocketEvent::Evicted(JoinId(join)))), now);
    assert_eq!((deliver(1), evict(1)), (Ok(()), Ok(())));
    assert_eq!((deliver(1), deliver(2)), (Err(PushError::Closed), Ok(())));
    (2..=EVICTED as u32 + 1).for_each(|join| assert_eq!(evict(join), Ok(())));
    assert_eq!(deliver(EVICTED as u32 + 1), Err(PushError::Closed));
    assert_eq!(mailbox.lock().evicted.len(), EVICTED);
}

#[test]
fn a_client_that_is_behind_has_a_limited_queue() {
    let mailbox = mailbox(10_000, Duration::MAX);
    let now = Instant::now();
    mailbox.set_behind(Some(now));
    assert_eq!(mailbox.push(envelope(9_000), now), Ok(()));
    assert_eq!(mailbox.push(envelope(9_000), now), Ok(()), "it was below the limit");
    assert_eq!(mailbox.push(envelope(1), now), Err(PushError::Full));
    assert_eq!(mailbox.unread(), 3, "the queued ones, and the refused one");
    assert_eq!(mailbox.push(envelope(1), now), Err(PushError::Closed));
}

#[test]
fn a_client_that_accepts_nothing_for_too_long_is_slow() {
    let mailbox = mailbox(10_000, Duration::from_secs(5));
    mailbox.set_socket();
    let start = Instant::now();
    mailbox.set_behind(Some(start));
    assert_eq!(mailbox.push(envelope(1), start + Duration::from_secs(5)), Ok(()));
    assert!(mailbox.is_overdue(start + Duration::from_secs(6)));
    mailbox.set_behind(Some(start + Duration::from_secs(5)));
    assert_eq!(mailbox.push(envelope(1), start + Duration::from_secs(9)), Ok(()), "it has accepted something since");
    assert_eq!(mailbox.push(envelope(1), start + Duration::from_secs(11)), Err(PushError::Full));
}

#[test]
fn the_budget_counts_what_waits() {
    let mailbox = mailbox(usize::MAX, Duration::MAX);
    let (memory, now) = (mailbox.limits().memory.clone(), Instant::now());
    assert!((0..100).all(|_| mailbox.push(envelope(10_000), now).is_ok()));
    assert!((1_000_000..1_100_000).contains(&memory.used()), "{}", memory.used());
    let (mut batch, waker) = (Batch::new(), Waker::noop());
    assert!(mailbox.drain(&mut batch, waker));
    assert!(batch.len() < 10, "the reader takes only some at a time");
    assert!(memory.used() < 1_000_000);
    drop(mailbox);
    assert_eq!(memory.used(), 0);
}

/// A reader that has paused is not woken for new messages, but when it is resumed, or the mailbox closes.
#[test]
fn a_paused_reader_is_woken_once() {
    let mailbox = mailbox(usize::MAX, Duration::MAX);
    let (flag, now) = (Arc::new(WakeFlag::default()), Instant::now());
    let waker = Waker::from(flag.clone());
    mailbox.pause(&waker, now);
    assert!(mailbox.push(envelope(1), now).is_ok() && !flag.was_woken() && mailbox.behind_since().is_some());
    mailbox.resume();
    assert!(flag.was_woken() && mailbox.behind_since().is_none());
    mailbox.pause(&waker, now);
    assert!(mailbox.close(&close::IDLE) && flag.was_woken());
}

/// One step of a test.
#[derive(Clone, Copy, Debug)]
enum Op {
    /// A broadcast is pushed, which the flusher may take (`true`) or must leave to the reader.
    PushForFlusher(bool),
    /// A message is pushed.
    Push,
    /// The reader is polled, whether it was woken or not. It takes up to this many messages and then yields.
    Read(usize),
    /// The flusher runs, whether a flush was requested or not. The writer is parked (`true`) or in use.
    Flush(bool),
}

fn any_op() -> impl Strategy<Value = Op> {
    prop_oneof![
        any::<bool>().prop_map(Op::PushForFlusher),
        Just(Op::Push),
        (0..4_usize).prop_map(Op::Read),
        any::<bool>().prop_map(Op::Flush),
    ]
}

/// A waker that remembers whether it was woken.
#[derive(Default)]
pub(crate) struct WakeFlag(AtomicBool);

impl WakeFlag {
    /// Whether it was woken since the last call.
    pub(crate) fn was_woken(&self) -> bool {
        self.0.swap(false, Ordering::Relaxed)
    }
}

impl Wake for WakeFlag {
    fn wake(self: Arc<Self>) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// A reader and a flusher that share one mailbox. Messages are numbered; `received` has those that the client received.
struct Harness {
    mailbox: Mailbox,
    flag: Arc<WakeFlag>,
    batch: Batch,
    flush_requested: bool,
    sent: u32,
    received: Vec<u32>,
}

const FASTLANE: JoinId = JoinId(1);
const OTHER: JoinId = JoinId(2);

impl Harness {
    fn run(&mut self, op: Op) {
        let now = Instant::now();
        match op {
            Op::PushForFlusher(is_fastlane) => {
                let envelope = self.envelope(if is_fastlane { FASTLANE } else { OTHER });
                self.flush_requested |= self.mailbox.push_for_flusher(envelope, now).unwrap();
            }
            Op::Push => {
                let envelope = self.envelope(OTHER);
                self.mailbox.push(envelope, now).unwrap();
            }
            Op::Read(most) => self.read(most),
            Op::Flush(is_parked) => self.flush(is_parked),
        }
    }

    fn envelope(&mut self, join: JoinId) -> Envelope {
        self.sent += 1;
        let payload = Payload::binary(self.sent.to_be_bytes().to_vec());
        let broadcast = Broadcast { topic: Topic::parse("room:a").unwrap(), event: "e".into(), payload };
        Envelope::Delivery(join, Arc::new(Delivery::new(broadcast)))
    }

    fn record(&mut self, delivery: &Delivery) {
        let Payload::Binary(bytes) = &delivery.broadcast.payload else { unreachable!() };
        self.received.push(u32::from_be_bytes(bytes[..].try_into().unwrap()));
    }

    /// Reads like an actor's stream: one that stops before the mailbox is empty is polled again.
    fn read(&mut self, most: usize) {
        self.flag.0.store(false, Ordering::Relaxed);
        let waker = Waker::from(self.flag.clone());
        for _ in 0..most {
            if self.batch.is_empty() && !self.mailbox.drain(&mut self.batch, &waker) {
                return;
            }
            let Envelope::Delivery(_, delivery) = self.batch.remove(0) else { unreachable!() };
            self.record(&delivery);
        }
        waker.wake();
    }

    fn flush(&mut self, is_parked: bool) {
        self.flush_requested = false;
        if !is_parked {
            return self.mailbox.wake_reader();
        }
        let mut batch = Vec::new();
        self.flush_requested =
            self.mailbox.drain_fastlane(|join, _| join == FASTLANE, 2 * ENVELOPE_OVERHEAD, &mut batch);
        batch.iter().for_each(|delivery| self.record(delivery));
    }
}

/// Reader and flusher together lose no message and keep the order. Whenever a message waits, one of them has been
/// woken.
fn assert_delivered_in_order(has_flusher: bool, steps: &[Op]) {
    let (mailbox, flag, batch) = (mailbox(1_000_000, Duration::MAX), Arc::default(), Batch::new());
    let mut harness = Harness { mailbox, flag, batch, flush_requested: false, sent: 0, received: Vec::new() };
    if has_flusher {
        harness.mailbox.set_flusher();
    }
    harness.read(1);
    for op in steps {
        harness.run(*op);
        let is_woken = harness.flush_requested || harness.flag.0.load(Ordering::Relaxed);
        let is_empty = harness.mailbox.depth().messages == 0 && harness.batch.is_empty();
        assert!(is_woken || is_empty, "{op:?}: messages wait, but neither reader nor flusher was woken");
    }
    harness.read(usize::MAX);
    assert_eq!(harness.received, (1..=harness.sent).collect::<Vec<_>>());
}

/// An actor can also be woken by its client, and yield before it has handled its whole batch.
#[test]
fn a_flush_does_not_overtake_the_readers_batch() {
    let first = [Op::PushForFlusher(false), Op::PushForFlusher(false)];
    assert_delivered_in_order(true, &[&first[..], &[Op::Read(1), Op::PushForFlusher(true), Op::Flush(true)]].concat());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4_000))]
    #[test]
    fn messages_arrive_in_order(has_flusher: bool, steps in prop::collection::vec(any_op(), 0..60)) {
        assert_delivered_in_order(has_flusher, &steps);
    }
}
