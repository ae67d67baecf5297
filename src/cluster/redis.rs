//! The engine Redis, or Valkey: one primary, alone or with Sentinel.
//!
//! A name is a key, a node's inbox and a topic are channels, and the leases are a sorted set by the server's clock. Whatever
//! reads and then writes is a script, which the server runs alone. Two connections lead to the primary, one for commands
//! and one for messages. Neither reconnects: when one of them is lost, so is the link, and the adapter makes a new one.

mod connect;
mod keys;
mod link;
mod requests;
mod scripts;
mod subscriptions;
mod urls;

use std::cell::{Cell, RefCell};
use std::future::ready;
use std::rc::Rc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::future::try_join_all;
use log::Level;
use redis::{Cmd, FromRedisValue, Value, cmd};

use crate::cluster::engine::{
    ClaimResult, DirectoryPart, Engine, EngineEvents, Epoch, Heartbeat, Holder, Lease, LinkError, LiveNode,
    LocalFuture, Lost, NodeId, Reach,
};
use crate::connections::line_limit::LineLimit;
use connect::{Checks, connect};
use keys::{Keys, entry, holder};
use link::Link;
use scripts::Scripts;
use urls::Servers;

/// How long one server may take to connect and to answer all checks, or four times `timeout` if that is longer.
const CONNECT_LIMIT: Duration = Duration::from_secs(2);
/// How many keys the server looks at for one part of the directory.
const SCAN_COUNT: usize = 1000;
/// Names that one call of a script enters: it keeps the server busy for about 0.1 ms.
const ENTERED_AT_ONCE: usize = 100;
/// Lines that the log gets in a minute about answers of the server that a node cannot use.
const LINES_PER_MINUTE: u32 = 10;
/// Bytes of a command besides what the caller gave, for the size of a pipeline.
const COMMAND_BYTES: usize = 256;

/// What the engine is configured with.
#[derive(Clone)]
pub struct RedisOptions {
    /// `redis://`, `rediss://` (TLS) or `redis+sentinel://[USER:PASSWORD@]HOST[:PORT][,HOST[:PORT]]/SERVICE`. Several are
    /// tried in order. The user and password of a Sentinel's URL are those of Redis. A Sentinel that requires a password
    /// gets the same.
    pub urls: Vec<String>,
    /// The first part of every key and channel.
    pub prefix: String,
    /// How long the server may take to answer.
    pub timeout: Duration,
}

/// The engine.
pub struct Redis {
    shared: Rc<Shared>,
}

struct Shared {
    servers: Servers,
    keys: Keys,
    scripts: Scripts,
    timeout: Duration,
    log: Rc<LineLimit>,
    node: RefCell<NodeId>,
    link: RefCell<Option<Link>>,
    /// How often the engine was linked or closed, to notice that it was while connecting.
    changes: Cell<u64>,
}

impl Redis {
    /// An engine that is not linked yet.
    ///
    /// # Errors
    /// Which URL is wrong, without its password, and why.
    pub fn new(options: RedisOptions) -> Result<Self, String> {
        let servers = Servers::parse(&options.urls)?;
        if servers.use_tls() {
            // A process may have several. This has no effect if it has chosen one.
            let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
        }
        let shared = Shared {
            servers,
            keys: Keys::new(options.prefix),
            scripts: Scripts::new(),
            timeout: options.timeout,
            log: Rc::new(LineLimit::per_minute(LINES_PER_MINUTE, module_path!())),
            node: RefCell::default(),
            link: RefCell::default(),
            changes: Cell::default(),
        };
        Ok(Self { shared: Rc::new(shared) })
    }

    fn keys(&self) -> &Keys {
        &self.shared.keys
    }

    fn scripts(&self) -> &Scripts {
        &self.shared.scripts
    }

    fn node(&self) -> NodeId {
        self.shared.node.borrow().clone()
    }

    /// The keys of a grant.
    fn grant_keys(&self, name: &str) -> [String; 2] {
        [self.keys().name(name), self.keys().epoch()]
    }

    /// The keys of the nodes' leases.
    fn lease_keys(&self) -> [String; 2] {
        [self.keys().nodes(), self.keys().status()]
    }

    /// Removes an entry if it is this one.
    fn remove_entry(&self, name: &str, entry: &str) -> LocalFuture<Result<(), Lost>> {
        let mut command = self.scripts().remove.call(&[self.keys().name(name)]);
        command.arg(entry);
        self.shared.call(command, 0, |_: Value| Ok(()))
    }

    fn publish_on(&self, channel: &str, message: &[u8]) -> LocalFuture<Result<Reach, Lost>> {
        let command = cmd("PUBLISH").arg(channel).arg(message).take();
        let reach = |receivers: u64| Ok(if receivers == 0 { Reach::Nobody } else { Reach::Accepted });
        self.shared.call(command, message.len(), reach)
    }
}

impl Shared {
    /// Queues a command at once, and translates its reply.
    fn call<R: FromRedisValue, T: 'static>(
        &self,
        command: Cmd,
        bytes: usize,
        translate: impl FnOnce(R) -> Result<T, Lost> + 'static,
    ) -> LocalFuture<Result<T, Lost>> {
        let reply = match &*self.link.borrow() {
            Some(link) => link.requests.call(command, COMMAND_BYTES + bytes),
            None => return Box::pin(ready(Err(Lost))),
        };
        Box::pin(async move { translate(redis::from_redis_value(reply.await?).map_err(|_| Lost)?) })
    }

    /// Ends the link, if there is one. Returns the number of this change.
    fn end_link(&self) -> u64 {
        if let Some(link) = self.link.take() {
            link.end();
        }
        self.changes.set(self.changes.get() + 1);
        self.changes.get()
    }

    async fn link(&self, node: &NodeId, events: Rc<dyn EngineEvents>, change: u64) -> Result<(), LinkError> {
        let limit = CONNECT_LIMIT.max(self.timeout * 4);
        let checks = Checks { keys: &self.keys, scripts: &self.scripts, node, limit };
        let connections = connect(&self.servers, &checks).await?;
        if self.changes.get() != change {
            return Err(LinkError::Unreachable("the engine was closed or linked again".into()));
        }
        self.link.replace(Some(Link::start(connections, events, self.timeout, &self.log)));
        Ok(())
    }

    /// The entries of these keys. A key whose name is not text was not written by a node.
    async fn entries(&self, keys: Vec<Vec<u8>>) -> Result<Vec<(String, Holder)>, Lost> {
        if keys.is_empty() {
            return Ok(Vec::new());
        }
        let command = cmd("MGET").arg(&keys).take();
        let values: Vec<Option<Vec<u8>>> = self.call(command, 0, Ok).await?;
        let entries = keys.iter().zip(values).filter_map(|(key, value)| {
            let name = self.keys.name_of(std::str::from_utf8(key).ok()?)?;
            Some((name.to_owned(), holder(&value?)?))
        });
        Ok(entries.collect())
    }
}

/// An entry that another program has written counts as no answer: the name stays as it is.
fn known_holder(log: &LineLimit, entry: &[u8]) -> Result<Holder, Lost> {
    holder(entry).ok_or_else(|| {
        log.write(Level::Warn, "the directory has an entry of another program");
        Lost
    })
}

impl Engine for Redis {
    fn link(&self, node: &NodeId, events: Rc<dyn EngineEvents>) -> LocalFuture<Result<(), LinkError>> {
        let change = self.shared.end_link();
        self.shared.node.replace(node.clone());
        let (shared, node) = (Rc::clone(&self.shared), node.clone());
        Box::pin(async move { shared.link(&node, events, change).await })
    }

    fn close(&self) -> LocalFuture<()> {
        self.shared.end_link();
        Box::pin(ready(()))
    }

    fn claim(&self, name: &str) -> LocalFuture<Result<ClaimResult, Lost>> {
        let mut command = self.scripts().claim.call(&self.grant_keys(name));
        command.arg(&*self.node());
        let log = Rc::clone(&self.shared.log);
        self.shared.call(command, 0, move |reply| match reply {
            Value::Int(epoch) => Ok(ClaimResult::Granted(epoch.cast_unsigned())),
            Value::BulkString(entry) => Ok(ClaimResult::Held(known_holder(&log, &entry)?)),
            _ => Err(Lost),
        })
    }

    fn replace(&self, name: &str, former: &Holder) -> LocalFuture<Result<Option<Epoch>, Lost>> {
        let mut command = self.scripts().replace.call(&self.grant_keys(name));
        command.arg(&*self.node()).arg(entry(&former.node, former.epoch));
        self.shared.call(command, 0, Ok)
    }

    fn release(&self, name: &str, epoch: Epoch) -> LocalFuture<Result<(), Lost>> {
        self.remove_entry(name, &entry(&self.node(), epoch))
    }

    fn remove(&self, name: &str, former: &Holder) -> LocalFuture<Result<(), Lost>> {
        self.remove_entry(name, &entry(&former.node, former.epoch))
    }

    fn find(&self, name: &str) -> LocalFuture<Result<Option<Holder>, Lost>> {
        let command = cmd("GET").arg(self.keys().name(name)).take();
        let log = Rc::clone(&self.shared.log);
        let translate = move |entry: Option<Vec<u8>>| entry.map(|entry| known_holder(&log, &entry)).transpose();
        self.shared.call(command, 0, translate)
    }

    fn enter(&self, names: &[(&str, Epoch)]) -> LocalFuture<Result<Vec<(usize, Holder)>, Lost>> {
        let node = self.node();
        let parts = names.chunks(ENTERED_AT_ONCE).enumerate().map(|(part, names)| {
            let keys = names.iter().map(|(name, _)| self.keys().name(name));
            let keys: Vec<String> = std::iter::once(self.keys().epoch()).chain(keys).collect();
            let mut command = self.scripts().enter.call(&keys);
            command.arg(&*node);
            for (_, epoch) in names {
                command.arg(epoch);
            }
            let bytes = keys.iter().map(String::len).sum();
            let log = Rc::clone(&self.shared.log);
            self.shared.call(command, bytes, move |entries: Vec<(usize, Vec<u8>)>| {
                let place = |place: usize| part * ENTERED_AT_ONCE + place;
                entries
                    .iter()
                    .map(|(at, entry)| Ok((place(*at), known_holder(&log, entry)?)))
                    .collect::<Result<Vec<_>, _>>()
            })
        });
        let parts = try_join_all(parts.collect::<Vec<_>>());
        Box::pin(async move { Ok(parts.await?.into_iter().flatten().collect()) })
    }

    fn scan(&self, cursor: u64) -> LocalFuture<Result<DirectoryPart, Lost>> {
        let mut command = cmd("SCAN");
        command.arg(cursor).arg("MATCH").arg(self.keys().names()).arg("COUNT").arg(SCAN_COUNT);
        let part = self.shared.call(command, 0, Ok::<(u64, Vec<Vec<u8>>), Lost>);
        let shared = Rc::clone(&self.shared);
        Box::pin(async move {
            let (next, keys) = part.await?;
            Ok(DirectoryPart { entries: shared.entries(keys).await?, next })
        })
    }

    fn heartbeat(&self, lease: Duration, status: Bytes) -> LocalFuture<Result<Heartbeat, Lost>> {
        let mut command = self.scripts().heartbeat.call(&[&self.lease_keys()[..], &[self.keys().epoch()]].concat());
        let milliseconds = u64::try_from(lease.as_millis()).unwrap_or(u64::MAX);
        command.arg(&*self.node()).arg(milliseconds).arg(&*status);
        let translate = |(was_valid, epoch): (bool, Epoch)| {
            Ok(Heartbeat { lease: if was_valid { Lease::Kept } else { Lease::New }, epoch })
        };
        self.shared.call(command, status.len(), translate)
    }

    fn end_lease(&self) -> LocalFuture<Result<(), Lost>> {
        let mut command = self.scripts().end_lease.call(&self.lease_keys());
        command.arg(&*self.node());
        self.shared.call(command, 0, |_: Value| Ok(()))
    }

    fn nodes(&self) -> LocalFuture<Result<Vec<LiveNode>, Lost>> {
        let command = self.scripts().nodes.call(&self.lease_keys());
        self.shared.call(command, 0, |nodes: Vec<(String, Vec<u8>)>| {
            let nodes = nodes.into_iter();
            Ok(nodes.map(|(id, status)| LiveNode { id: id.into(), status: status.into() }).collect())
        })
    }

    fn send(&self, node: &str, message: Bytes) -> LocalFuture<Result<Reach, Lost>> {
        self.publish_on(&self.keys().inbox(node), &message)
    }

    fn publish(&self, topic: &str, message: Bytes) -> LocalFuture<Result<(), Lost>> {
        let published = self.publish_on(&self.keys().topic(topic), &message);
        Box::pin(async move { published.await.map(drop) })
    }

    fn subscribe(&self, topic: &str) -> LocalFuture<Result<(), Lost>> {
        match &*self.shared.link.borrow() {
            Some(link) => link.subscriptions.subscribe(&self.keys().topic(topic)),
            None => Box::pin(ready(Err(Lost))),
        }
    }

    fn unsubscribe(&self, topic: &str) {
        if let Some(link) = &*self.shared.link.borrow() {
            link.subscriptions.unsubscribe(&self.keys().topic(topic));
        }
    }

    fn has_several_servers(&self) -> bool {
        false
    }
}
