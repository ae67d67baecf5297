//! An in-memory adapter, written with the crate's public API only. It connects several nodes of one test.
//!
//! Each asynchronous reply yields to the executor once, as a network round trip would.

use std::collections::{BTreeSet, HashMap};
use std::sync::{Arc, Mutex, MutexGuard};

use handclasp::broker::adapter::{Adapter, BoxFuture, Claimed, ClusterInbox, Epoch, Packet};
use handclasp::message::{DeliveryStatus, NameClaim};
use handclasp::{Config, Endpoint, Node, Topic};

/// What connects the nodes: the directory of exclusive names, and the nodes subscribed to each topic.
#[derive(Clone, Default)]
pub struct MemoryCluster(Arc<Mutex<State>>);

#[derive(Default)]
struct State {
    nodes: HashMap<String, Arc<dyn ClusterInbox>>,
    names: HashMap<Topic, (String, Epoch)>,
    interests: HashMap<Topic, BTreeSet<String>>,
    epoch: Epoch,
    /// Nodes that are still listed, but do not reply.
    unreachable: BTreeSet<String>,
}

impl MemoryCluster {
    /// Starts a node that belongs to this cluster.
    pub fn node(&self, name: &str, config: Config) -> Node {
        Endpoint::new(config).adapter(MemoryAdapter { cluster: self.clone(), node: name.to_owned() }).start().unwrap()
    }

    /// Makes a node unreachable. The other nodes do not know yet.
    pub fn make_unreachable(&self, node: &str) {
        self.state().unreachable.insert(node.to_owned());
    }

    /// Removes a node, and tells the other nodes that it is down.
    pub fn remove_node(&self, node: &str) {
        let mut state = self.state();
        state.nodes.remove(node);
        let names: Vec<_> = state.names.extract_if(|_, (owner, _)| owner == node).collect();
        for nodes in state.interests.values_mut() {
            nodes.remove(node);
        }
        let left: Vec<_> = state.nodes.values().cloned().collect();
        drop(state);
        for inbox in left {
            inbox.node_down(node);
            for (name, (_, epoch)) in &names {
                inbox.publish(std::slice::from_ref(name), Packet::Down(*epoch));
            }
        }
    }

    /// Whether the directory and the subscriptions are empty.
    pub fn is_empty(&self) -> bool {
        let state = self.state();
        state.names.is_empty() && state.interests.values().all(BTreeSet::is_empty)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap()
    }

    fn owner(&self, name: &Topic) -> Option<(String, Epoch)> {
        self.state().names.get(name).cloned()
    }

    /// The inbox of a node, unless the node is unreachable.
    fn inbox_of(&self, node: &str) -> Option<Arc<dyn ClusterInbox>> {
        let state = self.state();
        if state.unreachable.contains(node) { None } else { state.nodes.get(node).cloned() }
    }

    fn grant(&self, name: &Topic, node: &str) -> Claimed {
        let mut state = self.state();
        state.epoch += 1;
        let epoch = state.epoch;
        state.names.insert(name.clone(), (node.to_owned(), epoch));
        Claimed::Granted(epoch)
    }
}

struct MemoryAdapter {
    cluster: MemoryCluster,
    node: String,
}

impl Adapter for MemoryAdapter {
    fn start(&self, inbox: Arc<dyn ClusterInbox>) -> std::io::Result<()> {
        self.cluster.state().nodes.insert(self.node.clone(), inbox);
        Ok(())
    }

    fn node(&self) -> compact_str::CompactString {
        self.node.as_str().into()
    }

    fn claim(&self, name: &Topic, claim: NameClaim) -> BoxFuture<Claimed> {
        let (cluster, node, name) = (self.cluster.clone(), self.node.clone(), name.clone());
        Box::pin(async move {
            tokio::task::yield_now().await;
            let Some((owner, epoch)) = cluster.owner(&name) else { return cluster.grant(&name, &node) };
            let Some(inbox) = cluster.inbox_of(&owner) else { return Claimed::Unreachable };
            if inbox.give_up(&name, epoch, claim.proof).await { cluster.grant(&name, &node) } else { Claimed::Taken }
        })
    }

    fn release(&self, name: &Topic, epoch: Epoch) {
        let mut state = self.cluster.state();
        if state.names.get(name).is_some_and(|(_, current)| *current <= epoch) {
            state.names.remove(name);
        }
    }

    fn whereis(&self, name: &Topic) -> BoxFuture<Option<Epoch>> {
        let epoch = self.cluster.owner(name).map(|(_, epoch)| epoch);
        Box::pin(async move {
            tokio::task::yield_now().await;
            epoch
        })
    }

    fn deliver(&self, name: &Topic, packet: Packet) -> BoxFuture<DeliveryStatus> {
        let status = match self.cluster.owner(name) {
            None => DeliveryStatus::Absent,
            Some((owner, _)) => match self.cluster.inbox_of(&owner) {
                Some(inbox) => inbox.deliver(name, packet),
                None => DeliveryStatus::Unreachable,
            },
        };
        Box::pin(async move {
            tokio::task::yield_now().await;
            status
        })
    }

    fn publish(&self, topics: &[Topic], packet: Packet) {
        let state = self.cluster.state();
        let interested: BTreeSet<String> =
            topics.iter().filter_map(|topic| state.interests.get(topic)).flatten().cloned().collect();
        drop(state);
        for inbox in interested.iter().filter(|node| **node != self.node).filter_map(|node| self.cluster.inbox_of(node))
        {
            inbox.publish(topics, packet.clone());
        }
    }

    fn subscribe(&self, topic: &Topic) -> BoxFuture<()> {
        self.set_interest(topic, true);
        Box::pin(tokio::task::yield_now())
    }

    fn unsubscribe(&self, topic: &Topic) {
        self.set_interest(topic, false);
    }
}

impl MemoryAdapter {
    fn set_interest(&self, topic: &Topic, on: bool) {
        let mut state = self.cluster.state();
        let is_removed = !state.nodes.contains_key(&self.node);
        let nodes = state.interests.entry(topic.clone()).or_default();
        let changed = if on { nodes.insert(self.node.clone()) } else { nodes.remove(&self.node) };
        // every change costs a message to the other nodes
        assert!(changed || is_removed, "a node repeats its interest in {topic}: {on}");
    }
}
