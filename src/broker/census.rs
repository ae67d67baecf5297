//! What the server's own code learns about all nodes: [`Census`] and [`ClusterPresence`].

use crate::broker::adapter::NodeId;
use crate::broker::registry_stats::RegistryStats;
use crate::message::PresenceList;

/// The sizes of the tables of every node. [`Pubsub::census`](crate::Pubsub::census) asks for it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Census {
    /// The nodes that have answered, this one first.
    pub nodes: Vec<(NodeId, RegistryStats)>,
    /// The nodes that have not answered in time, or could not be asked.
    pub silent: Vec<NodeId>,
}

/// A topic's presence list on all nodes.
/// [`Pubsub::presence_on_all_nodes`](crate::Pubsub::presence_on_all_nodes) asks for it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct ClusterPresence {
    /// The entries of this node's members, and of those of the nodes that have answered.
    pub list: PresenceList,
    /// The nodes that have not answered in time, or could not be asked.
    pub silent: Vec<NodeId>,
}
