//! What other nodes report, and what they ask about this one.

use std::ops::Bound;
use std::slice::from_ref;

use super::State;
use crate::broker::adapter::{Epoch, Packet};
use crate::broker::registry_stats::RegistryStats;
use crate::topic::Topic;

impl State {
    pub(in crate::broker::registry) fn remote_packet(&mut self, topic: &Topic, packet: Packet) {
        match packet {
            Packet::Up(epoch) => {
                self.watchers.learned(topic, epoch, true);
                if self.watchers.is_older(topic, epoch) {
                    self.passes.lookups.add(topic);
                }
                self.ask_cluster(topic);
            }
            Packet::Down(epoch) => self.watchers.learned(topic, epoch, false),
            Packet::Presence(packet) => {
                let node = packet.node.clone();
                if self.presence.merge(topic, packet) {
                    self.adapter.publish(from_ref(topic), Packet::PresenceWanted(Some(node)));
                }
            }
            Packet::PresenceWanted(of) => {
                if of.is_none_or(|node| node == self.adapter.node()) {
                    self.presence.request(topic);
                }
            }
            Packet::Broadcast { .. } => debug_assert!(false, "broadcasts go to the table, not through the registry"),
        }
    }

    /// The names that clients of this node own, in order, after `after`.
    pub(in crate::broker::registry) fn names_after(&self, after: Option<Topic>, limit: usize) -> Vec<(Topic, Epoch)> {
        let from = after.map_or(Bound::Unbounded, Bound::Excluded);
        let names = self.names.range((from, Bound::Unbounded)).take(limit);
        names.map(|(name, owner)| (name.clone(), owner.epoch)).collect()
    }

    pub(in crate::broker::registry) fn stats(&self) -> RegistryStats {
        RegistryStats {
            connections: self.index.connections(),
            topics: self.table.topics(),
            members: self.index.members(),
            names: self.names.len(),
            watches: self.watchers.count(),
            presence_entries: self.presence.count(),
            held: self.held.count(),
            held_bytes: self.held.bytes(),
        }
    }
}
