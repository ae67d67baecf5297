//! Channels: the built-in ones, and what a channel written with this crate can do.

#[path = "../common/mod.rs"]
mod common;

mod async_callbacks;
mod crashes;
mod custom_channels;
mod examples;
mod peer_ownership;
mod peers;
mod rooms;
mod server_code;
mod socketio_relay;
mod subscriptions;
mod test_kit;
