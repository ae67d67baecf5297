//! Which node holds which name, as far as this node knows, and the names that have just been given up.

use std::collections::HashMap;
use std::num::NonZeroUsize;
use std::time::Duration;

use lru::LruCache;
use tokio::time::Instant;

use crate::broker::adapter::{Epoch, NodeId};
use crate::cluster::outgoing::OutgoingSignal;
use crate::topic::Topic;

/// How many routes are kept. One takes about 200 bytes.
const ROUTES: NonZeroUsize = NonZeroUsize::new(65_536).unwrap();
/// How many names are remembered that this node has just given up.
const GIVEN_UP: NonZeroUsize = NonZeroUsize::new(65_536).unwrap();

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
    /// How many signals have been sent.
    signals: u64,
    /// When this node gave up a name, or was asked to.
    given_up: LruCache<Topic, Instant>,
    /// How long a name may be on its way.
    timeout: Duration,
}

impl Routes {
    pub(super) fn new(timeout: Duration) -> Self {
        let (known, given_up) = (LruCache::new(ROUTES), LruCache::new(GIVEN_UP));
        Self { known, lookups: HashMap::new(), signals: 0, given_up, timeout }
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

    /// Gives a new signal its number.
    pub(super) fn number(&mut self, signal: &mut OutgoingSignal) {
        self.signals += 1;
        signal.number = self.signals;
    }

    /// Lets a signal wait for the lookup of its name, before those that were sent later. Returns the name if the lookup has
    /// to be started.
    pub(super) fn wait(&mut self, mut signal: OutgoingSignal) -> Option<Topic> {
        let name = signal.name.clone();
        let waiting = self.lookups.entry(name.clone()).or_default();
        signal.is_looked_up = false;
        let place = waiting.partition_point(|other| other.number < signal.number);
        waiting.insert(place, signal);
        (waiting.len() == 1).then_some(name)
    }

    /// Whether the name is being looked up.
    pub(super) fn is_looked_up(&self, name: &Topic) -> bool {
        self.lookups.contains_key(name)
    }

    /// Notes that the directory is asked for a name now.
    pub(super) fn set_looked_up(&mut self, name: &Topic) {
        for signal in self.lookups.get_mut(name).into_iter().flatten() {
            signal.is_looked_up = true;
        }
    }

    /// The signals that wait for the lookup of a name, which is over.
    pub(super) fn looked_up(&mut self, name: &Topic) -> Vec<OutgoingSignal> {
        self.lookups.remove(name).unwrap_or_default()
    }

    /// Notes that this node gives up a name, or has done so.
    pub(super) fn set_given_up(&mut self, name: Topic) {
        self.given_up.put(name, Instant::now());
    }

    /// Whether this node has given up a name so lately that the directory may still have its entry. The name has another
    /// owner in a moment.
    pub(super) fn was_given_up(&self, name: &Topic) -> bool {
        self.given_up.peek(name).is_some_and(|at| at.elapsed() < self.timeout)
    }
}
