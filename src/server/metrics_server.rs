//! The HTTP server of `/metrics`, on an address of its own. It has one thread and short timeouts, because Prometheus
//! requests one page every few seconds. The text itself is made in [`prometheus`](crate::server::prometheus).

use std::any::Any;
use std::io;
use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;

use actix_web::dev::Extensions;
use actix_web::http::{KeepAlive, header};
use actix_web::middleware::from_fn;
use actix_web::web::Data;
use actix_web::{App, HttpRequest, HttpResponse, HttpServer};
use prometheus::Registry;
use socket2::SockRef;
use tokio::net::TcpStream;

use crate::http::host_check::{HostCheck, check_host};
use crate::http::hosts::{self, HostRules};
use crate::http::methods;
use crate::http::node_state::NodeState;
use crate::http::places::{Place, Places};
use crate::http::side_server::{SideServer, TIMEOUT};
use crate::server::prometheus::Exporter;

/// The number of connections that the kernel queues until they are accepted.
pub(super) const BACKLOG: u32 = 16;
/// The number of connections served at a time. Further ones wait in the kernel.
const CONNECTIONS: usize = 16;

/// The running server.
pub(super) struct MetricsServer {
    pub(super) address: SocketAddr,
    pub(super) server: SideServer,
}

impl MetricsServer {
    /// Starts to serve `/metrics` on `listeners`, of which there is at least one: the metrics of `node` and the
    /// application's `custom`. It serves nothing else.
    pub(super) fn serve(node: Arc<NodeState>, custom: Registry, listeners: Vec<TcpListener>) -> io::Result<Self> {
        let address = listeners[0].local_addr()?;
        let config = &node.config;
        let listen = config.metrics.listen.clone().unwrap_or_else(|| address.into());
        let rules = HostRules::on_loopback(&listen, &config.server.public_urls);
        let host_check = Data::new(HostCheck { rules, node: node.clone() });
        let exporter = Data::new(Exporter::new(node, custom));
        let app = move || {
            let app = App::new().app_data(exporter.clone()).app_data(host_check.clone()).wrap(from_fn(check_host));
            app.service(methods::readable("/metrics", read))
        };
        let places = Places::new(CONNECTIONS);
        let server = SideServer::build(app, CONNECTIONS, KeepAlive::Disabled).on_connect(move |io, extensions| {
            on_connect(io, extensions);
            if let Some(place) = places.take(io) {
                extensions.insert(place);
            }
        });
        let server = SideServer::run(listeners.into_iter().try_fold(server, HttpServer::listen)?.run());
        Ok(Self { address, server })
    }
}

/// Makes the kernel drop a client that does not read, and keeps the connection's own address for the check of its hosts.
pub(super) fn on_connect(io: &dyn Any, extensions: &mut Extensions) {
    if let Some(stream) = io.downcast_ref::<TcpStream>() {
        if let Ok(local) = stream.local_addr() {
            hosts::accepted(extensions, local, false, false);
        }
        // if this fails, the server's own timeouts still apply
        let _ = SockRef::from(stream).set_tcp_user_timeout(Some(TIMEOUT));
    }
}

async fn read(request: HttpRequest, exporter: Data<Exporter>) -> HttpResponse {
    request.conn_data::<Arc<Place>>().into_iter().for_each(|place| place.keep());
    match exporter.text().await {
        Ok(text) => HttpResponse::Ok()
            .content_type(prometheus::TEXT_FORMAT)
            .insert_header((header::CACHE_CONTROL, "no-store"))
            .body(text),
        Err(error) => HttpResponse::InternalServerError().body(error.to_string()),
    }
}
