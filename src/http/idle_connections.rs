//! HTTP connections, until they become WebSockets. Those that are idle for too long are closed. A drain waits until none
//! of them has a response in progress.
//!
//! The HTTP server limits the time for the headers of a connection's first request, and the time between two requests.
//! It does not limit the time for the headers of a later request once their first byte has arrived, nor the time for a
//! body that no handler reads. So a client that sends one byte now and then could keep its connection for ever.
//!
//! The timeouts of WebSockets and of long-polling sessions are in [`hub`](crate::connections::hub).

use std::future::pending;
use std::net::Shutdown;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::{Duration, Instant};

use actix_web::Error;
use actix_web::body::{BoxBody, MessageBody};
use actix_web::dev::{ServiceRequest, ServiceResponse};
use actix_web::http::StatusCode;
use actix_web::middleware::Next;
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

use crate::config::schema::Config;
use crate::connections::clock::{Clock, abort_later};
use crate::http::guarded_body::with_guard;
use crate::metrics::families::Metrics;
use crate::metrics::labels;

/// The interval at which a drain checks whether responses are in progress.
const RESPONSE_CHECK: Duration = Duration::from_millis(10);

/// A connection's TCP socket. It can be shut down while another task reads and writes it.
pub(crate) type RawSocket = Arc<socket2::Socket>;

/// All HTTP connections of a node.
pub(crate) struct IdleConnections {
    timeout: Duration,
    metrics: Arc<Metrics>,
    clock: Arc<Clock>,
    all: Mutex<Vec<Weak<HttpConnection>>>,
}

/// One HTTP connection, from its first byte to its last.
pub(crate) struct HttpConnection {
    socket: RawSocket,
    metrics: Arc<Metrics>,
    clock: Arc<Clock>,
    state: Mutex<IdleState>,
}

/// What decides whether a connection is idle.
struct IdleState {
    /// When the last response ended, or else when the connection was accepted.
    since: Instant,
    /// How many of its requests have no complete response yet.
    pending: usize,
    /// Whether it has sent a valid request.
    has_request: bool,
    /// Whether it has become a WebSocket.
    is_upgraded: bool,
}

impl IdleConnections {
    /// A connection may be idle for as long as its client may take to receive the last bytes of a response, to keep the
    /// connection alive, and to send the headers of its next request.
    pub(crate) fn new(config: &Config, metrics: Arc<Metrics>, clock: Arc<Clock>) -> Self {
        let timeout = config.socket.write_timeout + config.server.keep_alive + config.server.header_timeout;
        Self { timeout, metrics, clock, all: Mutex::default() }
    }

    /// Tracks a connection that has been accepted. `socket` is used to close it.
    pub(crate) fn track(&self, socket: RawSocket) -> Arc<HttpConnection> {
        let state = IdleState { since: self.clock.now(), pending: 0, has_request: false, is_upgraded: false };
        let (metrics, clock) = (self.metrics.clone(), self.clock.clone());
        let connection = Arc::new(HttpConnection { socket, metrics, clock, state: Mutex::new(state) });
        lock(&self.all).push(Arc::downgrade(&connection));
        connection
    }

    /// Closes all connections that have been idle for too long at `now`, the time that the node's clock has judged.
    pub(crate) fn sweep(&self, now: Instant) {
        let is_kept = |connection: &Weak<HttpConnection>| {
            connection.upgrade().is_some_and(|connection| connection.is_alive(now, self.timeout))
        };
        let mut all = lock(&self.all);
        all.retain(is_kept);
        if all.capacity() > 4 * all.len() {
            let target = 2 * all.len();
            all.shrink_to(target);
        }
    }

    /// Waits until all requests that have arrived have their complete response, or until `deadline`.
    pub(crate) async fn wait_for_responses(&self, deadline: Instant) {
        while self.has_pending() && self.clock.judged() < deadline {
            tokio::time::sleep(RESPONSE_CHECK).await;
        }
    }

    fn has_pending(&self) -> bool {
        lock(&self.all).iter().filter_map(Weak::upgrade).any(|connection| lock(&connection.state).pending > 0)
    }
}

impl HttpConnection {
    pub(crate) fn socket(&self) -> &RawSocket {
        &self.socket
    }

    /// Closes the connection after `time`.
    pub(crate) fn shut_down_later(&self, time: Duration) {
        let socket = self.socket.clone();
        // an error means that it is closed already
        abort_later(move || drop(socket.shutdown(Shutdown::Both)), time, self.clock.clone());
    }

    /// Marks the connection as a WebSocket, which is no longer tracked here.
    pub(crate) fn mark_upgraded(&self) {
        lock(&self.state).is_upgraded = true;
    }

    fn is_alive(&self, now: Instant, timeout: Duration) -> bool {
        let IdleState { since, pending, has_request, is_upgraded } = *lock(&self.state);
        if is_upgraded {
            return false;
        }
        if pending > 0 || now.saturating_duration_since(since) < timeout {
            return true;
        }
        // a connection that has sent no request is counted when it is dropped
        if has_request {
            self.metrics.connections_without_request.inc();
        }
        log::debug!("closed an idle HTTP connection");
        // an error means that it is closed already
        let _ = self.socket.shutdown(Shutdown::Both);
        false
    }
}

/// Counts a connection that has sent nothing, or nothing that the HTTP server accepted as a request.
impl Drop for HttpConnection {
    fn drop(&mut self) {
        if !lock(&self.state).has_request {
            self.metrics.connections_without_request.inc();
        }
    }
}

fn lock<T>(state: &Mutex<T>) -> MutexGuard<'_, T> {
    state.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A request whose response is not complete. Dropping this marks the response as complete. The HTTP server drops a
/// response's body when the client has received all but the last few bytes.
struct PendingResponse(Arc<HttpConnection>);

impl PendingResponse {
    fn new(connection: Arc<HttpConnection>) -> Self {
        let mut state = lock(&connection.state);
        state.pending += 1;
        state.has_request = true;
        drop(state);
        Self(connection)
    }
}

impl Drop for PendingResponse {
    fn drop(&mut self) {
        let mut state = lock(&self.0.state);
        state.pending -= 1;
        state.since = self.0.clock.now();
    }
}

/// A middleware that tracks each request from its arrival to the end of its response.
pub(crate) async fn track_request(
    request: ServiceRequest,
    next: Next<impl MessageBody + 'static>,
) -> Result<ServiceResponse<BoxBody>, Error> {
    let pending = request.conn_data::<Arc<HttpConnection>>().cloned().map(PendingResponse::new);
    let response = next.call(request).await?.map_into_boxed_body();
    if let Some(PendingResponse(connection)) = &pending {
        connection.metrics.http_responses.inc(labels::StatusClass::of(response.status()));
    }
    let Some(pending) = pending.filter(|_| response.status() != StatusCode::SWITCHING_PROTOCOLS) else {
        return Ok(response);
    };
    Ok(response.map_body(|_, body| with_guard(body, pending)))
}
/// Completes when the client has closed its sending half of the connection, as it does when it abandons a request.
/// The HTTP server itself would notice only when it writes the response.
pub(crate) async fn hung_up(socket: &RawSocket) {
    #[expect(deprecated, reason = "its successors are unsafe; the registered value owns the socket and keeps it open")]
    let watched = AsyncFd::with_interest(socket.clone(), Interest::READABLE);
    let Ok(watched) = watched else { return pending().await };
    while let Ok(mut readiness) = watched.readable().await {
        if readiness.ready().is_read_closed() {
            return;
        }
        readiness.clear_ready();
    }
}
