//! Permits for the registry's queue: they limit how many bytes of commands may wait for the registry. Each command of a
//! client that only the registry can run (join, subscribe, watch, presence update, held signal) needs a permit, and
//! holds it from its request until the registry handles it. When no permit is left, the command is refused immediately.
//!
//! Messages that remove something need no permit and are never refused. They are limited all the same: each join is
//! unsubscribed once, and the end of a connection that has had a permit is reported at most twice.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// The memory that a command takes beside its strings, in bytes: the command, its actor envelope and its node in the
/// queue.
const COMMAND_OVERHEAD: usize = 256;

/// The permits of one registry.
#[derive(Debug)]
pub(crate) struct CommandBudget {
    limit: usize,
    used: AtomicUsize,
}

/// The permit of one command. Dropping it gives its bytes back to the budget.
#[derive(Debug)]
pub(crate) struct Permit {
    budget: Arc<CommandBudget>,
    bytes: usize,
}

impl CommandBudget {
    /// Commands of up to `limit` bytes may wait at a time (`limits.registry_queue_bytes`). The last command may exceed
    /// the limit.
    pub(crate) fn new(limit: usize) -> Arc<Self> {
        Arc::new(Self { limit, used: AtomicUsize::new(0) })
    }

    /// A permit for a command with strings of `bytes` bytes, unless the limit is reached.
    pub(crate) fn take(self: &Arc<Self>, bytes: usize) -> Option<Permit> {
        let bytes = COMMAND_OVERHEAD + bytes;
        // relaxed: no other memory is synchronised by this counter
        if self.used.fetch_add(bytes, Ordering::Relaxed) < self.limit {
            return Some(Permit { budget: self.clone(), bytes });
        }
        self.used.fetch_sub(bytes, Ordering::Relaxed);
        None
    }

    /// The size of the commands that wait, in bytes.
    pub(crate) fn bytes(&self) -> usize {
        self.used.load(Ordering::Relaxed)
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        self.budget.used.fetch_sub(self.bytes, Ordering::Relaxed);
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
