//! Which node holds which name, as far as this node knows, and the names that are about to move.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::num::NonZeroUsize;
use std::time::Duration;

use lru::LruCache;
use tokio::time::Instant;

use crate::broker::adapter::{Epoch, NodeId};
use crate::cluster::outgoing::OutgoingSignal;
use crate::topic::Topic;

/// How many routes are kept. One takes about 200 bytes.
const ROUTES: NonZeroUsize = NonZeroUsize::new(65_536).unwrap();
/// How many names are remembered that have just moved.
const MOVED: NonZeroUsize = NonZeroUsize::new(65_536).unwrap();

/// Where a name is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Route {
    pub(super) node: NodeId,
    pub(super) epoch: Epoch,
}

/// The routes, and the signals that wait for one.
pub(super) struct Routes {
    known: LruCache<Topic, Route>,
    /// The signals to each name that is being looked up, oldest first. Later ones wait behind them.
    lookups: HashMap<Topic, Vec<OutgoingSignal>>,
    /// The claims of this node that are under way. The directory may have granted them already.
    claims: HashMap<Topic, usize>,
    /// When this node got or gave up a name.
    moved: LruCache<Topic, Instant>,
    /// How long a name may be on its way.
    timeout: Duration,
}

impl Routes {
    pub(super) fn new(timeout: Duration) -> Self {
        let (known, moved) = (LruCache::new(ROUTES), LruCache::new(MOVED));
        Self { known, lookups: HashMap::new(), claims: HashMap::new(), moved, timeout }
    }

    pub(super) fn get(&mut self, name: &Topic) -> Option<Route> {
        self.known.get(name).cloned()
    }

    pub(super) fn put(&mut self, name: Topic, route: Route) {
        self.known.put(name, route);
    }

    /// Forgets a route that has led nowhere, unless a newer one is known.
    pub(super) fn forget(&mut self, name: &Topic, route: &Route) {
        if self.known.peek(name) == Some(route) {
            self.known.pop(name);
        }
    }

    /// Lets a signal wait for the lookup of its name. Returns the name if the lookup has to be started.
    pub(super) fn wait(&mut self, signal: OutgoingSignal) -> Option<Topic> {
        let name = signal.name.clone();
        let waiting = self.lookups.entry(name.clone()).or_default();
        waiting.push(signal);
        (waiting.len() == 1).then_some(name)
    }

    /// Whether the name is being looked up.
    pub(super) fn is_looked_up(&self, name: &Topic) -> bool {
        self.lookups.contains_key(name)
    }

    /// The signals that wait for the lookup of a name, which is over.
    pub(super) fn looked_up(&mut self, name: &Topic) -> Vec<OutgoingSignal> {
        self.lookups.remove(name).unwrap_or_default()
    }

    /// Notes that a claim of this node begins.
    pub(super) fn claim_begins(&mut self, name: &Topic) {
        *self.claims.entry(name.clone()).or_default() += 1;
    }

    /// Notes that a claim of this node is decided.
    pub(super) fn claim_ends(&mut self, name: &Topic) {
        if let Entry::Occupied(mut claims) = self.claims.entry(name.clone()) {
            *claims.get_mut() -= 1;
            if *claims.get() == 0 {
                claims.remove();
            }
        }
    }

    /// Notes that this node has got `name`, or has given it up.
    pub(super) fn set_moved(&mut self, name: Topic) {
        self.moved.put(name, Instant::now());
    }

    /// Whether `name` may be on its way from one node to another, or from the directory to this node's registry. Then it
    /// has an owner in a moment, although it has none here.
    pub(super) fn is_moving(&self, name: &Topic) -> bool {
        self.claims.contains_key(name) || self.moved.peek(name).is_some_and(|at| at.elapsed() < self.timeout)
    }
}
