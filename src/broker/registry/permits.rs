//! Permits for a queue of commands: they limit how many bytes of commands may wait. The registry has such a queue, and the
//! thread of the adapter to other nodes.
//!
//! Each command of a client that only the registry can run (join, subscribe, watch, presence update, held signal) needs a
//! permit, and holds it from its request until the registry handles it. When no permit is left, the command is refused
//! immediately.
//!
//! Messages that remove something need no permit and are never refused. They are limited all the same: each join is
//! unsubscribed once, and the end of a connection that has had a permit is reported at most twice.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};

#[cfg(feature = "cluster")]
use bytes::Bytes;

#[cfg(feature = "cluster")]
use crate::memory::keep_with;
use crate::metrics::instruments::Gauge;

/// The memory that a command of the registry takes beside its strings, in bytes: the command, its actor envelope and its
/// node in the queue.
const COMMAND_OVERHEAD: usize = 256;

/// The permits of one queue.
#[derive(Debug)]
pub(crate) struct CommandBudget {
    limit: usize,
    /// What each command takes beside its strings, in bytes.
    overhead: usize,
    used: AtomicUsize,
    /// Shows the bytes in use, if they are shown.
    gauge: OnceLock<Gauge>,
}

/// The permit of one command. Dropping it gives its bytes back to the budget.
#[derive(Debug)]
pub(crate) struct Permit {
    budget: Arc<CommandBudget>,
    bytes: usize,
}

impl CommandBudget {
    /// Commands of the registry of up to `limit` bytes may wait at a time (`limits.registry_queue_bytes`). The last command
    /// may exceed the limit.
    pub(crate) fn new(limit: usize) -> Arc<Self> {
        Self::with_overhead(limit, COMMAND_OVERHEAD)
    }

    /// The same for commands that take `overhead` bytes beside their strings.
    pub(crate) fn with_overhead(limit: usize, overhead: usize) -> Arc<Self> {
        Arc::new(Self { limit, overhead, used: AtomicUsize::new(0), gauge: OnceLock::new() })
    }

    /// From now on, the gauge shows the bytes in use. It is called before any permit is taken, and once.
    #[cfg(feature = "cluster")]
    pub(crate) fn show_in(&self, gauge: Gauge) {
        let _ = self.gauge.set(gauge);
    }

    /// A permit for a command with strings of `bytes` bytes, unless the limit is reached.
    pub(crate) fn take(self: &Arc<Self>, bytes: usize) -> Option<Permit> {
        let (before, permit) = self.add(bytes);
        (before < self.limit).then_some(permit)
    }

    /// A permit for a command that is never refused.
    #[cfg(feature = "cluster")]
    pub(crate) fn take_anyway(self: &Arc<Self>, bytes: usize) -> Permit {
        self.add(bytes).1
    }

    /// Counts a command. Returns the bytes in use before it, and its permit.
    fn add(self: &Arc<Self>, bytes: usize) -> (usize, Permit) {
        let bytes = self.overhead + bytes;
        // relaxed: no other memory is synchronised by this counter
        let before = self.used.fetch_add(bytes, Ordering::Relaxed);
        if let Some(gauge) = self.gauge.get() {
            gauge.add(bytes);
        }
        (before, Permit { budget: self.clone(), bytes })
    }

    /// The size of the commands that wait, in bytes.
    pub(crate) fn bytes(&self) -> usize {
        self.used.load(Ordering::Relaxed)
    }
}

#[cfg(feature = "cluster")]
impl Permit {
    /// The same bytes. They hold the permit until the last clone is dropped.
    pub(crate) fn hold(self: &Arc<Self>, bytes: Bytes) -> Bytes {
        keep_with(bytes, self.clone())
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        self.budget.used.fetch_sub(self.bytes, Ordering::Relaxed);
        if let Some(gauge) = self.budget.gauge.get() {
            gauge.sub(self.bytes);
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::broker::registry::command::Admitted;
    use crate::config::schema::Limits;

    /// Ten thousand clients reconnect in a burst, each to its name and a room, before the registry handles any command.
    #[test]
    fn the_default_limit_admits_ten_thousand_reconnecting_clients() {
        let (limits, peer) = (Limits::default(), "peer:00000000-0000-4000-8000-000000000000");
        let budget = CommandBudget::new(limits.registry_queue_bytes);
        let taken: Vec<_> =
            (0..10_000).flat_map(|_| [budget.take(peer.len()), budget.take(limits.topic_bytes)]).collect();
        assert!(taken.iter().all(Option::is_some), "{} bytes are in use", budget.bytes());
    }

    #[test]
    fn a_command_takes_no_more_memory_than_its_overhead() {
        // the envelope and the queue node are separate allocations, each with the allocator's own overhead
        const REST: usize = 64;
        assert!(size_of::<Admitted>() + REST <= COMMAND_OVERHEAD, "{}", size_of::<Admitted>());
    }

    proptest! {
        /// In any order of taking and dropping permits: the bytes in use are those of the live permits, a permit is
        /// refused only once the limit is reached, and no bytes are in use in the end.
        #[test]
        fn used_bytes_are_those_of_live_permits(
            limit in 1..20_000_usize,
            steps in prop::collection::vec((any::<bool>(), 0..2_000_usize), 0..200),
        ) {
            let (budget, mut taken) = (CommandBudget::new(limit), Vec::new());
            for (take, n) in steps {
                let before = budget.bytes();
                match take {
                    true => match budget.take(n) {
                        Some(permit) => {
                            prop_assert!(before < limit);
                            taken.push(permit);
                        }
                        None => prop_assert!(before >= limit),
                    },
                    false if taken.is_empty() => {}
                    false => drop(taken.swap_remove(n % taken.len())),
                }
                prop_assert_eq!(budget.bytes(), taken.iter().map(|permit| permit.bytes).sum::<usize>());
            }
            drop(taken);
            prop_assert_eq!(budget.bytes(), 0);
        }
    }
}
