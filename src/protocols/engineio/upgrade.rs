//! The upgrade of a long-polling session to a WebSocket. The client tests the WebSocket with a probe packet. After its
//! upgrade packet all frames of the session go over the WebSocket. The session itself stays in its long-polling actor.

use std::cell::Cell;
use std::future::ready;
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_util::future::Either;
use futures_util::stream::once;
use futures_util::{Stream, StreamExt};
use tokio::sync::oneshot;

use super::{NOOP, PING_PROBE, PONG_PROBE, UPGRADE};
use crate::close::{self, Reason};
use crate::connections::connection::{Connection, WriteSide};
use crate::connections::pace::Pace;
use crate::connections::token_bucket::RateVerdict;
use crate::http::upgraded_socket::{UpgradeOptions, UpgradedSocket};
use crate::protocol::Frame;
use crate::transports::longpoll::frame_channel::FrameReceiver;
use crate::transports::longpoll::handle::LongPollHandle;
use crate::transports::transport::{FrameSink, TransportHandler};

/// The WebSocket of a session that is to be upgraded, or has been.
pub(super) struct UpgradeProbe {
    session: LongPollHandle,
    write_side: Arc<WriteSide>,
    options: UpgradeOptions,
    /// The time the client has to complete the upgrade.
    upgrade_timeout: Duration,
    state: ProbeState,
    /// Taken by the event stream: receives the session's frames once the upgrade is complete.
    upgraded: Cell<Option<oneshot::Receiver<FrameReceiver>>>,
}

enum ProbeState {
    /// The session already has another WebSocket, or is probing one.
    Refused,
    /// The client has not sent its upgrade packet yet.
    Probing(Probing),
    Upgraded(Box<UpgradedSocket>),
    Closed,
}

struct Probing {
    pace: Pace,
    complete: oneshot::Sender<FrameReceiver>,
}

impl UpgradeProbe {
    pub(super) fn new(
        session: LongPollHandle,
        write_side: Arc<WriteSide>,
        options: UpgradeOptions,
        upgrade_timeout: Duration,
    ) -> Self {
        let (complete, upgraded) = oneshot::channel();
        let state = match session.begin_upgrade(&options.rate) {
            Some(pace) => ProbeState::Probing(Probing { pace, complete }),
            None => ProbeState::Refused,
        };
        Self { session, write_side, options, upgrade_timeout, state, upgraded: Cell::new(Some(upgraded)) }
    }

    /// Switches the session to this WebSocket.
    fn complete_upgrade(&mut self) {
        let state = std::mem::replace(&mut self.state, ProbeState::Closed);
        let ProbeState::Probing(Probing { pace, complete }) = state else { return self.state = state };
        let (session, write_side, options) = (self.session.clone(), self.write_side.clone(), self.options.clone());
        let socket = UpgradedSocket::start_with_pace(session, write_side, options, pace);
        if let Some(frames) = socket.take_frames() {
            // the receiver is this handler's own event stream, which is not dropped before the handler
            let _ = complete.send(frames);
        }
        self.state = ProbeState::Upgraded(Box::new(socket));
    }

    /// Counts a message of any kind during the probe. If the client floods, closes its session too, as if the flood had
    /// come through that. Returns whether the WebSocket stays open.
    fn take_message_token(&mut self, sink: &mut impl FrameSink) -> bool {
        let ProbeState::Probing(Probing { pace, .. }) = &mut self.state else { return true };
        let clock = self.session.connection().clock();
        let is_flood = pace.take(&self.options.rate, Instant::now(), clock) == RateVerdict::Flood;
        if is_flood {
            self.session.end(&close::FLOOD);
            sink.close(&close::FLOOD);
        }
        !is_flood
    }
}

impl TransportHandler for UpgradeProbe {
    /// A frame to the client. `None` if the session has ended, or the client did not complete the upgrade in time.
    type Event = Option<Frame>;

    fn connection(&self) -> &Arc<Connection> {
        self.session.connection()
    }

    fn events(&self) -> impl Stream<Item = Option<Frame>> + Unpin + 'static {
        let (upgraded, upgrade_timeout) = (self.upgraded.take(), self.upgrade_timeout);
        let clock = self.session.connection().clock().clone();
        let from_session = async move { clock.timeout(upgrade_timeout, upgraded?).await.ok()?.ok() };
        let frames = once(from_session).flat_map(|from_session| {
            let ended = once(ready(None));
            match from_session {
                Some(frames) => Either::Left(frames.map(Some).chain(ended)),
                None => Either::Right(ended),
            }
        });
        frames.boxed_local()
    }

    fn open(&mut self, sink: &mut impl FrameSink) {
        match self.state {
            ProbeState::Refused => sink.close(&close::REFUSED),
            // a client may probe one WebSocket after the other
            _ => drop(self.take_message_token(sink)),
        }
    }

    fn frame(&mut self, frame: &Frame, sink: &mut impl FrameSink) {
        if !self.take_message_token(sink) {
            return;
        }
        match (&mut self.state, frame) {
            (ProbeState::Upgraded(socket), _) => socket.frame(frame, sink),
            (ProbeState::Probing(_), Frame::Text(text)) if &**text == PING_PROBE => {
                sink.send(Frame::Text(PONG_PROBE));
                self.session.release(Frame::Text(NOOP));
            }
            (ProbeState::Probing(_), Frame::Text(text)) if &**text == UPGRADE => self.complete_upgrade(),
            _ => sink.close(&close::REFUSED),
        }
    }

    fn control(&mut self, sink: &mut impl FrameSink) {
        match &mut self.state {
            ProbeState::Upgraded(socket) => socket.control(sink),
            _ => drop(self.take_message_token(sink)),
        }
    }

    fn handle_event(&mut self, event: Option<Frame>, sink: &mut impl FrameSink) {
        match event {
            Some(frame) => sink.send(frame),
            None => sink.close(self.session.connection().mailbox.closed().unwrap_or(&close::REFUSED)),
        }
    }

    /// Aborts the socket if the client does not answer the close frame in time: a WebSocket that did not complete the
    /// upgrade was never in the hub, whose sweep aborts the others.
    fn end(&mut self, reason: &'static Reason) {
        match std::mem::replace(&mut self.state, ProbeState::Closed) {
            ProbeState::Upgraded(mut socket) => return socket.end(reason),
            ProbeState::Closed => return,
            ProbeState::Probing(Probing { pace, .. }) => self.session.give_up_upgrade(pace),
            ProbeState::Refused => {}
        }
        if *reason != close::GONE {
            self.options.socket(self.write_side.clone()).abort_later(self.session.connection().clock());
        }
    }
}

impl Drop for UpgradeProbe {
    fn drop(&mut self) {
        self.end(&close::GONE);
    }
}
