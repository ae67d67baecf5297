//! Names and counters: what a node has done since it started. Counting is all that happens here.
//!
//! Every series is there from the beginning, and whoever counts finds its own by an index: counting is one
//! relaxed addition, without a look at a name and without a lock.

use std::fmt;
use std::marker::PhantomData;

use prometheus::core::Collector;
use prometheus::{IntCounter, IntCounterVec, IntGauge, IntGaugeVec, Opts, Registry};

use crate::close::Reason;
use crate::labels::{Barred, Label, Lost, Transport, Unheard, Unjoined};
use crate::message::Verdict;
use crate::topic::Realm;

/// What all names of ours begin with.
pub(crate) const NAMESPACE: &str = "handclasp";
/// Why nothing here can fail.
const SOUND: &str = "names and labels are declared once, in this file: every node that starts tries them";

/// A node's counters, each for every protocol.
#[derive(Debug)]
pub struct Metrics {
    /// Connections that are open now.
    pub connections: Gauges<Transport>,
    /// Connections that were let in.
    pub connections_opened: Counters<Transport>,
    /// Requests for a connection that were refused.
    pub connections_refused: Counters<Barred>,
    /// Connections that have ended, by us or by their client.
    pub connections_closed: Counters<&'static Reason>,
    /// Connections that came to no request that could be read in time: the first, or the next one.
    pub connections_mute: Counter,
    /// Memberships granted: joins, and what their channels listen to besides.
    pub joins: Counters,
    /// Joins refused.
    pub joins_refused: Counters<Unjoined>,
    /// Messages from clients.
    pub messages: Counters,
    /// Messages from clients that were answered with an error.
    pub messages_refused: Counters<Unheard>,
    /// Messages lost.
    pub messages_lost: Counters<Lost>,
    /// Messages put into the queues of members.
    pub delivered: Counters,
    /// What became of messages to named peers.
    pub signals: Counters<Verdict>,
    /// Channels that panicked.
    pub channel_crashes: Counters,
}

impl Default for Metrics {
    fn default() -> Self {
        let r = &Registry::new();
        Self {
            connections: Gauges::new(r, "connections", "Connections that are open now, by how they came."),
            connections_opened: Counters::new(r, "connections_opened_total", "Connections that were let in."),
            connections_refused: Counters::new(
                r,
                "connections_refused_total",
                "Requests for a connection that were refused.",
            ),
            connections_closed: Counters::new(
                r,
                "connections_closed_total",
                "Connections that have ended: gone and left are the client's doing, the others ours.",
            ),
            connections_mute: Counter::new(
                r,
                "connections_mute_total",
                "Connections that came to no request that could be read in time: the first, or the next one.",
            ),
            joins: Counters::new(
                r,
                "joins_total",
                "Memberships granted: joins, and what their channels listen to besides.",
            ),
            joins_refused: Counters::new(r, "joins_refused_total", "Joins refused."),
            messages: Counters::new(r, "messages_received_total", "Messages from clients."),
            messages_refused: Counters::new(
                r,
                "messages_refused_total",
                "Messages from clients that were answered with an error; refused joins and signals count elsewhere.",
            ),
            messages_lost: Counters::new(r, "messages_lost_total", "Messages lost on their way to a client."),
            delivered: Counters::new(r, "deliveries_total", "Messages put into the queues of members."),
            signals: Counters::new(r, "signals_total", "Messages to named peers, by what became of them."),
            channel_crashes: Counters::new(r, "channel_crashes_total", "Channels that panicked."),
        }
    }
}

/// A number that only grows, where no protocol is known yet.
pub struct Counter(IntCounter);

impl Counter {
    fn new(registry: &Registry, name: &str, help: &str) -> Self {
        let counter = IntCounter::with_opts(Opts::new(name, help).namespace(NAMESPACE)).expect(SOUND);
        register(registry, counter.clone());
        Self(counter)
    }

    pub(crate) fn inc(&self) {
        self.0.inc();
    }

    /// How much it is now.
    #[must_use]
    pub fn get(&self) -> u64 {
        self.0.get()
    }
}

impl fmt::Debug for Counter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.get().fmt(f)
    }
}

/// Numbers that only grow, one for each protocol and each value of `L`.
pub struct Counters<L: Label = ()> {
    series: Vec<IntCounter>,
    list: PhantomData<L>,
}

impl<L: Label> Counters<L> {
    fn new(registry: &Registry, name: &str, help: &str) -> Self {
        let keys = keys::<L>();
        let family = IntCounterVec::new(Opts::new(name, help).namespace(NAMESPACE), &keys).expect(SOUND);
        let series = values::<L>().map(|values| family.with_label_values(&values[..keys.len()])).collect();
        register(registry, family);
        Self { series, list: PhantomData }
    }

    pub(crate) fn add(&self, realm: Realm, label: L, n: u64) {
        self.series[at(realm, label)].inc_by(n);
    }

    /// How many there have been of this kind, in all protocols.
    #[must_use]
    pub fn of(&self, label: L) -> u64 {
        Realm::ALL.iter().map(|realm| self.series[at(*realm, label)].get()).sum()
    }

    /// How many there have been in all.
    #[must_use]
    pub fn get(&self) -> u64 {
        self.series.iter().map(IntCounter::get).sum()
    }
}

impl<L: Label> fmt::Debug for Counters<L> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map().entries(L::ALL.iter().map(|label| (label.name(), self.of(*label)))).finish()
    }
}

/// Numbers of what there is now, one for each protocol and each value of `L`.
pub struct Gauges<L: Label> {
    series: Vec<IntGauge>,
    list: PhantomData<L>,
}

impl<L: Label> Gauges<L> {
    fn new(registry: &Registry, name: &str, help: &str) -> Self {
        let keys = keys::<L>();
        let family = IntGaugeVec::new(Opts::new(name, help).namespace(NAMESPACE), &keys).expect(SOUND);
        let series = values::<L>().map(|values| family.with_label_values(&values[..keys.len()])).collect();
        register(registry, family);
        Self { series, list: PhantomData }
    }

    /// Counts one more for as long as what this returns is kept.
    pub(crate) fn one(&self, realm: Realm, label: L) -> One {
        let gauge = self.series[at(realm, label)].clone();
        gauge.inc();
        One(gauge)
    }

    /// How many there are.
    #[must_use]
    pub fn get(&self) -> i64 {
        self.series.iter().map(IntGauge::get).sum()
    }
}

impl<L: Label> fmt::Debug for Gauges<L> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.get().fmt(f)
    }
}

/// One of what a gauge counts.
pub(crate) struct One(IntGauge);

impl Drop for One {
    fn drop(&mut self) {
        self.0.dec();
    }
}

/// Where the series of a protocol and a label is.
fn at<L: Label>(realm: Realm, label: L) -> usize {
    realm.at() * L::ALL.len() + label.at()
}

/// The names of a family's labels: the protocol, and `L` unless it tells nothing apart.
fn keys<L: Label>() -> Vec<&'static str> {
    [Realm::KEY, L::KEY].into_iter().filter(|key| !key.is_empty()).collect()
}

/// The values of those, in the order of the series.
fn values<L: Label>() -> impl Iterator<Item = [&'static str; 2]> {
    Realm::ALL.iter().flat_map(|realm| L::ALL.iter().map(|label| [realm.name(), label.name()]))
}

fn register(registry: &Registry, family: impl Collector + 'static) {
    registry.register(Box::new(family)).expect(SOUND);
}
