//! Workers: the threads that serve. Each accepts connections itself and keeps them, so that nothing of a connection
//! passes from one thread to another before it joins something.

use std::io;
use std::net::{SocketAddr, TcpListener};
use std::sync::{Arc, Mutex, PoisonError, mpsc};
use std::time::{Duration, Instant};

use actix::{Arbiter, ArbiterHandle};
use actix_service::{Service, ServiceFactory};
use futures_util::future::{AbortHandle, Abortable};
use tokio::net::TcpStream;
use tokio::runtime::{Builder, Runtime};
use tokio::sync::Semaphore;

use crate::metrics::families::Metrics;

/// How long no connection is accepted after that has failed, as it does when no file descriptor is left.
const PAUSE: Duration = Duration::from_millis(500);

/// When accepting has not failed for so long, the next failure is news again.
const LOG_AGAIN_AFTER: Duration = Duration::from_secs(10);

/// How many sockets a thread learns of at a time. The tasks that this wakes, and the courier with them, are fewer than
/// the 61 that a turn of actix's threads takes (Tokio's `LocalSet`): so what has been read is answered, while it is in
/// the processor's caches, before more is read.
const EVENTS: usize = 48;

/// A connection that has been accepted, and whose it is.
pub(crate) type Accepted = (TcpStream, Option<SocketAddr>);

/// All threads of a node.
pub(crate) struct Workers {
    /// The registry's, if it has one to itself, and the workers'.
    threads: Vec<Arbiter>,
    accepting: Vec<AbortHandle>,
}

impl Workers {
    /// Starts as many as there are to be; 0 stands for as many as there are cores.
    ///
    /// # Errors
    /// When the system has no thread or descriptor left for one.
    pub(crate) fn new(count: usize) -> io::Result<Self> {
        let count = match count {
            0 => std::thread::available_parallelism().map_or(1, usize::from),
            count => count,
        };
        let threads = if count == 1 { 1 } else { count + 1 };
        let threads = (0..threads).map(|_| Arbiter::try_with_tokio_rt(runtime)).collect::<io::Result<_>>()?;
        Ok(Self { threads, accepting: Vec::new() })
    }

    /// Where the registry lives: with the only worker, as all who speak to it do, or else where no worker keeps it waiting.
    pub(crate) fn registry(&self) -> ArbiterHandle {
        self.threads[0].handle()
    }

    /// Has every worker accept connections from `listener`, each for a service of its own.
    ///
    /// # Errors
    /// When a worker has none, which then panicked.
    pub(crate) fn serve<F, S>(
        &mut self,
        listener: &TcpListener,
        accept_limit: Arc<AcceptLimit>,
        services: F,
    ) -> io::Result<()>
    where
        F: Fn() -> S + Clone + Send + 'static,
        S: ServiceFactory<Accepted, Config = ()> + 'static,
        S::Service: 'static,
    {
        listener.set_nonblocking(true)?;
        for worker in &self.threads[usize::from(self.threads.len() > 1)..] {
            let (listener, accept_limit, services) = (listener.try_clone()?, accept_limit.clone(), services.clone());
            let (abort, registration) = AbortHandle::new_pair();
            let (started, starts) = mpsc::sync_channel(1);
            worker.spawn_fn(move || {
                let accepting = async move {
                    let Ok(service) = services().new_service(()).await else { return };
                    // from_std only fails outside of a runtime
                    let Ok(listener) = tokio::net::TcpListener::from_std(listener) else { return };
                    let _ = started.send(());
                    accept(listener, &accept_limit, service).await;
                };
                actix_web::rt::spawn(Abortable::new(accepting, registration));
            });
            self.accepting.push(abort);
            if starts.recv().is_err() {
                for thread in &self.threads {
                    thread.stop();
                }
                return Err(io::Error::other("a worker could not start"));
            }
        }
        Ok(())
    }

    /// Lets nobody in any more: whoever comes is refused by the kernel.
    pub(crate) fn close(&self) {
        self.accepting.iter().for_each(AbortHandle::abort);
    }

    /// Drops all connections, and ends when the threads have.
    pub(crate) async fn stop(self) {
        self.close();
        let ended = self.threads.into_iter().map(|thread| {
            thread.stop();
            actix_web::rt::task::spawn_blocking(|| thread.join())
        });
        for ended in ended.collect::<Vec<_>>() {
            // a panic of theirs has been told by itself
            let _ = ended.await;
        }
    }
}

/// What drives one thread.
fn runtime() -> io::Result<Runtime> {
    Builder::new_current_thread().enable_all().max_io_events_per_tick(EVENTS).build()
}

/// What all workers let connections in by.
pub(crate) struct AcceptLimit {
    /// One for each connection that is no socket yet.
    permits: Arc<Semaphore>,
    metrics: Arc<Metrics>,
    /// When accepting has failed last.
    failed: Mutex<Option<Instant>>,
}

impl AcceptLimit {
    /// Has at most `most` connections wait for an answer.
    pub(crate) fn new(most: usize, metrics: Arc<Metrics>) -> Arc<Self> {
        let permits = Arc::new(Semaphore::new(most.min(Semaphore::MAX_PERMITS)));
        Arc::new(Self { permits, metrics, failed: Mutex::default() })
    }

    /// Counts that no connection can be accepted, and says so, but not again with each new try.
    fn count_failure(&self, error: &io::Error) {
        self.metrics.accepts_failed.inc();
        let now = Instant::now();
        let before = self.failed.lock().unwrap_or_else(PoisonError::into_inner).replace(now);
        if before.is_none_or(|before| now.duration_since(before) >= LOG_AGAIN_AFTER) {
            log::error!("cannot accept connections, and tries again every {PAUSE:?}: {error}");
        }
    }
}

/// Accepts connections, and has `service` serve them, for as long as it is let.
pub(crate) async fn accept<S: Service<Accepted> + 'static>(
    listener: tokio::net::TcpListener,
    accept_limit: &AcceptLimit,
    service: S,
) {
    loop {
        // it is never closed
        let Ok(permit) = accept_limit.permits.clone().acquire_owned().await else { return };
        match listener.accept().await {
            Ok((stream, from)) => {
                // an error means that it has gone by itself
                let _ = stream.set_nodelay(true);
                let served = service.call((stream, Some(from)));
                actix_web::rt::spawn(async move {
                    // what a client did wrong has been answered and counted
                    let _ = served.await;
                    drop(permit);
                });
            }
            Err(error) if is_of_one(&error) => {}
            Err(error) => {
                accept_limit.count_failure(&error);
                tokio::time::sleep(PAUSE).await;
            }
        }
    }
}

/// Whether it only says that the connection that was to be accepted has gone.
fn is_of_one(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset};
    matches!(error.kind(), ConnectionAborted | ConnectionRefused | ConnectionReset)
}
