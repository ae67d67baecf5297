//! [`Pubsub`]: the handle with which sessions and server code broadcast on topics, send to names, and query members.
//!
//! The thread that calls [`Pubsub::broadcast`] delivers the message itself. It reads the members from the table that
//! the registry publishes, and delivers to local members first and to the adapter second. So a failing adapter does not
//! affect delivery within the node. Membership changes go to the [`registry`](crate::broker::registry).

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use actix::{Actor, Addr, ArbiterHandle};
use compact_str::CompactString;
use futures_util::FutureExt;
use tokio::sync::oneshot;

use crate::broker::adapter::{Adapter, BoxFuture, ClusterInbox, Packet};
use crate::broker::registry::command::{
    Admitted, ChangePresence, Command, ConnectionClosed, GetPresence, GetStats, NodeDown, RegistryStats, ReleaseName,
    RemotePacket, Subscribe, Unsubscribe, Watch,
};
use crate::broker::registry::held_signals::HeldSignal;
use crate::broker::registry::permits::{CommandBudget, Permit};
use crate::broker::registry::{ExitSignal, Registry};
use crate::broker::topic_table::TopicTable;
use crate::config::schema::Config;
use crate::connections::connection::{Connection, ConnectionId, Member, MemberId};
use crate::connections::envelope::SocketEvent;
use crate::connections::mailbox::PushError;
use crate::message::{Broadcast, DeliveryStatus, Event, JoinId, Payload, PresenceList, Proof, Signal};
use crate::metrics::families::Metrics;
use crate::protocol::Delivery;
use crate::topic::{Realm, Topic};

/// A handle to a node's topics. Cloning copies a pointer. Clones can be used on any thread.
#[derive(Clone)]
pub struct Pubsub(Arc<Inner>);

struct Inner {
    local: LocalDelivery,
    registry: Addr<Registry>,
    budget: Arc<CommandBudget>,
    adapter: Arc<dyn Adapter>,
    /// The queue limit of one [`Subscription`](crate::broker::subscription::Subscription), in bytes.
    subscription_bytes: usize,
    last_internal_id: AtomicU64,
}

/// Delivery to the members on this node. It needs neither the registry nor other nodes.
#[derive(Clone)]
struct LocalDelivery {
    table: Arc<TopicTable>,
    metrics: Arc<Metrics>,
}

impl Pubsub {
    /// Starts the adapter, and the registry on an arbiter. The returned receiver resolves when the registry has exited.
    pub(crate) fn start(
        config: &Config,
        adapter: Arc<dyn Adapter>,
        arbiter: &ArbiterHandle,
    ) -> (Self, oneshot::Receiver<()>) {
        let local = LocalDelivery { table: Arc::new(TopicTable::new()), metrics: Arc::default() };
        let (exit_signal, died) = oneshot::channel();
        let (table, metrics) = (local.table.clone(), local.metrics.clone());
        let (backplane, budget) = (adapter.clone(), CommandBudget::new(config.limits.registry_queue_bytes));
        let (config, subscription_bytes) = (config.clone(), config.limits.queue_bytes);
        let registry = Registry::start_in_arbiter(arbiter, move |_| {
            Registry::new(&config, table, backplane, metrics, ExitSignal(exit_signal))
        });
        adapter.start(Arc::new(AdapterInbox { local: local.clone(), registry: registry.clone() }));
        let last_internal_id = AtomicU64::new(u64::MAX);
        (Self(Arc::new(Inner { local, registry, budget, adapter, subscription_bytes, last_internal_id })), died)
    }

    /// Sends a message to every member of `topic`, on all nodes. The sender does not need to be a member.
    ///
    /// It cannot fail. On a topic without members it has no effect, and a member whose queue overflows is disconnected.
    pub fn broadcast(&self, topic: &Topic, event: impl Into<Event>, payload: impl Into<Payload>) {
        let broadcast = Broadcast { topic: topic.clone(), event: event.into(), payload: payload.into() };
        self.publish(&Arc::new(Delivery::new(broadcast)), None, Instant::now());
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

    /// The topic's presence list as this node knows it. Other nodes send their entries only while a client on this node
    /// subscribes to the list.
    ///
    /// ```no_run
    /// # async fn show(pubsub: handclasp::Pubsub) -> Result<(), Box<dyn std::error::Error>> {
    /// for (key, metas) in pubsub.presence(&handclasp::Topic::parse("room:lobby")?).await {
    ///     println!("{key} is present {} times", metas.len());
    /// }
    /// # Ok(())
    /// # }
    /// ```
    pub async fn presence(&self, topic: &Topic) -> PresenceList {
        self.0.registry.send(GetPresence { topic: topic.clone() }).await.unwrap_or_default()
    }

    /// The sizes of the registry's tables. All are zero if the registry has exited.
    pub async fn census(&self) -> RegistryStats {
        self.0.registry.send(GetStats).await.unwrap_or_default()
    }

    /// The node's counters.
    #[must_use]
    pub fn metrics(&self) -> &Metrics {
        &self.0.local.metrics
    }

    /// This node's name among the others.
    pub(crate) fn node_name(&self) -> CompactString {
        self.0.adapter.node()
    }

    pub(crate) fn shared_metrics(&self) -> Arc<Metrics> {
        self.0.local.metrics.clone()
    }

    /// The queue limit of one subscription, in bytes.
    pub(crate) fn subscription_bytes(&self) -> usize {
        self.0.subscription_bytes
    }

    /// The budget of the registry's command queue.
    pub(crate) fn budget(&self) -> &Arc<CommandBudget> {
        &self.0.budget
    }

    pub(crate) fn publish(&self, delivery: &Arc<Delivery>, except: Option<&Arc<Connection>>, now: Instant) {
        let Broadcast { topic, event, payload } = &delivery.broadcast;
        self.0.local.deliver(topic, delivery, except, now);
        self.0.adapter.publish(topic, Packet::Broadcast { event: event.clone(), payload: payload.clone() });
    }

    /// Sends a signal to the owner of a name. Returns the delivery status if it is known immediately. Otherwise `from`
    /// receives it later as a [`SocketEvent`].
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
        let Broadcast { event, payload, .. } = &delivery.broadcast;
        let packet = Packet::Broadcast { event: event.clone(), payload: payload.clone() };
        let mut answer = self.0.adapter.deliver(&signal.to, packet);
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

    /// Sends to the owner of a name on this node. Returns `None` when no client here owns it.
    pub(crate) fn deliver_local(&self, name: &Topic, delivery: &Arc<Delivery>, now: Instant) -> Option<DeliveryStatus> {
        self.0.local.deliver(name, delivery, None, now)
    }

    /// Delivers a signal to the owner of its name on any node, or holds it until a client takes the name. `from`
    /// receives the delivery status as a [`SocketEvent`].
    pub(crate) fn hold_signal(&self, signal: Signal, delivery: Arc<Delivery>, from: Arc<Connection>, permit: Permit) {
        self.send_command(Command::Hold(HeldSignal { from, signal, delivery }), permit);
    }

    /// An id for a connection of server code. These ids count down from the maximum, those of clients count up from
    /// one.
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

    /// Sends a command to the registry. A command with a permit is never refused.
    fn send_command(&self, command: Command, permit: Permit) {
        self.0.registry.do_send(Admitted { command, permit });
    }

    /// Ends a membership. It needs no permit, because there is at most one for each `Subscribe`, which had a permit.
    pub(crate) fn unsubscribe(&self, id: MemberId) {
        self.0.registry.do_send(Unsubscribe { id });
    }

    /// Removes a connection whose mailbox is closed from the registry. It needs no permit, because there are at most
    /// two for each connection that has sent a command (one from the sweep, one from its session), and none for others.
    pub(crate) fn down(&self, connection: &Connection) {
        debug_assert!(connection.mailbox.is_closed(), "a later subscription would never be removed");
        if connection.is_registered() {
            self.0.registry.do_send(ConnectionClosed { connection: connection.id });
        }
    }
}

impl LocalDelivery {
    /// Puts `delivery` into the mailboxes of the topic's members on this node. Returns `None` when none of them is a
    /// client.
    fn deliver(
        &self,
        topic: &Topic,
        delivery: &Arc<Delivery>,
        except: Option<&Arc<Connection>>,
        now: Instant,
    ) -> Option<DeliveryStatus> {
        let members = self.table.members(topic.key())?;
        let (mut delivered, mut is_full, mut has_client) = (0, false, false);
        let is_receiver = |member: &&Member| except.is_none_or(|except| !Arc::ptr_eq(except, &member.connection));
        for member in members.iter().filter(is_receiver) {
            let result = member.connection.deliver(member.join, delivery, now);
            if member.join == JoinId::SERVER {
                continue; // server code can subscribe to a name's topic, but does not own the name
            }
            has_client = true;
            match result {
                Ok(()) => delivered += 1,
                Err(PushError::Full) => is_full = true,
                Err(PushError::Closed) => {}
            }
        }
        if !has_client {
            return None;
        }
        self.metrics.delivered.add(topic.realm(), (), delivered);
        match (delivered, is_full) {
            (1.., _) => Some(DeliveryStatus::Delivered),
            (0, true) => Some(DeliveryStatus::Overloaded),
            (0, false) => Some(DeliveryStatus::Absent),
        }
    }
}

/// Receives messages from other nodes through the adapter.
struct AdapterInbox {
    local: LocalDelivery,
    registry: Addr<Registry>,
}

impl ClusterInbox for AdapterInbox {
    fn deliver(&self, name: &Topic, packet: Packet) -> DeliveryStatus {
        let Packet::Broadcast { event, payload } = packet else { return DeliveryStatus::Absent };
        let broadcast = Broadcast { topic: name.clone(), event, payload };
        self.local
            .deliver(name, &Arc::new(Delivery::new(broadcast)), None, Instant::now())
            .unwrap_or(DeliveryStatus::Absent)
    }

    fn publish(&self, topic: &Topic, packet: Packet) {
        match packet {
            Packet::Broadcast { .. } => drop(self.deliver(topic, packet)),
            _ => self.registry.do_send(RemotePacket { topic: topic.clone(), packet }),
        }
    }

    fn give_up(&self, name: &Topic, proof: Option<Proof>) -> BoxFuture<bool> {
        let asked = self.registry.send(ReleaseName { name: name.clone(), proof });
        // if the registry does not answer, it has exited, and the node exits too
        Box::pin(asked.map(|answer| answer.unwrap_or(true)))
    }

    fn node_down(&self, node: &str) {
        self.registry.do_send(NodeDown { node: CompactString::new(node) });
    }
}

impl std::fmt::Debug for Pubsub {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Pubsub").field("metrics", &self.0.local.metrics).finish_non_exhaustive()
    }
}
