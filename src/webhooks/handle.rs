//! [`Webhooks`]: how the rest of the node reaches the thread that sends. Nothing here waits: what has no room is dropped
//! and counted.
//!
//! The queue is limited by a count of all events that wait, whether in the channel, within their grace period or in the
//! outbox. A bounded channel would limit only the first of these, and take its memory in advance.

use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::mpsc::Sender;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use compact_str::CompactString;
use tokio::sync::{Notify, oneshot};
use tokio::time::timeout;

use super::event::{peer_name, room_name};
use super::grace::{Change, Subject};
use crate::config::schema;
use crate::config::webhooks::HookEvent;
use crate::connections::clock::Clock;
use crate::http_client::HttpClient;
use crate::metrics::families::Metrics;
use crate::topic::{Pattern, Realm, Topic};

/// A message to the thread.
pub(super) enum Message {
    /// Something has happened on this node, at a time of the node's clock.
    Changed { at: Instant, subject: Subject, change: Change },
    /// Another node is gone.
    NodeDown { at: Instant, gone: CompactString },
    /// A node that was told gone is back.
    NodeBack,
    /// Events were dropped: the thread looks how many.
    Dropped,
    /// The node has started, and these are the others.
    Started { nodes: Vec<CompactString> },
    /// The operator wants requests again after the receiver has refused all.
    Resume,
    /// The node is about to exit. What waits may be sent until `deadline`.
    Drain { deadline: Instant, done: oneshot::Sender<()> },
    /// The node exits.
    Stop,
}

/// What the handles and the thread share.
pub(super) struct Shared {
    pub(super) clock: Arc<Clock>,
    pub(super) metrics: Arc<Metrics>,
    /// The events that wait.
    counted: AtomicUsize,
    limit: usize,
    /// The events that were dropped since the thread has looked.
    dropped: AtomicU64,
    /// Whether the receiver has refused all events.
    is_off: AtomicBool,
    /// Says that the thread has ended by a panic.
    failed: Notify,
    /// Since when the oldest event waits in the outbox.
    pub(super) oldest: Mutex<Option<Instant>>,
    sends_peers: bool,
    sends_rooms: bool,
    /// `None` for all.
    topics: Option<Vec<Pattern>>,
}

impl Shared {
    pub(super) fn new(config: &schema::Webhooks, clock: Arc<Clock>, metrics: Arc<Metrics>) -> Self {
        let is_all = config.topics.iter().any(|topic| topic == "*");
        let topics = config.topics.iter().map(|topic| Pattern::new(topic)).collect();
        Self {
            clock,
            metrics,
            counted: AtomicUsize::new(0),
            limit: config.queue_size,
            dropped: AtomicU64::new(0),
            is_off: AtomicBool::new(false),
            failed: Notify::new(),
            oldest: Mutex::default(),
            sends_peers: config.sends(HookEvent::PeerUp) || config.sends(HookEvent::PeerDown),
            sends_rooms: config.sends(HookEvent::RoomOccupied) || config.sends(HookEvent::RoomVacated),
            topics: (!is_all).then_some(topics),
        }
    }

    /// An event waits that has room in any case.
    pub(super) fn count_one(&self) {
        self.counted.fetch_add(1, Ordering::Relaxed);
    }

    /// Events wait no more.
    pub(super) fn release(&self, count: usize) {
        self.counted.fetch_sub(count, Ordering::Relaxed);
    }

    /// How many events were dropped since the last call.
    pub(super) fn take_dropped(&self) -> u64 {
        self.dropped.swap(0, Ordering::AcqRel)
    }

    /// Runs the thread. Whatever a panic has left undone is lost and not told, so the node must not go on.
    pub(super) fn watch(&self, thread: impl FnOnce()) {
        if catch_unwind(AssertUnwindSafe(thread)).is_err() {
            log::error!("webhooks: the thread that sends has panicked");
            self.failed.notify_one();
        }
    }

    /// From now on, all events are dropped, or none is for that reason.
    pub(super) fn set_off(&self, is_off: bool) {
        self.is_off.store(is_off, Ordering::Relaxed);
    }

    fn matches(&self, realm: Realm, topic: &str, name: &str) -> bool {
        let Some(topics) = &self.topics else { return true };
        match realm {
            Realm::Phoenix => topics.iter().any(|pattern| pattern.matches(topic)),
            _ => {
                let name = [realm.name(), ":", name].concat();
                topics.iter().any(|pattern| pattern.matches(&name))
            }
        }
    }
}

/// A handle to the thread. Clones reach the same one.
#[derive(Clone)]
pub(crate) struct Webhooks {
    pub(super) shared: Arc<Shared>,
    pub(super) sender: Sender<Message>,
    pub(super) client: HttpClient,
}

impl Webhooks {
    /// Whether the receiver is told of a name.
    pub(super) fn wants_peer(&self, topic: &Topic) -> bool {
        self.shared.sends_peers && self.shared.matches(topic.realm(), topic.as_str(), peer_name(topic))
    }

    /// Whether the receiver is told of a topic as a room.
    pub(super) fn wants_room(&self, topic: &Topic) -> bool {
        let is_wanted = |name| self.shared.matches(topic.realm(), topic.as_str(), name);
        self.shared.sends_rooms && room_name(topic).is_some_and(is_wanted)
    }

    pub(super) fn changed(&self, subject: Subject, change: Change) {
        self.offer(Message::Changed { at: self.shared.clock.now(), subject, change });
    }

    pub(super) fn node_down(&self, gone: &str) {
        self.offer(Message::NodeDown { at: self.shared.clock.now(), gone: gone.into() });
    }

    /// A node that was told gone is back.
    pub(super) fn node_back(&self) {
        self.send(Message::NodeBack);
    }

    /// Queues an event, if there is room for it.
    fn offer(&self, event: Message) {
        let shared = &*self.shared;
        let has_room = !shared.is_off.load(Ordering::Relaxed)
            && shared
                .counted
                .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |n| (n < shared.limit).then_some(n + 1))
                .is_ok();
        if has_room && self.sender.send(event).is_ok() {
            return;
        }
        shared.metrics.webhooks.lost.inc();
        // the thread tells it behind the events before it, so it must know when to look
        if shared.dropped.fetch_add(1, Ordering::AcqRel) == 0 {
            self.send(Message::Dropped);
        }
    }

    /// The node has started. Nothing is sent before.
    pub(crate) fn started(&self, nodes: Vec<CompactString>) {
        self.send(Message::Started { nodes });
    }

    /// Sends requests again if the receiver has refused all.
    pub(crate) fn resume(&self) {
        self.send(Message::Resume);
    }

    /// Sends what waits and that this node is gone, and ends the thread. It returns when that is done, or after `time`.
    pub(crate) async fn drain(&self, time: Duration) {
        let (done, is_done) = oneshot::channel();
        self.send(Message::Drain { deadline: Instant::now() + time, done });
        let _ = timeout(time, is_done).await;
        self.client.shut_down();
    }

    /// Ends the thread. Nothing is sent any more.
    pub(crate) fn stop(&self) {
        self.send(Message::Stop);
        self.client.shut_down();
    }

    /// Is ready when the thread has ended by a panic.
    pub(crate) async fn failed(&self) {
        self.shared.failed.notified().await;
    }

    /// Brings the gauges up to date.
    pub(crate) fn update_gauges(&self) {
        let oldest = *self.shared.oldest.lock().unwrap_or_else(PoisonError::into_inner);
        let metrics = &self.shared.metrics.webhooks;
        metrics.queue.set(self.shared.counted.load(Ordering::Relaxed));
        metrics.age.set(oldest.map_or(0, |since| usize::try_from(since.elapsed().as_secs()).unwrap_or(usize::MAX)));
    }

    /// Sends a message. A thread that has ended needs none.
    fn send(&self, message: Message) {
        let _ = self.sender.send(message);
    }
}

impl fmt::Debug for Webhooks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Webhooks").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;

    use super::*;

    #[test]
    fn a_panic_of_the_thread_is_reported() {
        let shared = Shared::new(&schema::Webhooks::default(), Arc::default(), Arc::default());
        shared.watch(|| {});
        assert_eq!(shared.failed.notified().now_or_never(), None);
        shared.watch(|| panic!("a test"));
        assert_eq!(shared.failed.notified().now_or_never(), Some(()));
    }
}
