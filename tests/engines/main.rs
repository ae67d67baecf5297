//! What every engine must do, as `handclasp::cluster::engine::Engine` describes it: one suite, run for each engine.

#[path = "../common/mod.rs"]
mod common;

#[macro_use]
mod suite;

mod memory;
#[cfg(feature = "nats")]
mod nats;
#[cfg(feature = "redis")]
mod redis;
