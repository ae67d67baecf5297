//! Single connections: how many are admitted, their timeouts, and how they close.

#[path = "../common/mod.rs"]
mod common;

mod closing;
mod connection_limits;
mod disconnects;
mod lost_time;
mod slow_client;
mod timeouts;
