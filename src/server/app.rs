//! The HTTP service of a worker: it routes requests to the mounts, the health checks, the page, and the application's
//! own routes. Accepting connections is in [`workers`](crate::server::workers).

use std::future::ready;
use std::io;
use std::net::TcpListener;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use actix_http::{HttpService, Request};
use actix_service::{IntoServiceFactory, Service, ServiceFactory, ServiceFactoryExt, map_config};
use actix_web::body::BoxBody;
use actix_web::dev::{AppConfig, ServiceResponse, fn_factory, fn_service};
use actix_web::http::header;
use actix_web::middleware::from_fn;
use actix_web::web::{self, ServiceConfig};
use actix_web::{App, Error, HttpResponse, HttpResponseBuilder};

use crate::config::paths;
use crate::connections::client_stream::ClientStream;
use crate::connections::flusher::Flusher;
use crate::http::acceptor::{Acceptor, ProtocolMount};
use crate::http::cors::{CorsRules, apply_rules};
use crate::http::host_check::{HostCheck, check_host};
use crate::http::hosts::HostRules;
use crate::http::ice;
use crate::http::idle_connections::track_request;
use crate::http::methods;
use crate::http::node_state::NodeState;
#[cfg(feature = "page")]
use crate::http::page;
use crate::http::sliced_body::slice_response;
use crate::server::handshake::{on_connect, open};
use crate::server::workers::{AcceptLimit, Accepted, Workers};
use crate::transports::websocket::io::{UpgradeRequest, spawn_connection};

/// HTTP routes that the application adds.
pub(crate) type Routes = Arc<dyn Fn(&mut ServiceConfig) + Send + Sync>;

/// Makes the service of each worker: everything that the node serves on its public port.
#[derive(Clone)]
pub(crate) struct AppFactory {
    pub(crate) node: Arc<NodeState>,
    /// The mounts, each with the routes and options of its protocol.
    pub(crate) acceptors: Vec<(Acceptor, ProtocolMount)>,
    pub(crate) routes: Vec<Routes>,
}

/// Makes the workers serve the connections of `listeners`.
pub(crate) fn serve(factory: AppFactory, listeners: &[TcpListener], workers: &mut Workers) -> io::Result<()> {
    // more than may be open at a time, so that a client beyond the limit still receives a response with the reason
    let accept_limit =
        AcceptLimit::new(factory.node.config.server.connections + 64, factory.node.pubsub.shared_metrics());
    workers.serve(listeners, accept_limit, move || factory.service())
}

impl AppFactory {
    /// The service that handles a worker's connections from their first byte.
    pub(crate) fn service(&self) -> impl ServiceFactory<Accepted, Config = (), Service: 'static> + use<> {
        let config = &self.node.config;
        let close_timeout = config.socket.close_timeout;
        let (header_timeout, keep_alive) = (config.server.header_timeout, config.server.keep_alive);
        let (factory, app, node) = (self.clone(), self.app(), self.node.clone());
        let opening = node.clone();
        let http = HttpService::build()
            .keep_alive(keep_alive)
            .client_request_timeout(header_timeout)
            .client_disconnect_timeout(close_timeout)
            .on_connect_ext(move |stream: &ClientStream, extensions| on_connect(stream, extensions, &node))
            .upgrade(fn_factory(move || factory.clone().upgrades(close_timeout)))
            .h1(app.map_err(|error| error.error_response()));
        fn_service(move |accepted| open(accepted, opening.clone())).and_then(http)
    }

    /// All routes, as one service.
    fn app(
        &self,
    ) -> impl ServiceFactory<Request, Config = (), Response = ServiceResponse<BoxBody>, Error = Error, InitError = ()> + use<>
    {
        let factory = self.clone();
        let pubsub = web::Data::new(factory.node.pubsub.clone());
        let cors_rules = web::Data::new(factory.cors_rules());
        let config = &factory.node.config.server;
        let rules = HostRules::public(&config.listen, &config.public_urls);
        let host_check = web::Data::new(HostCheck { rules, node: factory.node.clone() });
        let app = App::new()
            .app_data(pubsub)
            .app_data(cors_rules)
            .app_data(host_check)
            .wrap(from_fn(slice_response))
            .wrap(from_fn(check_host))
            .wrap(from_fn(apply_rules))
            .wrap(from_fn(track_request))
            .configure(|app| factory.configure(app));
        map_config(app.into_factory(), |()| AppConfig::default())
    }

    /// The same routes for upgrade requests, whose connections are no longer handled by the HTTP server.
    async fn upgrades(
        self,
        close_timeout: Duration,
    ) -> Result<impl Service<UpgradeRequest, Response = (), Error = Error>, ()> {
        let app = Rc::new(self.app().new_service(()).await?);
        let (memory, clock) = (self.node.pubsub.memory().clone(), self.node.pubsub.clock().clone());
        let ready_queue = Flusher::start(self.node.pubsub.shared_metrics(), memory.clone());
        Ok(fn_service(move |upgrade| {
            spawn_connection(app.clone(), upgrade, ready_queue.clone(), memory.clone(), close_timeout, clock.clone());
            ready(Ok(()))
        }))
    }

    pub(crate) fn configure(&self, app: &mut ServiceConfig) {
        self.acceptors.iter().for_each(|(acceptor, protocol)| (protocol.routes)(acceptor, app));
        app.service(methods::readable(paths::HEALTH, || async { health(HttpResponse::Ok(), "ok") }));
        let node = self.node.clone();
        app.service(methods::readable(paths::READINESS, move || {
            let response = readiness(&node);
            async { response }
        }));
        if self.node.config.ice.enabled {
            ice::configure(app, &self.node);
        }
        match self.node.config.page.enabled {
            #[cfg(feature = "page")]
            true => page::configure(app, &self.node.config, &self.acceptors),
            _ => methods::without_page(app),
        }
        self.routes.iter().for_each(|add| add(app));
    }

    /// Which pages may read the responses of the node's services.
    fn cors_rules(&self) -> CorsRules {
        let config = &self.node.config;
        let mounts = self.acceptors.iter().filter_map(|(acceptor, protocol)| Some((protocol.cors?)(acceptor)));
        let mut rules: CorsRules = mounts.collect();
        rules.extend(config.ice.enabled.then(|| ice::cors_rule(config)));
        #[cfg(feature = "page")]
        rules.extend(config.page.enabled.then(|| page::cors_rule(&config.page)).flatten());
        rules
    }
}

fn readiness(node: &NodeState) -> HttpResponse {
    match node.readiness() {
        Ok(()) => health(HttpResponse::Ok(), "ready"),
        Err(why) => health(HttpResponse::ServiceUnavailable(), &why),
    }
}

fn health(mut response: HttpResponseBuilder, line: &str) -> HttpResponse {
    let text = format!("{line}\n");
    response.content_type("text/plain; charset=utf-8").insert_header((header::CACHE_CONTROL, "no-store")).body(text)
}
