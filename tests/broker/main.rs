//! The broker: the registry, topics, presence, held signals, and adapters between nodes.

#[path = "../common/mod.rs"]
mod common;

mod adapter_suite;
mod cluster_directory;
mod cluster_model;
mod cluster_queue;
mod cluster_races;
mod cluster_thread;
mod contests;
mod delivery_order;
mod frame_properties;
mod held_signals;
mod join_races;
mod presence_requests;
mod properties;
mod watches;
