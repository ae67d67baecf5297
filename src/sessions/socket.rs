//! [`Socket`]: the state machine of one client. It keeps the client's joins, assigns messages to them, tracks pending
//! replies, and enforces rate limits.
//!
//! It contains no wire format, transport, clock or registry. Its inputs are requests and events with the current time,
//! and its outputs are [`Effect`]s, which the [`session`](crate::sessions::session) carries out. So tests can run any
//! sequence of inputs.
//!
//! A join is answered only after the registry has confirmed it (see [`join`](crate::sessions::socket::join)). Until
//! then, the client's messages to that topic wait in the join's backlog. Messages to other topics do not wait.

#[cfg(any(test, feature = "fuzzing"))]
mod audit;
mod callbacks;
pub(crate) mod channel_server;
mod join;
mod leave;
mod outgoing;
mod presence;
mod presence_lists;
mod rates;
mod refresh;
mod subscriptions;
mod task_table;
mod tasks;

use std::collections::{BTreeMap, VecDeque};
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
use crate::connections::pace::Pace;
use crate::connections::token_bucket::{RateVerdict, TokenBucket};
use crate::connections::writer::JoinIds;
use crate::message::{
    ACCESS_TOKEN, Broadcast, DISCONNECT, DeliveryStatus, Inbound, JoinId, Outbound, PRESENCE_STATE, Payload, Ref,
    Request, RequestRef, Signal, Status,
};
use crate::metrics::families::Metrics;
use crate::protocol::Delivery;
use crate::refusal::{PushRefusal, TAKEN};
use crate::sessions::settings::SocketSettings;
use crate::sessions::socket::channel_server::{ChannelServer, QueuedPush};
use crate::sessions::socket::presence_lists::PresenceLists;
use crate::sessions::socket::task_table::TaskTable;
use crate::small_map::SmallMap;
use crate::topic::{Realm, Topic};

/// How a broadcast reaches the client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Dispatch {
    /// The session sends the frame that is encoded once for all members.
    Fastlane,
    /// The session sends only what the effects contain.
    Handled,
}

/// The state machine of one client. `repr(C)` keeps the fields in this order: those that are used rarely come first,
/// apart from those that every message needs.
#[repr(C)]
pub(crate) struct Socket {
    /// The topic of each join, and for each further subscription the topic of the join that owns it.
    topics: SmallMap<JoinId, Topic>,
    /// The number of held signals to each name.
    waiting: BTreeMap<Topic, u32>,
    /// The presence lists that it is still to be sent.
    presence_lists: Option<Box<PresenceLists>>,
    /// The futures that its channels have started.
    tasks: Option<Box<TaskTable>>,
    join_rate: Pace,
    /// How many of the client's tokens were refused since it has connected.
    refused_tokens: u8,
    last_join: u32,
    client: Client,
    /// Whether the set of fastlane joins has changed since [`Socket::take_fastlane_update`].
    fastlane_changed: bool,
    messages: Pace,
    bytes: Pace,
    /// The bytes of the message that is being handled, until they are counted.
    received_bytes: usize,
    fanout: TokenBucket,
    settings: Arc<SocketSettings>,
    metrics: Arc<Metrics>,
    joins: SmallMap<Topic, Box<ChannelServer>>,
    effects: VecDeque<Effect>,
    /// Messages from backlogs that can be handled now, once the effects before them are carried out.
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
        // a client that reconnects to get a full bucket starts with a budget of one, as do others of its IP address
        let not_found_budget = match connection.not_found_budget.is_empty(now) {
            true => TokenBucket::of_one(now),
            false => TokenBucket::full(&not_found_rate, now),
        };
        Self {
            messages: Pace::new(&settings.messages, now, connection.clock()),
            bytes: Pace::new(&settings.bytes, now, connection.clock()),
            received_bytes: 0,
            fanout: TokenBucket::full(&settings.fanout, now),
            refused_tokens: 0,
            join_rate: Pace::new(&settings.joins, now, connection.clock()),
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
                first_name: None,
                overloaded: false,
            },
            settings,
            metrics,
            joins: SmallMap::default(),
            topics: SmallMap::default(),
            waiting: BTreeMap::new(),
            presence_lists: None,
            tasks: None,
            last_join: JoinId::SOCKET.0,
            fastlane_changed: false,
            effects: VecDeque::new(),
            replay: VecDeque::new(),
        }
    }

    /// The next effect to carry out.
    pub(crate) fn next_effect(&mut self) -> Option<Effect> {
        while self.effects.is_empty() && self.replay_next() {}
        let effect = self.effects.pop_front();
        if effect.is_none() {
            // free the queues' memory, because most sockets are idle most of the time
            self.effects = VecDeque::new();
            self.replay = VecDeque::new();
        }
        effect
    }

    /// Handles a request from the client.
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

    /// Handles a broadcast that was delivered for one of this socket's memberships. In the fastlane, it is for the
    /// client, if the effects leave it a [receiver](Self::is_receiver).
    pub(crate) fn broadcast(&mut self, join: JoinId, delivery: &Delivery, now: Instant) -> Dispatch {
        self.client.now = now;
        let broadcast = &delivery.broadcast;
        if join == JoinId::SOCKET {
            if broadcast.event == DISCONNECT {
                self.effects.push_back(Effect::Close(&close::DISCONNECTED));
            }
            return Dispatch::Handled;
        }
        let Some(server) = self.joins.get(&broadcast.topic).filter(|server| server.id == join && !server.has_left)
        else {
            if delivery.is_once_per_client() {
                self.join_confirmed(join); // as below, for a topic that is not the first
            }
            let Some(owner) = self.subscriber(join, delivery) else { return Dispatch::Handled };
            return self.dispatch(&owner, broadcast);
        };
        if server.is_pending() {
            // the client is a member already: the registry's confirmation follows the broadcast in the mailbox
            self.join_confirmed(join);
        }
        self.dispatch(&broadcast.topic, broadcast)
    }

    /// Whether the client still receives a broadcast that was delivered for this join or further subscription.
    pub(crate) fn is_receiver(&self, join: JoinId, delivery: &Delivery) -> bool {
        self.topics.contains_key(&join) || self.subscriber(join, delivery).is_some()
    }

    /// Passes a broadcast to the channel of `topic`, if the channel intercepts the event.
    fn dispatch(&mut self, topic: &Topic, broadcast: &Broadcast) -> Dispatch {
        match self.joins.get(topic).map(|server| server.intercepts(&broadcast.event)) {
            Some(false) => return Dispatch::Fastlane,
            Some(true) => self.intercept(topic, &broadcast.event, &broadcast.payload),
            None => {} // the channel has stopped
        }
        Dispatch::Handled
    }

    /// Handles an event from the registry, another task, or another node.
    pub(crate) fn handle_event(&mut self, event: SocketEvent, now: Instant) {
        self.client.now = now;
        match event {
            SocketEvent::Subscribed(join) => match self.topic_of(join) {
                Some(_) => self.join_confirmed(join),
                None => self.subscription_confirmed(join),
            },
            SocketEvent::Refused(join, reason) => match self.topic_of(join) {
                Some(topic) => {
                    if reason == TAKEN {
                        self.client.charge_taken(&topic);
                    }
                    self.refused(&topic, Payload::reason(reason));
                }
                None => self.subscription_rejected(join),
            },
            SocketEvent::Evicted(join) => match self.topic_of(join) {
                Some(topic) => self.end(&topic, TerminateReason::Replaced),
                None => self.subscription_rejected(join),
            },
            SocketEvent::DeliveryStatus(signal, status) => self.delivery_known(signal, status),
            SocketEvent::Reply(request, status, payload) => self.late_reply(&request, status, payload),
            SocketEvent::Push(join, event, payload) => self.late_push(join, event, payload),
            SocketEvent::PresenceState(join, list) => {
                self.presence_arrived(join);
                self.late_push(join, PRESENCE_STATE, list);
            }
            SocketEvent::PresenceLag(join) => self.presence_lags(join),
            SocketEvent::TaskDone(id) => self.task_done(id),
            SocketEvent::Info(join, info) => {
                if let Some(topic) = self.topic_of(join) {
                    self.run(&topic, &None, |channel, ctx| channel.handle_info(info, ctx));
                }
            }
        }
    }

    /// Handles the delivery status of a signal, which the session knows immediately or an event brings later.
    pub(crate) fn delivery_known(&mut self, signal: Signal, status: DeliveryStatus) {
        // signals that are held for the same name count as one not-found signal, settled by the last of them
        let others_wait = signal.hold.is_some() && self.release_held(&signal.to);
        self.metrics.signals.add(self.settings.realm, status, 1);
        match (signal.hold, status) {
            (None, DeliveryStatus::Absent) => self.client.charge_not_found(),
            (Some(_), DeliveryStatus::Delivered) if !others_wait => self.client.refund_not_found(),
            _ => {}
        }
        if self.pending_reply(&signal.request).is_none() {
            return;
        }
        let RequestRef { topic, reference, .. } = signal.request.clone();
        self.run(&topic, &reference, |channel, ctx| channel.handle_delivery(signal, status, ctx));
    }

    /// Ends all channels after the connection has closed. Their broadcasts and signals remain in the effects.
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
        // other effects concern only this client or its memberships, which the registry removes anyway
        self.effects.retain(|effect| matches!(effect, Effect::Broadcast { .. } | Effect::Signal { .. }));
    }

    /// The joins whose broadcasts go directly to the socket, because their channels intercept nothing. Returns `None`
    /// if they have not changed since the last call.
    pub(crate) fn take_fastlane_update(&mut self) -> Option<JoinIds> {
        if !std::mem::take(&mut self.fastlane_changed) {
            return None;
        }
        let plain = self.joins.iter().filter(|(_, server)| !server.is_pending() && server.intercepted.is_empty());
        Some(plain.flat_map(|(topic, server)| server.memberships(topic)).map(|(join, _)| join).collect())
    }

    /// The namespace of its topics.
    pub(crate) fn realm(&self) -> Realm {
        self.settings.realm
    }

    /// Closes the connection.
    pub(crate) fn close(&mut self, reason: &'static Reason) {
        self.effects.push_back(Effect::Close(reason));
    }

    /// Whether any join is not answered yet.
    pub(crate) fn is_joining(&self) -> bool {
        self.joins.values().any(|server| server.is_pending())
    }

    // ---- messages to joined topics

    fn push(&mut self, name: &str, join_ref: Option<Ref>, reference: Option<Ref>, event: &str, payload: Payload) {
        let Some((topic, server)) = self.joins.raw_entry().from_key(name) else {
            self.count_refused_push(PushRefusal::NotJoined);
            return self.refuse(None, reference, name, Payload::reason("unmatched topic"));
        };
        if server.is_stale(&join_ref) {
            return;
        }
        let (topic, reply_ref) = (topic.clone(), server.reply_ref.clone());
        if event == ACCESS_TOKEN && self.checks_tokens() {
            return self.refresh_token(&topic, reply_ref, reference, &payload);
        }
        if event.len() > self.settings.limits.event_bytes {
            self.count_refused_push(PushRefusal::TooLong);
            return self.reply(reply_ref, reference, &topic, Status::Error, Payload::reason("event too long"));
        }
        if self.client.connection.memory().is_full() {
            self.count_refused_push(PushRefusal::Overloaded);
            return self.reply(reply_ref, reference, &topic, Status::Error, Payload::reason("overloaded"));
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

    /// The topic of a join. Returns `None` for the further subscriptions of a join.
    fn topic_of(&self, join: JoinId) -> Option<Topic> {
        let topic = self.topics.get(&join)?;
        self.joins.get(topic).filter(|server| server.id == join)?;
        Some(topic.clone())
    }

    /// The join that must answer a request, unless the join has ended.
    fn pending_reply(&self, request: &RequestRef) -> Option<&ChannelServer> {
        self.joins.get(&request.topic).map(Box::as_ref).filter(|server| server.id == request.join)
    }

    /// Removes a join with its tasks and subscriptions.
    fn remove_join(&mut self, topic: &Topic) -> Option<Box<ChannelServer>> {
        let mut server = self.joins.remove(topic)?;
        self.fastlane_changed = true;
        self.topics.remove(&server.id);
        self.forget_presence(server.id);
        self.abort_tasks(server.id);
        self.unsubscribe_all(&mut server);
        Some(server)
    }
}
