//! The interface to other nodes: [`Adapter`] is what the core requires of a backplane, [`ClusterInbox`] is how a
//! backplane calls the core. A node without other nodes has a [`LocalAdapter`].
//!
//! A backplane consists of a directory (which node holds a name), a way to send a message to that node and to receive
//! its delivery status, and a way to send a message to every node that is subscribed to a topic. Only the node that
//! holds a connection decides whether a peer is present. The directory may be lost, and is filled again from what the
//! nodes hold.
//!
//! A call to the backplane may take a network round trip, so it returns a future. A future that is ready on its first
//! poll is handled without an executor. A message counts as sent when [`Adapter::deliver`] or [`Adapter::publish`] has
//! been *called* (not polled), so that the messages of one sender keep their order.

use std::future::{Future, pending, ready};
use std::pin::Pin;
use std::sync::Arc;

use bytes::Bytes;
use compact_str::CompactString;

use crate::auth::{Revocation, RevocationsPage, RevokedTokens};
use crate::broker::inquiry::{Clients, NodeInfo, PeerInfo, TopicInfo, TopicsPage, TopicsQuery};
use crate::broker::registry_stats::RegistryStats;
use crate::message::{Broadcast, DeliveryStatus, Event, NameClaim, Payload, PresenceEntry, PresenceList, Proof};
use crate::metrics::families::Metrics;
use crate::topic::Topic;

/// A result that may need a network round trip.
pub type BoxFuture<T> = Pin<Box<dyn Future<Output = T> + Send>>;

/// A number that grows with every grant of a name. A message about an older epoch is ignored.
pub type Epoch = u64;

/// The name of one life of a node: it is different after each start.
pub type NodeId = CompactString;

/// The directory's response to a claim.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Claimed {
    /// This node holds the name, until it releases the name or the directory grants it with a higher epoch.
    Granted(Epoch),
    /// The name has another owner, on another node, and stays with it.
    Taken,
    /// The directory does not respond in time, or its entry of the name has kept changing.
    Unreachable,
}

/// The directory does not respond, so where a name is remains unknown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Unreachable;

/// What one node sends to others about a topic.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Packet {
    /// A message for the topic's members.
    Broadcast {
        /// The event's name.
        event: Event,
        /// The event's payload.
        payload: Payload,
    },
    /// The name has got an owner.
    Up(Epoch),
    /// The name has lost the owner of this epoch. It has no effect once a later epoch is known.
    Down(Epoch),
    /// Changes to one node's entries of the topic's presence list.
    Presence(PresencePacket),
    /// A node requests all presence entries of this node, or those of every other node.
    PresenceWanted(Option<NodeId>),
}

impl Packet {
    /// Its size in memory, about, in bytes.
    pub(crate) fn size(&self) -> usize {
        let content = match self {
            Self::Broadcast { event, payload } => event.len() + payload.len(),
            Self::Presence(packet) => packet.content_size(),
            Self::PresenceWanted(node) => node.as_ref().map_or(0, |node| node.len()),
            Self::Up(_) | Self::Down(_) => 0,
        };
        size_of::<Self>() + content
    }
}

/// Changes to one node's entries of a presence list, or all of its entries.
///
/// The packets of one node about one topic form a series: each says which one it follows. A node that has missed one
/// requests all entries ([`Packet::PresenceWanted`]). The series ends when the node has no entries left. Changes that are
/// too large for one packet are sent in several, and take effect together.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PresencePacket {
    /// The node that owns the entries.
    pub node: NodeId,
    /// The `version` of the packet before this one. 0: this packet replaces all entries of the node.
    pub since: u64,
    /// A number that grows with each packet of the node.
    pub version: u64,
    /// New entries, each with its unique `ref`.
    pub joins: Vec<(CompactString, PresenceEntry)>,
    /// The `ref` and the key of each removed entry.
    pub leaves: Vec<(CompactString, CompactString)>,
    /// Whether the next packet has more of the same changes. They take effect with the last one.
    pub is_continued: bool,
}

impl PresencePacket {
    /// The size in memory of its entries, about, in bytes.
    pub(crate) fn content_size(&self) -> usize {
        let join = |(reference, entry): &(CompactString, PresenceEntry)| {
            size_of::<PresenceEntry>() + reference.len() + entry.key.len() + entry.meta.len()
        };
        let leave = |(reference, key): &(CompactString, CompactString)| size_of_val(key) + reference.len() + key.len();
        self.joins.iter().map(join).sum::<usize>() + self.leaves.iter().map(leave).sum::<usize>()
    }
}

impl From<&Broadcast> for Packet {
    fn from(broadcast: &Broadcast) -> Self {
        Self::Broadcast { event: broadcast.event.clone(), payload: broadcast.payload.clone() }
    }
}

/// A question to other nodes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Question {
    /// How many clients does the node have, and how large are its tables?
    Census,
    /// Which presence entries of the topic does the node own?
    Presence(Topic),
    /// Which version has the node's latest packet about each of these topics ([`PresencePacket::version`])?
    PresenceVersions(Vec<Topic>),
    /// Packets of the node that asks may have been lost. Will the other node compare its presence lists?
    ComparePresence,
    /// Does a client of the node own the name?
    Owns(Topic),
    /// Which client of the node owns the name?
    Peer(Topic),
    /// Which topics have members on the node?
    Topics(TopicsQuery),
    /// How many members does the topic have on the node, and which presence entries?
    Topic(Topic),
    /// How is the node?
    Node,
    /// Will the node disconnect these clients?
    Disconnect {
        /// Which clients.
        clients: Clients,
        /// Whether they are to connect again.
        may_reconnect: bool,
    },
    /// Will the node revoke these tokens, and disconnect the clients that have one?
    Revoke(Revocation),
    /// Which tokens behind these are revoked on the node?
    Revocations(Option<RevokedTokens>),
}

#[cfg(feature = "cluster")]
impl Question {
    /// Its size in memory, about, in bytes.
    pub(crate) fn size(&self) -> usize {
        match self {
            Self::Census | Self::ComparePresence | Self::Node => 0,
            Self::Presence(topic) | Self::Owns(topic) | Self::Peer(topic) | Self::Topic(topic) => topic.key().len(),
            Self::Topics(query) => query.prefix.len() + query.after.len(),
            Self::Disconnect { clients, .. } => clients.size(),
            Self::Revoke(Revocation { tokens, .. }) => tokens.text().len(),
            Self::Revocations(after) => after.as_ref().map_or(0, |after| after.text().len()),
            Self::PresenceVersions(topics) => topics.iter().map(|topic| size_of::<Topic>() + topic.key().len()).sum(),
        }
    }
}

/// A node's answer to a [`Question`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// To [`Question::Census`]: the sizes of the registry's tables.
    Census(RegistryStats),
    /// To [`Question::Presence`]: the node's own entries.
    Presence(PresenceList),
    /// To [`Question::PresenceVersions`]: the version for each topic, in their order. 0: the node has no entries.
    PresenceVersions(Vec<u64>),
    /// To [`Question::ComparePresence`]: it does.
    ComparesPresence,
    /// To [`Question::Owns`].
    Owns(bool),
    /// To [`Question::Peer`].
    Peer(Option<PeerInfo>),
    /// To [`Question::Topics`].
    Topics(TopicsPage),
    /// To [`Question::Topic`].
    Topic(TopicInfo),
    /// To [`Question::Node`].
    Node(NodeInfo),
    /// To [`Question::Disconnect`] and [`Question::Revoke`]: how many connections the node has closed. `None`: it could
    /// not revoke the tokens.
    Closed(Option<usize>),
    /// To [`Question::Revocations`].
    Revocations(RevocationsPage),
}

/// The answers to a question.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Answers {
    /// The nodes that have answered in time.
    pub answers: Vec<(NodeId, Answer)>,
    /// The live nodes that have not, or could not be asked.
    pub silent: Vec<NodeId>,
}

/// What an adapter may call on its own node, for the other nodes. No method waits for a client.
pub trait ClusterInbox: Send + Sync {
    /// Delivers a message for a name that this node holds according to the directory. This node decides whether it
    /// does: the status is `Absent` if no client of this node owns the name.
    fn deliver(&self, name: &Topic, packet: Packet) -> DeliveryStatus;

    /// Receives what another node has published on one or several topics. A broadcast on several topics reaches each
    /// client once, however many of them it has joined.
    fn publish(&self, topics: &[Topic], packet: Packet);

    /// Asks this node to give up `name`, which another node's client claims, up to and including `epoch`: the grant
    /// that the other node has found in the directory. This node does so if `proof` equals that of the client that owns
    /// the name, or if that client is dead: it is pinged, and the result may take `limits.contest_timeout`. A grant up
    /// to `epoch` that this node does not know yet, because its own claim is under way with the same proof, is given up too,
    /// and this node does not release it: if the other node does not take the name, the adapter removes the entry. If its
    /// own claim has another proof, the result waits until that claim has ended.
    ///
    /// The result says whether the other node may take the name. It may not if this node has a newer grant.
    fn give_up(&self, name: &Topic, epoch: Epoch, proof: Option<Proof>) -> BoxFuture<bool>;

    /// Takes the name away from its owner on this node, if the owner's epoch is at most `epoch`: another node has it.
    fn revoke(&self, name: &Topic, epoch: Epoch);

    /// Which of these names, each with the epoch of a grant to this node, are of no use: no client of this node owns the
    /// name, and no claim of it is under way here. `None`: the node has too much to do to say.
    fn stale(&self, grants: Vec<(Topic, Epoch)>) -> BoxFuture<Option<Vec<(Topic, Epoch)>>>;

    /// The names that clients of this node own, with their epochs: at most `limit` of them, in order, after `after`.
    fn names(&self, after: Option<Topic>, limit: usize) -> BoxFuture<Vec<(Topic, Epoch)>>;

    /// Reports that packets of other nodes may have been lost. This node asks again for what it must know of them:
    /// presence entries, and whether watched names have an owner. If packets of this node may have been lost, the adapter
    /// asks the other nodes to compare their lists, too ([`Question::ComparePresence`]).
    fn resync(&self);

    /// Reports that a node is down: its presence entries are removed, and watched names are looked up again.
    fn node_down(&self, node: &str);

    /// Reports that a node is up: it is new, or has come back after it counted as down.
    fn node_up(&self, node: &str);

    /// Answers another node's question.
    fn answer(&self, question: Question) -> BoxFuture<Answer>;

    /// The node's metrics.
    fn metrics(&self) -> Arc<Metrics>;

    /// The same bytes. They count against the node's memory budget until the last clone is dropped.
    fn count_memory(&self, bytes: Bytes) -> Bytes;
}

/// A backplane. It sends to the *other* nodes only, and calls the core only through its [`ClusterInbox`].
///
/// Local members receive a message before the adapter is called, and never wait for it. Every method has a default: that
/// of a node without other nodes.
pub trait Adapter: Send + Sync + 'static {
    /// Called once, before any other method but [`node`](Self::node), with the interface to the core.
    ///
    /// # Errors
    /// When the configuration can never work. A backplane that cannot be reached yet is no error:
    /// [`ready`](Self::ready) reports it.
    fn start(&self, _inbox: Arc<dyn ClusterInbox>) -> std::io::Result<()> {
        Ok(())
    }

    /// This node's name, as it appears in [`PresencePacket`].
    fn node(&self) -> NodeId {
        NodeId::const_new("local")
    }

    /// The other live nodes, as this node knows them.
    fn nodes(&self) -> Vec<NodeId> {
        Vec::new()
    }

    /// Claims `name`. If another node holds it, that node decides ([`ClusterInbox::give_up`]).
    fn claim(&self, _name: &Topic, _claim: NameClaim) -> BoxFuture<Claimed> {
        Box::pin(ready(Claimed::Granted(0)))
    }

    /// Releases `name`. This has no effect if the directory has granted the name again since `epoch`. It takes effect
    /// before a [`Packet::Down`] that is published later on `name` arrives anywhere.
    fn release(&self, _name: &Topic, _epoch: Epoch) {}

    /// The epoch with which another node holds `name`, if one does.
    fn whereis(&self, _name: &Topic) -> BoxFuture<Result<Option<Epoch>, Unreachable>> {
        Box::pin(ready(Ok(None)))
    }

    /// Sends `packet` to the node that holds `name` ([`ClusterInbox::deliver`]), and returns that node's delivery
    /// status.
    fn deliver(&self, _name: &Topic, _packet: Packet) -> BoxFuture<DeliveryStatus> {
        Box::pin(ready(DeliveryStatus::Absent))
    }

    /// Sends `packet` once to every other node that is subscribed to at least one of `topics`
    /// ([`ClusterInbox::publish`]). Most packets have one topic.
    fn publish(&self, _topics: &[Topic], _packet: Packet) {}

    /// Subscribes this node to what other nodes publish on `topic`. When the future is ready, whatever any node
    /// publishes from then on arrives. It is ready at the latest after the adapter's own timeout.
    fn subscribe(&self, _topic: &Topic) -> BoxFuture<()> {
        Box::pin(ready(()))
    }

    /// Ends the subscription to `topic`.
    fn unsubscribe(&self, _topic: &Topic) {}

    /// Asks the other nodes. Each of them either answers or is silent.
    fn ask(&self, _question: Question) -> BoxFuture<Answers> {
        Box::pin(ready(Answers::default()))
    }

    /// Announces that this node is about to stop: other nodes may take its names without asking it.
    fn retire(&self) {}

    /// Leaves the other nodes, and closes the connection to the backplane. The node is about to exit.
    fn stop(&self) -> BoxFuture<()> {
        Box::pin(ready(()))
    }

    /// Is ready when the adapter has failed for good, with the reason: it neither delivers nor leaves any more, so the node
    /// exits. It is called once.
    fn failed(&self) -> BoxFuture<String> {
        Box::pin(pending())
    }

    /// Whether the backplane works, as `/readyz` reports it.
    ///
    /// # Errors
    /// What is wrong, in one line for an operator. Anybody may read it at `/readyz`.
    fn ready(&self) -> Result<(), String> {
        Ok(())
    }
}

/// The adapter of a single node: there are no other nodes.
#[derive(Clone, Copy, Debug, Default)]
pub struct LocalAdapter;

impl Adapter for LocalAdapter {}
