//! The server that connects all parts: the endpoint, its worker threads and routes, and the Prometheus listener.

pub(crate) mod app;
pub(crate) mod endpoint;
mod handshake;
mod learn_revocations;
mod metrics_server;
mod node;
mod prometheus;
mod redirect;
mod reload;
mod turns;
pub(crate) mod workers;

pub use endpoint::Endpoint;
pub use node::Node;
