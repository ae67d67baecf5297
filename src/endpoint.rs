//! The server that ties all together: mounts, page and health on one port, the registry behind them, the
//! sweep beside them, and the orderly end.

use std::io;
use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::time::{Duration, Instant};

use actix_web::web::ServiceConfig;
use socket2::{Domain, Protocol, Socket as RawSocket, Type};

use crate::adapter::{Adapter, Local};
use crate::channels;
use crate::config::Config;
use crate::connections::Connections;
use crate::mount::Mount;
use crate::node::{Node, Routes};
use crate::pubsub::Pubsub;
use crate::registry::Terms;
use crate::running::Running;

/// A node that is about to start.
///
/// ```no_run
/// # async fn run() -> std::io::Result<()> {
/// use handclasp::{Config, Endpoint};
///
/// let node = Endpoint::new(Config::default()).start()?;
/// println!("listening on {}", node.address());
/// node.until_signal().await
/// # }
/// ```
pub struct Endpoint {
    config: Config,
    mounts: Vec<Mount>,
    adapter: Arc<dyn Adapter>,
    routes: Vec<Routes>,
}

impl Endpoint {
    /// A node with the standard channels on the mounts of `config.socket.mounts`.
    #[must_use]
    pub fn new(config: Config) -> Self {
        let router = Arc::new(channels::standard(&config));
        let mounts = config.socket.mounts.iter().map(|path| Mount::new(path, router.clone())).collect();
        Self { config, mounts, adapter: Arc::new(Local), routes: Vec::new() }
    }

    /// Adds a mount, in place of one with the same path.
    #[must_use]
    pub fn mount(mut self, mount: Mount) -> Self {
        self.mounts.retain(|other| other.path != mount.path);
        self.mounts.push(mount);
        self
    }

    /// Joins other nodes through `adapter`.
    #[must_use]
    pub fn adapter(mut self, adapter: impl Adapter) -> Self {
        self.adapter = Arc::new(adapter);
        self
    }

    /// Adds HTTP routes of your own. [`Pubsub`] is among their app data.
    #[must_use]
    pub fn routes(mut self, routes: impl Fn(&mut ServiceConfig) + Send + Sync + 'static) -> Self {
        self.routes.push(Arc::new(routes));
        self
    }

    /// Binds, and begins to serve. Needs an actix system around it, and keeps the registry on the thread
    /// that calls it.
    ///
    /// # Errors
    /// When the address cannot be bound.
    pub fn start(self) -> io::Result<Running> {
        let listener = listen(self.config.server.listen, self.config.server.backlog)?;
        let address = listener.local_addr()?;
        let terms = Terms {
            members: self.config.limits.members_per_topic,
            rows: self.config.presence.rows_per_topic,
            interval: self.config.presence.interval,
        };
        let (pubsub, died) = Pubsub::start(terms, self.adapter);
        let node = Arc::new(Node::new(self.config, self.mounts, pubsub));
        let server = node.clone().serve(listener, self.routes)?;
        let sweeping = actix_web::rt::spawn(sweep(node.connections.clone(), node.tick()));
        Running::new(address, node, server, sweeping, died)
    }
}

impl std::fmt::Debug for Endpoint {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Endpoint").field("mounts", &self.mounts).finish_non_exhaustive()
    }
}

async fn sweep(connections: Arc<Connections>, tick: Duration) {
    let mut ticks = tokio::time::interval(tick);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        connections.sweep(Instant::now());
    }
}

fn listen(address: SocketAddr, backlog: u32) -> io::Result<TcpListener> {
    let socket = RawSocket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    socket.set_reuse_address(true)?;
    socket.bind(&address.into())?;
    socket.listen(i32::try_from(backlog).unwrap_or(i32::MAX))?;
    Ok(socket.into())
}
