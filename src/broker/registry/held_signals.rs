//! Signals that wait for an absent peer, by the name that they are for.
//!
//! What waits is bounded in time, in number and bytes for each name, in bytes for each client IP and in all: no client
//! IP can fill the space of the others. Signals are delivered in the order in which they came, before anything that is
//! sent to the name later: the sender of a signal that waits sends what follows through the registry too.

use std::collections::VecDeque;
use std::collections::hash_map::{Entry, HashMap};
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Instant;

use crate::broker::adapter::Packet;
use crate::config::schema::HeldSignals as Options;
use crate::connections::connection::{Connection, Member};
use crate::connections::envelope::SocketEvent;
use crate::connections::ip_limits::network;
use crate::message::{Broadcast, DeliveryStatus, Signal};
use crate::protocol::Delivery;
use crate::topic::Topic;

/// A signal that waits for the owner of its name.
pub(crate) struct HeldSignal {
    pub(crate) from: Arc<Connection>,
    pub(crate) signal: Signal,
    pub(crate) delivery: Arc<Delivery>,
}

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
pub(super) struct HeldSignals {
    options: Options,
    bytes: usize,
    queues: HashMap<Topic, NameQueue>,
    /// How many of the bytes each address has sent. One that has sent none has no entry.
    shares: HashMap<IpAddr, usize>,
}

impl HeldSignals {
    pub(super) fn new(options: Options) -> Self {
        Self { options, bytes: 0, queues: HashMap::new(), shares: HashMap::new() }
    }

    pub(super) fn has(&self, name: &Topic) -> bool {
        self.queues.contains_key(name)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.queues.is_empty()
    }

    /// How many signals wait.
    pub(super) fn count(&self) -> usize {
        self.queues.values().map(|queue| queue.signals.len()).sum()
    }

    /// How many bytes they take.
    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    /// Whether there is room for one more.
    pub(super) fn has_room(&self, signal: &HeldSignal) -> bool {
        let (options, size) = (&self.options, signal.delivery.size());
        let queue = self.queues.get(&signal.signal.to);
        let (count, bytes) = queue.map_or((0, 0), |queue| (queue.signals.len(), queue.bytes));
        let share = self.shares.get(&signal.sender()).copied().unwrap_or_default();
        count < options.signals_per_name
            && bytes + size <= options.bytes_per_name
            && share + size <= options.bytes_per_ip
            && self.bytes + size <= options.bytes
    }

    /// The queue for the name of `signal`; a new one ends as that one says.
    fn queue(&mut self, signal: &HeldSignal, now: Instant) -> &mut NameQueue {
        let until = now + signal.signal.hold.unwrap_or_default();
        self.queues.entry(signal.signal.to.clone()).or_insert_with(|| NameQueue::new(until))
    }

    /// Opens the queue of a name for which the other nodes are asked to take `signal`.
    pub(super) fn await_cluster(&mut self, signal: &HeldSignal, now: Instant) {
        self.queue(signal, now).asking = true;
    }

    pub(super) fn put(&mut self, signal: HeldSignal, now: Instant) {
        let size = signal.delivery.size();
        self.add_usage(signal.sender(), size);
        let queue = self.queue(&signal, now);
        queue.bytes += size;
        queue.signals.push_back(signal);
    }

    /// Puts one that was asked about elsewhere before those that came after it.
    pub(super) fn requeue(&mut self, signal: HeldSignal) {
        let Some(queue) = self.queues.get_mut(&signal.signal.to) else { return signal.settle(DeliveryStatus::Absent) };
        let (sender, size) = (signal.sender(), signal.delivery.size());
        queue.bytes += size;
        queue.asking = false;
        queue.signals.push_front(signal);
        self.add_usage(sender, size);
    }

    pub(super) fn take(&mut self, name: &Topic) -> VecDeque<HeldSignal> {
        let Some(queue) = self.queues.remove(name) else { return VecDeque::new() };
        queue.signals.iter().for_each(|signal| self.subtract_usage(signal.sender(), signal.delivery.size()));
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
    pub(super) fn expired(&self, now: Instant) -> Vec<Topic> {
        self.queues
            .iter()
            .filter(|(_, queue)| queue.until <= now && !queue.asking)
            .map(|(name, _)| name.clone())
            .collect()
    }
}

impl HeldSignal {
    /// The name that it is for.
    pub(super) fn name(&self) -> &Topic {
        &self.signal.to
    }

    /// Whose share it takes.
    fn sender(&self) -> IpAddr {
        network(self.from.address)
    }

    pub(super) fn packet(&self) -> Packet {
        let Broadcast { event, payload, .. } = &self.delivery.broadcast;
        Packet::Broadcast { event: event.clone(), payload: payload.clone() }
    }

    /// Hands it to the one who has the name by now.
    pub(super) fn deliver(self, members: &[Member]) {
        let now = Instant::now();
        let taken = members.iter().map(|member| member.connection.deliver(member.join, &self.delivery, now));
        let delivered = taken.filter(Result::is_ok).count() > 0;
        self.settle(if delivered { DeliveryStatus::Delivered } else { DeliveryStatus::Overloaded });
    }

    /// Tells the sender what became of it.
    pub(super) fn settle(self, verdict: DeliveryStatus) {
        let _ = self.from.send_event(SocketEvent::DeliveryStatus(self.signal, verdict));
    }
}
