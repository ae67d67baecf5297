//! [`MailboxStream`]: how the actor of a connection reads its mailbox.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use futures_util::Stream;

use crate::connections::connection::Connection;
use crate::connections::envelope::Envelope;
use crate::connections::mailbox::Batch;
use crate::metrics::families::Metrics;
use crate::topic::Realm;

/// The waiting time is measured for one batch in this many. Measuring every batch would read the clock for nearly every
/// message.
pub(crate) const SAMPLE_EVERY: u32 = 16;

/// The messages of a connection's mailbox as a stream for its actor. It ends after [`Envelope::Close`].
pub(crate) struct MailboxStream {
    connection: Arc<Connection>,
    metrics: Arc<Metrics>,
    realm: Realm,
    /// The fetched messages, last one first.
    batch: Batch,
    batches: u32,
    ended: bool,
}

impl MailboxStream {
    /// Waiting times are counted under `realm`.
    pub(crate) fn new(connection: Arc<Connection>, metrics: Arc<Metrics>, realm: Realm) -> Self {
        Self { connection, metrics, realm, batch: Batch::new(), batches: 0, ended: false }
    }

    /// Fetches all waiting messages. Returns whether there were any.
    fn fetch(&mut self, reader: &Waker) -> bool {
        let mailbox = &self.connection.mailbox;
        let since = if self.batches.is_multiple_of(SAMPLE_EVERY) { mailbox.waits_since() } else { None };
        if !mailbox.drain(&mut self.batch, reader) {
            return false;
        }
        self.batch.reverse();
        self.batches = self.batches.wrapping_add(1);
        if let Some(since) = since {
            let waited = self.connection.now().saturating_duration_since(since);
            self.metrics.queue_wait.add(self.realm, waited);
        }
        true
    }
}

impl Stream for MailboxStream {
    type Item = Envelope;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Envelope>> {
        let this = self.get_mut();
        if this.ended {
            return Poll::Ready(None);
        }
        if this.batch.is_empty() && !this.fetch(cx.waker()) {
            return Poll::Pending;
        }
        let envelope = this.batch.pop();
        this.ended = matches!(envelope, Some(Envelope::Close(_)));
        Poll::Ready(envelope)
    }
}
