//! Mounts a wire format that the application defines as a [`Protocol`], over WebSockets at the path of its mount.

use actix_web::web::ServiceConfig;

use super::upgrade::open;
use crate::http::acceptor::{Acceptor, ProtocolMount, default_timeouts};
use crate::http::methods;
use crate::protocol::Protocol;
use crate::topic::Realm;

/// The mount for the wire format `P`.
pub(crate) fn mount<P: Protocol + Default>() -> ProtocolMount {
    ProtocolMount { realm: Realm::Custom, timeouts: default_timeouts, routes: routes::<P>, cors: None }
}

fn routes<P: Protocol + Default>(acceptor: &Acceptor, app: &mut ServiceConfig) {
    let own = acceptor.clone();
    let open = move |request, payload| open(own.clone(), request, payload, P::default());
    app.service(methods::readable(acceptor.path(), open));
}
