//! The stream of messages to a client of PeerJS 0.3: the body of an HTTP response that has one message a line.
//!
//! The first line is a preamble, after which browsers of that time begin to pass on what arrives. The client reads at
//! most one line for each time that its browser reports new bytes. So the messages are sent one by one. A busy browser
//! still reports several at once, and the client would be behind from then on. So zeros follow a message, which bring
//! the client up to date: together they are a line that it ignores, and does not wait for.
//!
//! A client without a WebSocket opens its next stream after 25 s. A stream that is not replaced within
//! `peerjs.alive_timeout` belongs to a client that is gone. A zero at each ping finds broken connections before that.
//!
//! A stream that is no longer needed ends as a response does. If the session was closed, the connection is cut instead:
//! for the client this is the loss of its connection to the server.

use std::fmt;
use std::pin::pin;
use std::time::{Duration, Instant};

use actix_web::HttpResponse;
use bytes::Bytes;
use futures_util::future::{Either, select};
use futures_util::stream;
use tokio::sync::OwnedMutexGuard;
use tokio::time::sleep;

use super::http_clients::Streams;
use super::{ERROR_START, TAKEN};
use crate::close::{self, Reason};
use crate::http::idle_connections::{RawSocket, hung_up};
use crate::protocol::Frame;
use crate::transports::longpoll::handle::Fetched;

/// The number of zeros in the preamble.
const PREAMBLE: usize = 2_048;
/// The message to a client that cannot connect. The client ignores it, and its WebSocket receives the reason.
pub(super) const HTTP_ERROR: &str = r#"{"type":"HTTP-ERROR"}"#;
/// The pause between two messages. Without it, browsers report both as one piece.
const PAUSE: Duration = Duration::from_millis(20);
/// Zeros follow a message after pauses that double each time, up to this one.
const LONGEST_PAUSE: Duration = Duration::from_secs(2);
/// How long a stream waits for the end of the one that it replaces. Clients up to 0.3.9 take their connection for lost
/// if the new stream begins while the old one has not ended.
const HANDOVER: Duration = Duration::from_secs(1);

/// The response that continues a session, for at most `lifetime`.
pub(super) async fn respond(streams: Streams, socket: RawSocket, lifetime: Duration) -> HttpResponse {
    let number = streams.next_number();
    streams.session.interrupt();
    let clock = streams.session.connection().clock();
    let writing = clock.timeout(HANDOVER, streams.writing.clone().lock_owned()).await.ok();
    let until = clock.now() + lifetime;
    let writer = StreamWriter { streams, number, socket, until, state: WriterState::Preamble, _writing: writing };
    response().streaming(stream::unfold(writer, |mut writer| async {
        let next = writer.next().await?;
        Some((next, writer))
    }))
}

/// The response to a client whose session uses its WebSocket.
pub(super) fn empty() -> HttpResponse {
    response().body(preamble())
}

fn response() -> actix_web::HttpResponseBuilder {
    let mut response = HttpResponse::Ok();
    response
        .content_type("application/octet-stream")
        // nginx passes each message on when it arrives
        .insert_header(("x-accel-buffering", "no"));
    response
}

fn preamble() -> Bytes {
    let mut preamble = vec![b'0'; PREAMBLE];
    preamble.push(b'\n');
    preamble.into()
}

/// Writes one stream.
struct StreamWriter {
    streams: Streams,
    number: u64,
    socket: RawSocket,
    /// When the client must have replaced the stream.
    until: Instant,
    state: WriterState,
    _writing: Option<OwnedMutexGuard<()>>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum WriterState {
    Preamble,
    /// The last line was a message, or the preamble.
    Line,
    /// Zeros follow the last message. The next zero follows after this pause, if it is not too long.
    Zeros(Duration),
    /// The stream has ended, or its session has.
    Ended,
}

/// The session of a stream was closed for this reason.
#[derive(Debug)]
struct Cut(&'static Reason);

impl fmt::Display for Cut {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the session was closed: {}", self.0.text)
    }
}

impl std::error::Error for Cut {}

impl StreamWriter {
    /// The next line. `None` at the end of the response.
    async fn next(&mut self) -> Option<Result<Bytes, Cut>> {
        let pause = match self.state {
            WriterState::Ended => return None,
            WriterState::Preamble => {
                self.state = WriterState::Line;
                return Some(Ok(preamble()));
            }
            WriterState::Line => {
                sleep(PAUSE).await;
                PAUSE
            }
            WriterState::Zeros(pause) => pause,
        };
        if !self.is_latest() {
            return self.end();
        }
        match self.fetch(pause).await {
            Fetched::Frames(frames) => Some(Ok(self.line(frames.first()?))),
            Fetched::Nothing if !self.is_latest() => self.end(),
            Fetched::Nothing if self.rest().is_zero() => self.cut(&close::IDLE),
            Fetched::Nothing => {
                self.state = WriterState::Zeros(pause * 2);
                Some(Ok(Bytes::from_static(b"0")))
            }
            Fetched::Gone => match self.streams.session.connection().mailbox.closed() {
                Some(reason) if !is_expected(reason) => self.cut(reason),
                _ => self.end(),
            },
        }
    }

    /// How long the client may still take to replace the stream.
    fn rest(&self) -> Duration {
        self.until.saturating_duration_since(self.streams.session.connection().clock().judged())
    }

    /// Waits for a message, until the next zero is due. If the client closes the connection before that, its session
    /// ends.
    async fn fetch(&self, pause: Duration) -> Fetched {
        let rest = self.rest().max(PAUSE);
        let fetch = pin!(self.streams.session.fetch(if pause > LONGEST_PAUSE { rest } else { pause.min(rest) }));
        match select(fetch, pin!(hung_up(&self.socket))).await {
            Either::Left((fetched, _)) => fetched,
            Either::Right(_) => {
                if self.is_latest() {
                    self.streams.session.end(&close::GONE);
                }
                Fetched::Gone
            }
        }
    }

    /// The line of a message, after the end of a line of zeros. A refusal is not told: the client's WebSocket receives
    /// it too, and would report it again.
    fn line(&mut self, frame: &Frame) -> Bytes {
        let mut line = Vec::new();
        if matches!(self.state, WriterState::Zeros(_)) {
            line.push(b'\n');
        }
        self.state = WriterState::Line;
        let Frame::Text(text) = frame else { return line.into() };
        if **text == *TAKEN || text.starts_with(ERROR_START) {
            line.extend_from_slice(HTTP_ERROR.as_bytes());
        } else {
            line.extend_from_slice(text.as_bytes());
            line.push(b'\n');
        }
        line.into()
    }

    fn is_latest(&self) -> bool {
        self.streams.is_latest(self.number)
    }

    fn end(&mut self) -> Option<Result<Bytes, Cut>> {
        self.state = WriterState::Ended;
        None
    }

    fn cut(&mut self, reason: &'static Reason) -> Option<Result<Bytes, Cut>> {
        self.state = WriterState::Ended;
        self.streams.session.end(reason);
        Some(Err(Cut(reason)))
    }
}

/// The session of a client whose connection breaks ends at once.
impl Drop for StreamWriter {
    fn drop(&mut self) {
        if self.state != WriterState::Ended && self.is_latest() {
            self.streams.session.end(&close::GONE);
        }
    }
}

/// Whether the client knows already that its session is closed.
fn is_expected(reason: &Reason) -> bool {
    [&close::REFUSED, &close::LEFT, &close::TAKEN_OVER, &close::GONE].contains(&reason)
}
