//! The instruments: counters, gauges and histograms, most with one series for each protocol and each value of a [`Label`].
//! Which metrics there are is in [`families`](crate::metrics::families).
//!
//! All series exist from the start, and a series is found by its index. So counting is one relaxed addition, without a
//! lock or a lookup by name.

use std::fmt;
use std::marker::PhantomData;
use std::time::Duration;

use prometheus::core::Collector;
use prometheus::{HistogramOpts, IntCounter, IntCounterVec, IntGauge, IntGaugeVec, Opts, Registry};

use crate::topic::Realm;

/// The prefix of the node's metric names.
pub(crate) const NAMESPACE: &str = "handclasp";
/// The upper bounds of a histogram's buckets, in seconds: from a queue that is read immediately to `limits.queue_age`.
const SECONDS: [f64; 14] =
    [0.000_05, 0.000_1, 0.000_25, 0.000_5, 0.001, 0.002_5, 0.005, 0.01, 0.025, 0.05, 0.1, 0.5, 1.0, 5.0];
/// Why registering a metric cannot fail.
pub(crate) const VALID: &str =
    "metric names and labels are constant and valid: each node registers all of them when it starts";

/// A label of a metric, with a closed list of values.
pub trait Label: Copy + Send + Sync + 'static {
    /// The label's name in a series: `reason` in `reason="origin"`. Empty for a metric without such a label.
    const KEY: &'static str;
    /// All values, each at its index [`at`](Self::at).
    const ALL: &'static [Self];

    /// The value's text in a series: `origin` in `reason="origin"`.
    fn name(self) -> &'static str;

    /// The value's index in [`ALL`](Self::ALL).
    fn at(self) -> usize;
}

/// A counter without labels.
pub struct Counter(IntCounter);

impl Counter {
    pub(crate) fn new(registry: &Registry, name: &str, help: &str) -> Self {
        let counter = IntCounter::with_opts(Opts::new(name, help).namespace(NAMESPACE)).expect(VALID);
        register(registry, counter.clone());
        Self(counter)
    }

    /// Adds one.
    pub fn inc(&self) {
        self.0.inc();
    }

    /// Adds `n`.
    pub fn add(&self, n: u64) {
        self.0.inc_by(n);
    }

    /// The current value.
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

/// A gauge without labels. Clones show the same value.
#[derive(Clone)]
pub struct Gauge(IntGauge);

impl Gauge {
    pub(crate) fn new(registry: &Registry, name: &str, help: &str) -> Self {
        let gauge = IntGauge::with_opts(Opts::new(name, help).namespace(NAMESPACE)).expect(VALID);
        register(registry, gauge.clone());
        Self(gauge)
    }

    /// Sets the value.
    pub fn set(&self, value: usize) {
        self.0.set(signed(value));
    }

    /// Adds `n`.
    pub fn add(&self, n: usize) {
        self.0.add(signed(n));
    }

    /// Subtracts `n`.
    pub fn sub(&self, n: usize) {
        self.0.sub(signed(n));
    }

    /// The current value.
    #[must_use]
    pub fn get(&self) -> i64 {
        self.0.get()
    }
}

impl fmt::Debug for Gauge {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.get().fmt(f)
    }
}

/// A number as gauges hold it.
pub(crate) fn signed(number: usize) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

/// A counter for each value of `L`, without a protocol.
pub struct CounterVec<L: Label> {
    series: Vec<IntCounter>,
    label: PhantomData<L>,
}

impl<L: Label> CounterVec<L> {
    pub(crate) fn new(registry: &Registry, name: &str, help: &str) -> Self {
        let family = IntCounterVec::new(Opts::new(name, help).namespace(NAMESPACE), &[L::KEY]).expect(VALID);
        let series = L::ALL.iter().map(|label| family.with_label_values(&[label.name()])).collect();
        register(registry, family);
        Self { series, label: PhantomData }
    }

    /// Adds one to the counter of `label`.
    pub fn inc(&self, label: L) {
        self.series[label.at()].inc();
    }

    /// The counter's value for `label`.
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

/// A counter for each protocol and each value of `L`.
pub struct ProtocolCounterVec<L: Label = ()> {
    series: Vec<IntCounter>,
    label: PhantomData<L>,
}

impl<L: Label> ProtocolCounterVec<L> {
    pub(crate) fn new(registry: &Registry, name: &str, help: &str) -> Self {
        let keys = keys::<L>();
        let family = IntCounterVec::new(Opts::new(name, help).namespace(NAMESPACE), &keys).expect(VALID);
        let series = values::<L>().map(|values| family.with_label_values(&values[..keys.len()])).collect();
        register(registry, family);
        Self { series, label: PhantomData }
    }

    pub(crate) fn add(&self, realm: Realm, label: L, n: u64) {
        self.series[at(realm, label)].inc_by(n);
    }

    /// The counter's value for `label`, summed over all protocols.
    #[must_use]
    pub fn of(&self, label: L) -> u64 {
        Realm::ALL.iter().map(|realm| self.series[at(*realm, label)].get()).sum()
    }

    /// The sum of all counters.
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

/// A gauge for each protocol and each value of `L`.
pub struct GaugeVec<L: Label> {
    series: Vec<IntGauge>,
    label: PhantomData<L>,
}

impl<L: Label> GaugeVec<L> {
    pub(crate) fn new(registry: &Registry, name: &str, help: &str) -> Self {
        let keys = keys::<L>();
        let family = IntGaugeVec::new(Opts::new(name, help).namespace(NAMESPACE), &keys).expect(VALID);
        let series = values::<L>().map(|values| family.with_label_values(&values[..keys.len()])).collect();
        register(registry, family);
        Self { series, label: PhantomData }
    }

    /// Adds one to a gauge until the returned guard is dropped.
    pub(crate) fn one(&self, realm: Realm, label: L) -> GaugeGuard {
        let gauge = self.series[at(realm, label)].clone();
        gauge.inc();
        GaugeGuard(gauge)
    }

    /// The sum of all gauges.
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

/// One unit of a gauge. Dropping it subtracts one.
pub(crate) struct GaugeGuard(IntGauge);

impl Drop for GaugeGuard {
    fn drop(&mut self) {
        self.0.dec();
    }
}

/// A histogram of durations, without labels.
pub struct Histogram(prometheus::Histogram);

impl Histogram {
    pub(crate) fn new(registry: &Registry, name: &str, help: &str) -> Self {
        let histogram = prometheus::Histogram::with_opts(seconds(name, help)).expect(VALID);
        register(registry, histogram.clone());
        Self(histogram)
    }

    /// Adds a measurement.
    pub fn add(&self, time: Duration) {
        self.0.observe(time.as_secs_f64());
    }

    /// The number of measurements.
    #[must_use]
    pub fn get(&self) -> u64 {
        self.0.get_sample_count()
    }
}

impl fmt::Debug for Histogram {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.get().fmt(f)
    }
}

/// A histogram of durations for each protocol.
pub struct HistogramVec(Vec<prometheus::Histogram>);

impl HistogramVec {
    pub(crate) fn new(registry: &Registry, name: &str, help: &str) -> Self {
        let family = prometheus::HistogramVec::new(seconds(name, help), &[Realm::KEY]).expect(VALID);
        let series = Realm::ALL.iter().map(|realm| family.with_label_values(&[realm.name()])).collect();
        register(registry, family);
        Self(series)
    }

    pub(crate) fn add(&self, realm: Realm, time: Duration) {
        self.0[realm.at()].observe(time.as_secs_f64());
    }

    /// The number of measurements.
    #[must_use]
    pub fn get(&self) -> u64 {
        self.0.iter().map(prometheus::Histogram::get_sample_count).sum()
    }
}

impl fmt::Debug for HistogramVec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.get().fmt(f)
    }
}

fn seconds(name: &str, help: &str) -> HistogramOpts {
    HistogramOpts::new(name, help).namespace(NAMESPACE).buckets(SECONDS.to_vec())
}

/// The index of the series of a protocol and a label.
fn at<L: Label>(realm: Realm, label: L) -> usize {
    realm.at() * L::ALL.len() + label.at()
}

/// The names of a family's labels: the protocol, and `L` unless its name is empty.
fn keys<L: Label>() -> Vec<&'static str> {
    [Realm::KEY, L::KEY].into_iter().filter(|key| !key.is_empty()).collect()
}

/// The label values of all series, in the order of their indices.
fn values<L: Label>() -> impl Iterator<Item = [&'static str; 2]> {
    Realm::ALL.iter().flat_map(|realm| L::ALL.iter().map(|label| [realm.name(), label.name()]))
}

pub(crate) fn register(registry: &Registry, family: impl Collector + 'static) {
    registry.register(Box::new(family)).expect(VALID);
}
