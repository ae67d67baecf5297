//! [`TaskFuture`]: a future that a channel has started, in the form that the session polls.

use std::fmt;

use futures_util::future::{AbortHandle, Abortable, Aborted, LocalBoxFuture};

/// A future that runs to completion, or until its [`Task`] is dropped.
pub(crate) struct TaskFuture(Abortable<LocalBoxFuture<'static, ()>>);

impl TaskFuture {
    /// Wraps `future`. Returns the wrapped future and the handle that aborts it.
    pub(super) fn new(future: LocalBoxFuture<'static, ()>) -> (Self, AbortHandle) {
        let (abort, registration) = AbortHandle::new_pair();
        (Self(Abortable::new(future, registration)), abort)
    }

    /// Runs the future. An error means that its task was dropped and the future was aborted.
    pub(crate) async fn run(self) -> Result<(), Aborted> {
        self.0.await
    }
}

impl fmt::Debug for TaskFuture {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("TaskFuture")
    }
}
