//! The queue from the rest of the broker to one connection: bounded in bytes and in age, never waited for.
//!
//! An actix mailbox is bounded in messages alone and allocates an envelope for each; a topic's members
//! share one [`Delivery`] here, and what counts is how much memory and how much time a client that does
//! not read takes from the others. When the bound is reached the mailbox closes itself with
//! [`close::SLOW`](crate::close::SLOW), drops what waited, and the connection is cut. Closed for any other
//! reason, what was taken is still read: whoever sent it has been told that it was delivered.
//!
//! It is read by the connection's actor; broadcasts that pass as they are, by its worker's
//! [flusher](crate::connections::flusher), while the actor sleeps. Whatever waits, one of the two is on its way.
//!
//! It is our own because the channels of libraries (`tokio`, `flume`, `crossbeam`) are bounded in messages alone, and do not
//! show the flusher what is at the front before it takes it.

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::Waker;
use std::time::Instant;

use smallvec::SmallVec;

use crate::close::{self, Reason};
use crate::connections::envelope::Envelope;
use crate::connections::limits::ConnectionLimits;
use crate::message::JoinId;
use crate::protocol::Delivery;

/// One message takes at most this part of the bound: a presence list may be larger than the whole of it,
/// is shared by all who are told, and must not cut a client off that has had no time to read it.
const LARGE_SHARE: usize = 4;

/// How much waits in a mailbox.
#[derive(Clone, Copy, Debug)]
pub(crate) struct QueueDepth {
    pub(crate) messages: usize,
    /// As they count against the bound.
    pub(crate) bytes: usize,
    /// Since when the oldest waits, if anything does.
    pub(crate) since: Option<Instant>,
}

/// Why a mailbox did not take something.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum PushError {
    /// It was full just now, and has closed itself: who sees this tells the registry.
    Full,
    /// It was closed before.
    Closed,
}

/// Mail in its order: as a rule there is one at most, which takes no memory besides.
pub(crate) type Batch = SmallVec<[Envelope; 1]>;

/// A connection's mailbox: written from any thread, read by the connection's actor. In memory as written, as is all of
/// a [`Connection`](crate::connections::connection::Connection).
#[repr(C)]
pub(crate) struct Mailbox {
    limits: Arc<ConnectionLimits>,
    state: Mutex<Inner>,
}

#[derive(Default)]
#[repr(C)]
struct Inner {
    /// Whether there is a courier who may bring broadcasts past the reader.
    has_flusher: bool,
    /// What was thrown away when it was found full.
    lost: u32,
    closed: Option<&'static Reason>,
    /// Since when the reader has not come.
    since: Option<Instant>,
    bytes: usize,
    waiting: Batch,
    reader: Option<Waker>,
}

impl Mailbox {
    pub(crate) fn new(limits: Arc<ConnectionLimits>) -> Self {
        Self { limits, state: Mutex::default() }
    }

    pub(crate) fn limits(&self) -> &ConnectionLimits {
        &self.limits
    }

    /// Puts `envelope` into the queue and wakes the reader, or refuses at once. `now` is asked for once a
    /// broadcast, not once a member.
    pub(crate) fn push(&self, envelope: Envelope, now: Instant) -> Result<(), PushError> {
        self.push_with(envelope, now, |state| wake(Batch::new(), state))
    }

    /// As [`push`](Self::push), but lets a reader sleep where there is a courier. Says whether that is to be called.
    pub(crate) fn push_for_flusher(&self, envelope: Envelope, now: Instant) -> Result<bool, PushError> {
        self.push_with(envelope, now, needs_flush)
    }

    fn push_with<R>(
        &self,
        envelope: Envelope,
        now: Instant,
        tell: impl FnOnce(MutexGuard<'_, Inner>) -> R,
    ) -> Result<R, PushError> {
        let mut state = self.lock();
        if state.closed.is_some() {
            return Err(PushError::Closed);
        }
        let since = *state.since.get_or_insert(now);
        if state.bytes >= self.limits.queue.bytes || now.saturating_duration_since(since) > self.limits.queue.age {
            let discarded = std::mem::take(&mut state.waiting);
            state.lost = u32::try_from(discarded.len() + 1).unwrap_or(u32::MAX);
            state.bytes = 0;
            state.close(&close::SLOW);
            wake(discarded, state);
            return Err(PushError::Full);
        }
        state.bytes += envelope.size().min(self.limits.queue.bytes / LARGE_SHARE);
        state.waiting.push(envelope);
        Ok(tell(state))
    }

    /// There is a courier from now on.
    pub(crate) fn set_flusher(&self) {
        self.lock().has_flusher = true;
    }

    /// Moves broadcasts that pass, from the front and of at most about `most` bytes, to the end of `batch`, for a courier
    /// who has come; the reader is woken if something else waits. Says whether the courier is to come again.
    pub(crate) fn drain_fastlane(
        &self,
        passes: impl Fn(JoinId, &Delivery) -> bool,
        most: usize,
        batch: &mut Vec<Arc<Delivery>>,
    ) -> bool {
        let mut state = self.lock();
        if state.reader.is_none() {
            // it is awake, and may not have said yet what it has taken before
            return false;
        }
        let (mut count, mut taken) = (0, 0);
        while taken < most
            && let Some(envelope @ Envelope::Delivery(join, delivery)) = state.waiting.get(count)
            && passes(*join, delivery)
        {
            taken += envelope.size();
            batch.push(delivery.clone());
            count += 1;
        }
        state.waiting.drain(..count);
        state.bytes = state.bytes.saturating_sub(taken);
        if state.waiting.is_empty() {
            // what an idle connection keeps counts more than what a busy one allocates
            state.waiting = Batch::new();
            state.bytes = 0;
            state.since = None;
            return false;
        }
        state.since = Some(Instant::now());
        if taken >= most {
            return true;
        }
        wake(Batch::new(), state);
        false
    }

    /// The courier cannot bring what waits: the reader is to fetch it.
    pub(crate) fn wake_reader(&self) {
        wake(Batch::new(), self.lock());
    }

    /// Refuses whatever comes, and has the reader end the connection once it has read what waits. The
    /// first reason stays. Says whether it was open.
    pub(crate) fn close(&self, reason: &'static Reason) -> bool {
        let mut state = self.lock();
        if state.closed.is_some() {
            return false;
        }
        state.close(reason);
        wake(Batch::new(), state);
        true
    }

    /// Closes it, and drops what waits, once nobody is left to read: whoever still knows the connection
    /// would keep it in memory, and what waits may itself know the connection.
    pub(crate) fn close_and_discard(&self) {
        let mut state = self.lock();
        state.closed.get_or_insert(&close::GONE);
        let unread = std::mem::take(&mut state.waiting);
        state.bytes = 0;
        state.since = None;
        wake(unread, state);
    }

    pub(crate) fn is_closed(&self) -> bool {
        self.closed().is_some()
    }

    /// Why it is closed, if it is.
    pub(crate) fn closed(&self) -> Option<&'static Reason> {
        self.lock().closed
    }

    /// How many messages were thrown away, or wait for a reader who comes no more.
    pub(crate) fn unread(&self) -> usize {
        let state = self.lock();
        state.lost as usize + state.waiting.iter().filter(|envelope| !matches!(envelope, Envelope::Close(_))).count()
    }

    /// Since when the oldest waits, if anything does.
    pub(crate) fn waits_since(&self) -> Option<Instant> {
        self.lock().since
    }

    /// What waits.
    pub(crate) fn depth(&self) -> QueueDepth {
        let state = self.lock();
        QueueDepth { messages: state.waiting.len(), bytes: state.bytes, since: state.since }
    }

    /// Whether mail has waited for longer than it may.
    pub(crate) fn is_overdue(&self, now: Instant) -> bool {
        self.lock().since.is_some_and(|since| now.saturating_duration_since(since) > self.limits.queue.age)
    }

    /// Moves all that waits into the empty `batch`, under one lock; when there is nothing, `reader` is
    /// woken once there is. Says whether there was something.
    pub(crate) fn drain(&self, batch: &mut Batch, reader: &Waker) -> bool {
        let mut state = self.lock();
        // what an idle connection keeps counts more than what a busy one allocates
        *batch = std::mem::take(&mut state.waiting);
        state.bytes = 0;
        state.since = None;
        if !batch.is_empty() {
            // it is awake until it has asked in vain
            state.reader = None;
            return true;
        }
        if !state.reader.as_ref().is_some_and(|r| r.will_wake(reader)) {
            state.reader = Some(reader.clone());
        }
        false
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Inner {
    fn close(&mut self, reason: &'static Reason) {
        self.closed = Some(reason);
        self.waiting.push(Envelope::Close(reason));
    }
}

/// Says whether the courier is to be called; where there is none, the reader is woken. A reader who does not sleep
/// finds the mail by itself.
fn needs_flush(state: MutexGuard<'_, Inner>) -> bool {
    if state.has_flusher {
        return state.reader.is_some();
    }
    wake(Batch::new(), state);
    false
}

/// Wakes the reader, and drops what was thrown away, with the lock released.
fn wake(discarded: Batch, mut state: MutexGuard<'_, Inner>) {
    let reader = state.reader.take();
    drop(state);
    drop(discarded);
    if let Some(reader) = reader {
        reader.wake();
    }
}

impl fmt::Debug for Mailbox {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = self.lock();
        f.debug_struct("Mailbox").field("bytes", &state.bytes).field("closed", &state.closed).finish_non_exhaustive()
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use std::sync::atomic::{AtomicBool, Ordering};
    use std::task::Wake;
    use std::time::Duration;

    use proptest::prelude::*;

    use super::*;
    use crate::connections::envelope::{ENVELOPE_OVERHEAD, SocketEvent};
    use crate::connections::limits::{QueueLimit, Timeouts};
    use crate::message::{Broadcast, Event, Payload};
    use crate::topic::Topic;

    fn mailbox(bytes: usize, age: Duration) -> Mailbox {
        let timeouts = Timeouts { idle: age, join: age, ping_interval: None };
        Mailbox::new(Arc::new(ConnectionLimits { timeouts, queue: QueueLimit { bytes, age } }))
    }

    fn envelope(size: usize) -> Envelope {
        let payload = Payload::binary(vec![0; size]);
        Envelope::SocketEvent(Box::new(SocketEvent::Push(JoinId::SOCKET, Event::const_new("e"), payload)))
    }

    #[test]
    fn a_message_larger_than_the_bound_cuts_nobody_off_but_many_do() {
        let mailbox = mailbox(10_000, Duration::MAX);
        let now = Instant::now();
        assert_eq!(mailbox.push(envelope(1_000_000), now), Ok(()));
        assert!((0..10).all(|_| mailbox.push(envelope(100), now).is_ok()), "there is room beside it");
        let more = (0..).find_map(|n| mailbox.push(envelope(1_000_000), now).err().map(|refused| (n, refused)));
        assert_eq!(more, Some((3, PushError::Full)));
        assert_eq!(mailbox.unread(), 15, "what waited, and the last one");
        assert_eq!(mailbox.push(envelope(1), now), Err(PushError::Closed));
    }

    #[test]
    fn what_waits_too_long_closes_it_however_little_it_is() {
        let mailbox = mailbox(10_000, Duration::from_secs(5));
        let start = Instant::now();
        assert_eq!(mailbox.push(envelope(1), start), Ok(()));
        assert_eq!(mailbox.push(envelope(1), start + Duration::from_secs(5)), Ok(()));
        assert!(mailbox.is_overdue(start + Duration::from_secs(6)));
        assert_eq!(mailbox.push(envelope(1), start + Duration::from_secs(6)), Err(PushError::Full));
    }

    /// What happens to a mailbox next.
    #[derive(Clone, Copy, Debug)]
    enum Op {
        /// A broadcast comes, which passes or does not.
        Leave(bool),
        Push,
        /// The reader is polled, whether it was woken or not, and takes so much before it gives others a turn.
        Read(usize),
        /// The courier comes, called or not for mail, and finds the line free or not.
        Visit(bool),
    }

    fn step() -> impl Strategy<Value = Op> {
        prop_oneof![
            any::<bool>().prop_map(Op::Leave),
            Just(Op::Push),
            (0..4_usize).prop_map(Op::Read),
            any::<bool>().prop_map(Op::Visit),
        ]
    }

    /// Somebody to be woken.
    #[derive(Default)]
    pub(crate) struct Bell(AtomicBool);

    impl Bell {
        /// Whether it has since this was last asked.
        pub(crate) fn has_rung(&self) -> bool {
            self.0.swap(false, Ordering::Relaxed)
        }
    }

    impl Wake for Bell {
        fn wake(self: Arc<Self>) {
            self.0.store(true, Ordering::Relaxed);
        }
    }

    /// A reader and a courier at one mailbox; what has come to the client, as numbers, stands in `told`.
    struct Two {
        mailbox: Mailbox,
        bell: Arc<Bell>,
        batch: Batch,
        is_called: bool,
        said: u32,
        told: Vec<u32>,
    }

    const PASSES: JoinId = JoinId(1);
    const OTHER: JoinId = JoinId(2);

    impl Two {
        fn take(&mut self, step: Op) {
            let now = Instant::now();
            match step {
                Op::Leave(passes) => {
                    let envelope = self.envelope(if passes { PASSES } else { OTHER });
                    self.is_called |= self.mailbox.push_for_flusher(envelope, now).unwrap();
                }
                Op::Push => {
                    let envelope = self.envelope(OTHER);
                    self.mailbox.push(envelope, now).unwrap();
                }
                Op::Read(most) => self.read(most),
                Op::Visit(is_free) => self.visit(is_free),
            }
        }

        fn envelope(&mut self, join: JoinId) -> Envelope {
            self.said += 1;
            let payload = Payload::binary(self.said.to_be_bytes().to_vec());
            let broadcast = Broadcast { topic: Topic::parse("room:a").unwrap(), event: "e".into(), payload };
            Envelope::Delivery(join, Arc::new(Delivery::new(broadcast)))
        }

        fn hear(&mut self, delivery: &Delivery) {
            let Payload::Binary(bytes) = &delivery.broadcast.payload else { unreachable!() };
            self.told.push(u32::from_be_bytes(bytes[..].try_into().unwrap()));
        }

        /// As an actor's stream: one that stops before the end is polled again.
        fn read(&mut self, most: usize) {
            self.bell.0.store(false, Ordering::Relaxed);
            let waker = Waker::from(self.bell.clone());
            for _ in 0..most {
                if self.batch.is_empty() && !self.mailbox.drain(&mut self.batch, &waker) {
                    return;
                }
                let Envelope::Delivery(_, delivery) = self.batch.remove(0) else { unreachable!() };
                self.hear(&delivery);
            }
            waker.wake();
        }

        fn visit(&mut self, is_free: bool) {
            self.is_called = false;
            if !is_free {
                return self.mailbox.wake_reader();
            }
            let mut batch = Vec::new();
            self.is_called = self.mailbox.drain_fastlane(|join, _| join == PASSES, 2 * ENVELOPE_OVERHEAD, &mut batch);
            batch.iter().for_each(|delivery| self.hear(delivery));
        }
    }

    /// Reader and courier together lose nothing and change no order, and whatever waits, one of them is on its way.
    fn all_is_brought_in_order(has_flusher: bool, steps: &[Op]) {
        let (mailbox, bell, batch) = (mailbox(1_000_000, Duration::MAX), Arc::default(), Batch::new());
        let mut two = Two { mailbox, bell, batch, is_called: false, said: 0, told: Vec::new() };
        if has_flusher {
            two.mailbox.set_flusher();
        }
        two.read(1);
        for step in steps {
            two.take(*step);
            let comes = two.is_called || two.bell.0.load(Ordering::Relaxed);
            assert!(comes || two.mailbox.depth().messages == 0 && two.batch.is_empty(), "{step:?}: nobody comes");
        }
        two.read(usize::MAX);
        assert_eq!(two.told, (1..=two.said).collect::<Vec<_>>());
    }

    /// An actor may be woken by its client too, and rest amid what it has taken.
    #[test]
    fn what_the_reader_has_taken_is_not_overtaken() {
        let waits = [Op::Leave(false), Op::Leave(false)];
        all_is_brought_in_order(true, &[&waits[..], &[Op::Read(1), Op::Leave(true), Op::Visit(true)]].concat());
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(4_000))]
        #[test]
        fn what_waits_is_brought_in_order(has_flusher: bool, steps in prop::collection::vec(step(), 0..60)) {
            all_is_brought_in_order(has_flusher, &steps);
        }
    }
}
