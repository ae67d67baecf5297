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
use crate::config;
use crate::connections::connection::Member;
use crate::connections::ip_limits::network;
use crate::connections::mail::SocketEvent;
use crate::message::{Broadcast, DeliveryStatus};
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
    terms: config::Hold,
    bytes: usize,
    queues: HashMap<Topic, NameQueue>,
    /// How many of the bytes each address has sent. One that has sent none has no entry.
    shares: HashMap<IpAddr, usize>,
    sweeping: bool,
}

impl HeldSignals {
    pub(crate) fn new(terms: config::Hold) -> Self {
        Self { terms, bytes: 0, queues: HashMap::new(), shares: HashMap::new(), sweeping: false }
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
        let (terms, size) = (&self.terms, hold.delivery.size());
        let queue = self.queues.get(&hold.signal.to);
        let (count, bytes) = queue.map_or((0, 0), |queue| (queue.signals.len(), queue.bytes));
        let share = self.shares.get(&hold.sender()).copied().unwrap_or_default();
        count < terms.signals_per_name
            && bytes + size <= terms.bytes_per_name
            && share + size <= terms.bytes_per_address
            && self.bytes + size <= terms.bytes
    }

    /// The queue for the name of `hold`; a new one ends as that one says.
    fn queue(&mut self, hold: &HeldSignal, now: Instant) -> &mut NameQueue {
        let until = now + hold.signal.hold.unwrap_or_default();
        self.queues.entry(hold.signal.to.clone()).or_insert_with(|| NameQueue::new(until))
    }

    fn put(&mut self, hold: HeldSignal, now: Instant) {
        let size = hold.delivery.size();
        self.charge(hold.sender(), size);
        let queue = self.queue(&hold, now);
        queue.bytes += size;
        queue.signals.push_back(hold);
    }

    /// Puts one that was asked about elsewhere before those that came after it.
    fn put_first(&mut self, hold: HeldSignal) {
        let Some(queue) = self.queues.get_mut(&hold.signal.to) else { return hold.settle(DeliveryStatus::Absent) };
        let (sender, size) = (hold.sender(), hold.delivery.size());
        queue.bytes += size;
        queue.asking = false;
        queue.signals.push_front(hold);
        self.charge(sender, size);
    }

    fn take(&mut self, name: &Topic) -> VecDeque<HeldSignal> {
        let Some(queue) = self.queues.remove(name) else { return VecDeque::new() };
        queue.signals.iter().for_each(|hold| self.give_back(hold.sender(), hold.delivery.size()));
        queue.signals
    }

    fn charge(&mut self, sender: IpAddr, bytes: usize) {
        self.bytes += bytes;
        *self.shares.entry(sender).or_default() += bytes;
    }

    fn give_back(&mut self, sender: IpAddr, bytes: usize) {
        self.bytes -= bytes;
        if let Entry::Occupied(mut share) = self.shares.entry(sender) {
            *share.get_mut() -= bytes;
            if *share.get() == 0 {
                share.remove();
            }
        }
    }

    /// Names for which the wait is over.
    fn overdue(&self, now: Instant) -> Vec<Topic> {
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
        let taken = members.iter().map(|member| member.connection.deliver(member.join, &self.delivery, now));
        let delivered = taken.filter(Result::is_ok).count() > 0;
        self.settle(if delivered { DeliveryStatus::Delivered } else { DeliveryStatus::Overloaded });
    }

    /// Tells the sender what became of it.
    fn settle(self, verdict: DeliveryStatus) {
        let _ = self.from.tell(SocketEvent::DeliveryStatus(self.signal, verdict));
    }
}

impl Registry {
    /// Somebody here has taken the name: what waits for it is theirs.
    pub(crate) fn hand_over(&mut self, wish: &Subscribe) {
        if !self.holds.has(&wish.topic) {
            return;
        }
        let cared = self.cares(&wish.topic);
        let member = [wish.member()];
        self.holds.take(&wish.topic).into_iter().for_each(|hold| hold.deliver(&member));
        self.show_interest(&wish.topic, cared);
    }

    /// Another node has taken the name: what waits for it is sent there.
    pub(crate) fn send_after(&mut self, name: &Topic) {
        let cared = self.cares(name);
        for hold in self.holds.take(name) {
            let answer = self.adapter.deliver(name, hold.packet());
            actix::spawn(async move { hold.settle(answer.await) });
        }
        self.show_interest(name, cared);
    }

    fn expire_later(&mut self, ctx: &mut Context<Self>) {
        if self.holds.queues.is_empty() || std::mem::replace(&mut self.holds.sweeping, true) {
            return;
        }
        ctx.run_later(SWEEP, |registry, ctx| {
            registry.holds.sweeping = false;
            for name in registry.holds.overdue(Instant::now()) {
                let cared = registry.cares(&name);
                let expired = registry.holds.take(&name);
                registry.metrics.messages_lost.add(name.realm(), DropReason::Expired, expired.len() as u64);
                expired.into_iter().for_each(|hold| hold.settle(DeliveryStatus::Absent));
                registry.show_interest(&name, cared);
            }
            if !registry.holds.queues.is_empty() {
                registry.expire_later(ctx);
            }
        });
    }
}

impl Registry {
    pub(crate) fn hold(&mut self, hold: HeldSignal, ctx: &mut Context<Self>) {
        let name = hold.signal.to.clone();
        // it may have been taken meanwhile
        if let Some(members) = self.table.members(name.key()) {
            return hold.deliver(&members);
        }
        let cared = self.cares(&name);
        if !self.holds.has_room(&hold) {
            hold.settle(DeliveryStatus::Overloaded);
        } else if self.holds.has(&name) {
            self.holds.put(hold, Instant::now());
        } else {
            self.ask_elsewhere(hold, ctx);
        }
        self.show_interest(&name, cared);
        self.expire_later(ctx);
    }

    /// Nobody here has the name, and nothing waits for it: perhaps another node has it.
    fn ask_elsewhere(&mut self, hold: HeldSignal, ctx: &mut Context<Self>) {
        let mut answer = self.adapter.deliver(&hold.signal.to, hold.packet());
        match (&mut answer).now_or_never() {
            Some(DeliveryStatus::Absent) => self.holds.put(hold, Instant::now()),
            Some(verdict) => hold.settle(verdict),
            None => {
                self.holds.queue(&hold, Instant::now()).asking = true;
                ctx.spawn(answer.into_actor(self).map(|verdict, registry, _| registry.answered(hold, verdict)));
            }
        }
    }

    fn answered(&mut self, hold: HeldSignal, verdict: DeliveryStatus) {
        if verdict == DeliveryStatus::Absent {
            return self.holds.put_first(hold);
        }
        let name = hold.signal.to.clone();
        hold.settle(verdict);
        self.send_after(&name);
    }
}
