//! The upgrade of a long-polling session to a WebSocket. The client tests the WebSocket with a probe packet. After its
//! upgrade packet all frames of the session go over the WebSocket. The session itself stays in its long-polling actor.

use std::cell::Cell;
use std::future::ready;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::Either;
use futures_util::stream::once;
use futures_util::{Stream, StreamExt};
use tokio::sync::oneshot;
use tokio::time::timeout;

use super::{NOOP, PING_PROBE, PONG_PROBE, UPGRADE};
use crate::close::{self, Reason};
use crate::connections::connection::{Connection, WriteSide};
use crate::http::idle_connections::abort_later;
use crate::protocol::Frame;
use crate::transports::longpoll::frame_channel::{FrameReceiver, FrameSender, frame_channel};
use crate::transports::longpoll::handle::{LongPollHandle, Via};
use crate::transports::transport::{FrameSink, TransportHandler};

/// The overhead of a queued frame in bytes, about its size in memory. It is counted in addition to the frame's content.
const FRAME_OVERHEAD: usize = 64;
/// The maximum number of frames that are forwarded to the session together.
const BATCH: usize = 256;

/// The WebSocket of a session that is to be upgraded, or has been.
pub(super) struct UpgradeProbe {
    session: LongPollHandle,
    write_side: Arc<WriteSide>,
    /// The maximum size of the frames that wait for the session, in bytes. The WebSocket closes if there are more.
    max_queued_bytes: usize,
    /// The time the client has to complete the upgrade.
    upgrade_timeout: Duration,
    /// The time the client has to answer a close frame before the socket is aborted.
    close_timeout: Duration,
    state: ProbeState,
    /// Taken by the event stream: receives the session's frames once the upgrade is complete.
    upgraded: Cell<Option<oneshot::Receiver<FrameReceiver>>>,
}

enum ProbeState {
    /// The session already has another WebSocket, or is probing one.
    Refused,
    /// The client has not sent its upgrade packet yet.
    Probing(oneshot::Sender<FrameReceiver>),
    /// The client's frames go to the session through this channel.
    Upgraded(FrameSender),
    Closed,
}

/// An event from the session.
pub(super) enum ProbeEvent {
    /// A frame to the client.
    Frame(Frame),
    /// The session has ended, or the client did not complete the upgrade in time.
    SessionEnded,
}

impl UpgradeProbe {
    pub(super) fn new(
        session: LongPollHandle,
        write_side: Arc<WriteSide>,
        max_queued_bytes: usize,
        upgrade_timeout: Duration,
        close_timeout: Duration,
    ) -> Self {
        let (complete, upgraded) = oneshot::channel();
        let state = if session.begin_upgrade() { ProbeState::Probing(complete) } else { ProbeState::Refused };
        Self {
            session,
            write_side,
            max_queued_bytes,
            upgrade_timeout,
            close_timeout,
            state,
            upgraded: Cell::new(Some(upgraded)),
        }
    }

    /// Switches the session to this WebSocket.
    fn complete_upgrade(&mut self) {
        let (sender, receiver) = frame_channel();
        let probing = std::mem::replace(&mut self.state, ProbeState::Upgraded(sender));
        actix_web::rt::spawn(forward_frames(self.session.clone(), receiver));
        let from_session = self.session.upgrade(self.write_side.clone());
        if let ProbeState::Probing(complete) = probing {
            // the receiver is this handler's own event stream, which is not dropped before the handler
            let _ = complete.send(from_session);
        }
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

impl TransportHandler for UpgradeProbe {
    type Event = ProbeEvent;

    fn connection(&self) -> &Arc<Connection> {
        self.session.connection()
    }

    fn events(&self) -> impl Stream<Item = ProbeEvent> + 'static {
        let (upgraded, upgrade_timeout) = (self.upgraded.take(), self.upgrade_timeout);
        let from_session = async move { timeout(upgrade_timeout, upgraded?).await.ok()?.ok() };
        once(from_session).flat_map(|from_session| {
            let ended = once(ready(ProbeEvent::SessionEnded));
            match from_session {
                Some(frames) => Either::Left(frames.map(ProbeEvent::Frame).chain(ended)),
                None => Either::Right(ended),
            }
        })
    }

    fn open(&mut self, sink: &mut impl FrameSink) {
        if matches!(self.state, ProbeState::Refused) {
            sink.close(&close::REFUSED);
        }
    }

    fn frame(&mut self, frame: &Frame, sink: &mut impl FrameSink) {
        match (&self.state, frame) {
            (ProbeState::Upgraded(sender), _) => {
                sender.send(frame.clone(), frame.size() + FRAME_OVERHEAD);
                if sender.weight() > self.max_queued_bytes {
                    sink.close(&close::FLOOD);
                }
            }
            (ProbeState::Probing(_), Frame::Text(text)) if &**text == PING_PROBE => {
                sink.send(Frame::Text(PONG_PROBE));
                self.session.release(Frame::Text(NOOP));
            }
            (ProbeState::Probing(_), Frame::Text(text)) if &**text == UPGRADE => self.complete_upgrade(),
            _ => sink.close(&close::REFUSED),
        }
    }

    fn control(&mut self, _: &mut impl FrameSink) {
        // a WebSocket ping counts against the message rate like any other frame
        if let ProbeState::Upgraded(sender) = &self.state {
            sender.send(Frame::Text(NOOP), FRAME_OVERHEAD);
        }
    }

    fn handle_event(&mut self, event: ProbeEvent, sink: &mut impl FrameSink) {
        match event {
            ProbeEvent::Frame(frame) => sink.send(frame),
            ProbeEvent::SessionEnded => {
                sink.close(self.session.connection().mailbox.closed().unwrap_or(&close::REFUSED))
            }
        }
    }

    /// Aborts the socket if the client does not answer the close frame in time. The hub's sweep does this for
    /// registered connections only: a session that has ended has left the hub, and a WebSocket that did not complete
    /// the upgrade was never in it.
    fn end(&mut self, reason: &'static Reason) {
        match std::mem::replace(&mut self.state, ProbeState::Closed) {
            ProbeState::Probing(_) => self.session.give_up_upgrade(),
            ProbeState::Refused | ProbeState::Upgraded(_) => {}
            ProbeState::Closed => return,
        }
        if *reason != close::GONE {
            let write_side = self.write_side.clone();
            abort_later(move || write_side.writer.abort(), self.close_timeout);
        }
    }
}

impl Drop for UpgradeProbe {
    fn drop(&mut self) {
        self.end(&close::GONE);
    }
}
