//! A node's metrics: the families, the instruments they are made of, and the values of their labels. How Prometheus
//! reads them is in [`server`](crate::server).

pub(crate) mod families;
pub(crate) mod instruments;
pub(crate) mod labels;

pub use crate::refusal::{ConnectRefusal, DropReason, JoinRefusal, PacketDrop, PacketRefusal, PushRefusal};
pub use families::{ClusterMetrics, Metrics, WebhookMetrics};
pub use instruments::{Counter, CounterVec, Gauge, GaugeVec, Histogram, HistogramVec, Label, ProtocolCounterVec};
pub use labels::{ClaimStatus, EventType, LookupSource, RequestOutcome, StatusClass, Transport};
