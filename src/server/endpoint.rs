//! The builder of a node: mounts, routes, adapter and counters, and how a node starts with its listeners, workers,
//! registry and sweep. How a running node drains and stops is in [`node`](crate::server::node).

use std::io::{self, ErrorKind};
use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::time::Duration;

use actix_web::web::ServiceConfig;
use socket2::{Domain, SockRef, Socket as RawSocket, Type};

use crate::api::listener::{self, ApiServer, Listeners};
use crate::api::unix_socket;
use crate::broker::adapter::Adapter;
#[cfg(not(feature = "cluster"))]
use crate::broker::adapter::LocalAdapter;
use crate::broker::pubsub::Pubsub;
use crate::channels::builtin::routers;
use crate::config::api::ApiListen;
use crate::config::cluster::Engine;
use crate::config::listen::ListenAddress;
use crate::config::schema::Config;
use crate::connections::limits::Timeouts;
use crate::http::acceptor::{Acceptor, ProtocolMount};
use crate::http::mount::Mount;
use crate::http::node_state::NodeState;
use crate::protocol::Protocol;
use crate::protocols::{custom, engineio, mounts, phoenix, socketio};
use crate::server::app::{self, AppFactory, Routes};
use crate::server::learn_revocations::learn_revocations;
use crate::server::metrics_server::{self, MetricsServer};
use crate::server::node::{Node, SideServers};
use crate::server::prometheus::CustomCounter;
use crate::server::redirect::{self, RedirectServer};
use crate::server::reload::watch_certificate;
use crate::server::turns::Turns;
use crate::server::workers::Workers;
use crate::tls::ServerTls;

/// A node that is about to start.
///
/// ```no_run
/// # async fn run() -> std::io::Result<()> {
/// use handclasp::{Config, Endpoint};
///
/// let node = Endpoint::new(Config::default()).start()?;
/// println!("listening on {}", node.address());
/// node.run_until_signal().await
/// # }
/// ```
pub struct Endpoint {
    config: Config,
    mounts: Vec<(Mount, ProtocolMount)>,
    /// `None` for the one that the configuration asks for.
    adapter: Option<Arc<dyn Adapter>>,
    routes: Vec<Routes>,
    counters: Vec<prometheus::Result<CustomCounter>>,
}

impl Endpoint {
    /// A node with the standard channels on the mounts of `config.socket.mounts`, and with the mounts of the other
    /// protocols that `config` enables. [`bare`](Self::bare) has none of these.
    #[must_use]
    pub fn new(config: Config) -> Self {
        let router = Arc::new(routers::standard(&config));
        let mounts = config.socket.mounts.iter().map(|path| Mount::new(path, router.clone()).check_tokens());
        let mut mounts: Vec<_> = mounts.map(|mount| (mount, phoenix::routes::MOUNT)).collect();
        mounts.extend(mounts::standard(&config));
        Self::with_mounts(config, mounts)
    }

    /// A node that serves only what is added to it, and the health routes `/healthz` and `/readyz`. It has no page, no
    /// ICE servers over HTTP, no standard channels, and none of the mounts for Phoenix, PeerJS, Socket.IO,
    /// HelloWebRTC and the plain relay, whatever `config` says about them. `metrics.listen` and `api.listen` still open listeners of their own.
    ///
    /// ```
    /// use handclasp::{Config, Endpoint, Mount, Router};
    ///
    /// let endpoint = Endpoint::bare(Config::default()).mount(Mount::new("/live", Router::new()));
    /// ```
    #[must_use]
    pub fn bare(mut config: Config) -> Self {
        config.page.enabled = false;
        config.ice.enabled = false;
        Self::with_mounts(config, Vec::new())
    }

    fn with_mounts(config: Config, mounts: Vec<(Mount, ProtocolMount)>) -> Self {
        Self { config, mounts, adapter: None, routes: Vec::new(), counters: Vec::new() }
    }

    /// Adds a mount for Phoenix clients. It replaces a Phoenix mount of the same path.
    #[must_use]
    pub fn mount(self, mount: Mount) -> Self {
        self.add_mount(mount, phoenix::routes::MOUNT)
    }

    /// Adds a mount for Socket.IO clients. It replaces a Socket.IO mount of the same path. The path is usually
    /// `/socket.io`, the clients' default. The topics of its router are namespaces: `/` and others.
    ///
    /// - A client's `auth` is the payload of its join. `Join::ok_with(json!({"sid": id}))` sets the client's socket id
    ///   to `id`; any other `ok` gives it a random id. When the join is refused, the client receives the text of
    ///   `{"message": text}` or `{"reason": text}`.
    /// - The payload of an event is the array of its arguments. If it contains bytes, it is a
    ///   [`Payload::Attached`](crate::Payload::Attached). In the other direction, an array is the list of arguments,
    ///   and any other payload is the only argument.
    /// - A reply is sent as an acknowledgement, if the client has requested one.
    /// - Messages to a topic `<namespace>#<anything>` are sent to clients as events of the namespace. A channel that
    ///   subscribes its clients to such topics ([`Context::subscribe`](crate::Context::subscribe)) uses them as rooms.
    #[must_use]
    pub fn socketio(self, mount: Mount) -> Self {
        self.add_mount(mount, socketio::MOUNT)
    }

    /// Adds a mount for plain Engine.IO clients. It replaces an Engine.IO mount of the same path. Each client joins the
    /// topic `/` when it connects.
    ///
    /// A message is a push of the event `message`. Its payload is bytes, or the text as a JSON string. Each push and
    /// broadcast of the channel, whatever its event, is a message to the client: a JSON string is sent as its text,
    /// other JSON as JSON text, and bytes as bytes. Replies are not sent.
    #[must_use]
    pub fn engineio(self, mount: Mount) -> Self {
        self.add_mount(mount, engineio::plain::MOUNT)
    }

    /// Adds a mount for clients that use the wire format `P` over WebSockets at the mount's path. It replaces a custom
    /// mount of the same path. Each connection gets its own `P`, made by `P::default()`.
    ///
    /// `P` names topics by [`Realm::key`](crate::topic::Realm::key) of [`Realm::Custom`](crate::topic::Realm::Custom):
    /// its clients share no topics with those of other protocols. Limits, origins, the mount's `connect` and the
    /// metrics (`protocol="custom"`) apply as to the built-in protocols.
    #[must_use]
    pub fn protocol<P: Protocol + Default>(self, mount: Mount) -> Self {
        self.add_mount(mount, custom::mount::<P>())
    }

    fn add_mount(mut self, mount: Mount, protocol: ProtocolMount) -> Self {
        self.mounts.retain(|(other, of)| other.path != mount.path || of.realm != protocol.realm);
        self.mounts.push((mount, protocol));
        self
    }

    /// Connects the node to other nodes through `adapter`, instead of the engine that the configuration names.
    #[must_use]
    pub fn adapter(mut self, adapter: impl Adapter) -> Self {
        self.adapter = Some(Arc::new(adapter));
        self
    }

    /// Adds HTTP routes of your own. Their app data contains [`Pubsub`].
    #[must_use]
    pub fn routes(mut self, routes: impl Fn(&mut ServiceConfig) + Send + Sync + 'static) -> Self {
        self.routes.push(Arc::new(routes));
        self
    }

    /// Adds a counter of your own to the node's [metrics](crate::metrics). `read` returns its value and is called each
    /// time that the metrics are read. The prefix `handclasp_` is reserved for the node's own metrics.
    ///
    /// ```
    /// # use handclasp::{Config, Endpoint};
    /// # use std::sync::{Arc, atomic::{AtomicU64, Ordering}};
    /// let orders = Arc::new(AtomicU64::new(0));
    /// let read = orders.clone();
    /// let endpoint = Endpoint::new(Config::default())
    ///     .counter("shop_orders_total", "Orders that were placed.", move || read.load(Ordering::Relaxed));
    /// ```
    #[must_use]
    pub fn counter(mut self, name: &str, help: &str, read: impl Fn() -> u64 + Send + Sync + 'static) -> Self {
        self.counters.push(CustomCounter::new(name, help, Box::new(read)));
        self
    }

    /// Binds the listeners and starts to serve, on threads of its own. It must be called within an actix system.
    ///
    /// # Errors
    /// When an address cannot be bound; the error names it. When a [counter](Self::counter) has an invalid name, or the
    /// name of another metric. When a worker cannot start. When `auth.mode` is "required" and the keys cannot be read.
    pub fn start(self) -> io::Result<Node> {
        let custom = prometheus::Registry::new();
        for counter in self.counters {
            counter.and_then(|counter| custom.register(Box::new(counter))).map_err(io::Error::other)?;
        }
        let tls = ServerTls::from_config(&self.config.tls).map_err(io::Error::other)?;
        let listeners = listen(&self.config.server.listen, self.config.server.backlog)?;
        listeners.iter().try_for_each(|listener| {
            // accepted connections inherit it
            SockRef::from(listener).set_send_buffer_size(self.config.socket.send_buffer_bytes)
        })?;
        let addresses: Vec<_> = listeners.iter().map(TcpListener::local_addr).collect::<io::Result<_>>()?;
        let metrics_address = self.config.metrics.listen.as_ref();
        let metrics_listeners = metrics_address.map(|address| listen(address, metrics_server::BACKLOG)).transpose()?;
        let redirect_address = self.config.tls.redirect.as_ref();
        let redirect_listeners = redirect_address.map(|address| listen(address, redirect::BACKLOG)).transpose()?;
        let api_listeners = self.config.api.listen.as_ref().map(listen_for_api).transpose()?;
        let mut workers = Workers::new(self.config.server.workers)?;
        let is_alone = self.adapter.is_none() && self.config.cluster.engine == Engine::None;
        let adapter = self.adapter.map_or_else(|| configured_adapter(&self.config), Ok)?;
        let (pubsub, registry_died) = Pubsub::start(&self.config, adapter, &workers.registry())?;
        let node = Arc::new(NodeState::new(self.config, pubsub, tls).map_err(io::Error::other)?);
        node.pubsub.set_control(Arc::<NodeState>::downgrade(&node));
        if node.tokens.is_some() && !is_alone {
            node.learning.begin();
        }
        warn_of_open_mounts(&node.config, &self.mounts);
        let acceptors: Vec<_> = self
            .mounts
            .into_iter()
            .map(|(mount, protocol)| (Acceptor::new(node.clone(), mount, protocol), protocol))
            .collect();
        let tick = tick(&node.config, &acceptors);
        app::serve(AppFactory { node: node.clone(), acceptors, routes: self.routes }, &listeners, &mut workers)?;
        let metrics_server =
            metrics_listeners.map(|listeners| MetricsServer::serve(node.clone(), custom, listeners)).transpose()?;
        let api_server = api_listeners.map(|listeners| ApiServer::serve(node.clone(), listeners)).transpose()?;
        let port = addresses.first().map_or(0, SocketAddr::port);
        let redirect_server =
            redirect_listeners.map(|listeners| RedirectServer::serve(node.clone(), listeners, port)).transpose()?;
        let clock = node.pubsub.clock().clone();
        let ticks = Turns::start(&workers.handles())?.tick(clock, clock_tick(tick, &node.config));
        let mut tasks = vec![
            actix_web::rt::spawn(sweep(node.clone(), tick)),
            actix_web::rt::spawn(ticks),
            actix_web::rt::spawn(keep_memory_free(node.clone())),
            actix_web::rt::spawn(announce(node.clone())),
            actix_web::rt::spawn(watch_certificate(node.clone())),
        ];
        if node.tokens.is_some() {
            tasks.push(actix_web::rt::spawn(learn_revocations(node.clone())));
        }
        let side_servers = SideServers { metrics: metrics_server, api: api_server, redirect: redirect_server };
        Node::new(addresses, node, workers, side_servers, tasks, registry_died)
    }
}

impl std::fmt::Debug for Endpoint {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Endpoint").field("mounts", &self.mounts).finish_non_exhaustive()
    }
}

/// A mount of the application checks tokens only if it says so.
fn warn_of_open_mounts(config: &Config, mounts: &[(Mount, ProtocolMount)]) {
    let is_open = |(mount, _): &&(Mount, ProtocolMount)| config.auth.is_required() && !mount.checks_tokens;
    for (mount, _) in mounts.iter().filter(is_open) {
        log::warn!(
            "auth.mode is \"required\", but clients of the mount {} need no token: see Mount::check_tokens",
            mount.path
        );
    }
}

/// The adapter of `config.cluster`.
#[cfg(feature = "cluster")]
fn configured_adapter(config: &Config) -> io::Result<Arc<dyn Adapter>> {
    crate::cluster::setup::adapter(config)
}

/// Without an engine, the configuration can ask for none.
#[cfg(not(feature = "cluster"))]
fn configured_adapter(_: &Config) -> io::Result<Arc<dyn Adapter>> {
    Ok(Arc::new(LocalAdapter))
}

/// The interval of the sweep: a fraction of the shortest timeout that it checks, and a smaller one of ping intervals,
/// which clients expect to be accurate.
fn tick(config: &Config, acceptors: &[(Acceptor, ProtocolMount)]) -> Duration {
    let times = acceptors.iter().flat_map(|(acceptor, _)| {
        let Timeouts { idle, join, ping_interval } = acceptor.timeouts();
        [idle / 4, join / 4, ping_interval.map_or(Duration::MAX, |interval| interval / 16), acceptor.poll_window() / 4]
    });
    let shortest = times.min().unwrap_or(Duration::MAX).min(config.limits.queue_age / 4);
    shortest.clamp(Duration::from_millis(10), Duration::from_secs(1))
}

/// The interval of the clock's ticks. Deadlines are as accurate as that, whether or not the sweep checks them.
fn clock_tick(sweep: Duration, config: &Config) -> Duration {
    (sweep / 4).min(config.limits.contest_timeout / 4).clamp(Duration::from_millis(10), Duration::from_millis(250))
}

/// How long disconnected clients have to give back their memory before more clients are disconnected.
const RELIEF_PAUSE: Duration = Duration::from_millis(50);

/// Disconnects clients whenever `limits.memory_bytes` is nearly used up.
async fn keep_memory_free(node: Arc<NodeState>) {
    let memory = node.pubsub.memory();
    loop {
        memory.excess_exists().await;
        let count = node.hub.relieve(memory.excess(), node.pubsub.clock().now());
        if count > 0 {
            let (used, limit) = (memory.used(), memory.limit());
            log::warn!(
                "{used} of limits.memory_bytes = {limit} are in use: disconnecting {count} clients that hold most"
            );
        }
        tokio::time::sleep(RELIEF_PAUSE).await;
    }
}

/// How long the first webhook waits for the link to the other nodes, whose names it tells.
const LINK_TIMEOUT: Duration = Duration::from_secs(5);
const LINK_PAUSE: Duration = Duration::from_millis(20);

/// Tells the webhooks that the node has started, and which other nodes there are.
async fn announce(node: Arc<NodeState>) {
    let Some(webhooks) = node.pubsub.webhooks() else { return };
    let linked = async {
        while node.pubsub.ready().is_err() {
            tokio::time::sleep(LINK_PAUSE).await;
        }
    };
    // without the link, there are no others
    let _ = tokio::time::timeout(LINK_TIMEOUT, linked).await;
    let census = node.pubsub.census().await;
    let mut others: Vec<_> = census.nodes.into_iter().skip(1).map(|(name, _)| name).chain(census.silent).collect();
    others.sort_unstable();
    webhooks.started(others);
}

async fn sweep(node: Arc<NodeState>, tick: Duration) {
    let mut ticks = tokio::time::interval(tick);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        let now = node.pubsub.clock().judged();
        node.hub.sweep(now).iter().for_each(|closed| node.pubsub.down(closed));
        node.idle_connections.sweep(now);
    }
}

/// The listeners of the server API.
fn listen_for_api(address: &ApiListen) -> io::Result<Listeners> {
    match address {
        ApiListen::Tcp(address) => listen(address, listener::BACKLOG).map(Listeners::Tcp),
        ApiListen::Unix(path) => {
            unix_socket::bind(path, listener::BACKLOG).map(|listener| Listeners::Unix(listener, path.clone()))
        }
    }
}

/// Listens at an address, or at all addresses of a host name, with one port. Those that this machine does not have, for
/// example without IPv6, are left out if there is another one.
fn listen(address: &ListenAddress, backlog: u32) -> io::Result<Vec<TcpListener>> {
    let named = |error: io::Error| io::Error::new(error.kind(), format!("cannot listen on {address}: {error}"));
    let (mut listeners, mut port, mut missing) = (Vec::new(), address.port(), None);
    for mut candidate in address.resolve().map_err(named)? {
        candidate.set_port(port);
        match bind(candidate, backlog) {
            Ok(listener) => {
                port = listener.local_addr()?.port();
                listeners.push(listener);
            }
            // another program has the port: some clients would reach that one
            Err(error) if matches!(error.kind(), ErrorKind::AddrInUse | ErrorKind::PermissionDenied) => {
                return Err(named(error));
            }
            Err(error) => missing = Some(error),
        }
    }
    match missing {
        Some(error) if listeners.is_empty() => Err(named(error)),
        _ => Ok(listeners),
    }
}

fn bind(address: SocketAddr, backlog: u32) -> io::Result<TcpListener> {
    let socket = RawSocket::new(Domain::for_address(address), Type::STREAM, Some(socket2::Protocol::TCP))?;
    socket.set_reuse_address(true)?;
    socket.bind(&address.into())?;
    socket.listen(i32::try_from(backlog).unwrap_or(i32::MAX))?;
    Ok(socket.into())
}
