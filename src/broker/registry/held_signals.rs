//! Signals that wait for somebody to take the name they are for. A part of the registry, which alone knows
//! for certain that nobody is there, and is the first to know when somebody is.
//!
//! What waits is bounded in time, in number and bytes for each name, and in bytes for each address that it comes
//! from and in all: no address can keep everybody else's out. It is delivered in the order in which it came, before
//! anything that is sent to the name later, since a sender of something that waits sends what follows here too.

use std::collections::VecDeque;
use std::collections::hash_map::{Entry, HashMap};
use std::net::IpAddr;
use std::time::{Duration, Instant};

use actix::{AsyncContext, Context, WrapFuture, fut::ActorFutureExt};
use futures_util::FutureExt;

use crate::broker::adapter::Packet;
use crate::broker::registry::Registry;
use crate::broker::registry::command::{HeldSignal, Subscribe};
use crate::broker::topic_table::Members;
use crate::config;
use crate::connections::connection::Member;
use crate::connections::envelope::SocketEvent;
use crate::connections::ip_limits::network;
use crate::message::{Broadcast, DeliveryStatus, JoinId};
use crate::metrics::labels::DropReason;
use crate::topic::Topic;

/// How often those are looked for that have waited too long.
const SWEEP: Duration = Duration::from_millis(250);

/// What waits for one name, and until when: the first decides for all, as in PeerServer.
struct NameQueue {
    until: Instant,
    bytes: usize,
    signals: VecDeque<HeldSignal>,
    /// Whether another node has been asked to take the one that came before all of these.
    asking: bool,
}

impl NameQueue {
    fn new(until: Instant) -> Self {
        Self { until, bytes: 0, signals: VecDeque::new(), asking: false }
    }
}

/// Name to what waits for it. A name for which nothing waits has no entry.
pub(crate) struct HeldSignals {
    options: config::Hold,
    bytes: usize,
    queues: HashMap<Topic, NameQueue>,
    /// How many of the bytes each address has sent. One that has sent none has no entry.
    shares: HashMap<IpAddr, usize>,
    sweeping: bool,
}

impl HeldSignals {
    pub(crate) fn new(options: config::Hold) -> Self {
        Self { options, bytes: 0, queues: HashMap::new(), shares: HashMap::new(), sweeping: false }
    }

    pub(crate) fn has(&self, name: &Topic) -> bool {
        self.queues.contains_key(name)
    }

    /// How many signals wait.
    pub(crate) fn count(&self) -> usize {
        self.queues.values().map(|queue| queue.signals.len()).sum()
    }

    /// How many bytes they take.
    pub(crate) fn bytes(&self) -> usize {
        self.bytes
    }

    /// Whether there is room for one more.
    fn has_room(&self, hold: &HeldSignal) -> bool {
        let (options, size) = (&self.options, hold.delivery.size());
        let queue = self.queues.get(&hold.signal.to);
        let (count, bytes) = queue.map_or((0, 0), |queue| (queue.signals.len(), queue.bytes));
        let share = self.shares.get(&hold.sender()).copied().unwrap_or_default();
        count < options.signals_per_name
            && bytes + size <= options.bytes_per_name
            && share + size <= options.bytes_per_address
            && self.bytes + size <= options.bytes
    }

    /// The queue for the name of `hold`; a new one ends as that one says.
    fn queue(&mut self, hold: &HeldSignal, now: Instant) -> &mut NameQueue {
        let until = now + hold.signal.hold.unwrap_or_default();
        self.queues.entry(hold.signal.to.clone()).or_insert_with(|| NameQueue::new(until))
    }

    fn put(&mut self, hold: HeldSignal, now: Instant) {
        let size = hold.delivery.size();
        self.add_usage(hold.sender(), size);
        let queue = self.queue(&hold, now);
        queue.bytes += size;
        queue.signals.push_back(hold);
    }

    /// Puts one that was asked about elsewhere before those that came after it.
    fn requeue(&mut self, hold: HeldSignal) {
        let Some(queue) = self.queues.get_mut(&hold.signal.to) else { return hold.settle(DeliveryStatus::Absent) };
        let (sender, size) = (hold.sender(), hold.delivery.size());
        queue.bytes += size;
        queue.asking = false;
        queue.signals.push_front(hold);
        self.add_usage(sender, size);
    }

    fn take(&mut self, name: &Topic) -> VecDeque<HeldSignal> {
        let Some(queue) = self.queues.remove(name) else { return VecDeque::new() };
        queue.signals.iter().for_each(|hold| self.subtract_usage(hold.sender(), hold.delivery.size()));
        queue.signals
    }

    fn add_usage(&mut self, sender: IpAddr, bytes: usize) {
        self.bytes += bytes;
        *self.shares.entry(sender).or_default() += bytes;
    }

    fn subtract_usage(&mut self, sender: IpAddr, bytes: usize) {
        self.bytes -= bytes;
        if let Entry::Occupied(mut share) = self.shares.entry(sender) {
            *share.get_mut() -= bytes;
            if *share.get() == 0 {
                share.remove();
            }
        }
    }

    /// Names for which the wait is over.
    fn expired(&self, now: Instant) -> Vec<Topic> {
        self.queues
            .iter()
            .filter(|(_, queue)| queue.until <= now && !queue.asking)
            .map(|(name, _)| name.clone())
            .collect()
    }
}

impl HeldSignal {
    /// Whose share it takes.
    fn sender(&self) -> IpAddr {
        network(self.from.address)
    }

    fn packet(&self) -> Packet {
        let Broadcast { event, payload, .. } = &self.delivery.broadcast;
        Packet::Broadcast { event: event.clone(), payload: payload.clone() }
    }

    /// Hands it to the one who has the name by now.
    fn deliver(self, members: &[Member]) {
        let now = Instant::now();
        let deliver = |member: &&Member| member.connection.deliver(member.join, &self.delivery, now).is_ok();
        let taken = members.iter().filter(deliver);
        let delivered = taken.filter(|member| member.join != JoinId::SERVER).count() > 0;
        self.settle(if delivered { DeliveryStatus::Delivered } else { DeliveryStatus::Overloaded });
    }

    /// Tells the sender what became of it.
    fn settle(self, verdict: DeliveryStatus) {
        let _ = self.from.send_event(SocketEvent::DeliveryStatus(self.signal, verdict));
    }
}

impl Registry {
    /// Somebody here has taken the name: what waits for it is theirs.
    pub(crate) fn deliver_held(&mut self, command: &Subscribe) {
        if !self.held.has(&command.topic) || command.join == JoinId::SERVER {
            return;
        }
        let was_interested = self.is_interested(&command.topic);
        let member = [command.member()];
        self.held.take(&command.topic).into_iter().for_each(|hold| hold.deliver(&member));
        self.sync_interest(&command.topic, was_interested);
    }

    /// Another node has taken the name: what waits for it is sent there.
    pub(crate) fn forward_held(&mut self, name: &Topic) {
        let was_interested = self.is_interested(name);
        for hold in self.held.take(name) {
            let answer = self.adapter.deliver(name, hold.packet());
            actix::spawn(async move { hold.settle(answer.await) });
        }
        self.sync_interest(name, was_interested);
    }

    fn expire_later(&mut self, ctx: &mut Context<Self>) {
        if self.held.queues.is_empty() || std::mem::replace(&mut self.held.sweeping, true) {
            return;
        }
        ctx.run_later(SWEEP, |registry, ctx| {
            registry.held.sweeping = false;
            for name in registry.held.expired(Instant::now()) {
                let was_interested = registry.is_interested(&name);
                let expired = registry.held.take(&name);
                registry.metrics.messages_lost.add(name.realm(), DropReason::Expired, expired.len() as u64);
                expired.into_iter().for_each(|hold| hold.settle(DeliveryStatus::Absent));
                registry.sync_interest(&name, was_interested);
            }
            if !registry.held.queues.is_empty() {
                registry.expire_later(ctx);
            }
        });
    }
}

impl Registry {
    pub(crate) fn hold_signal(&mut self, hold: HeldSignal, ctx: &mut Context<Self>) {
        let name = hold.signal.to.clone();
        // it may have been taken meanwhile
        let members = self.table.members(name.key());
        let is_held = |members: &Members| members.iter().any(|member| member.join != JoinId::SERVER);
        if let Some(members) = members.filter(is_held) {
            return hold.deliver(&members);
        }
        let was_interested = self.is_interested(&name);
        if !self.held.has_room(&hold) {
            hold.settle(DeliveryStatus::Overloaded);
        } else if self.held.has(&name) {
            self.held.put(hold, Instant::now());
        } else {
            self.query_cluster(hold, ctx);
        }
        self.sync_interest(&name, was_interested);
        self.expire_later(ctx);
    }

    /// Nobody here has the name, and nothing waits for it: perhaps another node has it.
    fn query_cluster(&mut self, hold: HeldSignal, ctx: &mut Context<Self>) {
        let mut answer = self.adapter.deliver(&hold.signal.to, hold.packet());
        match (&mut answer).now_or_never() {
            Some(DeliveryStatus::Absent) => self.held.put(hold, Instant::now()),
            Some(verdict) => hold.settle(verdict),
            None => {
                self.held.queue(&hold, Instant::now()).asking = true;
                ctx.spawn(answer.into_actor(self).map(|verdict, registry, _| registry.answered(hold, verdict)));
            }
        }
    }

    fn answered(&mut self, hold: HeldSignal, verdict: DeliveryStatus) {
        if verdict == DeliveryStatus::Absent {
            return self.held.requeue(hold);
        }
        let name = hold.signal.to.clone();
        hold.settle(verdict);
        self.forward_held(&name);
    }
}
