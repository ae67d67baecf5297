//! The values of the metrics' labels. Every list is closed, so that no client can create a new series.
//!
//! Reasons and realms are declared in [`close`], [`refusal`](crate::refusal) and [`topic`](crate::topic). This file
//! makes labels of them.

use actix_web::http::StatusCode;

use crate::close::{self, Reason};
use crate::config::webhooks::HookEvent;
use crate::message::DeliveryStatus;
use crate::metrics::instruments::Label;
use crate::refusal::{ConnectRefusal, DropReason, JoinRefusal, PacketDrop, PacketRefusal, PushRefusal};
use crate::topic::Realm;

/// The transport that a client connected with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Transport {
    /// A WebSocket.
    WebSocket,
    /// Long polling. An Engine.IO client that upgrades to a WebSocket later still counts here.
    LongPoll,
}

impl Transport {
    const ALL: &'static [Self] = &[Self::WebSocket, Self::LongPoll];

    /// The label's value, and the result of [`Context::transport`](crate::Context::transport).
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::WebSocket => "websocket",
            Self::LongPoll => "longpoll",
        }
    }
}

/// The class of an HTTP response's status code.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StatusClass {
    /// The connection becomes a WebSocket.
    Informational,
    /// The request succeeded.
    Success,
    /// The client's cached copy is current, or the page is at another address.
    Redirection,
    /// The request is invalid or refused.
    ClientError,
    /// The node is full or draining, or failed.
    ServerError,
}

impl StatusClass {
    const ALL: &'static [Self] =
        &[Self::Informational, Self::Success, Self::Redirection, Self::ClientError, Self::ServerError];

    pub(crate) fn of(status: StatusCode) -> Self {
        match status.as_u16() {
            ..200 => Self::Informational,
            200..300 => Self::Success,
            300..400 => Self::Redirection,
            400..500 => Self::ClientError,
            500.. => Self::ServerError,
        }
    }

    const fn name(self) -> &'static str {
        match self {
            Self::Informational => "1xx",
            Self::Success => "2xx",
            Self::Redirection => "3xx",
            Self::ClientError => "4xx",
            Self::ServerError => "5xx",
        }
    }
}

/// The directory's response to a claim: [`Claimed`](crate::broker::adapter::Claimed) without the epoch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ClaimStatus {
    /// This node holds the name now.
    Granted,
    /// The name stays with its owner on another node.
    Taken,
    /// The directory or the other node does not respond.
    Unreachable,
}

impl ClaimStatus {
    const ALL: &'static [Self] = &[Self::Granted, Self::Taken, Self::Unreachable];

    const fn name(self) -> &'static str {
        match self {
            Self::Granted => "granted",
            Self::Taken => "taken",
            Self::Unreachable => "unreachable",
        }
    }
}

/// Where a node found out which node holds a name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LookupSource {
    /// In its own memory, from an earlier lookup.
    Cache,
    /// In the engine's directory.
    Directory,
}

impl LookupSource {
    const ALL: &'static [Self] = &[Self::Cache, Self::Directory];

    const fn name(self) -> &'static str {
        match self {
            Self::Cache => "cache",
            Self::Directory => "directory",
        }
    }
}

/// The type of an event that a webhook is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EventType {
    /// A name has an owner.
    PeerUp,
    /// A name has no owner.
    PeerDown,
    /// A room has a member.
    RoomOccupied,
    /// A room has no member.
    RoomVacated,
    /// The node has started.
    NodeUp,
    /// A node is gone.
    NodeDown,
    /// Events were dropped.
    Lost,
}

impl EventType {
    const ALL: &'static [Self] = &[
        Self::PeerUp,
        Self::PeerDown,
        Self::RoomOccupied,
        Self::RoomVacated,
        Self::NodeUp,
        Self::NodeDown,
        Self::Lost,
    ];

    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::PeerUp => HookEvent::PeerUp.name(),
            Self::PeerDown => HookEvent::PeerDown.name(),
            Self::RoomOccupied => HookEvent::RoomOccupied.name(),
            Self::RoomVacated => HookEvent::RoomVacated.name(),
            Self::NodeUp => "node_up",
            Self::NodeDown => "node_down",
            Self::Lost => "lost",
        }
    }
}

/// How a request to the receiver of webhooks has ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RequestOutcome {
    /// The receiver has answered with a status of 200 to 299.
    Ok,
    /// The receiver has answered with another status.
    Refused,
    /// There was no response.
    Failed,
}

impl RequestOutcome {
    const ALL: &'static [Self] = &[Self::Ok, Self::Refused, Self::Failed];

    const fn name(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Refused => "refused",
            Self::Failed => "failed",
        }
    }
}

/// What became of a changed certificate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReloadOutcome {
    /// New connections get it.
    Replaced,
    /// It cannot be used: new connections get the old one.
    Refused,
}

impl ReloadOutcome {
    const ALL: &'static [Self] = &[Self::Replaced, Self::Refused];

    const fn name(self) -> &'static str {
        match self {
            Self::Replaced => "replaced",
            Self::Refused => "refused",
        }
    }
}

/// Implements [`Label`] for enums that have `ALL` and `name`, each with its label's name.
macro_rules! labels {
    ($($List:ident = $key:literal),+ $(,)?) => {$(
        impl Label for $List {
            const KEY: &'static str = $key;
            const ALL: &'static [Self] = Self::ALL;

            fn name(self) -> &'static str {
                self.name()
            }

            fn at(self) -> usize {
                self as usize
            }
        }
    )+};
}

labels! {
    Realm = "protocol",
    Transport = "transport",
    StatusClass = "code",
    ClaimStatus = "status",
    LookupSource = "source",
    ConnectRefusal = "reason",
    JoinRefusal = "reason",
    PushRefusal = "reason",
    DropReason = "reason",
    PacketRefusal = "reason",
    PacketDrop = "reason",
    EventType = "type",
    RequestOutcome = "outcome",
    ReloadOutcome = "outcome",
}

impl Label for &'static Reason {
    const KEY: &'static str = "reason";
    const ALL: &'static [Self] = close::ALL;

    fn name(self) -> &'static str {
        self.name
    }

    fn at(self) -> usize {
        let at = Self::ALL.iter().position(|reason| *reason == self);
        at.expect("every reason is in the list")
    }
}

impl Label for DeliveryStatus {
    const KEY: &'static str = "status";
    const ALL: &'static [Self] = &[Self::Delivered, Self::Absent, Self::Overloaded, Self::Unreachable];

    fn name(self) -> &'static str {
        match self {
            Self::Delivered => "delivered",
            Self::Absent => "peer_not_found",
            Self::Overloaded => "overloaded",
            Self::Unreachable => "unreachable",
        }
    }

    fn at(self) -> usize {
        self as usize
    }
}

/// The only value of a family that has no label besides the protocol.
impl Label for () {
    const KEY: &'static str = "";
    const ALL: &'static [Self] = &[()];

    fn name(self) -> &'static str {
        ""
    }

    fn at(self) -> usize {
        0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn is_in_order<L: Label>() -> bool {
        L::ALL.iter().enumerate().all(|(n, label)| label.at() == n)
    }

    #[test]
    fn every_list_is_in_order() {
        assert!(is_in_order::<StatusClass>() && is_in_order::<Transport>() && is_in_order::<Realm>());
        assert!(is_in_order::<ConnectRefusal>() && is_in_order::<JoinRefusal>() && is_in_order::<PushRefusal>());
        assert!(is_in_order::<DropReason>() && is_in_order::<DeliveryStatus>() && is_in_order::<()>());
        assert!(is_in_order::<&'static Reason>());
        assert!(is_in_order::<PacketRefusal>() && is_in_order::<PacketDrop>());
        assert!(is_in_order::<ClaimStatus>() && is_in_order::<LookupSource>());
        assert!(is_in_order::<EventType>() && is_in_order::<RequestOutcome>());
        assert!(is_in_order::<ReloadOutcome>());
    }
}
