//! The table that the registry publishes: the members of each topic, readable from every thread.
//!
//! Only the registry writes it. A broadcast copies one pointer to a topic's members and then sends without any lock.
//! A writer copies the list only while a broadcast still holds it.

use std::hash::{BuildHasher, RandomState};
use std::ops::Deref;
use std::sync::{Arc, PoisonError, RwLock};

use hashbrown::HashTable;
use hashbrown::hash_table::Entry;

use crate::connections::connection::{Member, MemberId};
use crate::topic::{Realm, Topic};

/// More shards than most machines have cores, so that two threads rarely need the same one.
const SHARDS: usize = 64;

/// How many places of a shard one [`TopicTable::visit`] looks at.
const VISITED_AT_ONCE: usize = 1_024;

/// How far the topics of a table have been visited.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Place {
    shard: usize,
    bucket: usize,
    /// How often the shard's topics had been moved.
    moves: u64,
}

/// A topic's members at one moment. Most topics belong to one peer and have one member, which needs no list.
#[derive(Clone)]
pub(crate) enum Members {
    One(Member),
    Many(Arc<Vec<Member>>),
}

impl Members {
    fn push(&mut self, member: Member) {
        match self {
            Self::One(first) => *self = Self::Many(Arc::new(vec![first.clone(), member])),
            Self::Many(members) => Arc::make_mut(members).push(member),
        }
    }

    fn replace(&mut self, old: MemberId, new: Member) {
        let Some(at) = self.iter().position(|member| member.id() == old) else { return };
        match self {
            Self::One(member) => *member = new,
            Self::Many(members) => Arc::make_mut(members)[at] = new,
        }
    }
}

impl Deref for Members {
    type Target = [Member];

    fn deref(&self) -> &[Member] {
        match self {
            Self::One(member) => std::slice::from_ref(member),
            Self::Many(members) => members,
        }
    }
}

/// A part of the table.
#[derive(Default)]
struct Shard {
    topics: HashTable<(Topic, Members)>,
    /// How often its topics may have been moved to other buckets. A table also moves them without growing, to clear what
    /// removed ones have left.
    moves: u64,
}

/// The members of each topic. A topic without members has no entry.
pub(crate) struct TopicTable {
    shards: Box<[RwLock<Shard>]>,
    hasher: RandomState,
}

impl TopicTable {
    pub(crate) fn new() -> Self {
        Self { shards: (0..SHARDS).map(|_| RwLock::default()).collect(), hasher: RandomState::new() }
    }

    /// The topic's members, if it has any.
    pub(crate) fn members(&self, topic: &str) -> Option<Members> {
        self.find(topic, Members::clone)
    }

    pub(crate) fn count(&self, topic: &str) -> usize {
        self.find(topic, |members| members.len()).unwrap_or(0)
    }

    /// Adds a member, and returns how many members the topic has now.
    pub(crate) fn insert(&self, topic: &Topic, member: Member) -> usize {
        let hash = self.hash(topic.key());
        let mut shard = self.shard(hash).write().unwrap_or_else(PoisonError::into_inner);
        if shard.topics.len() == shard.topics.capacity() {
            // a table moves its topics only to make room for another one
            shard.moves += 1;
        }
        match shard.topics.entry(hash, has_key(topic.key()), |(topic, _)| self.hash(topic.key())) {
            Entry::Vacant(entry) => {
                entry.insert((topic.clone(), Members::One(member)));
                1
            }
            Entry::Occupied(mut entry) => {
                let (_, members) = entry.get_mut();
                members.push(member);
                members.len()
            }
        }
    }

    /// Replaces a member by another in one step: no reader finds the topic without either. If the old one is no member,
    /// nothing changes.
    pub(crate) fn replace(&self, topic: &str, old: MemberId, new: Member) {
        let hash = self.hash(topic);
        let mut shard = self.shard(hash).write().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, members)) = shard.topics.find_mut(hash, has_key(topic)) {
            members.replace(old, new);
        }
    }

    /// Removes a member, and returns how many members are left. Returns `None` if it was no member.
    pub(crate) fn remove(&self, topic: &str, id: MemberId) -> Option<usize> {
        let hash = self.hash(topic);
        let mut shard = self.shard(hash).write().unwrap_or_else(PoisonError::into_inner);
        let mut entry = shard.topics.find_entry(hash, has_key(topic)).ok()?;
        let (_, members) = entry.get_mut();
        // from the end: in a large topic, the newest members are the most likely to leave
        let at = members.iter().rposition(|member| member.id() == id)?;
        match members {
            Members::Many(members) if members.len() > 1 => {
                let list = Arc::make_mut(members);
                list.swap_remove(at);
                if list.capacity() > 4 * list.len() {
                    list.shrink_to_fit();
                }
                Some(list.len())
            }
            _ => {
                entry.remove();
                Some(0)
            }
        }
    }

    /// The topics of a realm that have members, in no particular order.
    pub(crate) fn topics_of(&self, realm: Realm) -> Vec<Topic> {
        let of_realm = |(topic, _): &(Topic, Members)| topic.key().starts_with(realm.prefix()).then(|| topic.clone());
        let shards = self.shards.iter().map(|shard| shard.read().unwrap_or_else(PoisonError::into_inner));
        shards.flat_map(|shard| shard.topics.iter().filter_map(of_realm).collect::<Vec<_>>()).collect()
    }

    /// Calls `see` with some of the topics and their numbers of members: those at `place`. Returns the next place, and
    /// `None` after the last one. A topic that is there all the time is seen at least once. A shard is locked for reading
    /// during a call, which is short.
    pub(crate) fn visit(&self, place: Place, see: impl FnMut(&Topic, usize)) -> Option<Place> {
        self.visit_some(VISITED_AT_ONCE, place, see)
    }

    fn visit_some(&self, at_once: usize, place: Place, mut see: impl FnMut(&Topic, usize)) -> Option<Place> {
        let Shard { topics, moves } = &*self.shards.get(place.shard)?.read().unwrap_or_else(PoisonError::into_inner);
        let buckets = topics.num_buckets();
        let (begin, end) = match place.bucket == 0 || place.moves == *moves {
            true => (place.bucket, buckets.min(place.bucket + at_once)),
            // topics have moved behind the place: the shard is looked at again, and at once, so that this has an end
            false => (0, buckets),
        };
        let seen = (begin..end).filter_map(|bucket| topics.get_bucket(bucket));
        seen.for_each(|(topic, members)| see(topic, members.len()));
        Some(match end < buckets {
            true => Place { shard: place.shard, bucket: end, moves: *moves },
            false => Place { shard: place.shard + 1, ..Place::default() },
        })
    }

    /// The number of topics that have members.
    pub(crate) fn topics(&self) -> usize {
        self.shards.iter().map(|shard| shard.read().unwrap_or_else(PoisonError::into_inner).topics.len()).sum()
    }

    fn find<R>(&self, topic: &str, f: impl FnOnce(&Members) -> R) -> Option<R> {
        let hash = self.hash(topic);
        let shard = self.shard(hash).read().unwrap_or_else(PoisonError::into_inner);
        shard.topics.find(hash, has_key(topic)).map(|(_, members)| f(members))
    }

    fn hash(&self, topic: &str) -> u64 {
        self.hasher.hash_one(topic)
    }

    /// Selects a shard by bits of the hash that the shard's own table does not use for its buckets.
    fn shard(&self, hash: u64) -> &RwLock<Shard> {
        &self.shards[(hash >> 32) as usize % SHARDS]
    }
}

fn has_key(topic: &str) -> impl Fn(&(Topic, Members)) -> bool {
    move |(known, _)| known.key() == topic
}

#[cfg(test)]
pub(crate) mod tests {
    use std::collections::HashSet;

    use proptest::prelude::*;

    use super::*;
    use crate::connections::connection::tests::allowing;
    use crate::message::JoinId;

    /// How many buckets a step of a short visit looks at.
    const GROUP: usize = 16;

    /// `size` joins of one connection, whose mailbox accepts nothing.
    pub(crate) fn crowd(size: u32) -> Vec<Member> {
        let connection = Arc::new(allowing(0));
        (0..size).map(|n| Member { join: JoinId(n), connection: connection.clone() }).collect()
    }

    #[test]
    fn a_topic_without_members_has_no_entry() {
        let (crowd, topic, table) = (crowd(3), Topic::parse("room:a").unwrap(), TopicTable::new());
        for (n, member) in crowd.iter().enumerate() {
            assert_eq!(table.insert(&topic, member.clone()), n + 1);
        }
        assert_eq!(table.remove("room:a", crowd[0].id()), Some(2));
        assert_eq!(table.remove("room:a", crowd[0].id()), None, "it has left already");
        assert_eq!(table.remove("room:a", crowd[2].id()), Some(1));
        assert_eq!(table.remove("room:a", crowd[1].id()), Some(0));
        assert_eq!((table.topics(), table.members("room:a").is_none()), (0, true));
    }

    #[test]
    fn a_member_is_replaced_in_its_place() {
        let (crowd, topic, table) = (crowd(4), Topic::parse("peer:a").unwrap(), TopicTable::new());
        let ids = || table.members("peer:a").iter().flat_map(|all| all.iter().map(Member::id)).collect::<Vec<_>>();
        table.replace("peer:a", crowd[0].id(), crowd[1].clone());
        assert_eq!(ids(), [], "a topic without members");
        table.insert(&topic, crowd[0].clone());
        table.replace("peer:a", crowd[0].id(), crowd[1].clone());
        assert_eq!(ids(), [crowd[1].id()]);
        table.insert(&topic, crowd[2].clone());
        table.replace("peer:a", crowd[1].id(), crowd[3].clone());
        table.replace("peer:a", crowd[0].id(), crowd[1].clone());
        assert_eq!(ids(), [crowd[3].id(), crowd[2].id()]);
    }

    /// Also while the table grows.
    #[test]
    fn a_visit_sees_every_topic() {
        let (crowd, table) = (crowd(1), TopicTable::new());
        let topic = |n: usize| Topic::parse(&format!("room:{n}")).unwrap();
        let add = |n: usize| table.insert(&topic(n), crowd[0].clone());
        const MANY: usize = 2 * SHARDS * VISITED_AT_ONCE;
        (0..MANY).map(add).for_each(|members| assert_eq!(members, 1));
        let (mut seen, mut steps, mut place) = (HashSet::new(), 0, Some(Place::default()));
        while let Some(at) = place {
            place = table.visit(at, |topic, members| {
                assert_eq!(members, 1);
                seen.insert(topic.clone());
            });
            steps += 1;
            if steps % 8 == 0 {
                assert!((0..MANY / 64).all(|n| add(MANY * (1 + steps) + n) == 1));
            }
        }
        assert!((0..MANY).all(|n| seen.contains(&topic(n))));
        assert!(steps > 2 * SHARDS, "{steps}");
    }

    proptest! {
        // each case makes thousands of changes
        #![proptest_config(ProptestConfig::with_cases(16))]

        /// Topics come and go between the steps of a visit, so that shards grow, and clear what removed topics have left.
        #[test]
        fn a_visit_sees_every_topic_that_stays(
            (staying, further) in (500..3_000_usize, 1_000..4_000_usize),
            turns in prop::collection::vec((0..100_usize, 0..100_usize), 1..60),
        ) {
            let (crowd, table) = (crowd(1), TopicTable::new());
            let topic = |n: usize| Topic::parse(&format!("room:{n}")).unwrap();
            let mut added = 0..;
            let mut add = |going: &mut Vec<usize>, count| {
                going.extend(added.by_ref().take(count).inspect(|n| assert_eq!(table.insert(&topic(*n), crowd[0].clone()), 1)));
            };
            let (mut stay, mut going) = (Vec::new(), Vec::new());
            add(&mut stay, staying);
            add(&mut going, further);
            let (mut seen, mut place) = (HashSet::new(), Some(Place::default()));
            let mut turns = turns.iter().cycle();
            while let Some(at) = place {
                place = table.visit_some(GROUP, at, |topic, _| {
                    seen.insert(topic.clone());
                });
                let (go, come) = turns.next().unwrap();
                for _ in 0..*go.min(&going.len()) {
                    table.remove(topic(going.swap_remove(0)).key(), crowd[0].id());
                }
                // a table that grows faster than it is visited would have no last step
                let room = further.saturating_sub(going.len());
                add(&mut going, room.min(*come));
            }
            let missed: Vec<_> = stay.iter().filter(|n| !seen.contains(&topic(**n))).collect();
            prop_assert!(missed.is_empty(), "missed {} of {staying}", missed.len());
        }
    }

    /// A shard that is full of what removed topics have left moves its topics within the same buckets.
    #[test]
    fn a_visit_sees_the_topics_that_a_shard_moves_without_growing() {
        (1..8).for_each(visit_a_shard_that_moves_after);
    }

    fn visit_a_shard_that_moves_after(steps: usize) {
        let (crowd, table) = (crowd(1), TopicTable::new());
        let add = |topic: &Topic| assert_eq!(table.insert(topic, crowd[0].clone()), 1);
        let remove = |topic: &Topic| assert_eq!(table.remove(topic.key(), crowd[0].id()), Some(0));
        let state = || {
            let shard = table.shards[0].read().unwrap();
            (shard.topics.num_buckets(), shard.moves)
        };
        let topics = (0..).map(|n: usize| Topic::parse(&format!("room:{n}")).unwrap());
        let mut of_shard = topics.filter(|topic| std::ptr::eq(table.shard(table.hash(topic.key())), &table.shards[0]));
        let mut staying: Vec<_> = of_shard.by_ref().take(440).inspect(add).collect();
        // a shard that is less than half full need not grow
        staying.drain(..240).for_each(|topic| remove(&topic));
        let mut seen = HashSet::new();
        let mut visit = |place| {
            table.visit_some(GROUP, place, |topic, _| {
                seen.insert(topic.clone());
            })
        };
        let mut place = (0..steps).fold(Place::default(), |place, _| visit(place).unwrap());
        let (buckets, moves) = state();
        while state().1 == moves {
            let going = of_shard.next().unwrap();
            add(&going);
            remove(&going);
        }
        assert_eq!(state().0, buckets, "it has not grown");
        while let Some(next) = visit(place) {
            place = next;
        }
        let missed = staying.iter().filter(|topic| !seen.contains(*topic)).count();
        assert_eq!(missed, 0, "after {steps} steps");
    }

    /// Names chosen to collide in the table of one node do not collide on another node, or after the next start.
    #[test]
    fn names_that_collide_in_one_table_are_spread_in_another() {
        let (known, other) = (TopicTable::new(), TopicTable::new());
        let in_shard = |table: &TopicTable, name: &str| {
            let shard = table.shard(table.hash(name));
            table.shards.iter().position(|one| std::ptr::eq(one, shard)).unwrap()
        };
        // the bits that a shard's own table uses
        let in_bucket = |table: &TopicTable, name: &str| table.hash(name) as usize % SHARDS;
        let positions: [fn(&TopicTable, &str) -> usize; 2] = [in_shard, in_bucket];
        for at in positions {
            let names = (0..).map(|n| format!("room:{n}")).filter(|name| at(&known, name) == 0);
            let mut counts = [0; SHARDS];
            names.take(10 * SHARDS).for_each(|name| counts[at(&other, &name)] += 1);
            assert!(counts.iter().all(|count| *count < 50), "about ten each, as for random names: {counts:?}");
        }
    }

    /// If the names of a shard shared buckets, each lookup would search through more of them as the table grows.
    #[test]
    fn names_of_one_shard_are_spread_over_its_buckets() {
        let table = TopicTable::new();
        let hashes = (0..).map(|n| table.hash(&format!("room:{n}")));
        let mut counts = [0; SHARDS];
        let in_first = hashes.filter(|hash| std::ptr::eq(table.shard(*hash), &table.shards[0]));
        in_first.take(10 * SHARDS).for_each(|hash| counts[hash as usize % SHARDS] += 1);
        assert!(counts.iter().all(|count| *count < 50), "about ten each, as for random names: {counts:?}");
    }
}
