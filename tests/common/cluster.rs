//! An in-memory adapter, written with the crate's public API only. It connects several nodes of one test.
//!
//! Each request to the directory, each subscription and each message takes a random time, drawn from the cluster's seed.
//! One node's requests about one name or topic take effect in their order, as with a real engine.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::future::pending;
use std::sync::{Arc, LazyLock, Mutex, MutexGuard};
use std::time::Duration;

use handclasp::broker::adapter::{
    Adapter, Answers, BoxFuture, Claimed, ClusterInbox, Epoch, NodeId, Packet, Question, Unreachable,
};
use handclasp::message::{DeliveryStatus, NameClaim};
use handclasp::{Config, Endpoint, Node, Topic};
use tokio::runtime::{Builder, Handle};
use tokio::sync::oneshot;

use super::rng::Rng;
use super::{wait_until, wait_until_empty};

/// How often a claim or a signal starts again while the name changes its owner.
const TRIES: usize = 8;

/// A subscription takes so much longer than a message that other messages come back before it.
const SUBSCRIPTION_STEPS: usize = 8;

/// The seeds that a test tries: this many, or `CLUSTER_SEEDS`.
pub fn seeds(standard: u64) -> std::ops::RangeInclusive<u64> {
    1..=std::env::var("CLUSTER_SEEDS").map_or(standard, |seeds| seeds.parse().unwrap())
}

/// The thread on which the clusters of a test binary work.
static RUNTIME: LazyLock<Handle> = LazyLock::new(|| {
    let runtime = Builder::new_current_thread().enable_time().build().unwrap();
    let handle = runtime.handle().clone();
    std::thread::spawn(move || runtime.block_on(pending::<()>()));
    handle
});

/// What connects the nodes: the directory of exclusive names, and the nodes subscribed to each topic.
#[derive(Clone)]
pub struct MemoryCluster(Arc<Mutex<State>>);

/// What has an order: a sender, what it sends to, and the topic if other topics may overtake.
type Line = (NodeId, NodeId, Option<Topic>);

struct State {
    rng: Rng,
    /// The maximum time that one step takes, in milliseconds.
    slowness: u64,
    /// Whether a message may overtake those of its sender on other topics.
    reorders: bool,
    nodes: HashMap<NodeId, Arc<dyn ClusterInbox>>,
    names: HashMap<Topic, (NodeId, Epoch)>,
    subscribers: HashMap<Topic, BTreeSet<NodeId>>,
    /// The subscriptions that the nodes have asked for, some of which are under way.
    wanted: BTreeSet<(NodeId, Topic)>,
    epoch: Epoch,
    /// Nodes that are still listed, but do not reply.
    unreachable: BTreeSet<NodeId>,
    /// Nodes that lose the messages published to them.
    deaf: BTreeSet<NodeId>,
    /// The number of messages that were lost.
    lost: usize,
    /// The last step in each line, and the number of steps that are under way.
    last: HashMap<Line, oneshot::Receiver<()>>,
    steps: usize,
}

impl Default for MemoryCluster {
    fn default() -> Self {
        Self::new(1, 1)
    }
}

impl MemoryCluster {
    /// A cluster whose steps take up to `slowness` milliseconds. The seed must not be 0.
    pub fn new(seed: u64, slowness: u64) -> Self {
        Self(Arc::new(Mutex::new(State {
            rng: Rng(seed),
            slowness,
            reorders: false,
            nodes: HashMap::new(),
            names: HashMap::new(),
            subscribers: HashMap::new(),
            wanted: BTreeSet::new(),
            epoch: 0,
            unreachable: BTreeSet::new(),
            deaf: BTreeSet::new(),
            lost: 0,
            last: HashMap::new(),
            steps: 0,
        })))
    }

    /// From now on, messages on different topics overtake each other.
    pub fn reordering(self) -> Self {
        self.state().reorders = true;
        self
    }

    /// Starts a node that belongs to this cluster.
    pub fn node(&self, name: &str, config: Config) -> Node {
        Endpoint::new(config).adapter(MemoryAdapter { cluster: self.clone(), node: name.into() }).start().unwrap()
    }

    /// Makes a node unreachable. The other nodes do not know yet.
    pub fn make_unreachable(&self, node: &str) {
        self.state().unreachable.insert(node.into());
    }

    /// From now on, a node loses the messages that are published to it.
    pub fn make_deaf(&self, node: &str) {
        self.state().deaf.insert(node.into());
    }

    /// The number of messages that were lost.
    pub fn lost(&self) -> usize {
        self.state().lost
    }

    fn loses_message_to(&self, node: &NodeId) -> bool {
        let mut state = self.state();
        let is_lost = state.deaf.contains(node);
        state.lost += usize::from(is_lost);
        is_lost
    }

    /// The node receives messages again, and notices that it has lost some.
    pub fn cure(&self, node: &str) {
        let mut state = self.state();
        state.deaf.remove(node);
        let inbox = state.nodes[node].clone();
        drop(state);
        inbox.resync();
    }

    /// Takes a name away from its owner, as a node that was considered dead finds it.
    pub fn revoke(&self, node: &str, name: &Topic, epoch: Epoch) {
        let inbox = self.state().nodes[node].clone();
        inbox.revoke(name, epoch);
    }

    /// Removes a node, and tells the other nodes that it is down.
    pub fn remove_node(&self, node: &str) {
        let mut state = self.state();
        state.nodes.remove(node);
        state.names.retain(|_, (owner, _)| owner != node);
        for nodes in state.subscribers.values_mut() {
            nodes.remove(node);
        }
        let left: Vec<_> = state.nodes.values().cloned().collect();
        drop(state);
        left.iter().for_each(|inbox| inbox.node_down(node));
    }

    /// Tells the other nodes that a node is down, which lives on.
    pub fn report_down(&self, node: &str) {
        self.others(node).iter().for_each(|inbox| inbox.node_down(node));
    }

    /// Tells the other nodes that a node is up again.
    pub fn report_up(&self, node: &str) {
        self.others(node).iter().for_each(|inbox| inbox.node_up(node));
    }

    fn others(&self, node: &str) -> Vec<Arc<dyn ClusterInbox>> {
        self.state().nodes.iter().filter(|(other, _)| *other != node).map(|(_, inbox)| inbox.clone()).collect()
    }

    /// Stops the nodes, once they and the cluster hold nothing: all clients have left.
    pub async fn stop_empty(&self, nodes: Vec<Node>) {
        for node in &nodes {
            wait_until_empty(node).await;
        }
        wait_until("the directory is empty", || async { self.is_empty() }).await;
        for node in nodes {
            node.stop().await;
        }
    }

    /// Whether the directory and the subscriptions are empty.
    pub fn is_empty(&self) -> bool {
        let state = self.state();
        state.names.is_empty() && state.subscribers.values().all(BTreeSet::is_empty)
    }

    /// Whether no message and no request is under way.
    pub fn is_quiet(&self) -> bool {
        self.state().steps == 0
    }

    /// The number of names that each node holds.
    pub fn names(&self) -> BTreeMap<NodeId, usize> {
        let mut count = BTreeMap::new();
        self.state().names.values().for_each(|(owner, _)| *count.entry(owner.clone()).or_default() += 1);
        count
    }

    /// Whether a node holds the name.
    pub fn has_owner(&self, name: &str) -> bool {
        self.state().names.contains_key(&Topic::parse(name).unwrap())
    }

    /// The nodes that are subscribed to a topic.
    pub fn subscribers(&self, topic: &Topic) -> BTreeSet<NodeId> {
        self.state().subscribers.get(topic).cloned().unwrap_or_default()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap()
    }

    fn owner(&self, name: &Topic) -> Option<(NodeId, Epoch)> {
        self.state().names.get(name).cloned()
    }

    /// The inbox of a node, unless the node is unreachable.
    fn inbox_of(&self, node: &str) -> Option<Arc<dyn ClusterInbox>> {
        let state = self.state();
        if state.unreachable.contains(node) { None } else { state.nodes.get(node).cloned() }
    }

    /// Grants a name to a node, if the directory's entry is `former`.
    fn grant(&self, name: &Topic, node: &NodeId, former: Option<&(NodeId, Epoch)>) -> Option<Epoch> {
        let mut state = self.state();
        if state.names.get(name) != former {
            return None;
        }
        state.epoch += 1;
        let epoch = state.epoch;
        state.names.insert(name.clone(), (node.clone(), epoch));
        Some(epoch)
    }

    fn set_subscriber(&self, topic: Topic, node: &NodeId, on: bool) {
        let mut state = self.state();
        let is_listed = state.nodes.contains_key(node);
        let nodes = state.subscribers.entry(topic).or_default();
        if on && is_listed {
            nodes.insert(node.clone())
        } else {
            nodes.remove(node)
        };
    }

    /// Lets one step pass: a random time.
    async fn delay(&self) {
        let (millis, yields) = {
            let mut state = self.state();
            let slowness = state.slowness;
            (state.rng.below(1 + 2 * slowness), state.rng.below(8))
        };
        if millis <= self.state().slowness {
            tokio::time::sleep(Duration::from_millis(millis)).await;
        }
        for _ in 0..yields {
            tokio::task::yield_now().await;
        }
    }

    /// A place at the end of each of these lines.
    fn queue(&self, lines: impl IntoIterator<Item = Line>) -> Turn {
        let mut turn = Turn { cluster: self.clone(), before: Vec::new(), _over: Vec::new() };
        let mut state = self.state();
        state.steps += 1;
        for line in lines {
            let (over, is_over) = oneshot::channel();
            turn.before.extend(state.last.insert(line, is_over));
            turn._over.push(over);
        }
        drop(state);
        turn
    }
}

/// A step that waits for those before it in its lines. It is over when this is dropped.
struct Turn {
    cluster: MemoryCluster,
    before: Vec<oneshot::Receiver<()>>,
    _over: Vec<oneshot::Sender<()>>,
}

impl Turn {
    async fn comes(&mut self) {
        self.cluster.delay().await;
        for before in std::mem::take(&mut self.before) {
            let _ = before.await;
        }
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        self.cluster.state().steps -= 1;
    }
}

#[derive(Clone)]
struct MemoryAdapter {
    cluster: MemoryCluster,
    node: NodeId,
}

/// Runs a request to its end, whether or not its answer is awaited.
fn start<T: Send + 'static>(request: impl Future<Output = T> + Send + 'static) -> BoxFuture<T> {
    let task = RUNTIME.spawn(request);
    Box::pin(async { task.await.unwrap() })
}

impl Adapter for MemoryAdapter {
    fn start(&self, inbox: Arc<dyn ClusterInbox>) -> std::io::Result<()> {
        self.cluster.state().nodes.insert(self.node.clone(), inbox);
        Ok(())
    }

    fn node(&self) -> NodeId {
        self.node.clone()
    }

    fn claim(&self, name: &Topic, claim: NameClaim) -> BoxFuture<Claimed> {
        let (this, name, turn) = (self.clone(), name.clone(), self.directory(name));
        start(async move { this.claim_now(&name, claim, turn).await })
    }

    fn release(&self, name: &Topic, epoch: Epoch) {
        let (this, name, mut turn) = (self.clone(), name.clone(), self.directory(name));
        RUNTIME.spawn(async move {
            turn.comes().await;
            let names = &mut this.cluster.state().names;
            if names.get(&name).is_some_and(|(owner, current)| *owner == this.node && *current <= epoch) {
                names.remove(&name);
            }
        });
    }

    fn whereis(&self, name: &Topic) -> BoxFuture<Result<Option<Epoch>, Unreachable>> {
        let (this, name) = (self.clone(), name.clone());
        start(async move {
            this.cluster.delay().await;
            let owner = this.cluster.owner(&name);
            this.cluster.delay().await;
            Ok(owner.filter(|(owner, _)| *owner != this.node).map(|(_, epoch)| epoch))
        })
    }

    fn deliver(&self, name: &Topic, packet: Packet) -> BoxFuture<DeliveryStatus> {
        let line = (self.node.clone(), NodeId::const_new("owner"), Some(name.clone()));
        let (this, name, mut turn) = (self.clone(), name.clone(), self.cluster.queue([line]));
        start(async move {
            turn.comes().await;
            this.deliver_now(&name, packet).await
        })
    }

    fn publish(&self, topics: &[Topic], packet: Packet) {
        let mut lines = self.lines(&NodeId::const_new("topic"), topics);
        // whoever subscribes too late for the end of a name must not find the name in the directory
        lines.extend(topics.iter().map(|topic| self.directory_line(topic)));
        let mut turn = self.cluster.queue(lines);
        let (this, topics) = (self.clone(), topics.to_vec());
        RUNTIME.spawn(async move {
            turn.comes().await;
            let interested: BTreeSet<NodeId> =
                topics.iter().flat_map(|topic| this.cluster.subscribers(topic)).collect();
            for node in interested.into_iter().filter(|node| *node != this.node) {
                let mut turn = this.cluster.queue(this.lines(&node, &topics));
                let (cluster, topics, packet) = (this.cluster.clone(), topics.clone(), packet.clone());
                RUNTIME.spawn(async move {
                    turn.comes().await;
                    if !cluster.loses_message_to(&node)
                        && let Some(inbox) = cluster.inbox_of(&node)
                    {
                        inbox.publish(&topics, packet);
                    }
                });
            }
        });
    }

    fn subscribe(&self, topic: &Topic) -> BoxFuture<()> {
        self.set_interest(topic, true)
    }

    fn unsubscribe(&self, topic: &Topic) {
        drop(self.set_interest(topic, false));
    }

    fn ask(&self, question: Question) -> BoxFuture<Answers> {
        let this = self.clone();
        let nodes: Vec<NodeId> =
            self.cluster.state().nodes.keys().filter(|node| **node != self.node).cloned().collect();
        start(async move {
            let mut answers = Answers::default();
            for node in nodes {
                this.cluster.delay().await;
                match this.cluster.inbox_of(&node) {
                    Some(inbox) => answers.answers.push((node, inbox.answer(question.clone()).await)),
                    None => answers.silent.push(node),
                }
            }
            this.cluster.delay().await;
            answers
        })
    }
}

impl MemoryAdapter {
    fn directory(&self, name: &Topic) -> Turn {
        self.cluster.queue([self.directory_line(name)])
    }

    fn directory_line(&self, name: &Topic) -> Line {
        (self.node.clone(), NodeId::const_new("directory"), Some(name.clone()))
    }

    /// The lines of a message to a node or to the topics.
    fn lines(&self, to: &NodeId, topics: &[Topic]) -> Vec<Line> {
        let line = |topic| (self.node.clone(), to.clone(), topic);
        match self.cluster.state().reorders {
            true => topics.iter().cloned().map(Some).map(line).collect(),
            false => vec![line(None)],
        }
    }

    async fn claim_now(&self, name: &Topic, claim: NameClaim, mut turn: Turn) -> Claimed {
        turn.comes().await;
        let mut former = self.cluster.owner(name);
        for _ in 0..TRIES {
            if let Some((owner, epoch)) = former.as_ref().filter(|(owner, _)| *owner != self.node) {
                drop(turn);
                self.cluster.delay().await;
                let Some(inbox) = self.cluster.inbox_of(owner) else { return Claimed::Unreachable };
                if !inbox.give_up(name, *epoch, claim.proof).await {
                    return Claimed::Taken;
                }
                turn = self.directory(name);
                turn.comes().await;
            }
            if let Some(epoch) = self.cluster.grant(name, &self.node, former.as_ref()) {
                drop(turn);
                self.cluster.delay().await;
                return Claimed::Granted(epoch);
            }
            former = self.cluster.owner(name);
        }
        Claimed::Unreachable
    }

    /// An owner that has gone or is not ready yet is looked up again.
    async fn deliver_now(&self, name: &Topic, packet: Packet) -> DeliveryStatus {
        for _ in 0..TRIES {
            let Some((owner, _)) = self.cluster.owner(name) else { break };
            self.cluster.delay().await;
            let Some(inbox) = self.cluster.inbox_of(&owner) else { return DeliveryStatus::Unreachable };
            let status = inbox.deliver(name, packet.clone());
            self.cluster.delay().await;
            if status != DeliveryStatus::Absent {
                return status;
            }
        }
        DeliveryStatus::Absent
    }

    fn set_interest(&self, topic: &Topic, on: bool) -> BoxFuture<()> {
        let mut state = self.cluster.state();
        let wanted = (self.node.clone(), topic.clone());
        let changed = if on { state.wanted.insert(wanted) } else { state.wanted.remove(&wanted) };
        drop(state);
        // every change costs a message to the engine
        assert!(changed, "a node repeats its interest in {topic}: {on}");
        let (this, topic, mut turn) = (self.clone(), topic.clone(), self.directory(topic));
        start(async move {
            for _ in 0..SUBSCRIPTION_STEPS {
                this.cluster.delay().await;
            }
            turn.comes().await;
            this.cluster.set_subscriber(topic, &this.node, on);
            drop(turn);
            this.cluster.delay().await;
        })
    }
}
