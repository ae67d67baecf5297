//! One client's conversation as a state machine: which topics it has joined, which join a message speaks
//! for, who owes which answer, and how fast it may go.
//!
//! It knows no wire format, no transport, no clock and no registry: it is told what came in and what
//! time it is, and leaves [`Effect`]s for the session to carry out. So every sequence of inputs can be
//! tried on it in a test.
//!
//! A join is not answered before the registry has confirmed it ([`joining`](crate::sessions::socket::join)); what the
//! client sends to that topic meanwhile waits in its backlog, and nothing else waits.

#[cfg(any(test, feature = "fuzzing"))]
mod audit;
mod callbacks;
pub(crate) mod channel_server;
mod join;
mod leave;
mod outgoing;
mod subscriptions;
mod task_table;
mod tasks;

use std::collections::{BTreeMap, VecDeque};
use std::iter::once;
use std::sync::Arc;
use std::time::Instant;

use crate::broker::registry::permits::CommandBudget;
use crate::channels::assigns::Assigns;
use crate::channels::client::Client;
use crate::channels::effect::Effect;
use crate::channels::reply::TerminateReason;
use crate::close::{self, Reason};
use crate::connections::connection::Connection;
use crate::connections::envelope::SocketEvent;
use crate::connections::token_bucket::{RateVerdict, TokenBucket};
use crate::connections::writer::JoinIds;
use crate::message::{
    Broadcast, DISCONNECT, DeliveryStatus, Inbound, JoinId, Outbound, Payload, Ref, Request, RequestRef, Signal, Status,
};
use crate::metrics::families::Metrics;
use crate::refusal::PushRefusal;
use crate::sessions::settings::SocketSettings;
use crate::sessions::socket::channel_server::{ChannelServer, QueuedPush};
use crate::sessions::socket::task_table::TaskTable;
use crate::small_map::SmallMap;
use crate::topic::{Realm, Topic};

/// How a broadcast reaches the client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Dispatch {
    /// As the one frame that everybody gets.
    Fastlane,
    /// Not, or not as it is: what there is to do stands in the effects.
    Handled,
}

/// The state machine. In memory as written: what is needed seldom stands first, and apart from what each message needs.
#[repr(C)]
pub(crate) struct Socket {
    /// Whose join it is that the registry speaks of.
    topics: SmallMap<JoinId, Topic>,
    /// How many signals wait for whom.
    waiting: BTreeMap<Topic, u32>,
    /// Futures that its channels have started.
    tasks: Option<Box<TaskTable>>,
    join_rate: TokenBucket,
    last_join: u32,
    client: Client,
    /// Whether what passes as it is has changed since it was last asked for.
    fastlane_changed: bool,
    messages: TokenBucket,
    settings: Arc<SocketSettings>,
    metrics: Arc<Metrics>,
    joins: SmallMap<Topic, Box<ChannelServer>>,
    effects: VecDeque<Effect>,
    /// What was said to topics that can handle it by now, and is to be done after those effects.
    replay: VecDeque<(Topic, QueuedPush)>,
}

impl Socket {
    pub(crate) fn new(
        settings: Arc<SocketSettings>,
        metrics: Arc<Metrics>,
        budget: Arc<CommandBudget>,
        connection: Arc<Connection>,
        transport: &'static str,
        assigns: Assigns,
        now: Instant,
    ) -> Self {
        let not_found_rate = settings.not_found;
        // who misses, and comes back for a full bucket, finds one; others can do with it as well
        let not_found_budget = match connection.not_found_budget.is_empty(now) {
            true => TokenBucket::of_one(now),
            false => TokenBucket::full(&not_found_rate, now),
        };
        Self {
            messages: TokenBucket::full(&settings.messages, now),
            join_rate: TokenBucket::full(&settings.joins, now),
            client: Client {
                connection,
                transport,
                assigns,
                not_found_budget,
                not_found_rate,
                now,
                subscriptions_left: settings.limits.joins_per_socket,
                tasks_left: settings.limits.tasks_per_socket,
                budget,
                overloaded: false,
            },
            settings,
            metrics,
            joins: SmallMap::default(),
            topics: SmallMap::default(),
            waiting: BTreeMap::new(),
            tasks: None,
            last_join: JoinId::SOCKET.0,
            fastlane_changed: false,
            effects: VecDeque::new(),
            replay: VecDeque::new(),
        }
    }

    /// What is to be done next.
    pub(crate) fn next_effect(&mut self) -> Option<Effect> {
        while self.effects.is_empty() && self.replay_next() {}
        let effect = self.effects.pop_front();
        if effect.is_none() {
            // most sockets are idle most of the time
            self.effects = VecDeque::new();
            self.replay = VecDeque::new();
        }
        effect
    }

    /// The client has said something.
    pub(crate) fn receive(&mut self, inbound: Inbound<'_>, now: Instant) {
        let Inbound { topic, join_ref, reference, request } = inbound;
        let verdict = self.take_message_token(now);
        match request {
            Request::Heartbeat => self.send(Outbound::Alive { reference }),
            Request::Leave => self.leave(&topic, join_ref, reference),
            _ if verdict != RateVerdict::Allow => {
                self.count_refused_push(PushRefusal::RateLimited);
                self.refuse(join_ref, reference, &topic, Payload::reason("rate_limited"));
            }
            Request::Join(payload) => self.join(&topic, join_ref, reference, &payload),
            Request::Push(event, payload) => self.push(&topic, join_ref, reference, &event, payload),
        }
    }

    /// Counts one message, of whatever kind, and ends the connection of a client that floods.
    pub(crate) fn take_message_token(&mut self, now: Instant) -> RateVerdict {
        self.client.now = now;
        let verdict = self.messages.take(&self.settings.messages, now);
        if verdict == RateVerdict::Flood {
            self.effects.push_back(Effect::Close(&close::FLOOD));
        }
        verdict
    }

    /// Somebody has told a topic something that this client may be a member of.
    pub(crate) fn broadcast(&mut self, join: JoinId, broadcast: &Broadcast, now: Instant) -> Dispatch {
        self.client.now = now;
        if join == JoinId::SOCKET {
            if broadcast.event == DISCONNECT {
                self.effects.push_back(Effect::Close(&close::DISCONNECTED));
            }
            return Dispatch::Handled;
        }
        let Some(server) = self.joins.get(&broadcast.topic).filter(|server| server.id == join) else {
            return self.broadcast_on_subscription(join, broadcast);
        };
        if server.is_pending() {
            // the registry's word is right behind; being told is being a member
            self.join_confirmed(join);
        }
        self.dispatch(&broadcast.topic, broadcast)
    }

    /// Brings a broadcast before the channel of `topic`, if it wants to see it.
    fn dispatch(&mut self, topic: &Topic, broadcast: &Broadcast) -> Dispatch {
        match self.joins.get(topic).map(|server| server.intercepts(&broadcast.event)) {
            Some(false) => return Dispatch::Fastlane,
            Some(true) => self.intercept(topic, &broadcast.event, &broadcast.payload),
            None => {} // it has stopped
        }
        Dispatch::Handled
    }

    /// The registry, another task or another node has something to say.
    pub(crate) fn handle_event(&mut self, event: SocketEvent, now: Instant) {
        self.client.now = now;
        match event {
            SocketEvent::Subscribed(join) => match self.topic_of(join) {
                Some(_) => self.join_confirmed(join),
                None => self.subscription_confirmed(join),
            },
            SocketEvent::Refused(join, reason) => match self.topic_of(join) {
                Some(topic) => self.refused(&topic, Payload::reason(reason)),
                None => self.subscription_rejected(join),
            },
            SocketEvent::Evicted(join) => match self.topic_of(join) {
                Some(topic) => self.end(&topic, TerminateReason::Replaced),
                None => self.subscription_rejected(join),
            },
            SocketEvent::DeliveryStatus(signal, verdict) => self.delivery_known(signal, verdict),
            SocketEvent::Reply(request, status, payload) => self.late_reply(&request, status, payload),
            SocketEvent::Push(join, event, payload) => self.late_push(join, event, payload),
            SocketEvent::TaskDone(id) => self.task_done(id),
            SocketEvent::Info(join, info) => {
                if let Some(topic) = self.topic_of(join) {
                    self.run(&topic, &None, |channel, ctx| channel.handle_info(info, ctx));
                }
            }
        }
    }

    /// What became of a signal: known at once, or told by a note.
    pub(crate) fn delivery_known(&mut self, signal: Signal, verdict: DeliveryStatus) {
        // of all that waited for one name in vain, the last is the miss
        let others_wait = signal.hold.is_some() && self.release_held(&signal.to);
        self.metrics.signals.add(self.settings.realm, verdict, 1);
        match (signal.hold, verdict) {
            (None, DeliveryStatus::Absent) => self.client.charge_not_found(),
            (Some(_), DeliveryStatus::Delivered) if !others_wait => self.client.refund_not_found(),
            _ => {}
        }
        if self.pending_reply(&signal.request).is_none() {
            return;
        }
        let RequestRef { topic, reference, .. } = signal.request.clone();
        self.run(&topic, &reference, |channel, ctx| channel.handle_delivery(signal, verdict, ctx));
    }

    /// The connection is gone: every channel hears of it, and nobody else.
    pub(crate) fn disconnect(&mut self, now: Instant) {
        self.client.now = now;
        let topics: Vec<Topic> = self.joins.keys().cloned().collect();
        for topic in topics {
            self.terminate(&topic, TerminateReason::Disconnected);
        }
        self.joins.drain().for_each(|(_, server)| server.drop_channel());
        self.tasks = None;
        self.topics.clear();
        self.replay.clear();
        // what the channels still have to tell others goes out; nobody is left to hear the rest
        self.effects.retain(|effect| matches!(effect, Effect::Broadcast { .. } | Effect::Signal { .. }));
    }

    /// The joins that pass on whatever they hear as it is, if they have changed since this was last asked.
    pub(crate) fn take_fastlane_update(&mut self) -> Option<JoinIds> {
        if !std::mem::take(&mut self.fastlane_changed) {
            return None;
        }
        let plain = self.joins.values().filter(|server| !server.is_pending() && server.intercepted.is_empty());
        Some(
            plain
                .flat_map(|server| once(server.id).chain(server.subscriptions.iter().map(|(other, _)| *other)))
                .collect(),
        )
    }

    /// The namespace of its topics.
    pub(crate) fn realm(&self) -> Realm {
        self.settings.realm
    }

    /// The time as of its last input.
    pub(crate) fn now(&self) -> Instant {
        self.client.now
    }

    /// Closes the connection.
    pub(crate) fn close(&mut self, reason: &'static Reason) {
        self.effects.push_back(Effect::Close(reason));
    }

    /// Whether a join is not answered yet.
    pub(crate) fn is_joining(&self) -> bool {
        self.joins.values().any(|server| server.is_pending())
    }

    // ---- being a member

    fn push(&mut self, name: &str, join_ref: Option<Ref>, reference: Option<Ref>, event: &str, payload: Payload) {
        let Some((topic, server)) = self.joins.raw_entry().from_key(name) else {
            self.count_refused_push(PushRefusal::NotJoined);
            return self.refuse(None, reference, name, Payload::reason("unmatched topic"));
        };
        if server.is_stale(&join_ref) {
            return;
        }
        let (topic, reply_ref) = (topic.clone(), server.reply_ref.clone());
        if event.len() > self.settings.limits.event_bytes {
            self.count_refused_push(PushRefusal::TooLong);
            return self.reply(reply_ref, reference, &topic, Status::Error, Payload::reason("event too long"));
        }
        if !server.is_waiting() {
            return self.handle_in(&topic, reference, event, &payload);
        }
        if !self.queue(&topic, QueuedPush::Push(reference.clone(), event.into(), payload)) {
            self.count_refused_push(PushRefusal::Overloaded);
            self.reply(reply_ref, reference, &topic, Status::Error, Payload::reason("overloaded"));
        }
    }

    fn handle_in(&mut self, topic: &Topic, reference: Option<Ref>, event: &str, payload: &Payload) {
        self.run_and_reply(topic, &reference, |channel, ctx| channel.handle_in(event, payload, ctx));
    }

    /// The topic whose join this is; none that it hears besides.
    fn topic_of(&self, join: JoinId) -> Option<Topic> {
        let topic = self.topics.get(&join)?;
        self.joins.get(topic).filter(|server| server.id == join)?;
        Some(topic.clone())
    }

    /// The join that owes an answer, unless it is over.
    fn pending_reply(&self, request: &RequestRef) -> Option<&ChannelServer> {
        self.joins.get(&request.topic).map(Box::as_ref).filter(|server| server.id == request.join)
    }

    /// Takes a join off both lists, and with it what it hears.
    fn remove_join(&mut self, topic: &Topic) -> Option<Box<ChannelServer>> {
        let mut server = self.joins.remove(topic)?;
        self.fastlane_changed = true;
        self.topics.remove(&server.id);
        self.abort_tasks(server.id);
        self.unsubscribe_all(&mut server);
        Some(server)
    }
}
