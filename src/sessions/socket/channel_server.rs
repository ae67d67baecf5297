//! [`ChannelServer`]: one joined topic of one socket, with its channel, the client's references of the join, and the
//! messages that wait. Panics of the channel are caught here.

use std::collections::{VecDeque, vec_deque};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Instant;

use crate::channels::channel::{Channel, DynChannel};
use crate::channels::client::Client;
use crate::channels::context::{CallScope, CallbackOutcome, Context};
use crate::connections::connection::Connection;
use crate::connections::incomplete::IncompleteBytes;
use crate::message::{Event, JoinId, Payload, Ref};
use crate::topic::Topic;

/// One topic that the client has joined, or whose join is pending.
pub(crate) struct ChannelServer {
    pub(crate) id: JoinId,
    /// The client's reference of the join. The client's later messages must carry it.
    pub(crate) join_ref: Option<Ref>,
    /// The `join_ref` of replies: that of the join, or the reference of the join request if the client gave none.
    pub(crate) reply_ref: Option<Ref>,
    /// The state of a join that is not answered yet. It is `None` once the client has its `ok`.
    pub(crate) pending: Option<Box<PendingJoin>>,
    /// Whether the membership has ended, although the channel goes on.
    pub(crate) has_left: bool,
    /// The messages that wait while a task answers a request.
    awaiting: Option<Box<Awaiting>>,
    /// The subscriptions to other topics. Each is a membership with its own id.
    pub(crate) subscriptions: Vec<(JoinId, Topic)>,
    /// The events that the channel intercepts.
    pub(crate) intercepted: &'static [&'static str],
    channel: Box<dyn Channel>,
}

/// A join that is not answered yet.
#[derive(Default)]
pub(crate) struct PendingJoin {
    pub(crate) reference: Option<Ref>,
    /// When the client sent the request.
    pub(crate) since: Option<Instant>,
    /// The payload of the reply `ok`. It is `None` until the channel has accepted the join.
    pub(crate) reply: Option<Payload>,
    /// The older join of the same topic that is still a member.
    pub(crate) replaces: Option<JoinId>,
    /// The `join_ref`s of older joins of the topic. The client receives their close once this join is answered.
    pub(crate) closing: Vec<Option<Ref>>,
    /// The `join_ref`s and request references of older joins that are not answered either. They receive the same reply.
    pub(crate) superseded: Vec<(Option<Ref>, Option<Ref>)>,
    /// The client's messages to the topic that wait for the reply.
    pub(crate) backlog: Backlog,
}

/// The number of tasks that must finish before the client's messages are handled again, and the messages that wait.
/// There is usually one task, but a channel can start several for one request.
#[derive(Default)]
struct Awaiting {
    tasks: usize,
    backlog: Backlog,
}

/// The client's messages that a topic cannot handle yet, in order.
#[derive(Default)]
pub(crate) struct Backlog {
    queue: VecDeque<QueuedPush>,
    bytes: usize,
    /// Counts `bytes`, once there are some.
    counted: Option<IncompleteBytes>,
}

impl Backlog {
    /// Queues a message of `connection`, if the messages in the backlog have less than `bound` bytes. Returns whether it
    /// was queued.
    pub(crate) fn push(&mut self, queued: QueuedPush, bound: usize, connection: &Arc<Connection>) -> bool {
        let has_room = self.bytes < bound;
        if has_room {
            self.bytes += queued.size();
            self.queue.push_back(queued);
            self.counted.get_or_insert_with(|| IncompleteBytes::new(connection.clone())).set(self.bytes);
        }
        has_room
    }
}

impl IntoIterator for Backlog {
    type Item = QueuedPush;
    type IntoIter = vec_deque::IntoIter<QueuedPush>;

    fn into_iter(self) -> Self::IntoIter {
        self.queue.into_iter()
    }
}

/// A message of a client in a backlog.
pub(crate) enum QueuedPush {
    Push(Option<Ref>, Event, Payload),
    Leave(Option<Ref>),
}

impl QueuedPush {
    /// Its size in memory, in bytes.
    fn size(&self) -> usize {
        let ref_len = |reference: &Option<Ref>| reference.as_ref().map_or(0, |reference| reference.len());
        size_of::<Self>()
            + match self {
                Self::Push(reference, event, payload) => ref_len(reference) + event.len() + payload.len(),
                Self::Leave(reference) => ref_len(reference),
            }
    }
}

/// The error of a callback that has panicked.
pub(crate) struct Crashed;

/// A call of one of a channel's callbacks.
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
            has_left: false,
            awaiting: None,
            subscriptions: Vec::new(),
            intercepted: &[],
            channel,
        }
    }

    /// Whether the join is not answered yet.
    pub(crate) fn is_pending(&self) -> bool {
        self.pending.is_some()
    }

    /// Whether the client's messages must wait, for the reply to the join or for a task.
    pub(crate) fn is_waiting(&self) -> bool {
        self.pending.is_some() || self.awaiting.is_some()
    }

    /// The backlog of messages, if they must wait.
    pub(crate) fn backlog(&mut self) -> Option<&mut Backlog> {
        match (&mut self.pending, &mut self.awaiting) {
            (Some(pending), _) => Some(&mut pending.backlog),
            (None, Some(awaiting)) => Some(&mut awaiting.backlog),
            (None, None) => None,
        }
    }

    /// The number of messages that wait.
    #[cfg(any(test, feature = "fuzzing"))]
    pub(crate) fn backlog_len(&self) -> usize {
        let pending = self.pending.as_ref().map_or(0, |pending| pending.backlog.queue.len());
        pending + self.awaiting.as_ref().map_or(0, |awaiting| awaiting.backlog.queue.len())
    }

    /// Makes the client's later messages wait for one more task.
    pub(crate) fn await_task(&mut self) {
        self.awaiting.get_or_insert_default().tasks += 1;
    }

    /// Counts a task as finished. Returns the messages that waited for it, unless other tasks are still awaited.
    pub(crate) fn task_awaited(&mut self) -> Backlog {
        let Some(awaiting) = &mut self.awaiting else { return Backlog::default() };
        awaiting.tasks -= 1;
        if awaiting.tasks > 0 { Backlog::default() } else { self.take_awaiting() }
    }

    /// Removes and returns the messages that wait for tasks.
    pub(crate) fn take_awaiting(&mut self) -> Backlog {
        self.awaiting.take().map(|awaiting| awaiting.backlog).unwrap_or_default()
    }

    /// Whether the registry has been asked for the membership, and its answer has not arrived yet.
    pub(crate) fn is_asked(&self) -> bool {
        self.pending.as_ref().is_some_and(|pending| pending.reply.is_some())
    }

    /// The number of older joins of the topic that wait for the same reply.
    pub(crate) fn superseded(&self) -> usize {
        self.pending.as_ref().map_or(0, |pending| pending.superseded.len())
    }

    /// Whether a message belongs to an earlier join of the topic. A message without a `join_ref` belongs to this join.
    pub(crate) fn is_stale(&self, join_ref: &Option<Ref>) -> bool {
        join_ref.is_some() && *join_ref != self.join_ref
    }

    /// Runs a callback. The outcome contains its requests, and after a panic those that it made before.
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

    /// The memberships of the join, whose own topic is `topic`, with their topics.
    pub(crate) fn memberships<'a>(&'a self, topic: &'a Topic) -> impl Iterator<Item = (JoinId, &'a Topic)> {
        let own = (!self.has_left).then_some((self.id, topic));
        own.into_iter().chain(self.subscriptions.iter().map(|(join, topic)| (*join, topic)))
    }

    /// Whether the channel intercepts the event.
    pub(crate) fn intercepts(&self, event: &str) -> bool {
        self.intercepted.contains(&event)
    }

    /// Drops the channel, and catches a panic of its destructor.
    pub(crate) fn drop_channel(self) {
        let _ = catch_unwind(AssertUnwindSafe(move || drop(self.channel)));
    }
}

impl PendingJoin {
    /// A join that replaces one that has been answered.
    pub(crate) fn after(id: JoinId, join_ref: Option<Ref>) -> Self {
        Self { replaces: Some(id), closing: vec![join_ref], ..Self::default() }
    }

    /// A join that replaces one that is still pending, and takes over the replies that it must send.
    pub(crate) fn instead_of(id: JoinId, join_ref: Option<Ref>, older: Self) -> Self {
        let replaces = if older.reply.is_some() { Some(id) } else { older.replaces };
        let mut superseded = older.superseded;
        superseded.push((join_ref, older.reference));
        Self { replaces, closing: older.closing, superseded, ..Self::default() }
    }
}
