//! [`Api`]: what all requests to the listener share.

use std::sync::Arc;

use tokio::sync::Semaphore;

use crate::api::keys::Keys;
use crate::api::remembered::Remembered;
use crate::config::api::ApiListen;
use crate::http::node_state::NodeState;

/// The number of connections that are served at a time, and of requests that are answered. Further connections wait in the
/// kernel.
pub(super) const CONNECTIONS: usize = 64;

/// The state of the listener.
pub(super) struct Api {
    pub(super) node: Arc<NodeState>,
    pub(super) keys: Keys,
    /// Whether the `Host` of requests is checked. On a unix socket it is not: no web page reaches one.
    pub(super) checks_hosts: bool,
    pub(super) remembered: Remembered,
    /// One for each request that is being answered. A request goes on when its client has disconnected.
    pub(super) running: Arc<Semaphore>,
}

impl Api {
    pub(super) fn new(node: Arc<NodeState>) -> Arc<Self> {
        let config = &node.config.api;
        let is_unix = matches!(config.listen, Some(ApiListen::Unix(_)));
        let keys = match is_unix {
            true => Keys::of_socket(config.requests_per_second),
            false => Keys::new(&config.keys, config.requests_per_second),
        };
        let (remembered, running) = (Remembered::default(), Arc::new(Semaphore::new(CONNECTIONS)));
        Arc::new(Self { node, keys, checks_hosts: !is_unix, remembered, running })
    }
}
