//! The routers of the built-in channels: which channel serves which topics.

use crate::channels::builtin::broker::Broker;
use crate::channels::builtin::peer::{Peer, PeerOptions};
use crate::channels::builtin::relay::SocketIoRelay;
use crate::channels::builtin::room::{Room, RoomOptions};
use crate::channels::channel::Router;
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

/// The router of the default Socket.IO mount: the Socket.IO relay in the namespace `/`.
#[must_use]
pub fn relay() -> Router {
    Router::new().channel("/", |_| SocketIoRelay::default())
}
