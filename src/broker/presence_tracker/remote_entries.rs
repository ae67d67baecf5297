//! The entries of one other node in one presence list. They follow that node's series of packets.

use std::collections::HashSet;

use crate::broker::adapter::PresencePacket;
use crate::broker::presence::{Presence, PresenceRef};

/// The entries, and the version of the packet that they are from.
#[derive(Default)]
pub(super) struct RemoteEntries {
    version: u64,
    refs: HashSet<PresenceRef>,
}

/// What has become of a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Merged {
    /// It is applied.
    Changed,
    /// It is older than what is known.
    Ignored,
    /// A packet before it was missed, and all entries have not arrived since.
    Gap,
}

impl RemoteEntries {
    pub(super) fn version(&self) -> u64 {
        self.version
    }

    pub(super) fn is_empty(&self) -> bool {
        self.refs.is_empty()
    }

    /// Applies a packet to the list.
    pub(super) fn merge(&mut self, packet: PresencePacket, list: &mut Presence) -> Merged {
        let PresencePacket { since, version, joins, leaves, .. } = packet;
        if version <= self.version {
            return Merged::Ignored;
        }
        if since != 0 && since != self.version {
            return Merged::Gap;
        }
        if since == 0 {
            let kept: HashSet<&PresenceRef> = joins.iter().map(|(reference, _)| reference).collect();
            self.refs.extract_if(|known| !kept.contains(known)).for_each(|gone| list.remove(&gone));
        }
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
        Merged::Changed
    }

    /// Removes all entries from the list.
    pub(super) fn remove_from(self, list: &mut Presence) {
        self.refs.iter().for_each(|reference| list.remove(reference));
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use proptest::prelude::*;

    use crate::broker::adapter::Packet;
    use crate::broker::presence_tracker::PresenceTracker;
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
            1 => Just(Step::Resync),
            1 => Just(Step::Repeat),
        ]
    }

    struct World {
        topic: Topic,
        sender: PresenceTracker,
        receiver: PresenceTracker,
        last: Option<Packet>,
    }

    impl World {
        fn new() -> Self {
            let topic = Topic::parse("room:a").unwrap();
            let (sender, mut receiver) = (PresenceTracker::new("s".into()), PresenceTracker::new("r".into()));
            let connection = Arc::new(numbered(1, usize::MAX));
            receiver.subscribe(&topic, Member { join: JoinId(1), connection });
            Self { topic, sender, receiver, last: None }
        }

        fn receive(&mut self, packet: Packet) {
            let Packet::Presence(presence) = packet.clone() else { panic!("{packet:?}") };
            self.last = Some(packet);
            if self.receiver.merge(&self.topic, presence) {
                self.sender.request(&self.topic);
            }
        }

        fn flush(&mut self, arrives: bool) {
            for (_, packet) in self.sender.flush() {
                if arrives {
                    self.receive(packet);
                }
            }
            self.receiver.flush();
        }

        /// As the registry does: the packet is requested from a sender that is subscribed, and each node is asked.
        fn resync(&mut self) {
            let known = self.receiver.versions(&self.topic);
            self.sender.request(&self.topic);
            if self.sender.own_list(&self.topic).is_empty() {
                known.iter().for_each(|(node, version)| self.receiver.remove_entries(&self.topic, node, *version));
            }
            self.flush(true);
        }

        fn run_step(&mut self, step: &Step, members: &[Member]) {
            let entry = || PresenceEntry { key: "k".into(), meta: Payload::empty() };
            match *step {
                Step::Put(n) => self.sender.put(&self.topic, members[n as usize].id(), entry()),
                Step::Leave(n) => self.sender.leave(&self.topic, members[n as usize].id()),
                Step::Flush(arrives) => self.flush(arrives),
                Step::Resync => self.resync(),
                Step::Repeat => self.last.clone().into_iter().for_each(|packet| self.receive(packet)),
            }
        }
    }

    fn count(list: &PresenceList) -> usize {
        list.values().map(Vec::len).sum()
    }

    proptest! {
        /// Whatever was lost or came twice: after a resync, both nodes have the same entries.
        #[test]
        fn a_list_is_complete_after_a_loss_was_noticed(steps in prop::collection::vec(step(), 0..60)) {
            let (mut world, members) = (World::new(), crowd(MEMBERS));
            steps.iter().for_each(|step| world.run_step(step, &members));
            world.flush(true);
            world.resync();
            let own = world.sender.own_list(&world.topic);
            prop_assert_eq!(count(&world.receiver.list(&world.topic)), count(&own));
            prop_assert_eq!(world.receiver.len(&world.topic), count(&own));
        }

        /// A gap is noticed with the next packet, without a resync.
        #[test]
        fn a_list_is_complete_after_two_more_packets(steps in prop::collection::vec(step(), 0..60)) {
            let (mut world, members) = (World::new(), crowd(MEMBERS + 1));
            let last = MEMBERS as usize;
            steps.iter().for_each(|step| world.run_step(step, &members));
            for _ in 0..2 {
                world.run_step(&Step::Put(last as u32), &members);
                world.flush(true);
            }
            let own = world.sender.own_list(&world.topic);
            prop_assert_eq!(count(&world.receiver.list(&world.topic)), count(&own));
        }
    }
}
