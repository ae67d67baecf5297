//! The messages of the registry's actor: the commands of clients, the events of connections and other nodes, and the
//! request for its statistics.

use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use actix::Message;
use compact_str::CompactString;

use crate::broker::adapter::{Epoch, Packet};
use crate::broker::registry::held_signals::HeldSignal;
use crate::broker::registry::permits::Permit;
use crate::broker::registry_stats::RegistryStats;
use crate::connections::connection::{Connection, ConnectionId, Member, MemberId};
use crate::message::{JoinId, Membership, PresenceChange, PresenceList, Proof};
use crate::topic::Topic;

/// A command that a client can send at any rate. It reaches the registry only as [`Admitted`], with a permit.
pub(crate) enum Command {
    Subscribe(Subscribe),
    Watch(Watch),
    Presence(ChangePresence),
    Hold(HeldSignal),
}

/// A command with its permit.
#[derive(Message)]
#[rtype(result = "()")]
pub(crate) struct Admitted {
    pub(crate) command: Command,
    pub(crate) permit: Permit,
}

/// Makes a join a member of a topic.
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

    pub(crate) fn id(&self) -> MemberId {
        MemberId { connection: self.connection.id, join: self.join }
    }

    /// The proof with which it claims the name, if it claims one with a secret.
    pub(crate) fn proof(&self) -> Option<Proof> {
        self.membership.claim.and_then(|claim| claim.proof)
    }
}

/// Ends the membership of a join.
#[derive(Message)]
#[rtype(result = "()")]
pub(crate) struct Unsubscribe {
    pub(crate) id: MemberId,
}

/// Starts or stops a watch: the join is notified when the topic gets its first member and loses its last.
pub(crate) struct Watch {
    pub(crate) member: Member,
    pub(crate) topic: Topic,
    pub(crate) on: bool,
}

/// Changes a member's presence entry.
pub(crate) struct ChangePresence {
    pub(crate) member: Member,
    pub(crate) topic: Topic,
    pub(crate) change: PresenceChange,
}

/// Requests a topic's presence list for a member, and from then on the changes of the list.
#[derive(Message)]
#[rtype(result = "()")]
pub(crate) struct SubscribePresence {
    pub(crate) member: Member,
    pub(crate) topic: Topic,
}

/// Reports that a connection is closed. Its mailbox must be closed before this is sent.
#[derive(Message)]
#[rtype(result = "()")]
pub(crate) struct ConnectionClosed {
    pub(crate) connection: ConnectionId,
}

/// Asks this node to give up a name, which another node's client claims. The result says whether that client may have
/// it. It may have to wait until the owner has answered a ping.
#[derive(Message)]
#[rtype(result = "bool")]
pub(crate) struct GiveUp {
    pub(crate) name: Topic,
    pub(crate) epoch: Epoch,
    pub(crate) proof: Option<Proof>,
    pub(crate) permit: Permit,
}

/// A packet that another node has published, other than a broadcast.
#[derive(Message)]
#[rtype(result = "()")]
pub(crate) struct RemotePacket {
    pub(crate) topic: Topic,
    pub(crate) packet: Packet,
    pub(crate) permit: Permit,
}

/// Reports that another node is down.
#[derive(Message)]
#[rtype(result = "()")]
pub(crate) struct NodeDown {
    pub(crate) node: CompactString,
}

/// Reports that another node is up, which may have been down.
#[derive(Message)]
#[rtype(result = "()")]
pub(crate) struct NodeUp {
    pub(crate) node: CompactString,
}

/// Takes a name away from its owner on this node, unless the owner's epoch is newer.
#[derive(Message)]
#[rtype(result = "()")]
pub(crate) struct Revoke {
    pub(crate) name: Topic,
    pub(crate) epoch: Epoch,
}

/// Reports that packets of other nodes may have been lost. The flag says that it is in the queue: one is enough.
#[derive(Message)]
#[rtype(result = "()")]
pub(crate) struct Resync {
    pub(crate) is_queued: Arc<AtomicBool>,
}

/// Reports that packets of another node may have been lost.
#[derive(Message)]
#[rtype(result = "()")]
pub(crate) struct ComparePresence;

/// Requests a part of the names that clients of this node own.
#[derive(Message)]
#[rtype(result = "Vec<(Topic, Epoch)>")]
pub(crate) struct GetNames {
    pub(crate) after: Option<Topic>,
    pub(crate) limit: usize,
}

/// Asks which of these grants to this node are of no use.
#[derive(Message)]
#[rtype(result = "Vec<(Topic, Epoch)>")]
pub(crate) struct GetStale {
    pub(crate) grants: Vec<(Topic, Epoch)>,
    pub(crate) permit: Permit,
}

/// Requests the presence entries of this node's members on a topic.
#[derive(Message)]
#[rtype(result = "PresenceList")]
pub(crate) struct GetOwnPresence {
    pub(crate) topic: Topic,
}

/// Requests the version of this node's latest packet about its presence entries of each topic.
#[derive(Message)]
#[rtype(result = "Vec<u64>")]
pub(crate) struct GetPresenceVersions {
    pub(crate) topics: Vec<Topic>,
}

/// Requests a topic's presence list.
#[derive(Message)]
#[rtype(result = "PresenceList")]
pub(crate) struct GetPresence {
    pub(crate) topic: Topic,
}

/// Requests the topics that a connection is a member of, at most `limit` of them.
#[derive(Message)]
#[rtype(result = "Vec<Topic>")]
pub(crate) struct GetTopicsOf {
    pub(crate) connection: ConnectionId,
    pub(crate) limit: usize,
}

/// Requests the registry's statistics.
#[derive(Message)]
#[rtype(result = "RegistryStats")]
pub(crate) struct GetStats;
