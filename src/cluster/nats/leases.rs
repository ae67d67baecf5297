//! The leases of the nodes: a bucket whose entries expire.

use std::cell::Cell;
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

/// The leases, and this node's own.
pub(super) struct Leases {
    bucket: Bucket,
    lease: Duration,
    key: String,
    /// The last heartbeat that the server has confirmed: its revision, and a time before it arrived.
    own: Cell<Option<(u64, Instant)>>,
}

impl Leases {
    pub(super) fn new(bucket: Bucket, lease: Duration, node: &str) -> Self {
        Self { bucket, lease, key: token(node), own: Cell::new(None) }
    }

    /// The server removes an expired entry up to some seconds late, but other nodes compare times. So the lease is kept
    /// if the last entry is there, and less than the time of a lease has gone by since it was sent.
    pub(super) async fn heartbeat(&self, status: Bytes) -> Result<Lease, Lost> {
        let sent = Instant::now();
        if let Some((revision, before)) = self.own.take() {
            match self.bucket.put(&self.key, status.clone(), Some(revision)).await {
                Ok(revision) => {
                    self.own.set(Some((revision, sent)));
                    return Ok(if before.elapsed() < self.lease { Lease::Kept } else { Lease::New });
                }
                Err(NotWritten::Changed) => {}
                Err(NotWritten::Lost) => return Err(Lost),
            }
        }
        let revision = self.bucket.put(&self.key, status, None).await?;
        self.own.set(Some((revision, sent)));
        Ok(Lease::New)
    }

    pub(super) async fn end(&self) -> Result<(), Lost> {
        self.own.set(None);
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
