//! The standard mount of the PeerJS protocol.

use super::channel::PeerJsChannel;
use super::{http, routes};
use crate::channels::channel::Router;
use crate::config::schema::{self, Config};
use crate::connections::limits::Timeouts;
use crate::http::acceptor::{ProtocolMount, default_timeouts};
use crate::http::mount::Mount;
use crate::topic::Realm;

const MOUNT: ProtocolMount = ProtocolMount {
    realm: Realm::PeerJs,
    timeouts,
    routes: |acceptor, app| {
        routes::routes(acceptor, app);
        http::routes(acceptor, app);
    },
};

/// The number of pings within `peerjs.alive_timeout`.
const PINGS_PER_TIMEOUT: u32 = 3;

/// The standard mount.
pub(crate) fn mount(config: &schema::PeerJs) -> (Mount, ProtocolMount) {
    let hold_time = config.expire_timeout;
    let router = Router::new().channel("*", move |_| PeerJsChannel::new(hold_time));
    (Mount::new(&config.path, router).check_origin(config.cors.clone()).idle_timeout(config.alive_timeout), MOUNT)
}

/// Clients of PeerJS 0.3 send no heartbeats, but their browsers answer pings.
fn timeouts(mount: &Mount, config: &Config) -> Timeouts {
    let timeouts = default_timeouts(mount, config);
    Timeouts { ping_interval: Some(timeouts.idle / PINGS_PER_TIMEOUT), ..timeouts }
}
