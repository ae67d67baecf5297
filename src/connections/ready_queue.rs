//! The queue of connections that a worker's [flusher](crate::connections::flusher) has to write to. Callers do not
//! queue a connection twice, so the number of connections bounds its length.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::Context;

use futures_util::task::AtomicWaker;

/// The queued items, in order. Cloning copies a pointer. A clone may be used on any thread.
pub(crate) struct ReadyQueue<T>(Arc<Inner<T>>);

struct Inner<T> {
    /// `None` once the queue is closed.
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

    /// Queues `item` and wakes the flusher. The caller must not queue it again before the flusher has taken it. Returns
    /// `false` if the queue is closed.
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

    /// Moves all items to the end of `round`. The task of `cx` is woken at the next [`push`](Self::push) into the empty
    /// queue.
    pub(crate) fn drain_into(&self, round: &mut impl Extend<Arc<T>>, cx: &Context<'_>) {
        self.0.flusher.register(cx.waker());
        if let Some(ready) = &mut *self.lock() {
            round.extend(ready.drain(..));
        }
    }

    /// Closes the queue and returns the items in it.
    pub(crate) fn close(&self) -> Vec<Arc<T>> {
        self.lock().take().unwrap_or_default()
    }

    fn lock(&self) -> MutexGuard<'_, Option<Vec<Arc<T>>>> {
        self.0.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
