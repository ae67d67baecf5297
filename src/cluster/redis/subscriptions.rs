//! The changes to a node's subscriptions, in the order in which they were called. Several that wait are one command.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::future::ready;
use std::rc::Rc;

use redis::aio::PubSubSink;
use tokio::sync::{Notify, oneshot};
use tokio::time::{Duration, timeout};

use crate::cluster::engine::{LocalFuture, Lost};

/// The most channels of one command.
const CHANNELS: usize = 512;

/// A change that waits.
struct Change {
    channel: String,
    /// Where to report that the server has confirmed the subscription. `None` ends the subscription.
    confirmation: Option<oneshot::Sender<()>>,
}

/// The changes that wait. Their number is bounded by that of the topics that the node's clients may join.
pub(super) struct Subscriptions {
    waiting: RefCell<VecDeque<Change>>,
    arrival: Notify,
    is_closed: Cell<bool>,
    timeout: Duration,
}

impl Subscriptions {
    pub(super) fn new(timeout: Duration) -> Rc<Self> {
        let (waiting, arrival, is_closed) = Default::default();
        Rc::new(Self { waiting, arrival, is_closed, timeout })
    }

    /// Subscribes to a channel. The result is ready when the server has confirmed it.
    pub(super) fn subscribe(&self, channel: String) -> LocalFuture<Result<(), Lost>> {
        if self.is_closed.get() {
            return Box::pin(ready(Err(Lost)));
        }
        let (confirmation, receiver) = oneshot::channel();
        self.push(Change { channel, confirmation: Some(confirmation) });
        let confirmed = timeout(self.timeout, receiver);
        Box::pin(async move { confirmed.await.map_err(|_| Lost)?.map_err(|_| Lost) })
    }

    /// Ends the subscription to a channel.
    pub(super) fn unsubscribe(&self, channel: String) {
        if !self.is_closed.get() {
            self.push(Change { channel, confirmation: None });
        }
    }

    fn push(&self, change: Change) {
        self.waiting.borrow_mut().push_back(change);
        self.arrival.notify_one();
    }

    /// Fails what waits, and all later calls.
    pub(super) fn close(&self) {
        self.is_closed.set(true);
        self.waiting.borrow_mut().clear();
    }

    /// Sends the changes until the connection ends, and returns why. Each command is confirmed before the next one.
    pub(super) async fn send(&self, mut sink: PubSubSink) -> String {
        loop {
            let changes = self.next_changes();
            let Some(first) = changes.first() else {
                self.arrival.notified().await;
                continue;
            };
            let channels: Vec<&str> = changes.iter().map(|change| &*change.channel).collect();
            let result = match first.confirmation {
                Some(_) => sink.subscribe(channels).await,
                None => sink.unsubscribe(channels).await,
            };
            if let Err(error) = result {
                return error.to_string();
            }
            for confirmation in changes.into_iter().filter_map(|change| change.confirmation) {
                // it fails if the caller has given up
                let _ = confirmation.send(());
            }
        }
    }

    /// The next changes of one kind.
    fn next_changes(&self) -> Vec<Change> {
        let mut waiting = self.waiting.borrow_mut();
        let is_subscribe = waiting.front().is_some_and(|change| change.confirmation.is_some());
        let is_other = |change: &Change| change.confirmation.is_some() != is_subscribe;
        let most = waiting.len().min(CHANNELS);
        let count = waiting.iter().take(most).position(is_other).unwrap_or(most);
        waiting.drain(..count).collect()
    }
}
