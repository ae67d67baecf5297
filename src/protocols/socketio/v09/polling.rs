//! The polling transports of Socket.IO 0.9: polls, which wait for packets, and posts, which bring them.
//!
//! A page of the server's own origin, or a newer browser, uses `xhr-polling`. An older browser uses `jsonp-polling` for
//! other origins: its polls are scripts, and its posts are forms.

use std::time::Duration;

use actix_web::{HttpRequest, HttpResponse, web};

use super::{frame, packet, payload};
use crate::http::acceptor::Acceptor;
use crate::http::body::{self, BodyError};
use crate::http::{jsonp, longpoll};
use crate::protocol::{Frame, Malformed};
use crate::transports::longpoll::handle::{Fetched, LongPollHandle, Via};

/// The response to every post. Any other one makes the client give the session up.
const RECEIVED: &str = "1";
/// The field of a form that contains the packets, as a JSON string.
const FORM_FIELD: &str = "d";

/// A response of plain text.
pub(super) fn text(body: impl Into<String>) -> HttpResponse {
    HttpResponse::Ok().content_type("text/plain; charset=UTF-8").body(body.into())
}

/// Waits for packets to the client.
pub(super) async fn poll(acceptor: &Acceptor, request: &HttpRequest, session: Option<LongPollHandle>) -> HttpResponse {
    text(fetch(acceptor, request, session).await)
}

/// Like [`poll`], for a client that reads the response as a script. `index` is that of its callback.
pub(super) async fn poll_by_script(
    acceptor: &Acceptor,
    request: &HttpRequest,
    session: Option<LongPollHandle>,
    index: u32,
) -> HttpResponse {
    jsonp::script(&format!("io.j[{index}]"), &fetch(acceptor, request, session).await)
}

async fn fetch(acceptor: &Acceptor, request: &HttpRequest, session: Option<LongPollHandle>) -> String {
    let fetched = match &session {
        Some(session) => longpoll::fetch(request, session, poll_window(acceptor)).await,
        None => Fetched::Gone,
    };
    match fetched {
        Fetched::Frames(frames) => payload::write(&frames),
        Fetched::Nothing => packet::NOOP.to_owned(),
        Fetched::Gone => packet::NOT_HANDSHAKEN.to_owned(),
    }
}

/// How long a poll waits. A client that polls receives a packet in this interval, as others receive a heartbeat.
fn poll_window(acceptor: &Acceptor) -> Duration {
    let timeouts = acceptor.timeouts();
    timeouts.ping_interval.unwrap_or(timeouts.idle / 2)
}

/// Reads the packets of a request and waits until the session has handled them. What cannot be read, and packets for a
/// session that does not exist, are ignored.
pub(super) async fn post(
    acceptor: &Acceptor,
    request: &HttpRequest,
    payload: web::Payload,
    session: Option<LongPollHandle>,
    decode: fn(&[u8]) -> Result<Vec<Frame>, Malformed>,
) -> HttpResponse {
    let Some(session) = session else { return text(RECEIVED) };
    let _guard = session.lock_requests().await;
    let reading = body::read(request, payload, acceptor.limits().message_bytes, session.connection());
    let body = match acceptor.pubsub().clock().timeout(acceptor.timeouts().idle, reading).await {
        Ok(Ok(body)) => body,
        Ok(Err(BodyError::TooLarge)) => return HttpResponse::PayloadTooLarge().finish(),
        Ok(Err(BodyError::NoMemory)) => return HttpResponse::ServiceUnavailable().finish(),
        Ok(Err(BodyError::Broken)) | Err(_) => return HttpResponse::BadRequest().finish(),
    };
    // an unreadable body counts as one packet that is ignored
    let frames = decode(&body).unwrap_or_else(|_| vec![frame("")]);
    // the next poll of a session that has ended brings the reason
    let _ = session.post(Via::Http, frames).await;
    text(RECEIVED)
}

/// Decodes a body of packets.
pub(super) fn plain(body: &[u8]) -> Result<Vec<Frame>, Malformed> {
    payload::read(std::str::from_utf8(body)?)
}

/// Decodes a form.
pub(crate) fn form(body: &[u8]) -> Result<Vec<Frame>, Malformed> {
    let field = jsonp::form_field(body, FORM_FIELD).ok_or(Malformed)?;
    payload::read(&serde_json::from_str::<String>(&field)?)
}
