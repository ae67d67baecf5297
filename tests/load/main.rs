//! Load: many clients against a broker in its own process, whose memory and descriptors are measured from outside.
//!
//! These tests are a binary of their own for two reasons. `stalled_clients` raises this process's descriptor limit, and
//! its thousand clients use most of it. And these tests keep the machine so busy that other tests' timeouts would be
//! late.

#[path = "../common/mod.rs"]
mod common;

mod floods;
mod hook_down;
mod idle_connections;
mod memory_budget;
mod memory_limits;
mod slow_readers;
mod stalled_clients;
