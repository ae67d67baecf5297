//! A WebSocket to which a session that polls may change: it is tried with a probe, and if that comes through,
//! carries all that the session says and hears from then on. The session itself stays where it began.

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

/// What a frame counts for beside its own bytes: about its size in memory.
const FRAME_SIZE: usize = 64;
/// How many frames are handed to the session at once.
const BATCH: usize = 256;

/// One WebSocket beside a session.
pub(super) struct UpgradeProbe {
    session: LongPollHandle,
    write_side: Arc<WriteSide>,
    /// How much of what the client says may be on its way to the session.
    most: usize,
    /// How long the client may try.
    trial: Duration,
    /// After how long a wire is cut whose client does not answer our goodbye.
    patience: Duration,
    standing: ProbeState,
    changed: Cell<Option<oneshot::Receiver<FrameReceiver>>>,
}

enum ProbeState {
    /// The session has another WebSocket, or is about to.
    Refused,
    /// The client tries it.
    Probing(oneshot::Sender<FrameReceiver>),
    /// What the client says goes in here.
    WriteSide(FrameSender),
    Over,
}

/// What comes from the session.
pub(super) enum News {
    Frame(Frame),
    /// The session is over, or the client has not changed in time.
    Over,
}

impl UpgradeProbe {
    pub(super) fn new(
        session: LongPollHandle,
        write_side: Arc<WriteSide>,
        most: usize,
        trial: Duration,
        patience: Duration,
    ) -> Self {
        let (change, changed) = oneshot::channel();
        let standing = if session.begin_upgrade() { ProbeState::Probing(change) } else { ProbeState::Refused };
        Self { session, write_side, most, trial, patience, standing, changed: Cell::new(Some(changed)) }
    }

    /// The client is here from now on.
    fn change(&mut self) {
        let (inflow, said) = frame_channel();
        let probing = std::mem::replace(&mut self.standing, ProbeState::WriteSide(inflow));
        actix_web::rt::spawn(hand_on(self.session.clone(), said));
        let outflow = self.session.upgrade(self.write_side.clone());
        if let ProbeState::Probing(change) = probing {
            // whoever waits for it is this talk's own news, which live as long as we do
            let _ = change.send(outflow);
        }
    }
}

/// Brings what the client says to its session, and tells it when the WebSocket is gone.
async fn hand_on(session: LongPollHandle, mut said: FrameReceiver) {
    loop {
        let frames = said.batch(BATCH).await;
        if frames.is_empty() {
            return session.end(&close::GONE);
        }
        if session.post(Via::Socket, frames).await.is_err() {
            return;
        }
    }
}

impl TransportHandler for UpgradeProbe {
    type Event = News;

    fn connection(&self) -> &Arc<Connection> {
        self.session.connection()
    }

    fn events(&self) -> impl Stream<Item = News> + 'static {
        let (changed, trial) = (self.changed.take(), self.trial);
        let outflow = async move { timeout(trial, changed?).await.ok()?.ok() };
        once(outflow).flat_map(|outflow| {
            let over = once(ready(News::Over));
            match outflow {
                Some(outflow) => Either::Left(outflow.map(News::Frame).chain(over)),
                None => Either::Right(over),
            }
        })
    }

    fn open(&mut self, sink: &mut impl FrameSink) {
        if matches!(self.standing, ProbeState::Refused) {
            sink.close(&close::REFUSED);
        }
    }

    fn frame(&mut self, frame: &Frame, sink: &mut impl FrameSink) {
        match (&self.standing, frame) {
            (ProbeState::WriteSide(inflow), _) => {
                inflow.put(frame.clone(), frame.size() + FRAME_SIZE);
                if inflow.weight() > self.most {
                    sink.close(&close::FLOOD);
                }
            }
            (ProbeState::Probing(_), Frame::Text(text)) if &**text == PING_PROBE => {
                sink.send(Frame::Text(PONG_PROBE));
                self.session.release(Frame::Text(NOOP));
            }
            (ProbeState::Probing(_), Frame::Text(text)) if &**text == UPGRADE => self.change(),
            _ => sink.close(&close::REFUSED),
        }
    }

    fn control(&mut self, _: &mut impl FrameSink) {
        // it counts as any other message
        if let ProbeState::WriteSide(inflow) = &self.standing {
            inflow.put(Frame::Text(NOOP), FRAME_SIZE);
        }
    }

    fn handle_event(&mut self, news: News, sink: &mut impl FrameSink) {
        match news {
            News::Frame(frame) => sink.send(frame),
            News::Over => sink.close(self.session.connection().mailbox.closed().unwrap_or(&close::REFUSED)),
        }
    }

    /// A session that has ended gives up its place among the connections, whose sweep would cut the wire of a
    /// client that does not answer our goodbye; one that was not changed to has never had that place.
    fn end(&mut self, reason: &'static Reason) {
        match std::mem::replace(&mut self.standing, ProbeState::Over) {
            ProbeState::Probing(_) => self.session.give_up_upgrade(),
            ProbeState::Refused | ProbeState::WriteSide(_) => {}
            ProbeState::Over => return,
        }
        if *reason != close::GONE {
            let write_side = self.write_side.clone();
            abort_later(move || write_side.writer.abort(), self.patience);
        }
    }
}

impl Drop for UpgradeProbe {
    fn drop(&mut self) {
        self.end(&close::GONE);
    }
}
