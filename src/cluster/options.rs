//! [`ClusterOptions`]: the configuration of the shared adapter.

use std::time::Duration;

use crate::broker::adapter::NodeId;
use crate::config::Isolated;

/// What the shared adapter needs to know, beside its engine.
#[derive(Clone, Debug)]
pub struct ClusterOptions {
    /// This life of this node.
    pub node: NodeId,
    /// The secret that all nodes share.
    pub secret: Vec<u8>,
    /// A node that is silent for this long is dead.
    pub lease: Duration,
    /// How long another node, or the engine, may take for one answer.
    pub timeout: Duration,
    /// How long the owner of a name may take to answer a ping (`limits.contest_timeout`).
    pub contest_timeout: Duration,
    /// How many bytes may wait to be sent to the engine.
    pub queue_bytes: usize,
    /// Which names are granted while the engine cannot be reached.
    pub isolated: Isolated,
}
