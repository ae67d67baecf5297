//! The registry: the actor that is the only writer of memberships, owners of names, watchers and presence lists.
//!
//! Every change of membership is a message to it, so all changes have one order. Operations that only read (each
//! broadcast, each signal) use the table that it publishes, and bypass it. When a connection reports that it is closed,
//! or is found closed, the registry removes everything that the connection had.
//!
//! The tables are in [`state`]. The actor receives messages, awaits the adapter, and runs the timers. It runs no code
//! of channels, and its values are checked, so it must not panic. If it stops nevertheless, the node exits
//! ([`ExitSignal`]).

mod claims;
pub(crate) mod command;
mod connection_index;
mod contests;
pub(crate) mod held_signals;
mod names;
mod passes;
mod pending_subscriptions;
pub(crate) mod permits;
mod state;
mod watchers;

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use actix::{Actor, AsyncContext, Context, Handler, Message, MessageResult, ResponseFuture};
use tokio::sync::oneshot;

use crate::broker::adapter::Adapter;
use crate::broker::registry::command::{
    Admitted, Command, ComparePresence, ConnectionClosed, GetNames, GetOwnPresence, GetPresence, GetPresenceVersions,
    GetStale, GetStats, GetTopicsOf, GiveUp, NodeDown, NodeUp, RemotePacket, Resync, Revoke, SubscribePresence,
    Unsubscribe,
};
use crate::broker::registry::state::{Resume, State};
use crate::broker::registry_stats::RegistryStats;
use crate::broker::topic_table::TopicTable;
use crate::config::schema::Config;
use crate::connections::clock::Clock;
use crate::metrics::families::Metrics;
use crate::webhooks::Webhooks;

/// How often held signals are checked for expiry.
const EXPIRE_EVERY: Duration = Duration::from_millis(250);

/// How long the registry pauses for each watcher that it has notified, so that the watchers of topics that change all
/// the time take only a part of its time.
const PAUSE_PER_WATCHER: Duration = Duration::from_micros(20);

/// How often the registry checks whether a presence list that other nodes have requested again may be sent.
const CHECK_PRESENCE_REQUESTS_EVERY: Duration = Duration::from_millis(250);

/// How often the registry checks whether the owners of contested names have answered its ping.
const CHECK_CONTESTS_EVERY: Duration = Duration::from_millis(50);

/// The pause before watched names are looked up again that the directory has not answered about.
const LOOK_UP_AGAIN_AFTER: Duration = Duration::from_secs(1);

/// The pause between two steps of a resynchronisation, so that clients do not wait for it.
const PAUSE_PER_RESYNC_STEP: Duration = Duration::from_millis(5);

/// Reports that the registry has stopped, for whatever reason: the signal is dropped with it.
pub(crate) struct ExitSignal(#[expect(dead_code, reason = "its drop is the message")] pub(crate) oneshot::Sender<()>);

/// What the registry does some time after a step that requires it.
#[derive(Clone, Copy)]
enum Timer {
    PresenceFlush,
    PresenceRequests,
    /// Watchers were notified a short time ago, so further changes are collected.
    WatchPause,
    Expiry,
    Contests,
    Lookups,
    Resync,
}

impl Timer {
    const COUNT: usize = Self::Resync as usize + 1;
}

/// The actor.
pub(crate) struct Registry {
    state: State,
    /// How long changes of presence lists are collected before they are sent, and the minimum pause between two
    /// notifications of watchers.
    presence_interval: Duration,
    /// Which timers run.
    running: [bool; Timer::COUNT],
    clock: Arc<Clock>,
    _exit_signal: ExitSignal,
}

impl Registry {
    pub(crate) fn new(
        config: &Config,
        table: Arc<TopicTable>,
        adapter: Arc<dyn Adapter>,
        metrics: Arc<Metrics>,
        clock: Arc<Clock>,
        exit_signal: ExitSignal,
    ) -> Self {
        Self {
            state: State::new(config, table, adapter, metrics),
            presence_interval: config.presence.interval,
            running: [false; Timer::COUNT],
            clock,
            _exit_signal: exit_signal,
        }
    }

    /// Reports what happens to the webhooks, if there are any.
    pub(crate) fn with_webhooks(mut self, webhooks: Option<Webhooks>) -> Self {
        webhooks.into_iter().for_each(|webhooks| self.state.report_to(webhooks));
        self
    }

    /// Starts what the last step requires: awaiting the adapter, a flush of presence changes, the notification of
    /// watchers, the expiry of held signals, a check of contested names, lookups again, a step of a resynchronisation.
    ///
    /// Watchers are notified of a first change immediately. Further changes are collected until the pause is over.
    fn follow_up(&mut self, ctx: &mut Context<Self>) {
        for pending in self.state.take_pending() {
            // a task each: the context would poll all of its futures whenever one of them, or a message, is ready
            let registry = ctx.address();
            actix::spawn(async move { registry.do_send(Answered(pending.await)) });
        }
        if self.state.has_presence_changes() {
            self.start(Timer::PresenceFlush, self.presence_interval, ctx);
        }
        if self.state.has_waiting_presence_requests() {
            self.start(Timer::PresenceRequests, CHECK_PRESENCE_REQUESTS_EVERY, ctx);
        }
        if self.state.has_watch_changes() && !self.running[Timer::WatchPause as usize] {
            let notified = u32::try_from(self.state.flush_watchers()).unwrap_or(u32::MAX);
            self.start(Timer::WatchPause, self.presence_interval.max(PAUSE_PER_WATCHER * notified), ctx);
        }
        if self.state.has_held_signals() {
            self.start(Timer::Expiry, EXPIRE_EVERY, ctx);
        }
        if self.state.has_contests() {
            self.start(Timer::Contests, CHECK_CONTESTS_EVERY, ctx);
        }
        if self.state.has_lookups_to_repeat() {
            self.start(Timer::Lookups, LOOK_UP_AGAIN_AFTER, ctx);
        }
        if self.state.is_resyncing() {
            self.start(Timer::Resync, PAUSE_PER_RESYNC_STEP, ctx);
        }
    }

    /// Starts a timer, unless it runs.
    fn start(&mut self, timer: Timer, pause: Duration, ctx: &mut Context<Self>) {
        if std::mem::replace(&mut self.running[timer as usize], true) {
            return;
        }
        ctx.run_later(pause, move |registry, ctx| {
            registry.running[timer as usize] = false;
            registry.run(timer);
            registry.follow_up(ctx);
        });
    }

    /// Does what a timer is for.
    fn run(&mut self, timer: Timer) {
        match timer {
            // the clock of the timers, which tests can stop: no client is judged by it
            Timer::PresenceFlush => self.state.flush_presence(tokio::time::Instant::now().into_std()),
            Timer::PresenceRequests => self.state.check_presence_requests(),
            Timer::WatchPause => {}
            Timer::Expiry => self.state.expire_held(self.clock.judged()),
            Timer::Contests => self.state.check_contests(self.clock.judged()),
            Timer::Lookups => self.state.repeat_lookups(),
            Timer::Resync => self.state.continue_resync(),
        }
    }
}

/// The adapter has answered: the step that waited for it continues.
#[derive(Message)]
#[rtype(result = "()")]
struct Answered(Resume);

impl Actor for Registry {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Self::Context) {
        // unbounded: each command and each packet of another node holds a permit, and each removal and each answer of
        // the adapter follows a command that had one
        ctx.set_mailbox_capacity(0);
    }
}

impl Handler<Admitted> for Registry {
    type Result = ();

    fn handle(&mut self, Admitted { command, permit }: Admitted, ctx: &mut Self::Context) {
        // before the command runs: a client that receives its reply may send the next command immediately
        drop(permit);
        match command {
            Command::Subscribe(command) => self.state.subscribe(command),
            Command::Watch(watch) => self.state.watch(watch),
            Command::Presence(change) => self.state.change_presence(change),
            Command::Hold(signal) => self.state.hold_signal(signal),
        }
        self.follow_up(ctx);
    }
}

impl Handler<Unsubscribe> for Registry {
    type Result = ();

    fn handle(&mut self, Unsubscribe { id }: Unsubscribe, ctx: &mut Self::Context) {
        self.state.unsubscribe(id);
        self.follow_up(ctx);
    }
}

impl Handler<SubscribePresence> for Registry {
    type Result = ();

    fn handle(&mut self, SubscribePresence { member, topic }: SubscribePresence, ctx: &mut Self::Context) {
        self.state.subscribe_presence(&topic, member);
        self.follow_up(ctx);
    }
}

impl Handler<ConnectionClosed> for Registry {
    type Result = ();

    fn handle(&mut self, ConnectionClosed { connection }: ConnectionClosed, ctx: &mut Self::Context) {
        self.state.connection_closed(connection);
        self.follow_up(ctx);
    }
}

impl Handler<Answered> for Registry {
    type Result = ();

    fn handle(&mut self, Answered(resume): Answered, ctx: &mut Self::Context) {
        resume(&mut self.state);
        self.follow_up(ctx);
    }
}

impl Handler<GiveUp> for Registry {
    type Result = ResponseFuture<bool>;

    fn handle(&mut self, GiveUp { name, epoch, proof, permit }: GiveUp, ctx: &mut Self::Context) -> Self::Result {
        drop(permit);
        let is_free = self.state.give_up(&name, epoch, proof);
        self.follow_up(ctx);
        is_free
    }
}

impl Handler<RemotePacket> for Registry {
    type Result = ();

    fn handle(&mut self, RemotePacket { topic, packet, permit }: RemotePacket, ctx: &mut Self::Context) {
        drop(permit);
        self.state.remote_packet(&topic, packet);
        self.follow_up(ctx);
    }
}

impl Handler<NodeDown> for Registry {
    type Result = ();

    fn handle(&mut self, NodeDown { node }: NodeDown, ctx: &mut Self::Context) {
        self.state.node_down(&node);
        self.follow_up(ctx);
    }
}

impl Handler<NodeUp> for Registry {
    type Result = ();

    fn handle(&mut self, NodeUp { node }: NodeUp, _: &mut Self::Context) {
        self.state.node_up(&node);
    }
}

impl Handler<Revoke> for Registry {
    type Result = ();

    fn handle(&mut self, Revoke { name, epoch }: Revoke, ctx: &mut Self::Context) {
        self.state.revoke(&name, epoch);
        self.follow_up(ctx);
    }
}

impl Handler<Resync> for Registry {
    type Result = ();

    fn handle(&mut self, Resync { is_queued }: Resync, ctx: &mut Self::Context) {
        // before the passes begin: what is lost from now on needs others
        is_queued.store(false, Ordering::Release);
        self.state.resync();
        self.follow_up(ctx);
    }
}

impl Handler<ComparePresence> for Registry {
    type Result = ();

    fn handle(&mut self, _: ComparePresence, ctx: &mut Self::Context) {
        self.state.compare_presence_lists();
        self.follow_up(ctx);
    }
}

impl Handler<GetNames> for Registry {
    type Result = MessageResult<GetNames>;

    fn handle(&mut self, GetNames { after, limit }: GetNames, _: &mut Self::Context) -> Self::Result {
        MessageResult(self.state.names_after(after, limit))
    }
}

impl Handler<GetStale> for Registry {
    type Result = MessageResult<GetStale>;

    fn handle(&mut self, GetStale { grants, permit }: GetStale, _: &mut Self::Context) -> Self::Result {
        drop(permit);
        MessageResult(self.state.stale(grants))
    }
}

impl Handler<GetOwnPresence> for Registry {
    type Result = MessageResult<GetOwnPresence>;

    fn handle(&mut self, GetOwnPresence { topic }: GetOwnPresence, _: &mut Self::Context) -> Self::Result {
        MessageResult(self.state.own_presence_list(&topic))
    }
}

impl Handler<GetPresenceVersions> for Registry {
    type Result = MessageResult<GetPresenceVersions>;

    fn handle(&mut self, GetPresenceVersions { topics }: GetPresenceVersions, _: &mut Self::Context) -> Self::Result {
        MessageResult(self.state.presence_versions(&topics))
    }
}

impl Handler<GetPresence> for Registry {
    type Result = MessageResult<GetPresence>;

    fn handle(&mut self, GetPresence { topic }: GetPresence, _: &mut Self::Context) -> Self::Result {
        MessageResult(self.state.presence_list(&topic))
    }
}

impl Handler<GetTopicsOf> for Registry {
    type Result = MessageResult<GetTopicsOf>;

    fn handle(&mut self, GetTopicsOf { connection, limit }: GetTopicsOf, _: &mut Self::Context) -> Self::Result {
        MessageResult(self.state.topics_of(connection, limit))
    }
}

impl Handler<GetStats> for Registry {
    type Result = RegistryStats;

    fn handle(&mut self, _: GetStats, _: &mut Self::Context) -> RegistryStats {
        self.state.stats()
    }
}
