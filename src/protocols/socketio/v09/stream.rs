//! The transports of Socket.IO 0.9 that stay open: a WebSocket, and `htmlfile`, a page that never ends, for Internet
//! Explorer. Either becomes the stream of a session that the handshake has started, and replaces the transport that
//! the session had before.

use std::future::ready;
use std::sync::Arc;
use std::time::Duration;

use actix_web::http::header;
use actix_web::{HttpRequest, HttpResponse, web};
use bytes::Bytes;
use futures_util::stream::once;
use futures_util::{Stream, StreamExt};
use std::cell::Cell;

use super::{SocketIo09, close_frame, comes_back, frame, packet};
use crate::close::{self, Reason};
use crate::connections::connection::{Connection, WriteSide};
use crate::http::acceptor::{Acceptor, mark_upgraded};
use crate::http::idle_connections::abort_later;
use crate::http::longpoll::abandoned;
use crate::http::mount::ConnectError;
use crate::http::request::check_upgrade;
use crate::json::push_string;
use crate::protocol::Frame;
use crate::protocols::upgrade::admit;
use crate::transports::longpoll::frame_channel::{FrameReceiver, FrameSender, frame_channel};
use crate::transports::longpoll::handle::{LongPollHandle, StreamId, Via};
use crate::transports::transport::{FrameSink, TransportHandler};

/// The overhead of a queued frame in bytes, about its size in memory. It is counted in addition to the frame's content.
const FRAME_OVERHEAD: usize = 64;
/// The maximum number of frames that are forwarded to the session together.
const BATCH: usize = 256;
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
    let config = acceptor.config();
    let max_queued_bytes = acceptor.limits().message_bytes + config.limits.queue_bytes;
    let socket = SessionSocket::new(session, mark_upgraded(request)?, max_queued_bytes, config.socket.write_timeout);
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
    let protocol = SocketIo09::not_handshaken(acceptor.pubsub().shared_metrics());
    Ok(acceptor.websocket(request, payload, None, slot, init, protocol))
}

/// The WebSocket of a session.
struct SessionSocket {
    session: LongPollHandle,
    write_side: Arc<WriteSide>,
    /// The maximum size of the frames that wait for the session, in bytes. The WebSocket closes if there are more.
    max_queued_bytes: usize,
    /// The time the client has to answer a close frame before the socket is aborted.
    close_timeout: Duration,
    /// The client's frames go to the session through this channel, until the WebSocket closes.
    to_session: Option<FrameSender>,
    /// The session's frames. Taken by the event stream.
    from_session: Cell<Option<FrameReceiver>>,
}

/// An event from the session.
enum SessionEvent {
    /// A frame to the client.
    Frame(Frame),
    /// The session has ended, or uses another transport.
    Ended,
}

impl SessionSocket {
    fn new(
        session: LongPollHandle,
        write_side: Arc<WriteSide>,
        max_queued_bytes: usize,
        close_timeout: Duration,
    ) -> Self {
        let (to_session, frames) = frame_channel();
        let (stream, from_session) = session.use_stream(Some(write_side.clone()));
        actix_web::rt::spawn(forward_frames(session.clone(), stream, frames));
        let (to_session, from_session) = (Some(to_session), Cell::new(Some(from_session)));
        Self { session, write_side, max_queued_bytes, close_timeout, to_session, from_session }
    }

    fn forward(&self, frame: Frame, sink: &mut impl FrameSink) {
        let Some(to_session) = &self.to_session else { return };
        let size = frame.size() + FRAME_OVERHEAD;
        to_session.send(frame, size);
        if to_session.weight() > self.max_queued_bytes {
            sink.close(&close::FLOOD);
        }
    }
}

/// Forwards the client's frames to its session, and ends the session when its stream is gone.
async fn forward_frames(session: LongPollHandle, stream: StreamId, mut receiver: FrameReceiver) {
    loop {
        let frames = receiver.batch(BATCH).await;
        if frames.is_empty() {
            return session.stream_gone(stream);
        }
        if session.post(Via::Socket, frames).await.is_err() {
            return;
        }
    }
}

impl TransportHandler for SessionSocket {
    type Event = SessionEvent;

    fn connection(&self) -> &Arc<Connection> {
        self.session.connection()
    }

    fn events(&self) -> impl Stream<Item = SessionEvent> + 'static {
        let frames = futures_util::stream::iter(self.from_session.take()).flatten();
        frames.map(SessionEvent::Frame).chain(once(ready(SessionEvent::Ended)))
    }

    fn open(&mut self, _: &mut impl FrameSink) {}

    fn frame(&mut self, frame: &Frame, sink: &mut impl FrameSink) {
        self.forward(frame.clone(), sink);
    }

    /// A WebSocket ping counts against the message rate like any other frame.
    fn control(&mut self, sink: &mut impl FrameSink) {
        self.forward(frame(packet::NOOP), sink);
    }

    fn handle_event(&mut self, event: SessionEvent, sink: &mut impl FrameSink) {
        match (event, self.session.connection().mailbox.closed()) {
            (SessionEvent::Frame(frame), _) => sink.send(frame),
            (SessionEvent::Ended, Some(reason)) => {
                // a client that is to come back learns it from the close frame alone
                if !comes_back(reason) {
                    sink.send(close_frame(reason));
                }
                sink.close(reason);
            }
            (SessionEvent::Ended, None) => sink.close(&close::TAKEN_OVER),
        }
    }

    /// Aborts the socket if the client does not answer the close frame in time. The hub's sweep does this only for the
    /// sockets of connections, and this one belongs to a session that may have other transports.
    fn end(&mut self, reason: &'static Reason) {
        if self.to_session.take().is_some() && *reason != close::GONE {
            let write_side = self.write_side.clone();
            abort_later(move || write_side.writer.abort(), self.close_timeout);
        }
    }
}

impl Drop for SessionSocket {
    fn drop(&mut self) {
        self.end(&close::GONE);
    }
}

// ---- htmlfile

/// Responds with a page that grows by one script for each packet. The client posts its own packets.
pub(super) fn htmlfile(request: &HttpRequest, session: Option<LongPollHandle>) -> HttpResponse {
    let mut response = HttpResponse::Ok();
    response.content_type("text/html; charset=UTF-8").insert_header((header::CACHE_CONTROL, "no-store"));
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

/// The packet as a string in a script. An end tag in it would end the script.
fn script(frame: &Frame) -> String {
    let mut text = "<script>_(".to_owned();
    if let Frame::Text(packet) = frame {
        let mut literal = String::with_capacity(packet.len() + 2);
        push_string(&mut literal, packet);
        text.push_str(&literal.replace('/', "\\/").replace('\u{2028}', "\\u2028").replace('\u{2029}', "\\u2029"));
    }
    text.push_str(");</script>");
    text
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
