//! Load: many clients against a broker in its own process, whose memory and descriptors are measured from outside.
//!
//! A binary of its own, for two reasons. `stalled_clients` raises this process's limit of open descriptors, and a
//! thousand clients take most of it. And the machine is busy while these run, so that timeouts measured beside them
//! would be late.

#[path = "../common/mod.rs"]
mod common;

mod floods;
mod idle_connections;
mod memory_limits;
mod stalled_clients;
