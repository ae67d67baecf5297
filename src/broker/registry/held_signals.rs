//! Signals held for absent peers, by the peer's name.
//!
//! Held signals are limited in time, in number and bytes for each name, in bytes for each client IP, and in total
//! bytes, so that no client IP can use up the space of the others. Signals are delivered in the order of their arrival,
//! and before anything that is sent to the name later: while a signal is held, its sender sends further signals to the
//! name through the registry too.

use std::collections::hash_map::{Entry, HashMap};
use std::collections::{BTreeMap, VecDeque};
use std::net::IpAddr;
use std::ops::Bound;
use std::sync::Arc;
use std::time::Instant;

use crate::broker::adapter::Packet;
use crate::config::schema::HeldSignals as Options;
use crate::connections::connection::{Connection, Member};
use crate::connections::envelope::SocketEvent;
use crate::connections::ip_limits::network;
use crate::connections::mailbox::PushError;
use crate::message::{DeliveryStatus, Signal};
use crate::protocol::Delivery;
use crate::topic::Topic;

/// A signal that waits until a client takes its name.
pub(crate) struct HeldSignal {
    pub(crate) from: Arc<Connection>,
    pub(crate) signal: Signal,
    pub(crate) delivery: Arc<Delivery>,
}

/// The signals held for one name.
#[derive(Default)]
struct NameQueue {
    /// When they expire. The first signal that is held by itself sets the time for all, as in PeerServer.
    until: Option<Instant>,
    bytes: usize,
    signals: VecDeque<HeldSignal>,
    /// Whether a signal that arrived before all of these was sent to the other nodes, and has no answer yet.
    is_querying: bool,
    /// Whether the first signal must be sent to the other nodes next: none of them was, or the name may have got an
    /// owner since then.
    is_due: bool,
}

/// The held signals of each name. A name without held signals has no entry.
pub(super) struct HeldSignals {
    options: Options,
    bytes: usize,
    /// Ordered, so that it can be passed over in steps.
    queues: BTreeMap<Topic, NameQueue>,
    /// How many of the bytes each client IP has sent. An IP without held signals has no entry.
    ip_usage: HashMap<IpAddr, usize>,
}

impl HeldSignals {
    pub(super) fn new(options: Options) -> Self {
        Self { options, bytes: 0, queues: BTreeMap::new(), ip_usage: HashMap::new() }
    }

    pub(super) fn has(&self, name: &Topic) -> bool {
        self.queues.contains_key(name)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.queues.is_empty()
    }

    /// The number of held signals.
    pub(super) fn count(&self) -> usize {
        self.queues.values().map(|queue| queue.signals.len()).sum()
    }

    /// The size of the held signals in bytes.
    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    /// Whether `signal` may be held without exceeding a limit. The limits of a name are for an absent peer: they do not
    /// count while the other nodes are asked, so that a peer on another node may have any number of senders.
    pub(super) fn has_room(&self, signal: &HeldSignal) -> bool {
        let (options, size) = (&self.options, signal.delivery.size());
        let empty = NameQueue::default();
        let queue = self.queues.get(&signal.signal.to).unwrap_or(&empty);
        let usage = self.ip_usage.get(&signal.sender()).copied().unwrap_or_default();
        size <= options.bytes_per_name
            && (queue.is_querying || queue.is_due || queue.has_room(options, size))
            && usage + size <= options.bytes_per_ip
            && self.bytes + size <= options.bytes
    }

    /// Removes the latest signals of a name that exceed its limits, since its peer is absent.
    pub(super) fn take_excess(&mut self, name: &Topic) -> Vec<HeldSignal> {
        let mut excess = Vec::new();
        let Some(queue) = self.queues.get_mut(name) else { return excess };
        while queue.signals.len() > self.options.signals_per_name || queue.bytes > self.options.bytes_per_name {
            let Some(latest) = queue.signals.pop_back() else { break };
            queue.bytes -= latest.delivery.size();
            excess.push(latest);
        }
        excess.iter().for_each(|signal| self.subtract_usage(signal.sender(), signal.delivery.size()));
        excess
    }

    fn queue(&mut self, signal: &HeldSignal) -> &mut NameQueue {
        let queue = self.queues.entry(signal.signal.to.clone()).or_default();
        queue.until = queue.until.or_else(|| signal.signal.hold_time().map(|time| signal.from.now() + time));
        queue
    }

    /// Opens the queue of a name while the other nodes are asked to deliver `signal`.
    pub(super) fn await_cluster(&mut self, signal: &HeldSignal) {
        self.add_usage(signal.sender(), signal.delivery.size());
        self.queue(signal).is_querying = true;
    }

    pub(super) fn put(&mut self, signal: HeldSignal) {
        let size = signal.delivery.size();
        self.add_usage(signal.sender(), size);
        let queue = self.queue(&signal);
        queue.bytes += size;
        queue.signals.push_back(signal);
    }

    /// The next names in their order, at most `limit` of them.
    pub(super) fn names_after(&self, after: Option<&Topic>, limit: usize) -> Vec<Topic> {
        let from = after.map_or(Bound::Unbounded, Bound::Excluded);
        self.queues.range::<Topic, _>((from, Bound::Unbounded)).take(limit).map(|(name, _)| name.clone()).collect()
    }

    /// The name may have an owner on another node: its first signal must be sent there.
    pub(super) fn set_due(&mut self, name: &Topic) {
        if let Some(queue) = self.queues.get_mut(name) {
            queue.is_due = true;
        }
    }

    pub(super) fn is_due(&self, name: &Topic) -> bool {
        self.queues.get(name).is_some_and(|queue| queue.is_due)
    }

    /// The first signal of a name, if it must be sent to the other nodes. It keeps its place until
    /// [`requeue`](Self::requeue) or [`answered`](Self::answered).
    pub(super) fn take_due(&mut self, name: &Topic) -> Option<HeldSignal> {
        let queue = self.queues.get_mut(name).filter(|queue| queue.is_due && !queue.is_querying)?;
        queue.is_due = false;
        let signal = queue.signals.pop_front()?;
        queue.bytes -= signal.delivery.size();
        queue.is_querying = true;
        Some(signal)
    }

    /// Another node has answered for a signal, which has no place any more.
    pub(super) fn answered(&mut self, signal: &HeldSignal) {
        self.subtract_usage(signal.sender(), signal.delivery.size());
    }

    /// Puts a signal that no other node could deliver before those that arrived after it.
    pub(super) fn requeue(&mut self, signal: HeldSignal) {
        let queue = self.queues.get_mut(&signal.signal.to).filter(|queue| queue.is_querying);
        match queue.filter(|_| signal.signal.hold_time().is_some()) {
            Some(queue) => {
                queue.is_querying = false;
                queue.bytes += signal.delivery.size();
                queue.signals.push_front(signal);
            }
            None => self.give_up(signal, DeliveryStatus::Absent),
        }
    }

    /// Settles a signal that no other node has delivered, as far as is known. Those that arrived after it wait until their
    /// time is over, or until the name may have got an owner.
    pub(super) fn give_up(&mut self, signal: HeldSignal, status: DeliveryStatus) {
        if let Some(queue) = self.queues.get_mut(&signal.signal.to) {
            queue.is_querying = false;
            if queue.signals.is_empty() {
                self.queues.remove(&signal.signal.to);
            }
        }
        self.answered(&signal);
        signal.settle(status);
    }

    pub(super) fn take(&mut self, name: &Topic) -> VecDeque<HeldSignal> {
        let Some(queue) = self.queues.remove(name) else { return VecDeque::new() };
        queue.signals.iter().for_each(|signal| self.subtract_usage(signal.sender(), signal.delivery.size()));
        queue.signals
    }

    fn add_usage(&mut self, sender: IpAddr, bytes: usize) {
        self.bytes += bytes;
        *self.ip_usage.entry(sender).or_default() += bytes;
    }

    fn subtract_usage(&mut self, sender: IpAddr, bytes: usize) {
        self.bytes -= bytes;
        if let Entry::Occupied(mut usage) = self.ip_usage.entry(sender) {
            *usage.get_mut() -= bytes;
            if *usage.get() == 0 {
                usage.remove();
            }
        }
    }

    /// The names whose held signals have expired.
    pub(super) fn expired(&self, now: Instant) -> Vec<Topic> {
        self.queues
            .iter()
            .filter(|(_, queue)| !queue.is_querying && !queue.is_due && queue.until.is_none_or(|until| until <= now))
            .map(|(name, _)| name.clone())
            .collect()
    }
}

impl NameQueue {
    fn has_room(&self, options: &Options, bytes: usize) -> bool {
        self.signals.len() < options.signals_per_name && self.bytes + bytes <= options.bytes_per_name
    }
}

impl HeldSignal {
    /// The name of the peer that it is for.
    pub(super) fn name(&self) -> &Topic {
        &self.signal.to
    }

    /// The client IP (or IPv6 network) whose limit it counts against.
    fn sender(&self) -> IpAddr {
        network(self.from.address)
    }

    pub(super) fn packet(&self) -> Packet {
        (&self.delivery.broadcast).into()
    }

    /// Delivers it to the client that has taken the name, and reports the result to the sender. Returns it if that
    /// client's connection is closed.
    pub(super) fn deliver(self, members: &[Member]) -> Option<Self> {
        let (now, mut status) = (self.from.now(), None);
        for member in members {
            let result = member.connection.deliver(member.join, &self.delivery, now);
            match result {
                _ if !member.join.is_client() => {}
                Ok(()) => status = Some(DeliveryStatus::Delivered),
                Err(PushError::Full) => status = status.or(Some(DeliveryStatus::Overloaded)),
                Err(PushError::Closed) => {}
            }
        }
        let Some(status) = status else { return Some(self) };
        self.settle(status);
        None
    }

    /// Sends the delivery status to the sender.
    pub(super) fn settle(self, status: DeliveryStatus) {
        let _ = self.from.send_event(SocketEvent::DeliveryStatus(self.signal, status));
    }
}
