//! Webhooks: what a receiver is told of peers and rooms, however it behaves, and what it has computed from that in the end.

#[path = "../common/mod.rs"]
mod common;

mod cluster;
mod config;
mod events;
mod hostile;
mod model;
mod pairs;
mod process;

use common::receiver;
