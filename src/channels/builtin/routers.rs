//! The routers of the built-in channels: which channel serves which topics.

use crate::channels::builtin::broker::Broker;
use crate::channels::builtin::peer::{Peer, PeerOptions};
use crate::channels::builtin::relay::SocketIoRelay;
use crate::channels::builtin::room::{Room, RoomOptions};
use crate::channels::channel::Router;
use crate::config::ice::IceServers;
use crate::config::schema::Config;

/// The router of the mounts in `socket.mounts`: `broker:match`, `peer:<uuid>` and `room:<name>`, with the options of
/// `config`.
#[must_use]
pub fn standard(config: &Config) -> Router {
    let (peer, room) = (PeerOptions::new(config), RoomOptions::new(config));
    Router::new()
        .channel("peer:*", move |_| Peer::new(peer.clone()))
        .channel("room:*", move |_| Room::new(room))
        .channel("broker:*", |_| Broker)
}

/// The router of the default Socket.IO mount: the Socket.IO relay in the namespace `/`. It sends the ICE servers of
/// `config` to clients that request them, if `ice.enabled` is set.
#[must_use]
pub fn relay(config: &Config) -> Router {
    let ice = config.ice.enabled.then(|| IceServers::new(&config.peer.ice_servers, config.peer.turn_lifetime));
    Router::new().channel("/", move |_| SocketIoRelay::new(ice.clone()))
}
