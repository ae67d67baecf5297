//! What a topic does: the trait that a channel implements, and the router that chooses a channel by the topic's name.
//!
//! A channel is a plain value inside its socket, not an actor: one for each join, dropped with it. It never blocks.
//! What takes time is a future that it [awaits](crate::channels::tasks), or runs elsewhere and answers through a
//! [`ReplyHandle`](crate::channels::ReplyHandle) or a [`ChannelHandle`](crate::channels::ChannelHandle).

use std::any::Any;
use std::fmt;

use crate::channels::context::Context;
use crate::channels::reply::{Join, Reply, TerminateReason};
use crate::connections::envelope::Info;
use crate::message::{DeliveryStatus, Payload, Signal};
use crate::topic::{Pattern, Realm, Topic};

/// What a topic does for one client that has joined it.
///
/// Its life: [`join`](Self::join) decides; once the client has been answered `ok` and hears the topic,
/// [`after_join`](Self::after_join) runs; then the others in whatever order things happen, one at a time; at
/// the end [`terminate`](Self::terminate). A panic in any of them costs this channel alone: its client
/// is told that it has crashed, and may join again.
///
/// All of them run on the thread of the connection, and other connections wait for it: none may block. What takes
/// time is a future: see [`Context::join_async`], [`Context::reply_async`] and [`Context::spawn`].
/// What a function asks of its [`Context`] is done in order once it has returned, its reply last.
///
/// ```
/// use handclasp::{Channel, Context, Join, Payload, Reply};
/// use serde_json::json;
///
/// /// A counter that its client alone sees, and that starts where the client says.
/// #[derive(Default)]
/// struct Counter(u64);
///
/// impl Channel for Counter {
///     fn join(&mut self, payload: &Payload, _: &mut Context<'_>) -> Join {
///         #[derive(serde::Deserialize)]
///         struct Wish {
///             start: u64,
///         }
///         let Ok(wish) = payload.parse::<Wish>() else { return Join::error("say where to start") };
///         self.0 = wish.start;
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
    /// Decides whether the client may join. The default lets everybody in.
    ///
    /// The payload is a JSON object; any other is refused before it comes here. Nobody is a member yet:
    /// what this broadcasts on the topic is heard by no one.
    fn join(&mut self, _payload: &Payload, _ctx: &mut Context<'_>) -> Join {
        Join::ok()
    }

    /// The client has its `ok` and hears the topic: the place to tell the others that it has come, or it
    /// what it must know first.
    fn after_join(&mut self, _ctx: &mut Context<'_>) {}

    /// The client says something: any event of at most `limits.event_bytes`, any JSON, or bytes. The
    /// default knows no event.
    fn handle_in(&mut self, _event: &str, _payload: &Payload, _ctx: &mut Context<'_>) -> Reply {
        Reply::error("unknown event")
    }

    /// The events whose broadcasts pass through [`handle_out`](Self::handle_out) rather than straight to the
    /// client. Asked once, after [`join`](Self::join). A channel that intercepts nothing costs the least: the bytes
    /// of a broadcast are made once for all members, and go to their clients without waking anything of theirs.
    fn intercepts(&self) -> &'static [&'static str] {
        &[]
    }

    /// A broadcast of an intercepted event. The default pushes it as it is; one that pushes nothing keeps
    /// it from the client. It must not broadcast on this topic what it intercepts: that would never end.
    fn handle_out(&mut self, event: &str, payload: &Payload, ctx: &mut Context<'_>) {
        ctx.push(event, payload.clone());
    }

    /// A message from the server's own code, through a [`ChannelHandle`](crate::channels::ChannelHandle), or from the core: a
    /// [`OnlineStatus`](crate::message::OnlineStatus) after [`Context::watch`]. It may come before the client is a
    /// member.
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

    /// What became of a [`Context::send_to`]. The default answers the request that it was sent for:
    /// `ok`, or `error` with the reason `peer_not_found`, `overloaded` or `unreachable`.
    fn handle_delivery(&mut self, signal: Signal, verdict: DeliveryStatus, ctx: &mut Context<'_>) {
        ctx.reply(signal.request, Reply::from(verdict));
    }

    /// The last word of a channel that was a member or has put its decision off. One that was refused or
    /// has panicked has none. What it tells others is heard; its own client hears it unless it is gone.
    fn terminate(&mut self, _why: TerminateReason, _ctx: &mut Context<'_>) {}
}

/// A channel of whatever type.
pub(crate) type DynChannel = dyn Channel;

type Factory = Box<dyn Fn(&Topic) -> Box<dyn Channel> + Send + Sync>;

/// Which channel answers for which topics: one of a name, or of all names with a prefix. The first
/// pattern that matches counts; a topic that none matches is refused as `unmatched topic`.
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
    /// Answers for no topic.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Topics that match `pattern`, and none declared before, get a channel from `make`: one for each
    /// join, made on the thread of its connection. What channels share, `make` hands them.
    #[must_use]
    pub fn channel<C: Channel>(mut self, pattern: &str, make: impl Fn(&Topic) -> C + Send + Sync + 'static) -> Self {
        self.0.push((Pattern::new(pattern), Box::new(move |topic| Box::new(make(topic)))));
        self
    }

    /// A new channel for the topic with that key, or nothing when no pattern matches its name or it is no
    /// topic of the realm at all.
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
