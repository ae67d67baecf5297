//! The handle to a node's topics, for sessions and for the server's own code: broadcasts, signals to named peers, and
//! commands to the registry.
//!
//! The calling thread delivers a broadcast itself, from the table that the registry publishes: first to local members,
//! and then to the adapter. So a broken backplane does not affect local members.

use std::future::ready;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Weak};
use std::time::Instant;

use actix::{Actor, Addr, ArbiterHandle};
use compact_str::CompactString;
use futures_util::FutureExt;
use tokio::sync::oneshot;

#[cfg(test)]
use crate::broker::adapter::Epoch;
use crate::broker::adapter::{Adapter, Answer, Answers, BoxFuture, LocalAdapter, NodeId, Question};
use crate::broker::adapter_inbox::AdapterInbox;
use crate::broker::census::{Census, ClusterPresence};
use crate::broker::local_delivery::{LocalDelivery, Reached};
use crate::broker::registry::command::{
    Admitted, ChangePresence, Command, ConnectionClosed, GetOwnPresence, GetPresence, GetStats, Subscribe,
    SubscribePresence, Unsubscribe, Watch,
};
use crate::broker::registry::held_signals::HeldSignal;
use crate::broker::registry::permits::{CommandBudget, Permit};
use crate::broker::registry::{ExitSignal, Registry};
use crate::broker::registry_stats::RegistryStats;
use crate::broker::respondent::{NodeControl, Respondent};
use crate::broker::topic_table::TopicTable;
use crate::config::schema::Config;
use crate::connections::clock::Clock;
use crate::connections::connection::{Connection, ConnectionId, Member, MemberId};
use crate::connections::envelope::SocketEvent;
use crate::memory::MemoryBudget;
use crate::message::{Broadcast, DeliveryStatus, Event, Payload, PresenceList, Signal};
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

    /// The topic's presence list, as this node knows it: the `meta` objects of each key. It has the entries of this
    /// node's members. It has those of other nodes while a member on this node subscribes to the list, some moments
    /// after they change. [`presence_on_all_nodes`](Self::presence_on_all_nodes) asks the other nodes.
    ///
    /// ```no_run
    /// # async fn show(pubsub: handclasp::Pubsub) -> Result<(), Box<dyn std::error::Error>> {
    /// for (key, metas) in pubsub.presence(&handclasp::Topic::parse("room:lobby")?).await {
    ///     println!("{key} is here {} times", metas.len());
    /// }
    /// # Ok(())
    /// # }
    /// ```
    pub async fn presence(&self, topic: &Topic) -> PresenceList {
        self.0.registry.send(GetPresence { topic: topic.clone() }).await.unwrap_or_default()
    }

    /// The sizes of the registry's tables. All are zero if the registry has died.
    pub async fn stats(&self) -> RegistryStats {
        self.0.registry.send(GetStats).await.unwrap_or_default()
    }

    /// The names that clients of this node own, with their epochs.
    #[cfg(test)]
    pub(crate) async fn names(&self) -> Vec<(Topic, Epoch)> {
        self.0
            .registry
            .send(crate::broker::registry::command::GetNames { after: None, limit: usize::MAX })
            .await
            .unwrap_or_default()
    }

    /// The topic's presence list on all nodes, and the nodes that did not answer in time.
    pub async fn presence_on_all_nodes(&self, topic: &Topic) -> ClusterPresence {
        let question = Question::Presence(topic.clone());
        let own = self.0.registry.send(GetOwnPresence { topic: topic.clone() });
        let (own, answers) = futures_util::future::join(own, self.0.adapter.ask(question)).await;
        let mut list: PresenceList = own.unwrap_or_default();
        let lists = answers.answers.into_iter().filter_map(|(_, answer)| match answer {
            Answer::Presence(list) => Some(list),
            _ => None,
        });
        for (key, metas) in lists.flatten() {
            list.entry(key).or_default().extend(metas);
        }
        ClusterPresence { list, silent: answers.silent }
    }

    /// The sizes of the tables of every node, this one first, and the nodes that did not answer in time.
    pub async fn census(&self) -> Census {
        let (own, answers) = futures_util::future::join(self.stats(), self.0.adapter.ask(Question::Census)).await;
        let others = answers.answers.into_iter().filter_map(|(node, answer)| match answer {
            Answer::Census(stats) => Some((node, stats)),
            _ => None,
        });
        Census { nodes: std::iter::once((self.node_name(), own)).chain(others).collect(), silent: answers.silent }
    }

    /// From now on, questions about the node's connections are answered.
    pub(crate) fn set_control(&self, control: Weak<dyn NodeControl>) {
        self.0.respondent.set_control(control);
    }

    /// This node's answer to a question of the server API.
    pub(crate) fn answer(&self, question: Question) -> BoxFuture<Answer> {
        self.0.respondent.answer(question)
    }

    /// The answers of the other nodes.
    pub(crate) fn ask_others(&self, question: Question) -> BoxFuture<Answers> {
        self.0.adapter.ask(question)
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

    /// Holds a signal until a client takes the name, if no client of any node owns it. `from` receives the delivery
    /// status as a [`SocketEvent`].
    pub(crate) fn hold_signal(&self, signal: Signal, delivery: Arc<Delivery>, from: Arc<Connection>, permit: Permit) {
        self.send_command(Command::Hold(HeldSignal { from, signal, delivery }), permit);
    }

    /// A number for the connection of a [`Subscription`]. These count down; those of clients count up from one.
    pub(crate) fn internal_id(&self) -> ConnectionId {
        ConnectionId(self.0.last_internal_id.fetch_sub(1, Ordering::Relaxed) - 1)
    }

    pub(crate) fn add_member(&self, command: Subscribe, permit: Permit) {
        command.connection.mark_registered();
        self.send_command(Command::Subscribe(command), permit);
    }

    pub(crate) fn watch(&self, watch: Watch, permit: Permit) {
        watch.member.connection.mark_registered();
        self.send_command(Command::Watch(watch), permit);
    }

    pub(crate) fn change_presence(&self, change: ChangePresence, permit: Permit) {
        self.send_command(Command::Presence(change), permit);
    }

    /// Requests a topic's presence list for a member, and from then on its changes. Needs no permit: each connection
    /// requests one list at a time, for a topic that it has joined.
    pub(crate) fn subscribe_presence(&self, member: Member, topic: Topic) {
        self.0.registry.do_send(SubscribePresence { member, topic });
    }

    /// Queues a command. With its permit, it is never refused.
    fn send_command(&self, command: Command, permit: Permit) {
        self.0.registry.do_send(Admitted { command, permit });
    }

    /// Needs no permit: there is at most one for each [`Subscribe`], which had one.
    pub(crate) fn unsubscribe(&self, id: MemberId) {
        self.0.registry.do_send(Unsubscribe { id });
    }

    /// Reports a closed connection to the registry. Needs no permit: each connection for which a command was sent is
    /// reported at most twice, by the sweep and at its end, and other connections are not reported at all.
    pub(crate) fn down(&self, connection: &Connection) {
        debug_assert!(connection.mailbox.is_closed(), "a later subscription would never be removed");
        if connection.is_registered() {
            self.0.registry.do_send(ConnectionClosed { connection: connection.id });
        }
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
