//! What all workers of a node share: its configuration, its topics, its connections, and whether it lets
//! anybody in.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::broker::pubsub::Pubsub;
use crate::config::schema::Config;
use crate::connections::hub::{Ceiling, Connections};
use crate::connections::ip_limits::Addresses;
use crate::http::idle_connections::Guests;

/// What every worker shares.
pub(crate) struct Node {
    pub(crate) config: Config,
    pub(crate) pubsub: Pubsub,
    pub(crate) addresses: Arc<Addresses>,
    pub(crate) connections: Arc<Connections>,
    pub(crate) guests: Guests,
    ready: AtomicBool,
}

impl Node {
    pub(crate) fn new(config: Config, pubsub: Pubsub) -> Self {
        let ceiling = Ceiling { connections: config.server.connections, write_timeout: config.socket.write_timeout };
        let addresses = Addresses::new(&config.limits);
        let connections = Connections::new(ceiling, addresses.clone(), pubsub.clone());
        let guests = Guests::new(&config, pubsub.shared_metrics());
        Self { config, pubsub, addresses, connections, guests, ready: AtomicBool::new(true) }
    }

    pub(crate) fn is_ready(&self) -> bool {
        self.ready.load(Ordering::Relaxed)
    }

    /// Says from now on that it is not ready, and lets nobody new in.
    pub(crate) fn retire(&self) {
        self.ready.store(false, Ordering::Relaxed);
    }
}
