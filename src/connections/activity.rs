//! [`Activity`]: whether bytes have arrived from a client.

use std::sync::atomic::{AtomicU8, Ordering};

/// The flags. The sweep of the [hub](crate::connections::hub) clears the first, and a ping of the registry the second.
/// Nothing clears the third.
const ACTIVE: u8 = 1;
const ANSWERED: u8 = 2;
const USED: u8 = 4;

/// Whether bytes have arrived from one client. Each reader has a flag of its own. A new connection counts as active.
pub(crate) struct Activity(AtomicU8);

impl Default for Activity {
    fn default() -> Self {
        Self(AtomicU8::new(ACTIVE))
    }
}

impl Activity {
    /// Records that bytes have arrived from the client.
    pub(crate) fn mark(&self) {
        self.0.store(ACTIVE | ANSWERED | USED, Ordering::Relaxed);
    }

    /// Whether bytes have arrived since the last call.
    pub(crate) fn take(&self) -> bool {
        self.0.fetch_and(!ACTIVE, Ordering::Relaxed) & ACTIVE != 0
    }

    /// From now on, an answer of the client is expected.
    pub(crate) fn expect_answer(&self) {
        self.0.fetch_and(!ANSWERED, Ordering::Relaxed);
    }

    /// Whether bytes have arrived since the last [`expect_answer`](Self::expect_answer).
    pub(crate) fn has_answered(&self) -> bool {
        self.0.load(Ordering::Relaxed) & ANSWERED != 0
    }

    /// Whether bytes have ever arrived since the handshake.
    pub(crate) fn is_used(&self) -> bool {
        self.0.load(Ordering::Relaxed) & USED != 0
    }
}
