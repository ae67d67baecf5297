//! The polling transport: a session that outlives each of its requests, for clients whose way to us does
//! not carry WebSockets. Phoenix and Engine.IO bring their own words for it; the session is the same.
//!
//! What is to be said waits here until the client asks ([`LongPollHandle::fetch`]); what the client says comes in
//! requests of its own ([`LongPollHandle::post`]). Unlike a WebSocket's, this actor always runs: it takes its mail
//! at once, and what waits for the client is bounded in bytes here. A client that does not ask in time is
//! found silent, as any other. A session belongs to the node that its token names.

pub(crate) mod frame_channel;
pub(crate) mod handle;

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use actix::{Actor, ActorContext, AsyncContext, Context, Handler, StreamHandler};
use compact_str::{CompactString, format_compact};
use tokio::sync::oneshot;
use uuid::Uuid;

use crate::close::{self, Reason};
use crate::protocol::Frame;
use crate::transports::longpoll::frame_channel::FrameSender;
use crate::transports::longpoll::handle::{Control, Fetch, Gone, LongPollHandle, Post, Via};
use crate::transports::transport::{FrameSink, TransportHandler};

/// What a channel is told when it asks for its transport.
pub(crate) const NAME: &str = "longpoll";
/// How many requests of one session may be on their way to it at once.
const REQUESTS: usize = 64;
/// One message counts as at most this part of what may wait: a presence list may be larger than the whole
/// of it, and must not cut a client off that has had no time to ask for it.
const LARGE_SHARE: usize = 4;
/// For how long a request waits that comes while the client tries a WebSocket: the change, if it comes,
/// comes at once, and must not be overtaken by an answer that says to poll on.
const PROBE: Duration = Duration::from_millis(50);
/// For how long the last words of a session that has ended wait to be asked for.
const LINGER: Duration = Duration::from_secs(5);

/// How a protocol's clients poll.
#[derive(Clone, Copy, Debug)]
pub(crate) struct LongPollOptions {
    /// How much may wait for the client, in bytes.
    pub(crate) bytes: usize,
    /// Whether a client that asks again before it is answered has broken the protocol.
    pub(crate) close_on_concurrent_poll: bool,
    /// Whether what waits when the session ends may still be asked for, for a while.
    pub(crate) drain_after_close: bool,
    /// What a request that waits is told when the session ends, and why it ends.
    pub(crate) close_frame: Option<fn(&'static Reason) -> Frame>,
}

/// The polling sessions of a mount, by token.
#[derive(Default)]
pub(crate) struct LongPollSessions(Mutex<HashMap<CompactString, LongPollHandle>>);

impl LongPollSessions {
    /// Starts a session on this thread; its token names this node, so that a proxy can find it.
    pub(crate) fn start<T: TransportHandler>(
        self: &Arc<Self>,
        node: &str,
        handler: T,
        options: LongPollOptions,
    ) -> (CompactString, LongPollHandle) {
        let token = format_compact!("{node}.{}", Uuid::new_v4().simple());
        let (sessions, connection) = (self.clone(), handler.connection().clone());
        let active_at = Instant::now();
        let key = token.clone();
        let addr = LongPoll {
            handler,
            options,
            sessions,
            token: key,
            out: Vec::new(),
            bytes: 0,
            asking: None,
            unsettled: Vec::new(),
            active_at,
            state: SessionState::V2TextOnly,
        }
        .start();
        let session = LongPollHandle::new(&addr, connection);
        self.lock().insert(token.clone(), session.clone());
        (token, session)
    }

    pub(crate) fn find(&self, token: &str) -> Option<LongPollHandle> {
        self.lock().get(token).cloned()
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<CompactString, LongPollHandle>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Where a session stands.
enum SessionState {
    /// The client polls.
    V2TextOnly,
    /// The client tries a WebSocket: requests are answered soon, with this.
    Probed(Frame),
    /// The client speaks over a WebSocket, which this leads to.
    WriteSide(FrameSender),
    /// It is over, for this reason; last words may wait.
    TerminateReason(&'static Reason),
}

/// The session actor.
struct LongPoll<T: TransportHandler> {
    handler: T,
    options: LongPollOptions,
    sessions: Arc<LongPollSessions>,
    token: CompactString,
    /// What the client has not asked for yet.
    out: Vec<Frame>,
    bytes: usize,
    asking: Option<oneshot::Sender<Vec<Frame>>>,
    /// Who waits until the client's joins are settled.
    unsettled: Vec<oneshot::Sender<()>>,
    active_at: Instant,
    state: SessionState,
}

impl<T: TransportHandler> LongPoll<T> {
    /// Runs `f` with the way to the client, and ends the session if that is what it comes to.
    fn with_sink(&mut self, ctx: &mut Context<Self>, f: impl FnOnce(&mut T, &mut LongPollSink<'_>)) {
        if matches!(self.state, SessionState::TerminateReason(_)) {
            return;
        }
        let large = self.options.bytes / LARGE_SHARE;
        if matches!(self.state, SessionState::WriteSide(_)) {
            self.bytes = 0; // the pipe counts what it holds
        }
        let mut sink = LongPollSink { out: &mut self.out, bytes: &mut self.bytes, large, closed: None };
        f(&mut self.handler, &mut sink);
        let closed = sink.closed;
        self.answer();
        self.settle();
        if let Some(reason) = closed.or((self.bytes > self.options.bytes).then_some(&close::SLOW)) {
            self.end(reason, ctx);
        }
    }

    /// Answers a request that waits while the client tries a WebSocket.
    fn release(&mut self) {
        let SessionState::Probed(frame) = &self.state else { return };
        if let Some(asking) = self.asking.take() {
            let _ = asking.send(vec![frame.clone()]);
        }
    }

    /// Tells those who wait for it that the client's joins are settled, if they are.
    fn settle(&mut self) {
        if !self.unsettled.is_empty() && !self.handler.is_unsettled() {
            for done in self.unsettled.drain(..) {
                let _ = done.send(());
            }
        }
    }

    /// Tells whoever asks what waits.
    fn answer(&mut self) {
        if let SessionState::WriteSide(sender) = &self.state {
            // what waits has been counted together: the first of it stands for all
            let mut weight = self.bytes;
            self.out.drain(..).for_each(|frame| sender.put(frame, std::mem::take(&mut weight)));
            self.bytes = sender.weight();
        }
        if self.out.is_empty() {
            return;
        }
        let Some(asking) = self.asking.take() else { return };
        let bytes = std::mem::take(&mut self.bytes);
        if let Err(frames) = asking.send(std::mem::take(&mut self.out)) {
            // it gave up at this very moment
            self.bytes = bytes;
            self.out = frames;
        }
    }

    fn end(&mut self, reason: &'static Reason, ctx: &mut Context<Self>) {
        if matches!(self.state, SessionState::TerminateReason(_)) {
            return;
        }
        let is_owed = self.send_close_frame(reason);
        self.state = SessionState::TerminateReason(reason);
        self.unsettled.clear();
        log::info!("{}: closed with {}: {}", self.handler.connection().id, reason.code, reason.words);
        self.handler.end(reason);
        self.answer();
        if self.out.is_empty() || !(self.options.drain_after_close || is_owed) {
            return ctx.stop();
        }
        ctx.run_later(LINGER, |_, ctx| ctx.stop());
    }

    /// Has the request that waits hear that it is over. Says whether the next one is to hear it instead: one that
    /// crosses the client's own goodbye.
    fn send_close_frame(&mut self, reason: &'static Reason) -> bool {
        let polls = !matches!(self.state, SessionState::WriteSide(_));
        let Some(close_frame) = self.options.close_frame.filter(|_| polls) else { return false };
        let Some(asking) = self.asking.take() else {
            self.out.push(close_frame(reason));
            return *reason == close::LEFT;
        };
        self.out.push(close_frame(reason));
        // one that has given up is not told, and nobody else is in its place
        let _ = asking.send(std::mem::take(&mut self.out));
        false
    }

    /// Whether a request that has come this way may speak to the session; a sign of life, if so.
    fn admits(&mut self, via: Via, ctx: &mut Context<Self>) -> bool {
        let is_this_way = match self.state {
            SessionState::V2TextOnly | SessionState::Probed(_) => via == Via::Http,
            // what comes over the WebSocket is a sign of life by itself, and its silence is for the sweep to judge
            SessionState::WriteSide(_) => return via == Via::Socket,
            SessionState::TerminateReason(_) => false,
        };
        let now = Instant::now();
        if is_this_way && now.duration_since(self.active_at) >= self.handler.connection().timeouts().idle {
            // the sweep has not come by yet
            self.end(&close::IDLE, ctx);
            return false;
        }
        if is_this_way {
            self.active_at = now;
            self.handler.connection().mark_active();
        }
        is_this_way
    }
}

impl<T: TransportHandler> Actor for LongPoll<T> {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Self::Context) {
        ctx.set_mailbox_capacity(REQUESTS);
        ctx.add_stream(futures_util::StreamExt::map(self.handler.events(), SessionEvent));
        self.with_sink(ctx, |handler, sink| handler.open(sink));
    }

    fn stopped(&mut self, _: &mut Self::Context) {
        self.sessions.lock().remove(&self.token);
    }
}

/// What the talk is told, told apart from requests.
struct SessionEvent<N>(N);

impl<T: TransportHandler> StreamHandler<SessionEvent<T::Event>> for LongPoll<T> {
    fn handle(&mut self, SessionEvent(event): SessionEvent<T::Event>, ctx: &mut Self::Context) {
        self.with_sink(ctx, |handler, sink| handler.handle_event(event, sink));
    }

    /// The mailbox is closed; the goodbye has been said.
    fn finished(&mut self, _: &mut Self::Context) {}
}

impl<T: TransportHandler> Handler<Fetch> for LongPoll<T> {
    type Result = ();

    fn handle(&mut self, Fetch { answer }: Fetch, ctx: &mut Self::Context) {
        if matches!(self.state, SessionState::TerminateReason(_)) {
            self.asking = Some(answer);
            self.answer();
            return ctx.stop();
        }
        if !self.admits(Via::Http, ctx) {
            return;
        }
        if let Some(rival) = self.asking.take() {
            if self.options.close_on_concurrent_poll {
                self.asking = Some(rival);
                return self.end(&close::PROTOCOL, ctx);
            }
            let _ = rival.send(Vec::new());
        }
        self.asking = Some(answer);
        self.answer();
        if self.asking.is_some() && matches!(self.state, SessionState::Probed(_)) {
            ctx.run_later(PROBE, |session, _| session.release());
        }
    }
}

impl<T: TransportHandler> Handler<Post> for LongPoll<T> {
    type Result = Result<(), Gone>;

    fn handle(&mut self, Post { via, frames }: Post, ctx: &mut Self::Context) -> Self::Result {
        if !self.admits(via, ctx) {
            return Err(Gone);
        }
        for frame in &frames {
            self.with_sink(ctx, |handler, sink| handler.frame(frame, sink));
        }
        match self.state {
            SessionState::TerminateReason(reason) if *reason != close::LEFT => Err(Gone),
            _ => Ok(()),
        }
    }
}

impl<T: TransportHandler> Handler<Control> for LongPoll<T> {
    type Result = ();

    fn handle(&mut self, control: Control, ctx: &mut Self::Context) {
        match (control, &self.state) {
            (Control::End(reason), _) => self.end(reason, ctx),
            (Control::Settle(_), SessionState::TerminateReason(_)) => {}
            (Control::Settle(done), _) => {
                self.unsettled.retain(|other| !other.is_closed());
                self.unsettled.push(done);
                self.settle();
            }
            (Control::Release(frame), SessionState::V2TextOnly) => {
                self.state = SessionState::Probed(frame);
                self.release();
            }
            (Control::Resume, SessionState::Probed(_)) => self.state = SessionState::V2TextOnly,
            (Control::WriteSide(sender), SessionState::V2TextOnly | SessionState::Probed(_)) => {
                self.asking = None;
                self.state = SessionState::WriteSide(sender);
                self.answer();
            }
            _ => {}
        }
    }
}

/// The way to the client while one thing is handled.
struct LongPollSink<'a> {
    out: &'a mut Vec<Frame>,
    bytes: &'a mut usize,
    /// What a message counts as at most, in bytes.
    large: usize,
    closed: Option<&'static Reason>,
}

impl FrameSink for LongPollSink<'_> {
    fn send(&mut self, frame: Frame) {
        *self.bytes += frame.size().min(self.large);
        match frame {
            Frame::Several(frames) => self.out.extend(frames.iter().cloned()),
            frame => self.out.push(frame),
        }
    }

    fn close(&mut self, reason: &'static Reason) {
        self.closed.get_or_insert(reason);
    }
}
