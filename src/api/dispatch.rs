//! The way of a request: host, route, key, permission, rate, body, and then the route's own function.
//!
//! A request whose body is not read ends its connection, so that a client can neither send for ever nor have the rest of
//! its body taken for the next request. So does a request without a good key: nobody without one keeps a place.

use std::sync::Arc;
use std::time::{Duration, Instant};

use actix_web::http::header::{self, HeaderMap, HeaderName, HeaderValue};
use actix_web::http::{ConnectionType, StatusCode};
use actix_web::rt::spawn;
use actix_web::web::Payload;
use actix_web::{HttpRequest, HttpResponse};
use bytes::{Bytes, BytesMut};
use futures_util::StreamExt;
use percent_encoding::percent_decode_str;
use sha2::{Digest, Sha256};
use tokio::time::timeout;

use crate::api::answer::{Answer, ApiError};
use crate::api::call::Call;
use crate::api::connection::ApiConnection;
use crate::api::keys::Key;
use crate::api::remembered::{Begun, RequestKey, wait};
use crate::api::routes::{self, Needs, Route};
use crate::api::state::Api;
use crate::http::refusal_log::quoted;
use crate::http::request::params;

/// The time in which a request's body must arrive.
const BODY_TIMEOUT: Duration = Duration::from_secs(10);

const IDEMPOTENCY_KEY: HeaderName = HeaderName::from_static("idempotency-key");
/// Says that an answer was given before.
const REPLAYED: HeaderName = HeaderName::from_static("idempotent-replayed");

/// Responds to any request.
pub(super) async fn respond(api: Arc<Api>, request: HttpRequest, body: Payload) -> HttpResponse {
    let connection = request.conn_data::<Arc<ApiConnection>>().cloned();
    let mut body = Body { payload: body, is_read: !has_body(request.headers()), is_of_key: false };
    let (answer, is_replayed, allow) = match answer(&api, &request, &mut body).await {
        Ok((answer, is_replayed)) => (answer, is_replayed, None),
        Err(Refusal { error, allow }) => (error.into(), false, allow),
    };
    let mut response = answer.response();
    if is_replayed {
        response.headers_mut().insert(REPLAYED, HeaderValue::from_static("true"));
    }
    if let Some(allow) = allow {
        response.headers_mut().insert(header::ALLOW, allow);
    }
    if !body.is_read || !body.is_of_key {
        response.head_mut().set_connection_type(ConnectionType::Close);
    }
    if !body.is_read {
        connection.iter().for_each(ApiConnection::close_soon);
    }
    response
}

/// A request's body.
struct Body {
    payload: Payload,
    /// Whether the request has a good key.
    is_of_key: bool,
    /// Whether nothing of it is left on the connection.
    is_read: bool,
}

fn has_body(headers: &HeaderMap) -> bool {
    headers.contains_key(header::TRANSFER_ENCODING)
        || headers.get(header::CONTENT_LENGTH).is_some_and(|length| length != "0")
}

/// Why a request has no answer of its route.
struct Refusal {
    error: ApiError,
    /// The methods of the path, if the request has another one.
    allow: Option<HeaderValue>,
}

impl From<ApiError> for Refusal {
    fn from(error: ApiError) -> Self {
        Self { error, allow: None }
    }
}

async fn answer(api: &Arc<Api>, request: &HttpRequest, body: &mut Body) -> Result<(Answer, bool), Refusal> {
    check_host(api, request)?;
    let (route, name) = find(request)?;
    let (key, permissions) = match route.needs {
        Needs::Nothing => ("".into(), [].into()),
        needs => {
            let key = authenticate(api, request)?;
            body.is_of_key = true;
            request.conn_data::<Arc<ApiConnection>>().into_iter().for_each(|connection| connection.touch());
            if let Needs::Permission(permission) = needs
                && !key.permissions.contains(&permission)
            {
                return Err(ApiError::not_allowed().into());
            }
            (key.name.clone(), key.permissions.clone())
        }
    };
    if route.changes && !api.node.accepts_clients() {
        return Err(ApiError::new(StatusCode::SERVICE_UNAVAILABLE, "draining").into());
    }
    let params = params(request.query_string()).map_err(|_| ApiError::malformed("the query is not UTF-8"))?;
    let body = match route.has_body {
        true => read(request.headers(), body, api.node.config.api.body_bytes).await?,
        false if !body.is_read => return Err(ApiError::malformed("this route has no body").into()),
        false => Bytes::new(),
    };
    let once = match route.is_idempotent {
        true => once(request.headers(), &key, route.path)?,
        false => None,
    };
    let call = Call { permissions, key, name, params, body };
    if route.needs == Needs::Nothing {
        // what only says that the process runs must not wait for others
        return Ok(((route.run)(api.clone(), call).await?, false));
    }
    Ok(match once {
        Some(once) => run_once(api, route, call, once).await?,
        None => (run(api, route, call)?.await, false),
    })
}

/// Checks that a request names the listener by one of its names. A client that names no host is not a browser.
fn check_host(api: &Api, request: &HttpRequest) -> Result<(), ApiError> {
    let allow = |value: &HeaderValue| value.to_str().is_ok_and(|host| api.node.config.api.hosts.allow(host));
    let foreign = request.headers().get_all(header::HOST).find(|value| api.checks_hosts && !allow(value));
    let Some(foreign) = foreign else { return Ok(()) };
    api.node.refusal_log.write(&format!("host {} of the API; api.hosts lists its names", quoted(foreign.as_bytes())));
    Err(ApiError::new(StatusCode::MISDIRECTED_REQUEST, "unknown host"))
}

/// The route of a request, and the name in its path.
fn find(request: &HttpRequest) -> Result<(&'static Route, String), Refusal> {
    let not_found = || ApiError::new(StatusCode::NOT_FOUND, "no such route");
    let path = request.uri().path();
    let (path, name) = routes::find_path(path).ok_or_else(not_found)?;
    let method = request.method().as_str();
    let route = routes::ROUTES.iter().find(|route| route.path == path && route.accepts(method));
    let Some(route) = route else {
        let error = ApiError::new(StatusCode::METHOD_NOT_ALLOWED, "method not allowed");
        return Err(Refusal { error, allow: HeaderValue::try_from(routes::methods(path)).ok() });
    };
    let name = percent_decode_str(name).decode_utf8().map_err(|_| ApiError::malformed("the path is not UTF-8"))?;
    Ok((route, name.into_owned()))
}

fn authenticate<'a>(api: &'a Api, request: &HttpRequest) -> Result<&'a Key, ApiError> {
    let address = request.peer_addr().map(|address| address.ip().to_canonical());
    let admitted = api.keys.admit(request.headers(), address, Instant::now());
    admitted.inspect_err(|error| {
        let from = address.map_or_else(String::new, |address| format!(" from {address}"));
        api.node.refusal_log.write(&format!("a request to the API{from}: {}", error.reason));
    })
}

/// Reads a body of JSON, and never keeps more of it than `limit` bytes.
async fn read(headers: &HeaderMap, body: &mut Body, limit: usize) -> Result<Bytes, ApiError> {
    let media_type = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok());
    let is_json =
        |value: &str| value.split(';').next().is_some_and(|it| it.trim().eq_ignore_ascii_case("application/json"));
    if !media_type.is_some_and(is_json) {
        return Err(ApiError::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, "Content-Type must be application/json"));
    }
    let too_large = || ApiError::new(StatusCode::PAYLOAD_TOO_LARGE, format!("the body has more than {limit} bytes"));
    let length = headers.get(header::CONTENT_LENGTH).and_then(|length| length.to_str().ok()?.parse::<u64>().ok());
    if length.is_some_and(|length| length > limit as u64) {
        return Err(too_large());
    }
    let reading = async {
        let mut bytes = BytesMut::new();
        while let Some(chunk) = body.payload.next().await {
            let chunk = chunk.map_err(|_| ApiError::malformed("the body ends too early"))?;
            if bytes.len() + chunk.len() > limit {
                return Err(too_large());
            }
            bytes.extend_from_slice(&chunk);
        }
        Ok(bytes.freeze())
    };
    let late = |_| ApiError::new(StatusCode::REQUEST_TIMEOUT, "the body comes too slowly");
    let bytes = timeout(BODY_TIMEOUT, reading).await.map_err(late)??;
    body.is_read = true;
    Ok(bytes)
}

/// The `Idempotency-Key` of a request.
fn once(headers: &HeaderMap, key: &Arc<str>, path: &'static str) -> Result<Option<RequestKey>, ApiError> {
    let mut values = headers.get_all(IDEMPOTENCY_KEY);
    let Some(value) = values.next() else { return Ok(None) };
    if values.next().is_some() {
        return Err(ApiError::malformed("Idempotency-Key occurs twice"));
    }
    Ok(Some(RequestKey(key.clone(), path, RequestKey::check(value.as_bytes())?)))
}

/// Runs a request in a task of its own, so that it is done as a whole even if its client disconnects.
fn run(api: &Arc<Api>, route: &'static Route, call: Call) -> Result<impl Future<Output = Answer> + use<>, ApiError> {
    let permit = api.running.clone().try_acquire_owned().map_err(|_| ApiError::overloaded())?;
    let api = api.clone();
    let task = spawn(async move {
        let answer = (route.run)(api, call).await;
        drop(permit);
        answer.unwrap_or_else(Into::into)
    });
    // an error means that the task has panicked, which is a bug
    Ok(async move { task.await.unwrap_or_else(|_| failed().into()) })
}

fn failed() -> ApiError {
    ApiError::new(StatusCode::INTERNAL_SERVER_ERROR, "internal error")
}

/// Runs a request unless one with the same key has been run. Returns also whether its answer was given before.
async fn run_once(
    api: &Arc<Api>,
    route: &'static Route,
    call: Call,
    key: RequestKey,
) -> Result<(Answer, bool), ApiError> {
    let digest = Sha256::digest(&call.body).into();
    let sender = match api.remembered.begin(&key, digest, Instant::now())? {
        Begun::Again(answer) => return Ok((wait(answer).await.unwrap_or_else(|| failed().into()), true)),
        Begun::First(sender) => sender,
    };
    let running = run(api, route, call).inspect_err(|_| api.remembered.end(key.clone(), None, Instant::now()))?;
    let api = api.clone();
    let task = spawn(async move {
        let answer = running.await;
        api.remembered.end(key, Some(&answer), Instant::now());
        sender.send_replace(Some(answer.clone()));
        answer
    });
    Ok((task.await.unwrap_or_else(|_| failed().into()), false))
}
