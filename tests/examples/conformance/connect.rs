//! The `connect` functions of the mounts: which clients may connect, and which data of the request the channels
//! receive.

use std::collections::BTreeMap;

use actix_web::http::StatusCode;
use actix_web::http::uri::Authority;
use handclasp::{ConnectError, ConnectInfo, SocketInit, Topic};
use serde::Serialize;
use serde_json::{Value, json};

/// Data of the connection for the socket's channels. It is part of the push `joined`.
#[derive(Clone, Serialize)]
pub struct Assigned {
    user_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    connect_info: Option<Value>,
}

/// For `/ws`: like [`admin`], but a client with the param `ratelimit=true` is refused with status 429.
pub fn user(info: &ConnectInfo) -> Result<SocketInit, ConnectError> {
    if info.param("ratelimit") == Some("true") {
        return Err(ConnectError::new(StatusCode::TOO_MANY_REQUESTS, "Too many requests"));
    }
    admin(info)
}

/// Accepts every client, except one that asks for a refusal with the param `reject` or `custom_error`.
pub fn admin(info: &ConnectInfo) -> Result<SocketInit, ConnectError> {
    let refused = ["reject", "custom_error"].iter().any(|param| info.param(param) == Some("true"));
    if refused { Err(ConnectError::forbidden()) } else { connected(info, None) }
}

/// Like [`admin`], but only over a WebSocket. The response to long-polling clients is 404.
pub fn over_websocket(info: &ConnectInfo) -> Result<SocketInit, ConnectError> {
    over("websocket", info)
}

/// Like [`admin`], but only over long polling. The response to WebSocket clients is 404.
pub fn over_longpoll(info: &ConnectInfo) -> Result<SocketInit, ConnectError> {
    over("longpoll", info)
}

fn over(transport: &str, info: &ConnectInfo) -> Result<SocketInit, ConnectError> {
    if info.transport() == transport { admin(info) } else { Err(ConnectError::new(StatusCode::NOT_FOUND, "")) }
}

/// Accepts every client. The channels receive all data of the request that Phoenix's `connect_info` offers.
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

/// The headers with a wanted name, as a map, which Phoenix's test expects.
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
