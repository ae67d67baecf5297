//! The checks before an upgrade to a WebSocket, in the order that most protocols use: client IP, query, origin, token,
//! the mount's own `connect`, and the headers of RFC 6455.

use actix_web::{HttpRequest, HttpResponse, web};

use crate::connections::hub::ConnectionSlot;
use crate::http::acceptor::Acceptor;
use crate::http::connect_error::ConnectError;
use crate::http::connect_info::ConnectInfo;
use crate::http::mount::SocketInit;
use crate::http::request::{check_origin, params};
use crate::http::token_check::{OfferedToken, token_of};
use crate::protocol::Protocol;
use crate::transports::websocket;

/// Upgrades a request to a WebSocket and starts a session over it, or refuses the client.
pub(super) async fn open<P: Protocol>(
    acceptor: Acceptor,
    request: HttpRequest,
    payload: web::Payload,
    protocol: P,
) -> HttpResponse {
    match admit(&acceptor, &request).await {
        Ok((slot, init)) => acceptor.websocket(&request, payload, None, slot, init, protocol),
        Err(error) => acceptor.refuse(error),
    }
}

/// Admits the client of a request for an upgrade.
pub(super) async fn admit(
    acceptor: &Acceptor,
    request: &HttpRequest,
) -> Result<(ConnectionSlot, SocketInit), ConnectError> {
    let client_ip = acceptor.client_ip(request)?;
    let params = params(request.query_string())?;
    check_origin(request, acceptor.origins())?;
    let token = OfferedToken::new(token_of(request, &params));
    let (request, transport) = (request.clone(), websocket::NAME);
    acceptor.admit(ConnectInfo { request, params, client_ip, auth_token: None, token, access: None, transport }).await
}
