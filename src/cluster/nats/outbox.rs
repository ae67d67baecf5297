//! What a node sends, in the order of the calls, and what it subscribes to.
//!
//! One task writes. After each batch it publishes an empty message to the node itself, the *marker*. The server handles
//! what one connection sends in order, so once the marker comes back, all that was written before it has left this node's
//! memory, subscriptions are active, and the server has reported every message that nobody is subscribed to: such a report
//! ("no responders") arrives before the marker. One marker at a time is under way, so under load a marker confirms many
//! messages. A marker that does not come back shows that the server hangs.
//!
//! The client's own `flush` would not do: it is no round trip, and ends early when the socket accepts nothing at all.
//!
//! Each message has a number, which grows over all links of the node. Its receivers put messages into this order.

use std::cell::{Cell, RefCell};
use std::collections::{HashMap, VecDeque};
use std::rc::Rc;
use std::time::Duration;

use async_nats::{Client, PublishErrorKind, StatusCode, Subscriber};
use bytes::Bytes;
use futures_util::StreamExt;
use futures_util::stream::{self, Abortable};
use log::Level;
use tokio::sync::{mpsc, oneshot};
use tokio::task::{AbortHandle, spawn_local};
use tokio::time::Instant;
use uuid::Uuid;

use super::arrivals::{Arrival, collect};
use super::connection::Alarm;
use super::subjects::Subjects;
use crate::cluster::engine::{EngineEvents, Lost, Reach};
use crate::connections::line_limit::LineLimit;

/// As many commands are written before the next marker.
const BATCH: usize = 256;

/// Lines that the log gets in a minute about messages that are too large.
const LINES_PER_MINUTE: u32 = 10;

/// What the writing task does.
enum Command {
    Publish {
        subject: String,
        message: Bytes,
    },
    Subscribe(String),
    Unsubscribe(String),
    /// Asks for a marker.
    Check,
}

/// A command that waits for its marker.
struct Unconfirmed {
    number: u64,
    done: oneshot::Sender<Reach>,
}

/// What is the same for all links of a node.
pub(super) struct Identity {
    /// The last part of its inbox.
    token: String,
    /// The number of the last command.
    written: Rc<Cell<u64>>,
}

impl Identity {
    pub(super) fn new() -> Self {
        Self { token: Uuid::new_v4().simple().to_string(), written: Rc::default() }
    }
}

/// The queue of what this node sends. Its tasks end when it is dropped.
pub(super) struct Outbox(Rc<Shared>);

struct Shared {
    client: Client,
    subjects: Subjects,
    /// Of the lines about messages that are too large.
    log: LineLimit,
    events: Rc<dyn EngineEvents>,
    alarm: Alarm,
    /// Where the server reports that nobody is subscribed, and markers come back: `<inbox>.<kind>.<number>`. It is the
    /// same for all links of the node, and names it to the receivers of its messages.
    inbox: String,
    /// The adapter bounds what waits here: it counts the bytes of what has not been confirmed yet.
    commands: mpsc::UnboundedSender<(Command, oneshot::Sender<Reach>)>,
    unconfirmed: RefCell<VecDeque<Unconfirmed>>,
    /// The number of the last command, over all links.
    written: Rc<Cell<u64>>,
    /// The number of the marker that is under way.
    marker: Cell<Option<u64>>,
    /// Since when a marker is awaited.
    waiting: Cell<Option<Instant>>,
    /// Takes the subscriptions to the task that reads them all.
    subscriptions: mpsc::UnboundedSender<Abortable<Subscriber>>,
    topics: RefCell<HashMap<String, stream::AbortHandle>>,
    tasks: RefCell<Vec<AbortHandle>>,
}

impl Outbox {
    /// Starts the tasks, and subscribes to the node's own subject. `identity` says what is the same for all links.
    pub(super) async fn start(
        client: &Client,
        subjects: &Subjects,
        node: &str,
        identity: &Identity,
        events: Rc<dyn EngineEvents>,
        alarm: Alarm,
    ) -> Result<Self, Lost> {
        let (commands, received) = mpsc::unbounded_channel();
        let (subscriptions, added) = mpsc::unbounded_channel();
        let (arrivals, arrived) = mpsc::unbounded_channel();
        let outbox = Self(Rc::new(Shared {
            client: client.clone(),
            subjects: subjects.clone(),
            log: LineLimit::per_minute(LINES_PER_MINUTE, module_path!()),
            events,
            alarm: alarm.clone(),
            inbox: format!("{}.{}", subjects.inbox(), identity.token),
            commands,
            unconfirmed: RefCell::default(),
            written: identity.written.clone(),
            marker: Cell::new(None),
            waiting: Cell::new(None),
            subscriptions,
            topics: RefCell::default(),
            tasks: RefCell::default(),
        }));
        let shared = &outbox.0;
        let reports = client.subscribe(format!("{}.*.*", shared.inbox)).await.map_err(|_| Lost)?;
        let own = client.subscribe(subjects.node(node)).await.map_err(|_| Lost)?;
        let tasks = [
            spawn_local(shared.clone().read_reports(reports)).abort_handle(),
            collect(added, arrivals, alarm),
            spawn_local(shared.clone().deliver(arrived)).abort_handle(),
            spawn_local(shared.clone().write(received)).abort_handle(),
        ];
        shared.tasks.borrow_mut().extend(tasks);
        shared.read(own);
        Ok(outbox)
    }

    /// Sends to a node's inbox. The message counts as sent when this function has been called.
    pub(super) fn send(&self, node: &str, message: Bytes) -> Confirmation {
        let subject = self.0.subjects.node(node);
        self.0.push(Command::Publish { subject, message })
    }

    /// Sends to the nodes that are subscribed to a topic.
    pub(super) fn publish(&self, topic: &str, message: Bytes) -> Confirmation {
        let subject = self.0.subjects.topic(topic);
        self.0.push(Command::Publish { subject, message })
    }

    /// Subscribes to a topic.
    pub(super) fn subscribe(&self, topic: &str) -> Confirmation {
        self.0.push(Command::Subscribe(topic.to_owned()))
    }

    /// Ends the subscription to a topic.
    pub(super) fn unsubscribe(&self, topic: &str) {
        self.0.push(Command::Unsubscribe(topic.to_owned()));
    }

    /// Waits for the server to handle what was sent before.
    pub(super) fn confirm(&self) -> Confirmation {
        self.0.push(Command::Check)
    }

    /// Asks for a marker, unless one is awaited. Whether one has been awaited for longer than `limit`.
    pub(super) fn is_silent(&self, limit: Duration) -> bool {
        let now = Instant::now();
        match self.0.waiting.get() {
            Some(since) => now.duration_since(since) > limit,
            None => {
                self.0.waiting.set(Some(now));
                self.confirm();
                false
            }
        }
    }

    /// Ends the tasks and the subscriptions. Whatever is not confirmed fails.
    pub(super) fn end(&self) {
        self.0.tasks.take().into_iter().for_each(|task| task.abort());
        self.0.unconfirmed.take();
        self.0.alarm.raise("the connection to the NATS server is closed");
    }
}

impl Drop for Outbox {
    fn drop(&mut self) {
        self.end();
    }
}

/// The result of a command. It is ready when the server has handled the command.
pub(super) struct Confirmation(oneshot::Receiver<Reach>);

impl Confirmation {
    pub(super) async fn wait(self) -> Result<Reach, Lost> {
        self.0.await.map_err(|_| Lost)
    }
}

impl Shared {
    fn push(&self, command: Command) -> Confirmation {
        let (done, result) = oneshot::channel();
        // it fails once the connection is lost, and then so does the result
        let _ = self.commands.send((command, done));
        Confirmation(result)
    }

    async fn write(self: Rc<Self>, mut commands: mpsc::UnboundedReceiver<(Command, oneshot::Sender<Reach>)>) {
        let mut batch = Vec::with_capacity(BATCH);
        while commands.recv_many(&mut batch, BATCH).await > 0 {
            for (command, done) in batch.drain(..) {
                let number = self.written.get() + 1;
                self.written.set(number);
                // before it is written: the report that nobody is subscribed may come at once
                self.unconfirmed.borrow_mut().push_back(Unconfirmed { number, done });
                if self.write_one(command, number).await.is_err() {
                    return self.alarm.raise("the connection to the NATS server is closed");
                }
            }
            if self.marker.get().is_none() && self.mark().await.is_err() {
                return self.alarm.raise("the connection to the NATS server is closed");
            }
        }
    }

    async fn write_one(self: &Rc<Self>, command: Command, number: u64) -> Result<(), Lost> {
        let client = &self.client;
        let result = match command {
            Command::Publish { subject, message } => {
                client.publish_with_reply(subject, format!("{}.nobody.{number}", self.inbox), message).await
            }
            Command::Subscribe(topic) => return self.add_topic(topic).await,
            Command::Unsubscribe(topic) => {
                if let Some(subscription) = self.topics.borrow_mut().remove(&topic) {
                    // this drops the subscription, which ends it at the server
                    subscription.abort();
                }
                Ok(())
            }
            Command::Check => Ok(()),
        };
        match result {
            Err(error) if error.kind() == PublishErrorKind::MaxPayloadExceeded => {
                let what = "a message to other nodes is larger than max_payload of the NATS server";
                self.log.write(Level::Error, format_args!("{what}: {error}"));
                // its sender learns that it is lost
                self.unconfirmed.borrow_mut().pop_back();
                Ok(())
            }
            result => result.map_err(|_| Lost),
        }
    }

    async fn add_topic(self: &Rc<Self>, topic: String) -> Result<(), Lost> {
        if self.topics.borrow().contains_key(&topic) {
            return Ok(());
        }
        let subscriber = self.client.subscribe(self.subjects.topic(&topic)).await.map_err(|_| Lost)?;
        self.topics.borrow_mut().insert(topic, self.read(subscriber));
        Ok(())
    }

    /// Reads what arrives on a subscription, until it is aborted.
    fn read(&self, subscriber: Subscriber) -> stream::AbortHandle {
        let (subscription, handle) = stream::abortable(subscriber);
        // it fails once the link has ended
        let _ = self.subscriptions.send(subscription);
        handle
    }

    async fn mark(&self) -> Result<(), Lost> {
        self.waiting.set(self.waiting.get().or_else(|| Some(Instant::now())));
        let number = self.written.get();
        self.marker.set(Some(number));
        let subject = format!("{}.marker.{number}", self.inbox);
        self.client.publish(subject, Bytes::new()).await.map_err(|_| Lost)
    }

    async fn deliver(self: Rc<Self>, mut arrived: mpsc::UnboundedReceiver<Arrival>) {
        while let Some(arrival) = arrived.recv().await {
            self.events.message(arrival.message);
        }
    }

    /// Reads markers, and the reports that nobody is subscribed.
    async fn read_reports(self: Rc<Self>, mut reports: Subscriber) {
        while let Some(report) = reports.next().await {
            let mut tokens = report.subject.as_str().rsplit('.');
            let Some(number) = tokens.next().and_then(|number| number.parse().ok()) else { continue };
            match tokens.next() {
                Some("marker") => self.confirm_until(number),
                Some("nobody") if report.status == Some(StatusCode::NO_RESPONDERS) => self.reject(number),
                _ => {}
            }
        }
    }

    fn confirm_until(&self, number: u64) {
        if self.marker.get() != Some(number) {
            // it is one of an earlier link
            return;
        }
        self.waiting.set(None);
        self.marker.set(None);
        let mut unconfirmed = self.unconfirmed.borrow_mut();
        let confirmed = unconfirmed.partition_point(|command| command.number <= number);
        for command in unconfirmed.drain(..confirmed) {
            let _ = command.done.send(Reach::Accepted);
        }
        if !unconfirmed.is_empty() {
            drop(unconfirmed);
            self.push(Command::Check);
        }
    }

    fn reject(&self, number: u64) {
        let mut unconfirmed = self.unconfirmed.borrow_mut();
        if let Ok(place) = unconfirmed.binary_search_by_key(&number, |command| command.number)
            && let Some(command) = unconfirmed.remove(place)
        {
            let _ = command.done.send(Reach::Nobody);
        }
    }
}
