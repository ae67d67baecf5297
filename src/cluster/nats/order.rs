//! The order of the operations on one name. The server handles requests of different kinds side by side, so an operation
//! waits until those on the same name that were called before it have ended.
//!
//! The caller of an operation may stop waiting. An operation that has begun runs to its end all the same, and one that has
//! not keeps its place until those before it have ended: the next one must not overtake them.

use std::cell::RefCell;
use std::collections::HashMap;
use std::future::Future;
use std::rc::Rc;

use tokio::sync::{Semaphore, oneshot};
use tokio::task::spawn_local;

use crate::cluster::engine::{LocalFuture, Lost};

/// How many operations of one urgency are under way at the same time. A server drops requests if too many of them wait.
const OPERATIONS: usize = 128;

/// How an operation waits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// A client waits for it. It does not begin if its caller has stopped waiting.
    Urgent,
    /// There may be many at the same time. It does not begin if its caller has stopped waiting.
    Patient,
    /// The same, but it begins in any case: what it removes would stay for ever.
    Removal,
}

/// The operations of one link.
pub(super) struct Operations {
    order: Order,
    urgent: Rc<Semaphore>,
    patient: Rc<Semaphore>,
}

impl Operations {
    pub(super) fn new() -> Self {
        let [urgent, patient] = [(); 2].map(|()| Rc::new(Semaphore::new(OPERATIONS)));
        Self { order: Order::default(), urgent, patient }
    }

    /// Runs an operation after those on the same name that were called before it.
    pub(super) fn run<T: 'static, F>(
        &self,
        kind: Kind,
        name: &str,
        operation: impl FnOnce() -> F + 'static,
    ) -> LocalFuture<Result<T, Lost>>
    where
        F: Future<Output = Result<T, Lost>> + 'static,
    {
        let mut place = self.order.enter(name);
        let permits = if kind == Kind::Urgent { self.urgent.clone() } else { self.patient.clone() };
        let (result, caller) = oneshot::channel();
        spawn_local(async move {
            place.reached().await;
            // it fails once the link has ended
            let Ok(_permit) = permits.acquire().await else { return };
            if kind == Kind::Removal || !result.is_closed() {
                let _ = result.send(operation().await);
            }
        });
        Box::pin(async move { caller.await.unwrap_or(Err(Lost)) })
    }

    /// Ends the operations that have not begun.
    pub(super) fn end(&self) {
        self.urgent.close();
        self.patient.close();
    }
}

/// The last operation on each name that has one under way.
#[derive(Clone, Default)]
struct Order(Rc<RefCell<Last>>);

#[derive(Default)]
struct Last {
    /// The number of the last operation on each name, and its end.
    names: HashMap<String, (u64, oneshot::Receiver<()>)>,
    operations: u64,
}

/// The place of one operation. Dropping it lets the next one go on.
struct Place {
    order: Order,
    name: String,
    number: u64,
    before: Option<oneshot::Receiver<()>>,
    _end: oneshot::Sender<()>,
}

impl Order {
    /// Takes the next place in the order of the operations on `name`.
    fn enter(&self, name: &str) -> Place {
        let (end, ended) = oneshot::channel();
        let mut last = self.0.borrow_mut();
        last.operations += 1;
        let number = last.operations;
        let before = last.names.insert(name.to_owned(), (number, ended)).map(|(_, ended)| ended);
        Place { order: self.clone(), name: name.to_owned(), number, before, _end: end }
    }
}

impl Place {
    /// Waits for the operations before this one.
    async fn reached(&mut self) {
        if let Some(before) = self.before.take() {
            // it is never sent: its sender is dropped
            let _ = before.await;
        }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut last = self.order.0.borrow_mut();
        if last.names.get(&self.name).is_some_and(|(number, _)| *number == self.number) {
            last.names.remove(&self.name);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;
    use std::time::Duration;

    use tokio::task::LocalSet;
    use tokio::time::{sleep, timeout};

    use super::*;

    const LIMIT: Duration = Duration::from_secs(1);

    /// Runs a case by a clock that jumps to whatever happens next.
    fn at_once(case: impl AsyncFnOnce()) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
        LocalSet::new().block_on(&runtime, case());
    }

    /// An operation that takes so long, and notes that it has begun and ended.
    fn noting(
        log: &Rc<RefCell<Vec<String>>>,
        name: &'static str,
        time: Duration,
    ) -> impl FnOnce() -> LocalFuture<Result<(), Lost>> + 'static {
        let log = log.clone();
        move || {
            log.borrow_mut().push(format!("{name} begins"));
            Box::pin(async move {
                sleep(time).await;
                log.borrow_mut().push(format!("{name} ends"));
                Ok(())
            })
        }
    }

    #[test]
    fn an_operation_that_nobody_waits_for_any_more_keeps_the_order() {
        at_once(async || {
            let (operations, log) = (Operations::new(), Rc::default());
            let first = operations.run(Kind::Urgent, "x", noting(&log, "first", 5 * LIMIT));
            let second = operations.run(Kind::Urgent, "x", noting(&log, "second", LIMIT));
            let removal = operations.run(Kind::Removal, "x", noting(&log, "removal", LIMIT));
            for called in [first, second, removal] {
                assert!(timeout(LIMIT, called).await.is_err());
            }
            let last = operations.run(Kind::Urgent, "x", noting(&log, "last", LIMIT));
            let other = operations.run(Kind::Urgent, "y", noting(&log, "other", LIMIT));
            assert_eq!(other.await, Ok(()));
            assert_eq!(last.await, Ok(()));
            let expected =
                ["first begins", "other begins", "other ends", "first ends", "removal begins", "removal ends"];
            assert_eq!(log.borrow()[..6], expected);
            assert_eq!(log.borrow()[6..], ["last begins", "last ends"]);
            assert!(operations.order.0.borrow().names.is_empty());
        });
    }

    #[test]
    fn operations_that_have_not_begun_end_with_the_link() {
        at_once(async || {
            let (operations, begun) = (Operations::new(), Rc::new(Cell::new(0)));
            let calls: Vec<_> = (0..3 * OPERATIONS)
                .map(|n| {
                    let begun = begun.clone();
                    operations.run(Kind::Removal, &n.to_string(), move || async move {
                        begun.set(begun.get() + 1);
                        sleep(LIMIT).await;
                        Ok(())
                    })
                })
                .collect();
            sleep(LIMIT / 2).await;
            operations.end();
            let results = futures_util::future::join_all(calls).await;
            assert_eq!(results.iter().filter(|result| result.is_ok()).count(), OPERATIONS);
            assert_eq!(begun.get(), OPERATIONS);
        });
    }
}
