//! The messages of the broker, independent of any wire format: requests from clients, messages to clients, and
//! broadcasts to topics.
//!
//! The protocols convert frames to these types and back. The broker never reads a [`Payload`].

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::time::Duration;

use compact_str::CompactString;

pub use crate::payload::{Payload, PayloadError};
use crate::topic::Topic;

/// A client's reference on a request (`ref` or `join_ref` in Phoenix), returned unchanged in the reply. References are
/// compared as text.
pub type Ref = CompactString;

/// The name of an event, chosen by the channel or its clients, such as `new_msg` or `offer`.
pub type Event = CompactString;

/// The event that disconnects every socket with an id, when it is broadcast on the topic of that id. See
/// [`SocketInit::id`](crate::SocketInit::id).
pub const DISCONNECT: &str = "disconnect";

/// The event with a topic's presence list, and the event with the changes of the list since then.
pub(crate) const PRESENCE_STATE: Event = Event::const_new("presence_state");
pub(crate) const PRESENCE_DIFF: Event = Event::const_new("presence_diff");

/// The event by which a client refreshes its token. It is for the server alone, also where tokens are not checked.
pub(crate) const ACCESS_TOKEN: &str = "access_token";

/// Whether an event's name is reserved for the server, so that clients may not send it to other clients.
#[must_use]
pub fn is_reserved(event: &str) -> bool {
    const PREFIXES: [&str; 2] = ["phx_", "presence_"];
    const NAMES: [&str; 6] = [ACCESS_TOKEN, "peer_connect", "error_connect", "peer_up", "peer_down", "registered"];
    PREFIXES.iter().any(|p| event.starts_with(p)) || NAMES.contains(&event)
}

/// The status of a reply.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Status {
    /// The request succeeded.
    Ok,
    /// The request was refused. The payload contains the reason.
    Error,
    /// A status that the channel defines.
    Other(&'static str),
}

impl Status {
    /// The status as it is sent to the client.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Error => "error",
            Self::Other(word) => word,
        }
    }
}

/// A request from a client, decoded from one frame.
#[derive(Debug)]
pub struct Inbound<'a> {
    /// The topic as the client names it. It is not validated yet.
    pub topic: Cow<'a, str>,
    /// The client's reference of the join that the request belongs to, if it names one.
    pub join_ref: Option<Ref>,
    /// The reference that the reply must carry.
    pub reference: Option<Ref>,
    /// The request itself.
    pub request: Request<'a>,
}

impl Inbound<'_> {
    /// The same, without borrowing from the frame.
    #[must_use]
    pub fn into_owned(self) -> Inbound<'static> {
        let request = match self.request {
            Request::Join(payload) => Request::Join(payload),
            Request::Leave => Request::Leave,
            Request::Push(event, payload) => Request::Push(Cow::Owned(event.into_owned()), payload),
            Request::Heartbeat => Request::Heartbeat,
        };
        Inbound { topic: Cow::Owned(self.topic.into_owned()), request, ..self }
    }
}

/// The four kinds of requests.
#[derive(Debug)]
pub enum Request<'a> {
    /// Join the topic.
    Join(Payload),
    /// Leave the topic.
    Leave,
    /// Send an event with a payload to the topic's channel.
    Push(Cow<'a, str>, Payload),
    /// Check that the connection is alive. The topic is ignored.
    Heartbeat,
}

/// A message to one client.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outbound {
    /// The reply to one request.
    Reply {
        /// The reference of the join that replies.
        join_ref: Option<Ref>,
        /// The reference of the request.
        reference: Option<Ref>,
        /// The topic as the client named it.
        topic: Topic,
        /// The result of the request.
        status: Status,
        /// The payload of the reply.
        payload: Payload,
    },
    /// A message from the topic's channel to this client only.
    Push {
        /// The reference of the join that the message belongs to.
        join_ref: Option<Ref>,
        /// The topic.
        topic: Topic,
        /// The event.
        event: Event,
        /// The payload of the event.
        payload: Payload,
    },
    /// A join has ended normally. The client does not need to rejoin.
    Close {
        /// The reference of the join that ended.
        join_ref: Option<Ref>,
        /// Its topic.
        topic: Topic,
    },
    /// A join has ended because its channel crashed. The client may rejoin.
    Error {
        /// The reference of the join that ended.
        join_ref: Option<Ref>,
        /// Its topic.
        topic: Topic,
    },
    /// The reply to a heartbeat.
    Alive {
        /// The reference of the request.
        reference: Option<Ref>,
    },
}

/// A message to all members of a topic.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Broadcast {
    /// The topic.
    pub topic: Topic,
    /// The event.
    pub event: Event,
    /// The payload of the event.
    pub payload: Payload,
}

/// The id of one join of one socket. A socket never reuses an id.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct JoinId(pub(crate) u32);

impl JoinId {
    /// The socket's subscription to the topic of its own id, which belongs to no join.
    pub(crate) const SOCKET: Self = Self(0);
    /// A subscription of server code, which has no socket.
    pub(crate) const SERVER: Self = Self(u32::MAX);

    /// Whether a client's socket is the member. A subscription of server code never owns a name.
    pub(crate) fn is_client(self) -> bool {
        self != Self::SERVER
    }
}

/// The id of one task of one socket. A socket never reuses an id.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct TaskId(pub(crate) u32);

/// The result of a message to a named peer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DeliveryStatus {
    /// The message is in the queue of the peer's connection.
    Delivered,
    /// No client owns the name.
    Absent,
    /// The queue of the peer's connection, or that of held messages, is full.
    Overloaded,
    /// The peer's node does not answer, or the peer keeps moving between nodes. Whether the message arrived is unknown.
    Unreachable,
}

/// Proof that two joins of one name have the same owner: the SHA-256 of the secret that both present.
pub type Proof = [u8; 32];

/// A request to be the only member of a topic.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct NameClaim {
    /// A join with the same proof as the present owner takes the name over. Without a proof, the present owner keeps
    /// it.
    pub proof: Option<Proof>,
    /// Whether the name is the hash of the secret, so that no other client can have a right to it.
    pub is_self_certifying: bool,
}

/// An entry of a topic's presence list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PresenceEntry {
    /// The key of the entry. Several entries may share one.
    pub key: CompactString,
    /// The metadata of the entry, a JSON object.
    pub meta: Payload,
}

/// A topic's presence list: for each key, the metadata of its entries. Each is a JSON object that includes the entry's
/// `phx_ref`.
pub type PresenceList = BTreeMap<CompactString, Vec<Payload>>;

/// A change to a member's presence entry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum PresenceChange {
    /// Add an entry, or replace the present one.
    Track(PresenceEntry),
    /// Replace the metadata of the entry, if there is one.
    Update(Payload),
    /// Remove the entry.
    Untrack,
}

impl PresenceChange {
    /// The size of its key and metadata, in bytes.
    pub(crate) fn size(&self) -> usize {
        match self {
            Self::Track(entry) => entry.key.len() + entry.meta.len(),
            Self::Update(meta) => meta.len(),
            Self::Untrack => 0,
        }
    }
}

/// The options of a member on a topic. The registry applies them in one step.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct Membership {
    /// If set, the member must be the only one.
    pub claim: Option<NameClaim>,
    /// Whether the member receives the presence list and its changes.
    pub subscribe_presence: bool,
    /// The member's presence entry, if it appears in the list.
    pub entry: Option<PresenceEntry>,
}

impl Membership {
    /// The size of its presence entry, in bytes.
    pub(crate) fn size(&self) -> usize {
        self.entry.as_ref().map_or(0, |entry| entry.key.len() + entry.meta.len())
    }
}

/// Identifies a request that has not been answered yet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RequestRef {
    /// The topic of the request.
    pub topic: Topic,
    /// The join whose channel must answer it.
    pub join: JoinId,
    /// The client's reference of the request.
    pub reference: Option<Ref>,
}

/// A message to a named peer, without its payload: what the sender's channel needs when the delivery status arrives.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Signal {
    /// The peer's name.
    pub to: Topic,
    /// The event that was sent.
    pub event: Event,
    /// The request that caused the message.
    pub request: RequestRef,
    /// How long the message is held when no client owns the name. The status `Absent` follows only after this time.
    pub hold: Option<Duration>,
}

impl Signal {
    /// The `hold` of a message that is not to be held itself, but must not overtake earlier ones that are: it waits only
    /// while they do.
    pub(crate) const BEHIND_HELD: Duration = Duration::ZERO;

    /// How long the message is held for an absent peer, whether or not earlier ones are. `None` if it is not.
    pub(crate) fn hold_time(&self) -> Option<Duration> {
        self.hold.filter(|time| *time > Self::BEHIND_HELD)
    }
}

/// Tells a channel that watches a topic whether the topic has members.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OnlineStatus {
    /// The topic.
    pub topic: Topic,
    /// Whether it has a member.
    pub online: bool,
}

/// The result of a [`Context::subscribe`](crate::Context::subscribe), or the end of the subscription.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SubscriptionUpdate {
    /// The topic.
    pub topic: Topic,
    /// Whether the client receives the topic's broadcasts from now on.
    pub subscribed: bool,
}

/// The result of a [`Context::track_presence`](crate::Context::track_presence).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PresenceUpdate {
    /// The topic.
    pub topic: Topic,
    /// Whether the client is listed now. It is not when the list already has `presence.entries_per_topic` entries, or
    /// when the client is not a member.
    pub listed: bool,
}

/// The receivers of a broadcast.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reach {
    /// Every member of the topic.
    Members,
    /// Every member except those of the sender's connection.
    Others,
    /// Every other member, and then the sender's client directly through its session, not through its mailbox.
    Echoed,
}
