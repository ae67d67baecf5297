//! The channels that a node is subscribed to, and the changes that have not been sent.
//!
//! What waits is the wanted state of each channel, so a subscription that ends before it is sent costs nothing. All changes
//! of a turn travel in two commands at most, which need one round trip.

use std::cell::{Cell, RefCell};
use std::collections::{HashMap, HashSet};
use std::future::ready;
use std::rc::Rc;

use futures_util::future::try_join;
use lru::LruCache;
use redis::RedisResult;
use redis::aio::PubSubSink;
use tokio::sync::{Notify, oneshot};
use tokio::time::{Duration, timeout};

use crate::cluster::engine::{LocalFuture, Lost};

/// The most channels of one turn.
const CHANNELS: usize = 512;

/// Who waits for the confirmation of one subscription.
type Waiters = Vec<oneshot::Sender<()>>;

/// The channels, and the changes that wait.
pub(super) struct Subscriptions {
    channels: RefCell<Channels>,
    arrival: Notify,
    is_closed: Cell<bool>,
    timeout: Duration,
}

#[derive(Default)]
struct Channels {
    /// Those that the server has once it has handled what was sent.
    sent: HashSet<Rc<str>>,
    /// The subscriptions that were sent and not confirmed.
    unconfirmed: HashMap<Rc<str>, Waiters>,
    /// Those whose wanted state differs from what was sent, oldest first.
    changes: Changes,
}

struct Changes(LruCache<Rc<str>, Waiters>);

impl Default for Changes {
    fn default() -> Self {
        Self(LruCache::unbounded())
    }
}

/// The commands of one turn.
#[derive(Debug, Default, PartialEq, Eq)]
struct Turn {
    subscribe: Vec<Rc<str>>,
    unsubscribe: Vec<Rc<str>>,
}

impl Channels {
    /// Wants a subscription. Returns what is ready when the server has confirmed it. `None` if it has already.
    fn subscribe(&mut self, channel: &str) -> Option<oneshot::Receiver<()>> {
        let waiters = if self.sent.contains(channel) {
            self.changes.0.pop(channel);
            self.unconfirmed.get_mut(channel)?
        } else {
            self.changes.0.get_or_insert_mut(channel.into(), Vec::new)
        };
        let (confirmation, confirmed) = oneshot::channel();
        waiters.push(confirmation);
        Some(confirmed)
    }

    /// Wants no subscription any more. One that was not sent is not waited for.
    fn unsubscribe(&mut self, channel: &str) {
        if self.sent.contains(channel) {
            self.changes.0.put(channel.into(), Vec::new());
        } else {
            confirm(self.changes.0.pop(channel));
        }
    }

    /// Takes the oldest changes, which are sent now. `None` if there are none.
    fn next_turn(&mut self) -> Option<Turn> {
        let mut turn = Turn::default();
        for _ in 0..CHANNELS {
            let Some((channel, waiters)) = self.changes.0.pop_lru() else { break };
            if self.sent.remove(&channel) {
                turn.unsubscribe.push(channel);
            } else {
                self.sent.insert(channel.clone());
                self.unconfirmed.insert(channel.clone(), waiters);
                turn.subscribe.push(channel);
            }
        }
        (turn != Turn::default()).then_some(turn)
    }

    /// The server has handled a turn.
    fn turn_handled(&mut self, turn: &Turn) {
        turn.subscribe.iter().for_each(|channel| confirm(self.unconfirmed.remove(channel)));
    }
}

fn confirm(waiters: Option<Waiters>) {
    for waiter in waiters.into_iter().flatten() {
        // it fails if the caller has given up
        let _ = waiter.send(());
    }
}

impl Subscriptions {
    pub(super) fn new(timeout: Duration) -> Rc<Self> {
        let (channels, arrival, is_closed) = Default::default();
        Rc::new(Self { channels, arrival, is_closed, timeout })
    }

    /// Subscribes to a channel. The result is ready when the server has confirmed it, or when it is unsubscribed before it
    /// was sent.
    pub(super) fn subscribe(&self, channel: &str) -> LocalFuture<Result<(), Lost>> {
        if self.is_closed.get() {
            return Box::pin(ready(Err(Lost)));
        }
        let Some(confirmed) = self.channels.borrow_mut().subscribe(channel) else {
            return Box::pin(ready(Ok(())));
        };
        self.arrival.notify_one();
        let confirmed = timeout(self.timeout, confirmed);
        Box::pin(async move { confirmed.await.map_err(|_| Lost)?.map_err(|_| Lost) })
    }

    /// Ends the subscription to a channel.
    pub(super) fn unsubscribe(&self, channel: &str) {
        if !self.is_closed.get() {
            self.channels.borrow_mut().unsubscribe(channel);
            self.arrival.notify_one();
        }
    }

    /// Fails what waits, and all later calls.
    pub(super) fn close(&self) {
        self.is_closed.set(true);
        self.channels.take();
    }

    /// Sends the changes until the connection ends, and returns why. Each turn is confirmed before the next one.
    pub(super) async fn send(&self, sink: PubSubSink) -> String {
        loop {
            let turn = self.channels.borrow_mut().next_turn();
            let Some(turn) = turn else {
                self.arrival.notified().await;
                continue;
            };
            if let Err(error) = take(&sink, &turn).await {
                return error.to_string();
            }
            self.channels.borrow_mut().turn_handled(&turn);
        }
    }
}

/// Sends both commands of a turn at once. They are about different channels, so their order does not matter.
async fn take(sink: &PubSubSink, turn: &Turn) -> RedisResult<()> {
    let names = |channels: &[Rc<str>]| channels.iter().map(|channel| channel.to_string()).collect::<Vec<_>>();
    let (mut subscriber, mut unsubscriber) = (sink.clone(), sink.clone());
    let subscribed = async {
        match &*turn.subscribe {
            [] => Ok(()),
            channels => subscriber.subscribe(names(channels)).await,
        }
    };
    let unsubscribed = async {
        match &*turn.unsubscribe {
            // without channels, the command would end all subscriptions
            [] => Ok(()),
            channels => unsubscriber.unsubscribe(names(channels)).await,
        }
    };
    try_join(subscribed, unsubscribed).await.map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn turn(subscribe: &[&str], unsubscribe: &[&str]) -> Option<Turn> {
        let own = |names: &[&str]| names.iter().map(|name| Rc::from(*name)).collect();
        Some(Turn { subscribe: own(subscribe), unsubscribe: own(unsubscribe) })
    }

    /// Sends all changes.
    fn settle(channels: &mut Channels) {
        while let Some(turn) = channels.next_turn() {
            channels.turn_handled(&turn);
        }
    }

    #[test]
    fn a_subscription_that_ends_before_it_is_sent_costs_nothing() {
        let mut channels = Channels::default();
        for _ in 0..1_000 {
            let confirmed = channels.subscribe("x").unwrap();
            channels.unsubscribe("x");
            assert_eq!(confirmed.blocking_recv(), Ok(()), "nobody waits for it");
        }
        assert_eq!(channels.next_turn(), None);
        assert_eq!(channels.subscribe("y").map(drop), Some(()));
        settle(&mut channels);
        for _ in 0..1_000 {
            channels.unsubscribe("y");
            assert!(channels.subscribe("y").is_none(), "the server has it");
        }
        assert_eq!(channels.next_turn(), None);
        channels.unsubscribe("never subscribed");
        assert_eq!(channels.next_turn(), None);
    }

    #[test]
    fn a_turn_has_the_oldest_changes_of_both_kinds() {
        let mut channels = Channels::default();
        let names: Vec<String> = (0..CHANNELS + 2).map(|n| n.to_string()).collect();
        let confirmed: Vec<_> = names.iter().map(|name| channels.subscribe(name).unwrap()).collect();
        let first = channels.next_turn().unwrap();
        assert_eq!((first.subscribe.len(), &*first.subscribe[0], first.unsubscribe.len()), (CHANNELS, "0", 0));
        channels.unsubscribe("0");
        channels.unsubscribe("513");
        drop(channels.subscribe("x"));
        channels.turn_handled(&first);
        assert_eq!(channels.next_turn(), turn(&["512", "x"], &["0"]));
        assert_eq!(channels.next_turn(), None);
        let states = confirmed.into_iter().map(|mut confirmed| confirmed.try_recv().is_ok()).collect::<Vec<_>>();
        assert_eq!(states.iter().position(|is_confirmed| !is_confirmed), Some(512), "not confirmed: sent, not handled");
        assert_eq!(states.iter().filter(|is_confirmed| !**is_confirmed).count(), 1);
    }

    #[test]
    fn a_wait_ends_with_the_confirmation_of_what_was_sent() {
        let mut channels = Channels::default();
        let mut waits = vec![channels.subscribe("x").unwrap(), channels.subscribe("x").unwrap()];
        let first = channels.next_turn().unwrap();
        channels.unsubscribe("x");
        // the subscription that is under way stays
        waits.push(channels.subscribe("x").unwrap());
        channels.unsubscribe("x");
        assert!(waits.iter_mut().all(|wait| wait.try_recv().is_err()), "nothing is confirmed yet");
        channels.turn_handled(&first);
        assert!(waits.iter_mut().all(|wait| wait.try_recv().is_ok()));
        let second = channels.next_turn().unwrap();
        assert_eq!(Some(&second), turn(&[], &["x"]).as_ref());
        // the end is under way, so this is another subscription
        let mut again = channels.subscribe("x").unwrap();
        channels.turn_handled(&second);
        assert!(again.try_recv().is_err());
        let third = channels.next_turn().unwrap();
        assert_eq!(Some(&third), turn(&["x"], &[]).as_ref());
        channels.turn_handled(&third);
        assert!(again.try_recv().is_ok());
        assert_eq!(channels.next_turn(), None);
    }

    #[tokio::test]
    async fn all_waits_fail_after_closing() {
        let subscriptions = Subscriptions::new(Duration::from_secs(60));
        let sent = subscriptions.subscribe("x");
        subscriptions.channels.borrow_mut().next_turn().unwrap();
        let waiting = subscriptions.subscribe("y");
        subscriptions.close();
        assert_eq!((sent.await, waiting.await, subscriptions.subscribe("z").await), (Err(Lost), Err(Lost), Err(Lost)));
    }
}
