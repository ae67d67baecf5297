//! The metric families of a node: their names, help texts and instruments. Each part of the core counts its own events.
//! Gauges that are read only on request, such as the number of topics, are in `server::prometheus`.

use prometheus::Registry;

use crate::close::Reason;
use crate::message::DeliveryStatus;
use crate::metrics::instruments::{Counter, CounterVec, Gauge, GaugeVec, Histogram, HistogramVec, ProtocolCounterVec};
use crate::metrics::labels::{
    ClaimStatus, EventType, LookupSource, ReloadOutcome, RequestOutcome, StatusClass, Transport,
};
use crate::refusal::{ConnectRefusal, DropReason, JoinRefusal, PacketDrop, PacketRefusal, PushRefusal};

/// Declares the families of a Prometheus registry. Each line gives the field, its documentation, the metric's name and
/// its help text. Families that not every node has are a group of their own, with its own registry.
macro_rules! families {
    (
        $(#[doc = $about:literal])+
        $Group:ident {
            $($(#[doc = $doc:literal])+ $field:ident: $type:ty = $name:literal;)+
        }
        $($(#[doc = $more:literal])+ $inner:ident: $Inner:ty;)*
    ) => {
        $(#[doc = $about])+
        #[derive(Debug)]
        pub struct $Group {
            /// The Prometheus registry of the families.
            pub(crate) registry: Registry,
            $($(#[doc = $doc])+ pub $field: $type,)+
            $($(#[doc = $more])+ pub $inner: $Inner,)*
        }

        impl Default for $Group {
            fn default() -> Self {
                let registry = Registry::new();
                Self {
                    $($field: <$type>::new(&registry, $name, concat!($($doc),+).trim_ascii()),)+
                    $($inner: <$Inner>::default(),)*
                    registry,
                }
            }
        }
    };
}

families! {
    /// A node's metrics. Most have a series for each protocol.
    Metrics {
        /// Open connections.
        connections: GaugeVec<Transport> = "connections";
        /// Connections opened.
        connections_opened: ProtocolCounterVec<Transport> = "connections_opened_total";
        /// Connection requests refused.
        connections_refused: ProtocolCounterVec<ConnectRefusal> = "connections_refused_total";
        /// Connections closed. gone and left: by the client. All other reasons: by the server.
        connections_closed: ProtocolCounterVec<&'static Reason> = "connections_closed_total";
        /// HTTP connections that were closed because no valid request arrived in time, or because a client IP had too
        /// many of them.
        connections_without_request: Counter = "connections_without_request_total";
        /// HTTP requests refused because their host is not a name of this node.
        hosts_refused: Counter = "hosts_refused_total";
        /// Failed attempts to accept a connection, usually because no file descriptor was left.
        accepts_failed: Counter = "accepts_failed_total";
        /// TLS handshakes that failed, or did not end in time.
        tls_handshakes_failed: Counter = "tls_handshakes_failed_total";
        /// Changes of the certificate or the key of the public listener.
        tls_reloads: CounterVec<ReloadOutcome> = "tls_reloads_total";
        /// HTTP responses on the public listener (upgrades, long polls, pages), without those to malformed requests.
        http_responses: CounterVec<StatusClass> = "http_responses_total";
        /// Joins accepted, including the subscriptions of channels to further topics.
        joins: ProtocolCounterVec = "joins_total";
        /// Joins refused.
        joins_refused: ProtocolCounterVec<JoinRefusal> = "joins_refused_total";
        /// Time from a join request to its ok.
        join_duration: HistogramVec = "join_duration_seconds";
        /// Messages received from clients.
        messages: ProtocolCounterVec = "messages_received_total";
        /// Messages from clients that were answered with an error, without joins and signals.
        messages_refused: ProtocolCounterVec<PushRefusal> = "messages_refused_total";
        /// Messages lost on their way to a client, or ignored because they could not be decoded.
        messages_dropped: ProtocolCounterVec<DropReason> = "messages_dropped_total";
        /// Messages put into the queues of members.
        delivered: ProtocolCounterVec = "deliveries_total";
        /// Signals to named peers, by delivery status.
        signals: ProtocolCounterVec<DeliveryStatus> = "signals_total";
        /// Age of the oldest message in a client's queue when the queue is read; one read in sixteen is measured.
        queue_wait: HistogramVec = "queue_wait_seconds";
        /// Channels that panicked.
        channel_crashes: ProtocolCounterVec = "channel_crashes_total";
    }
    /// The metrics of a node that has other nodes.
    cluster: ClusterMetrics;
    /// The metrics of a node with webhooks.
    webhooks: WebhookMetrics;
}

families! {
    /// What a node counts of its webhooks. Prometheus reads it from nodes with a `webhooks.url` alone.
    WebhookMetrics {
        /// Events that were sent to the receiver of webhooks, each once.
        events: CounterVec<EventType> = "webhook_events_total";
        /// Requests to the receiver of webhooks, each try of its own.
        requests: CounterVec<RequestOutcome> = "webhook_requests_total";
        /// Events that were dropped, each counted in an event lost.
        lost: Counter = "webhook_lost_total";
        /// Events that wait to be sent, counted like webhooks.queue_size.
        queue: Gauge = "webhook_queue_events";
        /// Age of the oldest event that waits to be sent, in seconds. Peers and rooms within webhooks.grace_period do not count.
        age: Gauge = "webhook_age_seconds";
    }
}

families! {
    /// What a node counts of its connection to the other nodes. An [`Adapter`](crate::broker::adapter::Adapter) counts it, and
    /// Prometheus reads it from nodes with a `cluster.engine` alone.
    ClusterMetrics {
        /// 1 if the node is linked to its engine, 0 otherwise.
        linked: Gauge = "cluster_linked";
        /// Nodes that are alive, with this one.
        nodes: Gauge = "cluster_nodes";
        /// Size of what waits to be sent to the engine, counted like cluster.queue_bytes.
        queue_bytes: Gauge = "cluster_queue_bytes";
        /// Topics that the node is subscribed to at the engine.
        subscriptions: Gauge = "cluster_subscriptions";
        /// Packets sent to other nodes.
        packets_sent: Counter = "cluster_packets_sent_total";
        /// Packets of other nodes that were accepted.
        packets_received: Counter = "cluster_packets_received_total";
        /// Packets that were refused.
        packets_refused: CounterVec<PacketRefusal> = "cluster_packets_refused_total";
        /// Messages to topics that were not sent to the other nodes.
        messages_dropped: CounterVec<PacketDrop> = "cluster_messages_dropped_total";
        /// Signals to peers on other nodes, by delivery status.
        signals: CounterVec<DeliveryStatus> = "cluster_signals_total";
        /// Time from a signal to a peer on another node to its delivery status.
        round_trip: Histogram = "cluster_round_trip_seconds";
        /// Claims of names in the directory.
        claims: CounterVec<ClaimStatus> = "cluster_claims_total";
        /// Lookups of the node that holds a name.
        lookups: CounterVec<LookupSource> = "cluster_lookups_total";
        /// Links to the engine that were lost.
        links_lost: Counter = "cluster_links_lost_total";
        /// Names that were entered into the directory again, after a link was lost.
        names_entered: Counter = "cluster_names_entered_total";
        /// Names that this node was to take away from a client, if it had one, because another node has them.
        names_revoked: Counter = "cluster_names_revoked_total";
        /// Subscriptions of which cluster.timeout ended the wait for all other nodes.
        unconfirmed_subscriptions: Counter = "cluster_unconfirmed_subscriptions_total";
    }
}
