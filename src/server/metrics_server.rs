//! Where a node's metrics are read: an address of its own, with one thread and little patience, since whoever
//! reads them comes every few seconds and wants one page.

use std::any::Any;
use std::io;
use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::time::Duration;

use actix_web::dev::{Server, ServerHandle};
use actix_web::http::{KeepAlive, header};
use actix_web::web::{self, Data};
use actix_web::{App, HttpResponse, HttpServer};
use prometheus::Registry;
use socket2::SockRef;
use tokio::net::TcpStream;
use tokio::task::JoinHandle;

use crate::http::node_state::NodeState;
use crate::server::prometheus::Exporter;

/// Connections that the kernel holds until we accept them.
pub(crate) const BACKLOG: u32 = 16;
/// Connections at a time; more of them wait.
const CONNECTIONS: usize = 16;
/// How long a request's headers may take, and a client may take no bytes.
const TIMEOUT: Duration = Duration::from_secs(2);

/// The server that answers, until it is told to stop.
pub(crate) struct MetricsServer {
    pub(crate) address: SocketAddr,
    handle: ServerHandle,
    server: JoinHandle<io::Result<()>>,
}

impl MetricsServer {
    /// Begins to serve `/metrics` of `node`, with the application's `custom`, on `listener`, and nothing else.
    pub(crate) fn serve(node: Arc<NodeState>, custom: Registry, listener: TcpListener) -> io::Result<Self> {
        let address = listener.local_addr()?;
        let exporter = Data::new(Exporter::new(node, custom));
        let server: Server =
            HttpServer::new(move || App::new().app_data(exporter.clone()).route("/metrics", web::get().to(read)))
                .workers(1)
                .max_connections(CONNECTIONS)
                .client_request_timeout(TIMEOUT)
                .client_disconnect_timeout(TIMEOUT)
                .disable_signals()
                .keep_alive(KeepAlive::Disabled)
                .on_connect(|io, _| guard(io))
                .listen(listener)?
                .run();
        Ok(Self { address, handle: server.handle(), server: actix_web::rt::spawn(server) })
    }

    pub(crate) async fn stop(self) {
        self.handle.stop(false).await;
        // its own error would have been one of binding, which has succeeded
        let _ = self.server.await;
    }
}

/// Has the kernel give up on a client that takes nothing.
fn guard(io: &dyn Any) {
    if let Some(stream) = io.downcast_ref::<TcpStream>() {
        // one without it still has the server's own timeouts
        let _ = SockRef::from(stream).set_tcp_user_timeout(Some(TIMEOUT));
    }
}

async fn read(exporter: Data<Exporter>) -> HttpResponse {
    match exporter.text().await {
        Ok(text) => HttpResponse::Ok()
            .content_type(prometheus::TEXT_FORMAT)
            .insert_header((header::CACHE_CONTROL, "no-store"))
            .body(text),
        Err(error) => HttpResponse::InternalServerError().body(error.to_string()),
    }
}
