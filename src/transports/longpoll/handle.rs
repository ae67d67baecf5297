//! A polling session as its requests see it: they ask it, tell it, and change its transport, from whatever thread
//! they have come to. The session itself is in [`longpoll`](super::longpoll).

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use actix::prelude::SendError;
use actix::{Actor, Addr, Context, Handler, Message, Recipient};
use tokio::sync::oneshot::{self, error::TryRecvError};
use tokio::sync::{Mutex as AsyncMutex, OwnedMutexGuard};
use tokio::time::timeout;

use crate::close::Reason;
use crate::connections::connection::{Connection, WriteSide};
use crate::protocol::Frame;
use crate::transports::longpoll::frame_channel::{FrameReceiver, FrameSender, frame_channel};

/// The session is over, or there never was one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Gone;

/// What a request for news comes to.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Fetched {
    /// This, in order, and at least one.
    FrameReader(Vec<Frame>),
    /// Nothing in time, or another request has taken this one's place.
    Nothing,
    /// The session is over.
    Gone,
}

/// Which way a request has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Via {
    /// By a request of its own.
    Http,
    /// By the WebSocket that the session has been upgraded to.
    Socket,
}

/// A polling session, as its requests see it.
#[derive(Clone)]
pub(crate) struct LongPollHandle {
    connection: Arc<Connection>,
    fetch: Recipient<Fetch>,
    post: Recipient<Post>,
    control: Recipient<Control>,
    requests: Arc<AsyncMutex<()>>,
    upgrading: Arc<AtomicBool>,
}

impl LongPollHandle {
    /// The way to the session actor at `addr`.
    pub(super) fn new<A>(addr: &Addr<A>, connection: Arc<Connection>) -> Self
    where
        A: Actor<Context = Context<A>> + Handler<Fetch> + Handler<Post> + Handler<Control>,
    {
        Self {
            connection,
            fetch: addr.clone().recipient(),
            post: addr.clone().recipient(),
            control: addr.clone().recipient(),
            requests: Arc::default(),
            upgrading: Arc::default(),
        }
    }

    pub(crate) fn connection(&self) -> &Arc<Connection> {
        &self.connection
    }

    /// Waits for something to say, for as long as `window`.
    pub(crate) async fn fetch(&self, window: Duration) -> Fetched {
        let (answer, mut waiting) = oneshot::channel();
        match self.fetch.try_send(Fetch { answer }) {
            Ok(()) => {}
            // as one whose place another takes
            Err(SendError::Full(_)) => return Fetched::Nothing,
            Err(SendError::Closed(_)) => return Fetched::Gone,
        }
        let told = match timeout(window, &mut waiting).await {
            Ok(told) => told.map_err(|_| Gone),
            Err(_) => last_moment(waiting),
        };
        match told {
            Ok(frames) if frames.is_empty() => Fetched::Nothing,
            Ok(frames) => Fetched::FrameReader(frames),
            Err(Gone) => Fetched::Gone,
        }
    }

    /// Waits until no other request of the session has the floor: what one says is read and handed on before
    /// the next is, so that one session never has several in memory.
    pub(crate) async fn lock_requests(&self) -> OwnedMutexGuard<()> {
        self.requests.clone().lock_owned().await
    }

    /// Hands on what the client has said, and ends when it has been handled.
    pub(crate) async fn post(&self, via: Via, frames: Vec<Frame>) -> Result<(), Gone> {
        self.post.send(Post { via, frames }).await.unwrap_or(Err(Gone))
    }

    /// Ends when what the client has asked for is settled, as far as it takes part in that: its joins.
    pub(crate) async fn joins_settled(&self) -> Result<(), Gone> {
        let (done, settled) = oneshot::channel();
        self.control.do_send(Control::Settle(done));
        settled.await.map_err(|_| Gone)
    }

    /// Whether the client may try to change its transport: not while it tries already, or when it has.
    pub(crate) fn begin_upgrade(&self) -> bool {
        !self.upgrading.swap(true, Ordering::AcqRel)
    }

    /// Answers the waiting request, and each that follows, with `frame`: the client is about to change
    /// its transport.
    pub(crate) fn release(&self, frame: Frame) {
        self.control.do_send(Control::Release(frame));
    }

    /// The client has not changed its transport after all, and may try again.
    pub(crate) fn give_up_upgrade(&self) {
        self.control.do_send(Control::Resume);
        self.upgrading.store(false, Ordering::Release);
    }

    /// From now on the session is spoken to over a WebSocket alone. What it has to say comes out of the pipe, until
    /// it ends.
    pub(crate) fn upgrade(&self, write_side: Arc<WriteSide>) -> FrameReceiver {
        let (sender, receiver) = frame_channel();
        self.connection.set_write_side(write_side);
        self.control.do_send(Control::WriteSide(sender));
        receiver
    }

    /// Ends the session.
    pub(crate) fn end(&self, reason: &'static Reason) {
        self.control.do_send(Control::End(reason));
    }
}

/// What was said at the very moment at which the waiting ended: it must not be lost.
fn last_moment(mut waiting: oneshot::Receiver<Vec<Frame>>) -> Result<Vec<Frame>, Gone> {
    waiting.close();
    match waiting.try_recv() {
        Ok(frames) => Ok(frames),
        Err(TryRecvError::Empty | TryRecvError::Closed) => Ok(Vec::new()),
    }
}

/// The client wants to hear. Dropping the answer's other end gives up.
#[derive(Message)]
#[rtype(result = "()")]
pub(super) struct Fetch {
    pub(super) answer: oneshot::Sender<Vec<Frame>>,
}

/// The client has said something.
#[derive(Message)]
#[rtype(result = "Result<(), Gone>")]
pub(super) struct Post {
    pub(super) via: Via,
    pub(super) frames: Vec<Frame>,
}

/// The session changes.
#[derive(Message)]
#[rtype(result = "()")]
pub(super) enum Control {
    Release(Frame),
    Resume,
    WriteSide(FrameSender),
    Settle(oneshot::Sender<()>),
    End(&'static Reason),
}
