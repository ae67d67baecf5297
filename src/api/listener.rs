//! The HTTP server of the API: its connections, its thread and its time limits.

use std::io;
use std::net::{SocketAddr, TcpListener};
use std::os::unix::net::UnixListener;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use actix_web::web::{self, Payload};
use actix_web::{App, HttpRequest, HttpServer};

use crate::api::connection::ApiConnection;
use crate::api::dispatch::respond;
use crate::api::state::{Api, CONNECTIONS};
use crate::http::node_state::NodeState;
use crate::http::places::Places;
use crate::http::side_server::SideServer;

/// The number of connections that the kernel queues until they are accepted.
pub(crate) const BACKLOG: u32 = 64;
/// How long a connection is kept for the next request.
const KEEP_ALIVE: Duration = Duration::from_secs(15);

/// Where the listener accepts connections.
pub(crate) enum Listeners {
    /// At least one.
    Tcp(Vec<TcpListener>),
    /// With the path of its file.
    Unix(UnixListener, PathBuf),
}

/// The running server.
pub(crate) struct ApiServer {
    /// Its address, if it has one.
    pub(crate) address: Option<SocketAddr>,
    /// The file of its unix socket.
    file: Option<PathBuf>,
    server: SideServer,
}

impl ApiServer {
    /// Serves the API of `node` on a thread of its own.
    pub(crate) fn serve(node: Arc<NodeState>, listeners: Listeners) -> io::Result<Self> {
        let api = Api::new(node);
        let app = move || {
            let api = api.clone();
            App::new().default_service(web::to(move |request: HttpRequest, body: Payload| {
                respond(api.clone(), request, body)
            }))
        };
        let places = Places::new(CONNECTIONS);
        let server = SideServer::build(app, CONNECTIONS, KEEP_ALIVE.into())
            .on_connect(move |io, extensions| ApiConnection::watch(&places, io, extensions));
        let (address, file) = match &listeners {
            Listeners::Tcp(listeners) => (Some(listeners[0].local_addr()?), None),
            Listeners::Unix(_, path) => (None, Some(path.clone())),
        };
        let server = match listeners {
            Listeners::Tcp(listeners) => listeners.into_iter().try_fold(server, HttpServer::listen)?,
            Listeners::Unix(listener, _) => server.listen_uds(listener)?,
        };
        Ok(Self { address, file, server: SideServer::run(server.run()) })
    }

    /// Stops the server, and removes the file of its unix socket.
    pub(crate) async fn stop(self) {
        self.server.stop().await;
        if let Some(file) = self.file {
            // an error means that somebody has removed it
            let _ = std::fs::remove_file(file);
        }
    }
}
