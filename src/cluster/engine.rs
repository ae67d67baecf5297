//! The interface to an engine: the server, such as Redis, that keeps the directory of names and carries messages between
//! the nodes. Whatever is not the engine's own is in the shared adapter.
//!
//! An engine runs on the cluster's thread alone, so its futures need not be `Send`.
//!
//! **Order.** What is sent counts as sent when [`Engine::send`] or [`Engine::publish`] has been *called*, and messages of
//! one node to one node or topic arrive in that order. Those to its inbox and to several topics may overtake each other
//! a little: the adapter refuses a message that is more than 1,024 messages of its node late. A claim, a release or a
//! subscription takes effect after those that were called before it for the same name or topic.
//!
//! **Losses.** A message may be lost only while the connection to the engine is lost. An engine that notices or suspects
//! that it lost messages calls [`EngineEvents::lost`], and the adapter links it again and asks the other nodes for what
//! it has missed.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::rc::Rc;
use std::time::Duration;

use bytes::Bytes;

pub use crate::broker::adapter::{Epoch, NodeId};

/// A future on the cluster's thread.
pub type LocalFuture<T> = Pin<Box<dyn Future<Output = T>>>;

/// The engine did not answer, because its connection is lost or its answer took longer than `cluster.timeout`. Whether
/// the request took effect is unknown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lost;

/// Why a node cannot link to its engine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LinkError {
    /// The engine cannot be reached at present. The node tries again.
    Unreachable(String),
    /// The engine, or the configuration, does not fit. The node tries again too, but an operator has to change
    /// something first.
    Unusable(String),
}

impl fmt::Display for LinkError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (Self::Unreachable(what) | Self::Unusable(what)) = self;
        f.write_str(what)
    }
}

/// The directory's entry of a name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Holder {
    /// The node that holds the name.
    pub node: NodeId,
    /// The epoch of its grant.
    pub epoch: Epoch,
    /// What the engine needs to recognise this entry again. Only the engine reads it.
    pub revision: u64,
}

/// The engine's response to a claim.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ClaimResult {
    /// The name was free, and is this node's now.
    Granted(Epoch),
    /// The directory has an entry of the name, which may also be this node's own.
    Held(Holder),
}

/// A part of the directory.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DirectoryPart {
    /// The names, each with its entry.
    pub entries: Vec<(String, Holder)>,
    /// Where the next part begins. 0 if this is the last one.
    pub next: u64,
}

/// A node whose lease is not over.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LiveNode {
    /// The node.
    pub id: NodeId,
    /// What the node said about itself with its last heartbeat.
    pub status: Bytes,
}

/// Whether a node's own lease was still valid when its heartbeat arrived.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lease {
    /// The other nodes have considered this node alive since its last heartbeat.
    Kept,
    /// It is this node's first heartbeat, or the other nodes may have considered this node dead before it.
    New,
}

/// The engine's response to a heartbeat.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Heartbeat {
    /// Whether the node's lease was still valid.
    pub lease: Lease,
    /// At least as high as every epoch that the engine had granted before.
    pub epoch: Epoch,
}

/// Whom a message has reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reach {
    /// The engine has accepted it, and somebody is or may be subscribed.
    Accepted,
    /// Nobody is subscribed to it.
    Nobody,
}

/// What an engine tells the adapter. It calls these on the cluster's thread, in the order of arrival.
pub trait EngineEvents {
    /// A message to this node's inbox, or on a topic that this node is subscribed to. It also arrives if this node has
    /// sent it itself.
    fn message(&self, message: Bytes);

    /// The connection is lost, or messages are. From now on every call fails with [`Lost`] until the adapter has called
    /// [`Engine::link`] again. It may be called several times.
    fn lost(&self, why: String);
}

/// An engine.
///
/// `name` and `topic` are keys of a [`Topic`](crate::Topic): any text, also with control characters and spaces, of at
/// most `limits.topic_bytes` bytes.
pub trait Engine {
    /// Connects to the engine, checks that the engine can be used, and subscribes to the inbox of `node`. All topics
    /// that were subscribed are forgotten. It is called at the start and after [`EngineEvents::lost`], and gives up after
    /// a time of its own.
    fn link(&self, node: &NodeId, events: Rc<dyn EngineEvents>) -> LocalFuture<Result<(), LinkError>>;

    /// Closes the connections. Nothing is called any more.
    fn close(&self) -> LocalFuture<()>;

    /// Takes `name` for this node if the directory has no entry of it.
    fn claim(&self, name: &str) -> LocalFuture<Result<ClaimResult, Lost>>;

    /// Takes `name` for this node if the directory's entry is still `former`. `None` if it is another one, or if there
    /// is none.
    fn replace(&self, name: &str, former: &Holder) -> LocalFuture<Result<Option<Epoch>, Lost>>;

    /// Removes the entry of `name` if it is this node's, of this epoch.
    fn release(&self, name: &str, epoch: Epoch) -> LocalFuture<Result<(), Lost>>;

    /// Removes the entry of `name` if it is still `former`: that of a dead node.
    fn remove(&self, name: &str, former: &Holder) -> LocalFuture<Result<(), Lost>>;

    /// The entry of `name`. A missing entry is missing at the engine's leader, too.
    fn find(&self, name: &str) -> LocalFuture<Result<Option<Holder>, Lost>>;

    /// Enters names of this node again, each with its epoch: the directory may have lost them. An entry with a higher
    /// epoch stays, and so does one with the same epoch of a node whose id is greater. All others become this node's. The
    /// entries that stay, and those of other nodes that were replaced, are returned, each with the name's place in `names`.
    fn enter(&self, names: &[(&str, Epoch)]) -> LocalFuture<Result<Vec<(usize, Holder)>, Lost>>;

    /// A part of the directory, in an order of the engine's own, after `cursor` (0: from the beginning). An entry that is
    /// there all the time is returned at least once.
    fn scan(&self, cursor: u64) -> LocalFuture<Result<DirectoryPart, Lost>>;

    /// Says that this node is alive, for the time `lease`.
    fn heartbeat(&self, lease: Duration, status: Bytes) -> LocalFuture<Result<Heartbeat, Lost>>;

    /// Ends this node's lease.
    fn end_lease(&self) -> LocalFuture<Result<(), Lost>>;

    /// The nodes whose lease is not over, by the engine's clock.
    fn nodes(&self) -> LocalFuture<Result<Vec<LiveNode>, Lost>>;

    /// Sends a message to the inbox of `node`. The future is ready when the message has left this node's memory. After
    /// `cluster.timeout` it is ready in any case, and fails: then the bytes of `message` may still wait. An engine that lets
    /// them wait keeps no copy of them.
    fn send(&self, node: &str, message: Bytes) -> LocalFuture<Result<Reach, Lost>>;

    /// Sends a message to every node that is subscribed to `topic`. The future is ready as that of [`send`](Self::send).
    fn publish(&self, topic: &str, message: Bytes) -> LocalFuture<Result<(), Lost>>;

    /// Subscribes this node to `topic`. When the future is ready, the server that this node is connected to has
    /// confirmed it, or the subscription has been ended before it was sent.
    fn subscribe(&self, topic: &str) -> LocalFuture<Result<(), Lost>>;

    /// Ends the subscription to `topic`.
    fn unsubscribe(&self, topic: &str);

    /// Whether the engine consists of several servers, so that other nodes may not reach a subscription yet when
    /// [`subscribe`](Self::subscribe) is ready.
    fn has_several_servers(&self) -> bool;
}
