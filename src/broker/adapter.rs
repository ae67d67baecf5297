//! The seam to other nodes: what the core asks of a backplane, and how a backplane calls the core.
//!
//! A backplane is a directory (which node holds a name), a way to reach that node and hear its
//! verdict, and a way to reach every node that cares for a topic. The node that holds a socket is the
//! only authority on whether its peer is there. A node alone needs none of it: [`LocalAdapter`].
//!
//! What the core asks may take a round trip, so it is asked for as a future; one that is ready at once
//! costs no trip through an executor. A message counts as sent when [`Adapter::deliver`] or
//! [`Adapter::publish`] has been *called* (not polled), so that one sender's messages keep their order.

use std::future::{Future, ready};
use std::pin::Pin;
use std::sync::Arc;

use compact_str::CompactString;

use crate::message::{DeliveryStatus, Event, Payload, PresenceEntry, Proof};
use crate::topic::Topic;

/// An answer that may have to travel.
pub type BoxFuture<T> = Pin<Box<dyn Future<Output = T> + Send>>;

/// A number that only grows, for each name: what an owner of an older one says counts no more.
pub type Epoch = u64;

/// What the directory says to a claim.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Claimed {
    /// The name is this node's, until it is released or granted to another with a higher epoch.
    Granted(Epoch),
    /// Another node's owner keeps it.
    Taken,
    /// The directory does not answer.
    Unreachable,
}

/// What one node tells others about a topic.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Packet {
    /// A message for the topic's members.
    Broadcast {
        /// What happened.
        event: Event,
        /// With what.
        payload: Payload,
    },
    /// The name has an owner now.
    Up,
    /// The name has no owner any more.
    Down,
    /// How this node's rows of the topic's presence list have changed. Rows are known by their marks:
    /// hearing of one twice changes nothing.
    Presence {
        /// The node whose rows they are.
        node: CompactString,
        /// Rows that are new, each with its mark.
        joins: Vec<(CompactString, PresenceEntry)>,
        /// Marks of rows that are gone, each with its key.
        leaves: Vec<(CompactString, CompactString)>,
    },
    /// A node wants to be told everybody's rows.
    PresenceWanted,
}

/// The way into a node, for its adapter: what other nodes may ask of it. Nothing here waits for a client.
pub trait ClusterInbox: Send + Sync {
    /// A message for a name that this node is said to hold; whether it does is decided here.
    fn deliver(&self, name: &Topic, packet: Packet) -> DeliveryStatus;

    /// Something published on a topic by another node.
    fn publish(&self, topic: &Topic, packet: Packet);

    /// Another owner claims `name`: it is given up when nobody here holds it or `proof` is the
    /// holder's own. Says whether it was.
    fn give_up(&self, name: &Topic, proof: Option<Proof>) -> BoxFuture<bool>;

    /// A node is gone, and its presence rows with it. Of the names that it held, a [`Packet::Down`] each
    /// is to be published too: only the directory knows which they were.
    fn node_down(&self, node: &str);
}

/// A backplane. It speaks to the *other* nodes only, and calls the core through its [`ClusterInbox`] alone.
///
/// Local members are served before it is called and never wait for it.
pub trait Adapter: Send + Sync + 'static {
    /// Called once, before anything else, with the way into the core.
    fn start(&self, inbox: Arc<dyn ClusterInbox>);

    /// This node's name, as it stands in [`Packet::Presence`].
    fn node(&self) -> CompactString;

    /// Asks for `name`. When another node holds it, that node's [`ClusterInbox::give_up`] decides by `proof`.
    fn claim(&self, name: &Topic, proof: Option<Proof>) -> BoxFuture<Claimed>;

    /// Gives `name` back; nothing happens when it was granted to somebody else since `epoch`.
    fn release(&self, name: &Topic, epoch: Epoch);

    /// Whether another node holds `name`.
    fn whereis(&self, name: &Topic) -> BoxFuture<bool>;

    /// Hands `packet` to the node that holds `name` ([`ClusterInbox::deliver`]) and brings back its verdict.
    fn deliver(&self, name: &Topic, packet: Packet) -> BoxFuture<DeliveryStatus>;

    /// Hands `packet` to every other node that has shown interest in `topic` ([`ClusterInbox::publish`]).
    fn publish(&self, topic: &Topic, packet: Packet);

    /// Whether this node has anybody who cares for what is published on `topic`.
    fn interest(&self, topic: &Topic, on: bool);
}

/// The backplane of a node that is alone.
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

    fn publish(&self, _: &Topic, _: Packet) {}

    fn interest(&self, _: &Topic, _: bool) {}
}
