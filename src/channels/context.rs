//! What a channel can do while it runs ([`Context`]), and how other code reaches it afterwards.
//!
//! Nothing is done at once: each wish becomes an [`Effect`], which the socket takes over when the
//! channel's function has returned.

use std::any::Any;
use std::cell::Cell;
use std::fmt;
use std::net::IpAddr;
use std::rc::Rc;
use std::time::Duration;

use compact_str::CompactString;
use futures_util::future::AbortHandle;

use crate::broker::registry::permits::Permit;
use crate::channels::assigns::Assigns;
use crate::channels::client::Client;
use crate::channels::effect::Effect;
use crate::channels::handles::{ChannelHandle, ReplyHandle};
use crate::channels::reply::{Join, LimitError, Reply};
use crate::channels::task_future::TaskFuture;
use crate::connections::connection::ConnectionId;
use crate::message::{
    Broadcast, Event, JoinId, NameClaim, Outbound, Payload, PresenceChange, PresenceEntry, Reach, Ref, RequestRef,
    Signal,
};
use crate::topic::Topic;

/// One thing that a channel has asked for.
pub(crate) enum Action {
    /// To be done as it is.
    Do(Effect),
    /// To hear a further topic; of one that is claimed, as the only member.
    Subscribe(Topic, Option<NameClaim>, Permit),
    /// To hear a further topic no longer.
    Unsubscribe(Topic),
    /// To run a future.
    Spawn(Box<NewTask>),
}

/// What a channel does with a future's output, or with its panic. The channel is the one that started the future.
pub(crate) type Completion = Box<dyn FnOnce(&mut dyn Any, &mut Context<'_>) -> Reply>;

/// A running future, as its socket sees it. Dropping it aborts the future.
pub(crate) struct Task {
    /// Whether what the client says to the topic waits until the task is done.
    pub(crate) is_ordered: bool,
    /// The request that the callback handles, if it handles one.
    pub(crate) reference: Option<Ref>,
    pub(super) result: Rc<Cell<Option<Completion>>>,
    pub(super) abort: AbortHandle,
}

impl Task {
    /// The result, once the future is ready.
    pub(crate) fn take_result(&self) -> Option<Completion> {
        self.result.take()
    }
}

impl Drop for Task {
    fn drop(&mut self) {
        self.abort.abort();
    }
}

/// A task that a channel has asked for.
pub(crate) struct NewTask {
    pub(crate) task: Task,
    pub(crate) future: TaskFuture,
}

/// What the channel's doings leave to be done when it has returned.
#[derive(Default)]
pub(crate) struct CallbackOutcome {
    pub(crate) actions: Vec<Action>,
    pub(crate) completed_join: Option<Join>,
    pub(crate) stopped: bool,
}

/// Which join of which topic a channel speaks for.
#[derive(Clone, Copy)]
pub(crate) struct CallScope<'a> {
    pub(crate) topic: &'a Topic,
    pub(crate) join: JoinId,
    pub(crate) join_ref: &'a Option<Ref>,
    /// The request that is being handled, when one is.
    pub(crate) reference: &'a Option<Ref>,
}

/// What a channel can do while one of its functions runs.
pub struct Context<'a> {
    pub(crate) scope: CallScope<'a>,
    pub(crate) client: &'a mut Client,
    pub(crate) outcome: &'a mut CallbackOutcome,
}

impl Context<'_> {
    fn push_effect(&mut self, effect: Effect) {
        self.outcome.actions.push(Action::Do(effect));
    }

    /// The topic.
    #[must_use]
    pub fn topic(&self) -> &Topic {
        self.scope.topic
    }

    /// The connection's number, unique in its process, and what the log calls it.
    #[must_use]
    pub fn connection(&self) -> ConnectionId {
        self.client.connection.id
    }

    /// The client's address, as the node's trusted proxies tell it.
    #[must_use]
    pub fn peer_address(&self) -> IpAddr {
        self.client.connection.address
    }

    /// How the client's bytes travel: `websocket`, or `longpoll` for one that polls.
    #[must_use]
    pub fn transport(&self) -> &'static str {
        self.client.transport
    }

    /// What the channels of this socket share.
    pub fn assigns(&mut self) -> &mut Assigns {
        &mut self.client.assigns
    }

    /// Tells this channel's own client. What is pushed while the join is decided is heard before its
    /// answer. Bytes cannot be said to a client that speaks V1: it is left out.
    pub fn push(&mut self, event: impl Into<Event>, payload: impl Into<Payload>) {
        let (join_ref, topic) = (self.scope.join_ref.clone(), self.scope.topic.clone());
        let (event, payload) = (event.into(), payload.into());
        self.push_effect(Effect::Send(Outbound::Push { join_ref, topic, event, payload }));
    }

    /// Tells every member of the topic, this client included. Only a member can: before
    /// [`Channel::after_join`](crate::Channel::after_join) nobody hears it.
    pub fn broadcast(&mut self, event: impl Into<Event>, payload: impl Into<Payload>) {
        self.broadcast_with(self.scope.topic.clone(), event.into(), payload.into(), Reach::Echoed);
    }

    /// Tells every other member of the topic.
    pub fn broadcast_from(&mut self, event: impl Into<Event>, payload: impl Into<Payload>) {
        self.broadcast_with(self.scope.topic.clone(), event.into(), payload.into(), Reach::Others);
    }

    /// Tells every member of another topic, as [`Pubsub::broadcast`](crate::Pubsub::broadcast) does;
    /// this channel need not be a member of anything.
    pub fn broadcast_on(&mut self, topic: &Topic, event: impl Into<Event>, payload: impl Into<Payload>) {
        let reach = if topic == self.scope.topic { Reach::Echoed } else { Reach::Members };
        self.broadcast_with(topic.clone(), event.into(), payload.into(), reach);
    }

    /// As [`broadcast_on`](Self::broadcast_on), but this client does not hear it.
    pub fn broadcast_from_on(&mut self, topic: &Topic, event: impl Into<Event>, payload: impl Into<Payload>) {
        self.broadcast_with(topic.clone(), event.into(), payload.into(), Reach::Others);
    }

    fn broadcast_with(&mut self, topic: Topic, event: Event, payload: Payload, reach: Reach) {
        let broadcast = Broadcast { topic, event, payload };
        self.push_effect(Effect::Broadcast { broadcast, reach });
    }

    /// Tells the one who holds the name `to`; [`Channel::handle_delivery`](crate::Channel::handle_delivery) hears what became of it and
    /// answers the request that is being handled. Return what this returns from
    /// [`Channel::handle_in`](crate::Channel::handle_in): it is a refusal when the client has named too many absent peers.
    #[must_use]
    pub fn send_to(&mut self, to: Topic, event: impl Into<Event>, payload: impl Into<Payload>) -> Reply {
        self.send_signal(to, event.into(), payload.into(), None)
    }

    /// As [`signal`](Self::send_to); when nobody holds the name, the message waits as long as `time` for whoever
    /// takes it, and what follows to the same name waits behind it. The verdict comes when the message is
    /// delivered, has waited in vain, or finds no room to wait (`hold.*`): overloaded.
    #[must_use]
    pub fn send_to_or_hold(
        &mut self,
        to: Topic,
        event: impl Into<Event>,
        payload: impl Into<Payload>,
        time: Duration,
    ) -> Reply {
        self.send_signal(to, event.into(), payload.into(), Some(time))
    }

    fn send_signal(&mut self, to: Topic, event: Event, payload: Payload, hold: Option<Duration>) -> Reply {
        if self.client.is_probing() {
            return Reply::error("rate_limited");
        }
        let broadcast = Broadcast { topic: to.clone(), event: event.clone(), payload };
        let signal = Signal { to, event, request: self.request_ref(), hold };
        self.push_effect(Effect::Signal { signal, broadcast });
        Reply::NoReply
    }

    /// Has this client hear `topic` besides the channel's own, for as long as the channel lives or until
    /// [`ignore`](Self::unsubscribe): broadcasts there reach it as those here do. When it does,
    /// [`Channel::handle_info`](crate::Channel::handle_info) is told by a [`SubscriptionUpdate`](crate::message::SubscriptionUpdate).
    /// What is asked for while the join is decided holds from its `ok` on, with nothing missed in between.
    ///
    /// # Errors
    /// A socket's joins and the topics they hear besides are at most `limits.joins_per_socket` each; and too much may
    /// wait for the registry.
    pub fn subscribe(&mut self, topic: &Topic) -> Result<(), LimitError> {
        self.subscribe_to(topic, None)
    }

    /// As [`listen`](Self::subscribe), as the only member of `topic`, so that others can [`signal`](Self::send_to)
    /// to it. When the name is taken, nothing is heard; choose one that nobody else can have.
    ///
    /// # Errors
    /// As [`listen`](Self::subscribe).
    pub fn subscribe_exclusive(&mut self, topic: &Topic) -> Result<(), LimitError> {
        self.subscribe_to(topic, Some(NameClaim { proof: None }))
    }

    fn subscribe_to(&mut self, topic: &Topic, claim: Option<NameClaim>) -> Result<(), LimitError> {
        if self.client.subscriptions_left == 0 {
            return Err(LimitError::TooManyTopics);
        }
        let permit = self.client.permit(topic.key().len())?;
        self.client.subscriptions_left -= 1;
        self.outcome.actions.push(Action::Subscribe(topic.clone(), claim, permit));
        Ok(())
    }

    /// Ends what [`listen`](Self::subscribe) began; of several times, one.
    pub fn unsubscribe(&mut self, topic: &Topic) {
        self.outcome.actions.push(Action::Unsubscribe(topic.clone()));
    }

    /// Answers a request for which a ticket was kept; with [`Reply::NoReply`], not at all. Each request is
    /// to be answered once.
    pub fn reply(&mut self, request: RequestRef, reply: Reply) {
        let Reply::Reply(status, payload) = reply else { return };
        self.push_effect(Effect::Send(Outbound::Reply {
            join_ref: self.scope.join_ref.clone(),
            reference: request.reference,
            topic: self.scope.topic.clone(),
            status,
            payload,
        }));
    }

    /// The request that is being handled, to be answered by [`reply`](Self::reply) in a later call.
    #[must_use]
    pub fn request_ref(&self) -> RequestRef {
        let CallScope { topic, join, reference, .. } = self.scope;
        RequestRef { topic: topic.clone(), join, reference: reference.clone() }
    }

    /// The request that is being handled, to be answered by other code, on any thread.
    #[must_use]
    pub fn reply_handle(&self) -> ReplyHandle {
        ReplyHandle::new(self.client.connection.clone(), self.request_ref())
    }

    /// A way to reach this channel from other code, on any thread.
    #[must_use]
    pub fn channel_handle(&self) -> ChannelHandle {
        ChannelHandle::new(self.client.connection.clone(), self.scope.join)
    }

    /// Begins to tell this channel whether anybody is on `topic`: a
    /// [`OnlineStatus`](crate::message::OnlineStatus) now, and one for each change.
    ///
    /// # Errors
    /// When too much waits for the registry: nothing is watched.
    pub fn watch(&mut self, topic: Topic) -> Result<(), LimitError> {
        self.change_watch(topic, true)
    }

    /// Ends what [`watch`](Self::watch) began.
    ///
    /// # Errors
    /// When too much waits for the registry: it is watched still.
    pub fn unwatch(&mut self, topic: Topic) -> Result<(), LimitError> {
        self.change_watch(topic, false)
    }

    fn change_watch(&mut self, topic: Topic, on: bool) -> Result<(), LimitError> {
        let permit = self.client.permit(topic.key().len())?;
        self.push_effect(Effect::Watch { join: self.scope.join, topic, on, permit });
        Ok(())
    }

    /// Changes what the presence list says of this client, if it is on it: `meta` is the text of a
    /// JSON object.
    ///
    /// # Errors
    /// When too much waits for the registry: the list says what it said.
    pub fn update_presence(&mut self, meta: impl Into<Payload>) -> Result<(), LimitError> {
        self.change_presence(PresenceChange::Update(meta.into()))
    }

    /// Puts this client on the topic's presence list under `key`, or changes both where it is on it already, as
    /// [`Join::track`] does with the join. [`Channel::handle_info`](crate::Channel::handle_info) is told by a
    /// [`PresenceUpdate`](crate::message::PresenceUpdate) whether it is listed. It is listed until it leaves, or until
    /// [`untrack_presence`](Self::untrack_presence).
    ///
    /// ```
    /// # use handclasp::{Channel, Context, Payload, Reply};
    /// # struct Room;
    /// # impl Channel for Room {
    /// fn handle_in(&mut self, event: &str, _: &Payload, ctx: &mut Context<'_>) -> Reply {
    ///     let changed = match event {
    ///         "show" => ctx.track_presence("ann", serde_json::json!({ "mood": "fine" })),
    ///         _ => ctx.untrack_presence(),
    ///     };
    ///     changed.map_or_else(|error| Reply::error(error.reason()), |()| Reply::ok())
    /// }
    /// # }
    /// ```
    ///
    /// # Errors
    /// When too much waits for the registry: the list says what it said.
    pub fn track_presence(
        &mut self,
        key: impl Into<CompactString>,
        meta: impl Into<Payload>,
    ) -> Result<(), LimitError> {
        self.change_presence(PresenceChange::Track(PresenceEntry { key: key.into(), meta: meta.into() }))
    }

    /// Takes this client off the topic's presence list, if it is on it.
    ///
    /// # Errors
    /// When too much waits for the registry: the list says what it said.
    pub fn untrack_presence(&mut self) -> Result<(), LimitError> {
        self.change_presence(PresenceChange::Untrack)
    }

    fn change_presence(&mut self, change: PresenceChange) -> Result<(), LimitError> {
        let (join, topic) = (self.scope.join, self.scope.topic.clone());
        let permit = self.client.permit(topic.key().len() + change.size())?;
        self.push_effect(Effect::Presence { join, topic, change, permit });
        Ok(())
    }

    /// Decides a join that was put off with [`Join::Pending`]. The first decision counts, and none but
    /// such a join heeds it.
    pub fn complete_join(&mut self, join: Join) {
        self.outcome.completed_join = Some(join);
    }

    /// Ends this channel when the function that runs has returned and its reply is sent; the client is
    /// told that it is closed, and does not come back by itself. A join that is not answered yet is
    /// refused, with the reason `stopped`.
    pub fn stop(&mut self) {
        self.outcome.stopped = true;
    }
}

impl fmt::Debug for Context<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Context").field("topic", self.scope.topic).finish_non_exhaustive()
    }
}
