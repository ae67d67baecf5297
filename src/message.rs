//! The words of the core: what a client asks for, what it is told, and what a topic is told.
//!
//! No word of any wire format appears here; `protocols` turn frames into these
//! words and back. Payloads stay closed: the core carries them and never reads them.

use std::borrow::Cow;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use bytestring::ByteString;
use compact_str::CompactString;
use serde::{Serialize, de::DeserializeOwned};

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

/// What a message carries: JSON text as it came, or bytes. Cloning copies a pointer.
///
/// ```
/// use handclasp::Payload;
/// use serde_json::{Value, json};
///
/// let payload = Payload::from(json!({ "body": "hello" }));
/// assert_eq!(payload.parse::<Value>()?["body"], "hello");
/// let bytes = Payload::binary(vec![1, 2, 3]);
/// assert!(bytes.parse::<Value>().is_err());
/// # Ok::<(), serde_json::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Payload {
    /// The text of one JSON value. It is written into frames as it is, so it must be one.
    Json(ByteString),
    /// Bytes whose meaning only the clients know.
    Binary(Bytes),
    /// JSON with bytes that it refers to in its format's own way, as a Socket.IO event with buffers.
    Attached(ByteString, Arc<[Bytes]>),
}

impl Payload {
    /// The empty object, `{}`.
    #[must_use]
    pub const fn empty() -> Self {
        Self::Json(ByteString::from_static("{}"))
    }

    /// The JSON text of `value`.
    ///
    /// # Errors
    /// Whatever serialising `value` fails with, as a map whose keys are no strings.
    pub fn json(value: &impl Serialize) -> serde_json::Result<Self> {
        serde_json::to_string(value).map(Self::from_json_text)
    }

    /// Bytes, as they are. Clients whose format has no place for them, V1's, are left out.
    #[must_use]
    pub fn binary(bytes: impl Into<Bytes>) -> Self {
        Self::Binary(bytes.into())
    }

    /// `{"reason": reason}`, as refusals are worded.
    #[must_use]
    pub fn reason(reason: &str) -> Self {
        Self::from_json_text(serde_json::json!({ "reason": reason }).to_string())
    }

    /// Reads the JSON text as a `T`.
    ///
    /// # Errors
    /// When the payload is binary, or no `T`.
    pub fn parse<T: DeserializeOwned>(&self) -> serde_json::Result<T> {
        match self {
            Self::Json(text) | Self::Attached(text, _) => serde_json::from_str(text),
            Self::Binary(_) => Err(serde::de::Error::custom("a binary payload is no json")),
        }
    }

    /// Whether it is a JSON object.
    #[must_use]
    pub fn is_object(&self) -> bool {
        matches!(self, Self::Json(text) if text.trim_ascii_start().starts_with('{'))
    }

    /// Its size in bytes.
    #[must_use]
    pub fn len(&self) -> usize {
        match self {
            Self::Json(text) => text.len(),
            Self::Binary(bytes) => bytes.len(),
            Self::Attached(text, attachments) => text.len() + attachments.iter().map(Bytes::len).sum::<usize>(),
        }
    }

    /// Whether it has no bytes at all, which no JSON has.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// A payload of text that is known to be one JSON value.
    pub(crate) fn from_json_text(text: impl Into<ByteString>) -> Self {
        Self::Json(text.into())
    }
}

/// So that a channel can write `json!({"body": text}).into()`.
impl From<serde_json::Value> for Payload {
    fn from(value: serde_json::Value) -> Self {
        Self::from_json_text(value.to_string())
    }
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
}

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
