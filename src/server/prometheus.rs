//! A node's metrics as Prometheus reads them: what was counted, and with it what there is at this moment, asked
//! for when somebody reads and at no other time.

use std::sync::Arc;
use std::time::{Duration, Instant};

use prometheus::core::{Collector, Desc};
use prometheus::process_collector::ProcessCollector;
use prometheus::proto::MetricFamily;
use prometheus::{Gauge, IntCounter, IntGauge, Opts, Registry, TextEncoder};
use tokio::time::timeout;

use crate::broker::registry::command::RegistryStats;
use crate::connections::hub::QueueTotals;
use crate::http::node_state::NodeState;
use crate::metrics::instruments::{NAMESPACE, SOUND, register};

/// How long the registry has for its answer; without it there are no sizes.
const PATIENCE: Duration = Duration::from_secs(2);

/// What a node tells of itself.
pub(crate) struct Exporter {
    node: Arc<NodeState>,
    /// The application's own numbers.
    custom: Registry,
    state: NodeGauges,
    sizes: RegistryGauges,
}

impl Exporter {
    pub(crate) fn new(node: Arc<NodeState>, custom: Registry) -> Self {
        Self { node, custom, state: NodeGauges::new(), sizes: RegistryGauges::new() }
    }

    /// All of it, in Prometheus' text format.
    pub(crate) async fn text(&self) -> prometheus::Result<String> {
        let census = timeout(PATIENCE, self.node.pubsub.census()).await;
        let mut families = self.node.pubsub.metrics().registry.gather();
        let registry_bytes = self.node.pubsub.budget().bytes();
        self.state.set(self.node.is_ready(), self.node.hub.queue_totals(), registry_bytes);
        families.extend(self.state.registry.gather());
        families.extend(self.custom.gather());
        if let Ok(census) = census {
            self.sizes.set(census);
            families.extend(self.sizes.registry.gather());
        }
        TextEncoder::new().encode_to_string(&families)
    }
}

/// A number of the application's own, which only grows, and which it is asked for when somebody reads.
pub(crate) struct CustomCounter {
    counter: IntCounter,
    read: Box<dyn Fn() -> u64 + Send + Sync>,
}

impl CustomCounter {
    /// # Errors
    /// When Prometheus knows no such names.
    pub(crate) fn new(name: &str, help: &str, read: Box<dyn Fn() -> u64 + Send + Sync>) -> prometheus::Result<Self> {
        Ok(Self { counter: IntCounter::new(name, help)?, read })
    }
}

impl Collector for CustomCounter {
    fn desc(&self) -> Vec<&Desc> {
        self.counter.desc()
    }

    fn collect(&self) -> Vec<MetricFamily> {
        self.counter.inc_by((self.read)().saturating_sub(self.counter.get()));
        self.counter.collect()
    }
}

/// What can be seen without anybody's answer.
struct NodeGauges {
    registry: Registry,
    ready: IntGauge,
    waiting_connections: IntGauge,
    waiting_messages: IntGauge,
    waiting_bytes: IntGauge,
    waiting_most: IntGauge,
    waiting_time: Gauge,
    registry_bytes: IntGauge,
}

impl NodeGauges {
    fn new() -> Self {
        let registry = Registry::new();
        register(&registry, ProcessCollector::for_self());
        let version = Opts::new("build_info", "The version, as a label; always 1.").namespace(NAMESPACE);
        let build = IntGauge::with_opts(version.const_label("version", env!("CARGO_PKG_VERSION"))).expect(SOUND);
        build.set(1);
        register(&registry, build);
        Self {
            ready: number(&registry, "ready", "1 if the node accepts clients, 0 during a drain."),
            waiting_connections: number(&registry, "queue_connections", "Connections with queued messages."),
            waiting_messages: number(&registry, "queue_messages", "Messages in the queues of all connections."),
            waiting_bytes: number(
                &registry,
                "queue_bytes",
                "Size of the queues of all connections, counted like limits.queue_bytes.",
            ),
            waiting_most: number(&registry, "queue_max_bytes", "Size of the largest queue."),
            waiting_time: seconds(&registry, "queue_oldest_seconds", "Age of the oldest queued message."),
            registry_bytes: number(
                &registry,
                "registry_queue_bytes",
                "Size of the registry's command queue, counted like limits.registry_queue_bytes.",
            ),
            registry,
        }
    }

    fn set(&self, is_ready: bool, totals: QueueTotals, registry_bytes: usize) {
        let QueueTotals { connections, messages, bytes, most_bytes, since } = totals;
        self.ready.set(is_ready.into());
        set(&self.waiting_connections, connections);
        set(&self.waiting_messages, messages);
        set(&self.waiting_bytes, bytes);
        set(&self.waiting_most, most_bytes);
        set(&self.registry_bytes, registry_bytes);
        self.waiting_time.set(since.map_or(0.0, |since| Instant::now().duration_since(since).as_secs_f64()));
    }
}

/// What the registry holds.
struct RegistryGauges {
    registry: Registry,
    topics: IntGauge,
    members: IntGauge,
    names: IntGauge,
    watches: IntGauge,
    presence_entries: IntGauge,
    held: IntGauge,
    held_bytes: IntGauge,
}

impl RegistryGauges {
    fn new() -> Self {
        let registry = Registry::new();
        Self {
            topics: number(&registry, "topics", "Topics with members on this node."),
            members: number(&registry, "members", "Memberships of topics."),
            names: number(&registry, "names", "Names owned by one client, such as peer ids."),
            watches: number(&registry, "watches", "Watches of topics."),
            presence_entries: number(&registry, "presence_entries", "Presence entries."),
            held: number(&registry, "held_signals", "Signals held for absent peers."),
            held_bytes: number(&registry, "held_bytes", "Size of the held signals."),
            registry,
        }
    }

    fn set(&self, census: RegistryStats) {
        let RegistryStats { connections: _, topics, members, names, watches, presence_entries, held, held_bytes } =
            census;
        set(&self.topics, topics);
        set(&self.members, members);
        set(&self.names, names);
        set(&self.watches, watches);
        set(&self.presence_entries, presence_entries);
        set(&self.held, held);
        set(&self.held_bytes, held_bytes);
    }
}

fn number(registry: &Registry, name: &str, help: &str) -> IntGauge {
    let gauge = IntGauge::with_opts(Opts::new(name, help).namespace(NAMESPACE)).expect(SOUND);
    register(registry, gauge.clone());
    gauge
}

fn seconds(registry: &Registry, name: &str, help: &str) -> Gauge {
    let gauge = Gauge::with_opts(Opts::new(name, help).namespace(NAMESPACE)).expect(SOUND);
    register(registry, gauge.clone());
    gauge
}

fn set(gauge: &IntGauge, number: usize) {
    gauge.set(i64::try_from(number).unwrap_or(i64::MAX));
}
