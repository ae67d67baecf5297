//! The built-in channels, one per file. To add a channel, add its file, its `mod` line, and its pattern in
//! `routers`.

mod broker;
pub(crate) mod peer;
pub(crate) mod relay;
mod room;
pub(crate) mod routers;

pub use routers::{relay, standard};
