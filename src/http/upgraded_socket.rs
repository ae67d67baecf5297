//! [`UpgradedSocket`]: the WebSocket of a long-polling session that has been upgraded. It passes frames in both
//! directions. The session itself stays in its long-polling actor. How a client asks for the upgrade, and whether it
//! may change its transport again, is up to its protocol.

use std::cell::Cell;
use std::future::ready;
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_util::stream::once;
use futures_util::{Stream, StreamExt};

use crate::close::{self, Reason};
use crate::connections::connection::{Connection, WriteSide};
use crate::connections::pace::Pace;
use crate::connections::token_bucket::{Rate, RateVerdict};
use crate::http::acceptor::Acceptor;
use crate::protocol::Frame;
use crate::transports::longpoll::frame_channel::{self, FrameReceiver, FrameSender};
use crate::transports::longpoll::handle::{LongPollHandle, StreamId, StreamSocket, Via};
use crate::transports::transport::{FrameSink, TransportHandler};

/// The maximum number of frames that are forwarded to the session together.
const BATCH: usize = 256;

/// How an upgraded WebSocket behaves.
#[derive(Clone)]
pub(crate) struct UpgradeOptions {
    /// The rate of the client's messages. The session limits them to it too, but only after they were read.
    pub(crate) rate: Rate,
    /// The maximum size of the frames that wait for the session, in bytes. The WebSocket closes if there are more.
    pub(crate) max_queued_bytes: usize,
    /// The time the client has to answer a close frame before the socket is aborted.
    pub(crate) close_timeout: Duration,
    /// The frame that the session gets for a ping or pong, so that it counts against the message rate. It must mean
    /// nothing in the session's protocol.
    pub(crate) control_frame: Frame,
    /// Whether another transport of the client may replace the WebSocket.
    pub(crate) is_replaceable: bool,
    /// Makes the last frame before the close frame, for the reason why the session has ended.
    pub(crate) last_frame: fn(&'static Reason) -> Option<Frame>,
}

impl UpgradeOptions {
    /// The options by the mount's limits.
    pub(crate) fn new(acceptor: &Acceptor, control_frame: Frame) -> Self {
        let (config, limits) = (acceptor.config(), acceptor.limits());
        Self {
            rate: Rate::per_second(limits.messages_per_second, limits.messages_burst),
            max_queued_bytes: limits.message_bytes + config.limits.queue_bytes,
            close_timeout: config.socket.close_timeout,
            control_frame,
            is_replaceable: false,
            last_frame: |_| None,
        }
    }

    /// The WebSocket as a stream of its session.
    pub(crate) fn socket(&self, write_side: Arc<WriteSide>) -> StreamSocket {
        StreamSocket { write_side, close_timeout: self.close_timeout }
    }
}

/// The WebSocket of an upgraded session.
pub(crate) struct UpgradedSocket {
    session: LongPollHandle,
    socket: StreamSocket,
    options: UpgradeOptions,
    pace: Pace,
    /// Passes the client's frames to the session. `None` once the WebSocket has ended.
    to_session: Option<FrameSender>,
    /// The session's frames, until they are taken as a stream.
    from_session: Cell<Option<FrameReceiver>>,
}

impl UpgradedSocket {
    /// Switches the session to this WebSocket.
    pub(crate) fn start(session: LongPollHandle, write_side: Arc<WriteSide>, options: UpgradeOptions) -> Self {
        let pace = Pace::new(&options.rate, Instant::now(), session.connection().clock());
        Self::start_with_pace(session, write_side, options, pace)
    }

    /// Switches the session to this WebSocket, over which messages have already arrived at this pace.
    pub(crate) fn start_with_pace(
        session: LongPollHandle,
        write_side: Arc<WriteSide>,
        options: UpgradeOptions,
        pace: Pace,
    ) -> Self {
        let socket = options.socket(write_side);
        let (stream, from_session) = match options.is_replaceable {
            true => session.use_stream(Some(socket.clone())),
            false => session.upgrade(socket.clone()),
        };
        let (to_session, frames) = frame_channel::from_client(session.connection().clone());
        actix_web::rt::spawn(forward_frames(session.clone(), stream, frames));
        let (to_session, from_session) = (Some(to_session), Cell::new(Some(from_session)));
        Self { session, socket, options, pace, to_session, from_session }
    }

    /// The session's frames. Empty if they have been taken.
    pub(crate) fn take_frames(&self) -> Option<FrameReceiver> {
        self.from_session.take()
    }

    fn forward(&mut self, frame: Frame, sink: &mut impl FrameSink) {
        let Some(to_session) = &self.to_session else { return };
        let verdict = self.pace.take(&self.options.rate, Instant::now(), self.session.connection().clock());
        if verdict != RateVerdict::Flood {
            to_session.send(frame);
        }
        if verdict == RateVerdict::Flood || to_session.bytes_from_client() > self.options.max_queued_bytes {
            self.session.end(&close::FLOOD);
            self.send_close(&close::FLOOD, sink);
        }
    }

    /// Sends the last frame and the close frame.
    fn send_close(&self, reason: &'static Reason, sink: &mut impl FrameSink) {
        if let Some(frame) = (self.options.last_frame)(reason) {
            sink.send(frame);
        }
        sink.close(reason);
    }
}

/// Forwards the client's frames to its session, and ends the session when its WebSocket is gone.
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

impl TransportHandler for UpgradedSocket {
    /// A frame to the client. `None` if the session has ended, or uses another transport.
    type Event = Option<Frame>;

    fn connection(&self) -> &Arc<Connection> {
        self.session.connection()
    }

    fn events(&self) -> impl Stream<Item = Option<Frame>> + Unpin + 'static {
        let frames = futures_util::stream::iter(self.take_frames()).flatten();
        frames.map(Some).chain(once(ready(None)))
    }

    fn open(&mut self, _: &mut impl FrameSink) {}

    fn frame(&mut self, frame: &Frame, sink: &mut impl FrameSink) {
        self.forward(frame.clone(), sink);
    }

    fn control(&mut self, sink: &mut impl FrameSink) {
        self.forward(self.options.control_frame.clone(), sink);
    }

    fn handle_event(&mut self, event: Option<Frame>, sink: &mut impl FrameSink) {
        match (event, self.session.connection().mailbox.closed()) {
            (Some(frame), _) => sink.send(frame),
            (None, Some(reason)) => self.send_close(reason, sink),
            (None, None) if self.options.is_replaceable => sink.close(&close::TAKEN_OVER),
            (None, None) => sink.close(&close::REFUSED),
        }
    }

    /// Aborts the socket if the client does not answer the close frame in time. The hub's sweep does this for
    /// registered connections only: a session that has ended has left the hub, and so has a replaced WebSocket.
    fn end(&mut self, reason: &'static Reason) {
        if self.to_session.take().is_some() && *reason != close::GONE {
            self.socket.clone().abort_later(self.session.connection().clock());
        }
    }
}
