//! HTTP: upgrades, origins, mounts, routes and static files.

#[path = "../common/mod.rs"]
mod common;

mod connect_async;
mod handshake;
mod ice;
mod mounts;
mod origins;
mod routes;
mod static_files;
