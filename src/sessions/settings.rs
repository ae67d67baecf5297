//! [`SocketSettings`]: the router, limits and rates that all sockets of one mount share.

use std::sync::Arc;

use crate::channels::channel::Router;
use crate::config::schema::Limits;
use crate::connections::token_bucket::Rate;
use crate::topic::Realm;

/// The settings of a mount, shared by its sockets.
#[derive(Debug)]
pub(crate) struct SocketSettings {
    /// The namespace of its topics.
    pub(crate) realm: Realm,
    pub(crate) router: Arc<Router>,
    pub(crate) limits: Limits,
    pub(crate) messages: Rate,
    pub(crate) bytes: Rate,
    pub(crate) fanout: Rate,
    pub(crate) joins: Rate,
    pub(crate) not_found: Rate,
}

impl SocketSettings {
    pub(crate) fn new(realm: Realm, router: Arc<Router>, limits: Limits) -> Self {
        Self {
            messages: Rate::per_second(limits.messages_per_second, limits.messages_burst),
            bytes: Rate::per_second(limits.bytes_per_second, limits.bytes_burst),
            fanout: Rate::per_second(limits.fanout_bytes_per_second, limits.fanout_bytes_burst),
            joins: Rate::per_second(limits.joins_per_second, limits.joins_burst),
            not_found: Rate::per_minute(limits.not_found_per_minute, limits.not_found_burst),
            realm,
            router,
            limits,
        }
    }
}
