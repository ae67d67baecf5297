//! Workers: the threads that serve. Each accepts its own connections and keeps them, so that no data of a connection
//! moves between threads before it joins a topic. What a worker serves is in [`app`](crate::server::app).

use std::io;
use std::net::{SocketAddr, TcpListener};
use std::sync::{Arc, Mutex, PoisonError, mpsc};
use std::time::{Duration, Instant};

use actix::{Arbiter, ArbiterHandle};
use actix_service::{Service, ServiceFactory};
use futures_util::future::{AbortHandle, Abortable, join_all};
use tokio::net::TcpStream;
use tokio::runtime::{Builder, Runtime};
use tokio::sync::Semaphore;

use crate::metrics::families::Metrics;

/// The pause after a failed attempt to accept a connection, which fails when no file descriptor is left.
const RETRY_AFTER: Duration = Duration::from_millis(500);

/// A failure is logged only if no other failure occurred within this time before it.
const LOG_AGAIN_AFTER: Duration = Duration::from_secs(10);

/// How many I/O events a thread receives per poll. The tasks that these wake, and the flusher, are fewer than the 61
/// tasks that Tokio's `LocalSet` runs per tick. So the responses to what was read are written before more is read,
/// while the data is in the processor's caches.
const EVENTS_PER_POLL: usize = 48;

/// A connection that has been accepted, and its remote address.
pub(crate) type Accepted = (TcpStream, Option<SocketAddr>);

/// All threads of a node.
pub(crate) struct Workers {
    /// The registry's thread, if there are several workers, and then the workers' threads.
    threads: Vec<Arbiter>,
    accepting: Vec<AbortHandle>,
}

impl Workers {
    /// Starts `count` workers; 0 stands for the number of cores.
    ///
    /// # Errors
    /// When the system has no thread or file descriptor left.
    pub(crate) fn new(count: usize) -> io::Result<Self> {
        let count = match count {
            0 => std::thread::available_parallelism().map_or(1, usize::from),
            count => count,
        };
        let threads = if count == 1 { 1 } else { count + 1 };
        let threads = (0..threads).map(|_| Arbiter::try_with_tokio_rt(runtime)).collect::<io::Result<_>>()?;
        Ok(Self { threads, accepting: Vec::new() })
    }

    /// The thread of the registry. A single worker shares its thread with the registry, because all callers run there
    /// too. Several workers leave it a thread of its own, so that none of them delays it.
    pub(crate) fn registry(&self) -> ArbiterHandle {
        self.threads[0].handle()
    }

    /// The threads that serve connections.
    pub(crate) fn handles(&self) -> Vec<ArbiterHandle> {
        self.threads[self.first_serving()..].iter().map(Arbiter::handle).collect()
    }

    /// Several workers leave the first thread to the registry.
    fn first_serving(&self) -> usize {
        usize::from(self.threads.len() > 1)
    }

    /// Makes every worker accept connections from `listeners` and serve them with a service of its own.
    ///
    /// # Errors
    /// When a worker cannot make its service, for example because it panicked.
    pub(crate) fn serve<F, S>(
        &mut self,
        listeners: &[TcpListener],
        accept_limit: Arc<AcceptLimit>,
        services: F,
    ) -> io::Result<()>
    where
        F: Fn() -> S + Clone + Send + 'static,
        S: ServiceFactory<Accepted, Config = ()> + 'static,
        S::Service: 'static,
    {
        listeners.iter().try_for_each(|listener| listener.set_nonblocking(true))?;
        for worker in &self.threads[self.first_serving()..] {
            let listeners = listeners.iter().map(TcpListener::try_clone).collect::<io::Result<Vec<_>>>()?;
            let (accept_limit, services) = (accept_limit.clone(), services.clone());
            let (abort, registration) = AbortHandle::new_pair();
            let (started, has_started) = mpsc::sync_channel(1);
            worker.spawn_fn(move || {
                let accepting = async move {
                    let Ok(service) = services().new_service(()).await else { return };
                    // `from_std` fails only outside of a runtime
                    let listeners = listeners.into_iter().map(tokio::net::TcpListener::from_std);
                    let Ok(listeners) = listeners.collect::<io::Result<Vec<_>>>() else { return };
                    let _ = started.send(());
                    join_all(listeners.into_iter().map(|listener| accept(listener, &accept_limit, &service))).await;
                };
                actix_web::rt::spawn(Abortable::new(accepting, registration));
            });
            self.accepting.push(abort);
            if has_started.recv().is_err() {
                for thread in &self.threads {
                    thread.stop();
                }
                return Err(io::Error::other("a worker could not start"));
            }
        }
        Ok(())
    }

    /// Stops accepting connections: the kernel refuses new ones.
    pub(crate) fn close(&self) {
        self.accepting.iter().for_each(AbortHandle::abort);
    }

    /// Drops all connections, and completes when the threads have exited.
    pub(crate) async fn stop(self) {
        self.close();
        let exits = self.threads.into_iter().map(|thread| {
            thread.stop();
            actix_web::rt::task::spawn_blocking(|| thread.join())
        });
        for exit in exits.collect::<Vec<_>>() {
            // a thread that panicked has printed its panic already
            let _ = exit.await;
        }
    }
}

/// The Tokio runtime of one thread.
fn runtime() -> io::Result<Runtime> {
    Builder::new_current_thread().enable_all().max_io_events_per_tick(EVENTS_PER_POLL).build()
}

/// The limit on connections that are not yet WebSockets, shared by all workers.
pub(crate) struct AcceptLimit {
    /// A connection holds one until it closes or becomes a WebSocket.
    permits: Arc<Semaphore>,
    metrics: Arc<Metrics>,
    /// When accepting failed last.
    failed_at: Mutex<Option<Instant>>,
}

impl AcceptLimit {
    /// Allows `limit` such connections at a time.
    pub(crate) fn new(limit: usize, metrics: Arc<Metrics>) -> Arc<Self> {
        let permits = Arc::new(Semaphore::new(limit.min(Semaphore::MAX_PERMITS)));
        Arc::new(Self { permits, metrics, failed_at: Mutex::default() })
    }

    /// Counts a failed attempt to accept a connection, and logs it unless another attempt failed just before.
    fn count_failure(&self, error: &io::Error) {
        self.metrics.accepts_failed.inc();
        let now = Instant::now();
        let before = self.failed_at.lock().unwrap_or_else(PoisonError::into_inner).replace(now);
        if before.is_none_or(|before| now.duration_since(before) >= LOG_AGAIN_AFTER) {
            log::error!("cannot accept connections; trying again every {RETRY_AFTER:?}: {error}");
        }
    }
}

/// Accepts connections and serves them with `service`, until it is aborted.
pub(crate) async fn accept<S: Service<Accepted> + 'static>(
    listener: tokio::net::TcpListener,
    accept_limit: &AcceptLimit,
    service: &S,
) {
    loop {
        // an error means that the semaphore is closed, which it never is
        let Ok(permit) = accept_limit.permits.clone().acquire_owned().await else { return };
        match listener.accept().await {
            Ok((stream, from)) => {
                // an error means that the connection is closed already
                let _ = stream.set_nodelay(true);
                let served = service.call((stream, Some(from)));
                actix_web::rt::spawn(async move {
                    // the client's errors have been answered and counted already
                    let _ = served.await;
                    drop(permit);
                });
            }
            Err(error) if is_connection_error(&error) => {}
            Err(error) => {
                accept_limit.count_failure(&error);
                tokio::time::sleep(RETRY_AFTER).await;
            }
        }
    }
}

/// Whether the error concerns only the connection that was to be accepted: the client has closed it.
fn is_connection_error(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset};
    matches!(error.kind(), ConnectionAborted | ConnectionRefused | ConnectionReset)
}
