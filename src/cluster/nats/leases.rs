//! The leases of the nodes: a bucket whose entries expire.

use std::cell::Cell;
use std::rc::Rc;
use std::time::Duration;

use async_nats::jetstream::message::StreamMessage;
use bytes::Bytes;
use futures_util::StreamExt;
use futures_util::stream;
use tokio::time::Instant;

use super::bucket::{Bucket, NotWritten};
use super::subjects::{text, token};
use crate::cluster::engine::{Lease, LiveNode, Lost, NodeId};

/// How many entries are read at the same time.
const READS: usize = 32;

/// The last heartbeat that a server has confirmed. It is the same for all links of a node.
pub(super) type LastHeartbeat = Rc<Cell<Option<Confirmed>>>;

/// A heartbeat that a server has confirmed.
#[derive(Clone, Copy)]
pub(super) struct Confirmed {
    revision: u64,
    /// A time before it arrived.
    sent: Instant,
    buckets: Created,
}

/// When the buckets of names and of leases were created.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Created {
    names: i128,
    nodes: i128,
}

/// The leases, and this node's own.
pub(super) struct Leases {
    bucket: Bucket,
    lease: Duration,
    key: String,
    buckets: Created,
    last: LastHeartbeat,
}

impl Leases {
    /// The lease of an earlier link goes on, unless one of the buckets is another one now, or has lost the names.
    pub(super) fn new(bucket: Bucket, names: &Bucket, lease: Duration, node: &str, last: LastHeartbeat) -> Self {
        let buckets = Created { names: names.created, nodes: bucket.created };
        if names.is_empty || last.get().is_some_and(|last| last.buckets != buckets) {
            last.set(None);
        }
        Self { bucket, lease, key: token(node), buckets, last }
    }

    /// The server removes an expired entry up to some seconds late, but other nodes compare times. So the lease is kept
    /// if the last entry is there, and less than the time of a lease has gone by since it was sent.
    pub(super) async fn heartbeat(&self, status: Bytes) -> Result<Lease, Lost> {
        let sent = Instant::now();
        if let Some(last) = self.last.get() {
            match self.put_after(last.revision, &status).await {
                Ok(revision) => {
                    self.confirm(revision, sent);
                    return Ok(if last.sent.elapsed() < self.lease { Lease::Kept } else { Lease::New });
                }
                Err(NotWritten::Changed) => {}
                Err(NotWritten::Lost) => return Err(Lost),
            }
            // the next heartbeat begins a lease too, if the answer to this one is lost
            self.last.set(None);
        }
        let revision = self.bucket.put(&self.key, status, None).await?;
        self.confirm(revision, sent);
        Ok(Lease::New)
    }

    /// Replaces the entry of this revision, or one of a heartbeat after it whose answer was lost: no other node writes it.
    async fn put_after(&self, revision: u64, status: &Bytes) -> Result<u64, NotWritten> {
        let put = |revision| self.bucket.put(&self.key, status.clone(), Some(revision));
        match put(revision).await {
            Err(NotWritten::Changed) => match self.bucket.get(&self.key).await? {
                Some(entry) => put(entry.revision).await,
                None => Err(NotWritten::Changed),
            },
            result => result,
        }
    }

    fn confirm(&self, revision: u64, sent: Instant) {
        self.last.set(Some(Confirmed { revision, sent, buckets: self.buckets }));
    }

    pub(super) async fn end(&self) -> Result<(), Lost> {
        self.last.set(None);
        // whatever its revision: no other node writes it
        self.bucket.remove(&self.key, u64::MAX - 1).await
    }

    pub(super) async fn nodes(&self) -> Result<Vec<LiveNode>, Lost> {
        let (subjects, now) = self.bucket.subjects().await?;
        let reads = subjects.iter().map(|subject| self.bucket.message_from_leader(subject));
        let messages: Vec<_> = stream::iter(reads).buffer_unordered(READS).collect().await;
        let mut nodes = Vec::with_capacity(messages.len());
        for message in messages {
            nodes.extend(message?.and_then(|message| self.live(message, now)));
        }
        Ok(nodes)
    }

    fn live(&self, message: StreamMessage, now: i128) -> Option<LiveNode> {
        let age = now - message.time.unix_timestamp_nanos();
        let is_live = age < i128::try_from(self.lease.as_nanos()).unwrap_or(i128::MAX);
        let id = text(self.bucket.key(&message.subject)?)?;
        is_live.then(|| LiveNode { id: NodeId::from(id), status: message.payload })
    }
}
