//! Phoenix's long-polling: a GET opens a session or asks for news, a POST says something.
//!
//! HTTP's status is 200 nearly always; what counts is the `status` in the body. Those of Phoenix are kept,
//! since its client throws at others. What is ours: 400 for what cannot be read and 413 for what is too large,
//! both of which end the session, as the same over a WebSocket would.

use std::net::Shutdown;
use std::time::Duration;

use actix_web::http::header::{self, HeaderMap};
use actix_web::http::{ConnectionType, Method, StatusCode};
use actix_web::{HttpRequest, HttpResponse, HttpResponseBuilder, web};
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use bytes::Bytes;
use bytestring::ByteString;
use tokio::time::timeout;

use super::V1;
use super::v2_text_only::V2TextOnly;
use super::version::{Version, version};
use crate::close::{self, Reason};
use crate::http::acceptor::{Acceptor, http_connection_of};
use crate::http::body::{self, BodyError};
use crate::http::idle_connections::abort_later;
use crate::http::mount::{ConnectError, ConnectInfo};
use crate::http::request::{check_origin, params};
use crate::json::push_string;
use crate::protocol::Frame;
use crate::transports::longpoll::handle::{Fetched, Gone, LongPollHandle, Via};
use crate::transports::longpoll::{self, LongPollOptions};

/// Where a token may stand besides the query; it counts before that.
const TOKEN_HEADER: &str = "x-phoenix-longpoll-token";
/// Where the client's `authToken` stands.
const AUTH_HEADER: &str = "x-phoenix-authtoken";
/// The content type, to the letter, of a request that brings several messages.
const BATCH: &[u8] = b"application/x-ndjson";
/// How many messages one request brings; what follows is passed over, as in Phoenix.
const LINES: usize = 100;
/// How long a client whose request was given up has to read the answer.
const PARTING: Duration = Duration::from_secs(1);

type Params = Vec<(String, String)>;

/// Answers one request to `<mount>/longpoll`.
pub(super) async fn serve(acceptor: Acceptor, request: HttpRequest, payload: web::Payload) -> HttpResponse {
    let params = match params(request.query_string()) {
        Ok(params) => params,
        Err(refusal) => {
            acceptor.count_refusal(&refusal);
            return with_cors(&mut HttpResponse::build(refusal.status)).finish();
        }
    };
    if let Err(refusal) = check_origin(request.headers(), acceptor.origins()) {
        acceptor.count_refusal(&refusal);
        return status(StatusCode::FORBIDDEN);
    }
    let token = token(request.headers(), &params);
    match *request.method() {
        Method::GET => {
            if let Some(token) = token
                && let Some(news) = poll(&acceptor, token).await
            {
                return news;
            }
            begin(&acceptor, &request, params).await.unwrap_or_else(|refusal| {
                acceptor.count_refusal(&refusal);
                refused(&refusal)
            })
        }
        Method::POST => match token.and_then(|token| acceptor.longpoll_session(token)) {
            Some(session) => publish(&acceptor, &request, payload, &session).await,
            None => status(StatusCode::GONE),
        },
        Method::OPTIONS => preflight(request.headers()),
        _ => with_cors(&mut HttpResponse::BadRequest()).finish(),
    }
}

fn token<'a>(headers: &'a HeaderMap, params: &'a Params) -> Option<&'a str> {
    let header = headers.get(TOKEN_HEADER).and_then(|value| value.to_str().ok());
    header.or_else(|| params.iter().rev().find(|(name, _)| name == "token").map(|(_, value)| &**value))
}

// ---- a GET

/// Asks a session for news; nothing when it is over.
async fn poll(acceptor: &Acceptor, token: &str) -> Option<HttpResponse> {
    match acceptor.longpoll_session(token)?.fetch(acceptor.poll_window()).await {
        Fetched::FrameReader(frames) => Some(news(StatusCode::OK, token, &frames)),
        Fetched::Nothing => Some(news(StatusCode::NO_CONTENT, token, &[])),
        Fetched::Gone => None,
    }
}

/// Opens a session, and says so: 410 tells a client that has none that this is its first, and one that had
/// one that it is gone.
async fn begin(acceptor: &Acceptor, request: &HttpRequest, params: Params) -> Result<HttpResponse, ConnectError> {
    let client_ip = acceptor.client_ip(request)?;
    let version = version(&params)?;
    let auth_token = request.headers().get(AUTH_HEADER).and_then(|value| value.to_str().ok());
    let (request, auth_token) = (request.clone(), auth_token.map(str::to_owned));
    let info = ConnectInfo { request, params, client_ip, auth_token, transport: longpoll::NAME };
    let (slot, init) = acceptor.admit_longpoll(info, acceptor.poll_window().saturating_mul(3) / 2).await?;
    let options = LongPollOptions {
        bytes: acceptor.limits().queue_bytes,
        close_on_concurrent_poll: false,
        drain_after_close: false,
        close_frame: None,
    };
    let (token, _) = match version {
        Version::V1 => acceptor.longpoll(slot, init, V1, options),
        Version::V2 => acceptor.longpoll(slot, init, V2TextOnly::default(), options),
    };
    Ok(news(StatusCode::GONE, &token, &[]))
}

// ---- a POST

/// Hands on what the request says, for as long as a poll may last.
async fn publish(
    acceptor: &Acceptor,
    request: &HttpRequest,
    payload: web::Payload,
    session: &LongPollHandle,
) -> HttpResponse {
    match timeout(acceptor.poll_window(), say(acceptor, request, payload, session)).await {
        Ok(Ok(())) => status(StatusCode::OK),
        Ok(Err(PostError(StatusCode::PAYLOAD_TOO_LARGE))) => hang_up(request, status(StatusCode::PAYLOAD_TOO_LARGE)),
        Ok(Err(PostError(why))) => status(why),
        Err(_) => hang_up(request, status(StatusCode::REQUEST_TIMEOUT)),
    }
}

/// Why a request was not handled to its end, in the status that the client is told.
struct PostError(StatusCode);

impl From<Gone> for PostError {
    fn from(_: Gone) -> Self {
        Self(StatusCode::GONE)
    }
}

impl PostError {
    /// What the end of a session is to the one who has just spoken.
    fn because(reason: &'static Reason) -> Self {
        Self(match reason {
            reason if *reason == close::MALFORMED => StatusCode::BAD_REQUEST,
            reason if *reason == close::TOO_BIG => StatusCode::PAYLOAD_TOO_LARGE,
            _ => StatusCode::GONE,
        })
    }
}

async fn say(
    acceptor: &Acceptor,
    request: &HttpRequest,
    payload: web::Payload,
    session: &LongPollHandle,
) -> Result<(), PostError> {
    let floor = session.lock_requests().await;
    let limits = acceptor.limits();
    let read = match is_batch(request.headers()) {
        true => read(request, payload, limits.batch_bytes).await.and_then(|body| lines(&body, limits.message_bytes)),
        false => read(request, payload, limits.message_bytes).await.and_then(|body| Ok(vec![text(body)?])),
    };
    let frames = read.map_err(|reason| {
        session.end(reason);
        PostError::because(reason)
    })?;
    let posted = session.post(Via::Http, frames).await;
    drop(floor);
    if let Some(reason) = session.connection().mailbox.closed() {
        return Err(PostError::because(reason));
    }
    posted?;
    // a join counts as handled when it is answered, as in Phoenix
    Ok(session.joins_settled().await?)
}

fn is_batch(headers: &HeaderMap) -> bool {
    let mut types = headers.get_all(header::CONTENT_TYPE);
    types.next().is_some_and(|value| value.as_bytes() == BATCH) && types.next().is_none()
}

async fn read(request: &HttpRequest, payload: web::Payload, most: usize) -> Result<Bytes, &'static Reason> {
    body::read(request, payload, most).await.map_err(|unread| match unread {
        BodyError::TooLarge => &close::TOO_BIG,
        BodyError::Broken => &close::GONE,
    })
}

/// The messages of a batch, a line each: text, or bytes in base64.
pub(crate) fn lines(body: &Bytes, most: usize) -> Result<Vec<Frame>, &'static Reason> {
    body.split(|byte| *byte == b'\n')
        .take(LINES)
        .map(|line| {
            let line = line.strip_suffix(b"\r").unwrap_or(line);
            let frame = match line {
                [b'[', ..] => text(body.slice_ref(line))?,
                _ => Frame::Binary(BASE64_STANDARD.decode(line).map_err(|_| &close::MALFORMED)?.into()),
            };
            if frame.size() > most { Err(&close::TOO_BIG) } else { Ok(frame) }
        })
        .collect()
}

fn text(bytes: Bytes) -> Result<Frame, &'static Reason> {
    ByteString::try_from(bytes).map(Frame::Text).map_err(|_| &close::MALFORMED)
}

// ---- answers

/// Pages of every origin may read the answers; whether they get any but a refusal is for the origin's check.
fn with_cors(response: &mut HttpResponseBuilder) -> &mut HttpResponseBuilder {
    response
        .insert_header((header::ACCESS_CONTROL_ALLOW_ORIGIN, "*"))
        .insert_header((header::CACHE_CONTROL, "no-store"))
}

fn json(http: StatusCode, body: String) -> HttpResponse {
    with_cors(&mut HttpResponse::build(http)).content_type("application/json; charset=utf-8").body(body)
}

fn status(status: StatusCode) -> HttpResponse {
    json(StatusCode::OK, format!(r#"{{"status":{}}}"#, status.as_u16()))
}

/// Its request may not have been read to its end, and is not going to be: what is left of it would be read
/// and thrown away for as long as it comes.
fn hang_up(request: &HttpRequest, mut response: HttpResponse) -> HttpResponse {
    response.head_mut().set_connection_type(ConnectionType::Close);
    if let Ok(connection) = http_connection_of(request) {
        let wire = connection.socket().clone();
        abort_later(move || drop(wire.shutdown(Shutdown::Both)), PARTING);
    }
    response
}

fn news(status: StatusCode, token: &str, frames: &[Frame]) -> HttpResponse {
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
    json(StatusCode::OK, body)
}

/// Who may not come in hears 403. Who finds no room, or a fault of ours, hears 500, at which Phoenix's client
/// comes back later; HTTP's own status says which, for proxies.
fn refused(refusal: &ConnectError) -> HttpResponse {
    let no_room = refusal.status == StatusCode::TOO_MANY_REQUESTS;
    match no_room || refusal.status.is_server_error() {
        true => json(refusal.status, r#"{"status":500}"#.to_owned()),
        false => status(StatusCode::FORBIDDEN),
    }
}

fn preflight(headers: &HeaderMap) -> HttpResponse {
    let asked: Vec<&str> =
        headers.get_all(header::ACCESS_CONTROL_REQUEST_HEADERS).filter_map(|value| value.to_str().ok()).collect();
    with_cors(&mut HttpResponse::Ok())
        .insert_header((header::ACCESS_CONTROL_ALLOW_HEADERS, asked.join(", ")))
        .insert_header((header::ACCESS_CONTROL_ALLOW_METHODS, "get, post, options"))
        .insert_header((header::ACCESS_CONTROL_MAX_AGE, "3600"))
        .finish()
}
