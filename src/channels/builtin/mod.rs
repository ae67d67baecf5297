//! The built-in channels, each in a file. A new one is its file, its `mod` line and its line in a router.

mod broker;
pub(crate) mod peer;
mod relay;
mod room;
pub(crate) mod routers;

pub use routers::{relay, standard};
