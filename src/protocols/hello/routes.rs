//! HelloWebRTC's HTTP routes: WebSocket upgrades at the mount's path, and at `/`, where the original's clients connect.

use std::sync::Arc;

use actix_web::guard::{self, GuardContext};
use actix_web::http::header;
use actix_web::web::{self, ServiceConfig};

use super::super::upgrade::open;
use super::Hello;
use super::channel::{BinaryChannel, HelloChannel};
use super::recent_names::RecentNames;
use crate::channels::channel::Router;
use crate::config::paths;
use crate::config::schema::{self, Config};
use crate::connections::limits::Timeouts;
use crate::http::acceptor::{Acceptor, ProtocolMount, pinged_timeouts};
use crate::http::methods;
use crate::http::mount::Mount;
use crate::topic::Realm;

pub(crate) const MOUNT: ProtocolMount = ProtocolMount { realm: Realm::Hello, timeouts, routes, cors: None };

/// The standard mount.
pub(crate) fn mount(config: &schema::Hello) -> (Mount, ProtocolMount) {
    let recent_names = Arc::new(RecentNames::default());
    let router = Router::new()
        .channel("name:*", |_| HelloChannel::new())
        .channel("binary:*", move |_| BinaryChannel::new(recent_names.clone()));
    (Mount::new(paths::HELLO, router).check_origin(config.check_origin.clone()), MOUNT)
}

fn timeouts(mount: &Mount, config: &Config) -> Timeouts {
    let schema::Hello { ping_interval, ping_timeout, register_timeout, .. } = config.hello;
    pinged_timeouts(mount, ping_interval, ping_timeout, register_timeout)
}

fn routes(acceptor: &Acceptor, app: &mut ServiceConfig) {
    let base = acceptor.path();
    let open = |acceptor: &Acceptor| {
        let acceptor = acceptor.clone();
        move |request, payload| {
            let hello = Hello::new(acceptor.pubsub().shared_metrics());
            open(acceptor.clone(), request, payload, hello)
        }
    };
    for slash in ["", "/"] {
        app.service(methods::readable(&format!("{base}{slash}"), open(acceptor)));
    }
    // other requests to the root are for the page
    app.route("/", web::get().guard(guard::fn_guard(is_upgrade)).to(open(acceptor)));
}

fn is_upgrade(ctx: &GuardContext<'_>) -> bool {
    let upgrade = ctx.head().headers().get(header::UPGRADE).and_then(|upgrade| upgrade.to_str().ok());
    upgrade.is_some_and(|upgrade| upgrade.eq_ignore_ascii_case("websocket"))
}
