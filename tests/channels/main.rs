//! Tests of the built-in channels, and of custom channels written with this crate.

#[path = "../common/mod.rs"]
mod common;

mod async_callbacks;
mod crashes;
mod custom_channels;
mod examples;
mod peer_ownership;
mod peers;
mod presence_pace;
mod rooms;
mod server_code;
mod shared_rooms;
mod socketio_relay;
mod subscriptions;
mod test_kit;

use handclasp::testing::TestServer;
use handclasp::{Mount, channels};

/// A server with the standard channels.
fn standard_server(sets: &[&str]) -> TestServer {
    let config = common::config(sets);
    let mount = Mount::new("/socket", channels::builtin::standard(&config));
    TestServer::with_config(config, mount)
}
