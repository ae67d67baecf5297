//! Wire formats of the application's own, over WebSockets at the path of their mount. The format itself is the
//! application's [`Protocol`].

use actix_web::web::{self, ServiceConfig};
use actix_web::{HttpRequest, HttpResponse};

use super::upgrade;
use crate::http::acceptor::{Acceptor, ProtocolMount, default_timeouts};
use crate::protocol::Protocol;
use crate::topic::Realm;

/// The mount of the format `P`.
pub(crate) fn mount<P: Protocol + Default>() -> ProtocolMount {
    ProtocolMount { realm: Realm::Custom, timeouts: default_timeouts, routes: routes::<P> }
}

fn routes<P: Protocol + Default>(acceptor: &Acceptor, app: &mut ServiceConfig) {
    let own = acceptor.clone();
    app.route(
        acceptor.path(),
        web::get().to(move |request: HttpRequest, payload: web::Payload| {
            let answer = open::<P>(&own, &request, payload);
            async { answer }
        }),
    );
}

fn open<P: Protocol + Default>(acceptor: &Acceptor, request: &HttpRequest, payload: web::Payload) -> HttpResponse {
    match upgrade::admit(acceptor, request) {
        Ok((slot, init)) => acceptor.websocket(request, payload, None, slot, init, P::default()),
        Err(error) => acceptor.refuse(error),
    }
}
