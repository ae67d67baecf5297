//! A table of few things, as most sockets and connections have: one or two topics each.

use std::hash::RandomState;

use halfbrown::SizedHashMap;

/// A list that is searched through as long as it is short, and a table when it is not; its keys may be what a client
/// says.
pub(crate) type SmallMap<K, V> = SizedHashMap<K, V, RandomState, 8>;
