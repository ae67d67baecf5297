//! [`HeldToken`]: the token of a connected client, which ends its connection.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Instant;

use crate::auth::{Access, SubjectSlot};

/// What the token of a connected client permits, and when it ends the connection. A token's time runs on while the node's
/// process is stopped, so this is a time of the system's clock and not of the node's.
pub(super) struct HeldToken {
    access: Mutex<Access>,
    /// Counts the client's socket until the connection has ended, though others may still refer to it.
    place: Mutex<Option<SubjectSlot>>,
    /// The client's first token arrived then.
    first: Instant,
    /// The time from `first` to the end, in milliseconds. Each sweep of the hub reads it, without a lock.
    lasts: AtomicU64,
}

impl HeldToken {
    pub(super) fn new(access: Access, place: Option<SubjectSlot>) -> Self {
        let first = Instant::now();
        Self {
            place: Mutex::new(place),
            lasts: AtomicU64::new(millis(first, access.ends())),
            access: Mutex::new(access),
            first,
        }
    }

    /// The client has a fresh token.
    pub(super) fn replace(&self, access: Access) {
        let mut held = self.access.lock().unwrap_or_else(PoisonError::into_inner);
        self.lasts.store(millis(self.first, access.ends()), Ordering::Relaxed);
        *held = access;
    }

    pub(super) fn free_place(&self) {
        self.place.lock().unwrap_or_else(PoisonError::into_inner).take();
    }

    pub(super) fn access(&self) -> Access {
        self.access.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Whether the token has ended the connection, at a time of the system's clock.
    pub(super) fn is_over(&self, now: Instant) -> bool {
        millis(self.first, now) >= self.lasts.load(Ordering::Relaxed)
    }
}

fn millis(from: Instant, to: Instant) -> u64 {
    u64::try_from(to.saturating_duration_since(from).as_millis()).unwrap_or(u64::MAX)
}
