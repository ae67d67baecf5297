//! A node's metrics in Prometheus' text format: its counters, and gauges that are read only when Prometheus requests
//! them. The counters are declared in [`families`](crate::metrics::families).

use std::sync::Arc;
use std::time::Duration;

use prometheus::core::{Atomic, Collector, Desc, GenericGauge};
use prometheus::process_collector::ProcessCollector;
use prometheus::proto::MetricFamily;
use prometheus::{Gauge, IntCounter, IntGauge, Opts, Registry, TextEncoder};

use crate::broker::RegistryStats;
use crate::config::cluster::Engine;
use crate::connections::hub::QueueTotals;
use crate::http::node_state::NodeState;
use crate::memory::MemoryBudget;
use crate::metrics::instruments::{NAMESPACE, VALID, register, signed};

/// How long to wait for the registry's statistics. After that, the text is returned without them.
const STATS_TIMEOUT: Duration = Duration::from_secs(2);

/// Collects the metrics of a node.
pub(super) struct Exporter {
    node: Arc<NodeState>,
    /// The application's own counters.
    custom: Registry,
    node_gauges: NodeGauges,
    registry_gauges: RegistryGauges,
}

impl Exporter {
    pub(super) fn new(node: Arc<NodeState>, custom: Registry) -> Self {
        Self { node, custom, node_gauges: NodeGauges::new(), registry_gauges: RegistryGauges::new() }
    }

    /// All metrics, in Prometheus' text format.
    pub(super) async fn text(&self) -> prometheus::Result<String> {
        let clock = self.node.pubsub.clock();
        let stats = clock.timeout(STATS_TIMEOUT, self.node.pubsub.stats()).await;
        let metrics = self.node.pubsub.metrics();
        let mut families = metrics.registry.gather();
        if self.node.config.cluster.engine != Engine::None {
            families.extend(metrics.cluster.registry.gather());
        }
        if let Some(webhooks) = self.node.pubsub.webhooks() {
            webhooks.update_gauges();
            families.extend(metrics.webhooks.registry.gather());
        }
        let registry_queue_bytes = self.node.pubsub.budget().bytes();
        let totals = self.node.hub.queue_totals();
        let age = totals.since.map_or(Duration::ZERO, |since| clock.now().saturating_duration_since(since));
        self.node_gauges.set(self.node.accepts_clients(), totals, age, registry_queue_bytes);
        let keys_age = self.node.tokens.as_ref().and_then(|tokens| tokens.keys_age()).unwrap_or_default();
        self.node_gauges.auth_keys_age.set(keys_age.as_secs_f64());
        self.node_gauges.set_memory(self.node.pubsub.memory());
        families.extend(self.node_gauges.registry.gather());
        families.extend(self.custom.gather());
        if let Ok(stats) = stats {
            self.registry_gauges.set(stats);
            families.extend(self.registry_gauges.registry.gather());
        }
        TextEncoder::new().encode_to_string(&families)
    }
}

/// A counter of the application, which is read when Prometheus requests the metrics.
pub(super) struct CustomCounter {
    counter: IntCounter,
    read: Box<dyn Fn() -> u64 + Send + Sync>,
}

impl CustomCounter {
    /// # Errors
    /// When `name` is not a valid metric name.
    pub(super) fn new(name: &str, help: &str, read: Box<dyn Fn() -> u64 + Send + Sync>) -> prometheus::Result<Self> {
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

/// Gauges that can be read without the registry.
struct NodeGauges {
    registry: Registry,
    ready: IntGauge,
    queue_connections: IntGauge,
    queue_messages: IntGauge,
    queue_bytes: IntGauge,
    queue_max_bytes: IntGauge,
    queue_age: Gauge,
    registry_queue_bytes: IntGauge,
    memory_bytes: IntGauge,
    memory_limit_bytes: IntGauge,
    auth_keys_age: Gauge,
}

impl NodeGauges {
    fn new() -> Self {
        let registry = Registry::new();
        register(&registry, ProcessCollector::for_self());
        let version = Opts::new("build_info", "The version, as a label; always 1.").namespace(NAMESPACE);
        let build = IntGauge::with_opts(version.const_label("version", env!("CARGO_PKG_VERSION"))).expect(VALID);
        build.set(1);
        register(&registry, build);
        Self {
            ready: gauge(&registry, "ready", "1 if the node accepts clients, 0 during a drain."),
            queue_connections: gauge(&registry, "queue_connections", "Connections with queued messages."),
            queue_messages: gauge(&registry, "queue_messages", "Messages in the queues of all connections."),
            queue_bytes: gauge(
                &registry,
                "queue_bytes",
                "Size of the queues of all connections, counted like limits.queue_bytes.",
            ),
            queue_max_bytes: gauge(&registry, "queue_max_bytes", "Size of the largest queue."),
            queue_age: gauge(&registry, "queue_oldest_seconds", "Age of the oldest queued message."),
            registry_queue_bytes: gauge(
                &registry,
                "registry_queue_bytes",
                "Size of the registry's command queue, counted like limits.registry_queue_bytes.",
            ),
            memory_bytes: gauge(
                &registry,
                "memory_bytes",
                "Size of what waits on the node, counted like limits.memory_bytes.",
            ),
            memory_limit_bytes: gauge(&registry, "memory_limit_bytes", "The limit of handclasp_memory_bytes."),
            auth_keys_age: gauge(
                &registry,
                "auth_keys_age_seconds",
                "Age of the keys at the URL of auth.jwks; 0 without a URL.",
            ),
            registry,
        }
    }

    fn set_memory(&self, memory: &MemoryBudget) {
        set(&self.memory_bytes, memory.used());
        set(&self.memory_limit_bytes, memory.limit());
    }

    fn set(&self, accepts_clients: bool, totals: QueueTotals, age: Duration, registry_queue_bytes: usize) {
        let QueueTotals { connections, messages, bytes, most_bytes, .. } = totals;
        self.ready.set(accepts_clients.into());
        set(&self.queue_connections, connections);
        set(&self.queue_messages, messages);
        set(&self.queue_bytes, bytes);
        set(&self.queue_max_bytes, most_bytes);
        set(&self.registry_queue_bytes, registry_queue_bytes);
        self.queue_age.set(age.as_secs_f64());
    }
}

/// Gauges of the registry's statistics.
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
            topics: gauge(&registry, "topics", "Topics with members on this node."),
            members: gauge(&registry, "members", "Memberships of topics."),
            names: gauge(&registry, "names", "Names owned by one client, such as peer ids."),
            watches: gauge(&registry, "watches", "Watches of topics."),
            presence_entries: gauge(&registry, "presence_entries", "Presence entries."),
            held: gauge(&registry, "held_signals", "Signals held for absent peers."),
            held_bytes: gauge(&registry, "held_bytes", "Size of the held signals."),
            registry,
        }
    }

    fn set(&self, stats: RegistryStats) {
        let RegistryStats { connections: _, topics, members, names, watches, presence_entries, held, held_bytes } =
            stats;
        set(&self.topics, topics);
        set(&self.members, members);
        set(&self.names, names);
        set(&self.watches, watches);
        set(&self.presence_entries, presence_entries);
        set(&self.held, held);
        set(&self.held_bytes, held_bytes);
    }
}

/// A registered gauge: an [`IntGauge`] or a [`Gauge`].
fn gauge<P: Atomic + 'static>(registry: &Registry, name: &str, help: &str) -> GenericGauge<P> {
    let gauge = GenericGauge::with_opts(Opts::new(name, help).namespace(NAMESPACE)).expect(VALID);
    register(registry, gauge.clone());
    gauge
}

fn set(gauge: &IntGauge, number: usize) {
    gauge.set(signed(number));
}
