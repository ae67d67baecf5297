//! The bound of what waits to be sent to the engine (`cluster.queue_bytes`).

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// The memory that a command takes beside its content, in bytes: itself, its place in the queue, its answer, and the
/// task that works on it.
const COMMAND_OVERHEAD: usize = 512;

/// How many bytes wait to be sent to the engine, up to a limit. A command counts until it has left the node.
#[derive(Clone)]
pub(super) struct QueueBudget(Arc<Budget>);

struct Budget {
    limit: usize,
    used: AtomicUsize,
}

/// Room for one command. Dropping it gives the room back.
pub(super) struct Reserved {
    budget: Arc<Budget>,
    bytes: usize,
}

impl QueueBudget {
    /// A budget of `limit` bytes. The last command may exceed it.
    pub(super) fn new(limit: usize) -> Self {
        Self(Arc::new(Budget { limit, used: AtomicUsize::new(0) }))
    }

    /// Room for a command with `bytes` bytes of content, unless the limit is reached.
    pub(super) fn reserve(&self, bytes: usize) -> Option<Reserved> {
        let reserved = self.reserve_anyway(bytes);
        (self.bytes() - reserved.bytes < self.0.limit).then_some(reserved)
    }

    /// Room for a command that is never refused, because no client can cause it at any rate.
    pub(super) fn reserve_anyway(&self, bytes: usize) -> Reserved {
        let bytes = COMMAND_OVERHEAD + bytes;
        // relaxed: no other memory is synchronised by this counter
        self.0.used.fetch_add(bytes, Ordering::Relaxed);
        Reserved { budget: self.0.clone(), bytes }
    }

    /// The size of what waits, in bytes.
    pub(super) fn bytes(&self) -> usize {
        self.0.used.load(Ordering::Relaxed)
    }
}

impl Drop for Reserved {
    fn drop(&mut self) {
        self.budget.used.fetch_sub(self.bytes, Ordering::Relaxed);
    }
}
