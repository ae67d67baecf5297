//! The commands to the server, in the order in which they were called.
//!
//! They wait in one queue. A writer takes what waits as a pipeline, so under load one write carries many commands, and at
//! most [`PIPELINES`] pipelines wait for their replies. The queue has no bound of its own: the adapter bounds the bytes
//! of the calls that have not returned, and a command leaves the queue when its call has timed out.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::future::{Future, ready};
use std::pin::pin;
use std::rc::Rc;

use futures_util::FutureExt;
use futures_util::future::{Either, LocalBoxFuture, select};
use futures_util::stream::{FuturesUnordered, StreamExt};
use log::Level;
use redis::aio::MultiplexedConnection;
use redis::{Cmd, ErrorKind, Pipeline, ServerError, ServerErrorKind, Value};
use tokio::sync::{Notify, oneshot};
use tokio::task::unconstrained;
use tokio::time::{Duration, Instant, timeout_at};

use crate::cluster::engine::{LocalFuture, Lost};
use crate::connections::line_limit::LineLimit;

/// The most commands of a pipeline.
const PIPELINE_COMMANDS: usize = 512;
/// A pipeline with this many bytes is full.
const PIPELINE_BYTES: usize = 1 << 20;
/// Pipelines that wait for their replies: more than one, so that the server is not idle while a reply travels.
const PIPELINES: usize = 8;

/// A command that waits to be written.
struct Request {
    command: Cmd,
    bytes: usize,
    deadline: Instant,
    reply: oneshot::Sender<Value>,
}

/// The commands that wait.
pub(super) struct Requests {
    waiting: RefCell<VecDeque<Request>>,
    arrival: Notify,
    is_closed: Cell<bool>,
    timeout: Duration,
    log: Rc<LineLimit>,
}

impl Requests {
    pub(super) fn new(timeout: Duration, log: Rc<LineLimit>) -> Rc<Self> {
        let (waiting, arrival, is_closed) = Default::default();
        Rc::new(Self { waiting, arrival, is_closed, timeout, log })
    }

    /// Puts a command into the queue at once, and returns its reply.
    pub(super) fn call(&self, command: Cmd, bytes: usize) -> LocalFuture<Result<Value, Lost>> {
        if self.is_closed.get() {
            return Box::pin(ready(Err(Lost)));
        }
        let deadline = Instant::now() + self.timeout;
        let (reply, receiver) = oneshot::channel();
        let mut waiting = self.waiting.borrow_mut();
        drop_expired(&mut waiting);
        waiting.push_back(Request { command, bytes, deadline, reply });
        self.arrival.notify_one();
        Box::pin(async move { timeout_at(deadline, receiver).await.map_err(|_| Lost)?.map_err(|_| Lost) })
    }

    /// Fails what waits, and all later calls.
    pub(super) fn close(&self) {
        self.is_closed.set(true);
        self.waiting.borrow_mut().clear();
    }

    /// Whether the link has ended.
    pub(super) fn is_closed(&self) -> bool {
        self.is_closed.get()
    }

    /// Writes until the connection ends, and returns why.
    pub(super) async fn write(&self, connection: MultiplexedConnection) -> String {
        let mut running: FuturesUnordered<LocalBoxFuture<'_, Result<(), String>>> = FuturesUnordered::new();
        loop {
            while running.len() < PIPELINES
                && let Some(pipeline) = self.next_pipeline()
            {
                running.push(start(exchange(connection.clone(), pipeline, &self.log)));
            }
            let arrival = pin!(self.arrival.notified());
            if running.is_empty() {
                arrival.await;
            } else if let Either::Right((Some(Err(why)), _)) = select(arrival, running.next()).await {
                return why;
            }
        }
    }

    fn next_pipeline(&self) -> Option<Vec<Request>> {
        let mut waiting = self.waiting.borrow_mut();
        drop_expired(&mut waiting);
        let mut bytes = 0;
        let is_full = |request: &Request| {
            bytes += request.bytes;
            bytes >= PIPELINE_BYTES
        };
        let most = waiting.len().min(PIPELINE_COMMANDS);
        let count = waiting.iter().take(most).position(is_full).map_or(most, |last| last + 1);
        (count > 0).then(|| waiting.drain(..count).collect())
    }
}

/// All commands have the same time limit, so those that have expired are the first ones.
fn drop_expired(waiting: &mut VecDeque<Request>) {
    let now = Instant::now();
    while waiting.front().is_some_and(|request| request.deadline <= now) {
        waiting.pop_front();
    }
}

/// Polls the future once, outside of the executor's budget: a pipeline has its place in the connection's own queue when
/// the next one begins.
fn start<'a>(exchange: impl Future<Output = Result<(), String>> + 'a) -> LocalBoxFuture<'a, Result<(), String>> {
    let mut exchange = Box::pin(unconstrained(exchange));
    match (&mut exchange).now_or_never() {
        Some(result) => Box::pin(ready(result)),
        None => exchange,
    }
}

/// Sends a pipeline and hands out the replies. It fails if the connection cannot be used any longer.
async fn exchange(
    mut connection: MultiplexedConnection,
    requests: Vec<Request>,
    log: &LineLimit,
) -> Result<(), String> {
    let mut pipeline = Pipeline::with_capacity(requests.len());
    let mut receivers = Vec::with_capacity(requests.len());
    for request in requests {
        pipeline.add_command(request.command);
        receivers.push(request.reply);
    }
    let replies = connection.send_packed_commands(&pipeline, 0, receivers.len()).await;
    for (reply, receiver) in replies.map_err(|error| error.to_string())?.into_iter().zip(receivers) {
        match reply {
            Value::ServerError(error) if needs_new_link(&error) => return Err(error.to_string()),
            Value::ServerError(error) => log.write(Level::Warn, format_args!("Redis refuses a command: {error}")),
            // it fails if the caller has given up
            reply => {
                let _ = receiver.send(reply);
            }
        }
    }
    Ok(())
}

/// Whether the server answers like this until the node links again: it is not the primary any longer, it has lost the
/// scripts, or the user's permissions have changed.
fn needs_new_link(error: &ServerError) -> bool {
    use ServerErrorKind::{BusyLoading, ClusterDown, MasterDown, Moved, NoPerm, NoScript, ReadOnly};
    let error = redis::RedisError::from(error.clone());
    let kinds = [BusyLoading, ClusterDown, MasterDown, Moved, NoPerm, NoScript, ReadOnly];
    kinds.into_iter().any(|kind| error.kind() == ErrorKind::Server(kind)) || error.code() == Some("NOAUTH")
}

#[cfg(test)]
mod tests {
    use super::*;

    const TIMEOUT: Duration = Duration::from_secs(1);

    fn requests() -> Rc<Requests> {
        Requests::new(TIMEOUT, Rc::new(LineLimit::per_minute(1, "")))
    }

    #[tokio::test(start_paused = true)]
    async fn commands_that_have_expired_leave_the_queue() {
        let requests = requests();
        let expired: Vec<_> = (0..100).map(|_| requests.call(redis::cmd("PING"), 1)).collect();
        tokio::time::sleep(TIMEOUT / 2).await;
        let waiting = requests.call(redis::cmd("PING"), 1);
        tokio::time::sleep(TIMEOUT / 2).await;
        let new = requests.call(redis::cmd("PING"), 1);
        assert_eq!(requests.waiting.borrow().len(), 2);
        for reply in expired {
            assert_eq!(reply.await, Err(Lost));
        }
        assert_eq!(requests.next_pipeline().unwrap().len(), 2);
        drop((waiting, new));
    }

    #[tokio::test]
    async fn a_pipeline_is_bounded() {
        let requests = requests();
        let calls =
            |count: usize, bytes: usize| (0..count).for_each(|_| drop(requests.call(redis::cmd("PING"), bytes)));
        let next = || requests.next_pipeline().map(|pipeline| pipeline.len());
        calls(PIPELINE_COMMANDS + 1, 1);
        assert_eq!([next(), next(), next()], [Some(PIPELINE_COMMANDS), Some(1), None]);
        calls(3, PIPELINE_BYTES / 2);
        calls(2, 2 * PIPELINE_BYTES);
        assert_eq!([next(), next(), next(), next()], [Some(2), Some(2), Some(1), None]);
    }

    #[tokio::test]
    async fn all_calls_fail_after_closing() {
        let requests = requests();
        let before = requests.call(redis::cmd("PING"), 1);
        requests.close();
        assert_eq!(before.await, Err(Lost));
        assert_eq!(requests.call(redis::cmd("PING"), 1).await, Err(Lost));
        assert!(requests.next_pipeline().is_none());
    }
}
