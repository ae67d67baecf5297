//! What a node sends, in the order of the calls, and what it subscribes to.
//!
//! One task writes. After each batch it publishes an empty message to the node itself, the *marker*. The server handles
//! what one connection sends in order, so once the marker comes back, all that was written before it has left this node's
//! memory, subscriptions are active, and the server has reported every message that nobody is subscribed to: such a report
//! ("no responders") arrives before the marker. One marker at a time is under way, so under load a marker confirms many
//! messages. A marker that does not come back shows that the server hangs.
//!
//! The client's own `flush` would not do: it is no round trip, and ends early when the socket accepts nothing at all.

use std::cell::{Cell, RefCell};
use std::collections::{HashMap, VecDeque};
use std::rc::Rc;
use std::time::Duration;

use async_nats::{Client, PublishErrorKind, StatusCode, Subscriber};
use bytes::Bytes;
use futures_util::StreamExt;
use log::Level;
use tokio::sync::{mpsc, oneshot};
use tokio::task::{AbortHandle, spawn_local};
use tokio::time::Instant;

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
    /// Publishes a message. With `reports`, the server reports if nobody is subscribed.
    Publish {
        subject: String,
        message: Bytes,
        reports: bool,
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

/// The queue of what this node sends. Its tasks end when it is dropped.
pub(super) struct Outbox(Rc<Shared>);

struct Shared {
    client: Client,
    subjects: Subjects,
    /// Of the lines about messages that are too large.
    log: LineLimit,
    events: Rc<dyn EngineEvents>,
    alarm: Alarm,
    /// Where the server reports that nobody is subscribed, and markers come back: `<inbox>.<kind>.<number>`.
    inbox: String,
    /// The adapter bounds what waits here: it counts the bytes of what has not been confirmed yet.
    commands: mpsc::UnboundedSender<(Command, oneshot::Sender<Reach>)>,
    unconfirmed: RefCell<VecDeque<Unconfirmed>>,
    written: Cell<u64>,
    is_marker_sent: Cell<bool>,
    /// Since when a marker is awaited.
    waiting: Cell<Option<Instant>>,
    topics: RefCell<HashMap<String, AbortHandle>>,
    tasks: RefCell<Vec<AbortHandle>>,
}

impl Outbox {
    /// Starts the tasks, and subscribes to the node's own subject.
    pub(super) async fn start(
        client: &Client,
        subjects: &Subjects,
        node: &str,
        events: Rc<dyn EngineEvents>,
        alarm: Alarm,
    ) -> Result<Self, Lost> {
        let (commands, received) = mpsc::unbounded_channel();
        let outbox = Self(Rc::new(Shared {
            client: client.clone(),
            subjects: subjects.clone(),
            log: LineLimit::per_minute(LINES_PER_MINUTE, module_path!()),
            events,
            alarm,
            inbox: client.new_inbox(),
            commands,
            unconfirmed: RefCell::default(),
            written: Cell::new(0),
            is_marker_sent: Cell::new(false),
            waiting: Cell::new(None),
            topics: RefCell::default(),
            tasks: RefCell::default(),
        }));
        let shared = &outbox.0;
        let reports = client.subscribe(format!("{}.*.*", shared.inbox)).await.map_err(|_| Lost)?;
        let own = client.subscribe(subjects.node(node)).await.map_err(|_| Lost)?;
        let tasks = [
            spawn_local(shared.clone().read_reports(reports)).abort_handle(),
            spawn_local(shared.clone().deliver(own)).abort_handle(),
            spawn_local(shared.clone().write(received)).abort_handle(),
        ];
        shared.tasks.borrow_mut().extend(tasks);
        Ok(outbox)
    }

    /// Sends to a node's inbox. The message counts as sent when this function has been called.
    pub(super) fn send(&self, node: &str, message: Bytes) -> Confirmation {
        let subject = self.0.subjects.node(node);
        self.0.push(Command::Publish { subject, message, reports: true })
    }

    /// Sends to the nodes that are subscribed to a topic.
    pub(super) fn publish(&self, topic: &str, message: Bytes) -> Confirmation {
        let subject = self.0.subjects.topic(topic);
        self.0.push(Command::Publish { subject, message, reports: false })
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
        let topics = self.0.topics.take().into_values();
        self.0.tasks.take().into_iter().chain(topics).for_each(|task| task.abort());
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
            if !self.is_marker_sent.replace(true) && self.mark().await.is_err() {
                return self.alarm.raise("the connection to the NATS server is closed");
            }
        }
    }

    async fn write_one(self: &Rc<Self>, command: Command, number: u64) -> Result<(), Lost> {
        let client = &self.client;
        let result = match command {
            Command::Publish { subject, message, reports: true } => {
                client.publish_with_reply(subject, format!("{}.nobody.{number}", self.inbox), message).await
            }
            Command::Publish { subject, message, reports: false } => client.publish(subject, message).await,
            Command::Subscribe(topic) => return self.add_topic(topic).await,
            Command::Unsubscribe(topic) => {
                if let Some(task) = self.topics.borrow_mut().remove(&topic) {
                    // this drops the subscription, which ends it at the server
                    task.abort();
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
        let task = spawn_local(self.clone().deliver(subscriber)).abort_handle();
        self.topics.borrow_mut().insert(topic, task);
        Ok(())
    }

    async fn mark(&self) -> Result<(), Lost> {
        self.waiting.set(self.waiting.get().or_else(|| Some(Instant::now())));
        let subject = format!("{}.marker.{}", self.inbox, self.written.get());
        self.client.publish(subject, Bytes::new()).await.map_err(|_| Lost)
    }

    async fn deliver(self: Rc<Self>, mut messages: Subscriber) {
        while let Some(message) = messages.next().await {
            self.events.message(message.payload);
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
        self.waiting.set(None);
        self.is_marker_sent.set(false);
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
