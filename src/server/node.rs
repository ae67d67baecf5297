//! A node that serves: how it is asked, and how it ends.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

use crate::broker::pubsub::Pubsub;
use crate::http::node_state::NodeState;
use crate::server::metrics_server::MetricsServer;
use crate::server::workers::Workers;

/// How long `/readyz` says no before no one can ask any more.
const NOTICE: Duration = Duration::from_millis(100);

/// A node that serves. Dropping it leaves it serving; [`stop`](Self::stop) ends it.
pub struct Node {
    address: SocketAddr,
    metrics_address: Option<SocketAddr>,
    parts: Parts,
    died: oneshot::Receiver<()>,
    signals: Signals,
}

/// SIGTERM and SIGINT, heard from the moment the node listens; and SIGHUP, which would else end the process.
struct Signals {
    terminate: Signal,
    interrupt: Signal,
    hangup: Signal,
}

impl Signals {
    fn listen() -> io::Result<Self> {
        Ok(Self {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
            hangup: signal(SignalKind::hangup())?,
        })
    }

    /// Waits for one that is to end the node.
    async fn next(&mut self) {
        loop {
            tokio::select! {
                _ = self.terminate.recv() => return,
                _ = self.interrupt.recv() => return,
                _ = self.hangup.recv() => {
                    log::warn!("SIGHUP changes nothing: the configuration is read once, at the start");
                }
            }
        }
    }
}

impl Node {
    pub(crate) fn new(
        address: SocketAddr,
        node: Arc<NodeState>,
        workers: Workers,
        metrics_server: Option<MetricsServer>,
        sweep_task: JoinHandle<()>,
        died: oneshot::Receiver<()>,
    ) -> io::Result<Self> {
        let metrics_address = metrics_server.as_ref().map(|metrics_server| metrics_server.address);
        let parts = Parts { node, workers, metrics_server, sweep_task };
        Ok(Self { address, metrics_address, parts, died, signals: Signals::listen()? })
    }

    /// Where it listens; the real port when it was asked for port 0.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Where its [metrics](crate::metrics) are read, at `/metrics`, if `metrics.listen` says so.
    #[must_use]
    pub fn metrics_address(&self) -> Option<SocketAddr> {
        self.metrics_address
    }

    /// The handle to its topics.
    #[must_use]
    pub fn pubsub(&self) -> Pubsub {
        self.parts.node.pubsub.clone()
    }

    /// How many clients are connected.
    #[must_use]
    pub fn connections(&self) -> usize {
        self.parts.node.hub.len()
    }

    /// Serves until SIGTERM or SIGINT, then drains. A second signal ends it at once.
    ///
    /// # Errors
    /// When the registry has died: a node without it is worse than a restart.
    pub async fn run_until_signal(self) -> io::Result<()> {
        let Self { parts, mut died, mut signals, .. } = self;
        tokio::select! {
            () = signals.next() => {}
            _ = &mut died => return Err(io::Error::other("the registry has died")),
        }
        log::info!("draining {} connections; a second signal ends at once", parts.node.hub.len());
        tokio::select! {
            () = parts.drain() => {}
            () = signals.next() => log::warn!("ending at once"),
        }
        Ok(())
    }

    /// Turns newcomers away, tells the clients to come back elsewhere, and ends.
    pub async fn drain(self) {
        self.parts.drain().await;
    }

    /// Ends at once: connections are dropped.
    pub async fn stop(self) {
        self.parts.stop().await;
    }
}

/// The parts that run.
struct Parts {
    node: Arc<NodeState>,
    workers: Workers,
    metrics_server: Option<MetricsServer>,
    sweep_task: JoinHandle<()>,
}

impl Parts {
    async fn drain(self) {
        self.node.start_draining();
        tokio::time::sleep(NOTICE).await;
        self.workers.close();
        let drain = &self.node.config.drain;
        self.node.hub.drain(drain.spread, drain.timeout).await;
        self.stop().await;
    }

    async fn stop(self) {
        self.sweep_task.abort();
        self.workers.stop().await;
        if let Some(metrics_server) = self.metrics_server {
            metrics_server.stop().await;
        }
    }
}

impl std::fmt::Debug for Node {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Running").field("address", &self.address).finish_non_exhaustive()
    }
}
