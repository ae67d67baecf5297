//! One topic of one socket: its channel, the marks by which the client knows it, and, until the join is
//! answered, what waits for that. A channel that panics is caught here.

use std::collections::{VecDeque, vec_deque};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Instant;

use crate::channels::channel::{Channel, DynChannel};
use crate::channels::client::Client;
use crate::channels::context::{CallScope, CallbackOutcome, Context};
use crate::message::{Event, JoinId, Payload, Ref};
use crate::topic::Topic;

/// A topic the client has joined, or is about to.
pub(crate) struct ChannelServer {
    pub(crate) id: JoinId,
    /// The join's mark as the client gave it: what later messages must carry.
    pub(crate) join_ref: Option<Ref>,
    /// The mark that answers carry: the request's own when the client gave none.
    pub(crate) reply_ref: Option<Ref>,
    /// Nothing, once the client has its `ok`.
    pub(crate) pending: Option<Box<PendingJoin>>,
    /// While a task is to answer a request: what the client says after that.
    awaiting: Option<Box<Awaiting>>,
    /// What it hears besides its own topic, each as a membership of its own.
    pub(crate) subscriptions: Vec<(JoinId, Topic)>,
    /// The events that its channel wants to see before its client does.
    pub(crate) intercepted: &'static [&'static str],
    channel: Box<dyn Channel>,
}

/// A join that is not answered yet.
#[derive(Default)]
pub(crate) struct PendingJoin {
    pub(crate) reference: Option<Ref>,
    /// When the client asked.
    pub(crate) since: Option<Instant>,
    /// What the client will hear with its `ok`; nothing while the channel has not decided.
    pub(crate) reply: Option<Payload>,
    /// The older join of the same topic that is still a member.
    pub(crate) replaces: Option<JoinId>,
    /// Marks of older joins of the topic, to be told that they are closed once this one is answered.
    pub(crate) closing: Vec<Option<Ref>>,
    /// Marks and requests of older joins that were not answered either: they end as this one does.
    pub(crate) superseded: Vec<(Option<Ref>, Option<Ref>)>,
    /// What the client said to the topic meanwhile.
    pub(crate) backlog: Backlog,
}

/// Tasks that are to answer requests: one, unless a channel has several answer the same.
#[derive(Default)]
struct Awaiting {
    tasks: usize,
    backlog: Backlog,
}

/// What a client said to a topic that cannot handle it yet, in order.
#[derive(Default)]
pub(crate) struct Backlog {
    queue: VecDeque<QueuedPush>,
    bytes: usize,
}

impl Backlog {
    /// Keeps what is said, if what waits already is less than `bound` bytes; says whether it was.
    pub(crate) fn push(&mut self, queued: QueuedPush, bound: usize) -> bool {
        let room = self.bytes < bound;
        if room {
            self.bytes += queued.size();
            self.queue.push_back(queued);
        }
        room
    }
}

impl IntoIterator for Backlog {
    type Item = QueuedPush;
    type IntoIter = vec_deque::IntoIter<QueuedPush>;

    fn into_iter(self) -> Self::IntoIter {
        self.queue.into_iter()
    }
}

/// Something that a client said to a topic that could not handle it yet.
pub(crate) enum QueuedPush {
    Push(Option<Ref>, Event, Payload),
    Leave(Option<Ref>),
}

impl QueuedPush {
    /// What it takes in memory, in bytes.
    fn size(&self) -> usize {
        let of_mark = |mark: &Option<Ref>| mark.as_ref().map_or(0, |mark| mark.len());
        size_of::<Self>()
            + match self {
                Self::Push(reference, event, payload) => of_mark(reference) + event.len() + payload.len(),
                Self::Leave(reference) => of_mark(reference),
            }
    }
}

/// A channel has panicked.
pub(crate) struct Crashed;

/// One of a channel's functions, to be run.
pub(crate) trait Callback<R>: FnOnce(&mut DynChannel, &mut Context<'_>) -> R {}

impl<R, F: FnOnce(&mut DynChannel, &mut Context<'_>) -> R> Callback<R> for F {}

impl ChannelServer {
    pub(crate) fn new(id: JoinId, join_ref: Option<Ref>, channel: Box<dyn Channel>, pending: PendingJoin) -> Self {
        let reply_ref = join_ref.clone().or_else(|| pending.reference.clone());
        Self {
            id,
            join_ref,
            reply_ref,
            pending: Some(Box::new(pending)),
            awaiting: None,
            subscriptions: Vec::new(),
            intercepted: &[],
            channel,
        }
    }

    /// Whether the client has not been answered yet.
    pub(crate) fn is_pending(&self) -> bool {
        self.pending.is_some()
    }

    /// Whether what the client says must wait: for the join's answer, or for a task's.
    pub(crate) fn is_waiting(&self) -> bool {
        self.pending.is_some() || self.awaiting.is_some()
    }

    /// Where what must wait is kept.
    pub(crate) fn backlog(&mut self) -> Option<&mut Backlog> {
        match (&mut self.pending, &mut self.awaiting) {
            (Some(pending), _) => Some(&mut pending.backlog),
            (None, Some(awaiting)) => Some(&mut awaiting.backlog),
            (None, None) => None,
        }
    }

    /// How many messages wait.
    #[cfg(any(test, feature = "fuzzing"))]
    pub(crate) fn backlog_len(&self) -> usize {
        let pending = self.pending.as_ref().map_or(0, |pending| pending.backlog.queue.len());
        pending + self.awaiting.as_ref().map_or(0, |awaiting| awaiting.backlog.queue.len())
    }

    /// What the client says from now on waits for one task more.
    pub(crate) fn await_task(&mut self) {
        self.awaiting.get_or_insert_default().tasks += 1;
    }

    /// A task has answered; returns what waited for it, if nothing else is awaited.
    pub(crate) fn task_awaited(&mut self) -> Backlog {
        let Some(awaiting) = &mut self.awaiting else { return Backlog::default() };
        awaiting.tasks -= 1;
        if awaiting.tasks > 0 { Backlog::default() } else { self.take_awaiting() }
    }

    /// Takes out what waits for a task.
    pub(crate) fn take_awaiting(&mut self) -> Backlog {
        self.awaiting.take().map(|awaiting| awaiting.backlog).unwrap_or_default()
    }

    /// Whether the registry has been asked, but has not answered as far as we know.
    pub(crate) fn is_asked(&self) -> bool {
        self.pending.as_ref().is_some_and(|pending| pending.reply.is_some())
    }

    /// How many older joins of the topic wait with this one for their answers.
    pub(crate) fn superseded(&self) -> usize {
        self.pending.as_ref().map_or(0, |pending| pending.superseded.len())
    }

    /// Whether a message speaks for a join of the topic that is over. One that names no join speaks for
    /// the current one.
    pub(crate) fn is_stale(&self, join_ref: &Option<Ref>) -> bool {
        join_ref.is_some() && *join_ref != self.join_ref
    }

    /// Runs one of the channel's functions; what it asked for until it panicked stands in the aftermath.
    pub(crate) fn call<R>(
        &mut self,
        topic: &Topic,
        reference: &Option<Ref>,
        client: &mut Client,
        f: impl Callback<R>,
    ) -> (Result<R, Crashed>, CallbackOutcome) {
        let mut outcome = CallbackOutcome::default();
        client.overloaded = false;
        let scope = CallScope { topic, join: self.id, join_ref: &self.reply_ref, reference };
        let mut ctx = Context { scope, client, outcome: &mut outcome };
        let result = catch_unwind(AssertUnwindSafe(|| f(&mut *self.channel, &mut ctx)));
        (result.map_err(|_| Crashed), outcome)
    }

    /// Whether the channel wants to see the event before its client does.
    pub(crate) fn intercepts(&self, event: &str) -> bool {
        self.intercepted.contains(&event)
    }

    /// Drops the channel: one that panicked may do so again meanwhile.
    pub(crate) fn drop_channel(self) {
        let _ = catch_unwind(AssertUnwindSafe(move || drop(self.channel)));
    }
}

impl PendingJoin {
    /// A join in place of one that is answered.
    pub(crate) fn after(id: JoinId, join_ref: Option<Ref>) -> Self {
        Self { replaces: Some(id), closing: vec![join_ref], ..Self::default() }
    }

    /// A join in place of one that still waits, with what that one has to settle.
    pub(crate) fn instead_of(id: JoinId, join_ref: Option<Ref>, older: Self) -> Self {
        let replaces = if older.reply.is_some() { Some(id) } else { older.replaces };
        let mut superseded = older.superseded;
        superseded.push((join_ref, older.reference));
        Self { replaces, closing: older.closing, superseded, ..Self::default() }
    }
}
