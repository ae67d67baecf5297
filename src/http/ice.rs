//! The STUN and TURN servers over HTTP: `{"iceServers": [...]}` for web pages whose protocol has no message for them.
//!
//! The servers may have credentials, so only pages of the allowed origins can read them, no cache keeps them, each
//! client IP has a limit of its own, and a token is needed if `auth.mode` requires one. The credentials themselves are
//! made in [`ice`](crate::config::ice).

use std::sync::Arc;
use std::time::{Duration, Instant};

use actix_web::http::{StatusCode, header};
use actix_web::web::ServiceConfig;
use actix_web::{HttpRequest, HttpResponse};
use uuid::Uuid;

use crate::config::ice::IceServers;
use crate::config::schema::Config;
use crate::http::client_ip::ClientIp;
use crate::http::connect_error::ConnectError;
use crate::http::cors::{self, CorsRule, Readers};
use crate::http::node_state::NodeState;
use crate::http::request::{check_origin, params};
use crate::http::token_check::token_of;
use crate::refusal::ConnectRefusal;

/// The methods that a preflight response allows.
const METHODS: &str = "GET";

/// Serves the ICE servers at `ice.path`.
pub(crate) fn configure(app: &mut ServiceConfig, node: &Arc<NodeState>) {
    let servers = IceServers::new(&node.config.peer.ice_servers, node.config.peer.turn_lifetime);
    let for_get = node.clone();
    let get = move |request: HttpRequest| {
        let response = respond(&for_get, &servers, &request).unwrap_or_else(|error| refuse(&for_get, &error));
        async { response }
    };
    app.service(cors::readable(&node.config.ice.path, METHODS, get));
}

/// Which pages may read the servers.
pub(crate) fn cors_rule(config: &Config) -> CorsRule {
    CorsRule::below(config.ice.path.clone(), Readers::WithoutCredentials(config.ice.check_origin.clone()))
}

/// The servers with credentials for a random user: these clients have no id that the server could check.
fn respond(node: &NodeState, servers: &IceServers, request: &HttpRequest) -> Result<HttpResponse, ConnectError> {
    let client_ip = ClientIp::of(request, &node.config.server.trusted_proxies)
        .ok_or_else(|| ConnectError::new(StatusCode::BAD_REQUEST, "no address"))?;
    check_origin(request, &node.config.ice.check_origin)?;
    if !node.ip_table.admit_ice(client_ip.address, Instant::now()) {
        return Err(ConnectError::new(StatusCode::TOO_MANY_REQUESTS, "too many requests from this address")
            .with_reason(ConnectRefusal::RateLimited));
    }
    let most = match &node.tokens {
        None => Duration::MAX,
        Some(tokens) => {
            node.accepts_tokens()?;
            let params = params(request.query_string())?;
            match token_of(request, &params) {
                None if !tokens.are_required() => Duration::ZERO,
                token => {
                    let access = tokens.check(token.unwrap_or_default()).map_err(|error| error.refusal)?;
                    access.turn_time(Instant::now())
                }
            }
        }
    };
    let user = Uuid::new_v4().simple().to_string();
    let mut response = HttpResponse::Ok();
    response.insert_header((header::X_CONTENT_TYPE_OPTIONS, "nosniff"));
    Ok(response.json(servers.configuration(&user, most)))
}

fn refuse(node: &NodeState, refusal: &ConnectError) -> HttpResponse {
    if refusal.reason == ConnectRefusal::Origin {
        node.refusal_log.write(&refusal.body);
    }
    refusal.text_response()
}
