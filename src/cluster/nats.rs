//! The engine NATS: messages between nodes are those of core NATS, and the directory of names and the leases of nodes are
//! key-value buckets of JetStream. It needs a server from version 2.10 on.
//!
//! | what | where |
//! |---|---|
//! | messages to a node | `<prefix>.node.<id>` |
//! | messages on a topic | `<prefix>.topic.<topic>` |
//! | answers of the server | `<prefix>.inbox.>` |
//! | names | the bucket `<prefix>-names` |
//! | leases | the bucket `<prefix>-nodes` |
//!
//! Ids and topics are base64url, or hashed if they are long. `web/docs/cluster.md` has the permissions that a user needs.

mod arrivals;
mod bucket;
mod connection;
mod leases;
mod names;
mod options;
mod order;
mod outbox;
mod subjects;

use std::cell::{Cell, RefCell};
use std::future::{Future, ready};
use std::rc::Rc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::future::{Either, select};
use tokio::task::spawn_local;
use tokio::time::timeout;

use bucket::{Bucket, SETUP_TIMEOUT};
use connection::{Alarm, Alarms};
use leases::{LastHeartbeat, Leases};
use names::Names;
pub use options::NatsOptions;
use options::{Server, servers};
use outbox::{Identity, Outbox};
use subjects::Subjects;

use super::engine::{
    ClaimResult, DirectoryPart, Engine, EngineEvents, Epoch, Heartbeat, Holder, LinkError, LiveNode, LocalFuture, Lost,
    NodeId, Reach,
};

/// How long linking may take, over all servers.
const LINK_TIMEOUT: Duration = Duration::from_secs(20);

/// How long a server may say nothing before the link counts as lost, unless `cluster.timeout` is longer. Meanwhile what
/// clients cause waits, also what was not answered in time.
const LONGEST_SILENCE: Duration = Duration::from_secs(5);

/// The engine NATS.
///
/// It runs on one thread, within a [`tokio::task::LocalSet`].
pub struct Nats(Rc<Inner>);

struct Inner {
    options: NatsOptions,
    servers: Vec<Server>,
    /// The server of the next link.
    next: Cell<usize>,
    identity: Identity,
    last_heartbeat: LastHeartbeat,
    link: RefCell<Option<Rc<Link>>>,
}

/// A connection that works.
struct Link {
    outbox: Outbox,
    names: Names,
    leases: Leases,
    has_several_servers: bool,
}

impl Nats {
    /// The engine with these options. It does not connect yet.
    ///
    /// # Errors
    /// When an option is wrong: names it, and no credentials.
    pub fn new(options: NatsOptions) -> Result<Self, String> {
        let servers = servers(&options)?;
        // nodes that start together should not all take the same server
        let first = uuid::Uuid::new_v4().as_u128() % servers.len() as u128;
        let next = Cell::new(usize::try_from(first).unwrap_or(0));
        Ok(Self(Rc::new(Inner {
            options,
            servers,
            next,
            identity: Identity::new(),
            last_heartbeat: Rc::default(),
            link: RefCell::default(),
        })))
    }

    /// Calls the link's operation. It fails if there is no link.
    fn with<T: 'static, F>(&self, operation: impl FnOnce(Rc<Link>) -> F) -> LocalFuture<Result<T, Lost>>
    where
        F: Future<Output = Result<T, Lost>> + 'static,
    {
        match self.0.link.borrow().clone() {
            Some(link) => Box::pin(operation(link)),
            None => Box::pin(ready(Err(Lost))),
        }
    }

    /// The same for an operation that ends within `timeout`, also if it has to wait before it begins.
    fn with_limit<T: 'static, F>(&self, operation: impl FnOnce(Rc<Link>) -> F) -> LocalFuture<Result<T, Lost>>
    where
        F: Future<Output = Result<T, Lost>> + 'static,
    {
        let limit = self.0.options.timeout;
        self.with(|link| {
            let result = timeout(limit, operation(link));
            async move { result.await.unwrap_or(Err(Lost)) }
        })
    }
}

impl Inner {
    /// Tries each server once, and begins with the one after that of the last link.
    async fn link(self: Rc<Self>, node: NodeId, events: Rc<dyn EngineEvents>) -> Result<(), LinkError> {
        self.end();
        let mut errors = Vec::new();
        for _ in &self.servers {
            let at = self.next.get();
            self.next.set((at + 1) % self.servers.len());
            match self.link_to(&self.servers[at], &node, &events).await {
                Ok(()) => return Ok(()),
                Err(error) => errors.push(error),
            }
        }
        let all = errors.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ");
        let is_unusable = errors.iter().any(|error| matches!(error, LinkError::Unusable(_)));
        Err(if is_unusable { LinkError::Unusable(all) } else { LinkError::Unreachable(all) })
    }

    async fn link_to(
        self: &Rc<Self>,
        server: &Server,
        node: &NodeId,
        events: &Rc<dyn EngineEvents>,
    ) -> Result<(), LinkError> {
        let (alarm, mut alarms) = Alarm::new();
        let setup = Box::pin(self.set_up(server, node, events, alarm));
        // what the server reports meanwhile says more than the time-out that follows
        let link = match select(setup, Box::pin(alarms.recv())).await {
            Either::Left((link, _)) => Rc::new(link?),
            Either::Right((why, _)) => return Err(explain_alarm(why.unwrap_or_default())),
        };
        *self.link.borrow_mut() = Some(link.clone());
        spawn_local(self.clone().supervise(link, alarms, events.clone()));
        Ok(())
    }

    async fn set_up(
        &self,
        server: &Server,
        node: &NodeId,
        events: &Rc<dyn EngineEvents>,
        alarm: Alarm,
    ) -> Result<Link, LinkError> {
        let NatsOptions { prefix, timeout: limit, lease, .. } = &self.options;
        let subjects = Subjects::new(prefix);
        let leaves_early = self.servers.len() > 1;
        let client = connection::connect(server, &subjects, node, leaves_early, alarm.clone()).await?;
        let info = client.server_info();
        let names = Bucket::open(&client, &format!("{prefix}-names"), Duration::ZERO, *limit, alarm.clone()).await?;
        let nodes = Bucket::open(&client, &format!("{prefix}-nodes"), *lease, *limit, alarm.clone()).await?;
        let no_answer = |Lost| LinkError::Unreachable(format!("{server} does not answer"));
        let outbox = Outbox::start(&client, &subjects, node, &self.identity, events.clone(), alarm.clone());
        let outbox = outbox.await.map_err(no_answer)?;
        timeout(SETUP_TIMEOUT, outbox.confirm().wait()).await.unwrap_or(Err(Lost)).map_err(no_answer)?;
        let leases = Leases::new(nodes, &names, *lease, node, self.last_heartbeat.clone());
        Ok(Link {
            outbox,
            leases,
            names: Names::new(names, node, *limit, alarm),
            has_several_servers: leaves_early || info.cluster.is_some(),
        })
    }

    /// Waits for the end of the link.
    async fn supervise(self: Rc<Self>, link: Rc<Link>, mut alarms: Alarms, events: Rc<dyn EngineEvents>) {
        let silence = (self.options.lease / 4).min(LONGEST_SILENCE).max(self.options.timeout);
        let why = loop {
            match timeout(silence / 2, alarms.recv()).await {
                Ok(why) => break why.unwrap_or_default(),
                Err(_) if link.outbox.is_silent(silence) => break "the NATS server does not answer".into(),
                Err(_) => {}
            }
        };
        let is_current = self.link.borrow().as_ref().is_some_and(|current| Rc::ptr_eq(current, &link));
        if is_current {
            self.end();
            events.lost(why);
        }
    }

    fn end(&self) {
        if let Some(link) = self.link.take() {
            link.names.end();
            link.outbox.end();
        }
    }
}

/// A report of the server while the link is made.
fn explain_alarm(why: String) -> LinkError {
    if why.to_ascii_lowercase().contains("permissions violation") {
        return LinkError::Unusable(format!("{why} (its user lacks a permission)"));
    }
    LinkError::Unreachable(why)
}

impl Engine for Nats {
    fn link(&self, node: &NodeId, events: Rc<dyn EngineEvents>) -> LocalFuture<Result<(), LinkError>> {
        let link = timeout(LINK_TIMEOUT, self.0.clone().link(node.clone(), events));
        Box::pin(
            async move { link.await.unwrap_or_else(|_| Err(LinkError::Unreachable("NATS takes too long".into()))) },
        )
    }

    fn close(&self) -> LocalFuture<()> {
        self.0.end();
        Box::pin(ready(()))
    }

    fn claim(&self, name: &str) -> LocalFuture<Result<ClaimResult, Lost>> {
        self.with_limit(|link| link.names.claim(name))
    }

    fn replace(&self, name: &str, former: &Holder) -> LocalFuture<Result<Option<Epoch>, Lost>> {
        self.with_limit(|link| link.names.replace(name, former))
    }

    fn release(&self, name: &str, epoch: Epoch) -> LocalFuture<Result<(), Lost>> {
        self.with_limit(|link| link.names.release(name, epoch))
    }

    fn remove(&self, name: &str, former: &Holder) -> LocalFuture<Result<(), Lost>> {
        self.with_limit(|link| link.names.remove(name, former))
    }

    fn find(&self, name: &str) -> LocalFuture<Result<Option<Holder>, Lost>> {
        self.with_limit(|link| link.names.find(name))
    }

    fn enter(&self, names: &[(&str, Epoch)]) -> LocalFuture<Result<Vec<(usize, Holder)>, Lost>> {
        self.with(|link| link.names.enter(names))
    }

    fn scan(&self, cursor: u64) -> LocalFuture<Result<DirectoryPart, Lost>> {
        self.with(|link| link.names.scan(cursor))
    }

    fn heartbeat(&self, lease: Duration, status: Bytes) -> LocalFuture<Result<Heartbeat, Lost>> {
        debug_assert_eq!(lease, self.0.options.lease, "the bucket of leases was made for this time");
        self.with_limit(|link| async move {
            // first, so that a new lease is not forgotten when this fails
            let epoch = link.names.epoch().await?;
            let lease = link.leases.heartbeat(status).await?;
            Ok(Heartbeat { lease, epoch })
        })
    }

    fn end_lease(&self) -> LocalFuture<Result<(), Lost>> {
        self.with_limit(|link| async move { link.leases.end().await })
    }

    fn nodes(&self) -> LocalFuture<Result<Vec<LiveNode>, Lost>> {
        self.with_limit(|link| async move { link.leases.nodes().await })
    }

    fn send(&self, node: &str, message: Bytes) -> LocalFuture<Result<Reach, Lost>> {
        self.with_limit(|link| link.outbox.send(node, message).wait())
    }

    fn publish(&self, topic: &str, message: Bytes) -> LocalFuture<Result<(), Lost>> {
        self.with_limit(|link| {
            let published = link.outbox.publish(topic, message);
            async move { published.wait().await.map(drop) }
        })
    }

    fn subscribe(&self, topic: &str) -> LocalFuture<Result<(), Lost>> {
        self.with_limit(|link| {
            let subscribed = link.outbox.subscribe(topic);
            async move { subscribed.wait().await.map(drop) }
        })
    }

    fn unsubscribe(&self, topic: &str) {
        if let Some(link) = &*self.0.link.borrow() {
            link.outbox.unsubscribe(topic);
        }
    }

    fn has_several_servers(&self) -> bool {
        self.0.link.borrow().as_ref().is_some_and(|link| link.has_several_servers)
    }
}
