//! The directory of names: a bucket with one entry for each exclusive name.
//!
//! The value of an entry is `<epoch> <node>`, or `<epoch> <node> <name>` if its key is a hash of the name. The epoch is 0
//! for a claim: then it follows from the entry's revision. Names that are entered again keep their epoch.
//!
//! An epoch is the time when the bucket was created, in milliseconds since 2020, times 2^24, plus the revision. A bucket
//! that was lost and created again has a later time, and no server stores 2^24 entries a millisecond, so epochs never go
//! back.

use std::cell::Cell;
use std::future::Future;
use std::rc::Rc;
use std::time::Duration;

use async_nats::jetstream::consumer::{AckPolicy, DeliverPolicy, pull};
use bytes::Bytes;
use futures_util::StreamExt;
use tokio::time::{sleep, timeout};

use super::bucket::{Bucket, Entry, NotWritten};
use super::connection::Alarm;
use super::order::{Kind, Operations};
use super::subjects::{is_hashed, text, token};
use crate::cluster::engine::{ClaimResult, DirectoryPart, Epoch, Holder, LocalFuture, Lost, NodeId};

/// 2020-01-01, in milliseconds since 1970.
const YEAR_2020: i128 = 1_577_836_800_000;

/// How many bits of an epoch the revision has before it meets the time.
const REVISION_BITS: u32 = 24;

/// How often an operation starts again because the entry has changed meanwhile, or is about to.
const TRIES: u32 = 8;

/// The pause before the first new try. Each next one is twice as long.
const FIRST_PAUSE: Duration = Duration::from_millis(1);

/// How many entries a part of the directory has.
const PART: usize = 1_000;

/// How long the server keeps what reads a part, if this node does not remove it.
const READER_LIFE: Duration = Duration::from_secs(10);

/// The directory.
#[derive(Clone)]
pub(super) struct Names(Rc<Shared>);

struct Shared {
    bucket: Bucket,
    node: NodeId,
    timeout: Duration,
    alarm: Alarm,
    /// The epoch before revision 1.
    base: Epoch,
    /// The highest revision that this node has seen.
    seen: Cell<u64>,
    operations: Operations,
}

impl Names {
    pub(super) fn new(bucket: Bucket, node: &NodeId, timeout: Duration, alarm: Alarm) -> Self {
        let since_2020 = bucket.created / 1_000_000 - YEAR_2020;
        let base = u64::try_from(since_2020).unwrap_or(0) << REVISION_BITS;
        let seen = Cell::new(bucket.last_revision);
        let (node, operations) = (node.clone(), Operations::new());
        Self(Rc::new(Shared { bucket, node, timeout, alarm, base, seen, operations }))
    }

    /// Ends the operations that have not begun.
    pub(super) fn end(&self) {
        self.0.operations.end();
    }

    /// Runs an operation after those on the same name that were called before it.
    fn run<T: 'static, F>(
        &self,
        kind: Kind,
        name: &str,
        operation: impl FnOnce(Rc<Shared>, Entered) -> F + 'static,
    ) -> LocalFuture<Result<T, Lost>>
    where
        F: Future<Output = Result<T, Lost>> + 'static,
    {
        let (shared, entered) = (self.0.clone(), Entered::new(name));
        self.0.operations.run(kind, name, move || operation(shared, entered))
    }

    pub(super) fn claim(&self, name: &str) -> LocalFuture<Result<ClaimResult, Lost>> {
        self.run(Kind::Urgent, name, |shared, name| async move { shared.claim(&name).await })
    }

    pub(super) fn replace(&self, name: &str, former: &Holder) -> LocalFuture<Result<Option<Epoch>, Lost>> {
        let former = former.clone();
        self.run(Kind::Urgent, name, |shared, name| async move { shared.replace(&name, &former).await })
    }

    pub(super) fn release(&self, name: &str, epoch: Epoch) -> LocalFuture<Result<(), Lost>> {
        self.run(Kind::Removal, name, move |shared, name| async move { shared.release(&name, epoch).await })
    }

    pub(super) fn remove(&self, name: &str, former: &Holder) -> LocalFuture<Result<(), Lost>> {
        let revision = former.revision;
        self.run(
            Kind::Removal,
            name,
            move |shared, name| async move { shared.bucket.remove(&name.key, revision).await },
        )
    }

    pub(super) fn find(&self, name: &str) -> LocalFuture<Result<Option<Holder>, Lost>> {
        self.run(Kind::Urgent, name, |shared, name| async move { shared.holder(&name).await })
    }

    pub(super) fn enter(&self, names: &[(&str, Epoch)]) -> LocalFuture<Result<Vec<(usize, Holder)>, Lost>> {
        let enter = |&(name, epoch): &(&str, Epoch)| {
            self.run(Kind::Patient, name, move |shared, name| async move { shared.enter(&name, epoch).await })
        };
        // they all run already, as many at the same time as the server may get
        let running: Vec<_> = names.iter().map(enter).collect();
        let limit = self.0.timeout;
        Box::pin(async move {
            let mut entries = Vec::new();
            for (place, result) in running.into_iter().enumerate() {
                // a server that answers may take longer for all of them
                let result = timeout(limit, result).await.unwrap_or(Err(Lost));
                entries.extend(result?.map(|holder| (place, holder)));
            }
            Ok(entries)
        })
    }

    /// The epoch of the last revision.
    pub(super) async fn epoch(&self) -> Result<Epoch, Lost> {
        Ok(self.0.base + self.0.bucket.revision().await?)
    }

    pub(super) fn scan(&self, cursor: u64) -> LocalFuture<Result<DirectoryPart, Lost>> {
        let shared = self.0.clone();
        Box::pin(async move { shared.scan(cursor).await })
    }
}

/// A cluster of servers rejects a second entry of a name before the first one can be read.
async fn pause(tried: u32) {
    sleep(FIRST_PAUSE * 2_u32.pow(tried)).await;
}

/// A name, and its key in the bucket.
struct Entered {
    name: Option<String>,
    key: String,
}

impl Entered {
    fn new(name: &str) -> Self {
        Self { name: is_hashed(name).then(|| name.to_owned()), key: token(name) }
    }

    /// The value of an entry of this name. Epoch 0: the one of its revision.
    fn value(&self, epoch: Epoch, node: &str) -> Bytes {
        let node = token(node);
        match &self.name {
            Some(name) => format!("{epoch} {node} {name}").into(),
            None => format!("{epoch} {node}").into(),
        }
    }
}

impl Shared {
    async fn claim(&self, name: &Entered) -> Result<ClaimResult, Lost> {
        for tried in 0..TRIES {
            match self.write(name, 0, Some(0)).await {
                Ok(revision) => return Ok(ClaimResult::Granted(self.base + revision)),
                Err(NotWritten::Lost) => return Err(Lost),
                Err(NotWritten::Changed) => {}
            }
            if let Some(holder) = self.holder(name).await? {
                return Ok(ClaimResult::Held(holder));
            }
            pause(tried).await;
        }
        Err(Lost)
    }

    async fn replace(&self, name: &Entered, former: &Holder) -> Result<Option<Epoch>, Lost> {
        // the entry's epoch is above those of this bucket only if the clock of the server has been set back
        let epoch = if former.epoch > self.base + former.revision { former.epoch.saturating_add(1) } else { 0 };
        match self.write(name, epoch, Some(former.revision)).await {
            Ok(revision) => Ok(Some(if epoch == 0 { self.base + revision } else { epoch })),
            Err(NotWritten::Changed) => Ok(None),
            Err(NotWritten::Lost) => Err(Lost),
        }
    }

    async fn release(&self, name: &Entered, epoch: Epoch) -> Result<(), Lost> {
        match self.holder(name).await? {
            Some(holder) if holder.node == self.node && holder.epoch == epoch => {
                self.bucket.remove(&name.key, holder.revision).await
            }
            _ => Ok(()),
        }
    }

    async fn enter(&self, name: &Entered, epoch: Epoch) -> Result<Option<Holder>, Lost> {
        let (mut revision, mut former) = (0, None);
        for tried in 0..TRIES {
            match self.write(name, epoch, Some(revision)).await {
                Ok(_) => return Ok(former),
                Err(NotWritten::Lost) => return Err(Lost),
                Err(NotWritten::Changed) => {}
            }
            match self.holder(name).await? {
                Some(holder) if holder.epoch == epoch && holder.node == self.node => return Ok(None),
                Some(holder) if (holder.epoch, &holder.node) > (epoch, &self.node) => return Ok(Some(holder)),
                Some(holder) => {
                    revision = holder.revision;
                    former = (holder.node != self.node).then_some(holder);
                }
                None => (revision, former) = (0, None),
            }
            pause(tried).await;
        }
        Err(Lost)
    }

    /// Writes this node's entry of the name.
    ///
    /// Revisions only grow. One that does not shows that the bucket has been emptied or created again behind this
    /// connection, so its time is not known here: the link is made again.
    async fn write(&self, name: &Entered, epoch: Epoch, expected: Option<u64>) -> Result<u64, NotWritten> {
        let seen = self.seen.get();
        let revision = self.bucket.put(&name.key, name.value(epoch, &self.node), expected).await?;
        if revision <= seen {
            self.alarm.raise("the NATS bucket of names has been emptied");
            return Err(NotWritten::Lost);
        }
        self.seen.set(self.seen.get().max(revision));
        Ok(revision)
    }

    /// The entry as the leader knows it. What other servers of a cluster know may be some milliseconds old: it could name a
    /// former owner.
    async fn holder(&self, name: &Entered) -> Result<Option<Holder>, Lost> {
        Ok(self.bucket.get(&name.key).await?.and_then(|entry| self.read(&entry)))
    }

    fn read(&self, entry: &Entry) -> Option<Holder> {
        self.parse(&entry.value, entry.revision).map(|(holder, _)| holder)
    }

    /// The holder, and the name if the value has it.
    fn parse(&self, value: &[u8], revision: u64) -> Option<(Holder, Option<String>)> {
        let mut words = std::str::from_utf8(value).ok()?.splitn(3, ' ');
        let epoch = words.next()?.parse().ok()?;
        let node = NodeId::from(text(words.next()?)?);
        let epoch = if epoch == 0 { self.base + revision } else { epoch };
        Some((Holder { node, epoch, revision }, words.next().map(str::to_owned)))
    }

    /// Reads a part through a consumer, which the server creates for it.
    async fn scan(&self, cursor: u64) -> Result<DirectoryPart, Lost> {
        let config = pull::Config {
            deliver_policy: DeliverPolicy::ByStartSequence { start_sequence: cursor + 1 },
            ack_policy: AckPolicy::None,
            inactive_threshold: READER_LIFE,
            memory_storage: true,
            num_replicas: 1,
            ..pull::Config::default()
        };
        let stream = self.bucket.stream();
        let reader = stream.create_consumer(config).await.map_err(|_| Lost)?;
        let mut messages = reader.fetch().max_messages(PART).messages().await.map_err(|_| Lost)?;
        let mut part = DirectoryPart::default();
        // a server that answers may take longer for all of them
        while let Some(message) = timeout(self.timeout, messages.next()).await.map_err(|_| Lost)? {
            let message = message.map_err(|_| Lost)?;
            let (revision, pending) =
                message.info().map(|info| (info.stream_sequence, info.pending)).map_err(|_| Lost)?;
            part.entries.extend(self.entry(&message.subject, &message.payload, revision));
            part.next = if pending > 0 { revision } else { 0 };
        }
        // it would end by itself after READER_LIFE
        let _ = stream.delete_consumer(&reader.cached_info().name).await;
        Ok(part)
    }

    fn entry(&self, subject: &str, value: &[u8], revision: u64) -> Option<(String, Holder)> {
        let (holder, name) = self.parse(value, revision)?;
        let name = name.or_else(|| text(self.bucket.key(subject)?))?;
        Some((name, holder))
    }
}
