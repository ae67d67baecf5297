//! What a channel can answer: to a join ([`Join`]), to a push ([`Reply`]); why it cannot have what it asks for
//! ([`LimitError`]), and why it is asked no more itself ([`TerminateReason`]).

use std::fmt;

use compact_str::CompactString;

use crate::message::{DeliveryStatus, Membership, NameClaim, Payload, PresenceEntry, Proof, Status};

/// What becomes of a request to join.
///
/// ```
/// use handclasp::Join;
/// use serde_json::json;
///
/// let welcome = Join::ok_with(json!({ "motto": "be kind" }));
/// let listed = Join::ok().subscribe_presence().track("alice", json!({ "mood": "fine" }));
/// let refused = Join::error("unauthorized");
/// ```
#[derive(Debug)]
pub enum Join {
    /// The client becomes a member on these terms; it is answered `ok` with this payload once the
    /// registry has made it one. The registry may refuse it still: `taken` when another has the name,
    /// `topic is full` above `limits.members_per_topic` or `presence.entries_per_topic`, `unreachable` when
    /// the node that knows does not answer; or not even be asked, `overloaded`, when too much waits for it.
    Ok(Payload, Membership),
    /// The client is answered `error` with this payload.
    Error(Payload),
    /// The channel decides later: by a future ([`Context::join_async`](crate::channels::context::Context::join_async)), or with [`Context::complete_join`](crate::channels::context::Context::complete_join). What the client sends to the topic
    /// meanwhile waits, up to `limits.queue_bytes`; its other topics and its heartbeats do not. Nothing
    /// but the client's own patience ends the waiting.
    Pending,
}

impl Join {
    /// Accepted, with nothing more to say.
    #[must_use]
    pub fn ok() -> Self {
        Self::ok_with(Payload::empty())
    }

    /// Accepted, with something for the client to know.
    #[must_use]
    pub fn ok_with(payload: impl Into<Payload>) -> Self {
        Self::Ok(payload.into(), Membership::default())
    }

    /// Refused, with `{"reason": reason}`.
    #[must_use]
    pub fn error(reason: &str) -> Self {
        Self::error_with(Payload::reason(reason))
    }

    /// Refused, with this payload.
    #[must_use]
    pub fn error_with(payload: impl Into<Payload>) -> Self {
        Self::Error(payload.into())
    }

    /// Only if it can be the topic's one member. Whoever brought the same `proof` before makes room;
    /// else the join is refused as `taken`.
    #[must_use]
    pub fn exclusive(self, proof: Option<Proof>) -> Self {
        self.change(|membership| membership.claim = Some(NameClaim { proof }))
    }

    /// The client is pushed the topic's `presence_state` after the answer, and `presence_diff` from
    /// then on.
    #[must_use]
    pub fn subscribe_presence(self) -> Self {
        self.change(|membership| membership.subscribe_presence = true)
    }

    /// The client is listed under `key` with `meta`, a JSON object; anything else is listed as `{}`. Its
    /// members must not be called `phx_ref` or `phx_ref_prev`, which the list itself adds.
    #[must_use]
    pub fn track(self, key: impl Into<CompactString>, meta: impl Into<Payload>) -> Self {
        self.change(|membership| membership.entry = Some(PresenceEntry { key: key.into(), meta: meta.into() }))
    }

    fn change(mut self, change: impl FnOnce(&mut Membership)) -> Self {
        if let Self::Ok(_, membership) = &mut self {
            change(membership);
        }
        self
    }
}

/// A channel's answer to a push.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reply {
    /// None: not now (a [`ReplyHandle`](crate::channels::handles::ReplyHandle) may answer later), or never.
    NoReply,
    /// This, at once.
    Reply(Status, Payload),
}

impl Reply {
    /// `ok`, with nothing more to say.
    #[must_use]
    pub const fn ok() -> Self {
        Self::Reply(Status::Ok, Payload::empty())
    }

    /// `ok`, with this payload.
    #[must_use]
    pub fn ok_with(payload: impl Into<Payload>) -> Self {
        Self::Reply(Status::Ok, payload.into())
    }

    /// `error`, with `{"reason": reason}`.
    #[must_use]
    pub fn error(reason: &str) -> Self {
        Self::error_with(Payload::reason(reason))
    }

    /// `error`, with this payload.
    #[must_use]
    pub fn error_with(payload: impl Into<Payload>) -> Self {
        Self::Reply(Status::Error, payload.into())
    }
}

/// Why a channel cannot have what it asks for now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum LimitError {
    /// Its socket hears all the topics that it may, `limits.joins_per_socket`.
    TooManyTopics,
    /// Its socket runs all the tasks that it may, `limits.tasks_per_socket`.
    TooManyTasks,
    /// More waits for the registry, of all clients, than `limits.registry_queue_bytes`.
    Overloaded,
}

impl LimitError {
    /// How it is worded to the client.
    #[must_use]
    pub const fn reason(self) -> &'static str {
        match self {
            Self::TooManyTopics => "too many topics",
            Self::TooManyTasks => "too many tasks",
            Self::Overloaded => "overloaded",
        }
    }
}

impl fmt::Display for LimitError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.reason())
    }
}

impl std::error::Error for LimitError {}

/// Why a channel's life ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TerminateReason {
    /// Its client left.
    Left,
    /// Its client joined the topic anew, or the name's owner came back on another connection.
    Replaced,
    /// The channel stopped itself.
    Stopped,
    /// The connection is gone; nobody hears a push any more.
    Disconnected,
}

/// The reply that tells a sender what became of its message.
impl From<DeliveryStatus> for Reply {
    fn from(status: DeliveryStatus) -> Self {
        match status {
            DeliveryStatus::Delivered => Self::ok(),
            DeliveryStatus::Absent => Self::error("peer_not_found"),
            DeliveryStatus::Overloaded => Self::error("overloaded"),
            DeliveryStatus::Unreachable => Self::error("unreachable"),
        }
    }
}
