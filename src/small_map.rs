//! A map for small numbers of entries. Most sockets have one or two topics.

use std::hash::RandomState;

use halfbrown::SizedHashMap;

/// A map that searches a list while it has few entries, and becomes a hash table when it has more. Its keys may come
/// from clients, so the hasher is the randomly seeded one of the standard library.
pub(crate) type SmallMap<K, V> = SizedHashMap<K, V, RandomState, 8>;
