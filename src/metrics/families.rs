//! The metric families of a node: their names, help texts and instruments. Each part of the core counts its own events.
//! Gauges that are read only on request, such as the number of topics, are in `server::prometheus`.

use prometheus::Registry;

use crate::close::Reason;
use crate::message::DeliveryStatus;
use crate::metrics::instruments::{Counter, CounterVec, GaugeVec, HistogramVec, ProtocolCounterVec};
use crate::metrics::labels::{StatusClass, Transport};
use crate::refusal::{ConnectRefusal, DropReason, JoinRefusal, PushRefusal};

/// Declares the families. Each line gives the field, its documentation, the metric's name and its help text.
macro_rules! families {
    ($($(#[doc = $doc:literal])+ $field:ident: $type:ty = $name:literal;)+) => {
        /// A node's metrics. Most have a series for each protocol.
        #[derive(Debug)]
        pub struct Metrics {
            /// The Prometheus registry of all families.
            pub(crate) registry: Registry,
            $($(#[doc = $doc])+ pub $field: $type,)+
        }

        impl Default for Metrics {
            fn default() -> Self {
                let registry = Registry::new();
                Self {
                    $($field: <$type>::new(&registry, $name, concat!($($doc),+).trim_ascii()),)+
                    registry,
                }
            }
        }
    };
}

families! {
    /// Open connections.
    connections: GaugeVec<Transport> = "connections";
    /// Connections opened.
    connections_opened: ProtocolCounterVec<Transport> = "connections_opened_total";
    /// Connection requests refused.
    connections_refused: ProtocolCounterVec<ConnectRefusal> = "connections_refused_total";
    /// Connections closed. gone and left: by the client. All other reasons: by the server.
    connections_closed: ProtocolCounterVec<&'static Reason> = "connections_closed_total";
    /// HTTP connections that were closed because no valid request arrived in time, or because a client IP had too many
    /// of them.
    connections_without_request: Counter = "connections_without_request_total";
    /// HTTP requests refused because their host is not a name of this node.
    hosts_refused: Counter = "hosts_refused_total";
    /// Failed attempts to accept a connection, usually because no file descriptor was left.
    accepts_failed: Counter = "accepts_failed_total";
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
