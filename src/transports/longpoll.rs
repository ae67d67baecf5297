//! The long-polling transport: a session that outlives each of its HTTP requests, for clients whose network does not
//! pass WebSockets. The HTTP formats are in `protocols`: Phoenix, Engine.IO, Socket.IO 0.9 and PeerJS 0.3 use this
//! session.
//!
//! Outgoing frames wait here until the client fetches them ([`LongPollHandle::fetch`]). The client posts its own frames
//! in separate requests ([`LongPollHandle::post`]). Unlike a WebSocket's actor, this one always runs. While many frames
//! wait, it leaves the broker's messages in its mailbox, which limits them. A session whose client stops polling is
//! closed by the idle timeout, like any other. A session belongs to the node that its token names.

pub(crate) mod frame_channel;
pub(crate) mod handle;
mod options;
mod out_queue;
mod paced_events;
mod sink;

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use actix::fut::ActorFutureExt;
use actix::{Actor, ActorContext, AsyncContext, Context, Handler, StreamHandler, WrapFuture};
use compact_str::{CompactString, format_compact};
use tokio::sync::oneshot;
use uuid::Uuid;

use crate::close::{self, Reason};
use crate::protocol::Frame;
use crate::transports::longpoll::handle::{Control, Fetch, Gone, LongPollHandle, Post, Stream, Via};
use crate::transports::longpoll::out_queue::OutQueue;
use crate::transports::longpoll::paced_events::PacedEvents;
use crate::transports::longpoll::sink::LongPollSink;
use crate::transports::transport::TransportHandler;

pub(crate) use self::options::LongPollOptions;

/// The transport's name, as channels see it.
pub(crate) const NAME: &str = "longpoll";
/// The size of the session actor's queue of requests.
const REQUESTS: usize = 64;
/// How long a poll waits while the client probes a WebSocket. An upgrade follows its probe immediately, and must not be
/// overtaken by a response that tells the client to poll again.
const PROBE: Duration = Duration::from_millis(50);
/// How long the remaining frames of a closed session can still be fetched.
const LINGER: Duration = Duration::from_secs(5);

/// The long-polling sessions of a mount, by token.
#[derive(Default)]
pub(crate) struct LongPollSessions(Mutex<HashMap<CompactString, LongPollHandle>>);

impl LongPollSessions {
    /// Starts a session on this thread. Its token begins with the node's name, so that a proxy can route requests to
    /// the node, and ends with `suffix`.
    pub(crate) fn start<T: TransportHandler>(
        self: &Arc<Self>,
        node: &str,
        suffix: &str,
        handler: T,
        options: LongPollOptions,
    ) -> (CompactString, LongPollHandle) {
        let token = format_compact!("{node}.{}{suffix}", Uuid::new_v4().simple());
        let (sessions, connection) = (self.clone(), handler.connection().clone());
        let active_at = connection.now();
        let key = token.clone();
        let addr = LongPoll {
            handler,
            options,
            sessions,
            token: key,
            out: OutQueue::new(connection.clone()),
            poll: None,
            unsettled: Vec::new(),
            polled: false,
            active_at,
            state: SessionState::Polling,
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

/// The state of a session.
enum SessionState {
    /// The client polls.
    Polling,
    /// The client probes a WebSocket. Polls are answered soon, with this frame.
    Probed(Frame),
    /// The client uses a stream, such as a WebSocket, which sends the frames of this channel.
    Upgraded(Stream),
    /// The session is closed, for this reason. Frames may still wait to be fetched.
    Closed(&'static Reason),
}

/// The session actor.
struct LongPoll<T: TransportHandler> {
    handler: T,
    options: LongPollOptions,
    sessions: Arc<LongPollSessions>,
    token: CompactString,
    /// Frames that the client has not fetched yet.
    out: OutQueue,
    /// The waiting poll.
    poll: Option<oneshot::Sender<Vec<Frame>>>,
    /// Whether the client has polled since it uses its present transport.
    polled: bool,
    /// Requests that wait until the client's joins are settled.
    unsettled: Vec<oneshot::Sender<()>>,
    active_at: Instant,
    state: SessionState,
}

impl<T: TransportHandler> LongPoll<T> {
    /// Runs `f` with a sink for frames to the client, and closes the session if `f` or the byte limit demands it.
    fn with_sink(&mut self, ctx: &mut Context<Self>, f: impl FnOnce(&mut T, &mut LongPollSink<'_>)) {
        if matches!(self.state, SessionState::Closed(_)) {
            return;
        }
        let has_room = self.handler.connection().queued_bytes() < self.options.bytes;
        let mut sink = LongPollSink { out: &mut self.out, is_pinging: false, closed: None };
        f(&mut self.handler, &mut sink);
        let LongPollSink { is_pinging, closed, .. } = sink;
        self.answer();
        if is_pinging {
            self.ping();
        }
        self.settle();
        // one message may be larger than the limit
        let is_slow = !has_room && self.handler.connection().queued_bytes() >= self.options.bytes;
        if let Some(reason) = closed.or(is_slow.then_some(&close::SLOW)) {
            self.end(reason, ctx);
        }
    }

    /// Makes the client send something: it polls again after an empty response. If no poll waits, the client is about to
    /// poll.
    fn ping(&mut self) {
        match (&self.state, self.options.ping) {
            _ if self.options.in_process => self.handler.connection().activity.mark(),
            (SessionState::Upgraded(stream), Some(ping)) => stream.send(ping()),
            (SessionState::Upgraded(_), None) => self.handler.connection().ping(),
            _ => self.interrupt_poll(),
        }
    }

    /// Answers the waiting poll with nothing.
    fn interrupt_poll(&mut self) {
        if let Some(poll) = self.poll.take() {
            let _ = poll.send(Vec::new());
        }
    }

    /// Closes the present stream, which the client has replaced by another transport.
    fn replace_stream(&mut self) {
        if let SessionState::Upgraded(stream) = &self.state {
            stream.abort();
            self.state = SessionState::Polling;
        }
    }

    fn use_stream(&mut self, stream: Stream, ctx: &mut Context<Self>) {
        // the client uses the session, even if it says nothing yet
        self.handler.connection().activity.mark();
        self.polled = false;
        self.state = SessionState::Upgraded(stream);
        self.answer();
        self.with_sink(ctx, |handler, sink| handler.transport_opened(sink));
    }

    /// Answers the waiting poll while the client probes a WebSocket.
    fn release_poll(&mut self) {
        let SessionState::Probed(frame) = &self.state else { return };
        if let Some(poll) = self.poll.take() {
            let _ = poll.send(vec![frame.clone()]);
        }
    }

    /// Completes the requests that wait until the client's joins are settled, if they are.
    fn settle(&mut self) {
        if !self.unsettled.is_empty() && !self.handler.is_unsettled() {
            for done in self.unsettled.drain(..) {
                let _ = done.send(());
            }
        }
    }

    /// Passes the waiting frames to the stream, or some of them to the poll if there is one.
    fn answer(&mut self) {
        if self.out.is_empty() {
            return;
        }
        if let SessionState::Upgraded(stream) = &self.state {
            return self.out.take_all().into_iter().for_each(|frame| stream.send(frame));
        }
        let Some(poll) = self.poll.take() else { return };
        if let Err(frames) = poll.send(self.out.take(self.options.one_frame_per_poll)) {
            // the request gave up at this moment
            self.out.put_back(frames);
        }
    }

    fn end(&mut self, reason: &'static Reason, ctx: &mut Context<Self>) {
        if matches!(self.state, SessionState::Closed(_)) {
            return;
        }
        if *reason == close::SLOW {
            // a client that does not fetch them must not keep their memory
            self.out.take_all();
        }
        let expects_last_poll = self.send_close_frame(reason);
        // kept until the reason is known everywhere: a stream asks for it when its channel ends
        let present = std::mem::replace(&mut self.state, SessionState::Closed(reason));
        self.unsettled.clear();
        log::info!("{}: closed with {}: {}", self.handler.connection().id, reason.code, reason.text);
        self.handler.end(reason);
        if let SessionState::Upgraded(stream) = present {
            stream.end(self.handler.connection().clock());
        }
        self.answer();
        if self.out.is_empty() || !(self.options.drain_after_close || expects_last_poll) {
            return ctx.stop();
        }
        let clock = self.handler.connection().clock().clone();
        let over = async move { clock.sleep(LINGER).await };
        ctx.spawn(over.into_actor(self).map(|(), _, ctx| ctx.stop()));
    }

    /// Answers the waiting poll with a close frame, or queues that frame if no poll waits. Returns whether the session
    /// has to wait for a last poll: a client that has just left may have sent one before.
    fn send_close_frame(&mut self, reason: &'static Reason) -> bool {
        let polls = !matches!(self.state, SessionState::Upgraded(_));
        let Some(close_frame) = self.options.close_frame.filter(|_| polls) else { return false };
        let Some(poll) = self.poll.take() else {
            self.out.push(close_frame(reason));
            return *reason == close::LEFT;
        };
        self.out.push(close_frame(reason));
        // if the poll has given up, no other one waits
        let _ = poll.send(self.out.take_all());
        false
    }

    /// Whether the session accepts a request that has arrived `via` this transport. If so, the request counts as
    /// activity.
    fn admits(&mut self, via: Via, ctx: &mut Context<Self>) -> bool {
        let any_transport = self.options.newest_transport;
        let (is_accepted, is_polling) = match self.state {
            SessionState::Polling | SessionState::Probed(_) => (via != Via::Socket || any_transport, true),
            // the WebSocket records its activity itself, and the sweep checks its idle timeout
            SessionState::Upgraded(_) if via == Via::Socket => return true,
            SessionState::Upgraded(_) => (via == Via::Beside || any_transport, false),
            SessionState::Closed(_) => return false,
        };
        let connection = self.handler.connection().clone();
        let silence = connection.clock().judged().saturating_duration_since(self.active_at);
        if is_accepted && is_polling && silence >= connection.timeouts().idle {
            // it is idle, but the sweep has not closed it yet
            self.end(&close::IDLE, ctx);
            return false;
        }
        if is_accepted {
            self.active_at = connection.now();
            connection.activity.mark();
        }
        is_accepted
    }
}

impl<T: TransportHandler> Actor for LongPoll<T> {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Self::Context) {
        ctx.set_mailbox_capacity(REQUESTS);
        let events = PacedEvents::new(self.handler.events(), self.handler.connection().clone());
        ctx.add_stream(futures_util::StreamExt::map(events, SessionEvent));
        self.with_sink(ctx, |handler, sink| handler.open(sink));
    }

    fn stopped(&mut self, _: &mut Self::Context) {
        self.sessions.lock().remove(&self.token);
    }
}

/// An event of the broker. The wrapper distinguishes it from requests.
struct SessionEvent<E>(E);

impl<T: TransportHandler> StreamHandler<SessionEvent<T::Event>> for LongPoll<T> {
    fn handle(&mut self, SessionEvent(event): SessionEvent<T::Event>, ctx: &mut Self::Context) {
        self.with_sink(ctx, |handler, sink| handler.handle_event(event, sink));
    }

    /// The event stream has ended. Its last event has closed the session already.
    fn finished(&mut self, _: &mut Self::Context) {}
}

impl<T: TransportHandler> Handler<Fetch> for LongPoll<T> {
    type Result = ();

    fn handle(&mut self, Fetch { answer }: Fetch, ctx: &mut Self::Context) {
        if matches!(self.state, SessionState::Closed(_)) {
            self.poll = Some(answer);
            self.answer();
            if self.out.is_empty() {
                ctx.stop();
            }
            return;
        }
        if !self.admits(Via::Http, ctx) {
            return;
        }
        if let Some(previous) = self.poll.take() {
            if self.options.close_on_concurrent_poll {
                self.poll = Some(previous);
                return self.end(&close::PROTOCOL, ctx);
            }
            let _ = previous.send(Vec::new());
        }
        self.poll = Some(answer);
        self.replace_stream();
        if !std::mem::replace(&mut self.polled, true) {
            self.with_sink(ctx, |handler, sink| handler.transport_opened(sink));
        }
        self.answer();
        if self.poll.is_some() && matches!(self.state, SessionState::Probed(_)) {
            ctx.run_later(PROBE, |session, _| session.release_poll());
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
            SessionState::Closed(reason) if *reason != close::LEFT => Err(Gone),
            _ => Ok(()),
        }
    }
}

impl<T: TransportHandler> Handler<Control> for LongPoll<T> {
    type Result = ();

    fn handle(&mut self, control: Control, ctx: &mut Self::Context) {
        match (control, &self.state) {
            (Control::End(reason), _) => self.end(reason, ctx),
            (Control::Settle(_), SessionState::Closed(_)) => {}
            (Control::Settle(done), _) => {
                self.unsettled.retain(|other| !other.is_closed());
                self.unsettled.push(done);
                self.settle();
            }
            (Control::Release(frame), SessionState::Polling) => {
                self.state = SessionState::Probed(frame);
                self.release_poll();
            }
            (Control::Resume, SessionState::Probed(_)) => self.state = SessionState::Polling,
            (Control::Interrupt, _) => self.interrupt_poll(),
            (Control::Upgrade(stream), SessionState::Polling | SessionState::Probed(_)) => {
                // a poll that is dropped is answered as if the session were gone
                if let Some(poll) = self.poll.take().filter(|_| self.options.newest_transport) {
                    let _ = poll.send(Vec::new());
                }
                self.use_stream(stream, ctx);
            }
            (Control::Upgrade(stream), SessionState::Upgraded(_)) if self.options.newest_transport => {
                self.replace_stream();
                self.use_stream(stream, ctx);
            }
            (Control::StreamGone(id), SessionState::Upgraded(stream)) if stream.id == id => self.end(&close::GONE, ctx),
            _ => {}
        }
    }
}
