//! Names and counters: what a node has done since it started. Counting is all that happens here.
//!
//! What is not counted but asked for, as how many topics there are, is in `exposition`.

use prometheus::Registry;

use crate::close::Reason;
use crate::message::DeliveryStatus;
use crate::metrics::instruments::{Counter, CounterVec, GaugeVec, HistogramVec, ProtocolCounterVec};
use crate::metrics::labels::{ConnectRefusal, DropReason, JoinRefusal, PushRefusal, StatusClass, Transport};

/// Declares the families: from each line come the field, its documentation, its name and its help.
macro_rules! families {
    ($($(#[doc = $says:literal])+ $field:ident: $type:ty = $name:literal;)+) => {
        /// A node's counters, each for every protocol.
        #[derive(Debug)]
        pub struct Metrics {
            /// Where all of them are read.
            pub(crate) registry: Registry,
            $($(#[doc = $says])+ pub $field: $type,)+
        }

        impl Default for Metrics {
            fn default() -> Self {
                let registry = Registry::new();
                Self {
                    $($field: <$type>::new(&registry, $name, concat!($($says),+).trim_ascii()),)+
                    registry,
                }
            }
        }
    };
}

families! {
    /// Connections that are open now, by how they came.
    connections: GaugeVec<Transport> = "connections";
    /// Connections that were let in.
    connections_opened: ProtocolCounterVec<Transport> = "connections_opened_total";
    /// Requests for a connection that were refused.
    connections_refused: ProtocolCounterVec<ConnectRefusal> = "connections_refused_total";
    /// Connections that have ended: gone and left are the client's doing, all others ours.
    connections_closed: ProtocolCounterVec<&'static Reason> = "connections_closed_total";
    /// Connections that came to no request that could be read in time, the first or the next one, or were too many.
    connections_without_request: Counter = "connections_mute_total";
    /// Times that no connection could be accepted, usually since no file descriptor was left.
    accepts_failed: Counter = "accepts_failed_total";
    /// Answers to HTTP requests where clients come: handshakes, polls, the page; not those that could not be read.
    http_responses: CounterVec<StatusClass> = "http_responses_total";
    /// Memberships granted: joins, and what their channels listen to besides.
    joins: ProtocolCounterVec = "joins_total";
    /// Joins refused.
    joins_refused: ProtocolCounterVec<JoinRefusal> = "joins_refused_total";
    /// Time from the request of a join to its ok.
    join_duration: HistogramVec = "join_duration_seconds";
    /// Messages from clients.
    messages: ProtocolCounterVec = "messages_received_total";
    /// Messages from clients that were answered with an error, but for joins and signals.
    messages_refused: ProtocolCounterVec<PushRefusal> = "messages_refused_total";
    /// Messages lost on their way to a client, or not understood.
    messages_lost: ProtocolCounterVec<DropReason> = "messages_lost_total";
    /// Messages put into the queues of members.
    delivered: ProtocolCounterVec = "deliveries_total";
    /// Messages to named peers, by what became of them.
    signals: ProtocolCounterVec<DeliveryStatus> = "signals_total";
    /// Time that the oldest message in the queue of a client has waited when it is read; one in sixteen is measured.
    queue_wait: HistogramVec = "queue_wait_seconds";
    /// Channels that panicked.
    channel_crashes: ProtocolCounterVec = "channel_crashes_total";
}
