//! Kinds of series: numbers that only grow, numbers of what there is, and times, each kept apart by protocol
//! and by one [`Label`]. Which there are is [`metrics`](crate::metrics::families)' to say.
//!
//! Every series is there from the beginning, and whoever counts finds its own by an index: counting is one
//! relaxed addition, without a look at a name and without a lock.

use std::fmt;
use std::marker::PhantomData;
use std::time::Duration;

use prometheus::core::Collector;
use prometheus::{Histogram, HistogramOpts, IntCounter, IntCounterVec, IntGauge, IntGaugeVec};
use prometheus::{Opts, Registry};

use crate::topic::Realm;

/// What all names of ours begin with.
pub(crate) const NAMESPACE: &str = "handclasp";
/// Upper bounds of the buckets for times, in seconds: from a queue that is read at once to `limits.queue_age`.
const SECONDS: [f64; 14] =
    [0.000_05, 0.000_1, 0.000_25, 0.000_5, 0.001, 0.002_5, 0.005, 0.01, 0.025, 0.05, 0.1, 0.5, 1.0, 5.0];
/// Why nothing here can fail.
pub(crate) const SOUND: &str = "names and labels are declared once: every node that starts tries them";

/// One of a closed list of values that a counter is told apart by.
pub trait Label: Copy + Send + Sync + 'static {
    /// What the list is called in a series: `reason` of `reason="origin"`. Empty for a list of one.
    const KEY: &'static str;
    /// The list, each where [`at`](Self::at) says.
    const ALL: &'static [Self];

    /// What this one is called in a series.
    fn name(self) -> &'static str;

    /// Where in the list it is.
    fn at(self) -> usize;
}

/// A number that only grows, where no protocol is known yet.
pub struct Counter(IntCounter);

impl Counter {
    pub(crate) fn new(registry: &Registry, name: &str, help: &str) -> Self {
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

/// Numbers that only grow, one for each value of `L`, where no protocol is known.
pub struct CounterVec<L: Label> {
    series: Vec<IntCounter>,
    list: PhantomData<L>,
}

impl<L: Label> CounterVec<L> {
    pub(crate) fn new(registry: &Registry, name: &str, help: &str) -> Self {
        let family = IntCounterVec::new(Opts::new(name, help).namespace(NAMESPACE), &[L::KEY]).expect(SOUND);
        let series = L::ALL.iter().map(|label| family.with_label_values(&[label.name()])).collect();
        register(registry, family);
        Self { series, list: PhantomData }
    }

    pub(crate) fn inc(&self, label: L) {
        self.series[label.at()].inc();
    }

    /// How many there have been of this kind.
    #[must_use]
    pub fn of(&self, label: L) -> u64 {
        self.series[label.at()].get()
    }
}

impl<L: Label> fmt::Debug for CounterVec<L> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map().entries(L::ALL.iter().map(|label| (label.name(), self.of(*label)))).finish()
    }
}

/// Numbers that only grow, one for each protocol and each value of `L`.
pub struct ProtocolCounterVec<L: Label = ()> {
    series: Vec<IntCounter>,
    list: PhantomData<L>,
}

impl<L: Label> ProtocolCounterVec<L> {
    pub(crate) fn new(registry: &Registry, name: &str, help: &str) -> Self {
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

impl<L: Label> fmt::Debug for ProtocolCounterVec<L> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map().entries(L::ALL.iter().map(|label| (label.name(), self.of(*label)))).finish()
    }
}

/// Numbers of what there is now, one for each protocol and each value of `L`.
pub struct GaugeVec<L: Label> {
    series: Vec<IntGauge>,
    list: PhantomData<L>,
}

impl<L: Label> GaugeVec<L> {
    pub(crate) fn new(registry: &Registry, name: &str, help: &str) -> Self {
        let keys = keys::<L>();
        let family = IntGaugeVec::new(Opts::new(name, help).namespace(NAMESPACE), &keys).expect(SOUND);
        let series = values::<L>().map(|values| family.with_label_values(&values[..keys.len()])).collect();
        register(registry, family);
        Self { series, list: PhantomData }
    }

    /// Counts one more for as long as what this returns is kept.
    pub(crate) fn one(&self, realm: Realm, label: L) -> GaugeGuard {
        let gauge = self.series[at(realm, label)].clone();
        gauge.inc();
        GaugeGuard(gauge)
    }

    /// How many there are.
    #[must_use]
    pub fn get(&self) -> i64 {
        self.series.iter().map(IntGauge::get).sum()
    }
}

impl<L: Label> fmt::Debug for GaugeVec<L> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.get().fmt(f)
    }
}

/// One of what a gauge counts.
pub(crate) struct GaugeGuard(IntGauge);

impl Drop for GaugeGuard {
    fn drop(&mut self) {
        self.0.dec();
    }
}

/// How long something took, for each protocol.
pub struct HistogramVec(Vec<Histogram>);

impl HistogramVec {
    pub(crate) fn new(registry: &Registry, name: &str, help: &str) -> Self {
        let terms = HistogramOpts::new(name, help).namespace(NAMESPACE).buckets(SECONDS.to_vec());
        let family = prometheus::HistogramVec::new(terms, &[Realm::KEY]).expect(SOUND);
        let series = Realm::ALL.iter().map(|realm| family.with_label_values(&[realm.name()])).collect();
        register(registry, family);
        Self(series)
    }

    pub(crate) fn add(&self, realm: Realm, time: Duration) {
        self.0[realm.at()].observe(time.as_secs_f64());
    }

    /// How often it was measured.
    #[must_use]
    pub fn get(&self) -> u64 {
        self.0.iter().map(Histogram::get_sample_count).sum()
    }
}

impl fmt::Debug for HistogramVec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.get().fmt(f)
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

pub(crate) fn register(registry: &Registry, family: impl Collector + 'static) {
    registry.register(Box::new(family)).expect(SOUND);
}
