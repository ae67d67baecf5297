//! A session without actors; the input plays the rest of the broker. The model checks that the socket replies to each
//! request at most once and to each join exactly once, that it stays within its limits, and that no channel panics.

use std::collections::{HashMap, VecDeque};
use std::net::Ipv4Addr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_util::FutureExt;

use super::fake_registry::{Command, FakeRegistry};
use super::hello::METRICS;
use crate::broker::registry::permits::{CommandBudget, Permit};
use crate::channels::channel::Router;
use crate::channels::effect::Effect;
use crate::channels::task_future::TaskFuture;
use crate::config::schema::Limits;
use crate::connections::connection::{Connection, ConnectionId};
use crate::connections::envelope::SocketEvent;
use crate::connections::limits::{ConnectionLimits, QueueLimit, Timeouts};
use crate::connections::token_bucket::SharedTokenBucket;
use crate::connections::writer::JoinIds;
use crate::memory::MemoryBudget;
use crate::message::{
    Broadcast, DeliveryStatus, Inbound, JoinId, Outbound, Payload, PresenceChange, Reach, Ref, Request, Signal, TaskId,
};
use crate::protocol::{Decoded, Delivery, Frame, Protocol};
use crate::sessions::settings::SocketSettings;
use crate::sessions::socket::{Dispatch, Socket};
use crate::topic::{Realm, Topic};

/// How much longer than the largest input message an output message may be: the standard channels add their own fields.
const OVERHEAD: usize = 1_024;
/// The capacity of the registry's command queue, in bytes.
const QUEUE_BYTES: usize = 1_000_000;

/// Does what `session.rs` does, and what surrounds a session.
pub(super) struct SessionModel<P> {
    protocol: P,
    socket: Socket,
    registry: FakeRegistry,
    budget: Arc<CommandBudget>,
    /// Futures that have not been polled yet.
    tasks: VecDeque<(TaskId, TaskFuture)>,
    /// The joins whose broadcasts take the fast lane past the socket.
    fastlane: JoinIds,
    /// Takes the whole command budget, so that every further command is refused as overloaded.
    blocking_permit: Option<Permit>,
    now: Instant,
    status: DeliveryStatus,
    /// How often each `ref` was used in a request, in a join, and in a reply.
    requested: HashMap<Option<Ref>, usize>,
    joins: HashMap<Option<Ref>, usize>,
    replied: HashMap<Option<Ref>, usize>,
    /// Size of the largest message received, in bytes.
    largest: usize,
    pub(super) is_closed: bool,
}

impl<P: Protocol> SessionModel<P> {
    pub(super) fn new(realm: Realm, router: Arc<Router>, limits: &Limits, protocol: P) -> Self {
        let (now, minute) = (Instant::now(), Duration::from_secs(60));
        let timeouts = Timeouts { idle: minute, join: minute, ping_interval: None };
        let queue = QueueLimit { bytes: limits.queue_bytes, age: minute };
        let settings = Arc::new(SocketSettings::new(realm, router, limits.clone()));
        let connection_limits =
            Arc::new(ConnectionLimits { timeouts, queue, clock: Arc::default(), memory: MemoryBudget::new(0) });
        let not_found = Arc::new(SharedTokenBucket::full(settings.not_found, now));
        let connection = Connection::new(ConnectionId(1), Ipv4Addr::LOCALHOST.into(), connection_limits, not_found);
        let (metrics, budget, connection) = (METRICS.clone(), CommandBudget::new(QUEUE_BYTES), Arc::new(connection));
        let socket = Socket::new(settings, metrics, budget.clone(), connection, "websocket", Default::default(), now);
        Self {
            protocol,
            socket,
            registry: FakeRegistry::default(),
            budget,
            tasks: VecDeque::new(),
            fastlane: JoinIds::new(),
            blocking_permit: None,
            now,
            status: DeliveryStatus::Delivered,
            requested: HashMap::new(),
            joins: HashMap::new(),
            replied: HashMap::new(),
            largest: 0,
            is_closed: false,
        }
    }

    // ---- the client

    pub(super) fn receive(&mut self, frame: &Frame) {
        self.largest = self.largest.max(frame.size());
        match self.protocol.decode(frame) {
            Ok(Some(Decoded::Request(inbound))) => {
                count_request(&mut self.requested, &mut self.joins, &inbound);
                self.socket.receive(inbound, self.now);
            }
            Ok(Some(Decoded::Respond(frame))) => {
                self.socket.take_message_token(self.now);
                self.check_size(&frame);
            }
            Ok(Some(Decoded::Close(_))) | Err(_) => self.is_closed = true,
            Ok(None) => drop(self.socket.take_message_token(self.now)),
        }
        self.run_effects();
    }

    fn check_size(&self, frame: &Frame) {
        let most = 6 * self.largest + OVERHEAD;
        assert!(frame.size() <= most, "{} bytes are sent for at most {} received", frame.size(), self.largest);
    }

    // ---- the session

    pub(super) fn run_effects(&mut self) {
        while !self.is_closed {
            while let Some(effect) = self.socket.next_effect() {
                self.run_effect(effect);
                if self.is_closed {
                    return;
                }
            }
            match self.protocol.next_step() {
                Some(Decoded::Request(inbound)) => {
                    count_request(&mut self.requested, &mut self.joins, &inbound);
                    self.socket.receive(inbound, self.now);
                }
                Some(Decoded::Respond(frame)) => self.check_size(&frame),
                Some(Decoded::Close(_)) => self.is_closed = true,
                None => break,
            }
        }
        if let Some((join, _)) = self.socket.next_presence().filter(|_| !self.is_closed) {
            self.registry.send(Command::Presence(join), None);
        }
    }

    fn run_effect(&mut self, effect: Effect) {
        match effect {
            Effect::Send(outbound) => self.send(&outbound),
            Effect::Subscribe { join, topic, mut membership, replaces, permit } => {
                membership.subscribe_presence = membership.subscribe_presence && self.socket.begin_presence(join);
                self.registry.send(Command::Subscribe { join, topic, membership, replaces }, Some(permit));
            }
            Effect::Unsubscribe(join) => self.registry.send(Command::Unsubscribe(join), None),
            Effect::Broadcast { broadcast, reach, .. } => self.broadcast(broadcast, reach),
            Effect::Signal { signal, broadcast } => self.signal(signal, &broadcast),
            Effect::Watch { join, topic, on, permit } => {
                if on {
                    self.registry.send(Command::Watch(join, topic), Some(permit));
                }
            }
            Effect::Presence { change, .. } => {
                assert!(!matches!(&change, PresenceChange::Update(meta) if !meta.is_object()), "{change:?}");
            }
            Effect::Spawn { id, future } => self.tasks.push_back((id, future)),
            Effect::Close(_) => self.is_closed = true,
        }
    }

    fn send(&mut self, outbound: &Outbound) {
        if let Outbound::Reply { reference, .. } | Outbound::Alive { reference } = outbound {
            let replied = self.replied.entry(reference.clone()).or_default();
            *replied += 1;
            let requested = self.requested.get(reference).copied().unwrap_or_default();
            assert!(*replied <= requested, "{reference:?} was requested {requested} times: {outbound:?}");
        }
        if let Ok(Some(frame)) = self.protocol.encode(outbound) {
            self.check_size(&frame);
        }
    }

    fn broadcast(&mut self, broadcast: Broadcast, reach: Reach) {
        let delivery = Delivery::new(broadcast);
        match reach {
            Reach::Echoed => self.check_broadcast_size(&delivery),
            Reach::Members => self.deliver(&delivery),
            Reach::Others => {}
        }
    }

    fn check_broadcast_size(&self, delivery: &Delivery) {
        if let Some(frame) = delivery.frame::<P>() {
            self.check_size(&frame);
        }
    }

    /// Delivers a broadcast to the socket, once for each of its memberships in the topic.
    fn deliver(&mut self, delivery: &Delivery) {
        for join in self.registry.members_of(&delivery.broadcast.topic) {
            self.deliver_for(join, delivery);
        }
    }

    fn deliver_for(&mut self, join: JoinId, delivery: &Delivery) {
        let (is_in_fastlane, is_joining) = (self.is_in_fastlane(join), self.socket.is_joining());
        let dispatch = self.socket.broadcast(join, delivery, self.now);
        assert!(
            !is_in_fastlane || dispatch == Dispatch::Fastlane,
            "{join:?} is in the fast lane, but handles the broadcast"
        );
        assert!(
            is_in_fastlane || dispatch == Dispatch::Handled || is_joining || delivery.is_once_per_client(),
            "{join:?} is not in the fast lane, but does not handle the broadcast"
        );
        if dispatch == Dispatch::Fastlane {
            self.check_broadcast_size(delivery);
        }
    }

    fn is_in_fastlane(&mut self, join: JoinId) -> bool {
        if let Some(fastlane) = self.socket.take_fastlane_update() {
            self.fastlane = fastlane;
        }
        self.fastlane.contains(&join)
    }

    fn signal(&mut self, signal: Signal, broadcast: &Broadcast) {
        let to_self = !self.registry.members_of(&signal.to).is_empty();
        let status = if to_self { DeliveryStatus::Delivered } else { self.status };
        let is_held =
            signal.hold.is_some() && (self.socket.is_waiting_for(&signal.to) || status == DeliveryStatus::Absent);
        if is_held {
            self.socket.hold_sent_to(&signal.to);
            return match self.budget.take(broadcast.payload.len()) {
                Some(permit) => self.registry.send(Command::HeldSignal(signal), Some(permit)),
                None => self.socket.delivery_known(signal, DeliveryStatus::Overloaded),
            };
        }
        if to_self {
            self.deliver(&Delivery::new(broadcast.clone()));
        }
        self.socket.delivery_known(signal, status);
    }

    // ---- the rest of the broker

    /// Runs the event with this letter. Any other byte advances the clock by that many milliseconds.
    pub(super) fn event(&mut self, event: u8) {
        match event {
            b'g' => self.registry.run_next(true, self.status),
            b'r' => self.registry.run_next(false, self.status),
            b'm' => self.read_event(),
            b't' => self.run_task(),
            b'e' => self.registry.evict(0),
            b'E' => self.registry.evict(1),
            b'l' => self.registry.lag(0),
            b'L' => self.registry.lag(1),
            b'd' => self.status = DeliveryStatus::Delivered,
            b'a' => self.status = DeliveryStatus::Absent,
            b'o' => self.status = DeliveryStatus::Overloaded,
            b'u' => self.status = DeliveryStatus::Unreachable,
            b'f' => self.blocking_permit = self.blocking_permit.take().or_else(|| self.budget.take(QUEUE_BYTES)),
            b'F' => self.blocking_permit = None,
            b'b' | b'B' => self.receive_broadcast(usize::from(event)),
            millis => self.now += Duration::from_millis(u64::from(millis)),
        }
        self.run_effects();
    }

    fn read_event(&mut self) {
        if let Some(event) = self.registry.next_event() {
            self.socket.handle_event(event, self.now);
        }
    }

    /// Polls the oldest future; the futures of these channels are ready immediately.
    fn run_task(&mut self) {
        let Some((id, future)) = self.tasks.pop_front() else { return };
        if future.run().now_or_never().expect("a future that is ready").is_ok() {
            self.socket.handle_event(SocketEvent::TaskDone(id), self.now);
        }
    }

    fn receive_broadcast(&mut self, n: usize) {
        let Some((join, topic)) = self.registry.nth(n) else { return };
        let broadcast = Broadcast { topic, event: "msg".into(), payload: Payload::empty() };
        self.deliver(&Delivery::new(broadcast.clone()));
        let other = Topic::of("", "nobody's");
        let both = [other.clone(), broadcast.topic.clone()].into();
        let other = Delivery::new(Broadcast { topic: other, ..broadcast });
        self.deliver_for(join, &Delivery::to_any(other.broadcast.clone(), both));
        assert_eq!(self.socket.broadcast(join, &other, self.now), Dispatch::Handled, "a broadcast of another topic");
        assert!(!self.is_in_fastlane(JoinId(u32::MAX)));
        assert_eq!(self.socket.broadcast(JoinId(u32::MAX), &other, self.now), Dispatch::Handled);
    }

    // ---- the guarantees

    pub(super) fn check(&self) {
        let audit = self.socket.audit();
        let most = audit.max_joins;
        assert!(audit.joins <= most, "{} topics are joined, the limit is {most}", audit.joins);
        assert!(audit.subscriptions_left <= most, "{} of {most} subscriptions are left", audit.subscriptions_left);
        let subscriptions = most - audit.subscriptions_left;
        assert_eq!(audit.topics + audit.left, audit.joins + subscriptions, "unknown joins");
        assert_eq!(METRICS.channel_crashes.get(), 0, "a channel has panicked");
        assert!(self.is_closed || audit.pending_effects == 0);
        assert!(audit.max_superseded <= most, "{} superseded joins wait with one join", audit.max_superseded);
        assert!(audit.max_backlog <= audit.backlog_room, "{} messages wait for a join", audit.max_backlog);
        assert!(audit.tasks_left <= audit.max_tasks, "tasks are returned twice");
        assert_eq!(audit.held_signals, self.registry.held(), "waiting signals");
    }

    /// Runs every pending command and event. Then every join has a reply, and the socket's memberships are those of the
    /// registry.
    pub(super) fn settle(&mut self) {
        while !self.registry.is_idle() || !self.tasks.is_empty() {
            self.registry.run_next(true, DeliveryStatus::Delivered);
            self.read_event();
            self.run_task();
            self.run_effects();
        }
        self.check();
        if self.is_closed {
            return;
        }
        for (reference, joins) in &self.joins {
            let replied = self.replied.get(reference).copied().unwrap_or_default();
            assert!(replied >= *joins, "{reference:?} joined {joins} times, and has {replied} replies");
        }
        assert!(!self.socket.is_joining());
        let audit = self.socket.audit();
        assert_eq!(audit.tasks_left, audit.max_tasks, "tasks that never ran");
        assert_eq!(audit.waiting_joins, 0, "messages wait for ever");
        assert_eq!(audit.waiting_lists, 0, "presence lists wait for ever");
        assert_eq!(self.registry.members(), audit.topics, "memberships");
        assert_eq!(audit.held_signals, 0, "signals wait for ever");
    }

    pub(super) fn end(&mut self) {
        self.socket.disconnect(self.now);
        let audit = self.socket.audit();
        assert_eq!((audit.joins, audit.topics), (0, 0));
        while let Some(effect) = self.socket.next_effect() {
            assert!(
                matches!(effect, Effect::Broadcast { .. } | Effect::Signal { .. }),
                "{effect:?} after disconnecting"
            );
        }
        self.blocking_permit = None;
        assert_eq!(self.budget.bytes(), 0, "a permit was not returned");
    }
}

fn count_request(
    requested: &mut HashMap<Option<Ref>, usize>,
    joins: &mut HashMap<Option<Ref>, usize>,
    inbound: &Inbound<'_>,
) {
    *requested.entry(inbound.reference.clone()).or_default() += 1;
    if matches!(inbound.request, Request::Join(_)) {
        *joins.entry(inbound.reference.clone()).or_default() += 1;
    }
}
