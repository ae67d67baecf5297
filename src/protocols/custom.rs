//! Mounts a wire format that the application defines as a [`Protocol`], over WebSockets at the path of its mount.

use actix_web::web::{self, ServiceConfig};
use actix_web::{HttpRequest, HttpResponse};

use super::upgrade as upgrade_checks;
use crate::http::acceptor::{Acceptor, ProtocolMount, default_timeouts};
use crate::protocol::Protocol;
use crate::topic::Realm;

/// The mount for the wire format `P`.
pub(crate) fn mount<P: Protocol + Default>() -> ProtocolMount {
    ProtocolMount { realm: Realm::Custom, timeouts: default_timeouts, routes: routes::<P> }
}

fn routes<P: Protocol + Default>(acceptor: &Acceptor, app: &mut ServiceConfig) {
    let own = acceptor.clone();
    app.route(acceptor.path(), web::get().to(move |request, payload| open::<P>(own.clone(), request, payload)));
}

async fn open<P: Protocol + Default>(acceptor: Acceptor, request: HttpRequest, payload: web::Payload) -> HttpResponse {
    match upgrade_checks::admit(&acceptor, &request).await {
        Ok((slot, init)) => acceptor.websocket(&request, payload, None, slot, init, P::default()),
        Err(error) => acceptor.refuse(error),
    }
}
