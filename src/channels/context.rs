//! [`Context`]: what a channel can do while one of its callbacks runs.
//!
//! A context only records requests. Each becomes an [`Action`], which the socket carries out after the callback has
//! returned. What a channel sends is in `messages`, the methods that start futures are in [`tasks`](crate::channels::tasks), and
//! the handles for other code in [`handles`](crate::channels::handles).

mod messages;

use std::any::Any;
use std::cell::Cell;
use std::fmt;
use std::net::IpAddr;
use std::rc::Rc;
use std::time::Duration;

use compact_str::CompactString;
use futures_util::future::AbortHandle;

use crate::auth::{Access, LaterTokens};
use crate::broker::registry::permits::Permit;
use crate::channels::assigns::Assigns;
use crate::channels::client::Client;
use crate::channels::effect::Effect;
use crate::channels::handles::{ChannelHandle, ReplyHandle};
use crate::channels::reply::{Join, LimitError, Reply};
use crate::channels::task_future::TaskFuture;
use crate::connections::connection::ConnectionId;
use crate::message::{JoinId, NameClaim, Outbound, Payload, PresenceChange, PresenceEntry, Ref, RequestRef};
use crate::topic::Topic;

/// One request that a channel has made.
pub(crate) enum Action {
    /// An effect that the socket passes on unchanged.
    Do(Effect),
    /// Subscribe to another topic. With a claim, as its only member.
    Subscribe(Topic, Option<NameClaim>, Permit),
    /// Cancel a subscription to another topic.
    Unsubscribe(Topic),
    /// End the membership of the own topic.
    LeaveTopic,
    /// Run a future.
    Spawn(Box<NewTask>),
}

/// Passes a future's output, or its panic, to the channel that started the future.
pub(crate) type Completion = Box<dyn FnOnce(&mut dyn Any, &mut Context<'_>) -> Reply>;

/// The socket's handle of a running future. Dropping it aborts the future.
pub(crate) struct Task {
    /// Whether the client's messages to the topic wait until the task is done.
    pub(crate) is_ordered: bool,
    /// The request that the callback handles, if it handles one.
    pub(crate) reference: Option<Ref>,
    pub(super) result: Rc<Cell<Option<Completion>>>,
    pub(super) abort: AbortHandle,
}

impl Task {
    /// The completion to run, once the future is ready.
    pub(crate) fn take_result(&self) -> Option<Completion> {
        self.result.take()
    }
}

impl Drop for Task {
    fn drop(&mut self) {
        self.abort.abort();
    }
}

/// A task that a channel has requested and the session has not started yet.
pub(crate) struct NewTask {
    pub(crate) task: Task,
    pub(crate) future: TaskFuture,
}

/// What a callback has requested, for the socket to carry out after the callback has returned.
#[derive(Default)]
pub(crate) struct CallbackOutcome {
    pub(crate) actions: Vec<Action>,
    pub(crate) completed_join: Option<Join>,
    pub(crate) stopped: bool,
}

/// The topic, join and request for which a callback runs.
#[derive(Clone, Copy)]
pub(crate) struct CallScope<'a> {
    pub(crate) topic: &'a Topic,
    pub(crate) join: JoinId,
    pub(crate) join_ref: &'a Option<Ref>,
    /// The request that is being handled, if any.
    pub(crate) reference: &'a Option<Ref>,
}

/// What a channel can do while one of its callbacks runs: push, broadcast, subscribe, watch, reply, and stop.
///
/// Requests are carried out in order after the callback has returned.
pub struct Context<'a> {
    pub(crate) scope: CallScope<'a>,
    pub(crate) client: &'a mut Client,
    pub(crate) outcome: &'a mut CallbackOutcome,
}

impl Context<'_> {
    fn push_effect(&mut self, effect: Effect) {
        self.outcome.actions.push(Action::Do(effect));
    }

    /// The channel's topic.
    #[must_use]
    pub fn topic(&self) -> &Topic {
        self.scope.topic
    }

    /// The connection's id, unique within the process. The log uses the same id.
    #[must_use]
    pub fn connection(&self) -> ConnectionId {
        self.client.connection.id
    }

    /// The client's IP address. Behind a trusted proxy, it is the address that the proxy forwards.
    #[must_use]
    pub fn peer_address(&self) -> IpAddr {
        self.client.connection.address
    }

    /// The client's transport: `websocket` or `longpoll`.
    #[must_use]
    pub fn transport(&self) -> &'static str {
        self.client.transport
    }

    /// What the client's token permits, if the mount [checks tokens](crate::Mount::check_tokens) and the client has sent
    /// one. Without a token, a client that could connect may do everything.
    #[must_use]
    pub fn access(&self) -> Option<&Access> {
        self.client.assigns.get()
    }

    /// How long the credentials of TURN servers may be valid for this client. Where tokens are checked, a client without
    /// one gets none.
    pub(crate) fn turn_time(&self) -> Duration {
        match self.access() {
            Some(access) => access.turn_time(self.client.now),
            None if self.checks_tokens() => Duration::ZERO,
            None => Duration::MAX,
        }
    }

    /// Whether the tokens of clients are checked.
    pub(crate) fn checks_tokens(&self) -> bool {
        self.client.assigns.get::<LaterTokens>().is_some()
    }

    /// In how many seconds the client's token expires, if it has one.
    pub(crate) fn expires_in(&self) -> Option<u64> {
        self.access().map(|access| access.expires_in(self.client.now).as_secs())
    }

    /// The values that all channels of this socket share.
    pub fn assigns(&mut self) -> &mut Assigns {
        &mut self.client.assigns
    }

    /// Whether the client has looked for too many names that nobody has. A channel that tells its clients whether a name
    /// is online must refuse them then, and [charge](Self::charge_not_found) each that is not.
    pub(crate) fn is_probing(&mut self) -> bool {
        self.client.is_probing()
    }

    /// Counts a name that the client has looked for, and that nobody has.
    pub(crate) fn charge_not_found(&mut self) {
        self.client.charge_not_found();
    }

    /// Subscribes this client to another `topic`, until the channel ends or [`unsubscribe`](Self::unsubscribe) is
    /// called. Broadcasts on it reach the client like those of the channel's own topic. When the subscription is
    /// confirmed or refused, [`Channel::handle_info`](crate::Channel::handle_info) receives a
    /// [`SubscriptionUpdate`](crate::message::SubscriptionUpdate). A subscription made during
    /// [`Channel::join`](crate::Channel::join) is active from the join's `ok` on, without a gap.
    ///
    /// # Errors
    /// [`LimitError::TooManyTopics`] when the socket has `limits.joins_per_socket` such subscriptions already, which
    /// are counted apart from its joins. [`LimitError::Overloaded`] when the registry's command queue is full.
    pub fn subscribe(&mut self, topic: &Topic) -> Result<(), LimitError> {
        self.subscribe_to(topic, None)
    }

    /// Like [`subscribe`](Self::subscribe), but as the only member of `topic`, so that other channels can
    /// [`send_to`](Self::send_to) this client. When the name is taken, the client is not subscribed, as in
    /// [`Join::exclusive`](crate::Join::exclusive). Choose a name that no other client can have.
    ///
    /// # Errors
    /// The same as [`subscribe`](Self::subscribe).
    pub fn subscribe_exclusive(&mut self, topic: &Topic) -> Result<(), LimitError> {
        self.subscribe_to(topic, Some(NameClaim::default()))
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

    /// Cancels one [`subscribe`](Self::subscribe). A topic subscribed twice must be unsubscribed twice.
    pub fn unsubscribe(&mut self, topic: &Topic) {
        self.outcome.actions.push(Action::Unsubscribe(topic.clone()));
    }

    /// Gives up the membership of the channel's own topic, and with it a name that the join has made exclusive. The
    /// channel goes on, and its client can still send.
    pub(crate) fn leave_topic(&mut self) {
        self.outcome.actions.push(Action::LeaveTopic);
    }

    /// Replies to a request whose [`request_ref`](Self::request_ref) the channel has kept. [`Reply::NoReply`] sends
    /// nothing. Reply to each request once.
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

    /// Identifies the current request, so that a later callback can answer it with [`reply`](Self::reply).
    #[must_use]
    pub fn request_ref(&self) -> RequestRef {
        let CallScope { topic, join, reference, .. } = self.scope;
        RequestRef { topic: topic.clone(), join, reference: reference.clone() }
    }

    /// A handle with which other code can answer the current request, on any thread.
    #[must_use]
    pub fn reply_handle(&self) -> ReplyHandle {
        ReplyHandle::new(self.client.connection.clone(), self.request_ref())
    }

    /// A handle with which other code can send messages to this channel, on any thread.
    #[must_use]
    pub fn channel_handle(&self) -> ChannelHandle {
        ChannelHandle::new(self.client.connection.clone(), self.scope.join)
    }

    /// Watches whether `topic` has members. [`Channel::handle_info`](crate::Channel::handle_info) receives an
    /// [`OnlineStatus`](crate::message::OnlineStatus) with the current state, and another at each change.
    ///
    /// # Errors
    /// [`LimitError::Overloaded`] when the registry's command queue is full. The topic is then not watched.
    pub fn watch(&mut self, topic: Topic) -> Result<(), LimitError> {
        self.change_watch(topic, true)
    }

    /// Stops watching a topic. See [`watch`](Self::watch).
    ///
    /// # Errors
    /// [`LimitError::Overloaded`] when the registry's command queue is full. The topic is then still watched.
    pub fn unwatch(&mut self, topic: Topic) -> Result<(), LimitError> {
        self.change_watch(topic, false)
    }

    fn change_watch(&mut self, topic: Topic, on: bool) -> Result<(), LimitError> {
        let permit = self.client.permit(topic.key().len())?;
        self.push_effect(Effect::Watch { join: self.scope.join, topic, on, permit });
        Ok(())
    }

    /// Replaces the `meta` of this client's presence entry, if it has one. `meta` is a JSON object.
    ///
    /// # Errors
    /// [`LimitError::Overloaded`] when the registry's command queue is full. The entry is then unchanged.
    pub fn update_presence(&mut self, meta: impl Into<Payload>) -> Result<(), LimitError> {
        self.change_presence(PresenceChange::Update(meta.into()))
    }

    /// Adds this client to the topic's presence list under `key`, like [`Join::track`]. An existing entry gets the new
    /// key and `meta`. [`Channel::handle_info`](crate::Channel::handle_info) receives a
    /// [`PresenceUpdate`](crate::message::PresenceUpdate) that says whether the client is listed. The entry stays until
    /// the client leaves, or until [`untrack_presence`](Self::untrack_presence).
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
    /// [`LimitError::Overloaded`] when the registry's command queue is full. The list is then unchanged.
    pub fn track_presence(
        &mut self,
        key: impl Into<CompactString>,
        meta: impl Into<Payload>,
    ) -> Result<(), LimitError> {
        self.change_presence(PresenceChange::Track(PresenceEntry { key: key.into(), meta: meta.into() }))
    }

    /// Removes this client's entry from the topic's presence list, if it has one.
    ///
    /// # Errors
    /// [`LimitError::Overloaded`] when the registry's command queue is full. The list is then unchanged.
    pub fn untrack_presence(&mut self) -> Result<(), LimitError> {
        self.change_presence(PresenceChange::Untrack)
    }

    fn change_presence(&mut self, change: PresenceChange) -> Result<(), LimitError> {
        let (join, topic) = (self.scope.join, self.scope.topic.clone());
        let permit = self.client.permit(topic.key().len() + change.size())?;
        self.push_effect(Effect::Presence { join, topic, change, permit });
        Ok(())
    }

    /// Completes a join for which the channel returned [`Join::Pending`]. The first completion counts. Further calls,
    /// and calls for a join that is not pending, have no effect.
    pub fn complete_join(&mut self, join: Join) {
        self.outcome.completed_join = Some(join);
    }

    /// Ends this channel once the current callback has returned and its reply is sent. The client receives a close
    /// (`phx_close` in Phoenix) and does not rejoin by itself. A join that is still pending is refused with the reason
    /// `stopped`.
    pub fn stop(&mut self) {
        self.outcome.stopped = true;
    }
}

impl fmt::Debug for Context<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Context").field("topic", self.scope.topic).finish_non_exhaustive()
    }
}
