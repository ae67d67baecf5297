//! A desk: where those wait for whom a worker's [flusher](crate::connections::flusher) has something to bring. Nobody waits there
//! twice, so that their number is its bound.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::Context;

use futures_util::task::AtomicWaker;

/// Who waits, in order. Cloning copies a pointer; a clone may live on any thread.
pub(crate) struct ReadyQueue<T>(Arc<Inner<T>>);

struct Inner<T> {
    /// Nothing once nobody comes any more.
    waiting: Mutex<Option<Vec<Arc<T>>>>,
    flusher: AtomicWaker,
}

impl<T> Clone for ReadyQueue<T> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

impl<T> ReadyQueue<T> {
    pub(crate) fn new() -> Self {
        Self(Arc::new(Inner { waiting: Mutex::new(Some(Vec::new())), flusher: AtomicWaker::new() }))
    }

    /// Has the courier come to `item`, who does not call again before it has; says whether it will.
    pub(crate) fn push(&self, item: Arc<T>) -> bool {
        let mut waiting = self.lock();
        let Some(ready) = &mut *waiting else { return false };
        ready.push(item);
        let is_first = ready.len() == 1;
        drop(waiting);
        if is_first {
            self.0.flusher.wake();
        }
        true
    }

    /// Moves all who wait to the end of `round`; when there is nobody, the task of `cx` is woken once there is.
    pub(crate) fn drain_into(&self, round: &mut impl Extend<Arc<T>>, cx: &Context<'_>) {
        self.0.flusher.register(cx.waker());
        if let Some(ready) = &mut *self.lock() {
            round.extend(ready.drain(..));
        }
    }

    /// Nobody is to wait any more; whoever does is given back.
    pub(crate) fn close(&self) -> Vec<Arc<T>> {
        self.lock().take().unwrap_or_default()
    }

    fn lock(&self) -> MutexGuard<'_, Option<Vec<Arc<T>>>> {
        self.0.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
