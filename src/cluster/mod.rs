//! Several nodes as one broker: the adapter that all engines share, and the engines.
//!
//! [`Cluster`] is the adapter. It keeps the routes to names and the order of signals, asks the holders of names, keeps the
//! node's lease, and enters again what the engine has lost. An [`Engine`](engine::Engine) keeps a directory and carries
//! messages, nothing more.

mod adapter;
mod claims;
mod command;
mod encoding;
pub mod engine;
pub(crate) mod envelope;
mod lease_end;
mod link;
mod link_state;
mod members;
mod membership;
pub(crate) mod message;
mod names_again;
#[cfg(feature = "nats")]
pub mod nats;
mod options;
mod outgoing;
mod own_names;
mod questions;
mod receiving;
#[cfg(feature = "redis")]
pub mod redis;
mod replay;
mod requests;
mod routes;
mod schema;
pub(crate) mod setup;
mod signals;
mod strangers;
mod subscribing;
mod subscriptions;
#[cfg(test)]
mod tests;
mod this_node;

pub use adapter::Cluster;
pub use options::ClusterOptions;
