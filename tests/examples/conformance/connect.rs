//! Who may connect, and what of the request the channels are told.

use std::collections::BTreeMap;

use actix_web::http::StatusCode;
use actix_web::http::uri::Authority;
use handclasp::{ConnectError, ConnectInfo, SocketInit, Topic};
use serde::Serialize;
use serde_json::{Value, json};

/// What the channels of a socket know of its connection; a part of the push `joined`.
#[derive(Clone, Serialize)]
pub struct Assigned {
    user_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    connect_info: Option<Value>,
}

/// `/ws`: as [`admin`], and a word of its own for who comes too often.
pub fn user(info: &ConnectInfo) -> Result<SocketInit, ConnectError> {
    if info.param("ratelimit") == Some("true") {
        return Err(ConnectError::new(StatusCode::TOO_MANY_REQUESTS, "Too many requests"));
    }
    admin(info)
}

/// Everybody but who asks to be refused.
pub fn admin(info: &ConnectInfo) -> Result<SocketInit, ConnectError> {
    let refused = ["reject", "custom_error"].iter().any(|param| info.param(param) == Some("true"));
    if refused { Err(ConnectError::forbidden()) } else { connected(info, None) }
}

/// As [`admin`], of those who come over a WebSocket; for others there is no such place.
pub fn over_websocket(info: &ConnectInfo) -> Result<SocketInit, ConnectError> {
    over("websocket", info)
}

/// As [`admin`], of those who poll; for others there is no such place.
pub fn over_longpoll(info: &ConnectInfo) -> Result<SocketInit, ConnectError> {
    over("longpoll", info)
}

fn over(transport: &str, info: &ConnectInfo) -> Result<SocketInit, ConnectError> {
    if info.transport() == transport { admin(info) } else { Err(ConnectError::new(StatusCode::NOT_FOUND, "")) }
}

/// Everybody, and the channels are told all of the request that Phoenix's `connect_info` offers.
pub fn with_connect_info(info: &ConnectInfo) -> Result<SocketInit, ConnectError> {
    connected(info, Some(connect_info(info)))
}

fn connected(info: &ConnectInfo, connect_info: Option<Value>) -> Result<SocketInit, ConnectError> {
    let user_id = info.param("user_id").map(str::to_owned);
    let connected = SocketInit::default().assign(Assigned { user_id: user_id.clone(), connect_info });
    let Some(user_id) = user_id else { return Ok(connected) };
    let id = Topic::parse(&format!("user_sockets:{user_id}")).map_err(|_| ConnectError::forbidden())?;
    Ok(connected.id(id))
}

fn connect_info(info: &ConnectInfo) -> Value {
    let mut all = json!({
        "x_headers": headers(info, |name| name.starts_with("x-")),
        "trace_context_headers": headers(info, |name| matches!(name, "traceparent" | "tracestate")),
        "peer_data": {
            "address": info.peer_address().map(|address| address.ip()),
            "port": info.peer_address().map(|address| address.port()),
            "ssl_cert": null,
        },
        "uri": uri(info),
    });
    if info.transport() == "websocket" {
        all["sec_websocket_headers"] = json!(headers(info, |name| name.starts_with("sec-websocket-")));
        all["user_agent"] = json!(info.header("user-agent"));
        all["signing_salt"] = json!("salt");
    }
    all
}

/// Header lists, as Phoenix's test makes maps of them.
fn headers(info: &ConnectInfo, wanted: impl Fn(&str) -> bool) -> BTreeMap<&str, &str> {
    let named = info.headers().iter().filter(|(name, _)| wanted(name.as_str()));
    named.filter_map(|(name, value)| Some((name.as_str(), value.to_str().ok()?))).collect()
}

fn uri(info: &ConnectInfo) -> Value {
    let (scheme, host) = (info.scheme(), info.host());
    let authority: Option<Authority> = host.parse().ok();
    let own_port = if scheme == "https" { 443 } else { 80 };
    json!({
        "scheme": scheme,
        "host": authority.as_ref().map(Authority::host),
        "port": authority.as_ref().and_then(Authority::port_u16).unwrap_or(own_port),
        "path": info.uri().path(),
        "query": info.uri().query().unwrap_or(""),
    })
}
