//! The state that all workers of a node share: configuration, pubsub, connections, and whether the node accepts
//! clients. Starting and stopping a node is in [`server`](crate::server).

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::broker::pubsub::Pubsub;
use crate::config::schema::Config;
use crate::connections::hub::{Hub, HubLimits};
use crate::connections::ip_limits::IpTable;
use crate::http::idle_connections::IdleConnections;
use crate::http::refusal_log::RefusalLog;

/// The state that all workers share.
pub(crate) struct NodeState {
    pub(crate) config: Config,
    pub(crate) pubsub: Pubsub,
    pub(crate) ip_table: Arc<IpTable>,
    pub(crate) hub: Arc<Hub>,
    pub(crate) idle_connections: IdleConnections,
    pub(crate) refusal_log: RefusalLog,
    ready: AtomicBool,
}

impl NodeState {
    pub(crate) fn new(config: Config, pubsub: Pubsub) -> Self {
        let limits = HubLimits { connections: config.server.connections, close_timeout: config.socket.close_timeout };
        let ip_table = IpTable::new(&config.limits);
        let hub = Hub::new(limits, ip_table.clone());
        let idle_connections = IdleConnections::new(&config, pubsub.shared_metrics(), pubsub.clock().clone());
        let refusal_log = RefusalLog::new(config.log.refusals_per_minute);
        Self { config, pubsub, ip_table, hub, idle_connections, refusal_log, ready: AtomicBool::new(true) }
    }

    pub(crate) fn is_ready(&self) -> bool {
        self.ready.load(Ordering::Relaxed)
    }

    /// Makes the node report that it is not ready, and reject new clients.
    pub(crate) fn start_draining(&self) {
        self.ready.store(false, Ordering::Relaxed);
    }
}
