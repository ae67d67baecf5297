//! The server that ties all together: mounts, page and health on one port, the registry behind them, the
//! sweep beside them, and the orderly end.

use std::any::Any;
use std::io;
use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use actix_web::dev::{Extensions, ServerHandle};
use actix_web::http::StatusCode;
use actix_web::web::{self, ServiceConfig};
use actix_web::{App, HttpRequest, HttpResponse, HttpServer};
use socket2::{Domain, Protocol, SockRef, Socket as RawSocket, Type};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

use crate::adapter::{Adapter, Local};
use crate::address;
use crate::channels;
use crate::config::Config;
use crate::connection::Patience;
use crate::connections::{Ceiling, Connections, NoRoom, Seat};
use crate::handshake::{self, Accepted};
use crate::mailbox::Bound;
use crate::mount::{Mount, Refusal};
use crate::origin::Origins;
use crate::page;
use crate::protocol::Protocol as WireProtocol;
use crate::protocols::phoenix::{V1, V2, Version};
use crate::pubsub::Pubsub;
use crate::registry::Terms;
use crate::session::Session;
use crate::socket::{Rules, Socket};
use crate::websocket::{self, Size};

/// How long `/readyz` says no before no one can ask any more.
const NOTICE: Duration = Duration::from_millis(100);

type Routes = Arc<dyn Fn(&mut ServiceConfig) + Send + Sync>;

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
        let handle = server.handle();
        let sweeping = actix_web::rt::spawn(sweep(node.connections.clone(), node.tick()));
        let signals = Signals::listen()?;
        let serving = Serving { node, handle, server: actix_web::rt::spawn(server), sweeping };
        Ok(Running { address, serving, died, signals })
    }
}

impl std::fmt::Debug for Endpoint {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Endpoint").field("mounts", &self.mounts).finish_non_exhaustive()
    }
}

/// What every worker shares.
struct Node {
    config: Config,
    mounts: Vec<Place>,
    pubsub: Pubsub,
    connections: Arc<Connections>,
    ready: AtomicBool,
}

/// A mount, with the configuration's word wherever it has none of its own.
struct Place {
    mount: Mount,
    rules: Arc<Rules>,
    origins: Origins,
    patience: Patience,
}

impl Place {
    fn new(mount: Mount, config: &Config) -> Self {
        let mut limits = config.limits.clone();
        limits.joins_per_socket = mount.joins_per_socket.unwrap_or(limits.joins_per_socket);
        let idle = mount.idle_timeout.unwrap_or(config.socket.idle_timeout);
        Self {
            rules: Arc::new(Rules { router: mount.router.clone(), limits }),
            origins: mount.origins.clone().unwrap_or_else(|| config.socket.check_origin.clone()),
            patience: Patience { idle, unjoined: config.socket.join_within },
            mount,
        }
    }
}

impl Node {
    fn new(config: Config, mounts: Vec<Mount>, pubsub: Pubsub) -> Self {
        let ceiling = Ceiling {
            connections: config.server.connections,
            per_address: config.limits.connections_per_address,
            write_timeout: config.socket.write_timeout,
        };
        let connections = Connections::new(ceiling, pubsub.clone());
        let mounts = mounts.into_iter().map(|mount| Place::new(mount, &config)).collect();
        Self { config, mounts, pubsub, connections, ready: AtomicBool::new(true) }
    }

    fn serve(self: Arc<Self>, listener: TcpListener, routes: Vec<Routes>) -> io::Result<actix_web::dev::Server> {
        let config = &self.config;
        let write_timeout = config.socket.write_timeout;
        let workers = match config.server.workers {
            0 => std::thread::available_parallelism().map_or(1, usize::from),
            workers => workers,
        };
        let (header_timeout, shutdown) = (config.server.header_timeout, config.drain.timeout.as_secs().max(1));
        // one more than may be open at a time, so that the one too many still hears why
        let per_worker = config.server.connections.div_ceil(workers) + 64;
        let server = HttpServer::new(move || {
            let (node, routes) = (self.clone(), routes.clone());
            App::new()
                .app_data(web::Data::new(self.pubsub.clone()))
                .configure(move |app| node.clone().configure(app))
                .configure(move |app| routes.iter().for_each(|add| add(app)))
        });
        Ok(server
            .workers(workers)
            .max_connections(per_worker)
            .tcp_nodelay(true)
            .client_request_timeout(header_timeout)
            .client_disconnect_timeout(write_timeout)
            .shutdown_timeout(shutdown)
            .disable_signals()
            .on_connect(move |io, extensions| on_connect(io, extensions, write_timeout))
            .listen(listener)?
            .run())
    }

    fn configure(self: Arc<Self>, app: &mut ServiceConfig) {
        for at in 0..self.mounts.len() {
            let path = format!("{}/websocket", self.mounts[at].mount.path);
            for path in [format!("{path}/"), path] {
                let node = self.clone();
                app.route(&path, web::to(move |request, payload| node.clone().upgrade(at, request, payload)));
            }
        }
        app.route("/healthz", web::get().to(|| async { "ok\n" }));
        let node = self.clone();
        app.route("/readyz", web::get().to(move || node.clone().readiness()));
        if self.config.page.enabled {
            page::configure(app, self.config.page.dir.clone());
        }
    }

    async fn readiness(self: Arc<Self>) -> HttpResponse {
        match self.ready.load(Ordering::Relaxed) {
            true => HttpResponse::Ok().body("ready\n"),
            false => HttpResponse::ServiceUnavailable().body("draining\n"),
        }
    }

    async fn upgrade(self: Arc<Self>, place: usize, request: HttpRequest, payload: web::Payload) -> HttpResponse {
        match self.admit(&self.mounts[place], &request) {
            Ok((seat, accepted)) => match accepted.version {
                Version::V1 => self.open(place, &request, payload, seat, accepted, V1),
                Version::V2 => self.open(place, &request, payload, seat, accepted, V2),
            },
            Err(refusal) => {
                self.pubsub.metrics().connections_refused.add(1);
                HttpResponse::build(refusal.status)
                    .content_type("text/plain; charset=utf-8")
                    .body(refusal.body.into_string())
            }
        }
    }

    fn admit(&self, place: &Place, request: &HttpRequest) -> Result<(Seat, Accepted), Refusal> {
        let peer = request.peer_addr().ok_or(Refusal::new(StatusCode::BAD_REQUEST, "no address"))?;
        let forwarded: Vec<&str> =
            request.headers().get_all("x-forwarded-for").filter_map(|value| value.to_str().ok()).collect();
        let address = address::of_client(peer.ip(), forwarded.into_iter(), &self.config.server.trusted_proxies);
        let accepted = handshake::check(request, &place.mount, &place.origins, address)?;
        if !self.ready.load(Ordering::Relaxed) {
            return Err(Refusal::new(StatusCode::SERVICE_UNAVAILABLE, "this server is going down"));
        }
        let bound = Bound { bytes: self.config.limits.queue_bytes, age: self.config.limits.queue_age };
        let seat = self.connections.enter(address, place.patience, bound).map_err(|no_room| match no_room {
            NoRoom::Node => Refusal::new(StatusCode::SERVICE_UNAVAILABLE, "this server is full"),
            NoRoom::Address => Refusal::new(StatusCode::TOO_MANY_REQUESTS, "too many connections from this address"),
        })?;
        Ok((seat, accepted))
    }

    fn open<P: WireProtocol>(
        &self,
        place: usize,
        request: &HttpRequest,
        payload: web::Payload,
        seat: Seat,
        accepted: Accepted,
        protocol: P,
    ) -> HttpResponse {
        if let Some(wire) = request.conn_data::<Arc<RawSocket>>() {
            seat.connection.attach(wire.clone());
        }
        self.pubsub.metrics().connections.add(1);
        let rules = self.mounts[place].rules.clone();
        let size = Size { bytes: rules.limits.message_bytes, fragments: rules.limits.fragments };
        let (metrics, connection) = (self.pubsub.shared_metrics(), seat.connection.clone());
        let socket =
            Socket::new(rules, metrics, connection, websocket::NAME, accepted.connected.assigns, Instant::now());
        let session = Session::new(socket, protocol, self.pubsub.clone(), seat);
        if let Some(id) = accepted.connected.id {
            session.listen(id);
        }
        websocket::start(request, payload, accepted.subprotocol.as_deref(), session, size)
    }

    /// How often the sweep must look, to keep to the shortest of its times.
    fn tick(&self) -> Duration {
        let idle = self.mounts.iter().map(|place| place.patience.idle).min().unwrap_or(Duration::MAX);
        let shortest = idle.min(self.config.socket.join_within).min(self.config.limits.queue_age);
        (shortest / 4).clamp(Duration::from_millis(10), Duration::from_secs(1))
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

/// Has the kernel give up on a client that takes nothing, and keeps the means to cut the wire: the
/// session actor of a client that does not read is not run, and cannot do it.
fn on_connect(io: &dyn Any, extensions: &mut Extensions, write_timeout: Duration) {
    let Some(stream) = io.downcast_ref::<actix_web::rt::net::TcpStream>() else { return };
    let socket = SockRef::from(stream);
    let guarded = socket.set_tcp_user_timeout(Some(write_timeout)).and_then(|()| socket.try_clone());
    match guarded {
        Ok(wire) => drop(extensions.insert(Arc::new(wire))),
        Err(error) => log::warn!("a connection goes without a write timeout: {error}"),
    }
}

fn listen(address: SocketAddr, backlog: u32) -> io::Result<TcpListener> {
    let socket = RawSocket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    socket.set_reuse_address(true)?;
    socket.bind(&address.into())?;
    socket.listen(i32::try_from(backlog).unwrap_or(i32::MAX))?;
    Ok(socket.into())
}

/// A node that serves. Dropping it leaves it serving; [`stop`](Self::stop) ends it.
pub struct Running {
    address: SocketAddr,
    serving: Serving,
    died: oneshot::Receiver<()>,
    signals: Signals,
}

/// SIGTERM and SIGINT, heard from the moment the node listens.
struct Signals {
    terminate: Signal,
    interrupt: Signal,
}

impl Signals {
    fn listen() -> io::Result<Self> {
        Ok(Self { terminate: signal(SignalKind::terminate())?, interrupt: signal(SignalKind::interrupt())? })
    }

    async fn next(&mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
        }
    }
}

impl Running {
    /// Where it listens; the real port when it was asked for port 0.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The handle to its topics.
    #[must_use]
    pub fn pubsub(&self) -> Pubsub {
        self.serving.node.pubsub.clone()
    }

    /// How many clients are connected.
    #[must_use]
    pub fn connections(&self) -> usize {
        self.serving.node.connections.len()
    }

    /// Serves until SIGTERM or SIGINT, then drains. A second signal ends it at once.
    ///
    /// # Errors
    /// When the registry has died: a node without it is worse than a restart.
    pub async fn until_signal(self) -> io::Result<()> {
        let Self { serving, mut died, mut signals, .. } = self;
        tokio::select! {
            () = signals.next() => {}
            _ = &mut died => return Err(io::Error::other("the registry has died")),
        }
        log::info!("draining {} connections; a second signal ends at once", serving.node.connections.len());
        tokio::select! {
            () = serving.drain() => {}
            () = signals.next() => log::warn!("ending at once"),
        }
        Ok(())
    }

    /// Turns newcomers away, tells the clients to come back elsewhere, and ends.
    pub async fn drain(self) {
        self.serving.drain().await;
    }

    /// Ends at once: connections are dropped.
    pub async fn stop(self) {
        self.serving.stop().await;
    }
}

/// The parts that run.
struct Serving {
    node: Arc<Node>,
    handle: ServerHandle,
    server: JoinHandle<io::Result<()>>,
    sweeping: JoinHandle<()>,
}

impl Serving {
    async fn drain(self) {
        self.node.ready.store(false, Ordering::Relaxed);
        tokio::time::sleep(NOTICE).await;
        self.handle.pause().await;
        let drain = &self.node.config.drain;
        self.node.connections.drain(drain.spread, drain.timeout).await;
        self.stop().await;
    }

    async fn stop(self) {
        self.sweeping.abort();
        self.handle.stop(false).await;
        // the server's own error would have been one of binding, which has succeeded
        let _ = self.server.await;
    }
}

impl std::fmt::Debug for Running {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Running").field("address", &self.address).finish_non_exhaustive()
    }
}
