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
    patience: Duration,
    metrics: Arc<Metrics>,
    all: Mutex<Vec<Weak<HttpConnection>>>,
}

/// One connection, from its first byte to its last.
pub(crate) struct HttpConnection {
    wire: RawSocket,
    metrics: Arc<Metrics>,
    stay: Mutex<IdleState>,
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
    is_admitted: bool,
}

impl IdleConnections {
    /// A guest may take its time to take the last of an answer, then rest, then take its time to ask anew.
    pub(crate) fn new(config: &Config, metrics: Arc<Metrics>) -> Self {
        let patience = config.socket.write_timeout + config.server.keep_alive + config.server.header_timeout;
        Self { patience, metrics, all: Mutex::default() }
    }

    /// A connection has been accepted, which can be cut by `wire`.
    pub(crate) fn arrive(&self, wire: RawSocket) -> Arc<HttpConnection> {
        let stay = IdleState { since: Instant::now(), answering: 0, has_asked: false, is_admitted: false };
        let guest = Arc::new(HttpConnection { wire, metrics: self.metrics.clone(), stay: Mutex::new(stay) });
        lock(&self.all).push(Arc::downgrade(&guest));
        guest
    }

    /// Looks once at every guest, and cuts those that have stayed too long.
    pub(crate) fn sweep(&self, now: Instant) {
        let stays =
            |guest: &Weak<HttpConnection>| guest.upgrade().is_some_and(|guest| guest.may_stay(now, self.patience));
        let mut all = lock(&self.all);
        all.retain(stays);
        if all.capacity() > 4 * all.len() {
            let left = 2 * all.len();
            all.shrink_to(left);
        }
    }
}

impl HttpConnection {
    pub(crate) fn wire(&self) -> &RawSocket {
        &self.wire
    }

    /// It is a socket from now on, and its time is minded elsewhere.
    pub(crate) fn admit(&self) {
        lock(&self.stay).is_admitted = true;
    }

    fn may_stay(&self, now: Instant, patience: Duration) -> bool {
        let IdleState { since, answering, has_asked, is_admitted } = *lock(&self.stay);
        if is_admitted {
            return false;
        }
        if answering > 0 || now.saturating_duration_since(since) < patience {
            return true;
        }
        // one that has never asked is counted at its end
        if has_asked {
            self.metrics.connections_mute.inc();
        }
        log::debug!("cut a connection that was no socket and asked for nothing");
        // an error means that it is cut already
        let _ = self.wire.shutdown(Shutdown::Both);
        false
    }
}

/// Whoever has never asked for anything that could be read has been turned away by the HTTP server itself.
impl Drop for HttpConnection {
    fn drop(&mut self) {
        if !lock(&self.stay).has_asked {
            self.metrics.connections_mute.inc();
        }
    }
}

fn lock<T>(state: &Mutex<T>) -> MutexGuard<'_, T> {
    state.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A request of a guest's that is being answered, until it is dropped.
struct Answering(Arc<HttpConnection>);

impl Answering {
    fn new(guest: Arc<HttpConnection>) -> Self {
        let mut stay = lock(&guest.stay);
        stay.answering += 1;
        stay.has_asked = true;
        drop(stay);
        Self(guest)
    }
}

impl Drop for Answering {
    fn drop(&mut self) {
        let mut stay = lock(&self.0.stay);
        stay.answering -= 1;
        stay.since = Instant::now();
    }
}

/// Has `next` answer, and minds how long that takes.
pub(crate) async fn attend(
    request: ServiceRequest,
    next: Next<impl MessageBody + 'static>,
) -> Result<ServiceResponse<BoxBody>, Error> {
    let answering = request.conn_data::<Arc<HttpConnection>>().cloned().map(Answering::new);
    let response = next.call(request).await?.map_into_boxed_body();
    if let Some(Answering(guest)) = &answering {
        guest.metrics.http_responses.inc(labels::StatusClass::of(response.status()));
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
pub(crate) async fn hung_up(wire: &RawSocket) {
    #[expect(deprecated, reason = "its successors are unsafe; what is registered owns the wire, which stays open")]
    let watched = AsyncFd::with_interest(wire.clone(), Interest::READABLE);
    let Ok(watched) = watched else { return pending().await };
    while let Ok(mut readiness) = watched.readable().await {
        if readiness.ready().is_read_closed() {
            return;
        }
        readiness.clear_ready();
    }
}
