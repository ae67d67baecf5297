//! Connections of one client: how many are admitted, how long they may be silent, and how they end.

#[path = "../common/mod.rs"]
mod common;

mod connection_limits;
mod disconnects;
mod slow_client;
mod timeouts;
