//! The table that the registry publishes: who is on which topic, readable from every thread.
//!
//! The registry alone writes it. A broadcast takes a topic's members out by copying one pointer and
//! then sends without any lock; a writer copies the list only while somebody still holds it.

use std::hash::{BuildHasher, RandomState};
use std::ops::Deref;
use std::sync::{Arc, PoisonError, RwLock};

use hashbrown::HashTable;
use hashbrown::hash_table::Entry;

use crate::connections::connection::{Member, MemberId};
use crate::topic::{Realm, Topic};

/// More shards than a machine has cores that could meet at one.
const SHARDS: usize = 64;

/// A topic's members as they were at one moment: most topics are a peer's, and have one.
#[derive(Clone)]
pub(crate) enum Members {
    GaugeGuard(Member),
    Many(Arc<Vec<Member>>),
}

impl Members {
    fn push(&mut self, member: Member) {
        match self {
            Self::GaugeGuard(first) => *self = Self::Many(Arc::new(vec![first.clone(), member])),
            Self::Many(members) => Arc::make_mut(members).push(member),
        }
    }
}

impl Deref for Members {
    type Target = [Member];

    fn deref(&self) -> &[Member] {
        match self {
            Self::GaugeGuard(member) => std::slice::from_ref(member),
            Self::Many(members) => members,
        }
    }
}

type Shard = RwLock<HashTable<(Topic, Members)>>;

/// Topic to members. A topic without members has no entry.
pub(crate) struct TopicTable {
    shards: Box<[Shard]>,
    hasher: RandomState,
}

impl TopicTable {
    pub(crate) fn new() -> Self {
        Self { shards: (0..SHARDS).map(|_| Shard::default()).collect(), hasher: RandomState::new() }
    }

    /// The topic's members, or nothing when there are none.
    pub(crate) fn members(&self, topic: &str) -> Option<Members> {
        self.find(topic, Members::clone)
    }

    pub(crate) fn count(&self, topic: &str) -> usize {
        self.find(topic, |members| members.len()).unwrap_or(0)
    }

    /// Adds a member and says how many there are now.
    pub(crate) fn insert(&self, topic: &Topic, member: Member) -> usize {
        let hash = self.hash(topic.key());
        let mut shard = self.shard(hash).write().unwrap_or_else(PoisonError::into_inner);
        match shard.entry(hash, is(topic.key()), |(topic, _)| self.hash(topic.key())) {
            Entry::Vacant(place) => {
                place.insert((topic.clone(), Members::GaugeGuard(member)));
                1
            }
            Entry::Occupied(mut place) => {
                let (_, members) = place.get_mut();
                members.push(member);
                members.len()
            }
        }
    }

    /// Removes a member; says how many are left, or nothing when it was not there.
    pub(crate) fn remove(&self, topic: &str, id: MemberId) -> Option<usize> {
        let hash = self.hash(topic);
        let mut shard = self.shard(hash).write().unwrap_or_else(PoisonError::into_inner);
        let mut place = shard.find_entry(hash, is(topic)).ok()?;
        let (_, members) = place.get_mut();
        // from the end: in a large room it is the newcomers who come and go
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
                place.remove();
                Some(0)
            }
        }
    }

    /// The topics of a realm that have members, in no order.
    pub(crate) fn topics_of(&self, realm: Realm) -> Vec<Topic> {
        let of_realm = |(topic, _): &(Topic, Members)| topic.key().starts_with(realm.mark()).then(|| topic.clone());
        let shards = self.shards.iter().map(|shard| shard.read().unwrap_or_else(PoisonError::into_inner));
        shards.flat_map(|shard| shard.iter().filter_map(of_realm).collect::<Vec<_>>()).collect()
    }

    /// How many topics have members.
    pub(crate) fn topics(&self) -> usize {
        self.shards.iter().map(|shard| shard.read().unwrap_or_else(PoisonError::into_inner).len()).sum()
    }

    fn find<R>(&self, topic: &str, f: impl FnOnce(&Members) -> R) -> Option<R> {
        let hash = self.hash(topic);
        let shard = self.shard(hash).read().unwrap_or_else(PoisonError::into_inner);
        shard.find(hash, is(topic)).map(|(_, members)| f(members))
    }

    fn hash(&self, topic: &str) -> u64 {
        self.hasher.hash_one(topic)
    }

    /// By bits of the hash that a shard's own table does not go by.
    fn shard(&self, hash: u64) -> &Shard {
        &self.shards[(hash >> 32) as usize % SHARDS]
    }
}

fn is(topic: &str) -> impl Fn(&(Topic, Members)) -> bool {
    move |(known, _)| known.key() == topic
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::connections::connection::tests::allowing;
    use crate::message::JoinId;

    /// So many joins of one connection, whose mailbox takes nothing.
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
        assert_eq!(table.remove("room:a", crowd[0].id()), None, "it has left");
        assert_eq!(table.remove("room:a", crowd[2].id()), Some(1));
        assert_eq!(table.remove("room:a", crowd[1].id()), Some(0));
        assert_eq!((table.topics(), table.members("room:a").is_none()), (0, true));
    }

    /// Names chosen to meet in one node's table cost another node, or the same after its next start, no more than any.
    #[test]
    fn names_that_meet_in_one_table_are_spread_in_another() {
        let (known, other) = (TopicTable::new(), TopicTable::new());
        let in_shard = |table: &TopicTable, name: &str| {
            let shard = table.shard(table.hash(name));
            table.shards.iter().position(|one| std::ptr::eq(one, shard)).unwrap()
        };
        // what a shard's own table goes by
        let in_bucket = |table: &TopicTable, name: &str| table.hash(name) as usize % SHARDS;
        let places: [fn(&TopicTable, &str) -> usize; 2] = [in_shard, in_bucket];
        for at in places {
            let names = (0..).map(|n| format!("room:{n}")).filter(|name| at(&known, name) == 0);
            let mut met = [0; SHARDS];
            names.take(10 * SHARDS).for_each(|name| met[at(&other, &name)] += 1);
            assert!(met.iter().all(|met| *met < 50), "ten each, were they any names: {met:?}");
        }
    }

    /// A shard's own table would else look through ever more of them, the larger it is.
    #[test]
    fn what_meets_in_a_shard_is_spread_in_its_table() {
        let table = TopicTable::new();
        let hashes = (0..).map(|n| table.hash(&format!("room:{n}")));
        let mut met = [0; SHARDS];
        let of_one = hashes.filter(|hash| std::ptr::eq(table.shard(*hash), &table.shards[0]));
        of_one.take(10 * SHARDS).for_each(|hash| met[hash as usize % SHARDS] += 1);
        assert!(met.iter().all(|met| *met < 50), "ten each, as of all names: {met:?}");
    }
}
