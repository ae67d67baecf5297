//! [`Message`]: what the nodes of a cluster send each other. [`NodeStatus`]: what a node says about itself with its
//! heartbeat.

use crate::broker::adapter::{Answer, Epoch, Packet, Question};
use crate::message::Proof;
use crate::topic::Topic;

/// The version of the messages that this node sends. It grows only when a node of the version before cannot read them
/// any more: a new field or a new kind of message does not change it.
pub(crate) const WIRE_VERSION: u32 = 1;

/// The oldest version of messages that this node can read.
pub(crate) const OLDEST_WIRE_VERSION: u32 = 1;

/// A message from one node to another, or on topics. `request` is chosen by the node that asks, and returned unchanged.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Message {
    /// On topics: the packet of [`Adapter::publish`](crate::broker::adapter::Adapter::publish).
    Publish { topics: Vec<Topic>, packet: Packet },
    /// To the node that holds `name` with this epoch: a packet for its owner. The answer is a [`Message::Verdict`].
    Signal { request: u64, name: Topic, epoch: Epoch, packet: Packet },
    /// The answer to [`Message::Signal`].
    Verdict { request: u64, verdict: Verdict },
    /// To the node that holds `name` with this epoch: may this node take it? The answer is a [`Message::GivenUp`].
    GiveUp { request: u64, name: Topic, epoch: Epoch, proof: Option<Proof> },
    /// The answer to [`Message::GiveUp`]: whether the name may be taken.
    GivenUp { request: u64, is_free: bool },
    /// To a node: another one holds `name`, so the owner up to this epoch loses it.
    Revoke { name: Topic, epoch: Epoch },
    /// To a node: a request to send [`Message::Heard`] on `topic`.
    Probe { topic: Topic, token: u64 },
    /// On a topic: the answer to [`Message::Probe`].
    Heard { topic: Topic, token: u64 },
    /// To a node. The answer is a [`Message::Answer`].
    Question { request: u64, question: Question },
    /// The answer to [`Message::Question`].
    Answer { request: u64, answer: Answer },
}

/// What became of a [`Message::Signal`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// It is in the queue of the owner's connection.
    Delivered,
    /// That queue is full.
    Overloaded,
    /// No client of the node owns the name.
    Gone,
    /// The name is on its way: from this node to another one, or from the directory to this node's client. The signal is
    /// to be sent again.
    Moving,
}

/// What a node says about itself with its heartbeat.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct NodeStatus {
    /// The version of the messages that the node sends.
    pub(crate) wire_version: u32,
    /// The oldest version of messages that the node can read.
    pub(crate) oldest_wire_version: u32,
    /// Whether the node is about to stop, so that other nodes may take its names without asking it.
    pub(crate) is_retired: bool,
    /// How often the node has been linked again after it lost its link. What it has published in between is lost.
    pub(crate) relinks: u64,
    /// [`Sealer::secret_check`](super::envelope::Sealer::secret_check): it shows whether the node has the same
    /// `cluster.secret`.
    pub(crate) secret_check: [u8; 16],
}

impl NodeStatus {
    /// The status of a node of this version, without its check.
    pub(crate) fn new(is_retired: bool, relinks: u64) -> Self {
        let (wire_version, oldest_wire_version) = (WIRE_VERSION, OLDEST_WIRE_VERSION);
        Self { wire_version, oldest_wire_version, is_retired, relinks, secret_check: [0; 16] }
    }

    /// Whether that node and this one can read each other's messages.
    pub(crate) fn is_compatible(&self) -> bool {
        self.oldest_wire_version <= WIRE_VERSION && OLDEST_WIRE_VERSION <= self.wire_version
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nodes_whose_versions_do_not_overlap_are_not_compatible() {
        let of = |oldest_wire_version, wire_version| NodeStatus {
            wire_version,
            oldest_wire_version,
            ..NodeStatus::new(false, 0)
        };
        assert!(NodeStatus::new(false, 0).is_compatible());
        assert!(of(OLDEST_WIRE_VERSION, WIRE_VERSION + 1).is_compatible(), "the next one, which reads this one");
        assert!(!of(WIRE_VERSION + 1, WIRE_VERSION + 1).is_compatible(), "the one after it");
        assert!(!of(0, OLDEST_WIRE_VERSION - 1).is_compatible(), "one that is too old");
    }
}
