//! The thread that sends: it collects what has happened, and owns the grace period and the outbox, which decide what to do
//! and when.

use std::ops::ControlFlow;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::sync::{Arc, PoisonError};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use compact_str::CompactString;
use tokio::sync::oneshot;
use uuid::Uuid;

use super::event::Event;
use super::grace::{Change, Grace, Subject, Told};
use super::handle::{Message, Shared};
use super::outbox::{Left, Outbox, Request};
use super::signature::signature;
use crate::config::https_url::HttpsUrl;
use crate::config::schema::Webhooks as Config;
use crate::config::webhooks::HookEvent;
use crate::http_client::{FetchError, HttpClient, Response};
use crate::metrics::labels::RequestOutcome;
use crate::wall_clock::since_1970;

/// The status of a receiver that wants no more requests.
const GONE: u16 = 410;
/// The shortest and the longest sleep between two looks at what is due.
const SHORTEST_SLEEP: Duration = Duration::from_millis(5);
const LONGEST_SLEEP: Duration = Duration::from_secs(60);

/// The thread's state.
pub(super) struct Delivery {
    inbox: Receiver<Message>,
    shared: Arc<Shared>,
    client: HttpClient,
    url: HttpsUrl,
    config: Config,
    instance: CompactString,
    grace: Grace,
    outbox: Outbox,
    /// What the grace period lets through, until it is in the outbox.
    told: Vec<Told>,
    /// Events were dropped, and are told once everything before them is in the outbox.
    must_tell_dropped: bool,
    has_started: bool,
    /// The receiver wants no more requests.
    is_off: bool,
    closing: Option<Closing>,
}

/// The node is about to exit.
struct Closing {
    deadline: Instant,
    /// Dropped when the thread ends.
    _done: oneshot::Sender<()>,
}

impl Delivery {
    pub(super) fn new(
        inbox: Receiver<Message>,
        shared: Arc<Shared>,
        client: HttpClient,
        url: HttpsUrl,
        config: &Config,
        (node, instance): (CompactString, CompactString),
    ) -> Self {
        Self {
            inbox,
            shared,
            client,
            url,
            grace: Grace::new(config.grace_period),
            outbox: Outbox::new(node, instance.clone(), config),
            config: config.clone(),
            instance,
            told: Vec::new(),
            must_tell_dropped: false,
            has_started: false,
            is_off: false,
            closing: None,
        }
    }

    /// Runs until the node exits.
    pub(super) fn run(mut self) {
        while self.turn().is_continue() {}
        let left = self.outbox.counted();
        if left > 0 && self.closing.is_some() {
            log::warn!("webhooks: {left} events were not sent before the node stopped");
        }
    }

    /// Waits for something to do, and does it.
    fn turn(&mut self) -> ControlFlow<()> {
        match self.inbox.recv_timeout(self.sleep()) {
            Ok(message) => self.receive(message)?,
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => return ControlFlow::Break(()),
        }
        self.receive_all()?;
        self.grace.expire(self.shared.clock.judged(), &mut self.told);
        self.fill_outbox();
        self.tell_dropped()?;
        let now = Instant::now();
        if let Some(dropped) = self.outbox.give_up(SystemTime::now(), now) {
            self.count_lost(dropped);
        }
        self.publish_age();
        if self.has_started && !self.is_off && !self.is_over() {
            self.send_next(now);
            self.publish_age();
        }
        if self.is_over() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    }

    /// Tells the metrics since when the oldest event waits.
    fn publish_age(&self) {
        *self.shared.oldest.lock().unwrap_or_else(PoisonError::into_inner) = self.outbox.oldest();
    }

    /// Whether the node exits, and nothing is left to send, or no time.
    fn is_over(&self) -> bool {
        let is_late = |closing: &Closing| closing.deadline <= Instant::now();
        self.closing.as_ref().is_some_and(|closing| self.is_off || self.outbox.is_empty() || is_late(closing))
    }

    /// The time until something is due.
    fn sleep(&self) -> Duration {
        let now = Instant::now();
        let until = |due: Instant| due.saturating_duration_since(now);
        let request = self.outbox.due().filter(|_| self.has_started && !self.is_off).map(until);
        let deadline = self.closing.as_ref().map(|closing| until(closing.deadline));
        let grace =
            self.grace.next().map(|due| due.saturating_duration_since(self.shared.clock.judged()).max(SHORTEST_SLEEP));
        [request, deadline, grace].into_iter().flatten().min().unwrap_or(LONGEST_SLEEP).min(LONGEST_SLEEP)
    }

    // ---- what has happened

    fn receive_all(&mut self) -> ControlFlow<()> {
        while let Ok(message) = self.inbox.try_recv() {
            self.receive(message)?;
        }
        ControlFlow::Continue(())
    }

    fn receive(&mut self, message: Message) -> ControlFlow<()> {
        match message {
            // told by the `node_down` of this node, or by the number of events that were dropped
            Message::Changed { .. } | Message::NodeDown { .. } if self.closing.is_some() => self.shared.release(1),
            Message::Changed { at, subject, change } => self.change(at, subject, change),
            Message::NodeDown { at, gone } => {
                self.fill_outbox();
                self.outbox.push(Event::NodeDown { gone }, self.time_of(at), Instant::now());
            }
            Message::NodeBack if self.closing.is_some() => {}
            Message::NodeBack => {
                self.fill_outbox();
                self.outbox.push_lost(0, SystemTime::now(), Instant::now());
            }
            Message::Dropped => self.must_tell_dropped = true,
            // a node that has exited before it has started has told both
            Message::Started { .. } if self.has_started => {}
            Message::Started { nodes } => {
                self.has_started = true;
                self.outbox.push(Event::NodeUp { nodes }, SystemTime::now(), Instant::now());
            }
            Message::Resume => self.resume(),
            Message::Drain { deadline, done } => self.close(Closing { deadline, _done: done }),
            Message::Stop => return ControlFlow::Break(()),
        }
        ControlFlow::Continue(())
    }

    fn change(&mut self, at: Instant, subject: Subject, change: Change) {
        let before = self.grace.len() + self.told.len();
        self.grace.apply(at, subject, change, &mut self.told);
        // what has come back in time takes its counterpart with it
        let counted = before + 1 - (self.grace.len() + self.told.len());
        self.shared.release(counted);
    }

    /// Moves what is told to the outbox, unless the receiver does not want it.
    fn fill_outbox(&mut self) {
        for Told { at, subject, change } in std::mem::take(&mut self.told) {
            let (kind, event) = match (subject, change) {
                (Subject::Peer(topic), Change::Up(subject)) => (HookEvent::PeerUp, Event::PeerUp { topic, subject }),
                (Subject::Peer(topic), Change::Down(gone)) => {
                    (HookEvent::PeerDown, Event::PeerDown { topic, reason: gone.reason })
                }
                (Subject::Room(topic), Change::Up(_)) => (HookEvent::RoomOccupied, Event::RoomOccupied { topic }),
                (Subject::Room(topic), Change::Down(_)) => (HookEvent::RoomVacated, Event::RoomVacated { topic }),
            };
            match self.config.sends(kind) {
                true => self.outbox.push(event, self.time_of(at), Instant::now()),
                false => self.shared.release(1),
            }
        }
    }

    /// Tells how many events were dropped. Everything that had room before one of them is in the outbox then, so what the
    /// receiver reads when it is told is newer.
    fn tell_dropped(&mut self) -> ControlFlow<()> {
        if !std::mem::take(&mut self.must_tell_dropped) {
            return ControlFlow::Continue(());
        }
        let count = self.shared.take_dropped();
        self.receive_all()?;
        self.fill_outbox();
        if count > 0 && self.closing.is_none() {
            self.lose(count);
        }
        ControlFlow::Continue(())
    }

    /// Tells a loss. What is within its grace period is dropped, too: that it has come back may be among what was lost.
    fn lose(&mut self, count: u64) {
        let forgotten = self.grace.len();
        self.grace.forget(self.shared.clock.now());
        self.shared.release(forgotten);
        self.shared.metrics.webhooks.lost.add(forgotten as u64);
        let count = count + forgotten as u64;
        if count > 0 {
            self.outbox.push_lost(count, SystemTime::now(), Instant::now());
        }
    }

    /// The outbox has dropped events, and tells how many.
    fn count_lost(&mut self, dropped: Left) {
        self.shared.release(dropped.counted);
        self.shared.metrics.webhooks.lost.add(dropped.counted as u64);
        self.lose(0);
    }

    fn resume(&mut self) {
        if !std::mem::take(&mut self.is_off) {
            return log::warn!("SIGHUP changes nothing: the configuration is read once, and webhooks are being sent");
        }
        self.shared.set_off(false);
        self.must_tell_dropped = true;
        log::info!("webhooks: requests are sent to {} again", self.url);
    }

    /// The last event says that this node is gone, and with it all of its peers and rooms.
    fn close(&mut self, closing: Closing) {
        self.fill_outbox();
        self.shared.release(self.grace.len());
        self.grace.forget(self.shared.clock.now());
        self.closing = Some(closing);
        let now = Instant::now();
        if !std::mem::replace(&mut self.has_started, true) {
            self.outbox.push(Event::NodeUp { nodes: Vec::new() }, SystemTime::now(), now);
        }
        let gone = self.instance.clone();
        self.shared.count_one();
        self.outbox.push(Event::NodeDown { gone }, SystemTime::now(), now);
        self.outbox.close(now);
    }

    /// The wall clock's time of something that happened at a time of the node's clock.
    fn time_of(&self, at: Instant) -> SystemTime {
        let ago = self.shared.clock.now().saturating_duration_since(at);
        SystemTime::now().checked_sub(ago).unwrap_or(UNIX_EPOCH)
    }

    // ---- requests

    fn send_next(&mut self, now: Instant) {
        let Some(request) = self.outbox.next(now) else { return };
        let result = guarded(|| post(&self.client, &self.url, &self.config, request));
        let now = Instant::now();
        if request.tells_loss() {
            // the receiver may read the state from now on, also if its response is lost
            self.grace.settle(self.shared.clock.now());
        }
        let outcome = match &result {
            Ok(response) if response.is_success() => RequestOutcome::Ok,
            Ok(_) => RequestOutcome::Refused,
            Err(_) => RequestOutcome::Failed,
        };
        self.shared.metrics.webhooks.requests.inc(outcome);
        match result {
            Ok(response) if response.is_success() => {
                let left = self.outbox.succeeded(now);
                self.succeeded(left);
            }
            Ok(Response { status: GONE, .. }) => self.turn_off(now),
            Ok(Response { status, retry_after }) => self.failed(now, retry_after, &FetchError::Status(status)),
            Err(error) => self.failed(now, None, &error),
        }
    }

    fn succeeded(&mut self, left: Left) {
        left.kinds.iter().for_each(|kind| self.shared.metrics.webhooks.events.inc(*kind));
        self.shared.release(left.counted);
        if let Some(time) = left.failed_for {
            let time = humantime::format_duration(Duration::from_secs(time.as_secs()));
            log::info!("webhooks: {} accepts requests again, after {time}", self.url);
        }
    }

    fn failed(&mut self, now: Instant, retry_after: Option<Duration>, why: &FetchError) {
        let spread = 0.8 + 0.4 * f64::from(Uuid::new_v4().as_bytes()[0]) / 255.0;
        if self.outbox.failed(now, retry_after, spread) {
            log::warn!("webhooks: a request to {} has failed, and is tried again: {why}", self.url);
        }
    }

    /// The receiver wants no more requests.
    fn turn_off(&mut self, now: Instant) {
        self.is_off = true;
        self.shared.set_off(true);
        let dropped = self.outbox.drop_all(SystemTime::now(), now);
        self.count_lost(dropped);
        log::error!("webhooks: {} has answered 410: no requests are sent to it until the next SIGHUP", self.url);
    }
}

/// Calls the client. A panic of its code is an error like others: the request is sent again.
fn guarded(request: impl FnOnce() -> Result<Response, FetchError>) -> Result<Response, FetchError> {
    let failed = |_| Err(FetchError::Failed("the client has panicked".into()));
    catch_unwind(AssertUnwindSafe(request)).unwrap_or_else(failed)
}

/// Signs and sends a request.
fn post(client: &HttpClient, url: &HttpsUrl, config: &Config, request: &Request) -> Result<Response, FetchError> {
    let timestamp = since_1970().as_secs();
    let signature = signature(&config.secrets, &request.id, timestamp, &request.body);
    let headers = [
        ("Content-Type", "application/json"),
        ("webhook-id", &request.id),
        ("webhook-timestamp", &timestamp.to_string()),
        ("webhook-signature", &signature),
    ];
    client.post(url, &headers, request.body.as_bytes())
}

#[cfg(test)]
mod tests;
