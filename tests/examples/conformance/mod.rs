//! The server of `phoenix_conformance.rs`, in parts, so that a test can run it too.

mod channels;
mod connect;
mod endpoint;

pub use endpoint::{IDLE, WINDOW, endpoint};
