//! The other nodes of the cluster whose lease is not over, and what each has said about itself.

use std::collections::BTreeMap;
use std::fmt;

use futures_util::future::Shared;

use crate::broker::adapter::NodeId;
use crate::cluster::engine::{LocalFuture, Lost};
use crate::cluster::message::NodeStatus;

/// A reading of the list of live nodes.
pub(super) type Refresh = Shared<LocalFuture<Result<(), Lost>>>;

/// The other live nodes.
#[derive(Default)]
pub(super) struct Members {
    live: BTreeMap<NodeId, NodeStatus>,
    /// Nodes that are alive, but cannot work with this one.
    unfit: BTreeMap<NodeId, Misfit>,
}

/// Why two nodes cannot work together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Misfit {
    /// They have different secrets.
    Secret,
    /// They have no version of the messages between nodes in common.
    Version,
}

impl fmt::Display for Misfit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Secret => "has another cluster.secret than this node",
            Self::Version => "runs a release whose messages between nodes this release does not understand",
        })
    }
}

/// What has changed between two lists of live nodes.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Changes {
    pub(super) up: Vec<NodeId>,
    pub(super) down: Vec<NodeId>,
    /// Whether a node was and is alive, and has lost its link in between: its messages of that time may be lost.
    pub(super) has_relinked: bool,
    /// Unfit nodes that were not known to be unfit.
    pub(super) unfit: Vec<(NodeId, Misfit)>,
}

impl Members {
    /// Adds the nodes to `live` that were alive and are in neither list.
    pub(super) fn keep_missing(&self, live: &mut BTreeMap<NodeId, NodeStatus>, unfit: &BTreeMap<NodeId, Misfit>) {
        for (id, status) in self.live.iter().filter(|(id, _)| !unfit.contains_key(*id)) {
            live.entry(id.clone()).or_insert_with(|| status.clone());
        }
    }

    /// Replaces the list. `unfit` are live nodes that do not fit.
    pub(super) fn update(&mut self, live: BTreeMap<NodeId, NodeStatus>, unfit: BTreeMap<NodeId, Misfit>) -> Changes {
        let missing_in = |list: &BTreeMap<NodeId, NodeStatus>, id: &&NodeId| !list.contains_key(*id);
        let changes = Changes {
            up: live.keys().filter(|id| missing_in(&self.live, id)).cloned().collect(),
            down: self.live.keys().filter(|id| missing_in(&live, id)).cloned().collect(),
            has_relinked: live
                .iter()
                .any(|(id, status)| self.live.get(id).is_some_and(|known| known.relinks != status.relinks)),
            unfit: unfit
                .iter()
                .filter(|(id, _)| !self.unfit.contains_key(*id))
                .map(|(id, misfit)| (id.clone(), *misfit))
                .collect(),
        };
        (self.live, self.unfit) = (live, unfit);
        changes
    }

    /// A node that does not fit, in words.
    pub(super) fn misfit(&self) -> Option<String> {
        self.unfit.iter().next().map(|(id, misfit)| format!("the node {id} {misfit}"))
    }

    pub(super) fn is_live(&self, id: &str) -> bool {
        self.live.contains_key(id)
    }

    /// Whether the node has announced that it is about to stop.
    pub(super) fn is_retired(&self, id: &str) -> bool {
        self.live.get(id).is_some_and(|status| status.is_retired)
    }

    pub(super) fn ids(&self) -> Vec<NodeId> {
        self.live.keys().cloned().collect()
    }

    pub(super) fn count(&self) -> usize {
        self.live.len()
    }

    /// Whether `id`, this node, comes before all others. It does what one node has to do for all.
    pub(super) fn is_first(&self, id: &str) -> bool {
        self.live.keys().next().is_none_or(|first| id < first.as_str())
    }
}
