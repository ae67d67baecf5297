//! The HTTP server of `tls.redirect`: it sends requests over http to https. It has one thread and short timeouts, and serves
//! nothing else.

use std::io;
use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;

use actix_web::http::{KeepAlive, header};
use actix_web::middleware::from_fn;
use actix_web::web::{self, Data};
use actix_web::{App, HttpRequest, HttpResponse, HttpServer};

use crate::config::hosts::{Host, PublicUrl};
use crate::http::host_check::{HostCheck, check_host};
use crate::http::hosts::{self, HostRules};
use crate::http::node_state::NodeState;
use crate::http::side_server::SideServer;
use crate::server::metrics_server::on_connect;

/// The number of connections that the kernel queues until they are accepted.
pub(super) const BACKLOG: u32 = 128;
/// The number of connections served at a time. Further ones wait in the kernel.
const CONNECTIONS: usize = 256;
/// The port of https, which URLs do not name.
const HTTPS: u16 = 443;

/// The running server.
pub(super) struct RedirectServer {
    pub(super) address: SocketAddr,
    pub(super) server: SideServer,
}

/// Where https is.
#[derive(Clone)]
struct Target {
    public_urls: Vec<PublicUrl>,
    /// The port of the public listener, for hosts that no public URL names.
    port: u16,
}

impl RedirectServer {
    /// Starts to redirect the requests that arrive at `listeners`, of which there is at least one, to the public listener,
    /// which is at `port`.
    pub(super) fn serve(node: Arc<NodeState>, listeners: Vec<TcpListener>, port: u16) -> io::Result<Self> {
        let address = listeners[0].local_addr()?;
        let config = &node.config;
        let listen = config.tls.redirect.clone().unwrap_or_else(|| address.into());
        let target = Data::new(Target { public_urls: config.server.public_urls.clone(), port });
        let rules = HostRules::public(&listen, &config.server.public_urls);
        let host_check = Data::new(HostCheck { rules, node: node.clone() });
        let app = move || {
            let app = App::new().app_data(target.clone()).app_data(host_check.clone()).wrap(from_fn(check_host));
            app.default_service(web::to(redirect))
        };
        let server = SideServer::build(app, CONNECTIONS, KeepAlive::Disabled).on_connect(on_connect);
        let server = SideServer::run(listeners.into_iter().try_fold(server, HttpServer::listen)?.run());
        Ok(Self { address, server })
    }
}

async fn redirect(request: HttpRequest, target: Data<Target>) -> HttpResponse {
    let location = hosts::requested(&request).and_then(Host::parse).map(|host| {
        let path = request.uri().path_and_query().map_or("/", |path| path.as_str());
        format!("https://{}{path}", target.authority(&host))
    });
    match location {
        Some(location) => HttpResponse::PermanentRedirect()
            .insert_header((header::LOCATION, location))
            .insert_header((header::CACHE_CONTROL, "no-store"))
            .finish(),
        None => HttpResponse::BadRequest().body("the request names no host\n"),
    }
}

impl Target {
    fn authority(&self, host: &Host) -> String {
        let public = self.public_urls.iter().find(|url| url.host() == host);
        match public.and_then(PublicUrl::https_port).unwrap_or(self.port) {
            HTTPS => host.to_string(),
            port => format!("{host}:{port}"),
        }
    }
}
