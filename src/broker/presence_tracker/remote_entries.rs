//! The entries of one other node in one presence list. They follow that node's series of packets.

use std::collections::HashSet;
use std::sync::Arc;

use crate::broker::adapter::PresencePacket;
use crate::broker::presence::{Presence, PresenceRef};
use crate::broker::registry::permits::{CommandBudget, Permit};

/// The entries, and the version of the packet that they are from.
#[derive(Default)]
pub(super) struct RemoteEntries {
    version: u64,
    refs: HashSet<PresenceRef>,
    /// The first parts of changes whose last part has not arrived.
    parts: Vec<(PresencePacket, Permit)>,
}

/// What has become of a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Merged {
    /// It is applied.
    Changed,
    /// It is a part of changes, and waits for the others.
    Waits,
    /// It is older than what is known.
    Ignored,
    /// A packet before it was missed, and all entries have not arrived since.
    Gap,
}

impl RemoteEntries {
    /// The version of the latest packet.
    pub(super) fn version(&self) -> u64 {
        self.parts.last().map_or(self.version, |(part, _)| part.version)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.refs.is_empty() && self.parts.is_empty()
    }

    /// Applies a packet to the list, unless it is a part that waits for the others. The parts that wait are given up when
    /// one is missing, and when all entries come. `room` is for the parts of all lists.
    pub(super) fn merge(&mut self, packet: PresencePacket, list: &mut Presence, room: &Arc<CommandBudget>) -> Merged {
        if packet.version <= self.version() {
            return Merged::Ignored;
        }
        if packet.since != self.version() || packet.since == 0 {
            self.parts.clear();
        }
        if packet.since != 0 && packet.since != self.version() {
            return Merged::Gap;
        }
        if packet.is_continued
            && let Some(permit) = room.take(packet.content_size())
        {
            self.parts.push((packet, permit));
            return Merged::Waits;
        }
        let parts = std::mem::take(&mut self.parts);
        self.apply(parts.into_iter().map(|(part, _)| part).chain([packet]).collect(), list);
        Merged::Changed
    }

    /// Applies packets that follow each other.
    fn apply(&mut self, packets: Vec<PresencePacket>, list: &mut Presence) {
        if packets.first().is_some_and(|first| first.since == 0) {
            let kept: HashSet<_> =
                packets.iter().flat_map(|packet| &packet.joins).map(|(reference, _)| reference).collect();
            self.refs.extract_if(|known| !kept.contains(known)).for_each(|gone| list.remove(&gone));
        }
        for PresencePacket { version, joins, leaves, .. } in packets {
            self.version = version;
            for (reference, entry) in joins {
                if self.refs.insert(reference.clone()) {
                    list.add(reference, &entry, None);
                }
            }
            for (reference, _) in leaves {
                if self.refs.remove(&reference) {
                    list.remove(&reference);
                }
            }
        }
    }

    /// Removes all entries from the list.
    pub(super) fn remove_from(self, list: &mut Presence) {
        self.refs.iter().for_each(|reference| list.remove(reference));
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::sync::Arc;
    use std::time::Instant;

    use proptest::prelude::*;

    use crate::broker::adapter::Packet;
    use crate::broker::presence_tracker::{PresenceTracker, REQUEST_PAUSE};
    use crate::broker::topic_table::tests::crowd;
    use crate::connections::connection::Member;
    use crate::connections::connection::tests::numbered;
    use crate::message::{JoinId, Payload, PresenceEntry, PresenceList};
    use crate::topic::Topic;

    const MEMBERS: u32 = 4;

    #[derive(Clone, Debug)]
    enum Step {
        Put(u32),
        Leave(u32),
        /// The sender's changes are sent, and arrive or are lost.
        Flush(bool),
        /// The same, but one of the packets is lost.
        FlushWithout(usize),
        /// The receiver notices a loss.
        Resync,
        /// The packet that was sent last arrives once more.
        Repeat,
    }

    fn step() -> impl Strategy<Value = Step> {
        prop_oneof![
            4 => (0..MEMBERS).prop_map(Step::Put),
            3 => (0..MEMBERS).prop_map(Step::Leave),
            5 => any::<bool>().prop_map(Step::Flush),
            2 => (0..MEMBERS as usize).prop_map(Step::FlushWithout),
            1 => Just(Step::Resync),
            1 => Just(Step::Repeat),
        ]
    }

    struct World {
        topic: Topic,
        sender: PresenceTracker,
        receiver: PresenceTracker,
        last: Option<Packet>,
        now: Instant,
        /// The lists that the sender has had.
        sent: BTreeSet<BTreeSet<String>>,
        /// Whether the receiver has room for all parts.
        keeps_all_parts: bool,
    }

    impl World {
        /// The sender's packets have about `packet_bytes` bytes, and the receiver keeps parts of `parts_bytes` bytes.
        fn new((packet_bytes, parts_bytes): (usize, usize)) -> Self {
            let topic = Topic::parse("room:a").unwrap();
            let (mut sender, mut receiver) =
                (PresenceTracker::new("s".into(), 0), PresenceTracker::new("r".into(), parts_bytes));
            sender.series.packet_bytes = packet_bytes;
            let connection = Arc::new(numbered(1, usize::MAX));
            let now = connection.now();
            receiver.subscribe(&topic, Member { join: JoinId(1), connection });
            Self {
                topic,
                sender,
                receiver,
                last: None,
                now,
                sent: BTreeSet::from([BTreeSet::new()]),
                keeps_all_parts: parts_bytes == usize::MAX,
            }
        }

        /// Nobody seems to leave and to come back because a list has several parts: the receiver's list is always one
        /// that the sender has had.
        fn receive(&mut self, packet: Packet) {
            let Packet::Presence(presence) = packet.clone() else { panic!("{packet:?}") };
            self.last = Some(packet);
            if self.receiver.merge(&self.topic, presence) {
                self.sender.request(&self.topic);
            }
            if self.keeps_all_parts {
                let known = refs(&self.receiver.list(&self.topic));
                assert!(self.sent.contains(&known), "{known:?} is none of {:?}", self.sent);
            }
        }

        /// Both nodes have the same entries, and no part waits.
        fn check(&self) {
            let own = self.sender.own_list(&self.topic);
            assert_eq!(refs(&self.receiver.list(&self.topic)), refs(&own));
            assert_eq!(self.receiver.len(&self.topic), refs(&own).len());
            assert_eq!(self.receiver.parts.bytes(), 0);
        }

        fn flush(&mut self, arrives: impl Fn(usize) -> bool) {
            self.now += REQUEST_PAUSE;
            self.sender.check_requests();
            let packets = self.sender.flush(self.now);
            self.sent.insert(refs(&self.sender.list(&self.topic)));
            for (number, (_, packet)) in packets.into_iter().enumerate() {
                if arrives(number) {
                    self.receive(packet);
                }
            }
            self.receiver.flush(self.now);
        }

        /// The receiver asks for the version, as the registry does.
        fn resync(&mut self) {
            let known = self.receiver.versions(&self.topic);
            match self.sender.own_version(&self.topic) {
                0 => known.iter().for_each(|(node, version)| self.receiver.remove_entries(&self.topic, node, *version)),
                version if self.receiver.is_behind(&self.topic, "s", version) => self.sender.request(&self.topic),
                _ => {}
            }
            self.flush(|_| true);
        }

        fn run_step(&mut self, step: &Step, members: &[Member]) {
            let entry = || PresenceEntry { key: "k".into(), meta: Payload::empty() };
            match *step {
                Step::Put(n) => self.sender.put(&self.topic, members[n as usize].id(), entry()),
                Step::Leave(n) => self.sender.leave(&self.topic, members[n as usize].id()),
                Step::Flush(arrives) => self.flush(|_| arrives),
                Step::FlushWithout(lost) => self.flush(|number| number != lost),
                Step::Resync => self.resync(),
                Step::Repeat => self.last.clone().into_iter().for_each(|packet| self.receive(packet)),
            }
        }
    }

    /// The unique references of a list's entries.
    fn refs(list: &PresenceList) -> BTreeSet<String> {
        let reference = |meta: &Payload| {
            let Payload::Json(text) = meta else { panic!("{meta:?}") };
            let value: serde_json::Value = serde_json::from_str(text).unwrap();
            value["phx_ref"].as_str().unwrap().to_owned()
        };
        list.values().flatten().map(reference).collect()
    }

    /// Packets of one entry, or of all, and a receiver with room for parts or without.
    fn sizes() -> impl Strategy<Value = (usize, usize)> {
        (prop::sample::select(&[1, usize::MAX][..]), prop::sample::select(&[0, 1, usize::MAX][..]))
    }

    proptest! {
        /// Whatever was lost or came twice: after a resync, both nodes have the same entries.
        #[test]
        fn a_list_is_complete_after_a_loss_was_noticed(
            sizes in sizes(), steps in prop::collection::vec(step(), 0..60),
        ) {
            let (mut world, members) = (World::new(sizes), crowd(MEMBERS));
            steps.iter().for_each(|step| world.run_step(step, &members));
            world.flush(|_| true);
            world.resync();
            world.check();
        }

        /// A gap is noticed with the next packet, without a resync.
        #[test]
        fn a_list_is_complete_after_two_more_packets(
            sizes in sizes(), steps in prop::collection::vec(step(), 0..60),
        ) {
            let (mut world, members) = (World::new(sizes), crowd(MEMBERS + 1));
            steps.iter().for_each(|step| world.run_step(step, &members));
            for _ in 0..2 {
                world.run_step(&Step::Put(MEMBERS), &members);
                world.flush(|_| true);
            }
            world.check();
        }
    }
}
