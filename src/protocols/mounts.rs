//! The list of the built-in protocols that the configuration can enable.

use super::{hello, peerjs, relay, socketio};
use crate::config::schema::Config;
use crate::http::acceptor::ProtocolMount;
use crate::http::mount::Mount;

/// The enabled mounts of a standard node, except Phoenix's. Those that have no place for a token are closed if clients
/// need one.
pub(crate) fn standard(config: &Config) -> impl Iterator<Item = (Mount, ProtocolMount)> {
    let mounts = [
        config.is_hello_open().then(|| hello::routes::mount(&config.hello)),
        config.peerjs.enabled.then(|| peerjs::mount::mount(&config.peerjs)),
        config.is_relay_open().then(|| relay::mount(&config.relay)),
        config.socketio.enabled.then(|| socketio::mount(config)),
    ];
    mounts.into_iter().flatten()
}
