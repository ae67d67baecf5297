//! The queue from the rest of the broker to one connection: bounded in bytes and in age, never waited for.
//!
//! An actix mailbox is bounded in messages alone and allocates an envelope for each; a topic's members
//! share one [`Delivery`] here, and what counts is how much memory and how much time a client that does
//! not read takes from the others. When the bound is reached the mailbox closes itself with
//! [`close::SLOW`](crate::close::SLOW), drops what waited, and the connection is cut. Closed for any other
//! reason, what was taken is still read: whoever sent it has been told that it was delivered.

use std::any::Any;
use std::collections::VecDeque;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::Waker;
use std::time::Instant;

use crate::allowance::Allowance;
use crate::close::{self, Reason};
use crate::message::{Event, JoinId, Payload, Signal, Status, Ticket, Verdict};
use crate::protocol::Delivery;

/// What a note takes in the queue beside its payload, in bytes: about its size in memory.
const NOTE_SIZE: usize = 128;
/// One message takes at most this part of the bound: a presence list may be larger than the whole of it,
/// is shared by all who are told, and must not cut a client off that has had no time to read it.
const LARGE_SHARE: usize = 4;

/// One thing that the rest of the broker has to say to a connection.
#[derive(Debug)]
pub(crate) enum Mail {
    /// To a join, as a member of its topic.
    Delivery(JoinId, Arc<Delivery>),
    /// To the socket, about one of its own wishes or joins.
    Note(Box<Note>),
    /// It is time to ask the client for a sign of life.
    Ping,
    /// The connection must end; nothing follows.
    Close(&'static Reason),
}

/// What the registry, another task, or another node answers.
#[derive(Debug)]
pub(crate) enum Note {
    /// The join is a member now.
    Subscribed(JoinId),
    /// The join cannot be a member, for this reason.
    Refused(JoinId, &'static str),
    /// Somebody with the same secret took the join's place.
    Evicted(JoinId),
    /// What became of a message to a named peer.
    Verdict(Signal, Verdict),
    /// A late answer to a request.
    Reply(Ticket, Status, Payload),
    /// A message of the join's channel to its client.
    Push(JoinId, Event, Payload),
    /// Something for the join's channel.
    Info(JoinId, Info),
}

/// A message to a channel from the server's own code; the channel knows what it is.
pub type Info = Box<dyn Any + Send>;

impl Mail {
    fn size(&self) -> usize {
        match self {
            Self::Delivery(_, delivery) => NOTE_SIZE + delivery.size(),
            Self::Note(note) => match &**note {
                Note::Reply(_, _, payload) | Note::Push(_, _, payload) => NOTE_SIZE + payload.len(),
                _ => NOTE_SIZE,
            },
            Self::Ping | Self::Close(_) => 0,
        }
    }
}

/// How much waits in a mailbox.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Depth {
    pub(crate) messages: usize,
    /// As they count against the bound.
    pub(crate) bytes: usize,
    /// Since when the oldest waits, if anything does.
    pub(crate) since: Option<Instant>,
}

/// Why a mailbox did not take something.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Refused {
    /// It was full just now, and has closed itself: who sees this tells the registry.
    Full,
    /// It was closed before.
    Closed,
}

/// A connection's mailbox: written from any thread, read by the connection's actor.
pub(crate) struct Mailbox {
    allowance: Arc<Allowance>,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    waiting: VecDeque<Mail>,
    bytes: usize,
    /// What was thrown away when it was found full.
    lost: usize,
    /// Since when the reader has not come.
    since: Option<Instant>,
    closed: Option<&'static Reason>,
    reader: Option<Waker>,
}

impl Mailbox {
    pub(crate) fn new(allowance: Arc<Allowance>) -> Self {
        Self { allowance, state: Mutex::default() }
    }

    pub(crate) fn allowance(&self) -> &Allowance {
        &self.allowance
    }

    /// Puts `mail` into the queue and wakes the reader, or refuses at once. `now` is asked for once a
    /// broadcast, not once a member.
    pub(crate) fn push(&self, mail: Mail, now: Instant) -> Result<(), Refused> {
        let mut state = self.lock();
        if state.closed.is_some() {
            return Err(Refused::Closed);
        }
        let since = *state.since.get_or_insert(now);
        if state.bytes >= self.allowance.bound.bytes || now.saturating_duration_since(since) > self.allowance.bound.age
        {
            let thrown_away = std::mem::take(&mut state.waiting);
            state.lost = thrown_away.len() + 1;
            state.bytes = 0;
            state.close(&close::SLOW);
            wake(thrown_away, state);
            return Err(Refused::Full);
        }
        state.bytes += mail.size().min(self.allowance.bound.bytes / LARGE_SHARE);
        state.waiting.push_back(mail);
        wake(VecDeque::new(), state);
        Ok(())
    }

    /// Refuses whatever comes, and has the reader end the connection once it has read what waits. The
    /// first reason stays. Says whether it was open.
    pub(crate) fn close(&self, reason: &'static Reason) -> bool {
        let mut state = self.lock();
        if state.closed.is_some() {
            return false;
        }
        state.close(reason);
        wake(VecDeque::new(), state);
        true
    }

    /// Closes it, and drops what waits, once nobody is left to read: whoever still knows the connection
    /// would keep it in memory, and what waits may itself know the connection.
    pub(crate) fn abandon(&self) {
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
        state.lost + state.waiting.iter().filter(|mail| !matches!(mail, Mail::Close(_))).count()
    }

    /// Since when the oldest waits, if anything does.
    pub(crate) fn waits_since(&self) -> Option<Instant> {
        self.lock().since
    }

    /// What waits.
    pub(crate) fn depth(&self) -> Depth {
        let state = self.lock();
        Depth { messages: state.waiting.len(), bytes: state.bytes, since: state.since }
    }

    /// Whether mail has waited for longer than it may.
    pub(crate) fn is_overdue(&self, now: Instant) -> bool {
        self.lock().since.is_some_and(|since| now.saturating_duration_since(since) > self.allowance.bound.age)
    }

    /// Moves all that waits into the empty `batch`, under one lock; when there is nothing, `reader` is
    /// woken once there is. Says whether there was something.
    pub(crate) fn fetch(&self, batch: &mut VecDeque<Mail>, reader: &Waker) -> bool {
        // what an idle connection keeps counts more than what a busy one allocates
        *batch = VecDeque::new();
        let mut state = self.lock();
        std::mem::swap(&mut state.waiting, batch);
        state.bytes = 0;
        state.since = None;
        if batch.is_empty() && !state.reader.as_ref().is_some_and(|r| r.will_wake(reader)) {
            state.reader = Some(reader.clone());
        }
        !batch.is_empty()
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn close(&mut self, reason: &'static Reason) {
        self.closed = Some(reason);
        self.waiting.push_back(Mail::Close(reason));
    }
}

/// Wakes the reader, and drops what was thrown away, with the lock released.
fn wake(thrown_away: VecDeque<Mail>, mut state: MutexGuard<'_, State>) {
    let reader = state.reader.take();
    drop(state);
    drop(thrown_away);
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
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::allowance::{Bound, Patience};

    fn mailbox(bytes: usize, age: Duration) -> Mailbox {
        let patience = Patience { idle: age, unjoined: age, ping: None };
        Mailbox::new(Arc::new(Allowance { patience, bound: Bound { bytes, age } }))
    }

    fn mail(size: usize) -> Mail {
        let payload = Payload::binary(vec![0; size]);
        Mail::Note(Box::new(Note::Push(JoinId::SOCKET, Event::const_new("e"), payload)))
    }

    #[test]
    fn a_message_larger_than_the_bound_cuts_nobody_off_but_many_do() {
        let mailbox = mailbox(10_000, Duration::MAX);
        let now = Instant::now();
        assert_eq!(mailbox.push(mail(1_000_000), now), Ok(()));
        assert!((0..10).all(|_| mailbox.push(mail(100), now).is_ok()), "there is room beside it");
        let more = (0..).find_map(|n| mailbox.push(mail(1_000_000), now).err().map(|refused| (n, refused)));
        assert_eq!(more, Some((3, Refused::Full)));
        assert_eq!(mailbox.unread(), 15, "what waited, and the last one");
        assert_eq!(mailbox.push(mail(1), now), Err(Refused::Closed));
    }

    #[test]
    fn what_waits_too_long_closes_it_however_little_it_is() {
        let mailbox = mailbox(10_000, Duration::from_secs(5));
        let start = Instant::now();
        assert_eq!(mailbox.push(mail(1), start), Ok(()));
        assert_eq!(mailbox.push(mail(1), start + Duration::from_secs(5)), Ok(()));
        assert!(mailbox.is_overdue(start + Duration::from_secs(6)));
        assert_eq!(mailbox.push(mail(1), start + Duration::from_secs(6)), Err(Refused::Full));
    }
}
