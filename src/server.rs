//! The HTTP server: how each request finds its way, to a mount, to health, to the page, or to the
//! application's own routes.

use std::any::Any;
use std::io;
use std::net::TcpListener;
use std::sync::Arc;
use std::time::Duration;

use actix_web::dev::{Extensions, Server};
use actix_web::web::{self, ServiceConfig};
use actix_web::{App, HttpResponse, HttpServer};
use socket2::SockRef;

use crate::door::{Door, Entrance};
use crate::node::Node;
use crate::page;

/// HTTP routes of the application's own.
pub(crate) type Routes = Arc<dyn Fn(&mut ServiceConfig) + Send + Sync>;

/// Everything that is served on the node's one port.
#[derive(Clone)]
pub(crate) struct Site {
    pub(crate) node: Arc<Node>,
    /// The mounts, each with what its protocol makes of it.
    pub(crate) doors: Vec<(Door, Entrance)>,
    pub(crate) routes: Vec<Routes>,
}

/// Begins to serve on `listener`.
pub(crate) fn serve(site: Site, listener: TcpListener) -> io::Result<Server> {
    let config = &site.node.config;
    let write_timeout = config.socket.write_timeout;
    let workers = match config.server.workers {
        0 => std::thread::available_parallelism().map_or(1, usize::from),
        workers => workers,
    };
    let (header_timeout, shutdown) = (config.server.header_timeout, config.drain.timeout.as_secs().max(1));
    // one more than may be open at a time, so that the one too many still hears why
    let per_worker = config.server.connections.div_ceil(workers) + 64;
    let server = HttpServer::new(move || {
        let pubsub = web::Data::new(site.node.pubsub.clone());
        App::new().app_data(pubsub).configure(|app| site.configure(app))
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

impl Site {
    fn configure(&self, app: &mut ServiceConfig) {
        self.doors.iter().for_each(|(door, entrance)| (entrance.routes)(door, app));
        app.route("/healthz", web::get().to(|| async { "ok\n" }));
        let node = self.node.clone();
        app.route("/readyz", web::get().to(move || readiness(node.clone())));
        let page = &self.node.config.page;
        if page.enabled {
            page::configure(app, page.dir.clone());
        }
        self.routes.iter().for_each(|add| add(app));
    }
}

async fn readiness(node: Arc<Node>) -> HttpResponse {
    match node.is_ready() {
        true => HttpResponse::Ok().body("ready\n"),
        false => HttpResponse::ServiceUnavailable().body("draining\n"),
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
