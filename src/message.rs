//! The words of the core: what a client asks for, what it is told, and what a topic is told.
//!
//! No word of any wire format appears here; `protocols` turn frames into these
//! words and back. Payloads stay closed: the core carries them and never reads them.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::time::Duration;

use compact_str::CompactString;

pub use crate::payload::{Payload, PayloadError};
use crate::topic::Topic;

/// A client's own mark on a message, given back as it came; two are equal when their texts are.
pub type Ref = CompactString;

/// What happened, in the words of a channel: `new_msg`, `offer`.
pub type Event = CompactString;

/// The event that, broadcast on the topic of a socket's own id, ends every socket with that id.
pub const DISCONNECT: &str = "disconnect";

/// Whether an event's name belongs to the broker, so that no client may speak it to others.
#[must_use]
pub fn is_reserved(event: &str) -> bool {
    const PREFIXES: [&str; 2] = ["phx_", "presence_"];
    const NAMES: [&str; 5] = ["peer_connect", "error_connect", "peer_up", "peer_down", "registered"];
    PREFIXES.iter().any(|p| event.starts_with(p)) || NAMES.contains(&event)
}

/// How a request ended, in the word the client hears.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Status {
    /// It was done.
    Ok,
    /// It was refused; the payload says why.
    Error,
    /// A word of the channel's own.
    Other(&'static str),
}

impl Status {
    /// The word.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Error => "error",
            Self::Other(word) => word,
        }
    }
}

/// What a client asked for, read from one frame.
#[derive(Debug)]
pub struct Inbound<'a> {
    /// The topic it names, unchecked.
    pub topic: Cow<'a, str>,
    /// Which of its joins of that topic it speaks for, if it says so.
    pub join_ref: Option<Ref>,
    /// The mark that the answer must carry.
    pub reference: Option<Ref>,
    /// What is asked.
    pub request: Request<'a>,
}

/// The four things a client can ask for.
#[derive(Debug)]
pub enum Request<'a> {
    /// To become a member of the topic.
    Join(Payload),
    /// To be one no longer.
    Leave,
    /// To say something to the topic's channel.
    Push(Cow<'a, str>, Payload),
    /// To hear that the server lives; the topic does not matter.
    Heartbeat,
}

/// What one client is told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outbound {
    /// The answer to one request.
    Reply {
        /// The join that answers.
        join_ref: Option<Ref>,
        /// The mark of the request.
        reference: Option<Ref>,
        /// The topic as the client named it.
        topic: Topic,
        /// How it ended.
        status: Status,
        /// What there is to say about it.
        payload: Payload,
    },
    /// A message of the topic's channel to this client alone.
    Push {
        /// The join it is meant for.
        join_ref: Option<Ref>,
        /// The topic.
        topic: Topic,
        /// What happened.
        event: Event,
        /// With what.
        payload: Payload,
    },
    /// A join has ended in an orderly way; the client need not come back to it.
    Close {
        /// The join that ended.
        join_ref: Option<Ref>,
        /// Its topic.
        topic: Topic,
    },
    /// A join has ended by a fault; the client may join again.
    Error {
        /// The join that ended.
        join_ref: Option<Ref>,
        /// Its topic.
        topic: Topic,
    },
    /// The answer to a heartbeat.
    Alive {
        /// The mark of the request.
        reference: Option<Ref>,
    },
}

/// What a topic is told: the same for each of its members.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Broadcast {
    /// The topic.
    pub topic: Topic,
    /// What happened.
    pub event: Event,
    /// With what.
    pub payload: Payload,
}

/// One join of one socket, for as long as the socket lives; never used twice.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct JoinId(pub(crate) u32);

impl JoinId {
    /// The socket itself, listening on the topic of its own id rather than through a join.
    pub(crate) const SOCKET: Self = Self(0);
    /// A subscription of the server's own code, which has no socket.
    pub(crate) const SERVER: Self = Self(u32::MAX);
}

/// One task of one socket, for as long as the socket lives; never used twice.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct TaskId(pub(crate) u32);

/// What became of a message to a named peer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DeliveryStatus {
    /// It is in the queue of the peer's socket.
    Delivered,
    /// Nobody holds the name.
    Absent,
    /// The peer does not take its messages.
    Overloaded,
    /// The node that holds the peer does not answer; whether the message arrived is unknown.
    Unreachable,
}

/// Proof that two joins of one name have the same owner: the SHA-256 of a secret both brought.
pub type Proof = [u8; 32];

/// A wish to be the only member of a topic.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NameClaim {
    /// Without one, whoever holds the name keeps it; an equal one takes it over.
    pub proof: Option<Proof>,
}

/// A row of a topic's presence list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PresenceEntry {
    /// Under which key it is listed; several rows may share one.
    pub key: CompactString,
    /// What is said of it: the text of a JSON object.
    pub meta: Payload,
}

/// A topic's presence list: to each key what is said of it, an object for each row, with the row's `phx_ref` in it.
pub type PresenceList = BTreeMap<CompactString, Vec<Payload>>;

/// How a member's row of a presence list changes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum PresenceChange {
    /// It is listed, in place of the row that it has.
    Track(PresenceEntry),
    /// What its row says, if it has one.
    Update(Payload),
    /// It is not listed any more.
    Untrack,
}

impl PresenceChange {
    /// What it carries, in bytes.
    pub(crate) fn size(&self) -> usize {
        match self {
            Self::Track(entry) => entry.key.len() + entry.meta.len(),
            Self::Update(meta) => meta.len(),
            Self::Untrack => 0,
        }
    }
}

/// Everything a member wants to be on a topic, decided in one step by the registry.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct Membership {
    /// To be the only one.
    pub claim: Option<NameClaim>,
    /// To be sent the presence list, and how it changes.
    pub subscribe_presence: bool,
    /// To be on the presence list.
    pub entry: Option<PresenceEntry>,
}

impl Membership {
    /// What it carries, in bytes.
    pub(crate) fn size(&self) -> usize {
        self.entry.as_ref().map_or(0, |entry| entry.key.len() + entry.meta.len())
    }
}

/// A request whose answer is still owed, as the socket keeps it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RequestRef {
    /// The topic that it was asked on.
    pub topic: Topic,
    /// The join that owes it.
    pub join: JoinId,
    /// The mark of the request.
    pub reference: Option<Ref>,
}

/// A message to a named peer, with what its sender's channel needs to know once its fate is clear.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Signal {
    /// The name.
    pub to: Topic,
    /// What was sent.
    pub event: Event,
    /// Which request of which join asked for it.
    pub request: RequestRef,
    /// For how long it waits when nobody holds the name: it is absent only when it has waited in vain.
    pub hold: Option<Duration>,
}

/// What a join that watches a topic is told: whether anybody is on it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OnlineStatus {
    /// The topic.
    pub topic: Topic,
    /// Whether it has a member.
    pub online: bool,
}

/// What a channel is told of a topic that it wished to hear: that it is a member there now, or cannot be one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SubscriptionUpdate {
    /// The topic.
    pub topic: Topic,
    /// Whether what is said there from now on arrives.
    pub subscribed: bool,
}

/// What a channel is told after [`Context::track_presence`](crate::Context::track_presence).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PresenceUpdate {
    /// The topic.
    pub topic: Topic,
    /// Whether its client is listed now: not when the list has `presence.rows_per_topic` rows already, or the client is
    /// not a member.
    pub listed: bool,
}

/// Whom a broadcast reaches.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reach {
    /// Every member of the topic.
    Members,
    /// Every member but those of the sender's connection.
    Others,
    /// Those, and the sender's client at once: the others never wait for that.
    Echoed,
}
