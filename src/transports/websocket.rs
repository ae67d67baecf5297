//! The WebSocket transport: the session actor, and the only file that names `actix_web_actors`.
//!
//! That crate is deprecated in favour of `actix-ws`; it is asked for by this project's users, and
//! replacing it would touch this file alone. The actor is the body of the upgrade's response, though what it
//! says does not pass there: its [writer](crate::connections::writer) carries it, beside what the courier brings. While the
//! client does not read, it stands still. Its mail therefore waits in a [mailbox](crate::connections::mailbox) of its own,
//! and its time is kept by the sweep of [`connections`](crate::connections::hub).

pub(crate) mod frame_reader;
pub(crate) mod io;

use std::io::ErrorKind;
use std::sync::Arc;

use actix::{Actor, ActorContext, AsyncContext, StreamHandler};
use actix_http::ws::Item;
use actix_web::{HttpRequest, HttpResponse, web};
use actix_web_actors::ws::{self, CloseCode, CloseReason, Message, ProtocolError, WebsocketContext};
use bytes::{Bytes, BytesMut};
use bytestring::ByteString;
use futures_util::{Stream, StreamExt, stream};

use crate::close::{self, Reason};
use crate::connections::connection::WriteSide;
use crate::connections::writer::Writer;
use crate::protocol::Frame;
use crate::transports::transport::{FrameSink, TransportHandler};
use crate::transports::websocket::frame_reader::FrameReader;

/// What a channel is told when it asks for its transport.
pub(crate) const NAME: &str = "websocket";

/// Stands for a close frame without a code (RFC 6455, section 7.4.1).
const NO_CODE: u16 = 1005;

/// How large a message may be, and in how many pieces it may come.
#[derive(Clone, Copy, Debug)]
pub(crate) struct MessageLimits {
    pub(crate) bytes: usize,
    pub(crate) fragments: u32,
}

/// Answers a request that has passed the [handshake](crate::http::request) and makes it a talk.
pub(crate) fn start<T: TransportHandler>(
    request: &HttpRequest,
    payload: web::Payload,
    subprotocol: Option<&str>,
    handler: T,
    limits: MessageLimits,
) -> HttpResponse {
    let Ok(mut response) = ws::handshake(request) else { return HttpResponse::BadRequest().finish() };
    let Some(write_side) = io::of(request) else { return HttpResponse::ServiceUnavailable().finish() };
    response.insert_header(("cache-control", "max-age=0, private, must-revalidate"));
    if let Some(name) = subprotocol {
        response.insert_header(("sec-websocket-protocol", name));
    }
    let frames = FrameReader::new(payload, handler.connection().clone(), limits.bytes);
    response.streaming(
        WebSocket { handler, write_side, fragments: FragmentAssembler::new(limits), closing: false }.run(frames),
    )
}

/// One client's talk, as an actor. In memory as written: few clients send pieces.
#[repr(C)]
struct WebSocket<T: TransportHandler> {
    fragments: FragmentAssembler,
    handler: T,
    write_side: Arc<WriteSide>,
    /// We have said goodbye and wait for the client's.
    closing: bool,
}

type Ctx<T> = WebsocketContext<WebSocket<T>>;

impl<T: TransportHandler> WebSocket<T> {
    fn run(self, frames: FrameReader<web::Payload>) -> impl Stream<Item = Result<Bytes, actix_web::Error>> {
        // it has nothing to read itself: its own stream compares a length only once the whole frame lies in memory, takes
        // all that there is before the first frame of it is handled, and keeps a buffer
        WebsocketContext::with_factory(stream::pending(), |ctx| {
            ctx.add_stream(frames);
            self
        })
    }

    /// Runs `f` with the way to the client, and says goodbye if that is what it comes to.
    fn with_sink(&mut self, f: impl FnOnce(&mut T, &mut WebSocketSink<'_>)) {
        if self.closing {
            return;
        }
        let mut outlet = WebSocketSink { writer: &self.write_side.writer, closed: None };
        f(&mut self.handler, &mut outlet);
        if let Some(reason) = outlet.closed {
            self.close(reason);
        } else if let Some(fastlane) = self.handler.take_fastlane_update() {
            self.handler.connection().enable_fastlane(fastlane);
        }
    }

    /// Ends the talk at once, and the connection when the client has answered. One that does not
    /// answer is cut off by the sweep.
    fn close(&mut self, reason: &'static Reason) {
        if std::mem::replace(&mut self.closing, true) {
            return;
        }
        log::info!("{}: closed with {}: {}", self.handler.connection().id, reason.code, reason.words);
        self.handler.end(reason);
        self.handler.connection().disable_fastlane();
        self.write_side.writer.control(Message::Close(match reason.code {
            NO_CODE => None,
            code => Some(CloseReason { code: code.into(), description: Some(reason.words.to_owned()) }),
        }));
    }

    fn message(&mut self, frame: &Frame) {
        self.with_sink(|handler, sink| handler.frame(frame, sink));
    }

    /// Answers a close frame in kind, and ends.
    fn answer_close(&mut self, reason: Option<CloseReason>, ctx: &mut Ctx<T>) {
        if !self.closing {
            self.handler.end(&close::GONE);
            match reason {
                Some(reason) if !is_sendable(reason.code) => return self.close(&close::PROTOCOL),
                reason => {
                    let reason = reason.map(|reason| CloseReason { code: reason.code, description: None });
                    self.write_side.writer.control(Message::Close(reason));
                }
            }
        }
        ctx.stop();
    }
}

/// Whether a close frame may carry the code (RFC 6455, section 7.4).
fn is_sendable(code: CloseCode) -> bool {
    matches!(u16::from(code), 1000..=1003 | 1007..=1014 | 3000..=4999)
}

impl<T: TransportHandler> Actor for WebSocket<T> {
    type Context = Ctx<T>;

    fn started(&mut self, ctx: &mut Self::Context) {
        ctx.add_stream(self.handler.events().map(SessionEvent));
        self.with_sink(|handler, sink| handler.open(sink));
    }
}

/// What the talk is told, told apart from what its client says.
struct SessionEvent<T: TransportHandler>(T::Event);

impl<T: TransportHandler> StreamHandler<SessionEvent<T>> for WebSocket<T> {
    fn handle(&mut self, SessionEvent(event): SessionEvent<T>, _: &mut Self::Context) {
        self.with_sink(|handler, sink| handler.handle_event(event, sink));
    }

    /// The mailbox is closed; the goodbye has been said.
    fn finished(&mut self, _: &mut Self::Context) {}
}

impl<T: TransportHandler> StreamHandler<Result<Message, ProtocolError>> for WebSocket<T> {
    fn handle(&mut self, message: Result<Message, ProtocolError>, ctx: &mut Self::Context) {
        match message {
            Ok(Message::Close(reason)) => self.answer_close(reason, ctx),
            Err(_) if self.closing => ctx.stop(),
            _ if self.closing => {}
            Ok(Message::Text(text)) => self.message(&Frame::Text(text)),
            Ok(Message::Binary(bytes)) => self.message(&Frame::Binary(bytes)),
            Ok(Message::Continuation(piece)) => match self.fragments.add(piece) {
                Ok(Some(frame)) => self.message(&frame),
                Ok(None) => self.with_sink(|handler, sink| handler.control(sink)),
                Err(reason) => self.close(reason),
            },
            Ok(Message::Ping(bytes)) => {
                self.with_sink(|handler, sink| handler.control(sink));
                if !self.closing {
                    self.write_side.writer.control(Message::Pong(bytes));
                }
            }
            Ok(Message::Pong(_) | Message::Nop) => self.with_sink(|handler, sink| handler.control(sink)),
            Err(error) => self.close(close_reason(&error)),
        }
    }
}

/// What is wrong with a frame, as its client is told.
pub(crate) fn close_reason(error: &ProtocolError) -> &'static Reason {
    match error {
        ProtocolError::Io(error) if error.kind() == ErrorKind::InvalidData => &close::NOT_UTF8,
        ProtocolError::Overflow => &close::TOO_BIG,
        _ => &close::PROTOCOL,
    }
}

/// The way to the client while one message is handled.
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

/// A message that comes in pieces.
pub(crate) struct FragmentAssembler {
    limits: MessageLimits,
    text: bool,
    pieces: u32,
    bytes: BytesMut,
}

impl FragmentAssembler {
    pub(crate) fn new(limits: MessageLimits) -> Self {
        Self { limits, text: false, pieces: 0, bytes: BytesMut::new() }
    }

    /// Adds a piece; the message, when it was the last.
    pub(crate) fn add(&mut self, piece: Item) -> Result<Option<Frame>, &'static Reason> {
        let (bytes, last) = match piece {
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
        self.pieces += 1;
        if self.pieces > self.limits.fragments {
            return Err(&close::FRAGMENTED);
        }
        if self.bytes.len() + bytes.len() > self.limits.bytes {
            return Err(&close::TOO_BIG);
        }
        self.bytes.extend_from_slice(&bytes);
        if last { self.finish().map(Some) } else { Ok(None) }
    }

    fn finish(&mut self) -> Result<Frame, &'static Reason> {
        self.pieces = 0;
        let bytes = std::mem::take(&mut self.bytes).freeze();
        if !self.text {
            return Ok(Frame::Binary(bytes));
        }
        ByteString::try_from(bytes).map(Frame::Text).map_err(|_| &close::NOT_UTF8)
    }
}
