//! The HTTP server: how each request finds its way, to a mount, to health, to the page, or to the
//! application's own routes.

use std::future::ready;
use std::io;
use std::net::{Shutdown, TcpListener};
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use actix_http::{HttpService, Request};
use actix_service::{IntoServiceFactory, Service, ServiceFactory, ServiceFactoryExt, map_config};
use actix_web::body::BoxBody;
use actix_web::dev::{AppConfig, Extensions, ServiceResponse, fn_factory, fn_service};
use actix_web::middleware::from_fn;
use actix_web::rt::net::TcpStream;
use actix_web::web::{self, ServiceConfig};
use actix_web::{App, Error, HttpResponse};
use socket2::SockRef;

use crate::connections::flusher::Flusher;
use crate::http::acceptor::{Acceptor, ProtocolMount};
use crate::http::client_ip::ClientIp;
use crate::http::idle_connections::track_request;
use crate::http::node_state::NodeState;
#[cfg(feature = "page")]
use crate::http::page;
use crate::server::workers::{AcceptLimit, Accepted, Workers};
use crate::transports::websocket::io::{UpgradeRequest, spawn_connection};

/// HTTP routes of the application's own.
pub(crate) type Routes = Arc<dyn Fn(&mut ServiceConfig) + Send + Sync>;

/// Everything that is served on the node's one port.
#[derive(Clone)]
pub(crate) struct AppFactory {
    pub(crate) node: Arc<NodeState>,
    /// The mounts, each with what its protocol makes of it.
    pub(crate) acceptors: Vec<(Acceptor, ProtocolMount)>,
    pub(crate) routes: Vec<Routes>,
}

/// Has the workers serve what comes to `listener`.
pub(crate) fn serve(factory: AppFactory, listener: &TcpListener, workers: &mut Workers) -> io::Result<()> {
    // one more than may be open at a time, so that the one too many still hears why
    let accept_limit =
        AcceptLimit::new(factory.node.config.server.connections + 64, factory.node.pubsub.shared_metrics());
    workers.serve(listener, accept_limit, move || factory.service())
}

impl AppFactory {
    /// What a worker does with a connection, from its first byte on.
    pub(crate) fn service(&self) -> impl ServiceFactory<Accepted, Config = (), Service: 'static> + use<> {
        let config = &self.node.config;
        let write_timeout = config.socket.write_timeout;
        let (header_timeout, keep_alive) = (config.server.header_timeout, config.server.keep_alive);
        let (factory, app, node) = (self.clone(), self.app(), self.node.clone());
        HttpService::build()
            .keep_alive(keep_alive)
            .client_request_timeout(header_timeout)
            .client_disconnect_timeout(write_timeout)
            .on_connect_ext(move |io: &TcpStream, extensions| on_connect(io, extensions, &node))
            .upgrade(fn_factory(move || factory.clone().upgrades(write_timeout)))
            .h1(app.map_err(|error| error.error_response()))
    }

    /// All routes, as one service for a worker.
    fn app(
        &self,
    ) -> impl ServiceFactory<Request, Config = (), Response = ServiceResponse<BoxBody>, Error = Error, InitError = ()> + use<>
    {
        let factory = self.clone();
        let pubsub = web::Data::new(factory.node.pubsub.clone());
        let app = App::new().app_data(pubsub).wrap(from_fn(track_request)).configure(|app| factory.configure(app));
        map_config(app.into_factory(), |()| AppConfig::default())
    }

    /// The same routes for requests that ask for an upgrade, whose connections are ours from then on.
    async fn upgrades(
        self,
        write_timeout: Duration,
    ) -> Result<impl Service<UpgradeRequest, Response = (), Error = Error>, ()> {
        let app = Rc::new(self.app().new_service(()).await?);
        let ready_queue = Flusher::start(self.node.pubsub.shared_metrics());
        Ok(fn_service(move |upgrade| {
            spawn_connection(app.clone(), upgrade, ready_queue.clone(), write_timeout);
            ready(Ok(()))
        }))
    }

    pub(crate) fn configure(&self, app: &mut ServiceConfig) {
        self.acceptors.iter().for_each(|(acceptors, protocol)| (protocol.routes)(acceptors, app));
        app.route("/healthz", web::get().to(|| async { "ok\n" }));
        let node = self.node.clone();
        app.route("/readyz", web::get().to(move || readiness(node.clone())));
        #[cfg(feature = "page")]
        if self.node.config.page.enabled {
            page::configure(app, self.node.config.page.dir.clone());
        }
        self.routes.iter().for_each(|add| add(app));
    }
}

async fn readiness(node: Arc<NodeState>) -> HttpResponse {
    match node.is_ready() {
        true => HttpResponse::Ok().body("ready\n"),
        false => HttpResponse::ServiceUnavailable().body("draining\n"),
    }
}

/// Has the kernel give up on a client that takes nothing, and keeps the means to cut the wire: the
/// session actor of a client that does not read is not run, and cannot do it. An address with too many
/// connections is hung up on at once: it might never say anything that could be answered.
fn on_connect(stream: &TcpStream, extensions: &mut Extensions, node: &NodeState) {
    let socket = SockRef::from(stream);
    let Ok(peer) = stream.peer_addr() else { return };
    let client_ip = ClientIp::new(peer.ip(), [].into_iter(), &node.config.server.trusted_proxies);
    if !client_ip.is_proxied {
        let Some(ip_slot) = node.ip_table.admit_tcp(client_ip.address, Instant::now()) else {
            node.pubsub.metrics().connections_without_request.inc();
            log::debug!("hung up on {}: too many connections from this address", client_ip.address);
            return drop(socket.shutdown(Shutdown::Both)); // an error means that it has gone by itself
        };
        extensions.insert(Arc::new(ip_slot));
    }
    let guarded = socket.set_tcp_user_timeout(Some(node.config.socket.write_timeout)).and_then(|()| socket.try_clone());
    match guarded {
        Ok(wire) => drop(extensions.insert(node.idle_connections.track(Arc::new(wire)))),
        Err(error) => log::debug!("a connection without a write timeout may not become a socket: {error}"),
    }
}
