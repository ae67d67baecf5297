//! Signals that wait for somebody to take the name they are for. A part of the registry, which alone knows
//! for certain that nobody is there, and is the first to know when somebody is.
//!
//! What waits is bounded in time, and in number and bytes for each name and in all. It is delivered in
//! the order in which it came, before anything that is sent to the name later, since a sender of
//! something that waits sends what follows here too.

use std::collections::{HashMap, VecDeque};
use std::time::{Duration, Instant};

use actix::{AsyncContext, Context, Handler};

use crate::adapter::Packet;
use crate::config;
use crate::mailbox::{Mail, Note, Refused};
use crate::message::{Broadcast, Verdict};
use crate::orders::{Hold, Subscribe};
use crate::registry::Registry;
use crate::topic::Topic;

/// How often those are looked for that have waited too long.
const SWEEP: Duration = Duration::from_millis(250);

/// What waits for one name, and until when: the first decides for all, as in PeerServer.
struct Queue {
    until: Instant,
    bytes: usize,
    signals: VecDeque<Hold>,
}

/// Name to what waits for it. A name for which nothing waits has no entry.
pub(crate) struct Holds {
    terms: config::Hold,
    bytes: usize,
    queues: HashMap<Topic, Queue>,
    sweeping: bool,
}

impl Holds {
    pub(crate) fn new(terms: config::Hold) -> Self {
        Self { terms, bytes: 0, queues: HashMap::new(), sweeping: false }
    }

    pub(crate) fn has(&self, name: &Topic) -> bool {
        self.queues.contains_key(name)
    }

    /// How many signals wait.
    pub(crate) fn count(&self) -> usize {
        self.queues.values().map(|queue| queue.signals.len()).sum()
    }

    /// Keeps one more, or gives it back when there is no room.
    fn put(&mut self, hold: Hold, now: Instant) -> Result<(), Hold> {
        let size = hold.delivery.size();
        let queue = self.queues.get(&hold.signal.to);
        let (count, bytes) = queue.map_or((0, 0), |queue| (queue.signals.len(), queue.bytes));
        let terms = &self.terms;
        if count >= terms.signals_per_name || bytes + size > terms.bytes_per_name || self.bytes + size > terms.bytes {
            return Err(hold);
        }
        self.bytes += size;
        let until = now + hold.signal.hold.unwrap_or_default();
        let queue = self.queues.entry(hold.signal.to.clone());
        let queue = queue.or_insert_with(|| Queue { until, bytes: 0, signals: VecDeque::new() });
        queue.bytes += size;
        queue.signals.push_back(hold);
        Ok(())
    }

    fn take(&mut self, name: &Topic) -> VecDeque<Hold> {
        let Some(queue) = self.queues.remove(name) else { return VecDeque::new() };
        self.bytes -= queue.bytes;
        queue.signals
    }

    /// Names for which the wait is over.
    fn overdue(&self, now: Instant) -> Vec<Topic> {
        self.queues.iter().filter(|(_, queue)| queue.until <= now).map(|(name, _)| name.clone()).collect()
    }
}

impl Hold {
    /// Tells the sender what became of it.
    fn settle(self, verdict: Verdict) {
        let _ = self.from.tell(Note::Verdict(self.signal, verdict));
    }
}

impl Registry {
    /// Somebody here has taken the name: what waits for it is theirs.
    pub(crate) fn hand_over(&mut self, wish: &Subscribe) {
        if !self.holds.has(&wish.topic) {
            return;
        }
        let cared = self.cares(&wish.topic);
        let now = Instant::now();
        for hold in self.holds.take(&wish.topic) {
            let verdict = match wish.connection.mailbox.push(Mail::Delivery(wish.join, hold.delivery.clone()), now) {
                Ok(()) => Verdict::Delivered,
                Err(Refused::Full) => Verdict::Overloaded,
                Err(Refused::Closed) => Verdict::Absent,
            };
            hold.settle(verdict);
        }
        self.show_interest(&wish.topic, cared);
    }

    /// Another node has taken the name: what waits for it is sent there.
    pub(crate) fn send_after(&mut self, name: &Topic) {
        let cared = self.cares(name);
        for hold in self.holds.take(name) {
            let Broadcast { event, payload, .. } = &hold.delivery.broadcast;
            let packet = Packet::Broadcast { event: event.clone(), payload: payload.clone() };
            let answer = self.adapter.deliver(name, packet);
            actix::spawn(async move { hold.settle(answer.await) });
        }
        self.show_interest(name, cared);
    }

    fn expire_later(&mut self, ctx: &mut Context<Self>) {
        if std::mem::replace(&mut self.holds.sweeping, true) {
            return;
        }
        ctx.run_later(SWEEP, |registry, ctx| {
            registry.holds.sweeping = false;
            for name in registry.holds.overdue(Instant::now()) {
                let cared = registry.cares(&name);
                registry.holds.take(&name).into_iter().for_each(|hold| hold.settle(Verdict::Absent));
                registry.show_interest(&name, cared);
            }
            if registry.holds.count() > 0 {
                registry.expire_later(ctx);
            }
        });
    }
}

impl Handler<Hold> for Registry {
    type Result = ();

    fn handle(&mut self, hold: Hold, ctx: &mut Self::Context) {
        let name = hold.signal.to.clone();
        // it may have been taken meanwhile
        if let Some(members) = self.table.members(name.key()) {
            let now = Instant::now();
            let mail = |join| Mail::Delivery(join, hold.delivery.clone());
            let taken = members.iter().map(|member| member.connection.mailbox.push(mail(member.join), now));
            let delivered = taken.filter(Result::is_ok).count() > 0;
            return hold.settle(if delivered { Verdict::Delivered } else { Verdict::Overloaded });
        }
        let cared = self.cares(&name);
        match self.holds.put(hold, Instant::now()) {
            Ok(()) => {
                self.show_interest(&name, cared);
                self.expire_later(ctx);
            }
            Err(hold) => hold.settle(Verdict::Overloaded),
        }
    }
}
