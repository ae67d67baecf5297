//! What a topic *does*: the trait a channel implements, what it can do meanwhile ([`Context`]), and the
//! router that chooses it by the topic's name.
//!
//! A channel is a plain value inside its socket, not an actor: one for each join, dropped with it. It
//! never blocks: whatever takes time runs elsewhere and answers through a [`SocketRef`] or a
//! [`ChannelRef`].

use std::any::{Any, TypeId};
use std::collections::HashMap;
use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Instant;

use compact_str::CompactString;

use crate::connection::{Connection, ConnectionId};
pub use crate::mailbox::Info;
use crate::mailbox::Note;
use crate::message::{
    Broadcast, Claim, Effect, Event, JoinId, Membership, Outbound, Payload, Proof, Ref, Row, Signal, Status, Ticket,
    Verdict,
};
use crate::rate::{Bucket, Rate};
use crate::topic::{Pattern, Topic};

/// What becomes of a request to join.
#[derive(Debug)]
pub enum Join {
    /// The client becomes a member on these terms; it is answered `ok` with this payload once the
    /// registry has made it one.
    Accept(Payload, Membership),
    /// The client is answered `error` with this payload.
    Refuse(Payload),
    /// The channel will say so later, with [`Context::decide`]. What the client sends meanwhile waits.
    Later,
}

impl Join {
    /// Accepted, with nothing more to say.
    #[must_use]
    pub fn ok() -> Self {
        Self::accept(Payload::empty())
    }

    /// Accepted, with something for the client to know.
    #[must_use]
    pub fn accept(payload: Payload) -> Self {
        Self::Accept(payload, Membership::default())
    }

    /// Refused, with `{"reason": reason}`.
    #[must_use]
    pub fn refuse(reason: &str) -> Self {
        Self::Refuse(Payload::reason(reason))
    }

    /// Only if it can be the topic's one member. Whoever brought the same `proof` before makes room;
    /// else the join is refused as `taken`.
    #[must_use]
    pub fn claim(self, proof: Option<Proof>) -> Self {
        self.with(|membership| membership.claim = Some(Claim { proof }))
    }

    /// The client is pushed the topic's `presence_state` after the answer, and `presence_diff` from
    /// then on.
    #[must_use]
    pub fn view_presence(self) -> Self {
        self.with(|membership| membership.view = true)
    }

    /// The client is listed under `key` with `meta`, the text of a JSON object.
    #[must_use]
    pub fn track(self, key: impl Into<CompactString>, meta: Payload) -> Self {
        self.with(|membership| membership.row = Some(Row { key: key.into(), meta }))
    }

    fn with(mut self, change: impl FnOnce(&mut Membership)) -> Self {
        if let Self::Accept(_, membership) = &mut self {
            change(membership);
        }
        self
    }
}

/// A channel's answer to a push.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reply {
    /// None: not now (a [`SocketRef`] may answer later), or never.
    None,
    /// This, at once.
    Now(Status, Payload),
}

impl Reply {
    /// `ok`, with nothing more to say.
    #[must_use]
    pub const fn ok() -> Self {
        Self::Now(Status::Ok, Payload::empty())
    }

    /// `ok`, with this payload.
    #[must_use]
    pub const fn with(payload: Payload) -> Self {
        Self::Now(Status::Ok, payload)
    }

    /// `error`, with `{"reason": reason}`.
    #[must_use]
    pub fn error(reason: &str) -> Self {
        Self::Now(Status::Error, Payload::reason(reason))
    }
}

/// Why a channel's life ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ended {
    /// Its client left.
    Left,
    /// Its client joined the topic anew, or the name's owner came back on another connection.
    Replaced,
    /// The channel stopped itself.
    Stopped,
    /// The connection is gone; nobody hears a push any more.
    Disconnected,
}

/// What a topic does for one client that has joined it.
///
/// Its life: [`join`](Self::join) decides; once the client has been answered `ok` and hears the topic,
/// [`joined`](Self::joined) runs; then the others in whatever order things happen, one at a time; at
/// the end [`terminate`](Self::terminate). A panic in any of them costs this channel alone: its client
/// is told that it has crashed, and may join again.
pub trait Channel: 'static {
    /// Decides whether the client may join. The default lets everybody in.
    fn join(&mut self, _payload: &Payload, _ctx: &mut Context<'_>) -> Join {
        Join::ok()
    }

    /// The client has its `ok`.
    fn joined(&mut self, _ctx: &mut Context<'_>) {}

    /// The client says something. The default knows no event.
    fn handle_in(&mut self, _event: &str, _payload: &Payload, _ctx: &mut Context<'_>) -> Reply {
        Reply::error("unknown event")
    }

    /// Whether broadcasts of this event pass through [`handle_out`](Self::handle_out) rather than
    /// straight to the client.
    fn intercepts(&self, _event: &str) -> bool {
        false
    }

    /// A broadcast of an intercepted event. The default pushes it as it is.
    fn handle_out(&mut self, event: &str, payload: &Payload, ctx: &mut Context<'_>) {
        ctx.push(event, payload.clone());
    }

    /// A message from the server's own code, through a [`ChannelRef`], or from the core: a
    /// [`Watched`](crate::message::Watched) after [`Context::watch`].
    fn handle_info(&mut self, _info: Info, _ctx: &mut Context<'_>) {}

    /// What became of a [`Context::signal`]. The default answers the request that it was sent for:
    /// `ok`, or `error` with the reason `peer_not_found`, `overloaded` or `unreachable`.
    fn handle_verdict(&mut self, signal: Signal, verdict: Verdict, ctx: &mut Context<'_>) {
        ctx.reply(signal.ticket, verdict_reply(verdict));
    }

    /// The last word.
    fn terminate(&mut self, _why: Ended, _ctx: &mut Context<'_>) {}
}

/// How a verdict is worded to the sender.
#[must_use]
pub fn verdict_reply(verdict: Verdict) -> Reply {
    match verdict {
        Verdict::Delivered => Reply::ok(),
        Verdict::Absent => Reply::error("peer_not_found"),
        Verdict::Overloaded => Reply::error("overloaded"),
        Verdict::Unreachable => Reply::error("unreachable"),
    }
}

/// Values that the channels of one socket share, one of each type, and that
/// [`connect`](crate::mount::Mount::connect) may put there.
#[derive(Default)]
pub struct Assigns(HashMap<TypeId, Box<dyn Any>>);

impl Assigns {
    /// Puts `value` in place of the one of its type.
    pub fn insert<T: Any>(&mut self, value: T) {
        self.0.insert(TypeId::of::<T>(), Box::new(value));
    }

    /// The value of this type.
    #[must_use]
    pub fn get<T: Any>(&self) -> Option<&T> {
        self.0.get(&TypeId::of::<T>())?.downcast_ref()
    }

    /// Takes the value of this type out.
    pub fn remove<T: Any>(&mut self) -> Option<T> {
        self.0.remove(&TypeId::of::<T>())?.downcast().ok().map(|value| *value)
    }
}

impl fmt::Debug for Assigns {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Assigns({})", self.0.len())
    }
}

/// What all channels of one socket have in common.
pub(crate) struct Client {
    pub(crate) connection: Arc<Connection>,
    pub(crate) transport: &'static str,
    pub(crate) assigns: Assigns,
    /// How many signals to nobody it may still send.
    pub(crate) misses: Bucket,
    pub(crate) misses_rate: Rate,
}

/// What the channel's doings leave to be done when it has returned.
#[derive(Default)]
pub(crate) struct Aftermath {
    pub(crate) effects: Vec<Effect>,
    pub(crate) decision: Option<Join>,
    pub(crate) stopped: bool,
}

/// Which join of which topic a channel speaks for.
#[derive(Clone, Copy)]
pub(crate) struct Scope<'a> {
    pub(crate) topic: &'a Topic,
    pub(crate) join: JoinId,
    pub(crate) join_ref: &'a Option<Ref>,
    /// The request that is being handled, when one is.
    pub(crate) reference: &'a Option<Ref>,
    pub(crate) now: Instant,
}

/// What a channel can do while one of its functions runs.
pub struct Context<'a> {
    pub(crate) scope: Scope<'a>,
    pub(crate) client: &'a mut Client,
    pub(crate) aftermath: &'a mut Aftermath,
}

impl Context<'_> {
    /// The topic.
    #[must_use]
    pub fn topic(&self) -> &Topic {
        self.scope.topic
    }

    /// The connection's number in the log.
    #[must_use]
    pub fn connection(&self) -> ConnectionId {
        self.client.connection.id
    }

    /// The client's address, as the node's trusted proxies tell it.
    #[must_use]
    pub fn peer_address(&self) -> IpAddr {
        self.client.connection.address
    }

    /// How the client's bytes travel: `websocket`.
    #[must_use]
    pub fn transport(&self) -> &'static str {
        self.client.transport
    }

    /// What the channels of this socket share.
    pub fn assigns(&mut self) -> &mut Assigns {
        &mut self.client.assigns
    }

    /// Tells this channel's own client.
    pub fn push(&mut self, event: impl Into<Event>, payload: Payload) {
        let (join_ref, topic) = (self.scope.join_ref.clone(), self.scope.topic.clone());
        self.aftermath.effects.push(Effect::Send(Outbound::Push { join_ref, topic, event: event.into(), payload }));
    }

    /// Tells every member of the topic, this client included. Only a member can: before
    /// [`Channel::joined`] nobody hears it.
    pub fn broadcast(&mut self, event: impl Into<Event>, payload: Payload) {
        self.tell_topic(event.into(), payload, true);
    }

    /// Tells every other member of the topic.
    pub fn broadcast_from(&mut self, event: impl Into<Event>, payload: Payload) {
        self.tell_topic(event.into(), payload, false);
    }

    fn tell_topic(&mut self, event: Event, payload: Payload, echo: bool) {
        let broadcast = Broadcast { topic: self.scope.topic.clone(), event, payload };
        self.aftermath.effects.push(Effect::Broadcast { join: self.scope.join, broadcast, echo });
    }

    /// Tells the one who holds the name `to`; [`Channel::handle_verdict`] hears what became of it and
    /// answers the request that is being handled. Return what this returns from
    /// [`Channel::handle_in`]: it is a refusal when the client has named too many absent peers.
    #[must_use]
    pub fn signal(&mut self, to: Topic, event: impl Into<Event>, payload: Payload) -> Reply {
        if self.client.misses.is_empty(&self.client.misses_rate, self.scope.now) {
            return Reply::error("rate_limited");
        }
        let event = event.into();
        let broadcast = Broadcast { topic: to.clone(), event: event.clone(), payload };
        let ticket = Ticket { join: self.scope.join, reference: self.scope.reference.clone() };
        self.aftermath.effects.push(Effect::Signal { signal: Signal { to, event, ticket }, broadcast });
        Reply::None
    }

    /// Answers a request for which a ticket was kept.
    pub fn reply(&mut self, ticket: Ticket, reply: Reply) {
        let Reply::Now(status, payload) = reply else { return };
        self.aftermath.effects.push(Effect::Send(Outbound::Reply {
            join_ref: self.scope.join_ref.clone(),
            reference: ticket.reference,
            topic: self.scope.topic.clone(),
            status,
            payload,
        }));
    }

    /// The request that is being handled, to be answered by [`reply`](Self::reply) in a later call.
    #[must_use]
    pub fn ticket(&self) -> Ticket {
        Ticket { join: self.scope.join, reference: self.scope.reference.clone() }
    }

    /// The request that is being handled, to be answered by other code, on any thread.
    #[must_use]
    pub fn socket_ref(&self) -> SocketRef {
        SocketRef { connection: self.client.connection.clone(), ticket: self.ticket() }
    }

    /// A way to reach this channel from other code, on any thread.
    #[must_use]
    pub fn channel_ref(&self) -> ChannelRef {
        ChannelRef { connection: self.client.connection.clone(), join: self.scope.join }
    }

    /// Begins to tell this channel whether anybody is on `topic`: a
    /// [`Watched`](crate::message::Watched) now, and one for each change.
    pub fn watch(&mut self, topic: Topic) {
        self.aftermath.effects.push(Effect::Watch { join: self.scope.join, topic, on: true });
    }

    /// Ends what [`watch`](Self::watch) began.
    pub fn unwatch(&mut self, topic: Topic) {
        self.aftermath.effects.push(Effect::Watch { join: self.scope.join, topic, on: false });
    }

    /// Changes what the presence list says of this client, if it is on it: `meta` is the text of a
    /// JSON object.
    pub fn update_presence(&mut self, meta: Payload) {
        let (join, topic) = (self.scope.join, self.scope.topic.clone());
        self.aftermath.effects.push(Effect::Update { join, topic, meta });
    }

    /// Decides a join that was put off with [`Join::Later`].
    pub fn decide(&mut self, join: Join) {
        self.aftermath.decision = Some(join);
    }

    /// Ends this channel when the function that runs has returned and its reply is sent; the client is
    /// told that it is closed, and does not come back by itself.
    pub fn stop(&mut self) {
        self.aftermath.stopped = true;
    }
}

impl fmt::Debug for Context<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Context").field("topic", self.scope.topic).finish_non_exhaustive()
    }
}

/// A request that is still owed an answer. Dropping it leaves the client to its own timeout.
#[derive(Debug)]
pub struct SocketRef {
    connection: Arc<Connection>,
    ticket: Ticket,
}

impl SocketRef {
    /// Answers. Nobody hears it when the channel has ended meanwhile.
    pub fn reply(self, reply: Reply) {
        if let Reply::Now(status, payload) = reply {
            // a mailbox that is full or closed belongs to a client on its way out
            let _ = self.connection.tell(Note::Reply(self.ticket, status, payload));
        }
    }
}

/// A channel, seen from other code. What it is sent counts against the bound of its client's queue.
#[derive(Clone, Debug)]
pub struct ChannelRef {
    connection: Arc<Connection>,
    join: JoinId,
}

impl ChannelRef {
    /// Hands the channel a message; says whether it was taken.
    pub fn send<T: Any + Send>(&self, info: T) -> bool {
        self.connection.tell(Note::Info(self.join, Box::new(info))).is_ok()
    }

    /// Tells the channel's client; says whether it was taken.
    pub fn push(&self, event: impl Into<Event>, payload: Payload) -> bool {
        self.connection.tell(Note::Push(self.join, event.into(), payload)).is_ok()
    }
}

type Factory = Box<dyn Fn(&Topic) -> Box<dyn Channel> + Send + Sync>;

/// Which channel answers for which topics.
#[derive(Default)]
pub struct Router(Vec<(Pattern, Factory)>);

impl Router {
    /// Answers for no topic.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Topics that match `pattern`, and none declared before, get a channel from `make`.
    #[must_use]
    pub fn channel<C: Channel>(mut self, pattern: &str, make: impl Fn(&Topic) -> C + Send + Sync + 'static) -> Self {
        self.0.push((Pattern::new(pattern), Box::new(move |topic| Box::new(make(topic)))));
        self
    }

    /// A new channel for `topic`, or nothing when no pattern matches or it is no topic at all.
    pub(crate) fn route(&self, topic: &str) -> Option<(Topic, Box<dyn Channel>)> {
        let (_, make) = self.0.iter().find(|(pattern, _)| pattern.matches(topic))?;
        let topic = Topic::parse(topic).ok()?;
        let channel = make(&topic);
        Some((topic, channel))
    }
}

impl fmt::Debug for Router {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.0.iter().map(|(pattern, _)| pattern)).finish()
    }
}
