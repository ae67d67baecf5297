//! What a channel's callbacks return and receive: the decision on a join ([`Join`]), the reply to a message
//! ([`Reply`]), the error of a limit ([`LimitError`]), and the reason for which a channel ends ([`TerminateReason`]).

use std::fmt;

use compact_str::CompactString;

use crate::message::{DeliveryStatus, Membership, NameClaim, Payload, PresenceEntry, Proof, Status};

/// A channel's decision on a request to join.
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
    /// Accepts the client as a member with this membership. The client receives `ok` with this payload once the
    /// registry has added it. The registry can still refuse the join, with one of these reasons: `taken` when another
    /// client owns the name, `topic is full` above `limits.members_per_topic` or `presence.entries_per_topic`, and
    /// `unreachable` when the node that knows the name's owner does not answer. When the registry's command queue is
    /// full, the reason is `overloaded`.
    Ok(Payload, Membership),
    /// Refuses the client, which receives `error` with this payload.
    Error(Payload),
    /// Leaves the decision to a future ([`Context::join_async`](crate::channels::context::Context::join_async)) or to a
    /// later [`Context::complete_join`](crate::channels::context::Context::complete_join). Until then, the client's
    /// messages to this topic wait, up to `limits.queue_bytes`. Its other topics and its heartbeats do not wait. The
    /// server sets no timeout: the client may give up.
    Pending,
}

impl Join {
    /// Accepts the client with the payload `{}`.
    #[must_use]
    pub fn ok() -> Self {
        Self::ok_with(Payload::empty())
    }

    /// Accepts the client with this payload.
    #[must_use]
    pub fn ok_with(payload: impl Into<Payload>) -> Self {
        Self::Ok(payload.into(), Membership::default())
    }

    /// Refuses the client with `{"reason": reason}`.
    #[must_use]
    pub fn error(reason: &str) -> Self {
        Self::error_with(Payload::reason(reason))
    }

    /// Refuses the client with this payload.
    #[must_use]
    pub fn error_with(payload: impl Into<Payload>) -> Self {
        Self::Error(payload.into())
    }

    /// Requires that the client is the topic's only member. A present member with the same `proof` is replaced. Any
    /// other present member is pinged. If it does not answer within `limits.contest_timeout`, it is disconnected and
    /// replaced; otherwise the join is refused with the reason `taken`.
    #[must_use]
    pub fn exclusive(self, proof: Option<Proof>) -> Self {
        self.change(|membership| membership.claim = Some(NameClaim { proof, is_self_certifying: false }))
    }

    /// Says that the name is the hash of the client's secret. Such a name is granted even while the directory of several
    /// nodes cannot be asked, because no other client can have a right to it.
    #[must_use]
    pub(crate) fn self_certifying(self, is_self_certifying: bool) -> Self {
        self.change(|membership| {
            if let Some(claim) = &mut membership.claim {
                claim.is_self_certifying = is_self_certifying;
            }
        })
    }

    /// Sends the client the topic's presence list, as fast as it reads: `presence_state` after the reply, then a
    /// `presence_diff` for each change.
    #[must_use]
    pub fn subscribe_presence(self) -> Self {
        self.change(|membership| membership.subscribe_presence = true)
    }

    /// Adds the client to the topic's presence list under `key` with `meta`, a JSON object. A `meta` that is not an
    /// object is replaced by `{}`. The object must not have members named `phx_ref` or `phx_ref_prev`: the presence
    /// list adds those itself.
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

/// A channel's reply to a message from its client.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reply {
    /// No reply now. A [`ReplyHandle`](crate::channels::handles::ReplyHandle) or
    /// [`Context::reply`](crate::channels::context::Context::reply) may still reply later.
    NoReply,
    /// An immediate reply with this status and payload.
    Reply(Status, Payload),
}

impl Reply {
    /// `ok`, with the payload `{}`.
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

/// The limit because of which a channel's request was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum LimitError {
    /// The socket has subscribed to as many other topics as `limits.joins_per_socket` allows.
    TooManyTopics,
    /// The socket runs as many tasks as `limits.tasks_per_socket` allows.
    TooManyTasks,
    /// The registry's command queue, which all clients share, is full (`limits.registry_queue_bytes`).
    Overloaded,
}

impl LimitError {
    /// The reason as it is sent to the client.
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

/// The reason for which a channel ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TerminateReason {
    /// The client left the topic.
    Left,
    /// The client joined the topic again, or took its name over from another connection.
    Replaced,
    /// The channel called [`Context::stop`](crate::channels::context::Context::stop).
    Stopped,
    /// The connection has closed. Pushes no longer reach the client.
    Disconnected,
}

/// The reply with which the sender of a message learns its delivery status.
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
