//! The outbox: which request is sent next, when it is tried again, and when what waits is dropped. It has no clock of its
//! own, and sends nothing.
//!
//! An event gets its number when it becomes a part of a request, so events that are dropped before leave no gap. There is
//! one request at a time, which keeps the order, and it stays the same until it has succeeded or is given up: the receiver
//! may have got it although there was no answer.

use std::collections::VecDeque;
use std::time::{Duration, Instant, SystemTime};

use compact_str::CompactString;

use super::event::Event;
use crate::config::schema::Webhooks as Config;
use crate::metrics::labels::EventType;

/// The maximum number of events in a request, and its maximum size, in bytes. A larger event is alone in its request.
const MAX_EVENTS: usize = 100;
const MAX_BYTES: usize = 64 * 1024;
/// The pause before the first new try. It doubles with each further one, up to the maximum.
const FIRST_PAUSE: Duration = Duration::from_secs(1);
const MAX_PAUSE: Duration = Duration::from_secs(60);

/// An event that waits.
struct Waiting {
    event: Event,
    time: SystemTime,
    since: Instant,
}

/// One request, the same for each try.
pub(super) struct Request {
    /// The value of `webhook-id`.
    pub(super) id: String,
    pub(super) body: String,
    kinds: Vec<EventType>,
    /// How many events were dropped, according to those of this request.
    lost: u64,
    since: Instant,
}

impl Request {
    /// Whether it says that events were dropped.
    pub(super) fn tells_loss(&self) -> bool {
        self.kinds.contains(&EventType::Lost)
    }

    fn is_node_up(&self) -> bool {
        self.kinds == [EventType::NodeUp]
    }
}

/// What has left the outbox.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Left {
    pub(super) kinds: Vec<EventType>,
    /// How many events count against `webhooks.queue_size` no more.
    pub(super) counted: usize,
    /// For how long requests had failed before this one.
    pub(super) failed_for: Option<Duration>,
}

/// Requests fail.
struct Failing {
    since: Instant,
    /// Since when no events were dropped.
    give_up_from: Instant,
    tries: u32,
    next_try: Instant,
}

/// The events on their way.
pub(super) struct Outbox {
    node: CompactString,
    instance: CompactString,
    batch_interval: Duration,
    give_up_after: Duration,
    waiting: VecDeque<Waiting>,
    request: Option<Request>,
    last_seq: u64,
    failing: Option<Failing>,
    /// Nothing is collected any more: the node is about to exit.
    is_closing: bool,
}

/// Whether an event counts against `webhooks.queue_size`. There are few of the others.
fn is_counted(event: &Event) -> bool {
    !matches!(event, Event::NodeUp { .. } | Event::Lost { .. })
}

impl Outbox {
    pub(super) fn new(node: CompactString, instance: CompactString, config: &Config) -> Self {
        Self {
            node,
            instance,
            batch_interval: config.batch_interval,
            give_up_after: config.give_up_after,
            waiting: VecDeque::new(),
            request: None,
            last_seq: 0,
            failing: None,
            is_closing: false,
        }
    }

    /// Adds an event behind all others. A node's `node_up` is the first, and alone in its request: it is never given up,
    /// and no other event may have its number.
    pub(super) fn push(&mut self, event: Event, time: SystemTime, now: Instant) {
        let waiting = Waiting { event, time, since: now };
        match waiting.event {
            Event::NodeUp { .. } => self.waiting.push_front(waiting),
            _ => self.waiting.push_back(waiting),
        }
    }

    /// Tells, behind all events that wait, how many were dropped.
    pub(super) fn push_lost(&mut self, count: u64, time: SystemTime, now: Instant) {
        match self.waiting.back_mut().map(|waiting| &mut waiting.event) {
            Some(Event::Lost { count: before }) => *before += count,
            _ => self.push(Event::Lost { count }, time, now),
        }
    }

    /// From now on, events are not collected, and a request that waits for its next try is tried at once.
    pub(super) fn close(&mut self, now: Instant) {
        self.is_closing = true;
        if let Some(failing) = &mut self.failing {
            failing.next_try = now;
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.waiting.is_empty() && self.request.is_none()
    }

    /// The number of events that count against `webhooks.queue_size`.
    pub(super) fn counted(&self) -> usize {
        let in_request = self.request.as_ref().map_or(0, |request| counted(&request.kinds));
        in_request + self.waiting.iter().filter(|waiting| is_counted(&waiting.event)).count()
    }

    /// Since when the oldest event waits.
    pub(super) fn oldest(&self) -> Option<Instant> {
        let in_request = self.request.as_ref().map(|request| request.since);
        in_request.or_else(|| self.waiting.front().map(|waiting| waiting.since))
    }

    /// When something is to be done next: a request sent, or what waits dropped.
    pub(super) fn due(&self) -> Option<Instant> {
        if let Some(failing) = self.failing.as_ref().filter(|_| !self.is_empty()) {
            let give_up = (!self.is_closing).then_some(failing.give_up_from + self.give_up_after);
            return Some(give_up.map_or(failing.next_try, |give_up| give_up.min(failing.next_try)));
        }
        if self.request.is_some() {
            return self.oldest();
        }
        let is_full = self.waiting.len() >= MAX_EVENTS || self.is_closing;
        self.oldest().map(|since| if is_full { since } else { since + self.batch_interval })
    }

    /// The request to send now, if one is due.
    pub(super) fn next(&mut self, now: Instant) -> Option<&Request> {
        let is_due = match &self.failing {
            Some(failing) => !self.is_empty() && failing.next_try <= now,
            None => self.due().is_some_and(|due| due <= now),
        };
        if !is_due {
            return None;
        }
        if self.request.is_none() {
            self.request = Some(self.build(now));
        }
        self.request.as_ref()
    }

    /// Makes a request of the first events.
    fn build(&mut self, now: Instant) -> Request {
        let (node, instance) = (json(&self.node), json(&self.instance));
        let mut request = Request {
            id: format!("{}-{}", self.instance, self.last_seq + 1),
            body: format!(r#"{{"node":{node},"instance":{instance},"events":["#),
            kinds: Vec::new(),
            lost: 0,
            since: self.oldest().unwrap_or(now),
        };
        while let Some(Waiting { event, time, .. }) = self.waiting.front() {
            let text = event.json(self.last_seq + 1, *time);
            let is_full =
                request.kinds.len() == MAX_EVENTS || request.body.len() + text.len() + ",]}".len() > MAX_BYTES;
            if !request.kinds.is_empty() && (is_full || request.is_node_up()) {
                break;
            }
            if let Event::Lost { count } = event {
                request.lost += count;
            }
            if !request.kinds.is_empty() {
                request.body.push(',');
            }
            request.body.push_str(&text);
            request.kinds.push(event.kind());
            self.last_seq += 1;
            self.waiting.pop_front();
        }
        request.body.push_str("]}");
        request
    }

    /// The request has succeeded.
    pub(super) fn succeeded(&mut self, now: Instant) -> Left {
        let failed_for = self.failing.take().map(|failing| now.saturating_duration_since(failing.since));
        let kinds = self.request.take().map(|request| request.kinds).unwrap_or_default();
        Left { counted: counted(&kinds), kinds, failed_for }
    }

    /// The request has failed, and is tried again: after the pause that the receiver has asked for, or after one that
    /// grows, times `spread`. Returns whether the one before it had succeeded.
    pub(super) fn failed(&mut self, now: Instant, retry_after: Option<Duration>, spread: f64) -> bool {
        let tries = self.failing.as_ref().map_or(0, |failing| failing.tries);
        let pause = FIRST_PAUSE.saturating_mul(2_u32.saturating_pow(tries)).min(MAX_PAUSE).mul_f64(spread);
        let next_try = now + retry_after.map_or(pause, |pause| pause.clamp(FIRST_PAUSE, MAX_PAUSE));
        let failing = self.failing.get_or_insert(Failing { since: now, give_up_from: now, tries: 0, next_try });
        (failing.tries, failing.next_try) = (tries + 1, next_try);
        tries == 0
    }

    /// Drops what waits if requests have failed for too long. Returns what was dropped. A node that exits drops nothing: its
    /// last event stands for all that it has not told.
    pub(super) fn give_up(&mut self, time: SystemTime, now: Instant) -> Option<Left> {
        if self.is_closing {
            return None;
        }
        let failing = self.failing.as_mut().filter(|failing| failing.give_up_from + self.give_up_after <= now)?;
        failing.give_up_from = now;
        // what says how much was lost stays
        (self.counted() > 0).then(|| self.drop_all(time, now))
    }

    /// Drops what waits, and tells how much that was. Only a `node_up` stays: a receiver needs it to forget what it knew
    /// of the node before.
    pub(super) fn drop_all(&mut self, time: SystemTime, now: Instant) -> Left {
        let mut dropped = Left::default();
        let mut lost = 0;
        if let Some(request) = self.request.take_if(|request| !request.is_node_up()) {
            lost += request.lost;
            dropped.kinds.extend(request.kinds);
        }
        let is_first = |waiting: &Waiting| matches!(waiting.event, Event::NodeUp { .. });
        let first = if self.waiting.front().is_some_and(is_first) { self.waiting.pop_front() } else { None };
        for Waiting { event, .. } in self.waiting.drain(..) {
            dropped.kinds.push(event.kind());
            if let Event::Lost { count } = event {
                lost += count;
            }
        }
        self.waiting.extend(first);
        dropped.counted = counted(&dropped.kinds);
        let count = lost + dropped.counted as u64;
        if count > 0 || dropped.kinds.contains(&EventType::Lost) {
            self.push_lost(count, time, now);
        }
        dropped
    }
}

fn counted(kinds: &[EventType]) -> usize {
    kinds.iter().filter(|kind| !matches!(kind, EventType::NodeUp | EventType::Lost)).count()
}

/// A text in JSON.
fn json(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

#[cfg(test)]
mod tests;
