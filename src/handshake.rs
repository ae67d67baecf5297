//! Whether a request may become a socket: everything that is checked before the upgrade, in Phoenix's
//! order, with Phoenix's answers.
//!
//! Method, query, origin, subprotocol and token, `vsn`, the mount's own `connect`, the upgrade's headers.

use std::borrow::Cow;
use std::panic::{AssertUnwindSafe, catch_unwind};

use actix_web::HttpRequest;
use actix_web::http::header::{self, HeaderMap, HeaderName};
use actix_web::http::{Method, StatusCode, Version as HttpVersion};
use base64::Engine;
use base64::alphabet;
use base64::engine::DecodePaddingMode;
use base64::engine::general_purpose::{GeneralPurpose, GeneralPurposeConfig};

use crate::address::Caller;
use crate::mount::{ConnectInfo, Connected, Mount, Refusal};
use crate::origin::Origins;
use crate::protocols::phoenix::Version;

/// The subprotocol of clients that carry their token in another one.
const PHOENIX: &str = "phoenix";
const TOKEN_PREFIX: &str = "base64url.bearer.phx.";

/// A request that may become a socket.
#[derive(Debug)]
pub(crate) struct Accepted {
    pub(crate) version: Version,
    pub(crate) subprotocol: Option<String>,
    pub(crate) connected: Connected,
}

/// What the client offers as subprotocols.
struct Offer {
    answer: Option<String>,
    token: Option<String>,
}

/// Checks a request to one of the mount's endpoints.
pub(crate) fn check(
    request: &HttpRequest,
    mount: &Mount,
    origins: &Origins,
    caller: Caller,
) -> Result<Accepted, Refusal> {
    if request.method() != Method::GET {
        return Err(Refusal::new(StatusCode::BAD_REQUEST, ""));
    }
    let params = params(request.query_string())?;
    check_origin(request.headers(), origins)?;
    let offer = subprotocol(request.headers(), &mount.subprotocols)?;
    let version = version(&params)?;
    let info = ConnectInfo { request, params: &params, caller, auth_token: offer.token.as_deref() };
    let connected = catch_unwind(AssertUnwindSafe(|| (mount.connect)(&info)))
        .unwrap_or_else(|_| Err(Refusal::new(StatusCode::INTERNAL_SERVER_ERROR, "")))?;
    check_upgrade(request)?;
    Ok(Accepted { version, subprotocol: offer.answer, connected })
}

/// The query's params. A malformed escape stands for itself; one that is no UTF-8 is refused.
fn params(query: &str) -> Result<Vec<(String, String)>, Refusal> {
    let decode = |text: &str| {
        let text = text.replace('+', " ");
        percent_encoding::percent_decode_str(&text)
            .decode_utf8()
            .map(Cow::into_owned)
            .map_err(|_| Refusal::new(StatusCode::BAD_REQUEST, "the query is not UTF-8"))
    };
    query
        .split('&')
        .filter(|pair| !pair.is_empty())
        .map(|pair| pair.split_once('=').unwrap_or((pair, "")))
        .map(|(name, value)| Ok((decode(name)?, decode(value)?)))
        .collect()
}

fn check_origin(headers: &HeaderMap, origins: &Origins) -> Result<(), Refusal> {
    let host = headers.get(header::HOST).and_then(|host| host.to_str().ok());
    if origins.allows(headers.get_all(header::ORIGIN), host) { Ok(()) } else { Err(Refusal::forbidden()) }
}

fn subprotocol(headers: &HeaderMap, configured: &[String]) -> Result<Offer, Refusal> {
    let offered: Vec<&str> = headers
        .get_all(header::SEC_WEBSOCKET_PROTOCOL)
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .map(str::trim)
        .collect();
    let token = match offered.iter().find_map(|name| name.strip_prefix(TOKEN_PREFIX)) {
        Some(token) => Some(decode_token(token).ok_or(Refusal::forbidden())?),
        None => None,
    };
    let ours = configured.iter().map(String::as_str);
    let answer = ours.chain([PHOENIX]).find(|name| offered.contains(name)).map(str::to_owned);
    if answer.is_none() && !configured.is_empty() && !offered.is_empty() {
        return Err(Refusal::forbidden());
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

fn version(params: &[(String, String)]) -> Result<Version, Refusal> {
    let is_list = |name: &str| name.starts_with("vsn[");
    if params.iter().any(|(name, _)| is_list(name)) {
        return Err(Refusal::forbidden());
    }
    let vsn = params.iter().rev().find(|(name, _)| name == "vsn").map(|(_, value)| &**value);
    Version::negotiate(vsn).ok_or(Refusal::forbidden())
}

/// The upgrade's own headers (RFC 6455, 4.2.1), in words that say which one is missing.
fn check_upgrade(request: &HttpRequest) -> Result<(), Refusal> {
    let headers = request.headers();
    let bad = |words: String| Err(Refusal::new(StatusCode::BAD_REQUEST, words));
    if request.version() != HttpVersion::HTTP_11 {
        return bad("a websocket needs HTTP/1.1".into());
    }
    if !contains(headers, header::CONNECTION, "upgrade") {
        return bad(format!(
            "'connection' header must contain 'upgrade', got {:?}",
            values(headers, header::CONNECTION)
        ));
    }
    if !contains(headers, header::UPGRADE, "websocket") {
        return bad(format!("'upgrade' header must contain 'websocket', got {:?}", values(headers, header::UPGRADE)));
    }
    if values(headers, header::SEC_WEBSOCKET_VERSION) != ["13"] {
        let got = values(headers, header::SEC_WEBSOCKET_VERSION);
        return bad(format!("'sec-websocket-version' header must be '13', got {got:?}"));
    }
    let keys = values(headers, header::SEC_WEBSOCKET_KEY);
    let is_nonce = |key: &str| base64::prelude::BASE64_STANDARD.decode(key).is_ok_and(|nonce| nonce.len() == 16);
    if !matches!(keys[..], [key] if is_nonce(key)) {
        return bad("'sec-websocket-key' header must be given once, 16 bytes in base64".into());
    }
    let has_body = headers.contains_key(header::TRANSFER_ENCODING)
        || headers.get(header::CONTENT_LENGTH).is_some_and(|length| length != "0");
    if has_body { bad("a websocket's request has no body".into()) } else { Ok(()) }
}

fn values(headers: &HeaderMap, name: HeaderName) -> Vec<&str> {
    headers.get_all(name).map(|value| value.to_str().unwrap_or("(not text)")).collect()
}

/// Whether the header's comma-separated list has `token`, in whatever case.
fn contains(headers: &HeaderMap, name: HeaderName, token: &str) -> bool {
    values(headers, name).iter().flat_map(|value| value.split(',')).any(|item| item.trim().eq_ignore_ascii_case(token))
}
