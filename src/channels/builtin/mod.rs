//! The channels that every node offers, one a file. A new one is a file here and its lines.

mod broker;
pub(crate) mod peer;
mod relay;
mod room;

use crate::channels::channel::Router;
use crate::config::schema::Config;

/// `broker:match`, `peer:<uuid>` and `room:<name>`, as the configuration has them.
#[must_use]
pub fn standard(config: &Config) -> Router {
    let (peer, room) = (peer::PeerOptions::new(config), room::RoomOptions::new(config));
    Router::new()
        .channel("peer:*", move |_| peer::Peer::new(peer.clone()))
        .channel("room:*", move |_| room::Room::new(room))
        .channel("broker:*", |_| broker::Broker)
}

/// `/` of Socket.IO: everybody hears everybody, in rooms or not.
#[must_use]
pub fn relay() -> Router {
    Router::new().channel("/", |_| relay::SocketIoRelay::default())
}
