//! [`Cluster`]: the adapter of a node that is one of several. It runs on a thread of its own; other threads hand it
//! commands through a queue that is bounded in bytes (`cluster.queue_bytes`).
//!
//! A command that a client can cause at any rate (a signal, a message to a room, a claim) is refused when the queue is
//! full: `overloaded`, counted and dropped, `unreachable`. So is a question: all nodes are silent. A command that ends
//! something is never refused.

use std::future::{pending, ready};
use std::io;
use std::panic::AssertUnwindSafe;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use actix::{Arbiter, ArbiterHandle};
use futures_util::FutureExt;
use tokio::runtime::{Builder, Runtime};
use tokio::sync::{mpsc, oneshot};

use crate::broker::adapter::{
    Adapter, Answers, BoxFuture, Claimed, ClusterInbox, Epoch, NodeId, Packet, Question, Unreachable,
};
use crate::cluster::command::{Command, CommandQueue, Reply};
use crate::cluster::engine::Engine;
use crate::cluster::link_state::{ENDED, LinkState};
use crate::cluster::options::ClusterOptions;
use crate::cluster::outgoing::OutgoingSignal;
use crate::cluster::this_node::ThisNode;
use crate::message::{DeliveryStatus, NameClaim};
use crate::metrics::families::Metrics;
use crate::refusal::PacketDrop;
use crate::topic::Topic;

type MakeEngine = Box<dyn FnOnce() -> Box<dyn Engine> + Send>;

/// The adapter of a node that is one of several.
pub struct Cluster {
    options: ClusterOptions,
    queue: CommandQueue,
    state: Arc<LinkState>,
    metrics: OnceLock<Arc<Metrics>>,
    /// What the thread starts with. `None` once it has started.
    setup: Mutex<Option<Setup>>,
    /// Ready when the thread's work has ended. `None` once it is waited for.
    ended: Mutex<Option<oneshot::Receiver<()>>>,
}

struct Setup {
    end: oneshot::Sender<()>,
    commands: mpsc::UnboundedReceiver<Command>,
    engine: MakeEngine,
    /// Where to run, if not on a thread of its own.
    arbiter: Option<ArbiterHandle>,
}

impl Cluster {
    /// An adapter over the engine that `engine` makes, on the cluster's thread.
    pub fn new(options: ClusterOptions, engine: impl FnOnce() -> Box<dyn Engine> + Send + 'static) -> Self {
        let (queue, commands) = CommandQueue::new(options.queue_bytes);
        let (end, ended) = oneshot::channel();
        let setup = Setup { end, commands, engine: Box::new(engine), arbiter: None };
        let state = Arc::new(LinkState::new(options.lease));
        let (setup, ended) = (Mutex::new(Some(setup)), Mutex::new(Some(ended)));
        Self { options, queue, state, metrics: OnceLock::new(), setup, ended }
    }

    /// Runs the adapter on `arbiter` instead of a thread of its own.
    #[must_use]
    pub fn on(self, arbiter: ArbiterHandle) -> Self {
        if let Some(setup) = &mut *self.setup.lock().unwrap_or_else(PoisonError::into_inner) {
            setup.arbiter = Some(arbiter);
        }
        self
    }

    /// Counts a message to a room that the full queue has no room for.
    fn count_dropped(&self) {
        if let Some(metrics) = self.metrics.get() {
            metrics.cluster.messages_dropped.inc(PacketDrop::Overloaded);
        }
    }

    /// Hands over a command that needs room in the queue, and returns the receiver of its answer.
    fn ask_within_bounds<T>(
        &self,
        bytes: usize,
        command: impl FnOnce(Reply<T>) -> Command,
    ) -> Option<oneshot::Receiver<T>> {
        let permit = self.queue.budget().take(bytes)?;
        let (reply, answer) = oneshot::channel();
        self.queue.push(command((reply, permit)));
        Some(answer)
    }
}

/// The work of the cluster's thread. Its drop, also by a panic, says that the work has ended.
struct Work {
    state: Arc<LinkState>,
    _end: oneshot::Sender<()>,
}

impl Drop for Work {
    fn drop(&mut self) {
        self.state.set_ended();
    }
}

/// The runtime of the cluster's thread.
fn runtime() -> io::Result<Runtime> {
    Builder::new_current_thread().enable_all().build()
}

impl Adapter for Cluster {
    fn start(&self, inbox: Arc<dyn ClusterInbox>) -> io::Result<()> {
        let setup = self.setup.lock().unwrap_or_else(PoisonError::into_inner).take();
        let Setup { end, commands, engine, arbiter } =
            setup.ok_or_else(|| io::Error::other("the adapter runs already"))?;
        let metrics = inbox.metrics();
        self.queue.budget().show_in(metrics.cluster.queue_bytes.clone());
        let _ = self.metrics.set(metrics);
        let (options, state, budget) = (self.options.clone(), self.state.clone(), self.queue.budget().clone());
        let run = move || async move {
            let _work = Work { state: state.clone(), _end: end };
            let work = async { ThisNode::new(options, engine(), inbox, state, budget).run(commands).await };
            // the panic itself is reported where it happens
            let _ = AssertUnwindSafe(work).catch_unwind().await;
        };
        match arbiter {
            Some(arbiter) => drop(arbiter.spawn_fn(move || drop(actix::spawn(run())))),
            None => {
                let own = Arbiter::try_with_tokio_rt(runtime)?;
                own.spawn_fn(move || {
                    actix::spawn(async move {
                        run().await;
                        Arbiter::current().stop();
                    });
                });
            }
        }
        Ok(())
    }

    fn node(&self) -> NodeId {
        self.options.node.clone()
    }

    fn nodes(&self) -> Vec<NodeId> {
        self.state.nodes()
    }

    fn claim(&self, name: &Topic, claim: NameClaim) -> BoxFuture<Claimed> {
        let name = name.clone();
        match self.ask_within_bounds(name.key().len(), |reply| Command::Claim { name, claim, reply }) {
            Some(answer) => Box::pin(answer.map(|claimed| claimed.unwrap_or(Claimed::Unreachable))),
            None => Box::pin(ready(Claimed::Unreachable)),
        }
    }

    fn release(&self, name: &Topic, epoch: Epoch) {
        self.queue.push(Command::Release { name: name.clone(), epoch });
    }

    fn whereis(&self, name: &Topic) -> BoxFuture<Result<Option<Epoch>, Unreachable>> {
        let name = name.clone();
        match self.ask_within_bounds(name.key().len(), |reply| Command::Whereis { name, reply }) {
            Some(answer) => Box::pin(answer.map(|found| found.unwrap_or(Err(Unreachable)))),
            None => Box::pin(ready(Err(Unreachable))),
        }
    }

    fn deliver(&self, name: &Topic, packet: Packet) -> BoxFuture<DeliveryStatus> {
        let Some(permit) = self.queue.budget().take(packet.size() + name.key().len()) else {
            return Box::pin(ready(DeliveryStatus::Overloaded));
        };
        let (signal, status) = OutgoingSignal::new(name.clone(), packet, permit);
        self.queue.push(Command::Deliver(signal));
        Box::pin(status.map(|status| status.unwrap_or(DeliveryStatus::Unreachable)))
    }

    fn publish(&self, topics: &[Topic], packet: Packet) {
        let names: usize = topics.iter().map(|topic| topic.key().len()).sum();
        // the engine copies the packet for each topic
        let bytes = packet.size() * topics.len() + names;
        let permit = match packet {
            Packet::Broadcast { .. } => self.queue.budget().take(bytes),
            // the others belong to joins and leaves, which the registry limits
            _ => Some(self.queue.budget().take_anyway(bytes)),
        };
        match permit {
            Some(permit) => self.queue.push(Command::Publish { topics: topics.into(), packet, permit }),
            None => self.count_dropped(),
        }
    }

    fn subscribe(&self, topic: &Topic) -> BoxFuture<()> {
        // joins are limited by the registry
        let permit = self.queue.budget().take_anyway(topic.key().len());
        let (reply, answer) = oneshot::channel();
        self.queue.push(Command::Subscribe { topic: topic.clone(), reply: (reply, permit) });
        Box::pin(answer.map(drop))
    }

    fn unsubscribe(&self, topic: &Topic) {
        self.queue.push(Command::Unsubscribe { topic: topic.clone() });
    }

    fn ask(&self, question: Question) -> BoxFuture<Answers> {
        let unasked = Answers { answers: Vec::new(), silent: self.state.nodes() };
        match self.ask_within_bounds(question.size(), |reply| Command::Ask { question, reply }) {
            Some(answer) => Box::pin(answer.map(|answers| answers.unwrap_or(unasked))),
            None => Box::pin(ready(unasked)),
        }
    }

    fn retire(&self) {
        self.queue.push(Command::Retire);
    }

    fn stop(&self) -> BoxFuture<()> {
        let (reply, answer) = oneshot::channel();
        self.queue.push(Command::Stop { reply });
        Box::pin(answer.map(drop))
    }

    fn failed(&self) -> BoxFuture<String> {
        let ended = self.ended.lock().unwrap_or_else(PoisonError::into_inner).take();
        Box::pin(async {
            match ended {
                Some(ended) => drop(ended.await),
                None => pending().await,
            }
            ENDED.to_owned()
        })
    }

    fn ready(&self) -> Result<(), String> {
        self.state.ready()
    }
}
