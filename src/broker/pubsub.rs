//! The handle to a node's topics, for sessions and for the server's own code: broadcasts, signals to named peers, and
//! commands to the registry.
//!
//! The calling thread delivers a broadcast itself, from the table that the registry publishes: first to local members,
//! and then to the adapter. So a broken backplane does not affect local members. The commands to the registry are in
//! `commands`, and the questions to this node and the others in `inquiries`.

mod commands;
mod inquiries;

use std::future::ready;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use actix::{Actor, Addr, ArbiterHandle};
use compact_str::CompactString;
use futures_util::FutureExt;
use tokio::sync::oneshot;

use crate::broker::adapter::{Adapter, BoxFuture, LocalAdapter, NodeId};
use crate::broker::adapter_inbox::AdapterInbox;
use crate::broker::local_delivery::{LocalDelivery, Reached};
use crate::broker::registry::permits::CommandBudget;
use crate::broker::registry::{ExitSignal, Registry};
use crate::broker::respondent::Respondent;
use crate::broker::topic_table::TopicTable;
use crate::config::schema::Config;
use crate::connections::clock::Clock;
use crate::connections::connection::{Connection, ConnectionId};
use crate::connections::envelope::SocketEvent;
use crate::memory::MemoryBudget;
use crate::message::{Broadcast, DeliveryStatus, Event, Payload, Signal};
use crate::metrics::families::Metrics;
use crate::protocol::Delivery;
use crate::topic::{Realm, Topic};
use crate::webhooks::{self, Webhooks};

/// A node's topics. Cloning copies a pointer. A clone may be used on any thread.
#[derive(Clone)]
pub struct Pubsub(Arc<Inner>);

struct Inner {
    local: LocalDelivery,
    registry: Addr<Registry>,
    budget: Arc<CommandBudget>,
    memory: Arc<MemoryBudget>,
    adapter: Arc<dyn Adapter>,
    /// The name of this life of the node.
    instance: CompactString,
    webhooks: Option<Webhooks>,
    /// The maximum size of the queue to one [`Subscription`], in bytes.
    subscription_bytes: usize,
    last_internal_id: AtomicU64,
    /// Answers what the server API asks about this node.
    respondent: Respondent,
}

impl Pubsub {
    /// Starts the registry on an arbiter, and the adapter. The returned receiver resolves when the registry has died.
    pub(crate) fn start(
        config: &Config,
        adapter: Arc<dyn Adapter>,
        arbiter: &ArbiterHandle,
    ) -> std::io::Result<(Self, oneshot::Receiver<()>)> {
        let local =
            LocalDelivery { table: Arc::new(TopicTable::new()), metrics: Arc::default(), clock: Arc::default() };
        let (exit_signal, registry_died) = oneshot::channel();
        let (table, metrics, clock) = (local.table.clone(), local.metrics.clone(), local.clock.clone());
        let instance = life_of(&*adapter, config);
        let webhooks = webhooks::start(config, instance.clone(), clock.clone(), metrics.clone())?;
        let hooks = webhooks.clone();
        let registry_queue_bytes = config.limits.registry_queue_bytes;
        let (backplane, budget) = (adapter.clone(), CommandBudget::new(registry_queue_bytes));
        let (config, subscription_bytes) = (config.clone(), config.limits.queue_bytes);
        let memory = MemoryBudget::new(config.limits.memory_bytes);
        let registry = Registry::start_in_arbiter(arbiter, move |_| {
            Registry::new(&config, table, backplane, metrics, clock, ExitSignal(exit_signal)).with_webhooks(hooks)
        });
        let packets = CommandBudget::new(registry_queue_bytes);
        let respondent = Respondent::new(local.table.clone(), registry.clone(), instance.clone());
        let inbox = AdapterInbox::new(local.clone(), memory.clone(), registry.clone(), packets, respondent.clone());
        adapter.start(Arc::new(inbox))?;
        let last_internal_id = AtomicU64::new(u64::MAX);
        let inner = Inner {
            local,
            registry,
            budget,
            memory,
            adapter,
            instance,
            webhooks,
            subscription_bytes,
            last_internal_id,
            respondent,
        };
        Ok((Self(Arc::new(inner)), registry_died))
    }

    /// Sends a message to every member of `topic`, on this node and the others.
    ///
    /// It does not fail: if the topic has no members, nothing is sent, and a member that reads too slowly is
    /// disconnected.
    pub fn broadcast(&self, topic: &Topic, event: impl Into<Event>, payload: impl Into<Payload>) {
        let broadcast = Broadcast { topic: topic.clone(), event: event.into(), payload: payload.into() };
        self.publish(&Arc::new(self.delivery(broadcast)), None, self.clock().now());
    }

    /// A delivery that counts against the node's budget.
    pub(crate) fn delivery(&self, broadcast: Broadcast) -> Delivery {
        Delivery::new(broadcast).counted(&self.0.memory)
    }

    /// The number of members that `topic` has on this node.
    #[must_use]
    pub fn count(&self, topic: &str) -> usize {
        self.0.local.table.count(topic)
    }

    /// The topics of a realm that have members on this node.
    pub(crate) fn topics_of(&self, realm: Realm) -> Vec<Topic> {
        self.0.local.table.topics_of(realm)
    }

    /// The node's counters.
    #[must_use]
    pub fn metrics(&self) -> &Metrics {
        &self.0.local.metrics
    }

    /// Leaves the other nodes: this node is about to exit.
    pub(crate) fn leave_cluster(&self) -> BoxFuture<()> {
        self.0.adapter.stop()
    }

    /// The webhooks, if there are any.
    pub(crate) fn webhooks(&self) -> Option<&Webhooks> {
        self.0.webhooks.as_ref()
    }

    /// This node's name among the others.
    pub(crate) fn node_name(&self) -> CompactString {
        self.0.adapter.node()
    }

    /// The name of this life of the node, by which backends know it.
    pub(crate) fn instance(&self) -> &CompactString {
        &self.0.instance
    }

    /// Is ready when the adapter has failed for good, with the reason.
    pub(crate) fn adapter_failed(&self) -> BoxFuture<String> {
        self.0.adapter.failed()
    }

    /// Whether the adapter works.
    pub(crate) fn ready(&self) -> Result<(), String> {
        self.0.adapter.ready()
    }

    /// Tells the other nodes that this one is about to stop.
    pub(crate) fn retire(&self) {
        self.0.adapter.retire();
    }

    /// The node's clock.
    pub(crate) fn clock(&self) -> &Arc<Clock> {
        &self.0.local.clock
    }

    pub(crate) fn shared_metrics(&self) -> Arc<Metrics> {
        self.0.local.metrics.clone()
    }

    /// The maximum size of the queue to one [`Subscription`], in bytes.
    pub(crate) fn subscription_bytes(&self) -> usize {
        self.0.subscription_bytes
    }

    /// The node's memory budget.
    pub(crate) fn memory(&self) -> &Arc<MemoryBudget> {
        &self.0.memory
    }

    /// The permits for the registry's queue.
    pub(crate) fn budget(&self) -> &Arc<CommandBudget> {
        &self.0.budget
    }

    /// Delivers a broadcast to the members of its topics, except one connection, and then to the other nodes.
    /// Returns how many members of this node were among them.
    pub(crate) fn publish(&self, delivery: &Arc<Delivery>, except: Option<&Arc<Connection>>, now: Instant) -> usize {
        self.publish_counted(delivery, except, now).members
    }

    fn publish_counted(&self, delivery: &Arc<Delivery>, except: Option<&Arc<Connection>>, now: Instant) -> Reached {
        let reached = self.0.local.publish(delivery, except, now);
        self.0.adapter.publish(delivery.topics(), (&delivery.broadcast).into());
        reached
    }

    /// Delivers a broadcast of the server's own code. Returns how many clients of this node have it in their queue.
    pub(crate) fn publish_from_server(&self, delivery: &Arc<Delivery>) -> usize {
        self.publish_counted(delivery, None, self.clock().now()).delivered
    }

    /// Sends a signal of the server's own code to the owner of the name that is its topic, wherever it is.
    pub(crate) fn signal_from_server(&self, delivery: Arc<Delivery>) -> BoxFuture<DeliveryStatus> {
        let name = &delivery.broadcast.topic;
        match self.0.local.deliver(name, &delivery, None, self.clock().now()) {
            Some(status) => Box::pin(ready(status)),
            None => self.0.adapter.deliver(name, (&delivery.broadcast).into()),
        }
    }

    /// The other live nodes.
    pub(crate) fn other_nodes(&self) -> Vec<NodeId> {
        self.0.adapter.nodes()
    }

    /// Sends a signal to the owner of a name. Returns the delivery status if it is known immediately. Otherwise `from`
    /// receives it later, as a [`SocketEvent`].
    pub(crate) fn signal(
        &self,
        signal: Signal,
        delivery: &Arc<Delivery>,
        from: &Arc<Connection>,
        now: Instant,
    ) -> Option<(Signal, DeliveryStatus)> {
        if let Some(status) = self.0.local.deliver(&signal.to, delivery, None, now) {
            return Some((signal, status));
        }
        let mut answer = self.0.adapter.deliver(&signal.to, (&delivery.broadcast).into());
        if let Some(status) = (&mut answer).now_or_never() {
            return Some((signal, status));
        }
        let from = from.clone();
        actix::spawn(async move {
            let status = answer.await;
            let _ = from.send_event(SocketEvent::DeliveryStatus(signal, status));
        });
        None
    }

    /// Sends a message to the owner of a name on this node. `None` if no client of this node owns it.
    pub(crate) fn deliver_local(&self, name: &Topic, delivery: &Arc<Delivery>, now: Instant) -> Option<DeliveryStatus> {
        self.0.local.deliver(name, delivery, None, now)
    }

    /// A number for the connection of a [`Subscription`]. These count down; those of clients count up from one.
    pub(crate) fn internal_id(&self) -> ConnectionId {
        ConnectionId(self.0.last_internal_id.fetch_sub(1, Ordering::Relaxed) - 1)
    }
}

/// The name of this life of the node, by which other nodes know it. The adapter of a single node has one for all lives.
fn life_of(adapter: &dyn Adapter, config: &Config) -> CompactString {
    if is_alone(adapter) { config.cluster.node.of_new_life() } else { adapter.node() }
}

/// Whether there are no other nodes.
fn is_alone(adapter: &dyn Adapter) -> bool {
    adapter.node() == LocalAdapter.node()
}

impl std::fmt::Debug for Pubsub {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Pubsub").field("metrics", &self.0.local.metrics).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::close;
    use crate::connections::connection::Member;
    use crate::connections::connection::tests::numbered;
    use crate::message::JoinId;

    /// Former owners close as soon as another client has their name.
    #[test]
    fn a_signal_reaches_a_name_that_is_taken_over_amid_its_delivery() {
        let local =
            LocalDelivery { table: Arc::new(TopicTable::new()), metrics: Arc::default(), clock: Arc::default() };
        let topic = Topic::parse("peer:a").unwrap();
        let owner = |n| Member { join: JoinId(1), connection: Arc::new(numbered(n, usize::MAX)) };
        let broadcast = Broadcast { topic: topic.clone(), event: "offer".into(), payload: Payload::empty() };
        let delivery = Arc::new(Delivery::new(broadcast));
        let mut former = owner(0);
        local.table.insert(&topic, former.clone());
        std::thread::scope(|scope| {
            let takeovers = scope.spawn(|| {
                for n in 1..20_000 {
                    let next = owner(n);
                    local.table.replace(topic.key(), former.id(), next.clone());
                    former.connection.close(&close::TAKEN_OVER);
                    former = next;
                }
            });
            while !takeovers.is_finished() {
                let status = local.deliver(&topic, &delivery, None, Instant::now());
                assert_eq!(status, Some(DeliveryStatus::Delivered));
            }
        });
    }
}
