//! The standard mount of the PeerJS protocol.

use super::channel::PeerJsChannel;
use super::{http, routes};
use crate::channels::channel::Router;
use crate::config::schema::{self, Config};
use crate::connections::limits::Timeouts;
use crate::http::acceptor::{Acceptor, ProtocolMount, default_timeouts};
use crate::http::cors::{self, CorsRule};
use crate::http::mount::Mount;
use crate::topic::Realm;

const MOUNT: ProtocolMount = ProtocolMount {
    realm: Realm::PeerJs,
    timeouts,
    routes: |acceptor, app| {
        routes::routes(acceptor, app);
        http::routes(acceptor, app);
    },
    cors: Some(cors_rule),
};

/// The number of pings within `peerjs.alive_timeout`.
const PINGS_PER_TIMEOUT: u32 = 3;

/// The standard mount.
pub(crate) fn mount(config: &schema::PeerJs) -> (Mount, ProtocolMount) {
    let hold_time = config.expire_timeout;
    let router = Router::new().channel("*", move |_| PeerJsChannel::new(hold_time));
    let mount = Mount::new(&config.path, router).check_origin(config.cors.clone());
    (mount.idle_timeout(config.alive_timeout).check_tokens(), MOUNT)
}

/// Clients of PeerJS 0.3 send no heartbeats, but their browsers answer pings.
fn timeouts(mount: &Mount, config: &Config) -> Timeouts {
    let timeouts = default_timeouts(mount, config);
    Timeouts { ping_interval: Some(timeouts.idle / PINGS_PER_TIMEOUT), ..timeouts }
}

/// Which pages may read the responses of a mount. A mount at `/` shares its paths with the page, and has only those of
/// PeerServer's routes.
fn cors_rule(acceptor: &Acceptor) -> CorsRule {
    let base = acceptor.path().to_owned();
    CorsRule::new(routes::readers(acceptor), move |path| {
        if !base.is_empty() {
            return cors::is_below(path, &base);
        }
        let parts: Vec<&str> = path.trim_matches('/').split('/').collect();
        match parts[..] {
            [_, name] => ["id", "peers"].contains(&name),
            [_, _, _, name] => http::REQUESTS.contains(&name),
            _ => false,
        }
    })
}
