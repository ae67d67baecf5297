//! A session without actors, with a world around it that the input rules. The socket answers each request at most
//! once, and each join exactly once; it keeps no more than its limits allow; no channel panics.

use std::collections::{HashMap, VecDeque};
use std::net::Ipv4Addr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::hello::METRICS;
use super::registry::{Order, Registry};
use futures_util::FutureExt;

use crate::broker::registry::permits::{CommandBudget, Permit};
use crate::channels::channel::Router;
use crate::channels::effect::Effect;
use crate::channels::tasks::TaskFuture;
use crate::config::schema::Limits;
use crate::connections::connection::{Connection, ConnectionId};
use crate::connections::envelope::SocketEvent;
use crate::connections::limits::{ConnectionLimits, QueueLimit, Timeouts};
use crate::connections::token_bucket::SharedTokenBucket;
use crate::connections::writer::JoinIds;
use crate::message::{
    Broadcast, DeliveryStatus, Inbound, JoinId, Outbound, Payload, PresenceChange, Reach, Ref, Request, Signal, TaskId,
};
use crate::protocol::{Decoded, Delivery, Frame, Protocol};
use crate::sessions::settings::SocketSettings;
use crate::sessions::socket::channel_server::QueuedPush;
use crate::sessions::socket::{Dispatch, Socket};
use crate::topic::{Realm, Topic};

/// How much longer than what it answers an answer may be: everything the standard channels say by themselves.
const MORE: usize = 1_024;
/// How much may wait for the registry, in bytes.
const ROOM: usize = 1_000_000;

/// What `session.rs` does, and what it is part of.
pub(super) struct TransportHandler<P> {
    protocol: P,
    socket: Socket,
    registry: Registry,
    budget: Arc<CommandBudget>,
    /// Futures that have not been polled yet.
    tasks: VecDeque<(TaskId, TaskFuture)>,
    /// What passes the socket by.
    lane: JoinIds,
    /// While it is there, there is no other turn to be had.
    busy: Option<Permit>,
    now: Instant,
    verdict: DeliveryStatus,
    /// How often each mark was used in a request, in one to join, and in an answer.
    asked: HashMap<Option<Ref>, usize>,
    joins: HashMap<Option<Ref>, usize>,
    answered: HashMap<Option<Ref>, usize>,
    /// Bytes of the largest message that came.
    largest: usize,
    pub(super) is_over: bool,
}

impl<P: Protocol> TransportHandler<P> {
    pub(super) fn new(realm: Realm, router: Arc<Router>, limits: &Limits, protocol: P) -> Self {
        let (now, time) = (Instant::now(), Duration::from_secs(60));
        let timeouts = Timeouts { idle: time, join: time, ping_interval: None };
        let queue = QueueLimit { bytes: limits.queue_bytes, age: time };
        let rules = Arc::new(SocketSettings::new(realm, router, limits.clone()));
        let connection_limits = Arc::new(ConnectionLimits { timeouts, queue });
        let misses = Arc::new(SharedTokenBucket::full(rules.not_found, now));
        let connection = Connection::new(ConnectionId(1), Ipv4Addr::LOCALHOST.into(), connection_limits, misses);
        let (metrics, budget, connection) = (METRICS.clone(), CommandBudget::new(ROOM), Arc::new(connection));
        let socket = Socket::new(rules, metrics, budget.clone(), connection, "websocket", Default::default(), now);
        Self {
            protocol,
            socket,
            registry: Registry::default(),
            budget,
            tasks: VecDeque::new(),
            lane: JoinIds::new(),
            busy: None,
            now,
            verdict: DeliveryStatus::Delivered,
            asked: HashMap::new(),
            joins: HashMap::new(),
            answered: HashMap::new(),
            largest: 0,
            is_over: false,
        }
    }

    // ---- the client

    pub(super) fn says(&mut self, frame: &Frame) {
        self.largest = self.largest.max(frame.size());
        match self.protocol.decode(frame) {
            Ok(Some(Decoded::Request(inbound))) => {
                note(&mut self.asked, &mut self.joins, &inbound);
                self.socket.receive(inbound, self.now);
            }
            Ok(Some(Decoded::Respond(frame))) => {
                self.socket.take_message_token(self.now);
                self.hear(&frame);
            }
            Ok(Some(Decoded::Close(_))) | Err(_) => self.is_over = true,
            Ok(None) => drop(self.socket.take_message_token(self.now)),
        }
        self.carry_out();
    }

    fn hear(&self, frame: &Frame) {
        let most = 6 * self.largest + MORE;
        assert!(frame.size() <= most, "{} bytes are said of at most {}", frame.size(), self.largest);
    }

    // ---- the session

    pub(super) fn carry_out(&mut self) {
        while !self.is_over {
            while let Some(effect) = self.socket.next_effect() {
                self.effect(effect);
                if self.is_over {
                    return;
                }
            }
            match self.protocol.next_step() {
                Some(Decoded::Request(inbound)) => {
                    note(&mut self.asked, &mut self.joins, &inbound);
                    self.socket.receive(inbound, self.now);
                }
                Some(Decoded::Respond(frame)) => self.hear(&frame),
                Some(Decoded::Close(_)) => self.is_over = true,
                None => return,
            }
        }
    }

    fn effect(&mut self, effect: Effect) {
        match effect {
            Effect::Send(outbound) => self.send(&outbound),
            Effect::Subscribe { join, topic, membership, replaces, permit } => {
                self.registry.order(Order::Subscribe { join, topic, membership, replaces }, Some(permit));
            }
            Effect::Unsubscribe(join) => self.registry.order(Order::Unsubscribe(join), None),
            Effect::Broadcast { broadcast, reach } => self.broadcast(broadcast, reach),
            Effect::Signal { signal, broadcast } => self.signal(signal, &broadcast),
            Effect::Watch { join, topic, on, permit } => {
                if on {
                    self.registry.order(Order::Watch(join, topic), Some(permit));
                }
            }
            Effect::Presence { change, .. } => {
                assert!(!matches!(&change, PresenceChange::Update(meta) if !meta.is_object()), "{change:?}");
            }
            Effect::Spawn { id, future } => self.tasks.push_back((id, future)),
            Effect::Close(_) => self.is_over = true,
        }
    }

    fn send(&mut self, outbound: &Outbound) {
        if let Outbound::Reply { reference, .. } | Outbound::Alive { reference } = outbound {
            let answered = self.answered.entry(reference.clone()).or_default();
            *answered += 1;
            let asked = self.asked.get(reference).copied().unwrap_or_default();
            assert!(*answered <= asked, "{reference:?} was asked {asked} times: {outbound:?}");
        }
        if let Ok(Some(frame)) = self.protocol.encode(outbound) {
            self.hear(&frame);
        }
    }

    fn broadcast(&mut self, broadcast: Broadcast, reach: Reach) {
        let delivery = Delivery::new(broadcast);
        match reach {
            Reach::Echoed => self.hear_of(&delivery),
            Reach::Members => self.deliver(&delivery),
            Reach::Others => {}
        }
    }

    fn hear_of(&self, delivery: &Delivery) {
        if let Some(frame) = delivery.frame::<P>() {
            self.hear(&frame);
        }
    }

    /// Brings what a topic is told to the socket, once for each of its memberships.
    fn deliver(&mut self, delivery: &Delivery) {
        for join in self.registry.members_of(&delivery.broadcast.topic) {
            let (passes, is_joining) = (self.passes(join), self.socket.is_joining());
            let passage = self.socket.broadcast(join, &delivery.broadcast, self.now);
            assert!(!passes || passage == Dispatch::Fastlane, "{join:?} does not hear what passes it by");
            assert!(passes || passage == Dispatch::Handled || is_joining, "{join:?} is asked in vain");
            if passage == Dispatch::Fastlane {
                self.hear_of(delivery);
            }
        }
    }

    fn passes(&mut self, join: JoinId) -> bool {
        if let Some(lane) = self.socket.take_fastlane_update() {
            self.lane = lane;
        }
        self.lane.contains(&join)
    }

    fn signal(&mut self, signal: Signal, broadcast: &Broadcast) {
        let to_itself = !self.registry.members_of(&signal.to).is_empty();
        let verdict = if to_itself { DeliveryStatus::Delivered } else { self.verdict };
        let must_wait =
            signal.hold.is_some() && (self.socket.is_waiting_for(&signal.to) || verdict == DeliveryStatus::Absent);
        if must_wait {
            self.socket.hold_sent_to(&signal.to);
            return match self.budget.take(broadcast.payload.len()) {
                Some(permit) => self.registry.order(Order::HeldSignal(signal), Some(permit)),
                None => self.socket.delivery_known(signal, DeliveryStatus::Overloaded),
            };
        }
        if to_itself {
            self.deliver(&Delivery::new(broadcast.clone()));
        }
        self.socket.delivery_known(signal, verdict);
    }

    // ---- the world

    /// One thing happens, by its letter; any other byte lets the time pass.
    pub(super) fn happens(&mut self, event: u8) {
        match event {
            b'g' => self.registry.carry_out(true, self.verdict),
            b'r' => self.registry.carry_out(false, self.verdict),
            b'm' => self.read_note(),
            b't' => self.run_task(),
            b'e' => self.registry.evict(0),
            b'E' => self.registry.evict(1),
            b'd' => self.verdict = DeliveryStatus::Delivered,
            b'a' => self.verdict = DeliveryStatus::Absent,
            b'o' => self.verdict = DeliveryStatus::Overloaded,
            b'u' => self.verdict = DeliveryStatus::Unreachable,
            b'f' => self.busy = self.busy.take().or_else(|| self.budget.take(ROOM)),
            b'F' => self.busy = None,
            b'b' | b'B' => self.others_say(usize::from(event)),
            time => self.now += Duration::from_millis(u64::from(time)),
        }
        self.carry_out();
    }

    fn read_note(&mut self) {
        if let Some(note) = self.registry.next_note() {
            self.socket.handle_event(note, self.now);
        }
    }

    /// Polls the future that has waited longest: those of the channels here are ready at once.
    fn run_task(&mut self) {
        let Some((id, future)) = self.tasks.pop_front() else { return };
        if future.run().now_or_never().expect("a future that is ready").is_ok() {
            self.socket.handle_event(SocketEvent::TaskDone(id), self.now);
        }
    }

    fn others_say(&mut self, n: usize) {
        let Some((join, topic)) = self.registry.nth(n) else { return };
        let broadcast = Broadcast { topic, event: "msg".into(), payload: Payload::empty() };
        self.deliver(&Delivery::new(broadcast.clone()));
        let elsewhere = Broadcast { topic: Topic::of("", "nobody's"), ..broadcast };
        assert_eq!(self.socket.broadcast(join, &elsewhere, self.now), Dispatch::Handled, "what is not its own");
        assert!(!self.passes(JoinId(u32::MAX)));
        assert_eq!(self.socket.broadcast(JoinId(u32::MAX), &elsewhere, self.now), Dispatch::Handled);
    }

    // ---- what must hold

    pub(super) fn check(&self) {
        let (socket, most) = (&self.socket, self.socket.settings.limits.joins_per_socket);
        assert!(socket.joins.len() <= most, "{} topics are joined", socket.joins.len());
        assert!(
            socket.client.subscriptions_left <= most,
            "{} of {most} topics are left to hear",
            socket.client.subscriptions_left
        );
        let heard = most - socket.client.subscriptions_left;
        assert_eq!(socket.topics.len(), socket.joins.len() + heard, "joins that nobody knows");
        assert_eq!(METRICS.channel_crashes.get(), 0, "a channel has panicked");
        assert!(self.is_over || socket.effects.is_empty());
        for joined in socket.joins.values() {
            assert!(joined.superseded() <= most, "{} joins wait with one", joined.superseded());
            let backlog = joined.backlog_len();
            let room = socket.settings.limits.queue_bytes / size_of::<QueuedPush>() + 1;
            assert!(backlog <= room, "{backlog} messages wait for a join");
        }
        assert!(socket.client.tasks_left <= socket.settings.limits.tasks_per_socket, "tasks are given back twice");
        let waiting: u32 = socket.waiting.values().sum();
        assert_eq!(waiting as usize, self.registry.held(), "signals that wait");
    }

    /// All that was asked is answered by the world; then every join has its answer, and the socket is where the
    /// registry says it is.
    pub(super) fn settle(&mut self) {
        while !self.registry.is_idle() || !self.tasks.is_empty() {
            self.registry.carry_out(true, DeliveryStatus::Delivered);
            self.read_note();
            self.run_task();
            self.carry_out();
        }
        self.check();
        if self.is_over {
            return;
        }
        for (mark, joins) in &self.joins {
            let answered = self.answered.get(mark).copied().unwrap_or_default();
            assert!(answered >= *joins, "{mark:?} was to join {joins} times, and answered {answered} times");
        }
        assert!(!self.socket.is_joining());
        let (left, most) = (self.socket.client.tasks_left, self.socket.settings.limits.tasks_per_socket);
        assert_eq!(left, most, "tasks that nobody runs");
        assert!(self.socket.joins.values().all(|joined| !joined.is_waiting()), "messages that wait for ever");
        assert_eq!(self.registry.members(), self.socket.topics.len(), "who is where");
        assert!(self.socket.waiting.is_empty(), "signals that wait for ever");
    }

    pub(super) fn end(&mut self) {
        self.socket.disconnect(self.now);
        assert!(self.socket.joins.is_empty() && self.socket.topics.is_empty());
        while let Some(effect) = self.socket.next_effect() {
            assert!(matches!(effect, Effect::Broadcast { .. } | Effect::Signal { .. }), "{effect:?} after the end");
        }
        self.busy = None;
        assert_eq!(self.budget.bytes(), 0, "a turn that nobody has");
    }
}

fn note(asked: &mut HashMap<Option<Ref>, usize>, joins: &mut HashMap<Option<Ref>, usize>, inbound: &Inbound<'_>) {
    *asked.entry(inbound.reference.clone()).or_default() += 1;
    if matches!(inbound.request, Request::Join(_)) {
        *joins.entry(inbound.reference.clone()).or_default() += 1;
    }
}
