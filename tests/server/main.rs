//! The node as a whole: configuration, command line, log, metrics, draining, and failures of its parts.

#[path = "../common/mod.rs"]
mod common;

mod cli;
mod config;
mod docs;
mod drain;
mod failures;
mod log_output;
mod log_secrecy;
mod metrics;
