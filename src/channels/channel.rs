//! The [`Channel`] trait, which defines what a topic does, and the [`Router`], which chooses a channel by topic name.
//!
//! A channel is a plain value inside its socket, not an actor. Each join has its own channel, which is dropped when the
//! client leaves. A channel never blocks. Slow work is either a future that the channel
//! [starts](crate::channels::tasks), or code elsewhere that answers through a
//! [`ReplyHandle`](crate::channels::ReplyHandle) or a [`ChannelHandle`](crate::channels::ChannelHandle).

use std::any::Any;
use std::fmt;

use crate::channels::context::Context;
use crate::channels::reply::{Join, Reply, TerminateReason};
use crate::connections::envelope::Info;
use crate::message::{DeliveryStatus, Payload, Signal};
use crate::topic::{Pattern, Realm, Topic};

/// The behaviour of a topic for one client that has joined it.
///
/// Life cycle: [`join`](Self::join) accepts or refuses the client. After the client has received its `ok` and is a
/// member of the topic, [`after_join`](Self::after_join) runs. The other callbacks then run one at a time, in the order
/// in which messages and events arrive. [`terminate`](Self::terminate) runs last. A panic in any callback ends only
/// this channel: its client receives an error (`phx_error` in Phoenix) and may join again.
///
/// All callbacks run on the connection's thread, which serves other connections too, so a callback must not block. For
/// slow work, use a future: see [`Context::join_async`], [`Context::reply_async`] and [`Context::spawn`].
/// The [`Context`] records what a callback requests. The requests are carried out in order after the callback has
/// returned, and its reply is sent last.
///
/// ```
/// use handclasp::{Channel, Context, Join, Payload, Reply};
/// use serde_json::json;
///
/// /// A counter private to its client, which chooses the first value.
/// #[derive(Default)]
/// struct Counter(u64);
///
/// impl Channel for Counter {
///     fn join(&mut self, payload: &Payload, _: &mut Context<'_>) -> Join {
///         #[derive(serde::Deserialize)]
///         struct JoinParams {
///             start: u64,
///         }
///         let Ok(params) = payload.parse::<JoinParams>() else { return Join::error("missing start") };
///         self.0 = params.start;
///         Join::ok()
///     }
///
///     fn handle_in(&mut self, event: &str, _: &Payload, ctx: &mut Context<'_>) -> Reply {
///         match event {
///             "more" => self.0 += 1,
///             "enough" => ctx.stop(),
///             _ => return Reply::error("unknown event"),
///         }
///         Reply::ok_with(json!({ "count": self.0 }))
///     }
/// }
/// ```
pub trait Channel: Any {
    /// Decides whether the client may join. The default accepts every client.
    ///
    /// The payload is always a JSON object: a join with any other payload is refused before this runs. The client is
    /// not a member of the topic yet, so [`Context::broadcast`] has no effect here. Broadcast from
    /// [`after_join`](Self::after_join) instead.
    fn join(&mut self, _payload: &Payload, _ctx: &mut Context<'_>) -> Join {
        Join::ok()
    }

    /// Runs once the client has received its `ok` and is a member of the topic. Use it to announce the client to the
    /// other members, or to push initial state to it.
    fn after_join(&mut self, _ctx: &mut Context<'_>) {}

    /// Handles a message from the client. The event name has at most `limits.event_bytes` bytes, and the payload is any
    /// JSON or binary data. The default replies `error` with the reason `unknown event`.
    fn handle_in(&mut self, _event: &str, _payload: &Payload, _ctx: &mut Context<'_>) -> Reply {
        Reply::error("unknown event")
    }

    /// The events whose broadcasts go to [`handle_out`](Self::handle_out) instead of directly to the client. It is
    /// called once, after [`join`](Self::join). A channel that intercepts nothing is cheapest: a broadcast is encoded
    /// once for all members and written to their sockets without waking their sessions.
    fn intercepts(&self) -> &'static [&'static str] {
        &[]
    }

    /// Handles a broadcast of an intercepted event. The default pushes it to the client unchanged. If an implementation
    /// pushes nothing, the client does not receive the broadcast. It must not broadcast an intercepted event on this
    /// topic: that would loop forever.
    fn handle_out(&mut self, event: &str, payload: &Payload, ctx: &mut Context<'_>) {
        ctx.push(event, payload.clone());
    }

    /// Handles a message from server code, sent through a [`ChannelHandle`](crate::channels::ChannelHandle), or an
    /// event from the broker: an [`OnlineStatus`](crate::message::OnlineStatus) after [`Context::watch`], a
    /// [`SubscriptionUpdate`](crate::message::SubscriptionUpdate) after [`Context::subscribe`], or a
    /// [`PresenceUpdate`](crate::message::PresenceUpdate) after [`Context::track_presence`]. It may run before the
    /// client is a member.
    ///
    /// ```
    /// # use handclasp::{Channel, Context, Payload};
    /// # use handclasp::channels::Info;
    /// struct Price(u32);
    ///
    /// # struct Ticker;
    /// # impl Channel for Ticker {
    /// fn handle_info(&mut self, info: Info, ctx: &mut Context<'_>) {
    ///     if let Ok(price) = info.downcast::<Price>() {
    ///         ctx.push("price", serde_json::json!({ "cents": price.0 }));
    ///     }
    /// }
    /// # }
    /// ```
    fn handle_info(&mut self, _info: Info, _ctx: &mut Context<'_>) {}

    /// Handles the result of a [`Context::send_to`]. The default replies to the request that caused the message:
    /// `ok`, or `error` with the reason `peer_not_found`, `overloaded` or `unreachable`.
    fn handle_delivery(&mut self, signal: Signal, status: DeliveryStatus, ctx: &mut Context<'_>) {
        ctx.reply(signal.request, Reply::from(status));
    }

    /// Runs last, for a channel whose client was a member or whose join is still pending. It does not run after a
    /// refused join or a panic. Its broadcasts are delivered. Its pushes reach the client unless the client has
    /// disconnected.
    fn terminate(&mut self, _reason: TerminateReason, _ctx: &mut Context<'_>) {}
}

/// A channel of any type.
pub(crate) type DynChannel = dyn Channel;

type Factory = Box<dyn Fn(&Topic) -> Box<dyn Channel> + Send + Sync>;

/// Maps topic patterns to channels. A pattern is an exact name, or a prefix that ends in `*`. The first matching
/// pattern is used. A join to a topic that matches no pattern is refused with the reason `unmatched topic`.
///
/// ```
/// # use handclasp::{Channel, Router};
/// # struct Lobby; impl Channel for Lobby {}
/// # struct Room { name: String } impl Channel for Room {}
/// let router = Router::new()
///     .channel("room:lobby", |_| Lobby)
///     .channel("room:*", |topic| Room { name: topic.subtopic().to_owned() });
/// ```
#[derive(Default)]
pub struct Router(Vec<(Pattern, Factory)>);

impl Router {
    /// A router without patterns. It refuses every topic.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Serves topics that match `pattern`, and no earlier pattern, with channels from `make`. `make` runs once for each
    /// join, on the connection's thread. Data that channels share is captured by `make`.
    #[must_use]
    pub fn channel<C: Channel>(mut self, pattern: &str, make: impl Fn(&Topic) -> C + Send + Sync + 'static) -> Self {
        self.0.push((Pattern::new(pattern), Box::new(move |topic| Box::new(make(topic)))));
        self
    }

    /// Parses a topic key and creates a channel for the topic. Returns `None` when no pattern matches, or the key is
    /// not a valid topic of `realm`.
    pub(crate) fn route(&self, realm: Realm, key: &str) -> Option<(Topic, Box<dyn Channel>)> {
        let name = key.strip_prefix(realm.prefix())?;
        let (_, make) = self.0.iter().find(|(pattern, _)| pattern.matches(name))?;
        let topic = realm.topic(name).ok()?;
        let channel = make(&topic);
        Some((topic, channel))
    }
}

impl fmt::Debug for Router {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.0.iter().map(|(pattern, _)| pattern)).finish()
    }
}
