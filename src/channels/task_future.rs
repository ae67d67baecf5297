//! A future that a channel has started, as the session polls it.

use std::fmt;

use futures_util::future::{AbortHandle, Abortable, Aborted, LocalBoxFuture};

/// A future to be polled to its end, or until its [`Task`] is dropped.
pub(crate) struct TaskFuture(Abortable<LocalBoxFuture<'static, ()>>);

impl TaskFuture {
    /// A future, and the handle that aborts it.
    pub(super) fn new(future: LocalBoxFuture<'static, ()>) -> (Self, AbortHandle) {
        let (abort, registration) = AbortHandle::new_pair();
        (Self(Abortable::new(future, registration)), abort)
    }

    /// Runs it. An error means that nobody waits for it any more.
    pub(crate) async fn run(self) -> Result<(), Aborted> {
        self.0.await
    }
}

impl fmt::Debug for TaskFuture {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("TaskFuture")
    }
}
