//! The channel of `peer:<uuid>`: one client, to which other clients can send messages. Two browsers exchange their
//! WebRTC handshake through it.
//!
//! Any client that knows an id can send to it, but only the id's owner can join it. The server writes the sender's id
//! into every message that it forwards, so a client cannot forge it.

pub(crate) mod readdress;

use std::collections::HashMap;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use compact_str::{CompactString, ToCompactString};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use uuid::{Builder, Uuid};

use crate::auth::Access;
use crate::channels::assigns::Assigns;
use crate::channels::channel::Channel;
use crate::channels::context::Context;
use crate::channels::reply::{Join, Reply, TerminateReason};
use crate::config::ice::{IceServer, IceServers};
use crate::config::schema::Config;
use crate::connections::envelope::Info;
use crate::message::{DeliveryStatus, OnlineStatus, Payload, Proof, RequestRef, Signal, is_reserved};
use crate::refusal::NOT_ALLOWED;
use crate::topic::Topic;
use readdress::Addressed;

const PREFIX: &str = "peer:";
/// The allowed length of a secret, in bytes.
const SECRET: std::ops::RangeInclusive<usize> = 16..=64;
/// The maximum length of a secret's text, slightly above that of the longest secret in base64. Longer texts are refused
/// before they are decoded.
const MAX_SECRET_TEXT: usize = 90;

/// The configuration of the peer channels.
#[derive(Clone, Debug)]
pub(crate) struct PeerOptions {
    /// The STUN and TURN servers that are sent to each peer.
    ice_servers: IceServers,
    /// The maximum number of watches per socket.
    watches: usize,
    /// The maximum size of a client's message, which each peer is told: a larger one would end its connection.
    message_bytes: usize,
}

impl PeerOptions {
    pub(crate) fn new(config: &Config) -> Self {
        Self {
            ice_servers: IceServers::new(&config.peer.ice_servers, config.peer.turn_lifetime),
            watches: config.limits.watches_per_socket,
            message_bytes: config.limits.message_bytes,
        }
    }
}

/// The peer id of a socket, while it has one. Other channels of the socket read it from the assigns.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct PeerId(Uuid);

impl PeerId {
    /// The socket's peer id, or a random id if it has none.
    pub(crate) fn or_random(assigns: &Assigns) -> CompactString {
        assigns.get::<Self>().map_or_else(Uuid::new_v4, |id| id.0).to_compact_string()
    }
}

/// How many peers the socket watches, through all of its peer channels.
struct Watching(usize);

impl Watching {
    /// Adds `by` to the count and returns true, unless the count would then exceed `most`.
    fn change(assigns: &mut Assigns, by: isize, most: usize) -> bool {
        let now = assigns.get::<Self>().map_or(0, |watching| watching.0);
        let then = now.saturating_add_signed(by);
        if by > 0 && then > most {
            return false;
        }
        assigns.insert(Self(then));
        true
    }
}

/// The channel of one peer. Its messages:
///
/// - join `{secret?}` -> ok `{peer_id, ice_servers, max_message_bytes}`, with a token also `expires_in` (s), or an error
///   with the reason `invalid peer id`, `not allowed`, `taken` or `unproven`.
/// - `connect {peer_id}` -> the other peer receives `peer_connect` with the sender's `peer_id`. If the other peer is
///   absent, the sender receives the push `error_connect {id}` in addition to the error `peer_not_found`.
/// - `watch {peer_id}` -> ok `{online}`, then the pushes `peer_up {peer_id}` and `peer_down {peer_id}`.
/// - `unwatch {peer_id}` -> ok; the pushes stop.
/// - any other event `{peer_id, ...}` -> the other peer receives the event, with the sender's `peer_id`.
pub(crate) struct Peer {
    options: PeerOptions,
    id: Uuid,
    watched: HashMap<Topic, PeerWatch>,
    /// What the client's token permits, if it needs one.
    access: Option<Access>,
}

/// A watch of another peer.
#[derive(Default)]
struct PeerWatch {
    /// The request, until it is answered.
    request: Option<RequestRef>,
    /// Whether the peer was absent when the client asked, which counts like a signal to it. Asking again is free.
    is_charged: bool,
}

#[derive(Deserialize)]
struct JoinParams {
    secret: Option<String>,
}

/// The reply to a successful join.
#[derive(Serialize)]
struct Welcome<'a> {
    peer_id: &'a str,
    ice_servers: Vec<IceServer>,
    max_message_bytes: usize,
    #[serde(skip_serializing_if = "Option::is_none")]
    expires_in: Option<u64>,
}

/// A payload from a client that names a peer.
#[derive(Deserialize)]
struct Named {
    peer_id: String,
}

/// A payload to a client that names a peer.
#[derive(Serialize)]
struct Naming<'a> {
    peer_id: &'a str,
}

#[derive(Serialize)]
struct ConnectFailed<'a> {
    id: &'a str,
}

#[derive(Serialize)]
struct Watched {
    online: bool,
}

impl Peer {
    pub(crate) fn new(options: PeerOptions) -> Self {
        Self { options, id: Uuid::nil(), watched: HashMap::new(), access: None }
    }
}

impl Channel for Peer {
    fn join(&mut self, payload: &Payload, ctx: &mut Context<'_>) -> Join {
        let Some(id) = canonical(ctx.topic().subtopic()) else { return Join::error("invalid peer id") };
        let Ok(params) = payload.parse::<JoinParams>() else { return Join::error("invalid payload") };
        self.access = ctx.access().cloned();
        if self.access.as_ref().is_some_and(|access| !access.may_own(ctx.topic().subtopic())) {
            return Join::error(NOT_ALLOWED);
        }
        let Ok(proof) = prove(id, params.secret.as_deref()) else { return Join::error("unproven") };
        self.id = id;
        let (access, peer_id) = (self.access.as_ref(), ctx.topic().subtopic());
        // the subject owns the id on each of its connections, unless a secret proves more
        let proof = access.filter(|_| !is_self_certifying(id)).map_or(proof, |access| Some(access.owner()));
        let ice_servers = self.options.ice_servers.for_user(peer_id, ctx.turn_time());
        let expires_in = ctx.expires_in();
        Join::ok_with(&Welcome { peer_id, ice_servers, max_message_bytes: self.options.message_bytes, expires_in })
            .exclusive(proof)
            .self_certifying(is_self_certifying(id))
    }

    fn after_join(&mut self, ctx: &mut Context<'_>) {
        ctx.assigns().insert(PeerId(self.id));
    }

    fn handle_in(&mut self, event: &str, payload: &Payload, ctx: &mut Context<'_>) -> Reply {
        match event {
            "watch" => self.watch(payload, ctx),
            "unwatch" => self.unwatch(payload, ctx),
            _ if is_reserved(event) => Reply::error("reserved event"),
            _ => self.signal(event, payload, ctx),
        }
    }

    fn handle_delivery(&mut self, signal: Signal, status: DeliveryStatus, ctx: &mut Context<'_>) {
        if signal.event == "peer_connect" && status == DeliveryStatus::Absent {
            let id = signal.to.subtopic();
            ctx.push("error_connect", &ConnectFailed { id });
        }
        ctx.reply(signal.request, Reply::from(status));
    }

    fn handle_info(&mut self, info: Info, ctx: &mut Context<'_>) {
        let Ok(watched) = info.downcast::<OnlineStatus>() else { return };
        let Some(watch) = self.watched.get_mut(&watched.topic) else { return };
        let (request, online) = (&mut watch.request, watched.online);
        if let Some(request) = request.take() {
            if !online && !std::mem::replace(&mut watch.is_charged, true) {
                ctx.charge_not_found();
            }
            return ctx.reply(request, Reply::ok_with(&Watched { online }));
        }
        let event = if online { "peer_up" } else { "peer_down" };
        ctx.push(event, &Naming { peer_id: watched.topic.subtopic() });
    }

    fn terminate(&mut self, _: TerminateReason, ctx: &mut Context<'_>) {
        Watching::change(ctx.assigns(), -(self.watched.len() as isize), self.options.watches);
        if ctx.assigns().get::<PeerId>() == Some(&PeerId(self.id)) {
            ctx.assigns().remove::<PeerId>();
        }
    }
}

impl Peer {
    fn may_signal(&self, peer: &Topic) -> bool {
        self.access.as_ref().is_none_or(|access| access.may_signal(peer.subtopic()))
    }

    fn signal(&self, event: &str, payload: &Payload, ctx: &mut Context<'_>) -> Reply {
        let Payload::Json(text) = payload else { return Reply::error("invalid payload") };
        let me = ctx.topic().subtopic();
        let Ok(Addressed { to, sender, text }) = readdress::readdress(text, me) else {
            return Reply::error("invalid payload");
        };
        if sender.is_some_and(|sender| sender != me) {
            return Reply::error("invalid sender_id");
        }
        let Some(to) = topic_of(&to) else { return Reply::error("invalid peer id") };
        if !self.may_signal(&to) {
            return Reply::error(NOT_ALLOWED);
        }
        if event == "connect" {
            let mine = Payload::from(&Naming { peer_id: me });
            return ctx.send_to(to, "peer_connect", mine);
        }
        ctx.send_to(to, event, Payload::from_json_text(text))
    }

    fn watch(&mut self, payload: &Payload, ctx: &mut Context<'_>) -> Reply {
        let Some(topic) = named(payload) else { return Reply::error("invalid peer id") };
        if !self.may_signal(&topic) {
            return Reply::error(NOT_ALLOWED);
        }
        let known = self.watched.get(&topic);
        if known.is_some_and(|watch| watch.request.is_some()) {
            return Reply::error("already asked");
        }
        let is_new = known.is_none();
        if is_new && ctx.is_probing() {
            return Reply::error("rate_limited");
        }
        if is_new && !Watching::change(ctx.assigns(), 1, self.options.watches) {
            return Reply::error("too many watches");
        }
        if let Err(error) = ctx.watch(topic.clone()) {
            if is_new {
                Watching::change(ctx.assigns(), -1, self.options.watches);
            }
            return Reply::error(error.reason());
        }
        self.watched.entry(topic).or_default().request = Some(ctx.request_ref());
        Reply::NoReply
    }

    fn unwatch(&mut self, payload: &Payload, ctx: &mut Context<'_>) -> Reply {
        let Some(topic) = named(payload) else { return Reply::error("invalid peer id") };
        if !self.watched.contains_key(&topic) {
            return Reply::ok();
        }
        if let Err(error) = ctx.unwatch(topic.clone()) {
            return Reply::error(error.reason());
        }
        Watching::change(ctx.assigns(), -1, self.options.watches);
        if let Some(request) = self.watched.remove(&topic).and_then(|watch| watch.request) {
            ctx.reply(request, Reply::error("unwatched"));
        }
        Reply::ok()
    }
}

/// The topic of the peer with this id, if it is one.
pub(crate) fn topic_of(id: &str) -> Option<Topic> {
    canonical(id).map(|_| Topic::of(PREFIX, id))
}

fn named(payload: &Payload) -> Option<Topic> {
    let named: Named = payload.parse().ok()?;
    topic_of(&named.peer_id)
}

/// Parses a UUID in its canonical form: 36 characters, lower case.
pub(crate) fn canonical(text: &str) -> Option<Uuid> {
    let is_lower = !text.bytes().any(|byte| byte.is_ascii_uppercase());
    if text.len() == 36 && is_lower { Uuid::try_parse(text).ok() } else { None }
}

/// Whether the id is the beginning of its owner's hashed secret.
fn is_self_certifying(id: Uuid) -> bool {
    id.get_version_num() == 8
}

/// Returns the proof of ownership that a secret gives for an id. A UUIDv8 id needs its secret, because the id is the
/// beginning of the secret's SHA-256. Any other id belongs to the first client that joins it, and the secret is
/// optional: with it, the owner can take the id over on another connection.
///
/// # Errors
/// When the secret is malformed, or `id` is a UUIDv8 and the secret is missing or does not match it.
pub(crate) fn prove(id: Uuid, secret: Option<&str>) -> Result<Option<Proof>, Unproven> {
    let proof = secret.map(hash).transpose()?;
    if !is_self_certifying(id) {
        return Ok(proof);
    }
    let proof = proof.ok_or(Unproven)?;
    let own = proof.first_chunk().map(|first| Builder::from_custom_bytes(*first).into_uuid());
    if own == Some(id) { Ok(Some(proof)) } else { Err(Unproven) }
}

/// The error for a secret that is malformed or missing, or does not match the id.
pub(crate) struct Unproven;

fn hash(secret: &str) -> Result<Proof, Unproven> {
    if secret.len() > MAX_SECRET_TEXT {
        return Err(Unproven);
    }
    let secret = URL_SAFE_NO_PAD.decode(secret.trim_end_matches('=')).map_err(|_| Unproven)?;
    if SECRET.contains(&secret.len()) { Ok(Sha256::digest(&secret).into()) } else { Err(Unproven) }
}
