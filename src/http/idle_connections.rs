//! Guests: connections that are no sockets, or not yet. Those that keep nothing but their place are shown out.
//!
//! The HTTP server minds how long the headers of a connection's first request take, and how long it then rests. It
//! minds neither the headers of a later request, once the first of their bytes is here, nor a body that nobody reads
//! and that never ends: a byte now and then would keep a connection for ever. Sockets are not minded here, but by
//! [`connections`](crate::connections::hub).

use std::future::pending;
use std::net::Shutdown;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use actix_web::Error;
use actix_web::body::{BodySize, BoxBody, MessageBody};
use actix_web::dev::{ServiceRequest, ServiceResponse};
use actix_web::http::StatusCode;
use actix_web::middleware::Next;
use bytes::Bytes;
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

use crate::config::schema::Config;
use crate::metrics::families::Metrics;
use crate::metrics::labels;

/// A connection's wire, which can be cut whoever reads and writes it.
pub(crate) type RawSocket = Arc<socket2::Socket>;

/// All guests of a node.
pub(crate) struct IdleConnections {
    timeout: Duration,
    metrics: Arc<Metrics>,
    all: Mutex<Vec<Weak<HttpConnection>>>,
}

/// One connection, from its first byte to its last.
pub(crate) struct HttpConnection {
    socket: RawSocket,
    metrics: Arc<Metrics>,
    state: Mutex<IdleState>,
}

/// What a guest is here for.
struct IdleState {
    /// Since when nothing has been answered.
    since: Instant,
    /// How many of its requests are being answered.
    answering: usize,
    /// Whether it has asked for anything.
    has_asked: bool,
    /// Whether it is a socket by now.
    is_upgraded: bool,
}

impl IdleConnections {
    /// A guest may take its time to take the last of an answer, then rest, then take its time to ask anew.
    pub(crate) fn new(config: &Config, metrics: Arc<Metrics>) -> Self {
        let timeout = config.socket.write_timeout + config.server.keep_alive + config.server.header_timeout;
        Self { timeout, metrics, all: Mutex::default() }
    }

    /// A connection has been accepted, which can be cut by `socket`.
    pub(crate) fn track(&self, socket: RawSocket) -> Arc<HttpConnection> {
        let state = IdleState { since: Instant::now(), answering: 0, has_asked: false, is_upgraded: false };
        let connection = Arc::new(HttpConnection { socket, metrics: self.metrics.clone(), state: Mutex::new(state) });
        lock(&self.all).push(Arc::downgrade(&connection));
        connection
    }

    /// Looks once at every guest, and cuts those that have stayed too long.
    pub(crate) fn sweep(&self, now: Instant) {
        let stays = |connection: &Weak<HttpConnection>| {
            connection.upgrade().is_some_and(|connection| connection.is_alive(now, self.timeout))
        };
        let mut all = lock(&self.all);
        all.retain(stays);
        if all.capacity() > 4 * all.len() {
            let left = 2 * all.len();
            all.shrink_to(left);
        }
    }
}

impl HttpConnection {
    pub(crate) fn socket(&self) -> &RawSocket {
        &self.socket
    }

    /// It is a socket from now on, and its time is minded elsewhere.
    pub(crate) fn mark_upgraded(&self) {
        lock(&self.state).is_upgraded = true;
    }

    fn is_alive(&self, now: Instant, timeout: Duration) -> bool {
        let IdleState { since, answering, has_asked, is_upgraded } = *lock(&self.state);
        if is_upgraded {
            return false;
        }
        if answering > 0 || now.saturating_duration_since(since) < timeout {
            return true;
        }
        // one that has never asked is counted at its end
        if has_asked {
            self.metrics.connections_without_request.inc();
        }
        log::debug!("cut a connection that was no socket and asked for nothing");
        // an error means that it is cut already
        let _ = self.socket.shutdown(Shutdown::Both);
        false
    }
}

/// Whoever has never asked for anything that could be read has been turned away by the HTTP server itself.
impl Drop for HttpConnection {
    fn drop(&mut self) {
        if !lock(&self.state).has_asked {
            self.metrics.connections_without_request.inc();
        }
    }
}

fn lock<T>(state: &Mutex<T>) -> MutexGuard<'_, T> {
    state.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A request of a guest's that is being answered, until it is dropped.
struct Answering(Arc<HttpConnection>);

impl Answering {
    fn new(connection: Arc<HttpConnection>) -> Self {
        let mut state = lock(&connection.state);
        state.answering += 1;
        state.has_asked = true;
        drop(state);
        Self(connection)
    }
}

impl Drop for Answering {
    fn drop(&mut self) {
        let mut state = lock(&self.0.state);
        state.answering -= 1;
        state.since = Instant::now();
    }
}

/// Has `next` answer, and minds how long that takes.
pub(crate) async fn track_request(
    request: ServiceRequest,
    next: Next<impl MessageBody + 'static>,
) -> Result<ServiceResponse<BoxBody>, Error> {
    let answering = request.conn_data::<Arc<HttpConnection>>().cloned().map(Answering::new);
    let response = next.call(request).await?.map_into_boxed_body();
    if let Some(Answering(connection)) = &answering {
        connection.metrics.http_responses.inc(labels::StatusClass::of(response.status()));
    }
    let Some(answering) = answering.filter(|_| response.status() != StatusCode::SWITCHING_PROTOCOLS) else {
        return Ok(response);
    };
    Ok(response.map_body(|_, body| BoxBody::new(AnswerBody { body, _answering: answering })))
}

/// The body of an answer. The server lets go of it when its client has taken all but the last few bytes.
struct AnswerBody {
    body: BoxBody,
    _answering: Answering,
}

impl MessageBody for AnswerBody {
    type Error = <BoxBody as MessageBody>::Error;

    fn size(&self) -> BodySize {
        self.body.size()
    }

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Bytes, Self::Error>>> {
        Pin::new(&mut self.body).poll_next(cx)
    }
}

/// Cuts a wire after a while, whatever waits on it.
pub(crate) fn abort_later(cut: impl FnOnce() + 'static, time: Duration) {
    actix_web::rt::spawn(async move {
        tokio::time::sleep(time).await;
        cut();
    });
}

/// Ends when the client has ended its half of the wire, as one does that gives a request up. The HTTP server
/// itself would wait for the answer to be written.
pub(crate) async fn hung_up(socket: &RawSocket) {
    #[expect(deprecated, reason = "its successors are unsafe; what is registered owns the wire, which stays open")]
    let watched = AsyncFd::with_interest(socket.clone(), Interest::READABLE);
    let Ok(watched) = watched else { return pending().await };
    while let Ok(mut readiness) = watched.readable().await {
        if readiness.ready().is_read_closed() {
            return;
        }
        readiness.clear_ready();
    }
}
