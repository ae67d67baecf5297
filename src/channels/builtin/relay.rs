//! The channel of the default Socket.IO mount: the relay of the usual WebRTC tutorials. It forwards each message to all
//! other clients, to the members of rooms, or to one client.

pub(crate) mod readdress;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::auth::Access;
use crate::channels::channel::Channel;
use crate::channels::context::Context;
use crate::channels::reply::{Join, LimitError, Reply, TerminateReason};
use crate::config::ice::IceServers;
use crate::connections::envelope::Info;
use crate::message::{Payload, RequestRef, SubscriptionUpdate};
use crate::refusal::NOT_ALLOWED;
use crate::topic::{Realm, Topic};
use readdress::{Addressed, RecipientMember, begins_with_object};

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
/// - connect -> `{sid}`, the id under which other clients can reach this one. It is a random one: the id of a polling
///   session is the key to that session, so others must not know it.
/// - `message ...` -> all other clients receive `message` with the same arguments. Once the client has asked for rooms,
///   only the members of its rooms receive it, each once, however many of the rooms it shares. It is never
///   acknowledged, as in the original.
/// - `message {...}`, with an object as first argument -> the object gets `from`, the sender's sid.
/// - `message {sendto, ...}` -> only the client with that sid receives it, as `message {sendto, from, ...}`. The
///   acknowledgement is that of a signal.
/// - `join {room}` and `leave {room}`, or with the room's name as a plain string -> ok `{}`. A client can join at most
///   `limits.joins_per_socket` rooms.
/// - `enter {room}`, or with a plain string -> like `join`, and the client leaves the room that it has entered before.
/// - `signal {to, ...}` -> the client with that sid receives `signal {from, ...}`. The acknowledgement is `{}` or
///   `{reason}`, with the reasons of the peer channel.
/// - `ice` -> ok `{iceServers}`, for an `RTCPeerConnection`, with credentials for the sid.
/// - disconnect -> every client that would receive a `message` receives `user disconnected {id}`.
pub(crate) struct SocketIoRelay {
    /// The STUN and TURN servers, if they are sent.
    ice: Option<IceServers>,
    sid: String,
    /// The topic of the sid, until its subscription is confirmed or refused.
    me: Option<Topic>,
    rooms: Vec<Topic>,
    /// The room of the last `enter`.
    entered: Option<Topic>,
    /// Whether the messages are meant for rooms: the client has asked for one since it last left them all. If it got
    /// none, its messages reach no client, instead of all.
    uses_rooms: bool,
    /// What the client's token permits, if it needs one.
    access: Option<Access>,
    /// Requests to join a room that are answered once the subscription is confirmed or refused.
    pending: Vec<(Topic, RequestRef)>,
}

/// In the assigns of a client whose web page may not receive the STUN and TURN servers.
#[derive(Clone, Copy, Debug)]
pub(crate) struct IceRefused;

#[derive(Serialize)]
struct Welcome<'a> {
    sid: &'a str,
}

#[derive(Serialize)]
struct Gone<'a> {
    id: &'a str,
}

impl Channel for SocketIoRelay {
    /// Subscribes to the sid's topic first, so that the client can be reached by its sid when it receives it.
    fn join(&mut self, _: &Payload, ctx: &mut Context<'_>) -> Join {
        self.access = ctx.access().cloned();
        if self.access.as_ref().is_some_and(|access| !access.may_join(ctx.topic().as_str())) {
            return Join::error(NOT_ALLOWED);
        }
        self.sid = Uuid::new_v4().simple().to_string();
        let Some(me) = part(ctx, SID, &self.sid) else { return self.welcome() };
        match ctx.subscribe_exclusive(&me) {
            Ok(()) => {
                self.me = Some(me);
                Join::Pending
            }
            Err(LimitError::Overloaded) => Join::error(LimitError::Overloaded.reason()),
            Err(_) => self.welcome(),
        }
    }

    fn handle_in(&mut self, event: &str, payload: &Payload, ctx: &mut Context<'_>) -> Reply {
        match event {
            MESSAGE => self.message(payload, ctx),
            SIGNAL => self.signal(payload, ctx),
            "ice" => self.ice_servers(ctx),
            "join" | "enter" | "leave" => {
                let Some((name, room)) = room_of(payload, ctx) else { return Reply::error("invalid room") };
                // what the client says in a room that it may not join reaches no client, instead of all
                self.uses_rooms |= event != "leave";
                if event != "leave" && self.access.as_ref().is_some_and(|access| !access.may_join(&name)) {
                    return Reply::error(NOT_ALLOWED);
                }
                match event {
                    "join" => self.join_room(room, ctx),
                    "enter" => self.enter_room(room, ctx),
                    _ => self.leave(&room, ctx),
                }
            }
            _ => Reply::error("unknown event"),
        }
    }

    fn handle_info(&mut self, info: Info, ctx: &mut Context<'_>) {
        let Ok(SubscriptionUpdate { topic, subscribed }) = info.downcast().map(|update| *update) else { return };
        // a client whose sid cannot be subscribed, as while the cluster's engine is away, still has its rooms
        if self.me.take_if(|me| *me == topic).is_some() {
            return ctx.complete_join(self.welcome());
        }
        let is_it = |(room, _): &mut (Topic, RequestRef)| *room == topic;
        for (_, request) in self.pending.extract_if(.., is_it) {
            ctx.reply(request, if subscribed { Reply::ok() } else { Reply::error("room is full") });
        }
        if !subscribed {
            self.rooms.retain(|room| *room != topic);
            self.entered.take_if(|room| *room == topic);
        }
    }

    fn terminate(&mut self, _: TerminateReason, ctx: &mut Context<'_>) {
        self.broadcast(GONE, &Payload::from(&[Gone { id: &self.sid }]), ctx);
    }
}

impl SocketIoRelay {
    pub(crate) fn new(ice: Option<IceServers>) -> Self {
        Self {
            ice,
            sid: String::new(),
            me: None,
            rooms: Vec::new(),
            entered: None,
            uses_rooms: false,
            access: None,
            pending: Vec::new(),
        }
    }

    fn welcome(&self) -> Join {
        Join::ok_with(&Welcome { sid: &self.sid })
    }

    fn ice_servers(&self, ctx: &mut Context<'_>) -> Reply {
        match &self.ice {
            Some(_) if ctx.assigns().get::<IceRefused>().is_some() => Reply::error("origin not allowed"),
            Some(servers) => Reply::ok_with(&servers.configuration(&self.sid, ctx.turn_time())),
            None => Reply::error("unknown event"),
        }
    }

    fn broadcast(&self, event: &str, payload: &Payload, ctx: &mut Context<'_>) {
        match self.uses_rooms {
            true => ctx.broadcast_from_on_any(&self.rooms, event, payload.clone()),
            false => ctx.broadcast_from(event, payload.clone()),
        }
    }

    /// Forwards a message to those rooms of the client in which it may speak, or to all clients.
    fn speak(&self, payload: &Payload, ctx: &mut Context<'_>) -> Reply {
        let Some(access) = &self.access else {
            self.broadcast(MESSAGE, payload, ctx);
            return Reply::NoReply;
        };
        if !self.uses_rooms {
            return match access.may_publish(ctx.topic().as_str()) {
                true => {
                    self.broadcast(MESSAGE, payload, ctx);
                    Reply::NoReply
                }
                false => Reply::error(NOT_ALLOWED),
            };
        }
        let may_speak = |room: &&Topic| name_of_room(room).is_some_and(|name| access.may_publish(name));
        let rooms: Vec<Topic> = self.rooms.iter().filter(may_speak).cloned().collect();
        if rooms.is_empty() && !self.rooms.is_empty() {
            return Reply::error(NOT_ALLOWED);
        }
        ctx.broadcast_from_on_any(&rooms, MESSAGE, payload.clone());
        Reply::NoReply
    }

    fn send(&self, to: &str, event: &'static str, payload: Payload, ctx: &mut Context<'_>) -> Reply {
        if self.access.as_ref().is_some_and(|access| !access.may_signal(to)) {
            return Reply::error(NOT_ALLOWED);
        }
        match part(ctx, SID, to) {
            Some(to) => ctx.send_to(to, event, payload),
            None => Reply::error("invalid payload"),
        }
    }

    fn message(&self, payload: &Payload, ctx: &mut Context<'_>) -> Reply {
        if !text_of(payload).is_some_and(begins_with_object) {
            return self.speak(payload, ctx);
        }
        match self.readdress(payload, RecipientMember::SendTo) {
            Some((None, message)) => self.speak(&message, ctx),
            Some((Some(to), message)) => self.send(&to, MESSAGE, message, ctx),
            None => Reply::error("invalid payload"),
        }
    }

    fn signal(&self, payload: &Payload, ctx: &mut Context<'_>) -> Reply {
        match self.readdress(payload, RecipientMember::To) {
            Some((Some(to), signal)) => self.send(&to, SIGNAL, signal, ctx),
            _ => Reply::error("invalid payload"),
        }
    }

    /// Returns the sid of the recipient, if there is one, and the payload to forward.
    fn readdress(&self, payload: &Payload, member: RecipientMember) -> Option<(Option<String>, Payload)> {
        let Addressed { to, text } = readdress::readdress(text_of(payload)?, member, &self.sid).ok()?;
        let forwarded = match payload {
            Payload::Attached(_, attachments) => Payload::Attached(text.into(), attachments.clone()),
            _ => Payload::from_json_text(text),
        };
        Some((to.map(Into::into), forwarded))
    }

    fn join_room(&mut self, room: Topic, ctx: &mut Context<'_>) -> Reply {
        self.uses_rooms = true;
        let is_in = self.rooms.contains(&room);
        if is_in && !self.pending.iter().any(|(other, _)| *other == room) {
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
        self.pending.push((room, ctx.request_ref()));
        Reply::NoReply
    }

    /// A client that cannot enter the room stays where it is. A room that it has joined as well is not left by the next
    /// `enter`.
    fn enter_room(&mut self, room: Topic, ctx: &mut Context<'_>) -> Reply {
        let is_new = !self.rooms.contains(&room);
        let reply = self.join_room(room.clone(), ctx);
        if self.rooms.contains(&room) && self.entered.as_ref() != Some(&room) {
            let previous = std::mem::replace(&mut self.entered, is_new.then_some(room));
            if let Some(previous) = previous {
                self.leave_room(&previous, ctx);
            }
        }
        reply
    }

    fn leave(&mut self, room: &Topic, ctx: &mut Context<'_>) -> Reply {
        self.leave_room(room, ctx);
        self.entered.take_if(|entered| entered == room);
        self.uses_rooms = !self.rooms.is_empty();
        Reply::ok()
    }

    fn leave_room(&mut self, room: &Topic, ctx: &mut Context<'_>) {
        let Some(at) = self.rooms.iter().position(|other| other == room) else { return };
        ctx.unsubscribe(&self.rooms.swap_remove(at));
        for (_, request) in self.pending.extract_if(.., |(other, _)| other == room) {
            ctx.reply(request, Reply::error("left"));
        }
    }
}

/// The name of a room, by its topic.
fn name_of_room(room: &Topic) -> Option<&str> {
    room.as_str().split_once('#')?.1.strip_prefix(ROOM)?.strip_prefix(':')
}

/// The JSON text of an event's arguments.
fn text_of(payload: &Payload) -> Option<&str> {
    match payload {
        Payload::Json(text) | Payload::Attached(text, _) => Some(text),
        Payload::Binary(_) => None,
    }
}

/// The room that an event's only argument names, and its topic.
fn room_of(payload: &Payload, ctx: &Context<'_>) -> Option<(String, Topic)> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Named {
        Alone(String),
        Within { room: String },
    }
    let (Named::Alone(room) | Named::Within { room },) = payload.parse::<(Named,)>().ok()?;
    let topic = (1..=MAX_ROOM_BYTES).contains(&room.len()).then(|| part(ctx, ROOM, &room)).flatten()?;
    Some((room, topic))
}

/// An internal topic of the namespace. Clients cannot name it.
fn part(ctx: &Context<'_>, kind: &str, name: &str) -> Option<Topic> {
    Realm::SocketIo.topic(&format!("{}#{kind}:{name}", ctx.topic())).ok()
}
