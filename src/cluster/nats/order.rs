//! The order of the operations on one name. The server handles requests of different kinds side by side, so an operation
//! waits until those on the same name that were called before it have ended.

use std::cell::RefCell;
use std::collections::HashMap;
use std::rc::Rc;

use tokio::sync::oneshot;

/// The last operation on each name that has one under way.
#[derive(Clone, Default)]
pub(super) struct Order(Rc<RefCell<Last>>);

#[derive(Default)]
struct Last {
    /// The number of the last operation on each name, and its end.
    names: HashMap<String, (u64, oneshot::Receiver<()>)>,
    operations: u64,
}

/// The place of one operation. Dropping it lets the next one go on.
pub(super) struct Place {
    order: Order,
    name: String,
    number: u64,
    before: Option<oneshot::Receiver<()>>,
    _end: oneshot::Sender<()>,
}

impl Order {
    /// Takes the next place in the order of the operations on `name`.
    pub(super) fn enter(&self, name: &str) -> Place {
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
    pub(super) async fn reached(&mut self) {
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
