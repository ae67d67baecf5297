//! The channel of the default Socket.IO mount: the relay of the usual WebRTC tutorials. It forwards each message to all
//! other clients, to the members of rooms, or to one client.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use uuid::Uuid;

use crate::channels::channel::Channel;
use crate::channels::context::Context;
use crate::channels::reply::{Join, LimitError, Reply, TerminateReason};
use crate::connections::envelope::Info;
use crate::message::{Payload, RequestRef, SubscriptionUpdate};
use crate::topic::{Realm, Topic};

const MESSAGE: &str = "message";
const SIGNAL: &str = "signal";
const GONE: &str = "user disconnected";
/// The two kinds of internal topics: one client, and a room.
const SID: &str = "sid";
const ROOM: &str = "room";
/// The maximum length of a room's name, in bytes.
const MAX_ROOM_BYTES: usize = 255;

/// The channel of one Socket.IO client. Its messages:
///
/// - connect -> `{sid}`, the id under which other clients can reach this one.
/// - `message ...` -> all other clients receive `message` with the same arguments. Once the client has joined rooms,
///   only their members receive it, once per room: a client that shares two rooms receives it twice. It is never
///   acknowledged, as in the original.
/// - `join {room}` and `leave {room}`, or with the room's name as a plain string -> ok `{}`. A client can join at most
///   `limits.joins_per_socket` rooms.
/// - `signal {to, ...}` -> the client with that sid receives `signal {from, ...}`. The acknowledgement is `{}` or
///   `{reason}`, with the reasons of the peer channel.
/// - disconnect -> every client that would receive a `message` receives `user disconnected`.
#[derive(Default)]
pub(crate) struct SocketIoRelay {
    sid: String,
    rooms: Vec<Topic>,
    /// Requests to join a room that are answered once the subscription is confirmed or refused.
    entering: Vec<(Topic, RequestRef)>,
}

#[derive(Serialize)]
struct Welcome<'a> {
    sid: &'a str,
}

impl Channel for SocketIoRelay {
    /// Subscribes to the sid's topic first, so that the client can be reached by its sid when it receives it.
    fn join(&mut self, _: &Payload, ctx: &mut Context<'_>) -> Join {
        self.sid = Uuid::new_v4().simple().to_string();
        let me = part(ctx, SID, &self.sid);
        if me.is_some_and(|me| ctx.subscribe_exclusive(&me) == Err(LimitError::Overloaded)) {
            return Join::error(LimitError::Overloaded.reason());
        }
        Join::ok_with(&Welcome { sid: &self.sid })
    }

    fn handle_in(&mut self, event: &str, payload: &Payload, ctx: &mut Context<'_>) -> Reply {
        match event {
            MESSAGE => {
                self.broadcast(MESSAGE, payload, ctx);
                Reply::NoReply
            }
            "join" => self.enter(payload, ctx),
            "leave" => self.leave(payload, ctx),
            SIGNAL => self.signal(payload, ctx),
            _ => Reply::error("unknown event"),
        }
    }

    fn handle_info(&mut self, info: Info, ctx: &mut Context<'_>) {
        let Ok(SubscriptionUpdate { topic, subscribed }) = info.downcast().map(|update| *update) else { return };
        let is_it = |(room, _): &mut (Topic, RequestRef)| *room == topic;
        for (_, request) in self.entering.extract_if(.., is_it) {
            ctx.reply(request, if subscribed { Reply::ok() } else { Reply::error("room is full") });
        }
        if !subscribed {
            self.rooms.retain(|room| *room != topic);
        }
    }

    fn terminate(&mut self, _: TerminateReason, ctx: &mut Context<'_>) {
        self.broadcast(GONE, &Payload::from_json_text("[]"), ctx);
    }
}

impl SocketIoRelay {
    fn broadcast(&self, event: &str, payload: &Payload, ctx: &mut Context<'_>) {
        if self.rooms.is_empty() {
            ctx.broadcast_from(event, payload.clone());
        }
        for room in &self.rooms {
            ctx.broadcast_from_on(room, event, payload.clone());
        }
    }

    fn enter(&mut self, payload: &Payload, ctx: &mut Context<'_>) -> Reply {
        let Some(room) = room_of(payload, ctx) else { return Reply::error("invalid room") };
        let is_in = self.rooms.contains(&room);
        if is_in && !self.entering.iter().any(|(other, _)| *other == room) {
            return Reply::ok();
        }
        if !is_in {
            match ctx.subscribe(&room) {
                Ok(()) => {}
                Err(LimitError::TooManyTopics) => return Reply::error("too many rooms"),
                Err(error) => return Reply::error(error.reason()),
            }
            self.rooms.push(room.clone());
        }
        self.entering.push((room, ctx.request_ref()));
        Reply::NoReply
    }

    fn leave(&mut self, payload: &Payload, ctx: &mut Context<'_>) -> Reply {
        let Some(room) = room_of(payload, ctx) else { return Reply::error("invalid room") };
        if let Some(at) = self.rooms.iter().position(|other| *other == room) {
            ctx.unsubscribe(&self.rooms.swap_remove(at));
            for (_, request) in self.entering.extract_if(.., |(other, _)| *other == room) {
                ctx.reply(request, Reply::error("left"));
            }
        }
        Reply::ok()
    }

    fn signal(&self, payload: &Payload, ctx: &mut Context<'_>) -> Reply {
        let Some((to, signal)) = readdress(payload, &self.sid) else { return Reply::error("invalid payload") };
        match part(ctx, SID, &to) {
            Some(to) => ctx.send_to(to, SIGNAL, signal),
            None => Reply::error("invalid payload"),
        }
    }
}

/// Returns the sid of a signal's receiver, and the payload to forward: without `to`, and with the sender's `sid` as
/// `from`. All other values keep their exact text.
fn readdress(payload: &Payload, sid: &str) -> Option<(String, Payload)> {
    let (signal,) = payload.parse::<(BTreeMap<String, Box<RawValue>>,)>().ok()?;
    let mut signal = signal;
    let to = serde_json::from_str(signal.remove("to")?.get()).ok()?;
    signal.insert("from".to_owned(), serde_json::value::to_raw_value(sid).ok()?);
    let text = serde_json::to_string(&[signal]).ok()?;
    Some((
        to,
        match payload {
            Payload::Attached(_, attachments) => Payload::Attached(text.into(), attachments.clone()),
            _ => Payload::from_json_text(text),
        },
    ))
}

/// The topic of the room that an event's only argument names.
fn room_of(payload: &Payload, ctx: &Context<'_>) -> Option<Topic> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Named {
        Alone(String),
        Within { room: String },
    }
    let (Named::Alone(room) | Named::Within { room },) = payload.parse::<(Named,)>().ok()?;
    (1..=MAX_ROOM_BYTES).contains(&room.len()).then(|| part(ctx, ROOM, &room)).flatten()
}

/// An internal topic of the namespace. Clients cannot name it.
fn part(ctx: &Context<'_>, kind: &str, name: &str) -> Option<Topic> {
    Realm::SocketIo.topic(&format!("{}#{kind}:{name}", ctx.topic())).ok()
}
