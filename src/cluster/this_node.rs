//! [`ThisNode`]: what the cluster's thread works on, and how it takes up the commands of the other threads.
//!
//! The thread does one thing at a time, so the parts of a node need no locks. What takes a round trip is a task of its
//! own; no borrow of a part is held while a task waits.

use std::cell::{Cell, RefCell};
use std::pin::pin;
use std::rc::Rc;
use std::sync::Arc;

use bytes::Bytes;
use futures_util::future::join_all;
use tokio::sync::{Notify, mpsc};
use tokio::task::{JoinHandle, spawn_local};
use tokio::time::{Instant, interval};

use crate::broker::adapter::{ClusterInbox, Packet};
use crate::broker::registry::permits::{CommandBudget, Permit};
use crate::cluster::command::{Command, Reply};
use crate::cluster::engine::{Engine, LocalFuture, Lost, Reach};
use crate::cluster::envelope::{Destination, Opener, Sealer};
use crate::cluster::lease_end::LeaseEnd;
use crate::cluster::link_state::LinkState;
use crate::cluster::members::{Members, Refresh};
use crate::cluster::message::Message;
use crate::cluster::options::ClusterOptions;
use crate::cluster::own_names::OwnNames;
use crate::cluster::requests::PendingRequests;
use crate::cluster::routes::Routes;
use crate::cluster::strangers::Strangers;
use crate::cluster::subscriptions::Subscriptions;
use crate::connections::line_limit::LineLimit;
use crate::metrics::families::Metrics;
use crate::refusal::PacketDrop;
use crate::topic::Topic;

/// Lines that the log gets in a minute about the link, and about the other nodes.
const LINES_PER_MINUTE: u32 = 30;
/// The module that the lines are of.
const LOG_TARGET: &str = "handclasp::cluster";
/// How often within a lease the thread notes that it runs.
const TURNS_PER_LEASE: u32 = 4;

/// A node of a cluster.
pub(super) struct ThisNode {
    pub(super) options: ClusterOptions,
    pub(super) engine: Box<dyn Engine>,
    pub(super) inbox: Arc<dyn ClusterInbox>,
    pub(super) metrics: Arc<Metrics>,
    pub(super) state: Arc<LinkState>,
    pub(super) link_log: LineLimit,
    pub(super) members_log: LineLimit,
    pub(super) budget: Arc<CommandBudget>,
    pub(super) sealer: RefCell<Sealer>,
    pub(super) opener: RefCell<Opener>,
    pub(super) members: RefCell<Members>,
    pub(super) strangers: RefCell<Strangers>,
    pub(super) routes: RefCell<Routes>,
    pub(super) names: OwnNames,
    pub(super) requests: Rc<PendingRequests>,
    pub(super) subscriptions: RefCell<Subscriptions>,
    /// How many questions of other nodes are being answered that look through tables.
    pub(super) searches: Cell<usize>,
    pub(super) is_linked: Cell<bool>,
    /// The number of the present link. It grows when the link is made and when it is lost, and what an earlier one still
    /// reports is ignored.
    pub(super) link_number: Cell<u64>,
    /// Notified when the link is lost, and when the node must say something new about itself.
    pub(super) link_changed: Notify,
    /// Notified when the receipt of a message has panicked.
    pub(super) receipt_panicked: Notify,
    pub(super) is_retired: Cell<bool>,
    /// Whether the node has been linked at least once.
    pub(super) was_linked: Cell<bool>,
    /// How often the node has been linked again.
    pub(super) relinks: Cell<u64>,
    /// Until when the other nodes consider this node alive, at least.
    pub(super) lease_end: Cell<Option<LeaseEnd>>,
    /// Until when nodes that are not in the list of live nodes count as alive if they did before. The engine may have been
    /// away, so they need time to link again.
    pub(super) grace_until: Cell<Option<Instant>>,
    /// The last reading of the list of live nodes.
    pub(super) refresh: RefCell<Option<Refresh>>,
}

impl ThisNode {
    pub(super) fn new(
        options: ClusterOptions,
        engine: Box<dyn Engine>,
        inbox: Arc<dyn ClusterInbox>,
        state: Arc<LinkState>,
        budget: Arc<CommandBudget>,
    ) -> Rc<Self> {
        Rc::new(Self {
            sealer: RefCell::new(Sealer::new(&options.secret, options.node.clone())),
            opener: RefCell::new(Opener::new(&options.secret, options.node.clone())),
            metrics: inbox.metrics(),
            link_log: LineLimit::per_minute(LINES_PER_MINUTE, LOG_TARGET),
            members_log: LineLimit::per_minute(LINES_PER_MINUTE, LOG_TARGET),
            members: RefCell::default(),
            strangers: RefCell::default(),
            routes: RefCell::new(Routes::new(options.timeout)),
            names: OwnNames::default(),
            requests: Rc::default(),
            subscriptions: RefCell::default(),
            searches: Cell::new(0),
            is_linked: Cell::new(false),
            link_number: Cell::new(0),
            link_changed: Notify::new(),
            receipt_panicked: Notify::new(),
            is_retired: Cell::new(false),
            was_linked: Cell::new(false),
            relinks: Cell::new(0),
            lease_end: Cell::new(None),
            grace_until: Cell::new(None),
            refresh: RefCell::default(),
            options,
            engine,
            inbox,
            state,
            budget,
        })
    }

    /// Works until the adapter is dropped or stopped, or a part of the node panics.
    pub(super) async fn run(self: Rc<Self>, mut commands: mpsc::UnboundedReceiver<Command>) {
        let mut link = spawn_local(self.clone().keep_linked());
        let mut stopped = None;
        {
            let mut panicked = pin!(self.report_turns(&mut link));
            loop {
                let command = tokio::select! {
                    command = commands.recv() => command,
                    () = &mut panicked => break,
                };
                match command {
                    None => break,
                    Some(Command::Stop { reply }) => {
                        stopped = Some(reply);
                        break;
                    }
                    Some(command) => self.handle(command),
                }
            }
        }
        link.abort();
        self.leave().await;
        if let Some(reply) = stopped {
            let _ = reply.send(());
        }
    }

    /// Notes again and again that the thread runs, until the task that keeps the link, or the receipt of a message, has
    /// panicked.
    async fn report_turns(&self, link: &mut JoinHandle<()>) {
        let mut turns = interval(self.options.lease / TURNS_PER_LEASE);
        loop {
            tokio::select! {
                _ = turns.tick() => self.state.set_running(),
                // it does not return
                _ = &mut *link => return,
                () = self.receipt_panicked.notified() => return,
            }
        }
    }

    fn handle(self: &Rc<Self>, command: Command) {
        let node = self.clone();
        match command {
            Command::Claim { name, claim, reply } => answer(reply, node.claim(name, claim)),
            Command::Release { name, epoch } => self.release(name, epoch),
            Command::Whereis { name, reply } => answer(reply, node.whereis(name)),
            Command::Deliver(signal) => self.deliver(signal),
            Command::Publish { topics, packet, permit } => self.publish(topics, packet, permit),
            Command::Subscribe { topic, reply } => self.subscribe(topic, reply),
            Command::Unsubscribe { topic } => self.unsubscribe(&topic),
            Command::Ask { question, reply } => answer(reply, node.ask(question)),
            Command::Retire => self.retire(),
            Command::Stop { .. } => {}
        }
    }

    /// Publishes a packet. The end of a name's owner is published once the directory has released the name: a node that
    /// looks the name up, because it subscribes too late to hear of the end, must not find the former owner.
    pub(super) fn publish(self: &Rc<Self>, topics: Box<[Topic]>, packet: Packet, permit: Permit) {
        match (&packet, &*topics) {
            (Packet::Down(_), [name]) => {
                let (node, released) = (self.clone(), self.released(name));
                spawn_local(async move {
                    released.await;
                    node.publish_now(topics, packet, permit);
                });
            }
            _ => self.publish_now(topics, packet, permit),
        }
    }

    /// Sends a packet to all nodes that are subscribed to one of the topics.
    fn publish_now(&self, topics: Box<[Topic]>, packet: Packet, permit: Permit) {
        if !self.is_linked.get() {
            if matches!(packet, Packet::Broadcast { .. }) {
                self.metrics.cluster.messages_dropped.inc(PacketDrop::Unlinked);
            }
            return;
        }
        let message = Message::Publish { topics: topics.into_vec(), packet };
        let Message::Publish { topics, .. } = &message else { return };
        let permit = Arc::new(permit);
        let sealed = permit.hold(self.seal(Destination::Topics, &message));
        let sent: Vec<_> = topics.iter().map(|topic| self.engine.publish(topic.key(), sealed.clone())).collect();
        spawn_local(async move {
            join_all(sent).await;
            drop(permit);
        });
    }

    /// Sends a message to one node. However full the queue is, it is not refused.
    pub(super) fn send(&self, node: &str, message: &Message) -> LocalFuture<Result<Reach, Lost>> {
        let sealed = self.seal(Destination::Node(node), message);
        let permit = Arc::new(self.budget.take_anyway(sealed.len()));
        self.send_with(&permit, node, sealed)
    }

    /// Sends a sealed message to one node. It holds the permit until it has left this node's memory, which may be later
    /// than the result: an engine that hangs lets it wait.
    pub(super) fn send_with(
        &self,
        permit: &Arc<Permit>,
        node: &str,
        sealed: Bytes,
    ) -> LocalFuture<Result<Reach, Lost>> {
        let sent = self.engine.send(node, permit.hold(sealed));
        let permit = permit.clone();
        Box::pin(async move {
            let reach = sent.await;
            drop(permit);
            reach
        })
    }

    /// Sends a message whose fate does not matter: an answer to a node that does not wait for ever. If too much waits to
    /// be sent already, it is dropped.
    pub(super) fn send_answer(&self, node: &str, message: &Message) {
        let sealed = self.seal(Destination::Node(node), message);
        let Some(permit) = self.budget.take(sealed.len()) else { return };
        drop(spawn_local(self.send_with(&Arc::new(permit), node, sealed)));
    }

    pub(super) fn seal(&self, to: Destination<'_>, message: &Message) -> Bytes {
        self.metrics.cluster.packets_sent.inc();
        self.inbox.count_memory(self.sealer.borrow_mut().seal(to, message))
    }
}

/// Answers a command. It holds its permit until then.
fn answer<T: 'static>((reply, permit): Reply<T>, answer: impl Future<Output = T> + 'static) {
    spawn_local(async move {
        let _ = reply.send(answer.await);
        drop(permit);
    });
}
