//! Answers that are remembered for a while by the `Idempotency-Key` of their request, so that a backend can send a request
//! again without its being done again. They are remembered on this node alone.
//!
//! A request that comes while the first one with its key is being answered waits for that answer.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use actix_web::http::StatusCode;
use tokio::sync::watch;

use crate::api::answer::{Answer, ApiError};

/// How long an answer is remembered.
const TIME: Duration = Duration::from_secs(5 * 60);
/// How many answers are remembered, and how large they may be together, in bytes.
const ANSWERS: usize = 10_000;
const BYTES: usize = 16 * 1024 * 1024;
/// The allowed length of a key, in bytes.
const KEY_BYTES: std::ops::RangeInclusive<usize> = 1..=64;

/// Whose request it is, and its key: the name of the API's key, the path, and the `Idempotency-Key`.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct RequestKey(pub(super) Arc<str>, pub(super) &'static str, pub(super) String);

/// All remembered answers.
#[derive(Default)]
pub(super) struct Remembered(Mutex<Inner>);

#[derive(Default)]
struct Inner {
    /// The SHA-256 of each request's body, and its answer.
    known: HashMap<RequestKey, ([u8; 32], watch::Receiver<Option<Answer>>)>,
    /// The answers that have been given, oldest first.
    given: VecDeque<(Instant, RequestKey, usize)>,
    bytes: usize,
}

/// What a request with a key is.
pub(super) enum Begun {
    /// The first one with this key. Its answer goes into the sender.
    First(watch::Sender<Option<Answer>>),
    /// A repetition.
    Again(watch::Receiver<Option<Answer>>),
}

impl RequestKey {
    /// Checks an `Idempotency-Key`.
    pub(super) fn check(value: &[u8]) -> Result<String, ApiError> {
        let is_visible = value.iter().all(u8::is_ascii_graphic);
        let text = str::from_utf8(value).ok().filter(|text| is_visible && KEY_BYTES.contains(&text.len()));
        text.map(str::to_owned)
            .ok_or_else(|| ApiError::malformed("Idempotency-Key must have 1 to 64 visible ASCII characters"))
    }
}

impl Remembered {
    /// Begins a request whose body has this SHA-256.
    ///
    /// # Errors
    /// 409 if the key was used with another body.
    pub(super) fn begin(&self, key: &RequestKey, body: [u8; 32], now: Instant) -> Result<Begun, ApiError> {
        let mut inner = self.lock();
        inner.forget(now);
        match inner.known.get(key) {
            Some((known, _)) if *known != body => {
                Err(ApiError::new(StatusCode::CONFLICT, "Idempotency-Key was used with another body"))
            }
            Some((_, answer)) => Ok(Begun::Again(answer.clone())),
            None => {
                let (sender, receiver) = watch::channel(None);
                inner.known.insert(key.clone(), (body, receiver));
                Ok(Begun::First(sender))
            }
        }
    }

    /// The first request with a key has been answered. An answer is remembered if what was asked for was done: after an
    /// error, the same request may be tried again.
    pub(super) fn end(&self, key: RequestKey, answer: Option<&Answer>, now: Instant) {
        let mut inner = self.lock();
        match answer.filter(|answer| answer.status.is_success()) {
            Some(answer) => {
                let bytes = answer.body.len();
                inner.bytes += bytes;
                inner.given.push_back((now, key, bytes));
                inner.forget(now);
            }
            None => drop(inner.known.remove(&key)),
        }
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Inner {
    /// Forgets answers that are too old or too many.
    fn forget(&mut self, now: Instant) {
        while let Some((given, ..)) = self.given.front()
            && (now.saturating_duration_since(*given) >= TIME || self.given.len() > ANSWERS || self.bytes > BYTES)
        {
            let Some((_, key, bytes)) = self.given.pop_front() else { return };
            self.bytes -= bytes;
            self.known.remove(&key);
        }
    }
}

/// The answer of the first request with a key.
pub(super) async fn wait(mut answer: watch::Receiver<Option<Answer>>) -> Option<Answer> {
    answer.wait_for(Option::is_some).await.ok()?.clone()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(n: usize) -> RequestKey {
        RequestKey("a".into(), "/v1/publish", n.to_string())
    }

    fn answer(status: u16, bytes: usize) -> Answer {
        let status = StatusCode::from_u16(status).unwrap();
        Answer { status, body: vec![b'x'; bytes].into(), retry_after: None }
    }

    /// Whether a request is the first one with its key. If so, this answers it.
    fn is_first(remembered: &Remembered, n: usize, given: &Answer, now: Instant) -> bool {
        match remembered.begin(&key(n), [0; 32], now).unwrap() {
            Begun::First(sender) => {
                sender.send_replace(Some(given.clone()));
                remembered.end(key(n), Some(given), now);
                true
            }
            Begun::Again(known) => {
                assert_eq!(known.borrow().as_ref(), Some(given));
                false
            }
        }
    }

    #[test]
    fn an_answer_is_remembered_for_its_time() {
        let (remembered, now, good) = (Remembered::default(), Instant::now(), answer(200, 1));
        assert!(is_first(&remembered, 1, &good, now));
        assert!(!is_first(&remembered, 1, &good, now + TIME - Duration::from_secs(1)));
        assert!(remembered.begin(&key(1), [1; 32], now).is_err_and(|error| error.status == StatusCode::CONFLICT));
        assert!(is_first(&remembered, 1, &good, now + TIME));
    }

    #[test]
    fn an_error_is_not_remembered() {
        let (remembered, now) = (Remembered::default(), Instant::now());
        assert!(is_first(&remembered, 1, &answer(503, 1), now));
        assert!(is_first(&remembered, 1, &answer(200, 1), now));
        assert!(!is_first(&remembered, 1, &answer(200, 1), now));
    }

    #[test]
    fn the_oldest_answers_make_room() {
        let (remembered, now, good) = (Remembered::default(), Instant::now(), answer(200, 1));
        assert!((0..=ANSWERS).all(|n| is_first(&remembered, n, &good, now)));
        assert!(!is_first(&remembered, 1, &good, now) && is_first(&remembered, 0, &good, now));
        let large = Remembered::default();
        let half = answer(200, BYTES / 2);
        assert!((0..3).all(|n| is_first(&large, n, &half, now)));
        assert!(!is_first(&large, 2, &half, now) && is_first(&large, 0, &half, now));
        let inner = large.lock();
        assert_eq!((inner.given.len(), inner.known.len(), inner.bytes), (2, 2, BYTES));
    }
}
