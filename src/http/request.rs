//! The checks of every WebSocket upgrade, for all protocols: a query in UTF-8, an allowed origin, and the headers of
//! RFC 6455. What a single protocol requires is in `protocols`.

use std::borrow::Cow;

use actix_web::HttpRequest;
use actix_web::http::header::{self, HeaderMap, HeaderName, HeaderValue};
use actix_web::http::{Method, StatusCode, Version as HttpVersion};
use base64::Engine;

use crate::config::origin::Origins;
use crate::http::connect_error::ConnectError;
use crate::http::hosts;
use crate::http::refusal_log::quoted;
use crate::refusal::ConnectRefusal;

/// The query's parameters. A malformed percent escape is kept as text. A query that is not UTF-8 is rejected.
pub(crate) fn params(query: &str) -> Result<Vec<(String, String)>, ConnectError> {
    let decode = |text: &str| {
        form_decoded(text.as_bytes()).ok_or_else(|| {
            ConnectError::new(StatusCode::BAD_REQUEST, "the query is not UTF-8").with_reason(ConnectRefusal::Request)
        })
    };
    query
        .split('&')
        .filter(|pair| !pair.is_empty())
        .map(|pair| pair.split_once('=').unwrap_or((pair, "")))
        .map(|(name, value)| Ok((decode(name)?, decode(value)?)))
        .collect()
}

/// Decodes a name or a value of a query or a form. A malformed percent escape is kept as text. `None` if the result is
/// not UTF-8.
pub(crate) fn form_decoded(text: &[u8]) -> Option<String> {
    let spaced: Vec<u8> = text.iter().map(|byte| if *byte == b'+' { b' ' } else { *byte }).collect();
    percent_encoding::percent_decode(&spaced).decode_utf8().map(Cow::into_owned).ok()
}

/// Whether the page that makes a request is of an allowed origin.
pub(crate) fn is_origin_allowed(request: &HttpRequest, origins: &Origins) -> bool {
    origins.allows(request.headers().get_all(header::ORIGIN), hosts::requested(request))
}

/// Checks the origin of the page that makes a request. The error shows it, and what is allowed.
pub(crate) fn check_origin(request: &HttpRequest, origins: &Origins) -> Result<(), ConnectError> {
    let given: Vec<&[u8]> = request.headers().get_all(header::ORIGIN).map(HeaderValue::as_bytes).collect();
    check_origins(&given, request, origins)
}

/// Like [`check_origin`], for an origin that is not from the `Origin` header.
pub(crate) fn check_origin_of(origin: &str, request: &HttpRequest, origins: &Origins) -> Result<(), ConnectError> {
    check_origins(&[origin.as_bytes()], request, origins)
}

fn check_origins(given: &[&[u8]], request: &HttpRequest, origins: &Origins) -> Result<(), ConnectError> {
    if origins.allows(given, hosts::requested(request)) {
        return Ok(());
    }
    let given: Vec<String> = given.iter().map(|origin| quoted(origin)).collect();
    let host = hosts::describe(request);
    let body = format!("origin {} is not allowed; allowed: {origins}; requested: {host}", given.join(", "));
    Err(ConnectError::new(StatusCode::FORBIDDEN, body).with_reason(ConnectRefusal::Origin))
}

/// Checks the headers of an upgrade (RFC 6455, 4.2.1). The error names the header that is wrong.
///
/// `Connection: close, Upgrade` is accepted: some proxies add `close` to a connection that they open for one client. RFC
/// 6455 asks for a list that contains `Upgrade`. `close` ends the use of the connection for HTTP after this exchange
/// (RFC 9110, 7.6.1), and so does the upgrade.
pub(crate) fn check_upgrade(request: &HttpRequest) -> Result<(), ConnectError> {
    let headers = request.headers();
    let bad =
        |words: String| Err(ConnectError::new(StatusCode::BAD_REQUEST, words).with_reason(ConnectRefusal::Upgrade));
    if request.method() != Method::GET {
        return bad("a websocket is opened with GET".into());
    }
    if request.version() != HttpVersion::HTTP_11 {
        return bad("a websocket needs HTTP/1.1".into());
    }
    if !contains(headers, header::CONNECTION, "upgrade") {
        return bad(format!(
            "'connection' header must contain 'upgrade', got {:?}",
            values(headers, header::CONNECTION)
        ));
    }
    // RFC 9110, 7.8 allows a list of protocols, but the HTTP server accepts only this one as an upgrade
    let upgrades = values(headers, header::UPGRADE);
    if !upgrades.iter().any(|value| value.trim().eq_ignore_ascii_case("websocket")) {
        return bad(format!("'upgrade' header must be 'websocket', got {upgrades:?}"));
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

/// Whether the header's comma-separated list contains `token`, in upper or lower case.
fn contains(headers: &HeaderMap, name: HeaderName, token: &str) -> bool {
    values(headers, name).iter().flat_map(|value| value.split(',')).any(|item| item.trim().eq_ignore_ascii_case(token))
}
