//! The WebSocket transport: the session actor, and the only file that uses `actix_web_actors`. Parsing frames is in
//! `frame_reader`, and the socket itself in `io`.
//!
//! That crate is deprecated in favour of `actix-ws`, but this project's users ask for it. To replace it, only this file
//! has to change. The actor is the body of the upgrade's response, but its frames do not pass through the response.
//! They go to the connection's [writer](crate::connections::writer), as do the broadcasts from the flusher. While the
//! client does not read, the actor does not run. So its messages wait in a [mailbox](crate::connections::mailbox) of
//! its own, and the sweep of the [hub](crate::connections::hub) checks its timeouts.

pub(crate) mod frame_reader;
pub(crate) mod io;
mod paced;
pub(crate) mod text_check;

use std::cell::Cell;
use std::io::ErrorKind;
use std::rc::Rc;
use std::sync::Arc;

use actix::{Actor, ActorContext, AsyncContext, StreamHandler};
use actix_http::ws::{Item, hash_key};
use actix_web::http::header;
use actix_web::{HttpRequest, HttpResponse, web};
use actix_web_actors::ws::{CloseReason, Message, ProtocolError, WebsocketContext};
use bytes::{Bytes, BytesMut};
use bytestring::ByteString;
use futures_util::{Stream, StreamExt, stream};

use crate::close::{self, Reason};
use crate::connections::connection::{Connection, WriteSide};
use crate::connections::incomplete::IncompleteBytes;
use crate::connections::writer::Writer;
use crate::protocol::Frame;
use crate::transports::transport::{FrameSink, TransportHandler};
use crate::transports::websocket::frame_reader::FrameReader;
use crate::transports::websocket::paced::Paced;

/// The transport's name, as channels see it.
pub(crate) const NAME: &str = "websocket";

/// Stands for a close frame without a code (RFC 6455, section 7.4.1).
const NO_CODE: u16 = 1005;

/// The maximum size of a message, and its maximum number of fragments.
#[derive(Clone, Copy, Debug)]
pub(crate) struct MessageLimits {
    pub(crate) bytes: usize,
    pub(crate) fragments: u32,
}

/// Accepts an upgrade that has passed the [checks](crate::http::request), and starts its session. `ws::handshake` would
/// repeat most of these checks, and refuse `Connection: close, Upgrade` without a reason.
pub(crate) fn start<T: TransportHandler>(
    request: &HttpRequest,
    payload: web::Payload,
    subprotocol: Option<&str>,
    handler: T,
    limits: MessageLimits,
) -> HttpResponse {
    let Some(key) = request.headers().get(header::SEC_WEBSOCKET_KEY) else {
        return HttpResponse::BadRequest().finish();
    };
    let Some(write_side) = io::of(request) else { return HttpResponse::ServiceUnavailable().finish() };
    let accepted = hash_key(key.as_bytes());
    let mut response = HttpResponse::SwitchingProtocols();
    response
        .upgrade(NAME)
        .insert_header((header::SEC_WEBSOCKET_ACCEPT, &accepted[..]))
        .insert_header((header::CACHE_CONTROL, "max-age=0, private, must-revalidate"));
    if let Some(name) = subprotocol {
        response.insert_header((header::SEC_WEBSOCKET_PROTOCOL, name));
    }
    let closing = Rc::new(Cell::new(false));
    let frames = FrameReader::new(payload, handler.connection().clone(), limits.bytes, closing.clone());
    let frames = Paced::new(frames, write_side.clone());
    let fragments = FragmentAssembler::new(limits, handler.connection());
    response.streaming(WebSocket { handler, write_side, fragments, closing }.run(frames))
}

/// The session actor of one client. `repr(C)` keeps the fields in this order: the first one is rarely used, because few
/// clients send fragments.
#[repr(C)]
struct WebSocket<T: TransportHandler> {
    fragments: FragmentAssembler,
    handler: T,
    write_side: Arc<WriteSide>,
    /// The server has sent a close frame. From then on the frame reader looks only for the client's.
    closing: Rc<Cell<bool>>,
}

type Ctx<T> = WebsocketContext<WebSocket<T>>;

impl<T: TransportHandler> WebSocket<T> {
    fn run(self, frames: Paced<FrameReader<web::Payload>>) -> impl Stream<Item = Result<Bytes, actix_web::Error>> {
        // the context gets nothing to read: its own parser checks a frame's length only once the whole frame is in
        // memory, reads all available bytes before it handles the first frame, and keeps its buffer
        WebsocketContext::with_factory(stream::pending(), |ctx| {
            ctx.add_stream(frames);
            self
        })
    }

    /// Runs `f` with a sink for frames to the client, and closes the session if `f` asks for it.
    fn with_sink(&mut self, f: impl FnOnce(&mut T, &mut WebSocketSink<'_>)) {
        if self.closing.get() {
            return;
        }
        let mut sink = WebSocketSink { writer: &self.write_side.writer, closed: None };
        f(&mut self.handler, &mut sink);
        if let Some(reason) = sink.closed {
            self.close(reason);
        } else if let Some(fastlane) = self.handler.take_fastlane_update() {
            self.handler.connection().enable_fastlane(fastlane);
        }
    }

    /// Ends the session immediately and sends a close frame. The connection closes when the client's close frame
    /// arrives, or cannot arrive any more. If the client does not answer, the sweep aborts the connection.
    fn close(&mut self, reason: &'static Reason) {
        if self.closing.replace(true) {
            return;
        }
        log::info!("{}: closed with {}: {}", self.handler.connection().id, reason.code, reason.text);
        self.handler.end(reason);
        self.handler.connection().disable_fastlane();
        self.write_side.writer.control(Message::Close(match reason.code {
            NO_CODE => None,
            code => Some(CloseReason { code: code.into(), description: Some(reason.text.to_owned()) }),
        }));
    }

    /// Closes a connection whose client has sent an invalid frame, immediately. Nothing that follows such a frame may be
    /// parsed, not even a close frame (RFC 6455, section 7.1.7).
    fn fail(&mut self, reason: &'static Reason, ctx: &mut Ctx<T>) {
        self.close(reason);
        ctx.stop();
    }

    fn message(&mut self, frame: &Frame) {
        self.with_sink(|handler, sink| handler.frame(frame, sink));
    }

    /// Answers a close frame with one, unless it is an answer itself, and stops the actor.
    fn answer_close(&mut self, reason: Option<CloseReason>, ctx: &mut Ctx<T>) {
        if !self.closing.get() {
            self.handler.end(&close::GONE);
            let reason = reason.map(|reason| CloseReason { code: reason.code, description: None });
            self.write_side.writer.control(Message::Close(reason));
        }
        ctx.stop();
    }
}

impl<T: TransportHandler> Actor for WebSocket<T> {
    type Context = Ctx<T>;

    fn started(&mut self, ctx: &mut Self::Context) {
        let events = Paced::new(self.handler.events(), self.write_side.clone());
        ctx.add_stream(events.map(SessionEvent));
        self.with_sink(|handler, sink| handler.open(sink));
    }
}

/// An event of the broker. The wrapper distinguishes it from the client's messages.
struct SessionEvent<T: TransportHandler>(T::Event);

impl<T: TransportHandler> StreamHandler<SessionEvent<T>> for WebSocket<T> {
    fn handle(&mut self, SessionEvent(event): SessionEvent<T>, _: &mut Self::Context) {
        self.with_sink(|handler, sink| handler.handle_event(event, sink));
    }

    /// The event stream has ended. Its last event has closed the session already.
    fn finished(&mut self, _: &mut Self::Context) {}
}

impl<T: TransportHandler> StreamHandler<Result<Message, ProtocolError>> for WebSocket<T> {
    fn handle(&mut self, message: Result<Message, ProtocolError>, ctx: &mut Self::Context) {
        match message {
            Ok(Message::Close(reason)) => self.answer_close(reason, ctx),
            Ok(Message::Text(text)) => self.message(&Frame::Text(text)),
            Ok(Message::Binary(bytes)) => self.message(&Frame::Binary(bytes)),
            Ok(Message::Continuation(fragment)) => match self.fragments.add(fragment) {
                Ok(Some(frame)) => self.message(&frame),
                Ok(None) => self.with_sink(|handler, sink| handler.control(sink)),
                Err(reason) => self.fail(reason, ctx),
            },
            Ok(Message::Ping(bytes)) => {
                self.with_sink(|handler, sink| handler.control(sink));
                if !self.closing.get() {
                    self.write_side.writer.control(Message::Pong(bytes));
                }
            }
            Ok(Message::Pong(_) | Message::Nop) => self.with_sink(|handler, sink| handler.control(sink)),
            Err(error) => self.fail(close_reason(&error), ctx),
        }
    }
}

/// The close reason for an invalid frame.
pub(crate) fn close_reason(error: &ProtocolError) -> &'static Reason {
    match error {
        ProtocolError::Io(error) if error.kind() == ErrorKind::InvalidData => &close::NOT_UTF8,
        ProtocolError::Overflow => &close::TOO_BIG,
        _ => &close::PROTOCOL,
    }
}

/// Sends frames to the client while the handler handles one frame or event.
struct WebSocketSink<'a> {
    writer: &'a Writer,
    closed: Option<&'static Reason>,
}

impl FrameSink for WebSocketSink<'_> {
    fn send(&mut self, frame: Frame) {
        self.writer.send(&frame);
    }

    fn ping(&mut self) {
        self.writer.control(Message::Ping(Bytes::new()));
    }

    fn close(&mut self, reason: &'static Reason) {
        self.closed.get_or_insert(reason);
    }
}

/// Reassembles a message from its fragments.
pub(crate) struct FragmentAssembler {
    limits: MessageLimits,
    text: bool,
    count: u32,
    bytes: BytesMut,
    counted: IncompleteBytes,
}

impl FragmentAssembler {
    pub(crate) fn new(limits: MessageLimits, connection: &Arc<Connection>) -> Self {
        Self {
            limits,
            text: false,
            count: 0,
            bytes: BytesMut::new(),
            counted: IncompleteBytes::new(connection.clone()),
        }
    }

    /// Adds a fragment. Returns the message if it was the last one.
    pub(crate) fn add(&mut self, fragment: Item) -> Result<Option<Frame>, &'static Reason> {
        let (bytes, last) = match fragment {
            Item::FirstText(bytes) => {
                self.text = true;
                (bytes, false)
            }
            Item::FirstBinary(bytes) => {
                self.text = false;
                (bytes, false)
            }
            Item::Continue(bytes) => (bytes, false),
            Item::Last(bytes) => (bytes, true),
        };
        self.count += 1;
        if self.count > self.limits.fragments {
            return Err(&close::FRAGMENTED);
        }
        if self.bytes.len() + bytes.len() > self.limits.bytes {
            return Err(&close::TOO_BIG);
        }
        self.bytes.extend_from_slice(&bytes);
        self.counted.set(self.bytes.capacity());
        if last { self.finish().map(Some) } else { Ok(None) }
    }

    fn finish(&mut self) -> Result<Frame, &'static Reason> {
        self.count = 0;
        let bytes = std::mem::take(&mut self.bytes).freeze();
        self.counted.set(0);
        if !self.text {
            return Ok(Frame::Binary(bytes));
        }
        ByteString::try_from(bytes).map(Frame::Text).map_err(|_| &close::NOT_UTF8)
    }
}
