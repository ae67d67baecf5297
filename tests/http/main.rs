//! HTTP: upgrades, origins, mounts, routes and static files.

#[path = "../common/mod.rs"]
mod common;

mod connect_async;
mod developers;
mod handshake;
mod hosts;
mod ice;
mod methods;
mod mounts;
mod origins;
mod readers;
mod routes;
mod static_files;
