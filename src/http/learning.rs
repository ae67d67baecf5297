//! [`Learning`]: whether the node has asked the other nodes which tokens are revoked. The questions themselves are in
//! [`server`](crate::server).

use std::sync::atomic::{AtomicBool, Ordering};

use tokio::sync::Notify;

/// What the node knows about the revocations of other nodes. A node without other nodes has nothing to learn.
pub(crate) struct Learning {
    /// Whether the node has asked the others since it started, or has waited long enough. Until then it accepts no tokens.
    has_started: AtomicBool,
    /// Whether the others have answered since the node was without them, or are known to be silent. Until then the node is
    /// not ready.
    is_up_to_date: AtomicBool,
    ask_again: Notify,
}

impl Default for Learning {
    fn default() -> Self {
        let is_done = || AtomicBool::new(true);
        Self { has_started: is_done(), is_up_to_date: is_done(), ask_again: Notify::new() }
    }
}

impl Learning {
    /// From now on the node accepts no tokens, until it [has asked](Self::end).
    pub(crate) fn begin(&self) {
        self.has_started.store(false, Ordering::Relaxed);
        self.is_up_to_date.store(false, Ordering::Relaxed);
    }

    /// The node is without the other nodes. It still accepts tokens if it did before, but is not ready until it has asked
    /// again.
    pub(super) fn interrupt(&self) {
        if self.is_up_to_date.swap(false, Ordering::Relaxed) {
            self.ask_again();
        }
    }

    /// The node need not wait for the other nodes any longer to accept tokens. Returns whether that is news.
    pub(crate) fn stop_waiting(&self) -> bool {
        !self.has_started.swap(true, Ordering::Relaxed)
    }

    /// The node has asked the other nodes. Returns whether it was not ready before.
    pub(crate) fn end(&self) -> bool {
        self.has_started.store(true, Ordering::Relaxed);
        !self.is_up_to_date.swap(true, Ordering::Relaxed)
    }

    /// Whether the node accepts tokens.
    pub(super) fn accepts_tokens(&self) -> bool {
        self.has_started.load(Ordering::Relaxed)
    }

    /// Whether the node knows what the others know.
    pub(super) fn readiness(&self) -> Result<(), String> {
        match self.is_up_to_date.load(Ordering::Relaxed) {
            true => Ok(()),
            false => Err("the other nodes have not said yet which tokens are revoked".into()),
        }
    }

    /// Other nodes may know what this one has missed.
    pub(super) fn ask_again(&self) {
        self.ask_again.notify_one();
    }

    /// Waits until other nodes may know what this one has missed.
    pub(crate) async fn others_changed(&self) {
        self.ask_again.notified().await;
    }
}
