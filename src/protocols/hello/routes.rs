//! HelloWebRTC's way in: the mount's path, and the root for an upgrade, where the original's clients connect.

use actix_web::guard::{self, GuardContext};
use actix_web::http::header;
use actix_web::web::{self, ServiceConfig};
use actix_web::{HttpRequest, HttpResponse};

use super::Hello;
use super::channel::HelloChannel;
use crate::channels::channel::Router;
use crate::config::schema::{Config, Hello as Terms};
use crate::connections::hub::ConnectionSlot;
use crate::connections::limits::Timeouts;
use crate::http::acceptor::{Acceptor, ProtocolMount};
use crate::http::mount::{ConnectError, ConnectInfo, Mount, SocketInit};
use crate::http::request::{check_origin, params};
use crate::topic::Realm;
use crate::transports::websocket;

pub(crate) const MOUNT: ProtocolMount = ProtocolMount { realm: Realm::Hello, timeouts, routes };
const PATH: &str = "/hello";

/// The standard mount.
pub(crate) fn mount(terms: &Terms) -> (Mount, ProtocolMount) {
    let router = Router::new().channel("name:*", |_| HelloChannel::new());
    (Mount::new(PATH, router).check_origin(terms.check_origin.clone()), MOUNT)
}

/// These clients say nothing unasked: theirs is to answer pings.
fn timeouts(mount: &Mount, config: &Config) -> Timeouts {
    let terms = &config.hello;
    let ping = mount.ping_interval.unwrap_or(terms.ping_interval);
    Timeouts {
        idle: ping + mount.idle_timeout.unwrap_or(terms.ping_timeout),
        join: mount.join_timeout.unwrap_or(terms.register_within),
        ping_interval: Some(ping),
    }
}

fn routes(acceptor: &Acceptor, app: &mut ServiceConfig) {
    let base = acceptor.path();
    for (path, is_root) in [(base.to_owned(), false), (format!("{base}/"), false), ("/".to_owned(), true)] {
        let acceptor = acceptor.clone();
        let route = web::get().to(move |request, payload| upgrade(acceptor.clone(), request, payload));
        // others who come to the root want the page
        app.route(&path, if is_root { route.guard(guard::fn_guard(is_upgrade)) } else { route });
    }
}

fn is_upgrade(ctx: &GuardContext<'_>) -> bool {
    let upgrade = ctx.head().headers().get(header::UPGRADE).and_then(|upgrade| upgrade.to_str().ok());
    upgrade.is_some_and(|upgrade| upgrade.eq_ignore_ascii_case("websocket"))
}

async fn upgrade(acceptor: Acceptor, request: HttpRequest, payload: web::Payload) -> HttpResponse {
    match admit(&acceptor, &request).await {
        Ok((slot, init)) => {
            let hello = Hello::new(acceptor.pubsub().shared_metrics());
            acceptor.websocket(&request, payload, None, slot, init, hello)
        }
        Err(refusal) => acceptor.refuse(refusal),
    }
}

async fn admit(acceptor: &Acceptor, request: &HttpRequest) -> Result<(ConnectionSlot, SocketInit), ConnectError> {
    let client_ip = acceptor.client_ip(request)?;
    let params = params(request.query_string())?;
    check_origin(request.headers(), acceptor.origins())?;
    let request = request.clone();
    acceptor.admit(ConnectInfo { request, params, client_ip, auth_token: None, transport: websocket::NAME }).await
}
