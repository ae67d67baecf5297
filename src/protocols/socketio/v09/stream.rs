//! The transports of Socket.IO 0.9 that stay open: a WebSocket, and `htmlfile`, a page that never ends, for Internet
//! Explorer. Either becomes the stream of a session that the handshake has started, and replaces the transport that
//! the session had before.

use std::future::ready;

use actix_web::{HttpRequest, HttpResponse, web};
use bytes::Bytes;
use futures_util::StreamExt;
use futures_util::stream::once;

use super::{SocketIo09, close_frame, comes_back, frame, packet};
use crate::http::acceptor::{Acceptor, mark_upgraded};
use crate::http::connect_error::ConnectError;
use crate::http::jsonp;
use crate::http::longpoll::abandoned;
use crate::http::request::check_upgrade;
use crate::http::upgraded_socket::{UpgradeOptions, UpgradedSocket};
use crate::protocol::Frame;
use crate::protocols::upgrade::admit;
use crate::refusal::ConnectRefusal;
use crate::transports::longpoll::handle::{LongPollHandle, StreamId};

/// The beginning of the page of `htmlfile`. Internet Explorer shows nothing of a page before 256 bytes have arrived.
const PAGE_HEAD: &str = "<html><body><script>var _ = function (msg) { parent.s._(msg, document); };</script>";
const PAGE_HEAD_BYTES: usize = 256;

// ---- WebSocket

/// Upgrades a request to a WebSocket, which becomes the stream of the session.
pub(super) async fn websocket(
    acceptor: &Acceptor,
    request: &HttpRequest,
    payload: web::Payload,
    session: Option<LongPollHandle>,
) -> HttpResponse {
    let upgraded = match session {
        Some(session) => upgrade(acceptor, request, payload, session),
        None => refuse(acceptor, request, payload).await,
    };
    upgraded.unwrap_or_else(|error| acceptor.refuse(error))
}

fn upgrade(
    acceptor: &Acceptor,
    request: &HttpRequest,
    payload: web::Payload,
    session: LongPollHandle,
) -> Result<HttpResponse, ConnectError> {
    check_upgrade(request)?;
    // a client that is to come back learns it from the close frame alone
    let last_frame = |reason| (!comes_back(reason)).then(|| close_frame(reason));
    let options = UpgradeOptions::new(acceptor, frame(packet::NOOP));
    let options = UpgradeOptions { is_replaceable: true, last_frame, ..options };
    let socket = UpgradedSocket::start(session, mark_upgraded(request)?, options);
    Ok(acceptor.upgrade(request, payload, socket))
}

/// Upgrades a request whose session does not exist, so that the client learns it from a packet and connects again. A
/// browser hides the status of a failed upgrade, and the client would wait for its timeout.
async fn refuse(
    acceptor: &Acceptor,
    request: &HttpRequest,
    payload: web::Payload,
) -> Result<HttpResponse, ConnectError> {
    let (slot, init) = admit(acceptor, request).await?;
    acceptor.count_refused(ConnectRefusal::Session);
    let protocol = SocketIo09::not_handshaken(acceptor.pubsub().shared_metrics());
    Ok(acceptor.websocket(request, payload, None, slot, init, protocol))
}

// ---- htmlfile

/// Responds with a page that grows by one script for each packet. The client posts its own packets.
pub(super) fn htmlfile(request: &HttpRequest, session: Option<LongPollHandle>) -> HttpResponse {
    let mut response = HttpResponse::Ok();
    response.content_type("text/html; charset=UTF-8");
    let head = format!("{PAGE_HEAD:PAGE_HEAD_BYTES$}");
    let Some(session) = session else { return response.body(head + &script(&frame(packet::NOT_HANDSHAKEN))) };
    let (stream, frames) = session.use_stream(None);
    let (ended, request) = (session.clone(), request.clone());
    let farewell = async move {
        let reason = ended.connection().mailbox.closed().filter(|reason| !comes_back(reason));
        reason.map_or_else(String::new, |reason| script(&close_frame(reason)))
    };
    let scripts = once(ready(head)).chain(frames.map(|frame| script(&frame))).chain(once(farewell));
    let scripts = scripts.take_until(async move { abandoned(&request).await });
    let page = Page { session, stream };
    response.streaming(scripts.map(move |script| {
        let _ = &page;
        Ok::<_, actix_web::Error>(Bytes::from(script))
    }))
}

/// The packet as a string in a script. It has no `<`: the page's text could otherwise end the script, or hide its end
/// as `<!--<script>` does.
fn script(frame: &Frame) -> String {
    let mut literal = String::new();
    if let Frame::Text(packet) = frame {
        literal = jsonp::quoted(packet).replace('<', "\\u003c");
    }
    format!("<script>_({literal});</script>")
}

/// The page of a session. Dropping it ends the session, unless another transport has replaced it.
struct Page {
    session: LongPollHandle,
    stream: StreamId,
}

impl Drop for Page {
    fn drop(&mut self) {
        self.session.stream_gone(self.stream);
    }
}
