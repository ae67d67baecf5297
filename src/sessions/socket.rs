//! One client's conversation as a state machine: which topics it has joined, which join a message speaks
//! for, who owes which answer, and how fast it may go.
//!
//! It knows no wire format, no transport, no clock and no registry: it is told what came in and what
//! time it is, and leaves [`Effect`]s for the session to carry out. So every sequence of inputs can be
//! tried on it in a test.
//!
//! A join is not answered before the registry has confirmed it ([`joining`](crate::sessions::socket::join)); what the
//! client sends to that topic meanwhile waits in its backlog, and nothing else waits.

mod callbacks;
pub(crate) mod channel_server;
mod join;
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
use crate::close;
use crate::connections::connection::Connection;
use crate::connections::envelope::SocketEvent;
use crate::connections::token_bucket::{RateVerdict, TokenBucket};
use crate::connections::writer::JoinIds;
use crate::message::{
    Broadcast, DISCONNECT, DeliveryStatus, Event, Inbound, JoinId, Outbound, Payload, Ref, Request, RequestRef, Signal,
    Status,
};
use crate::metrics::families::Metrics;
use crate::refusal::{JoinRefusal, PushRefusal};
use crate::sessions::settings::SocketSettings;
use crate::sessions::socket::channel_server::{ChannelServer, QueuedPush};
use crate::sessions::socket::task_table::TaskTable;
use crate::small_map::SmallMap;
use crate::topic::Topic;

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
    pub(crate) topics: SmallMap<JoinId, Topic>,
    /// How many signals wait for whom.
    pub(crate) waiting: BTreeMap<Topic, u32>,
    /// Futures that its channels have started.
    pub(crate) tasks: Option<Box<TaskTable>>,
    pub(crate) join_rate: TokenBucket,
    pub(crate) last_join: u32,
    pub(crate) client: Client,
    /// Whether what passes as it is has changed since it was last asked for.
    pub(crate) fastlane_changed: bool,
    pub(crate) messages: TokenBucket,
    pub(crate) settings: Arc<SocketSettings>,
    pub(crate) metrics: Arc<Metrics>,
    pub(crate) joins: SmallMap<Topic, Box<ChannelServer>>,
    pub(crate) effects: VecDeque<Effect>,
    /// What was said to topics that can handle it by now, and is to be done after those effects.
    pub(crate) replay: VecDeque<(Topic, QueuedPush)>,
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
    pub(crate) fn dispatch(&mut self, topic: &Topic, broadcast: &Broadcast) -> Dispatch {
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

    pub(crate) fn handle_in(&mut self, topic: &Topic, reference: Option<Ref>, event: &str, payload: &Payload) {
        self.run_and_reply(topic, &reference, |channel, ctx| channel.handle_in(event, payload, ctx));
    }

    fn late_reply(&mut self, request: &RequestRef, status: Status, payload: Payload) {
        let Some(server) = self.pending_reply(request) else { return };
        let (reply_ref, reference) = (server.reply_ref.clone(), request.reference.clone());
        self.answer(reply_ref, reference, &request.topic, status, payload, PushRefusal::Channel);
    }

    fn late_push(&mut self, join: JoinId, event: Event, payload: Payload) {
        let Some(topic) = self.topic_of(join) else { return };
        let join_ref = self.joins.get(&topic).and_then(|server| server.reply_ref.clone());
        self.send(Outbound::Push { join_ref, topic, event, payload });
    }

    // ---- leaving

    fn leave(&mut self, name: &str, join_ref: Option<Ref>, reference: Option<Ref>) {
        let Some((topic, server)) = self.joins.raw_entry().from_key(name) else {
            return self.reply(
                join_ref,
                reference,
                &Topic::echo(self.settings.realm, name),
                Status::Ok,
                Payload::empty(),
            );
        };
        if server.is_stale(&join_ref) {
            return;
        }
        let topic = topic.clone();
        if !server.is_waiting() {
            self.leave_now(&topic, reference);
        } else if !self.queue(&topic, QueuedPush::Leave(reference.clone())) {
            self.refuse(join_ref, reference, name, Payload::reason("overloaded"));
        }
    }

    pub(crate) fn leave_now(&mut self, topic: &Topic, reference: Option<Ref>) {
        let Some(server) = self.joins.get(topic) else { return };
        let reply_ref = server.reply_ref.clone();
        self.reply(reply_ref, reference, topic, Status::Ok, Payload::empty());
        self.end(topic, TerminateReason::Left);
    }

    /// The orderly end of a join; one that is not answered yet is refused.
    pub(crate) fn end(&mut self, topic: &Topic, why: TerminateReason) {
        self.terminate(topic, why);
        if self.joins.get(topic).is_some_and(|server| server.is_pending()) {
            return self.abort_join(topic, JoinRefusal::Channel, "stopped");
        }
        let Some(mut server) = self.remove_join(topic) else { return };
        self.effects.push_back(Effect::Unsubscribe(server.id));
        self.send(Outbound::Close { join_ref: server.join_ref.take(), topic: topic.clone() });
        self.drop_server(topic, *server);
    }

    /// The channel's last word. That it stops is no news, and it intercepts nothing any more: either
    /// could begin its end anew, for ever.
    pub(crate) fn terminate(&mut self, topic: &Topic, why: TerminateReason) {
        if let Some((_, outcome)) = self.call(topic, &None, |channel, ctx| channel.terminate(why, ctx)) {
            self.apply(topic, outcome.actions);
        }
    }

    /// A channel has panicked: its join ends, and nothing else.
    pub(crate) fn crash(&mut self, topic: &Topic) {
        self.count_crash(topic.as_str());
        if self.joins.get(topic).is_some_and(|server| server.is_pending()) {
            return self.abort_join(topic, JoinRefusal::Crash, "join crashed");
        }
        if let Some(mut server) = self.remove_join(topic) {
            self.effects.push_back(Effect::Unsubscribe(server.id));
            self.send(Outbound::Error { join_ref: server.join_ref.take(), topic: topic.clone() });
            self.drop_server(topic, *server);
        }
    }

    pub(crate) fn count_crash(&self, topic: &str) {
        self.metrics.channel_crashes.add(self.settings.realm, (), 1);
        log::error!("{}: a channel of {topic:?} panicked", self.client.connection.id);
    }

    pub(crate) fn count_refused_push(&self, why: PushRefusal) {
        self.metrics.messages_refused.add(self.settings.realm, why, 1);
    }

    // ---- telling the client

    pub(crate) fn send(&mut self, outbound: Outbound) {
        self.effects.push_back(Effect::Send(outbound));
    }

    pub(crate) fn reply(
        &mut self,
        join_ref: Option<Ref>,
        reference: Option<Ref>,
        topic: &Topic,
        status: Status,
        payload: Payload,
    ) {
        self.send(Outbound::Reply { join_ref, reference, topic: topic.clone(), status, payload });
    }

    /// Replies in a channel's words; `why` is counted when it is an error.
    pub(crate) fn answer(
        &mut self,
        join_ref: Option<Ref>,
        reference: Option<Ref>,
        topic: &Topic,
        status: Status,
        payload: Payload,
        why: PushRefusal,
    ) {
        if status == Status::Error {
            self.count_refused_push(why);
        }
        self.reply(join_ref, reference, topic, status, payload);
    }

    pub(crate) fn refuse(&mut self, join_ref: Option<Ref>, reference: Option<Ref>, name: &str, payload: Payload) {
        self.reply(join_ref, reference, &Topic::echo(self.settings.realm, name), Status::Error, payload);
    }

    /// The topic whose join this is; none that it hears besides.
    pub(crate) fn topic_of(&self, join: JoinId) -> Option<Topic> {
        let topic = self.topics.get(&join)?;
        self.joins.get(topic).filter(|server| server.id == join)?;
        Some(topic.clone())
    }

    /// The join that owes an answer, unless it is over.
    fn pending_reply(&self, request: &RequestRef) -> Option<&ChannelServer> {
        self.joins.get(&request.topic).map(Box::as_ref).filter(|server| server.id == request.join)
    }

    /// Takes a join off both lists, and with it what it hears.
    pub(crate) fn remove_join(&mut self, topic: &Topic) -> Option<Box<ChannelServer>> {
        let mut server = self.joins.remove(topic)?;
        self.fastlane_changed = true;
        self.topics.remove(&server.id);
        self.abort_tasks(server.id);
        self.unsubscribe_all(&mut server);
        Some(server)
    }
}
