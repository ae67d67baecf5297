//! Phoenix's long-polling routes. A GET opens a session or polls for messages, a POST sends messages.
//!
//! The HTTP status is almost always 200. What counts is the `status` in the body. The statuses are Phoenix's, because
//! its client throws on unknown ones. Two are additions: 400 for malformed and 413 for too large input. Both end the
//! session, as the same input over a WebSocket would.

use actix_web::http::header::{self, HeaderMap};
use actix_web::http::{Method, StatusCode};
use actix_web::{HttpRequest, HttpResponse, HttpResponseBuilder, web};
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use bytes::Bytes;
use bytestring::ByteString;

use super::V1;
use super::v2_text_only::V2TextOnly;
use super::version::{Version, version};
use crate::close::{self, Reason};
use crate::http::acceptor::Acceptor;
use crate::http::body::{self, BodyError, close_after_response};
use crate::http::connect_error::ConnectError;
use crate::http::connect_info::ConnectInfo;
use crate::http::request::{check_origin, params};
use crate::http::token_check::{OfferedToken, auth_token_or_param};
use crate::json::push_string;
use crate::protocol::Frame;
use crate::transports::longpoll::handle::{Fetched, Gone, LongPollHandle, Via};
use crate::transports::longpoll::{self, LongPollOptions};

/// The header that may carry a session's token. It takes precedence over the query.
const TOKEN_HEADER: &str = "x-phoenix-longpoll-token";
/// The header of the client's `authToken`.
const AUTH_HEADER: &str = "x-phoenix-authtoken";
/// The exact content type of a request with several messages.
const BATCH_TYPE: &[u8] = b"application/x-ndjson";
/// The maximum number of messages in one request. Further ones are ignored, as in Phoenix.
const MAX_BATCH: usize = 100;
type Params = Vec<(String, String)>;

/// Handles one request to `<mount>/longpoll`.
pub(super) async fn serve(acceptor: Acceptor, request: HttpRequest, payload: web::Payload) -> HttpResponse {
    let params = match params(request.query_string()) {
        Ok(params) => params,
        Err(error) => {
            acceptor.count_refusal(&error);
            return error.response().finish();
        }
    };
    if let Err(error) = check_origin(&request, acceptor.origins()) {
        acceptor.count_refusal(&error);
        return forbidden(&error.body);
    }
    let token = token(request.headers(), &params);
    match *request.method() {
        Method::GET => {
            if let Some(token) = token
                && let Some(response) = poll(&acceptor, token).await
            {
                return response;
            }
            open_session(&acceptor, &request, params).await.unwrap_or_else(|error| {
                acceptor.count_refusal(&error);
                error_response(&error)
            })
        }
        Method::POST => match token.and_then(|token| acceptor.longpoll_session(token)) {
            Some(session) => publish(&acceptor, &request, payload, &session).await,
            None => status(StatusCode::GONE),
        },
        Method::OPTIONS => preflight(request.headers()),
        _ => HttpResponse::BadRequest().finish(),
    }
}

fn token<'a>(headers: &'a HeaderMap, params: &'a Params) -> Option<&'a str> {
    let header = headers.get(TOKEN_HEADER).and_then(|value| value.to_str().ok());
    header.or_else(|| params.iter().rev().find(|(name, _)| name == "token").map(|(_, value)| &**value))
}

/// The token that the client sent in a header.
pub(super) fn auth_token(headers: &HeaderMap) -> Option<&str> {
    headers.get(AUTH_HEADER).and_then(|value| value.to_str().ok())
}

// ---- a GET

/// Waits for messages of a session; nothing when the session has ended.
async fn poll(acceptor: &Acceptor, token: &str) -> Option<HttpResponse> {
    match acceptor.longpoll_session(token)?.fetch(acceptor.poll_window()).await {
        Fetched::Frames(frames) => Some(poll_response(StatusCode::OK, token, &frames)),
        Fetched::Nothing => Some(poll_response(StatusCode::NO_CONTENT, token, &[])),
        Fetched::Gone => None,
    }
}

/// Opens a session and responds with 410. For a client without a session this means that it now has one, and for a
/// client whose session has ended that it has a new one.
async fn open_session(
    acceptor: &Acceptor,
    request: &HttpRequest,
    params: Params,
) -> Result<HttpResponse, ConnectError> {
    let client_ip = acceptor.client_ip(request)?;
    let version = version(&params)?;
    let auth_token = auth_token(request.headers());
    let token = OfferedToken::new(auth_token_or_param(auth_token, &params));
    let (request, auth_token) = (request.clone(), auth_token.map(str::to_owned));
    let transport = longpoll::NAME;
    let info = ConnectInfo { request, params, client_ip, auth_token, token, access: None, transport };
    let (slot, init) = acceptor.admit_longpoll(info, acceptor.poll_window().saturating_mul(3) / 2).await?;
    let options = LongPollOptions::new(acceptor.limits().queue_bytes);
    let (token, _) = match version {
        Version::V1 => acceptor.longpoll("", slot, init, V1, options),
        Version::V2 => acceptor.longpoll("", slot, init, V2TextOnly::default(), options),
    };
    Ok(poll_response(StatusCode::GONE, &token, &[]))
}

// ---- a POST

/// Responds to a POST. It may take as long as a poll.
async fn publish(
    acceptor: &Acceptor,
    request: &HttpRequest,
    payload: web::Payload,
    session: &LongPollHandle,
) -> HttpResponse {
    let handled = handle_post(acceptor, request, payload, session);
    match acceptor.pubsub().clock().timeout(acceptor.poll_window(), handled).await {
        Ok(Ok(())) => status(StatusCode::OK),
        Ok(Err(PostError(StatusCode::PAYLOAD_TOO_LARGE))) => {
            close_after_response(request, status(StatusCode::PAYLOAD_TOO_LARGE))
        }
        Ok(Err(PostError(code))) => status(code),
        Err(_) => close_after_response(request, status(StatusCode::REQUEST_TIMEOUT)),
    }
}

/// The status of a POST that was not handled completely.
struct PostError(StatusCode);

impl From<Gone> for PostError {
    fn from(_: Gone) -> Self {
        Self(StatusCode::GONE)
    }
}

impl PostError {
    /// The status of a POST during which the session ended.
    fn from_reason(reason: &'static Reason) -> Self {
        Self(match reason {
            reason if *reason == close::MALFORMED => StatusCode::BAD_REQUEST,
            reason if *reason == close::TOO_BIG => StatusCode::PAYLOAD_TOO_LARGE,
            reason if *reason == close::OVERLOADED => StatusCode::SERVICE_UNAVAILABLE,
            _ => StatusCode::GONE,
        })
    }
}

/// Reads the messages of a POST and waits until the session has handled them.
async fn handle_post(
    acceptor: &Acceptor,
    request: &HttpRequest,
    payload: web::Payload,
    session: &LongPollHandle,
) -> Result<(), PostError> {
    let guard = session.lock_requests().await;
    let limits = acceptor.limits();
    let read = match is_batch(request.headers()) {
        true => read(request, payload, limits.batch_bytes, session)
            .await
            .and_then(|body| lines(&body, limits.message_bytes)),
        false => read(request, payload, limits.message_bytes, session).await.and_then(|body| Ok(vec![text(body)?])),
    };
    let frames = read.map_err(|reason| {
        session.end(reason);
        PostError::from_reason(reason)
    })?;
    let posted = session.post(Via::Http, frames).await;
    drop(guard);
    if let Some(reason) = session.connection().mailbox.closed() {
        return Err(PostError::from_reason(reason));
    }
    posted?;
    // a join is handled when its reply is sent, as in Phoenix
    Ok(session.joins_settled().await?)
}

fn is_batch(headers: &HeaderMap) -> bool {
    let mut types = headers.get_all(header::CONTENT_TYPE);
    types.next().is_some_and(|value| value.as_bytes() == BATCH_TYPE) && types.next().is_none()
}

async fn read(
    request: &HttpRequest,
    payload: web::Payload,
    max_bytes: usize,
    session: &LongPollHandle,
) -> Result<Bytes, &'static Reason> {
    body::read(request, payload, max_bytes, session.connection()).await.map_err(|error| match error {
        BodyError::TooLarge => &close::TOO_BIG,
        BodyError::NoMemory => &close::OVERLOADED,
        BodyError::Broken => &close::GONE,
    })
}

/// The messages of a batch. Each is one line, either text or bytes in base64.
pub(crate) fn lines(body: &Bytes, max_bytes: usize) -> Result<Vec<Frame>, &'static Reason> {
    body.split(|byte| *byte == b'\n')
        .take(MAX_BATCH)
        .map(|line| {
            let line = line.strip_suffix(b"\r").unwrap_or(line);
            let frame = match line {
                [b'[', ..] => text(body.slice_ref(line))?,
                _ => Frame::Binary(BASE64_STANDARD.decode(line).map_err(|_| &close::MALFORMED)?.into()),
            };
            if frame.size() > max_bytes { Err(&close::TOO_BIG) } else { Ok(frame) }
        })
        .collect()
}

fn text(bytes: Bytes) -> Result<Frame, &'static Reason> {
    ByteString::try_from(bytes).map(Frame::Text).map_err(|_| &close::MALFORMED)
}

// ---- responses

fn json(mut response: HttpResponseBuilder, body: String) -> HttpResponse {
    response.content_type("application/json; charset=utf-8").body(body)
}

fn status(status: StatusCode) -> HttpResponse {
    json(HttpResponse::Ok(), format!(r#"{{"status":{}}}"#, status.as_u16()))
}

/// The response to a page of an origin that is not allowed. Phoenix's has no reason, and its clients read none.
fn forbidden(reason: &str) -> HttpResponse {
    let mut body = r#"{"status":403,"reason":"#.to_owned();
    push_string(&mut body, reason);
    body.push('}');
    json(HttpResponse::Ok(), body)
}

/// The response to a poll.
fn poll_response(status: StatusCode, token: &str, frames: &[Frame]) -> HttpResponse {
    let size: usize = frames.iter().map(Frame::size).sum();
    let mut body = String::with_capacity(size + size / 4 + 128);
    body.push_str(r#"{"status":"#);
    body.push_str(status.as_str());
    body.push_str(r#","token":"#);
    push_string(&mut body, token);
    body.push_str(r#","messages":["#);
    let texts = frames.iter().filter_map(|frame| if let Frame::Text(text) = frame { Some(text) } else { None });
    for (at, text) in texts.enumerate() {
        if at > 0 {
            body.push(',');
        }
        push_string(&mut body, text);
    }
    body.push_str("]}");
    json(HttpResponse::Ok(), body)
}

/// The response to a client that cannot connect. The body has 403 if the client is refused. At a limit or a server
/// error it has 500, on which Phoenix's client retries later; the HTTP status then shows the cause to proxies.
fn error_response(error: &ConnectError) -> HttpResponse {
    let is_limited = error.status == StatusCode::TOO_MANY_REQUESTS;
    match is_limited || error.status.is_server_error() {
        true => json(error.response(), r#"{"status":500}"#.to_owned()),
        false => status(StatusCode::FORBIDDEN),
    }
}

pub(super) fn preflight(headers: &HeaderMap) -> HttpResponse {
    let requested: Vec<&str> =
        headers.get_all(header::ACCESS_CONTROL_REQUEST_HEADERS).filter_map(|value| value.to_str().ok()).collect();
    HttpResponse::Ok()
        .insert_header((header::VARY, "access-control-request-headers"))
        .insert_header((header::ACCESS_CONTROL_ALLOW_HEADERS, requested.join(", ")))
        .insert_header((header::ACCESS_CONTROL_ALLOW_METHODS, "get, post, options"))
        .insert_header((header::ACCESS_CONTROL_MAX_AGE, "3600"))
        .finish()
}
