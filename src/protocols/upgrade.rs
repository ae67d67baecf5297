//! The checks before a WebSocket upgrade, in the order that most protocols share: client IP, query, origin, the mount's
//! own `connect`, and the headers of RFC 6455.
//!
//! A protocol whose original server checks in another order, or checks more, has its own function in its `routes.rs`.

use actix_web::HttpRequest;

use crate::connections::hub::ConnectionSlot;
use crate::http::acceptor::Acceptor;
use crate::http::mount::{ConnectError, ConnectInfo, SocketInit};
use crate::http::request::{check_origin, check_upgrade, params};
use crate::transports::websocket;

/// Runs the checks and, if they pass, takes a connection slot for the client.
pub(super) fn admit(acceptor: &Acceptor, request: &HttpRequest) -> Result<(ConnectionSlot, SocketInit), ConnectError> {
    let client_ip = acceptor.client_ip(request)?;
    let params = params(request.query_string())?;
    check_origin(request.headers(), acceptor.origins())?;
    let info = ConnectInfo { request, params: &params, client_ip, auth_token: None, transport: websocket::NAME };
    let init = acceptor.connect(&info)?;
    check_upgrade(request)?;
    Ok((acceptor.admit(request, client_ip)?, init))
}
