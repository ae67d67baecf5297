//! The registry: the one actor that writes who is on which topic, who owns which name, who watches and
//! who is listed.
//!
//! Everything that *changes* membership is a message to it, and so has an order; everything that only
//! *reads* (every broadcast, every signal) goes to the table it publishes, and never through it. It
//! forgets a connection by itself when the connection says that it is down, or is found so.
//!
//! It runs only our own code on checked values, and must not panic; when it dies all the same, the
//! node ends ([`ExitSignal`]).

mod claims;
pub(crate) mod command;
mod connection_index;
mod held_signals;
pub(crate) mod permits;
mod watchers;

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use actix::{Actor, AsyncContext, Context, Handler, WrapFuture};
use futures_util::FutureExt;
use tokio::sync::oneshot;

use crate::broker::adapter::{Adapter, Epoch, Packet};
use crate::broker::presence_tracker::PresenceTracker;
use crate::broker::registry::claims::Owner;
use crate::broker::registry::command::{
    Admitted, Command, ConnectionClosed, GetStats, NodeDown, RegistryStats, RemotePacket, Subscribe, Unsubscribe,
    UpdatePresence, Watch,
};
use crate::broker::registry::connection_index::{ConnectionEntry, ConnectionIndex};
use crate::broker::registry::held_signals::HeldSignals;
use crate::broker::registry::watchers::Watchers;
use crate::broker::topic_table::TopicTable;
use crate::config::schema::{Config, Hold};
use crate::connections::connection::ConnectionId;
use crate::connections::connection::MemberId;
use crate::connections::mail::SocketEvent;
use crate::message::{JoinId, OnlineStatus, PresenceEntry, Proof};
use crate::metrics::families::Metrics;
use crate::metrics::labels::JoinRefusal;
use crate::topic::Topic;

/// Why there is no room, as the client hears it.
const FULL: &str = "topic is full";

/// What the registry must be told before it starts.
pub(crate) struct RegistryOptions {
    /// How many members a topic may have on this node.
    pub(crate) members: usize,
    /// How many rows a topic's presence list may have.
    pub(crate) rows: usize,
    /// For how long changes of a presence list are gathered.
    pub(crate) interval: Duration,
    /// What may wait for names that nobody holds.
    pub(crate) hold: Hold,
    /// How many bytes of clients' wishes may wait for the registry.
    pub(crate) queue_bytes: usize,
}

impl RegistryOptions {
    pub(crate) fn new(config: &Config) -> Self {
        Self {
            members: config.limits.members_per_topic,
            rows: config.presence.rows_per_topic,
            interval: config.presence.interval,
            hold: config.hold.clone(),
            queue_bytes: config.limits.registry_queue_bytes,
        }
    }
}

/// Says that the registry has died: dropped with it, whatever ended it.
pub(crate) struct ExitSignal(#[expect(dead_code, reason = "its drop is the message")] pub(crate) oneshot::Sender<()>);

/// The actor.
pub(crate) struct Registry {
    terms: RegistryOptions,
    pub(crate) table: Arc<TopicTable>,
    pub(crate) adapter: Arc<dyn Adapter>,
    pub(crate) metrics: Arc<Metrics>,
    pub(crate) holdings: ConnectionIndex,
    pub(crate) names: HashMap<Topic, Owner>,
    watches: Watchers,
    rosters: PresenceTracker,
    pub(crate) holds: HeldSignals,
    flushing: bool,
    _obituary: ExitSignal,
}

impl Registry {
    pub(crate) fn new(
        terms: RegistryOptions,
        table: Arc<TopicTable>,
        adapter: Arc<dyn Adapter>,
        metrics: Arc<Metrics>,
        obituary: ExitSignal,
    ) -> Self {
        let rosters = PresenceTracker::new(adapter.node());
        Self {
            table,
            adapter,
            metrics,
            holdings: ConnectionIndex::default(),
            names: HashMap::new(),
            watches: Watchers::default(),
            rosters,
            holds: HeldSignals::new(terms.hold.clone()),
            terms,
            flushing: false,
            _obituary: obituary,
        }
    }

    pub(crate) fn refuse(&self, wish: &Subscribe, why: JoinRefusal, reason: &'static str) {
        self.metrics.joins_refused.add(wish.topic.realm(), why, 1);
        let _ = wish.connection.tell(SocketEvent::Refused(wish.join, reason));
    }

    /// Makes the wish come true, now that the name (if it names one) is free for it.
    pub(crate) fn admit(&mut self, wish: Subscribe, owned: Option<(Option<Proof>, Epoch)>, ctx: &mut Context<Self>) {
        let topic = &wish.topic;
        let too_many = self.table.count(topic.key()) >= self.terms.members;
        let too_long = wish.membership.row.is_some() && self.rosters.len(topic) >= self.terms.rows;
        if too_many || too_long {
            if let Some((_, epoch)) = owned {
                self.adapter.release(topic, epoch);
            }
            return self.refuse(&wish, JoinRefusal::Full, FULL);
        }
        let id = wish.member().id();
        self.holdings.add_join(id, topic.clone());
        if let Some((proof, epoch)) = owned {
            self.names.insert(topic.clone(), Owner { id, connection: wish.connection.clone(), proof, epoch });
        }
        let cared = self.cares(topic);
        if self.table.insert(topic, wish.member()) == 1 {
            self.watches.tell(topic, true);
        }
        self.show_interest(topic, cared);
        if owned.is_some() {
            self.adapter.publish(topic, Packet::Up);
        }
        if wish.join != JoinId::SOCKET {
            wish.connection.mark_joined();
        }
        self.metrics.joins.add(topic.realm(), (), 1);
        let _ = wish.connection.tell(SocketEvent::Subscribed(wish.join));
        self.hand_over(&wish);
        self.list(wish, ctx);
    }

    /// The presence side of a new membership.
    fn list(&mut self, wish: Subscribe, ctx: &mut Context<Self>) {
        let member = wish.member();
        let id = member.id();
        if wish.membership.view && self.rosters.view(&wish.topic, member) {
            self.adapter.publish(&wish.topic, Packet::PresenceWanted);
        }
        if let Some(row) = wish.membership.row {
            self.rosters.put(&wish.topic, id, row);
            self.flush_later(ctx);
        }
    }

    /// Undoes one membership, its name included.
    fn leave(&mut self, topic: &Topic, id: MemberId, ctx: &mut Context<Self>) {
        if let Some(owner) = self.names.get(topic).filter(|owner| owner.id == id) {
            self.adapter.release(topic, owner.epoch);
            self.adapter.publish(topic, Packet::Down);
        }
        if self.remove_from_tables(topic, id, ctx) == Some(0) {
            self.watches.tell(topic, false);
        }
    }

    /// Takes a member off its topic, and its name from it; says how many are left.
    pub(crate) fn remove_from_tables(&mut self, topic: &Topic, id: MemberId, ctx: &mut Context<Self>) -> Option<usize> {
        let cared = self.cares(topic);
        if self.names.get(topic).is_some_and(|owner| owner.id == id) {
            self.names.remove(topic);
        }
        let left = self.table.remove(topic.key(), id);
        self.rosters.leave(topic, id);
        self.flush_later(ctx);
        self.show_interest(topic, cared);
        left
    }

    fn take_back(&mut self, connection: ConnectionId, held: ConnectionEntry, ctx: &mut Context<Self>) {
        for (join, topic) in held.joins {
            self.leave(&topic, MemberId { connection, join }, ctx);
        }
        for (join, topic) in held.watches {
            self.unwatch(&topic, MemberId { connection, join });
        }
    }

    pub(crate) fn unwatch(&mut self, topic: &Topic, id: MemberId) {
        let cared = self.cares(topic);
        self.watches.remove(topic, id);
        self.show_interest(topic, cared);
    }

    /// Whether anybody here wants to hear what other nodes publish on the topic. The owner of a name
    /// does not: whoever speaks to it asks the directory where it is.
    pub(crate) fn cares(&self, topic: &Topic) -> bool {
        self.watches.has(topic)
            || self.holds.has(topic)
            || self.table.count(topic.key()) > 0 && !self.names.contains_key(topic)
    }

    pub(crate) fn show_interest(&self, topic: &Topic, before: bool) {
        let now = self.cares(topic);
        if now != before {
            self.adapter.interest(topic, now);
        }
    }

    fn flush_later(&mut self, ctx: &mut Context<Self>) {
        if self.flushing || !self.rosters.has_changed() {
            return;
        }
        self.flushing = true;
        ctx.run_later(self.terms.interval, |registry, _| {
            registry.flushing = false;
            for (topic, packet) in registry.rosters.flush() {
                registry.adapter.publish(&topic, packet);
            }
        });
    }
}

impl Actor for Registry {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Self::Context) {
        // without a bound of its own: a wish has had its turn, what gives back follows a wish that had, and what other
        // nodes say comes at their registries' pace
        ctx.set_mailbox_capacity(0);
    }
}

impl Handler<Admitted> for Registry {
    type Result = ();

    fn handle(&mut self, Admitted { wish, turn }: Admitted, ctx: &mut Self::Context) {
        // before it is done: who is answered may have a further wish at once
        drop(turn);
        match wish {
            Command::Subscribe(wish) => self.subscribe(wish, ctx),
            Command::Watch(watch) => self.watch(watch, ctx),
            Command::Update(update) => self.update(update, ctx),
            Command::Hold(hold) => self.hold(hold, ctx),
        }
    }
}

impl Registry {
    fn subscribe(&mut self, wish: Subscribe, ctx: &mut Context<Self>) {
        if wish.connection.mailbox.is_closed() {
            return; // its `ConnectionClosed` is behind this message, or was before it
        }
        if let Some(join) = wish.replaces {
            self.handle(Unsubscribe { id: MemberId { connection: wish.connection.id, join } }, ctx);
        }
        match wish.membership.claim {
            Some(claim) => self.claim(wish, claim, ctx),
            None => self.admit(wish, None, ctx),
        }
    }

    fn watch(&mut self, Watch { member, topic, on }: Watch, ctx: &mut Context<Self>) {
        if member.connection.mailbox.is_closed() {
            return;
        }
        let id = member.id();
        if !on {
            self.unwatch(&topic, id);
            return self.holdings.remove_watch(id, topic);
        }
        let cared = self.cares(&topic);
        if self.watches.add(&topic, member.clone()) {
            self.holdings.add_watch(id, topic.clone());
        }
        self.show_interest(&topic, cared);
        let online = self.table.count(topic.key()) > 0;
        let mut elsewhere = self.adapter.whereis(&topic);
        let tell = move |online| {
            let _ = member.connection.tell(SocketEvent::Info(member.join, Box::new(OnlineStatus { topic, online })));
        };
        if online {
            return tell(true);
        }
        match (&mut elsewhere).now_or_never() {
            Some(online) => tell(online),
            None => drop(ctx.spawn(elsewhere.map(tell).into_actor(self))),
        }
    }

    fn update(&mut self, UpdatePresence { id, topic, meta }: UpdatePresence, ctx: &mut Context<Self>) {
        if let Some(row) = self.rosters.row(&topic, id) {
            let row = PresenceEntry { key: row.key.clone(), meta };
            self.rosters.put(&topic, id, row);
            self.flush_later(ctx);
        }
    }
}

impl Handler<Unsubscribe> for Registry {
    type Result = ();

    fn handle(&mut self, Unsubscribe { id }: Unsubscribe, ctx: &mut Self::Context) {
        let held = self.holdings.take_join(id);
        self.take_back(id.connection, held, ctx);
    }
}

impl Handler<ConnectionClosed> for Registry {
    type Result = ();

    fn handle(&mut self, ConnectionClosed { connection }: ConnectionClosed, ctx: &mut Self::Context) {
        let held = self.holdings.take(connection);
        self.take_back(connection, held, ctx);
    }
}

impl Handler<RemotePacket> for Registry {
    type Result = ();

    fn handle(&mut self, RemotePacket { topic, packet }: RemotePacket, ctx: &mut Self::Context) {
        match packet {
            Packet::Up => {
                self.watches.tell(&topic, true);
                self.send_after(&topic);
            }
            Packet::Down => self.watches.tell(&topic, false),
            Packet::Presence { node, joins, leaves } => {
                self.rosters.merge(&topic, &node, &joins, &leaves);
                self.flush_later(ctx);
            }
            Packet::PresenceWanted => {
                if let Some(own) = self.rosters.own(&topic) {
                    self.adapter.publish(&topic, own);
                }
            }
            Packet::Broadcast { .. } => debug_assert!(false, "broadcasts go to the table, not through the registry"),
        }
    }
}

impl Handler<NodeDown> for Registry {
    type Result = ();

    fn handle(&mut self, NodeDown { node }: NodeDown, ctx: &mut Self::Context) {
        if self.rosters.node_down(&node) {
            self.flush_later(ctx);
        }
    }
}

impl Handler<GetStats> for Registry {
    type Result = RegistryStats;

    fn handle(&mut self, _: GetStats, _: &mut Self::Context) -> RegistryStats {
        RegistryStats {
            connections: self.holdings.connections(),
            topics: self.table.topics(),
            members: self.holdings.members(),
            names: self.names.len(),
            watches: self.watches.count(),
            rows: self.rosters.count(),
            held: self.holds.count(),
            held_bytes: self.holds.bytes(),
        }
    }
}
