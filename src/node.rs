//! What all workers of a node share, and how each request finds its way: to a mount, to health, to the
//! page.

use std::any::Any;
use std::io;
use std::net::TcpListener;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use actix_web::dev::{Extensions, Server};
use actix_web::http::StatusCode;
use actix_web::web::{self, ServiceConfig};
use actix_web::{App, HttpRequest, HttpResponse, HttpServer};
use socket2::{SockRef, Socket as RawSocket};

use crate::address::Caller;
use crate::config::Config;
use crate::connection::Patience;
use crate::connections::{Ceiling, Connections, NoRoom, Seat};
use crate::handshake::{self, Accepted};
use crate::mailbox::Bound;
use crate::mount::{Mount, Refusal};
use crate::origin::Origins;
use crate::page;
use crate::protocol::Protocol;
use crate::protocols::phoenix::{V1, V2, Version};
use crate::pubsub::Pubsub;
use crate::rules::Rules;
use crate::session::Session;
use crate::socket::Socket;
use crate::websocket::{self, Size};

/// HTTP routes of the application's own.
pub(crate) type Routes = Arc<dyn Fn(&mut ServiceConfig) + Send + Sync>;

/// What every worker shares.
pub(crate) struct Node {
    pub(crate) config: Config,
    mounts: Vec<Place>,
    pub(crate) pubsub: Pubsub,
    pub(crate) connections: Arc<Connections>,
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
            rules: Arc::new(Rules::new(mount.router.clone(), limits)),
            origins: mount.origins.clone().unwrap_or_else(|| config.socket.check_origin.clone()),
            patience: Patience { idle, unjoined: config.socket.join_within },
            mount,
        }
    }
}

impl Node {
    pub(crate) fn new(config: Config, mounts: Vec<Mount>, pubsub: Pubsub) -> Self {
        let ceiling = Ceiling {
            connections: config.server.connections,
            per_address: config.limits.connections_per_address,
            write_timeout: config.socket.write_timeout,
        };
        let connections = Connections::new(ceiling, pubsub.clone());
        let mounts = mounts.into_iter().map(|mount| Place::new(mount, &config)).collect();
        Self { config, mounts, pubsub, connections, ready: AtomicBool::new(true) }
    }

    pub(crate) fn serve(self: Arc<Self>, listener: TcpListener, routes: Vec<Routes>) -> io::Result<Server> {
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

    /// Says from now on that it is not ready, and lets nobody new in.
    pub(crate) fn retire(&self) {
        self.ready.store(false, Ordering::Relaxed);
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
                log::debug!("refused with {}: {}", refusal.status.as_u16(), refusal.body);
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
        let caller = Caller::new(peer.ip(), forwarded.into_iter(), &self.config.server.trusted_proxies);
        let accepted = handshake::check(request, &place.mount, &place.origins, caller)?;
        if !self.ready.load(Ordering::Relaxed) {
            return Err(Refusal::new(StatusCode::SERVICE_UNAVAILABLE, "this server is going down"));
        }
        let bound = Bound { bytes: self.config.limits.queue_bytes, age: self.config.limits.queue_age };
        let Some(wire) = request.conn_data::<Arc<RawSocket>>() else {
            // what cannot be cut could stay for ever
            return Err(Refusal::new(StatusCode::SERVICE_UNAVAILABLE, "this server is full"));
        };
        let seat = self.connections.enter(caller.address, place.patience, bound).map_err(|no_room| match no_room {
            NoRoom::Node => Refusal::new(StatusCode::SERVICE_UNAVAILABLE, "this server is full"),
            NoRoom::Address => Refusal::new(StatusCode::TOO_MANY_REQUESTS, "too many connections from this address"),
        })?;
        seat.connection.attach(wire.clone());
        Ok((seat, accepted))
    }

    fn open<P: Protocol>(
        &self,
        place: usize,
        request: &HttpRequest,
        payload: web::Payload,
        seat: Seat,
        accepted: Accepted,
        protocol: P,
    ) -> HttpResponse {
        self.pubsub.metrics().connections.add(1);
        log::debug!(
            "{}: connected from {} to {}",
            seat.connection.id,
            seat.connection.address,
            self.mounts[place].mount.path
        );
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
    pub(crate) fn tick(&self) -> Duration {
        let idle = self.mounts.iter().map(|place| place.patience.idle).min().unwrap_or(Duration::MAX);
        let shortest = idle.min(self.config.socket.join_within).min(self.config.limits.queue_age);
        (shortest / 4).clamp(Duration::from_millis(10), Duration::from_secs(1))
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
        Err(error) => log::debug!("a connection without a write timeout may not become a socket: {error}"),
    }
}
