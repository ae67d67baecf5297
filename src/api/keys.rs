//! The keys of the server API: which key a request has, what it permits, and how many requests it may make.
//!
//! A key is compared by its SHA-256, with every key and in constant time, so that the time of an answer tells nothing
//! about a key. An address that has sent too many wrong keys gets 429 for further ones. A right key is always admitted:
//! backends may share an address, such as that of a proxy, with others.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use actix_web::http::StatusCode;
use actix_web::http::header::{self, HeaderMap};
use sha2::{Digest, Sha256};

use crate::api::answer::ApiError;
use crate::config::api::{ApiKey, Permission};
use crate::connections::ip_limits::network;
use crate::connections::token_bucket::{Rate, RateVerdict, TokenBucket};

/// The number of wrong keys that an address may send in a minute.
const WRONG_KEYS: Rate = Rate::per_minute(10, 10);
/// The time in which an address gets one of them back, in seconds.
const WRONG_KEY_SECONDS: u32 = 6;
/// The reason of what is refused then.
const TOO_MANY_WRONG: &str = "too many wrong keys";
/// How many addresses are remembered. All others share one count.
const ADDRESSES: usize = 1_024;
/// The name of the backends on the unix socket, in the log.
const SOCKET: &str = "unix socket";

/// All keys.
pub(super) struct Keys {
    keys: Vec<Key>,
    rate: Rate,
    /// Whether a request needs a key. On a unix socket it does not.
    are_needed: bool,
    wrong: Mutex<WrongKeys>,
}

/// One key.
pub(super) struct Key {
    pub(super) name: Arc<str>,
    pub(super) permissions: Arc<[Permission]>,
    digest: [u8; 32],
    bucket: Mutex<TokenBucket>,
}

/// The addresses that have sent wrong keys.
#[derive(Default)]
struct WrongKeys {
    known: HashMap<IpAddr, TokenBucket>,
    others: Option<TokenBucket>,
}

impl Keys {
    /// The keys of a listener on TCP.
    pub(super) fn new(keys: &[ApiKey], requests_per_second: u32) -> Self {
        let keys = keys.iter().map(|ApiKey { name, key, permissions }| {
            (&**name, permissions.as_slice(), Sha256::digest(key.reveal()).into())
        });
        Self::of(keys, requests_per_second, true)
    }

    /// Those of a unix socket: a process that may open it may do everything.
    pub(super) fn of_socket(requests_per_second: u32) -> Self {
        let everything = (SOCKET, Permission::ALL.as_slice(), [0; 32]);
        Self::of([everything].into_iter(), requests_per_second, false)
    }

    fn of<'a>(
        keys: impl Iterator<Item = (&'a str, &'a [Permission], [u8; 32])>,
        requests_per_second: u32,
        are_needed: bool,
    ) -> Self {
        let rate = Rate::per_second(requests_per_second, requests_per_second);
        let key = |(name, permissions, digest): (&str, &[Permission], [u8; 32])| Key {
            name: name.into(),
            permissions: permissions.into(),
            digest,
            bucket: Mutex::new(TokenBucket::full(&rate, Instant::now())),
        };
        Self { keys: keys.map(key).collect(), rate, are_needed, wrong: Mutex::default() }
    }

    /// The key of a request, which counts against the key's rate. `address` is its client.
    ///
    /// # Errors
    /// 401 without a key or with a wrong one, and 429 after too many wrong keys or requests.
    pub(super) fn admit(&self, headers: &HeaderMap, address: Option<IpAddr>, now: Instant) -> Result<&Key, ApiError> {
        let key = match self.are_needed {
            true => self.key(headers, address, now)?,
            false => &self.keys[0],
        };
        let mut bucket = lock(&key.bucket);
        if bucket.is_empty(&self.rate, now) {
            let wait = bucket.time_until_token(&self.rate);
            return Err(ApiError::too_many("too many requests", wait.as_secs_f64().ceil() as u32));
        }
        bucket.charge(&self.rate, 1.0, now);
        Ok(key)
    }

    /// Counts further operations of an admitted request against the rate of its key. However many they are, they are done:
    /// the next request is admitted once the rate has made up for all of them.
    pub(super) fn charge(&self, name: &str, operations: usize, now: Instant) {
        if let Some(key) = self.keys.iter().find(|key| *key.name == *name) {
            lock(&key.bucket).charge(&self.rate, operations as f64, now);
        }
    }

    fn key(&self, headers: &HeaderMap, address: Option<IpAddr>, now: Instant) -> Result<&Key, ApiError> {
        let address = address.map(network);
        let mut values = headers.get_all(header::AUTHORIZATION);
        let Some(value) = values.next() else {
            return Err(match lock(&self.wrong).is_refused(address, now) {
                true => ApiError::too_many(TOO_MANY_WRONG, WRONG_KEY_SECONDS),
                false => ApiError::new(StatusCode::UNAUTHORIZED, "key missing"),
            });
        };
        let key = bearer(value.as_bytes()).filter(|_| values.next().is_none()).and_then(|key| self.find(key));
        key.ok_or_else(|| match lock(&self.wrong).count(address, now) {
            RateVerdict::Allow => ApiError::new(StatusCode::UNAUTHORIZED, "key invalid"),
            RateVerdict::Throttle | RateVerdict::Flood => ApiError::too_many(TOO_MANY_WRONG, WRONG_KEY_SECONDS),
        })
    }

    fn find(&self, key: &[u8]) -> Option<&Key> {
        let digest: [u8; 32] = Sha256::digest(key).into();
        // all keys are compared, so that the time does not tell which one it is
        self.keys.iter().fold(None, |found, key| if is_equal(&key.digest, &digest) { Some(key) } else { found })
    }
}

/// The key in the value of an `Authorization` header.
fn bearer(value: &[u8]) -> Option<&[u8]> {
    let (scheme, key) = value.split_at_checked("Bearer ".len())?;
    scheme.eq_ignore_ascii_case(b"Bearer ").then(|| key.trim_ascii())
}

/// Compares two hashes in constant time.
fn is_equal(a: &[u8; 32], b: &[u8; 32]) -> bool {
    let difference = a.iter().zip(b).fold(0, |difference, (a, b)| std::hint::black_box(difference | (a ^ b)));
    difference == 0
}

impl WrongKeys {
    /// Whether the address has sent too many wrong keys.
    fn is_refused(&mut self, address: Option<IpAddr>, now: Instant) -> bool {
        let known = address.and_then(|address| self.known.get_mut(&address));
        known.is_some_and(|bucket| bucket.is_empty(&WRONG_KEYS, now))
    }

    /// Counts a wrong key.
    fn count(&mut self, address: Option<IpAddr>, now: Instant) -> RateVerdict {
        let full = || TokenBucket::full(&WRONG_KEYS, now);
        if self.known.len() >= ADDRESSES {
            self.known.retain(|_, bucket| !bucket.is_full(&WRONG_KEYS, now));
        }
        let has_room = self.known.len() < ADDRESSES;
        let bucket = match address {
            Some(address) if has_room || self.known.contains_key(&address) => {
                self.known.entry(address).or_insert_with(full)
            }
            _ => self.others.get_or_insert_with(full),
        };
        bucket.take(&WRONG_KEYS, now)
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;
    use std::time::Duration;

    use super::*;
    use crate::config::Config;

    const KEY: &str = "0123456789abcdef0123456789abcdef";

    fn keys() -> Keys {
        let key = format!(r#"api.keys={{ name = "a", key = "{KEY}", permissions = ["read"] }}"#);
        Keys::new(&Config::load(None, [], &[key], None).unwrap().api.keys, 2)
    }

    fn with(value: &str) -> HeaderMap {
        let mut headers = HeaderMap::new();
        headers.insert(header::AUTHORIZATION, value.parse().unwrap());
        headers
    }

    fn status(keys: &Keys, headers: &HeaderMap, address: u32, now: Instant) -> u16 {
        let address = Some(IpAddr::V4(Ipv4Addr::from_bits(address)));
        keys.admit(headers, address, now).map_or_else(|error| error.status.as_u16(), |_| 200)
    }

    #[test]
    fn the_key_is_the_whole_value_of_one_bearer() {
        let (keys, now) = (keys(), Instant::now());
        for right in [format!("Bearer {KEY}"), format!("bearer  {KEY} ")] {
            assert_eq!(status(&keys, &with(&right), 1, now), 200, "{right}");
        }
        for (n, wrong) in
            ["", "Bearer", "Bearer ", KEY, &format!("Basic {KEY}"), &format!("Bearer {KEY}0")].into_iter().enumerate()
        {
            assert_eq!(status(&keys, &with(wrong), 2, now), 401, "{n}");
        }
        let mut twice = with(&format!("Bearer {KEY}"));
        twice.append(header::AUTHORIZATION, "Bearer x".parse().unwrap());
        assert_eq!(status(&keys, &twice, 2, now), 401);
        assert_eq!(status(&keys, &HeaderMap::new(), 2, now), 401);
    }

    #[test]
    fn ten_wrong_keys_of_an_address_are_too_many() {
        let (keys, now) = (keys(), Instant::now());
        let (right, wrong) = (with(&format!("Bearer {KEY}")), with("Bearer x"));
        for _ in 0..10 {
            assert_eq!(status(&keys, &wrong, 1, now), 401);
        }
        assert_eq!((status(&keys, &wrong, 1, now), status(&keys, &right, 1, now)), (429, 200));
        assert_eq!(status(&keys, &HeaderMap::new(), 1, now), 429);
        assert_eq!(status(&keys, &right, 2, now), 200, "another address");
        assert_eq!(status(&keys, &right, 1, now + Duration::from_secs(7)), 200, "later");
    }

    #[test]
    fn addresses_beyond_those_remembered_share_one_count() {
        let (keys, now) = (keys(), Instant::now());
        let wrong = with("Bearer x");
        let first = ADDRESSES as u32;
        assert!((0..first).all(|address| status(&keys, &wrong, address, now) == 401));
        let refused = (first..first + 20).filter(|address| status(&keys, &wrong, *address, now) == 429).count();
        assert_eq!((refused, keys.wrong.lock().unwrap().known.len()), (10, ADDRESSES));
    }

    #[test]
    fn a_key_has_a_rate() {
        let (keys, now) = (keys(), Instant::now());
        let right = with(&format!("Bearer {KEY}"));
        let at = |millis| status(&keys, &right, 1, now + Duration::from_millis(millis));
        assert_eq!([at(0), at(0), at(0), at(2_000)], [200, 200, 429, 200]);
    }

    #[test]
    fn further_operations_count_against_the_rate_of_their_key() {
        let (keys, now) = (keys(), Instant::now());
        let right = with(&format!("Bearer {KEY}"));
        let at = |millis| {
            let admitted = keys.admit(&right, None, now + Duration::from_millis(millis));
            admitted.map_or_else(|error| error.retry_after.unwrap(), |_| 0)
        };
        assert_eq!(at(0), 0);
        // far more than the rate allows at once
        keys.charge("a", 1_000, now);
        assert_eq!([at(0), at(0), at(250_000), at(499_000)], [500, 500, 250, 1], "refused requests cost nothing");
        assert_eq!([at(500_000), at(500_000)], [0, 1]);
    }
}
