//! Requests to other nodes that wait for an answer.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::rc::Rc;

use tokio::sync::oneshot;

use crate::broker::adapter::Answer;
use crate::cluster::message::Verdict;

/// What another node has answered.
#[derive(Debug)]
pub(super) enum Response {
    /// To a signal.
    Verdict(Verdict),
    /// To the request to give up a name: whether the name is free.
    GivenUp(bool),
    /// To a question.
    Answer(Answer),
}

/// The requests that wait. Each leaves when its waiter is dropped.
#[derive(Default)]
pub(super) struct PendingRequests {
    last: Cell<u64>,
    waiting: RefCell<HashMap<u64, oneshot::Sender<Response>>>,
}

/// Waits for the answer to one request.
pub(super) struct Waiter {
    pub(super) id: u64,
    requests: Rc<PendingRequests>,
    response: oneshot::Receiver<Response>,
}

impl PendingRequests {
    /// A new request.
    pub(super) fn open(self: &Rc<Self>) -> Waiter {
        let id = self.last.get() + 1;
        self.last.set(id);
        let (sender, response) = oneshot::channel();
        self.waiting.borrow_mut().insert(id, sender);
        Waiter { id, requests: self.clone(), response }
    }

    /// Hands over an answer. It is dropped if nobody waits for it any more.
    pub(super) fn resolve(&self, id: u64, response: Response) {
        if let Some(waiter) = self.waiting.borrow_mut().remove(&id) {
            let _ = waiter.send(response);
        }
    }

    /// Ends all requests without an answer: the link is lost.
    pub(super) fn clear(&self) {
        self.waiting.borrow_mut().clear();
    }
}

impl Waiter {
    /// The answer. `None` if the link was lost first.
    pub(super) async fn response(&mut self) -> Option<Response> {
        (&mut self.response).await.ok()
    }
}

impl Drop for Waiter {
    fn drop(&mut self) {
        self.requests.waiting.borrow_mut().remove(&self.id);
    }
}
