//! Phoenix's front door: what is checked before the upgrade, in Phoenix's order, with Phoenix's answers.
//!
//! Method, query, origin, subprotocol and token, `vsn`, the mount's own `connect`, the upgrade's headers.

use actix_web::http::header::{self, HeaderMap};
use actix_web::http::{Method, StatusCode};
use actix_web::web::{self, ServiceConfig};
use actix_web::{HttpRequest, HttpResponse};
use base64::Engine;
use base64::alphabet;
use base64::engine::DecodePaddingMode;
use base64::engine::general_purpose::{GeneralPurpose, GeneralPurposeConfig};

use super::version::{Version, version};
use super::{V1, V2, longpoll};
use crate::connections::hub::ConnectionSlot;
use crate::http::acceptor::{Acceptor, ProtocolMount, default_timeouts};
use crate::http::mount::{ConnectError, ConnectInfo, SocketInit};
use crate::http::request::{check_origin, params};
use crate::metrics::labels::ConnectRefusal;
use crate::topic::Realm;
use crate::transports::websocket;

/// The subprotocol of clients that carry their token in another one.
const PHOENIX: &str = "phoenix";
const TOKEN_PREFIX: &str = "base64url.bearer.phx.";

pub(crate) const MOUNT: ProtocolMount = ProtocolMount { realm: Realm::Phoenix, timeouts: default_timeouts, routes };

/// Serves `<mount>/websocket` and `<mount>/longpoll`; one trailing slash is let in.
fn routes(acceptor: &Acceptor, app: &mut ServiceConfig) {
    for path in ["/websocket/", "/websocket"] {
        let (path, acceptor) = (format!("{}{path}", acceptor.path()), acceptor.clone());
        app.route(&path, web::to(move |request, payload| upgrade(acceptor.clone(), request, payload)));
    }
    for path in ["/longpoll/", "/longpoll"] {
        let (path, acceptor) = (format!("{}{path}", acceptor.path()), acceptor.clone());
        app.route(&path, web::to(move |request, payload| longpoll::serve(acceptor.clone(), request, payload)));
    }
}

async fn upgrade(acceptor: Acceptor, request: HttpRequest, payload: web::Payload) -> HttpResponse {
    match admit(&acceptor, &request).await {
        Ok(Accepted { version, subprotocol, slot, init }) => {
            let subprotocol = subprotocol.as_deref();
            match version {
                Version::V1 => acceptor.websocket(&request, payload, subprotocol, slot, init, V1),
                Version::V2 => acceptor.websocket(&request, payload, subprotocol, slot, init, V2),
            }
        }
        Err(refusal) => acceptor.refuse(refusal),
    }
}

/// A request that may become a socket.
struct Accepted {
    version: Version,
    subprotocol: Option<String>,
    slot: ConnectionSlot,
    init: SocketInit,
}

/// What the client offers as subprotocols.
pub(crate) struct Offer {
    pub(crate) answer: Option<String>,
    pub(crate) token: Option<String>,
}

/// Checks a request to one of the mount's endpoints, and lets its client in.
async fn admit(acceptor: &Acceptor, request: &HttpRequest) -> Result<Accepted, ConnectError> {
    let client_ip = acceptor.client_ip(request)?;
    if request.method() != Method::GET {
        return Err(ConnectError::new(StatusCode::BAD_REQUEST, "").with_reason(ConnectRefusal::Request));
    }
    let params = params(request.query_string())?;
    check_origin(request.headers(), acceptor.origins())?;
    let offer = subprotocol(request.headers(), acceptor.subprotocols())?;
    let version = version(&params)?;
    let (request, auth_token) = (request.clone(), offer.token);
    let info = ConnectInfo { request, params, client_ip, auth_token, transport: websocket::NAME };
    let (slot, init) = acceptor.admit(info).await?;
    Ok(Accepted { version, subprotocol: offer.answer, slot, init })
}

pub(crate) fn subprotocol(headers: &HeaderMap, configured: &[String]) -> Result<Offer, ConnectError> {
    let offered: Vec<&str> = headers
        .get_all(header::SEC_WEBSOCKET_PROTOCOL)
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .map(str::trim)
        .collect();
    let token = match offered.iter().find_map(|name| name.strip_prefix(TOKEN_PREFIX)) {
        Some(token) => Some(decode_token(token).ok_or(ConnectError::forbidden().with_reason(ConnectRefusal::Token))?),
        None => None,
    };
    let ours = configured.iter().map(String::as_str);
    let answer = ours.chain([PHOENIX]).find(|name| offered.contains(name)).map(str::to_owned);
    if answer.is_none() && !configured.is_empty() && !offered.is_empty() {
        return Err(ConnectError::forbidden().with_reason(ConnectRefusal::Subprotocol));
    }
    Ok(Offer { answer, token })
}

/// Base64 of either alphabet, with or without padding, of UTF-8.
fn decode_token(token: &str) -> Option<String> {
    const LENIENT: GeneralPurposeConfig =
        GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent);
    let engine = GeneralPurpose::new(&alphabet::URL_SAFE, LENIENT);
    let token = token.replace('+', "-").replace('/', "_");
    String::from_utf8(engine.decode(token).ok()?).ok()
}
