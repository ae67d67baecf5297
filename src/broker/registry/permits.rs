//! Turns at the registry: how much may wait for it. Whatever a client wishes for that the registry alone can do (to
//! join, to listen, to watch, to change its row, to have a signal wait) has a turn from the wish until the registry
//! takes it up; when there is none, the wish is declined at once, in words of its own.
//!
//! What gives something back needs none and is never declined. It is bounded all the same: each join is left once,
//! and of each connection that was let wish for anything its end is told twice at most.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// What an order takes in memory beside the texts that it carries, in bytes: itself, its envelope, its place in the
/// queue.
const ORDER_SIZE: usize = 256;

/// All turns of one registry.
#[derive(Debug)]
pub(crate) struct CommandBudget {
    bound: usize,
    waiting: AtomicUsize,
}

/// The turn of one order. It is over when this is dropped, whatever becomes of the order.
#[derive(Debug)]
pub(crate) struct Permit {
    budget: Arc<CommandBudget>,
    bytes: usize,
}

impl CommandBudget {
    /// Orders of so many bytes may wait at a time (`limits.registry_queue_bytes`), and one more that begins below it.
    pub(crate) fn new(bound: usize) -> Arc<Self> {
        Arc::new(Self { bound, waiting: AtomicUsize::new(0) })
    }

    /// The turn of an order that carries so many bytes, unless too much waits already.
    pub(crate) fn take(self: &Arc<Self>, bytes: usize) -> Option<Permit> {
        let bytes = ORDER_SIZE + bytes;
        // a number that nothing else hangs on: no other memory is passed with it
        if self.waiting.fetch_add(bytes, Ordering::Relaxed) < self.bound {
            return Some(Permit { budget: self.clone(), bytes });
        }
        self.waiting.fetch_sub(bytes, Ordering::Relaxed);
        None
    }

    /// How many bytes wait.
    pub(crate) fn bytes(&self) -> usize {
        self.waiting.load(Ordering::Relaxed)
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        self.budget.waiting.fetch_sub(self.bytes, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::broker::registry::command::Admitted;
    use crate::config::schema::Limits;

    /// Ten thousand come back at once, each to its name and a room, before the registry has taken up any of it.
    #[test]
    fn a_storm_is_no_flood() {
        let (limits, peer) = (Limits::default(), "peer:00000000-0000-4000-8000-000000000000");
        let budget = CommandBudget::new(limits.registry_queue_bytes);
        let taken: Vec<_> =
            (0..10_000).flat_map(|_| [budget.take(peer.len()), budget.take(limits.topic_bytes)]).collect();
        assert!(taken.iter().all(Option::is_some), "{} bytes wait", budget.bytes());
    }

    #[test]
    fn no_order_is_larger_than_it_counts() {
        // its envelope and its node are allocations of their own, each with what the allocator adds
        const REST: usize = 64;
        assert!(size_of::<Admitted>() + REST <= ORDER_SIZE, "{}", size_of::<Admitted>());
    }

    proptest! {
        /// Whoever takes and whoever gives back, in whatever order: what waits is what was taken, one is declined when
        /// the bound is reached and not before, and nothing waits in the end.
        #[test]
        fn what_waits_is_what_was_taken(
            bound in 1..20_000_usize,
            steps in prop::collection::vec((any::<bool>(), 0..2_000_usize), 0..200),
        ) {
            let (budget, mut taken) = (CommandBudget::new(bound), Vec::new());
            for (take, n) in steps {
                let before = budget.bytes();
                match take {
                    true => match budget.take(n) {
                        Some(permit) => {
                            prop_assert!(before < bound);
                            taken.push(permit);
                        }
                        None => prop_assert!(before >= bound),
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
