//! The shares of the kinds of clients that connect from one client IP. Clients of one kind may use at most half of the
//! IP's rate of new sockets, so that a page that connects in a loop does not shut out the other clients behind the same
//! IP.

use std::hash::{BuildHasher, RandomState};
use std::time::Instant;

use crate::connections::token_bucket::{Rate, TokenBucket};

/// How many kinds of an IP have a bucket of their own at a time. All others share one. A bucket takes 32 bytes.
const KINDS: usize = 8;

/// A kind of clients: they use the same browser or library, the same page, and the same mount.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct ClientKind(u64);

impl ClientKind {
    /// The kind of a client that sends these headers to this path. `keys` is random, so that no client can choose the
    /// kind of another one.
    pub(crate) fn new(keys: &RandomState, user_agent: &[u8], origin: &[u8], path: &str) -> Self {
        Self(keys.hash_one((user_agent, origin, path)))
    }
}

/// The share of each kind in `rate`: half of it.
pub(crate) fn share(rate: Rate) -> Rate {
    Rate { rate: rate.rate, period: rate.period * 2, burst: rate.burst.div_ceil(2) }
}

/// The buckets of the kinds that have connected lately.
#[derive(Default)]
pub(crate) struct KindBuckets {
    known: Vec<(ClientKind, TokenBucket)>,
    others: Option<TokenBucket>,
}

impl KindBuckets {
    /// Whether the kind has used up its share. It takes no token.
    pub(crate) fn is_empty(&mut self, kind: ClientKind, rate: &Rate, now: Instant) -> bool {
        self.bucket(kind, rate, now).is_empty(rate, now)
    }

    pub(crate) fn take(&mut self, kind: ClientKind, rate: &Rate, now: Instant) {
        self.bucket(kind, rate, now).take(rate, now);
    }

    /// Forgets the kinds whose buckets are full again. Returns whether none is left.
    pub(crate) fn forget_full(&mut self, rate: &Rate, now: Instant) -> bool {
        self.known.retain_mut(|(_, bucket)| !bucket.is_full(rate, now));
        self.others.take_if(|bucket| bucket.is_full(rate, now));
        self.known.is_empty() && self.others.is_none()
    }

    fn bucket(&mut self, kind: ClientKind, rate: &Rate, now: Instant) -> &mut TokenBucket {
        let full = || TokenBucket::full(rate, now);
        if let Some(at) = self.known.iter().position(|(known, _)| *known == kind) {
            return &mut self.known[at].1;
        }
        if self.known.len() >= KINDS {
            self.forget_full(rate, now);
        }
        if self.known.len() >= KINDS {
            return self.others.get_or_insert_with(full);
        }
        self.known.push((kind, full()));
        let (_, bucket) = self.known.last_mut().expect("a bucket was pushed");
        bucket
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn each_kind_has_half_and_the_number_of_kinds_is_limited() {
        let (rate, start) = (share(Rate::per_second(10, 9)), Instant::now());
        let mut buckets = KindBuckets::default();
        let mut drain = |kind: u64, now| {
            let kind = ClientKind(kind);
            let mut taken = 0;
            while !buckets.is_empty(kind, &rate, now) {
                buckets.take(kind, &rate, now);
                taken += 1;
            }
            (taken, buckets.known.len())
        };
        assert_eq!((drain(0, start), drain(0, start)), ((5, 1), (0, 1)));
        let later = start + Duration::from_millis(400);
        assert_eq!(drain(0, later).0, 2, "it refills at half of the rate");
        for kind in 1..KINDS as u64 {
            assert_eq!(drain(kind, later).0, 5);
        }
        assert_eq!((drain(100, later), drain(101, later)), ((5, KINDS), (0, KINDS)), "these share one bucket");
        // kinds whose buckets are full again make room
        assert_eq!(drain(102, later + Duration::from_secs(10)), (5, 1));
    }

    #[test]
    fn a_kind_is_a_browser_a_page_and_a_mount() {
        let keys = RandomState::new();
        let kind = |agent: &str, origin: &str, path| ClientKind::new(&keys, agent.as_bytes(), origin.as_bytes(), path);
        assert_eq!(kind("a", "b", "/c"), kind("a", "b", "/c"));
        for other in [kind("x", "b", "/c"), kind("a", "x", "/c"), kind("a", "b", "/x"), kind("ab", "", "/c")] {
            assert_ne!(kind("a", "b", "/c"), other);
        }
    }
}
