//! The list of the built-in protocols that the configuration can enable.

use super::{hello, peerjs, relay, socketio};
use crate::config::schema::Config;
use crate::http::acceptor::ProtocolMount;
use crate::http::mount::Mount;

/// The enabled mounts of a standard node, except Phoenix's.
pub(crate) fn standard(config: &Config) -> impl Iterator<Item = (Mount, ProtocolMount)> {
    let mounts = [
        config.hello.enabled.then(|| hello::routes::mount(&config.hello)),
        config.peerjs.enabled.then(|| peerjs::mount::mount(&config.peerjs)),
        config.relay.enabled.then(|| relay::mount(&config.relay)),
        config.socketio.enabled.then(|| socketio::mount(config)),
    ];
    mounts.into_iter().flatten()
}
