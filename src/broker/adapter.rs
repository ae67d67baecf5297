//! The interface to other nodes: [`Adapter`] is what the core requires of a backplane, [`ClusterInbox`] is how a
//! backplane calls the core. The only implementation here is that of a single node: [`LocalAdapter`].
//!
//! A backplane consists of a directory (which node holds a name), a way to send a message to that node and to receive
//! its delivery status, and a way to send a message to every node that is interested in a topic. Only the node that
//! holds a connection decides whether a peer is present.
//!
//! A call to the backplane may take a network round trip, so it returns a future. A future that is ready on its first
//! poll is handled without an executor. A message counts as sent when [`Adapter::deliver`] or [`Adapter::publish`] has
//! been *called* (not polled), so that the messages of one sender keep their order.

use std::future::{Future, ready};
use std::pin::Pin;
use std::sync::Arc;

use compact_str::CompactString;

use crate::message::{Broadcast, DeliveryStatus, Event, Payload, PresenceEntry, Proof};
use crate::topic::Topic;

/// A result that may need a network round trip.
pub type BoxFuture<T> = Pin<Box<dyn Future<Output = T> + Send>>;

/// A number that grows with every grant of a name. A message about an older epoch is ignored.
pub type Epoch = u64;

/// The directory's response to a claim.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Claimed {
    /// This node holds the name, until it releases the name or the directory grants it with a higher epoch.
    Granted(Epoch),
    /// The name has another owner, on another node, and stays with it.
    Taken,
    /// The directory does not respond.
    Unreachable,
}

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
    Up,
    /// The name has lost its owner.
    Down,
    /// Changes to this node's entries of the topic's presence list. Each entry has a unique `ref`, so that receiving a
    /// change twice has no effect.
    Presence {
        /// The node that owns the entries.
        node: CompactString,
        /// New entries, each with its `ref`.
        joins: Vec<(CompactString, PresenceEntry)>,
        /// The `ref` and the key of each removed entry.
        leaves: Vec<(CompactString, CompactString)>,
    },
    /// A node requests the presence entries of all other nodes.
    PresenceWanted,
}

impl From<&Broadcast> for Packet {
    fn from(broadcast: &Broadcast) -> Self {
        Self::Broadcast { event: broadcast.event.clone(), payload: broadcast.payload.clone() }
    }
}

/// What an adapter may call on its own node, for the other nodes. No method waits for a client.
pub trait ClusterInbox: Send + Sync {
    /// Delivers a message for a name that this node holds according to the directory. This node decides whether it
    /// does.
    fn deliver(&self, name: &Topic, packet: Packet) -> DeliveryStatus;

    /// Receives what another node has published on one or several topics. A broadcast on several topics reaches each
    /// client once, however many of them it has joined.
    fn publish(&self, topics: &[Topic], packet: Packet);

    /// Asks this node to release `name`, which another client claims. It does so if `proof` equals that of the client
    /// that owns the name, or if that client is dead: it is pinged, and the result may take `limits.contest_timeout`.
    /// The result says whether the name is free, as it also is if no client of this node owns it.
    fn release_name(&self, name: &Topic, proof: Option<Proof>) -> BoxFuture<bool>;

    /// Reports that a node is down: its presence entries are removed. The adapter must also publish a
    /// [`Packet::Down`] for each name that the node held, because only the directory knows them.
    fn node_down(&self, node: &str);
}

/// A backplane. It sends to the *other* nodes only, and calls the core only through its [`ClusterInbox`].
///
/// Local members receive a message before the adapter is called, and never wait for it.
pub trait Adapter: Send + Sync + 'static {
    /// Called once, before any other method, with the interface to the core.
    fn start(&self, inbox: Arc<dyn ClusterInbox>);

    /// This node's name, as it appears in [`Packet::Presence`].
    fn node(&self) -> CompactString;

    /// Claims `name`. If another node holds it, that node decides by `proof` ([`ClusterInbox::release_name`]).
    fn claim(&self, name: &Topic, proof: Option<Proof>) -> BoxFuture<Claimed>;

    /// Releases `name`. This has no effect if the directory has granted the name again since `epoch`.
    fn release(&self, name: &Topic, epoch: Epoch);

    /// Whether another node holds `name`.
    fn whereis(&self, name: &Topic) -> BoxFuture<bool>;

    /// Sends `packet` to the node that holds `name` ([`ClusterInbox::deliver`]), and returns that node's delivery
    /// status.
    fn deliver(&self, name: &Topic, packet: Packet) -> BoxFuture<DeliveryStatus>;

    /// Sends `packet` once to every other node that has declared interest in at least one of `topics`
    /// ([`ClusterInbox::publish`]). Most packets have one topic.
    fn publish(&self, topics: &[Topic], packet: Packet);

    /// Declares whether this node must receive what other nodes publish on `topic`.
    fn interest(&self, topic: &Topic, on: bool);
}

/// The adapter of a single node: there are no other nodes.
#[derive(Clone, Copy, Debug, Default)]
pub struct LocalAdapter;

impl Adapter for LocalAdapter {
    fn start(&self, _: Arc<dyn ClusterInbox>) {}

    fn node(&self) -> CompactString {
        CompactString::const_new("local")
    }

    fn claim(&self, _: &Topic, _: Option<Proof>) -> BoxFuture<Claimed> {
        Box::pin(ready(Claimed::Granted(0)))
    }

    fn release(&self, _: &Topic, _: Epoch) {}

    fn whereis(&self, _: &Topic) -> BoxFuture<bool> {
        Box::pin(ready(false))
    }

    fn deliver(&self, _: &Topic, _: Packet) -> BoxFuture<DeliveryStatus> {
        Box::pin(ready(DeliveryStatus::Absent))
    }

    fn publish(&self, _: &[Topic], _: Packet) {}

    fn interest(&self, _: &Topic, _: bool) {}
}
