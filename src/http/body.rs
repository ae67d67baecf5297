//! Reads a request's body, up to a size limit. The caller sets the timeout and decodes the bytes.

use std::sync::Arc;
use std::time::Duration;

use actix_web::http::{ConnectionType, header};
use actix_web::{HttpRequest, HttpResponse, web};
use bytes::{Bytes, BytesMut};
use futures_util::StreamExt;

use crate::connections::connection::Connection;
use crate::connections::incomplete::IncompleteBytes;
use crate::http::acceptor::http_connection_of;

/// The time a client has to read the response to an aborted request before its connection is closed.
const CLOSE_DELAY: Duration = Duration::from_secs(1);

/// Why a body was not read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum BodyError {
    /// The body, or its `Content-Length`, exceeds the limit.
    TooLarge,
    /// The client disconnected or violated HTTP before the end of the body, or its session has ended.
    Broken,
    /// The node has used up `limits.memory_bytes`.
    NoMemory,
}

/// How often it is checked whether the session of a slow body has ended.
const SESSION_CHECK: Duration = Duration::from_millis(250);

/// Reads a body of up to `limit` bytes, and never buffers more than that. What has arrived counts as incomplete input of
/// the session's connection.
pub(crate) async fn read(
    request: &HttpRequest,
    mut payload: web::Payload,
    limit: usize,
    connection: &Arc<Connection>,
) -> Result<Bytes, BodyError> {
    let length = request.headers().get(header::CONTENT_LENGTH).and_then(|length| length.to_str().ok()?.parse().ok());
    if length.is_some_and(|length: u64| length > limit as u64) {
        return Err(BodyError::TooLarge);
    }
    let (mut body, mut counted) = (BytesMut::new(), IncompleteBytes::new(connection.clone()));
    loop {
        let chunk = match connection.clock().timeout(SESSION_CHECK, payload.next()).await {
            Ok(Some(chunk)) => chunk.map_err(|_| BodyError::Broken)?,
            Ok(None) => return Ok(body.freeze()),
            Err(_) if connection.mailbox.is_closed() => return Err(BodyError::Broken),
            Err(_) => continue,
        };
        if body.len() + chunk.len() > limit {
            return Err(BodyError::TooLarge);
        }
        if connection.memory().is_full() {
            return Err(BodyError::NoMemory);
        }
        body.extend_from_slice(&chunk);
        counted.set(body.capacity());
    }
}

/// Closes the connection after the response to a request that was not read completely. Otherwise the HTTP server would
/// read the rest of the request and discard it for as long as the client sends.
pub(crate) fn close_after_response(request: &HttpRequest, mut response: HttpResponse) -> HttpResponse {
    response.head_mut().set_connection_type(ConnectionType::Close);
    if let Ok(connection) = http_connection_of(request) {
        connection.shut_down_later(CLOSE_DELAY);
    }
    response
}
