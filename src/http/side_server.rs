//! A server beside the public listener, on an address of its own: it has one thread, and serves few connections at a time.

use std::fmt;
use std::io;
use std::time::Duration;

use actix_http::{Request, Response};
use actix_service::{IntoServiceFactory, ServiceFactory};
use actix_web::body::MessageBody;
use actix_web::dev::{AppConfig, Server, ServerHandle};
use actix_web::http::KeepAlive;
use actix_web::{Error, HttpServer};
use tokio::task::JoinHandle;

/// The timeout for a request's headers, and for a client that does not read its response.
pub(crate) const TIMEOUT: Duration = Duration::from_secs(2);

/// The running server.
pub(crate) struct SideServer {
    handle: ServerHandle,
    server: JoinHandle<io::Result<()>>,
}

impl SideServer {
    /// Builds a server of what `app` makes. Further connections than `connections` wait in the kernel.
    pub(crate) fn build<F, I, S, B>(app: F, connections: usize, keep_alive: KeepAlive) -> HttpServer<F, I, S, B>
    where
        F: Fn() -> I + Send + Clone + 'static,
        I: IntoServiceFactory<S, Request>,
        S: ServiceFactory<Request, Config = AppConfig> + 'static,
        S::Error: Into<Error> + 'static,
        S::InitError: fmt::Debug,
        S::Response: Into<Response<B>> + 'static,
        B: MessageBody + 'static,
    {
        HttpServer::new(app)
            .workers(1)
            .max_connections(connections)
            .client_request_timeout(TIMEOUT)
            .client_disconnect_timeout(TIMEOUT)
            .disable_signals()
            .keep_alive(keep_alive)
    }

    /// Runs a server that listens.
    pub(crate) fn run(server: Server) -> Self {
        Self { handle: server.handle(), server: actix_web::rt::spawn(server) }
    }

    pub(crate) async fn stop(self) {
        self.handle.stop(false).await;
        // an error would come from binding the address, which has succeeded
        let _ = self.server.await;
    }
}
