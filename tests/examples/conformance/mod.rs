//! The server of `phoenix_conformance.rs`, as modules that a test can use too.

mod channels;
mod connect;
mod endpoint;

pub use endpoint::{IDLE, WINDOW, endpoint};
