//! A running node: its addresses, its pubsub, and how it drains and stops. How it starts is in
//! [`endpoint`](crate::server::endpoint).

use std::future::pending;
use std::io;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::join;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use tokio::time::timeout;

use crate::api::listener::ApiServer;
use crate::broker::pubsub::Pubsub;
use crate::http::node_state::NodeState;
use crate::server::metrics_server::MetricsServer;
use crate::server::redirect::RedirectServer;
use crate::server::reload::reload;
use crate::server::workers::Workers;
use crate::webhooks::Webhooks;

/// How long `/readyz` responds with 503 before the node stops accepting connections.
const NOTICE: Duration = Duration::from_millis(100);

/// The largest part of `drain.timeout` that is kept for the last webhooks while connections are still open: an eighth.
const SHARE_OF_WEBHOOKS: u32 = 8;

/// A running node. Dropping this value does not stop the node; [`stop`](Self::stop) does.
pub struct Node {
    /// At least one.
    addresses: Vec<SocketAddr>,
    parts: Parts,
    registry_died: oneshot::Receiver<()>,
    signals: Signals,
}

/// Handlers for SIGTERM and SIGINT, installed when the node starts, and for SIGHUP, which has the node
/// [read again](crate::server::reload) what it can and would end the process otherwise.
struct Signals {
    terminate: Signal,
    interrupt: Signal,
    hangup: Signal,
}

impl Signals {
    fn install() -> io::Result<Self> {
        Ok(Self {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
            hangup: signal(SignalKind::hangup())?,
        })
    }

    /// Waits for a signal to stop the node.
    async fn next(&mut self, node: &NodeState) {
        loop {
            tokio::select! {
                _ = self.terminate.recv() => return,
                _ = self.interrupt.recv() => return,
                _ = self.hangup.recv() => reload(node).await,
            }
        }
    }
}

impl Node {
    pub(super) fn new(
        addresses: Vec<SocketAddr>,
        state: Arc<NodeState>,
        workers: Workers,
        side_servers: SideServers,
        tasks: Vec<JoinHandle<()>>,
        registry_died: oneshot::Receiver<()>,
    ) -> io::Result<Self> {
        let parts = Parts { state, workers, side_servers, tasks };
        Ok(Self { addresses, parts, registry_died, signals: Signals::install()? })
    }

    /// The address that the node listens on, with the real port if port 0 was configured. If a host name was configured,
    /// this is its first address, and an IPv4 address if it has one.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.addresses[0]
    }

    /// All addresses that the node listens on. There are several if a host name has several.
    #[must_use]
    pub fn addresses(&self) -> &[SocketAddr] {
        &self.addresses
    }

    /// The address that serves the node's [metrics](crate::metrics) at `/metrics`, if `metrics.listen` is set.
    #[must_use]
    pub fn metrics_address(&self) -> Option<SocketAddr> {
        self.parts.side_servers.metrics.as_ref().map(|server| server.address)
    }

    /// The address of the server API, if `api.listen` is an address with a port.
    #[must_use]
    pub fn api_address(&self) -> Option<SocketAddr> {
        self.parts.side_servers.api.as_ref().and_then(|server| server.address)
    }

    /// The address that redirects from http to https, if `tls.redirect` is set.
    #[must_use]
    pub fn redirect_address(&self) -> Option<SocketAddr> {
        self.parts.side_servers.redirect.as_ref().map(|server| server.address)
    }

    /// The handle to the node's topics, to broadcast to them.
    #[must_use]
    pub fn pubsub(&self) -> Pubsub {
        self.parts.state.pubsub.clone()
    }

    /// The number of connected clients.
    #[must_use]
    pub fn connections(&self) -> usize {
        self.parts.state.hub.len()
    }

    /// Serves until SIGTERM, SIGINT or a request of the server API, then drains. A second signal stops the node immediately.
    ///
    /// # Errors
    /// When the registry has died, or the thread of the cluster or of the webhooks: a node cannot serve without them and must
    /// be restarted.
    pub async fn run_until_signal(self) -> io::Result<()> {
        let Self { parts, mut registry_died, mut signals, .. } = self;
        tokio::select! {
            () = signals.next(&parts.state) => {}
            () = parts.state.drain_requested() => {}
            _ = &mut registry_died => return Err(io::Error::other("the registry has died")),
            () = failed(parts.state.pubsub.webhooks()) => return Err(io::Error::other("the thread of the webhooks has died")),
            why = parts.state.pubsub.adapter_failed() => return Err(io::Error::other(why)),
        }
        let state = parts.state.clone();
        log::info!("draining {} connections; a second signal stops the node immediately", parts.state.hub.len());
        tokio::select! {
            () = parts.drain() => {}
            () = signals.next(&state) => log::warn!("stopping immediately"),
        }
        Ok(())
    }

    /// Rejects new clients, closes the connected ones with code 1012 over `drain.spread`, so that they reconnect, waits
    /// for the responses in progress, and stops.
    pub async fn drain(self) {
        self.parts.drain().await;
    }

    /// Stops immediately. Connections are dropped without a close frame.
    pub async fn stop(self) {
        self.parts.stop().await;
    }
}

/// Is ready when the webhooks have failed for good, if there are any.
async fn failed(webhooks: Option<&Webhooks>) {
    match webhooks {
        Some(webhooks) => webhooks.failed().await,
        None => pending().await,
    }
}

/// The servers beside the public one, each with a thread of its own.
pub(super) struct SideServers {
    pub(super) metrics: Option<MetricsServer>,
    pub(super) api: Option<ApiServer>,
    pub(super) redirect: Option<RedirectServer>,
}

/// The running parts of a node.
struct Parts {
    state: Arc<NodeState>,
    workers: Workers,
    side_servers: SideServers,
    /// The sweep, the ticks of the clock, what keeps memory free, what announces the node to its webhooks, and what
    /// learns of revoked tokens.
    tasks: Vec<JoinHandle<()>>,
}

impl Parts {
    async fn drain(self) {
        // a client that reconnects to another node finds its name free there
        self.state.pubsub.retire();
        self.state.start_draining();
        tokio::time::sleep(NOTICE).await;
        self.workers.close();
        let drain = &self.state.config.drain;
        let clock = self.state.pubsub.clock();
        let deadline = clock.now() + drain.timeout;
        let closed = async {
            self.state.hub.drain(drain.spread, drain.timeout, clock).await;
            // a poll is answered after its session has left the hub
            self.state.idle_connections.wait_for_responses(deadline).await;
        };
        match self.state.pubsub.webhooks() {
            None => closed.await,
            // what clients do at their end is still told, unless one of them does not end
            Some(webhooks) => {
                let reserve = self.state.config.webhooks.timeout.min(drain.timeout / SHARE_OF_WEBHOOKS);
                let mut closed = pin!(closed);
                let is_closed = timeout(drain.timeout - reserve, &mut closed).await.is_ok();
                let told = webhooks.drain(deadline.saturating_duration_since(clock.now()));
                match is_closed {
                    true => told.await,
                    false => _ = join(told, closed).await,
                }
            }
        }
        self.stop().await;
    }

    async fn stop(self) {
        self.tasks.iter().for_each(JoinHandle::abort);
        self.state.pubsub.webhooks().iter().for_each(|webhooks| webhooks.stop());
        self.state.pubsub.leave_cluster().await;
        self.workers.stop().await;
        let SideServers { metrics, api, redirect } = self.side_servers;
        if let Some(redirect) = redirect {
            redirect.server.stop().await;
        }
        if let Some(api) = api {
            api.stop().await;
        }
        if let Some(metrics) = metrics {
            metrics.server.stop().await;
        }
    }
}

impl std::fmt::Debug for Node {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Node").field("addresses", &self.addresses).finish_non_exhaustive()
    }
}
