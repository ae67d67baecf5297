//! The handle of a long-polling session. HTTP requests use it, on any thread, to fetch frames, to post frames and to
//! upgrade the transport. The session itself is in [`longpoll`](super).

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use actix::prelude::SendError;
use actix::{Actor, Addr, Context, Handler, Message, Recipient};
use tokio::sync::oneshot::{self, error::TryRecvError};
use tokio::sync::{Mutex as AsyncMutex, OwnedMutexGuard};
use tokio::time::timeout;

use crate::close::Reason;
use crate::connections::clock::{Clock, abort_later};
use crate::connections::connection::{Connection, WriteSide};
use crate::connections::pace::Pace;
use crate::connections::token_bucket::Rate;
use crate::protocol::Frame;
use crate::transports::longpoll::frame_channel::{self, FrameReceiver, FrameSender};

/// The session is closed, or never existed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Gone;

/// The result of a poll.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Fetched {
    /// At least one frame, in order.
    Frames(Vec<Frame>),
    /// No frame within the time, or another poll has replaced this one.
    Nothing,
    /// The session is closed.
    Gone,
}

/// The transport by which frames have arrived.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Via {
    /// An HTTP request.
    Http,
    /// The WebSocket that the session has been upgraded to.
    Socket,
    /// An HTTP request beside the session's transport, whatever that is.
    Beside,
}

/// The handle of a long-polling session.
#[derive(Clone)]
pub(crate) struct LongPollHandle {
    connection: Arc<Connection>,
    fetch: Recipient<Fetch>,
    post: Recipient<Post>,
    control: Recipient<Control>,
    request_lock: Arc<AsyncMutex<()>>,
    upgrade: Arc<Mutex<Upgrade>>,
    streams: Arc<AtomicU64>,
}

impl LongPollHandle {
    /// A handle of the session actor at `addr`.
    pub(super) fn new<A>(addr: &Addr<A>, connection: Arc<Connection>) -> Self
    where
        A: Actor<Context = Context<A>> + Handler<Fetch> + Handler<Post> + Handler<Control>,
    {
        Self {
            connection,
            fetch: addr.clone().recipient(),
            post: addr.clone().recipient(),
            control: addr.clone().recipient(),
            request_lock: Arc::default(),
            upgrade: Arc::new(Mutex::new(Upgrade::Possible(None))),
            streams: Arc::default(),
        }
    }

    pub(crate) fn connection(&self) -> &Arc<Connection> {
        &self.connection
    }

    /// Waits for frames to the client, for at most `window`.
    pub(crate) async fn fetch(&self, window: Duration) -> Fetched {
        let (answer, mut waiting) = oneshot::channel();
        match self.fetch.try_send(Fetch { answer }) {
            Ok(()) => {}
            // as if another poll had replaced this one
            Err(SendError::Full(_)) => return Fetched::Nothing,
            Err(SendError::Closed(_)) => return Fetched::Gone,
        }
        let fetched = match timeout(window, &mut waiting).await {
            Ok(fetched) => fetched.map_err(|_| Gone),
            Err(_) => frames_at_timeout(waiting),
        };
        match fetched {
            Ok(frames) if frames.is_empty() => Fetched::Nothing,
            Ok(frames) => Fetched::Frames(frames),
            Err(Gone) => Fetched::Gone,
        }
    }

    /// Waits until no other post of the session is in progress. The body of one request is read and handled before that
    /// of the next, so that a session never has several bodies in memory.
    pub(crate) async fn lock_requests(&self) -> OwnedMutexGuard<()> {
        self.request_lock.clone().lock_owned().await
    }

    /// Passes the client's frames to the session, and returns once they have been handled.
    pub(crate) async fn post(&self, via: Via, frames: Vec<Frame>) -> Result<(), Gone> {
        self.post.send(Post { via, frames }).await.unwrap_or(Err(Gone))
    }

    /// Waits until all joins of the client are decided.
    pub(crate) async fn joins_settled(&self) -> Result<(), Gone> {
        let (done, settled) = oneshot::channel();
        self.control.do_send(Control::Settle(done));
        settled.await.map_err(|_| Gone)
    }

    /// Starts an upgrade of the transport. Returns `None` if one is in progress or has succeeded, or else the pace at which
    /// messages may arrive over the new transport. All upgrades of a session share it: otherwise each would begin with a
    /// burst.
    pub(crate) fn begin_upgrade(&self, rate: &Rate) -> Option<Pace> {
        match std::mem::replace(&mut *self.lock_upgrade(), Upgrade::Started) {
            Upgrade::Possible(Some(pace)) => Some(pace),
            Upgrade::Possible(None) => Some(Pace::new(rate, Instant::now(), self.connection.clock())),
            Upgrade::Started => None,
        }
    }

    /// Answers the waiting poll, and each later one, with `frame`, because the client is about to upgrade its
    /// transport.
    pub(crate) fn release(&self, frame: Frame) {
        self.control.do_send(Control::Release(frame));
    }

    /// Answers the waiting poll with nothing.
    pub(crate) fn interrupt(&self) {
        self.control.do_send(Control::Interrupt);
    }

    /// Ends an upgrade that has failed. The client may try again.
    pub(crate) fn give_up_upgrade(&self, pace: Pace) {
        self.control.do_send(Control::Resume);
        *self.lock_upgrade() = Upgrade::Possible(Some(pace));
    }

    fn lock_upgrade(&self) -> MutexGuard<'_, Upgrade> {
        self.upgrade.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Completes the upgrade: from now on the session uses only the WebSocket. The returned channel has the session's
    /// frames, until it closes.
    pub(crate) fn upgrade(&self, socket: StreamSocket) -> (StreamId, FrameReceiver) {
        self.connection.set_write_side(socket.write_side.clone());
        self.use_stream(Some(socket))
    }

    /// Makes the session use a stream from now on. The returned channel has the session's frames, until it closes or
    /// another transport replaces the stream. In that case the stream's `socket` is aborted.
    pub(crate) fn use_stream(&self, socket: Option<StreamSocket>) -> (StreamId, FrameReceiver) {
        let (sender, receiver) = frame_channel::to_client(self.connection.clone());
        let id = StreamId(self.streams.fetch_add(1, Ordering::Relaxed));
        self.control.do_send(Control::Upgrade(Stream { id, sender, socket }));
        (id, receiver)
    }

    /// Ends the session, unless another transport has replaced the stream.
    pub(crate) fn stream_gone(&self, stream: StreamId) {
        self.control.do_send(Control::StreamGone(stream));
    }

    /// Ends the session.
    pub(crate) fn end(&self, reason: &'static Reason) {
        self.control.do_send(Control::End(reason));
    }
}

/// Whether a session can be upgraded.
enum Upgrade {
    /// It can. There is a pace if an upgrade has failed before.
    Possible(Option<Pace>),
    /// An upgrade is in progress or has succeeded.
    Started,
}

/// The frames that were sent at the moment of the timeout, which must not be lost.
fn frames_at_timeout(mut waiting: oneshot::Receiver<Vec<Frame>>) -> Result<Vec<Frame>, Gone> {
    waiting.close();
    match waiting.try_recv() {
        Ok(frames) => Ok(frames),
        Err(TryRecvError::Empty | TryRecvError::Closed) => Ok(Vec::new()),
    }
}

/// A poll. It gives up by dropping the receiver of `answer`.
#[derive(Message)]
#[rtype(result = "()")]
pub(super) struct Fetch {
    pub(super) answer: oneshot::Sender<Vec<Frame>>,
}

/// Frames from the client.
#[derive(Message)]
#[rtype(result = "Result<(), Gone>")]
pub(super) struct Post {
    pub(super) via: Via,
    pub(super) frames: Vec<Frame>,
}

/// The number of a stream, unique in its session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct StreamId(u64);

/// The WebSocket of a stream.
#[derive(Clone)]
pub(crate) struct StreamSocket {
    pub(crate) write_side: Arc<WriteSide>,
    /// The time the client has to read the last frames once the session has ended.
    pub(crate) close_timeout: Duration,
}

impl StreamSocket {
    /// Aborts the WebSocket once the client has had time to read the last frames and to answer the close frame.
    pub(crate) fn abort_later(self, clock: &Arc<Clock>) {
        abort_later(move || self.write_side.writer.abort(), self.close_timeout, clock.clone());
    }
}

/// A stream to the client: the channel of its frames, and its WebSocket if it is one.
pub(super) struct Stream {
    pub(super) id: StreamId,
    sender: FrameSender,
    socket: Option<StreamSocket>,
}

impl Stream {
    /// Queues a frame.
    pub(super) fn send(&self, frame: Frame) {
        self.sender.send(frame);
    }

    /// Closes the stream's socket immediately, even if the client does not read.
    pub(super) fn abort(&self) {
        if let Some(socket) = &self.socket {
            socket.write_side.writer.abort();
        }
    }

    /// Ends the stream after its last frames. Its socket does not notice the end while its client does not read, and is
    /// aborted then.
    pub(super) fn end(self, clock: &Arc<Clock>) {
        if let Some(socket) = self.socket {
            socket.abort_later(clock);
        }
    }
}

/// Changes the state of the session.
#[derive(Message)]
#[rtype(result = "()")]
pub(super) enum Control {
    /// The client probes a WebSocket: answer polls with this frame.
    Release(Frame),
    /// The probe has failed: poll again.
    Resume,
    /// Answer the waiting poll with nothing.
    Interrupt,
    /// The client uses a stream from now on.
    Upgrade(Stream),
    /// This stream is gone.
    StreamGone(StreamId),
    /// Complete this once the client's joins are settled.
    Settle(oneshot::Sender<()>),
    /// Close the session.
    End(&'static Reason),
}
