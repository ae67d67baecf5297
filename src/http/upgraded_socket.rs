//! [`UpgradedSocket`]: the WebSocket of a long-polling session that has been upgraded. It passes frames in both
//! directions. The session itself stays in its long-polling actor. How a client asks for the upgrade is up to its
//! protocol.

use std::cell::Cell;
use std::future::ready;
use std::sync::Arc;
use std::time::Duration;

use futures_util::stream::once;
use futures_util::{Stream, StreamExt};

use crate::close::{self, Reason};
use crate::connections::connection::{Connection, WriteSide};
use crate::http::acceptor::Acceptor;
use crate::http::idle_connections::abort_later;
use crate::protocol::Frame;
use crate::transports::longpoll::frame_channel::{FrameReceiver, FrameSender, frame_channel};
use crate::transports::longpoll::handle::{LongPollHandle, Via};
use crate::transports::transport::{FrameSink, TransportHandler};

/// The overhead of a queued frame in bytes, about its size in memory. It is counted in addition to the frame's content.
const FRAME_OVERHEAD: usize = 64;
/// The maximum number of frames that are forwarded to the session together.
const BATCH: usize = 256;

/// How an upgraded WebSocket behaves.
#[derive(Clone)]
pub(crate) struct UpgradeOptions {
    /// The maximum size of the frames that wait for the session, in bytes. The WebSocket closes if there are more.
    pub(crate) max_queued_bytes: usize,
    /// The time the client has to answer a close frame before the socket is aborted.
    pub(crate) close_timeout: Duration,
    /// The frame that the session gets for a ping or pong, so that it counts against the message rate. It must mean
    /// nothing in the session's protocol.
    pub(crate) control_frame: Frame,
}

impl UpgradeOptions {
    /// The options by the mount's limits.
    pub(crate) fn new(acceptor: &Acceptor, control_frame: Frame) -> Self {
        let config = acceptor.config();
        Self {
            max_queued_bytes: acceptor.limits().message_bytes + config.limits.queue_bytes,
            close_timeout: config.socket.write_timeout,
            control_frame,
        }
    }
}

/// The WebSocket of an upgraded session.
pub(crate) struct UpgradedSocket {
    session: LongPollHandle,
    write_side: Arc<WriteSide>,
    options: UpgradeOptions,
    /// Passes the client's frames to the session. `None` once the WebSocket has ended.
    to_session: Option<FrameSender>,
    /// The session's frames, until they are taken as a stream.
    from_session: Cell<Option<FrameReceiver>>,
}

impl UpgradedSocket {
    /// Switches the session to this WebSocket.
    pub(crate) fn start(session: LongPollHandle, write_side: Arc<WriteSide>, options: UpgradeOptions) -> Self {
        let (to_session, receiver) = frame_channel();
        actix_web::rt::spawn(forward_frames(session.clone(), receiver));
        let from_session = Cell::new(Some(session.upgrade(write_side.clone())));
        Self { session, write_side, options, to_session: Some(to_session), from_session }
    }

    /// The session's frames. Empty if they have been taken.
    pub(crate) fn take_frames(&self) -> Option<FrameReceiver> {
        self.from_session.take()
    }
}

/// Forwards the client's frames to its session, and ends the session when the WebSocket is gone.
async fn forward_frames(session: LongPollHandle, mut receiver: FrameReceiver) {
    loop {
        let frames = receiver.batch(BATCH).await;
        if frames.is_empty() {
            return session.end(&close::GONE);
        }
        if session.post(Via::Socket, frames).await.is_err() {
            return;
        }
    }
}

impl TransportHandler for UpgradedSocket {
    /// A frame to the client. `None` if the session has ended.
    type Event = Option<Frame>;

    fn connection(&self) -> &Arc<Connection> {
        self.session.connection()
    }

    fn events(&self) -> impl Stream<Item = Option<Frame>> + 'static {
        let frames = futures_util::stream::iter(self.take_frames()).flatten();
        frames.map(Some).chain(once(ready(None)))
    }

    fn open(&mut self, _: &mut impl FrameSink) {}

    fn frame(&mut self, frame: &Frame, sink: &mut impl FrameSink) {
        let Some(to_session) = &self.to_session else { return };
        to_session.send(frame.clone(), frame.size() + FRAME_OVERHEAD);
        if to_session.weight() > self.options.max_queued_bytes {
            sink.close(&close::FLOOD);
        }
    }

    fn control(&mut self, _: &mut impl FrameSink) {
        if let Some(to_session) = &self.to_session {
            to_session.send(self.options.control_frame.clone(), FRAME_OVERHEAD);
        }
    }

    fn handle_event(&mut self, event: Option<Frame>, sink: &mut impl FrameSink) {
        match event {
            Some(frame) => sink.send(frame),
            None => sink.close(self.session.connection().mailbox.closed().unwrap_or(&close::REFUSED)),
        }
    }

    /// Aborts the socket if the client does not answer the close frame in time. The hub's sweep does this for
    /// registered connections only: a session that has ended has left the hub.
    fn end(&mut self, reason: &'static Reason) {
        if self.to_session.take().is_some() && *reason != close::GONE {
            let write_side = self.write_side.clone();
            abort_later(move || write_side.writer.abort(), self.options.close_timeout);
        }
    }
}
