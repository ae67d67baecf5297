//! The names of the binary dialect that were used last, for its `list` messages.

use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::connections::connection::ConnectionId;
use crate::topic::Topic;

/// As many as the original keeps. It forgets older names altogether; here they can still be reached.
const MAX_NAMES: usize = 10;

/// The names, the newest last, each with the connection that owns it. The names of one node.
#[derive(Default)]
pub(super) struct RecentNames(Mutex<VecDeque<(Topic, ConnectionId)>>);

impl RecentNames {
    /// Makes a name the newest.
    pub(super) fn add(&self, name: &Topic, owner: ConnectionId) {
        let mut names = self.lock();
        names.retain(|(other, _)| other != name);
        if names.len() == MAX_NAMES {
            names.pop_front();
        }
        names.push_back((name.clone(), owner));
    }

    /// Removes a name, unless another connection has taken it over.
    pub(super) fn remove(&self, name: &Topic, owner: ConnectionId) {
        self.lock().retain(|(other, other_owner)| (other, *other_owner) != (name, owner));
    }

    pub(super) fn names(&self) -> Vec<Topic> {
        self.lock().iter().map(|(name, _)| name.clone()).collect()
    }

    fn lock(&self) -> MutexGuard<'_, VecDeque<(Topic, ConnectionId)>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
