//! Phoenix's HTTP routes, and the checks before a WebSocket upgrade, in Phoenix's order and with Phoenix's responses.
//!
//! The order is: method, query, origin, subprotocol and token, `vsn`, what the token permits, the mount's own `connect`,
//! upgrade headers. The long-polling route is served in `longpoll.rs`.
//!
//! A browser does not tell a page why a WebSocket did not open. A page can send the same request without the upgrade, and
//! with its token in a header, and read the response.

use actix_web::http::header::{self, HeaderMap};
use actix_web::http::{Method, StatusCode};
use actix_web::web::{self, ServiceConfig};
use actix_web::{HttpRequest, HttpResponse};
use base64::Engine;
use base64::alphabet;
use base64::engine::DecodePaddingMode;
use base64::engine::general_purpose::{GeneralPurpose, GeneralPurposeConfig};

use super::super::refused::{Refused, close_reason};
use super::version::{Version, version};
use super::{V1, V2, longpoll};
use crate::connections::hub::ConnectionSlot;
use crate::http::acceptor::{Acceptor, ProtocolMount, default_timeouts};
use crate::http::connect_error::ConnectError;
use crate::http::connect_info::ConnectInfo;
use crate::http::cors::{CorsRule, Readers, is_below};
use crate::http::mount::SocketInit;
use crate::http::request::{check_origin, params};
use crate::http::token_check::{OfferedToken, auth_token_or_param};
use crate::refusal::ConnectRefusal;
use crate::topic::Realm;
use crate::transports::websocket;

/// The subprotocol of Phoenix clients that send a token. The token is in a second subprotocol.
const PHOENIX: &str = "phoenix";
/// The prefix of the subprotocol that carries the token.
const TOKEN_PREFIX: &str = "base64url.bearer.phx.";

pub(crate) const MOUNT: ProtocolMount =
    ProtocolMount { realm: Realm::Phoenix, timeouts: default_timeouts, routes, cors: Some(cors_rule) };

/// Pages of all origins can read the responses. Those of origins that are not allowed get a 403, in the body of a
/// response to long polling.
fn cors_rule(acceptor: &Acceptor) -> CorsRule {
    let paths = ["longpoll", "websocket"].map(|name| format!("{}/{name}", acceptor.path()));
    CorsRule::new(Readers::All, move |requested| paths.iter().any(|path| is_below(requested, path)))
}

/// Serves `<mount>/websocket` and `<mount>/longpoll`, with or without a trailing slash.
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
    let is_preflight = request.headers().contains_key(header::ACCESS_CONTROL_REQUEST_METHOD);
    if request.method() == Method::OPTIONS && is_preflight {
        return longpoll::preflight(request.headers());
    }
    match admit(&acceptor, &request).await {
        Ok(AdmittedClient { format, subprotocol, slot, init }) => {
            let subprotocol = subprotocol.as_deref();
            match format {
                Format::Of(Version::V1) => acceptor.websocket(&request, payload, subprotocol, slot, init, V1),
                Format::Of(Version::V2) => acceptor.websocket(&request, payload, subprotocol, slot, init, V2),
                Format::Refused(refused) => acceptor.websocket(&request, payload, subprotocol, slot, init, refused),
            }
        }
        Err(error) => acceptor.refuse(error),
    }
}

/// A client whose request passed all checks, with its place.
struct AdmittedClient {
    format: Format,
    subprotocol: Option<String>,
    slot: ConnectionSlot,
    init: SocketInit,
}

/// What a client and the server say to each other.
enum Format {
    /// Messages of this version.
    Of(Version),
    /// Only why the client is closed.
    Refused(Refused),
}

/// The result of the subprotocol negotiation.
pub(crate) struct Offer {
    /// The subprotocol to confirm in the response.
    pub(crate) answer: Option<String>,
    /// The token that the client sent as a subprotocol.
    pub(crate) token: Option<String>,
}

/// Runs the checks before the upgrade, and admits the client.
async fn admit(acceptor: &Acceptor, request: &HttpRequest) -> Result<AdmittedClient, ConnectError> {
    let client_ip = acceptor.client_ip(request)?;
    if request.method() != Method::GET {
        return Err(ConnectError::new(StatusCode::BAD_REQUEST, "").with_reason(ConnectRefusal::Request));
    }
    let params = params(request.query_string())?;
    check_origin(request, acceptor.origins())?;
    let offer = subprotocol(request.headers(), acceptor.subprotocols())?;
    let version = version(&params)?;
    let auth_token = offer.token.or_else(|| longpoll::auth_token(request.headers()).map(str::to_owned));
    let token = OfferedToken::new(auth_token_or_param(auth_token.as_deref(), &params));
    let (subprotocol, transport) = (offer.answer, websocket::NAME);
    let info = ConnectInfo { request: request.clone(), params, client_ip, auth_token, token, access: None, transport };
    if !request.headers().contains_key(header::UPGRADE) {
        acceptor.check_token(&info)?;
    }
    let (slot, init, refused) = acceptor.admit_or_tell(info, |refusal| close_reason(refusal).map(Refused)).await?;
    let format = refused.map_or(Format::Of(version), Format::Refused);
    Ok(AdmittedClient { format, subprotocol, slot, init })
}

/// Chooses a subprotocol among those that the client offers. A mount's own subprotocols come first. If the mount has
/// any, a client that offers neither these nor [`PHOENIX`] is refused.
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
    let answer =
        configured.iter().map(String::as_str).chain([PHOENIX]).find(|name| offered.contains(name)).map(str::to_owned);
    if answer.is_none() && !configured.is_empty() && !offered.is_empty() {
        return Err(ConnectError::forbidden().with_reason(ConnectRefusal::Subprotocol));
    }
    Ok(Offer { answer, token })
}

/// Decodes a token from base64 of either alphabet, with or without padding. It must be UTF-8.
fn decode_token(token: &str) -> Option<String> {
    const LENIENT: GeneralPurposeConfig =
        GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent);
    let engine = GeneralPurpose::new(&alphabet::URL_SAFE, LENIENT);
    let token = token.replace('+', "-").replace('/', "_");
    String::from_utf8(engine.decode(token).ok()?).ok()
}
