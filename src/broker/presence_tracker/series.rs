//! This node's packets to the other nodes. Those about one topic follow each other.

use compact_str::CompactString;

use crate::broker::adapter::{NodeId, Packet, PresencePacket};
use crate::broker::presence::PresenceRef;
use crate::message::PresenceEntry;

/// About how many bytes of new entries, and how many of removed ones, one packet to the other nodes has. Engines limit
/// the size of a message: NATS to 1 MiB, unless its operator allows more.
pub(super) const PACKET_BYTES: usize = 256 * 1024;

/// Numbers the packets.
pub(super) struct Series {
    node: NodeId,
    version: u64,
    pub(super) packet_bytes: usize,
}

impl Series {
    pub(super) fn new(node: NodeId) -> Self {
        Self { node, version: 0, packet_bytes: PACKET_BYTES }
    }

    /// The version of the latest packet, about any topic.
    pub(super) fn version(&self) -> u64 {
        self.version
    }

    /// The changes after the packet `since`, in as many packets as they need.
    pub(super) fn packets(
        &mut self,
        mut since: u64,
        mut joins: Vec<(PresenceRef, PresenceEntry)>,
        mut leaves: Vec<(PresenceRef, CompactString)>,
    ) -> Vec<Packet> {
        let mut packets = Vec::new();
        loop {
            let more_joins =
                self.split_off(&mut joins, |(reference, entry)| reference.len() + entry.key.len() + entry.meta.len());
            let more_leaves = self.split_off(&mut leaves, |(reference, key)| reference.len() + key.len());
            let is_continued = !more_joins.is_empty() || !more_leaves.is_empty();
            self.version += 1;
            let (node, version) = (self.node.clone(), self.version);
            packets.push(Packet::Presence(PresencePacket { node, since, version, joins, leaves, is_continued }));
            if !is_continued {
                return packets;
            }
            (since, joins, leaves) = (version, more_joins, more_leaves);
        }
    }

    /// Leaves as many items as one packet has room for, at least one, and returns the others.
    fn split_off<T>(&self, items: &mut Vec<T>, size: impl Fn(&T) -> usize) -> Vec<T> {
        let mut bytes = 0;
        let fitting = items.iter().take_while(|item| {
            bytes += size(item);
            bytes <= self.packet_bytes
        });
        let count = fitting.count().max(1).min(items.len());
        items.split_off(count)
    }
}
