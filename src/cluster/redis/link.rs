//! A link to the primary: its two connections, and the tasks that read and write them. It is lost when one of the
//! connections ends or does not answer a PING in time, and is not mended: the engine makes a new one.

use std::rc::Rc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::StreamExt;
use futures_util::future::join;
use redis::aio::{MultiplexedConnection, PubSubSink, PubSubStream};
use redis::{Value, cmd};
use tokio::task::{AbortHandle, JoinSet, spawn_local, unconstrained};
use tokio::time::{sleep, timeout};

use super::connect::Connections;
use super::requests::Requests;
use super::subscriptions::Subscriptions;
use crate::cluster::engine::EngineEvents;
use crate::connections::line_limit::LineLimit;

/// The longest time between two PINGs. It is shorter if `cluster.timeout` is.
const PING_INTERVAL: Duration = Duration::from_secs(1);

/// A link that is up, or lost.
pub(super) struct Link {
    pub(super) requests: Rc<Requests>,
    pub(super) subscriptions: Rc<Subscriptions>,
    tasks: AbortHandle,
}

impl Link {
    /// Starts the tasks. `events` is told once if the link is lost.
    pub(super) fn start(
        connections: Connections,
        events: Rc<dyn EngineEvents>,
        limit: Duration,
        log: &Rc<LineLimit>,
    ) -> Self {
        let (requests, subscriptions) = (Requests::new(limit, Rc::clone(log)), Subscriptions::new(limit));
        let work = run(connections, Rc::clone(&events), limit, Rc::clone(&requests), Rc::clone(&subscriptions));
        let closing = (Rc::clone(&requests), Rc::clone(&subscriptions));
        let tasks = spawn_local(async move {
            let why = work.await;
            closing.0.close();
            closing.1.close();
            events.lost(why);
        });
        Self { requests, subscriptions, tasks: tasks.abort_handle() }
    }

    /// Closes the connections. `events` is not called any more.
    pub(super) fn end(&self) {
        self.requests.close();
        self.subscriptions.close();
        self.tasks.abort();
    }
}

/// Runs the tasks until the first one ends, and returns why it did.
async fn run(
    connections: Connections,
    events: Rc<dyn EngineEvents>,
    limit: Duration,
    requests: Rc<Requests>,
    subscriptions: Rc<Subscriptions>,
) -> String {
    let Connections { server, commands, subscriptions: sink, messages } = connections;
    let mut tasks = JoinSet::new();
    tasks.spawn_local(ping(commands.clone(), sink.clone(), limit));
    // the connection's own task must get its turn: it fills the queue that this one empties, which has no bound
    tasks.spawn_local(unconstrained(read(messages, events, Rc::clone(&requests))));
    tasks.spawn_local(async move { requests.write(commands).await });
    tasks.spawn_local(async move { subscriptions.send(sink).await });
    let why = match tasks.join_next().await {
        Some(Ok(why)) => why,
        Some(Err(error)) => error.to_string(),
        None => String::new(),
    };
    format!("{server}: {why}")
}

/// Asks for a sign of life on both connections.
async fn ping(mut commands: MultiplexedConnection, mut sink: PubSubSink, limit: Duration) -> String {
    loop {
        sleep(limit.min(PING_INTERVAL)).await;
        let command = cmd("PING");
        let both = join(command.query_async::<Value>(&mut commands), sink.ping::<Value>());
        match timeout(limit, both).await {
            Ok((Ok(_), Ok(_))) => {}
            Ok((Err(error), _) | (_, Err(error))) => return error.to_string(),
            Err(_) => return format!("no answer to a PING within {}", humantime::format_duration(limit)),
        }
    }
}

async fn read(mut messages: PubSubStream, events: Rc<dyn EngineEvents>, requests: Rc<Requests>) -> String {
    while let Some(message) = messages.next().await {
        if requests.is_closed() {
            break;
        }
        events.message(Bytes::copy_from_slice(message.get_payload_bytes()));
    }
    "the connection for subscriptions has ended".into()
}
