//! The wire formats, one a file. A new one is a file here and its lines.

pub(crate) mod engineio;
pub(crate) mod hello;
pub(crate) mod peerjs;
pub(crate) mod phoenix;
pub(crate) mod socketio;

use crate::config::schema::Config;
use crate::http::acceptor::ProtocolMount;
use crate::http::mount::Mount;

/// What every node offers beside Phoenix's mounts, as the configuration has it.
pub(crate) fn standard(config: &Config) -> impl Iterator<Item = (Mount, ProtocolMount)> {
    let mounts = [
        config.hello.enabled.then(|| hello::routes::mount(&config.hello)),
        config.peerjs.enabled.then(|| peerjs::routes::mount(&config.peerjs)),
        config.socketio.enabled.then(|| socketio::mount(&config.socketio)),
    ];
    mounts.into_iter().flatten()
}
