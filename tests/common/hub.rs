//! A backplane in memory, through the crate's public seam alone, so that several nodes live in one test.
//!
//! Its answers take a turn of the executor, as a network's would take a trip.

use std::collections::{BTreeSet, HashMap};
use std::sync::{Arc, Mutex, MutexGuard};

use handclasp::broker::adapter::{Adapter, BoxFuture, Claimed, ClusterInbox, Epoch, Packet};
use handclasp::message::{DeliveryStatus, Proof};
use handclasp::{Config, Endpoint, Node, Topic};

/// What connects the nodes: the directory of names, and who cares for which topic.
#[derive(Clone, Default)]
pub struct Hub(Arc<Mutex<State>>);

#[derive(Default)]
struct State {
    nodes: HashMap<String, Arc<dyn ClusterInbox>>,
    names: HashMap<Topic, (String, Epoch)>,
    interests: HashMap<Topic, BTreeSet<String>>,
    epoch: Epoch,
    /// Nodes that are listed but do not answer.
    silent: BTreeSet<String>,
}

impl Hub {
    /// A node of this hub.
    pub fn node(&self, name: &str, config: Config) -> Node {
        Endpoint::new(config).adapter(Memory { hub: self.clone(), node: name.to_owned() }).start().unwrap()
    }

    /// From now on nothing reaches this node, and nobody has noticed yet.
    pub fn silence(&self, node: &str) {
        self.state().silent.insert(node.to_owned());
    }

    /// The others notice that a node is gone.
    pub fn bury(&self, node: &str) {
        let mut state = self.state();
        state.nodes.remove(node);
        let names: Vec<Topic> = state.names.extract_if(|_, (holder, _)| holder == node).map(|(name, _)| name).collect();
        for nodes in state.interests.values_mut() {
            nodes.remove(node);
        }
        let left: Vec<_> = state.nodes.values().cloned().collect();
        drop(state);
        for inbox in left {
            inbox.node_down(node);
            names.iter().for_each(|name| inbox.publish(name, Packet::Down));
        }
    }

    /// Whether the directory and the interests are empty.
    pub fn is_empty(&self) -> bool {
        let state = self.state();
        state.names.is_empty() && state.interests.values().all(BTreeSet::is_empty)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap()
    }

    fn holder(&self, name: &Topic) -> Option<String> {
        self.state().names.get(name).map(|(node, _)| node.clone())
    }

    /// The way into a node, unless it has fallen silent.
    fn reach(&self, node: &str) -> Option<Arc<dyn ClusterInbox>> {
        let state = self.state();
        if state.silent.contains(node) { None } else { state.nodes.get(node).cloned() }
    }

    fn grant(&self, name: &Topic, node: &str) -> Claimed {
        let mut state = self.state();
        state.epoch += 1;
        let epoch = state.epoch;
        state.names.insert(name.clone(), (node.to_owned(), epoch));
        Claimed::Granted(epoch)
    }
}

struct Memory {
    hub: Hub,
    node: String,
}

impl Adapter for Memory {
    fn start(&self, inbox: Arc<dyn ClusterInbox>) {
        self.hub.state().nodes.insert(self.node.clone(), inbox);
    }

    fn node(&self) -> compact_str::CompactString {
        self.node.as_str().into()
    }

    fn claim(&self, name: &Topic, proof: Option<Proof>) -> BoxFuture<Claimed> {
        let (hub, node, name) = (self.hub.clone(), self.node.clone(), name.clone());
        Box::pin(async move {
            tokio::task::yield_now().await;
            let Some(holder) = hub.holder(&name) else { return hub.grant(&name, &node) };
            let Some(inbox) = hub.reach(&holder) else { return Claimed::Unreachable };
            if inbox.release_name(&name, proof).await { hub.grant(&name, &node) } else { Claimed::Taken }
        })
    }

    fn release(&self, name: &Topic, epoch: Epoch) {
        let mut state = self.hub.state();
        if state.names.get(name).is_some_and(|(_, current)| *current <= epoch) {
            state.names.remove(name);
        }
    }

    fn whereis(&self, name: &Topic) -> BoxFuture<bool> {
        let online = self.hub.holder(name).is_some();
        Box::pin(async move {
            tokio::task::yield_now().await;
            online
        })
    }

    fn deliver(&self, name: &Topic, packet: Packet) -> BoxFuture<DeliveryStatus> {
        let verdict = match self.hub.holder(name) {
            None => DeliveryStatus::Absent,
            Some(holder) => match self.hub.reach(&holder) {
                Some(inbox) => inbox.deliver(name, packet),
                None => DeliveryStatus::Unreachable,
            },
        };
        Box::pin(async move {
            tokio::task::yield_now().await;
            verdict
        })
    }

    fn publish(&self, topic: &Topic, packet: Packet) {
        let interested = self.hub.state().interests.get(topic).cloned().unwrap_or_default();
        for inbox in interested.iter().filter(|node| **node != self.node).filter_map(|node| self.hub.reach(node)) {
            inbox.publish(topic, packet.clone());
        }
    }

    fn interest(&self, topic: &Topic, on: bool) {
        let mut state = self.hub.state();
        let is_buried = !state.nodes.contains_key(&self.node);
        let nodes = state.interests.entry(topic.clone()).or_default();
        let changed = if on { nodes.insert(self.node.clone()) } else { nodes.remove(&self.node) };
        // each costs a trip to the other nodes
        assert!(changed || is_buried, "a node repeats its interest in {topic}: {on}");
    }
}
