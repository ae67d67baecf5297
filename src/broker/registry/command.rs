//! What the registry can be told to do, and asked: its messages.

use std::sync::Arc;

use actix::Message;
use compact_str::CompactString;

use crate::broker::adapter::Packet;
use crate::broker::registry::permits::Permit;
use crate::connections::connection::{Connection, ConnectionId};
use crate::connections::connection::{Member, MemberId};
use crate::message::{JoinId, Membership, PresenceChange, PresenceList, Proof, Signal};
use crate::protocol::Delivery;
use crate::topic::Topic;

/// What a client can cause at will. The registry is told it as [`Admitted`], and in no other way.
pub(crate) enum Command {
    Subscribe(Subscribe),
    Watch(Watch),
    Presence(ChangePresence),
    Hold(HeldSignal),
}

/// A wish that waits for its turn.
#[derive(Message)]
#[rtype(result = "()")]
pub(crate) struct Admitted {
    pub(crate) command: Command,
    pub(crate) permit: Permit,
}

/// A join wants to be a member.
pub(crate) struct Subscribe {
    pub(crate) connection: Arc<Connection>,
    pub(crate) join: JoinId,
    pub(crate) topic: Topic,
    pub(crate) membership: Membership,
    pub(crate) replaces: Option<JoinId>,
}

impl Subscribe {
    pub(crate) fn member(&self) -> Member {
        Member { join: self.join, connection: self.connection.clone() }
    }
}

/// A join is a member no longer.
#[derive(Message)]
#[rtype(result = "()")]
pub(crate) struct Unsubscribe {
    pub(crate) id: MemberId,
}

/// A join wants to know (or no longer) whether anybody is on a topic.
pub(crate) struct Watch {
    pub(crate) member: Member,
    pub(crate) topic: Topic,
    pub(crate) on: bool,
}

/// A signal found nobody who holds its name, and is to wait for one.
pub(crate) struct HeldSignal {
    pub(crate) from: Arc<Connection>,
    pub(crate) signal: Signal,
    pub(crate) delivery: Arc<Delivery>,
}

/// A member's presence row changes.
pub(crate) struct ChangePresence {
    pub(crate) member: Member,
    pub(crate) topic: Topic,
    pub(crate) change: PresenceChange,
}

/// A connection is gone: whoever sends this has closed its mailbox first.
#[derive(Message)]
#[rtype(result = "()")]
pub(crate) struct ConnectionClosed {
    pub(crate) connection: ConnectionId,
}

/// What another node's owner, or this node's own directory, asks: to give up a name.
#[derive(Message)]
#[rtype(result = "bool")]
pub(crate) struct ReleaseName {
    pub(crate) name: Topic,
    pub(crate) proof: Option<Proof>,
}

/// What another node published, other than a broadcast.
#[derive(Message)]
#[rtype(result = "()")]
pub(crate) struct RemotePacket {
    pub(crate) topic: Topic,
    pub(crate) packet: Packet,
}

/// Another node is gone.
#[derive(Message)]
#[rtype(result = "()")]
pub(crate) struct NodeDown {
    pub(crate) node: CompactString,
}

/// Asks for a topic's presence list.
#[derive(Message)]
#[rtype(result = "PresenceList")]
pub(crate) struct GetPresence {
    pub(crate) topic: Topic,
}

/// Asks how much the registry holds.
#[derive(Message)]
#[rtype(result = "RegistryStats")]
pub(crate) struct GetStats;

/// How much the registry holds: all zero when nobody is connected, whatever has happened before.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, actix::MessageResponse)]
pub struct RegistryStats {
    /// Connections that are on a topic or watch one.
    pub connections: usize,
    /// Topics with members on this node.
    pub topics: usize,
    /// Memberships on this node.
    pub members: usize,
    /// Names owned on this node.
    pub names: usize,
    /// Watches on this node.
    pub watches: usize,
    /// Presence rows known to this node.
    pub rows: usize,
    /// Signals that wait for somebody to take their name.
    pub held: usize,
    /// Bytes that those take.
    pub held_bytes: usize,
}
