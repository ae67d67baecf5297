//! [`MailboxStream`]: how the actor of a connection reads its mailbox.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use futures_util::Stream;

use crate::connections::connection::Connection;
use crate::connections::envelope::Envelope;
use crate::connections::incomplete::IncompleteBytes;
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
    /// Counts the batch until the next one is fetched.
    counted: IncompleteBytes,
}

impl MailboxStream {
    /// Waiting times are counted under `realm`.
    pub(crate) fn new(connection: Arc<Connection>, metrics: Arc<Metrics>, realm: Realm) -> Self {
        let counted = IncompleteBytes::new(connection.clone());
        Self { connection, metrics, realm, batch: Batch::new(), batches: 0, ended: false, counted }
    }

    /// Fetches all waiting messages. Returns whether there were any.
    fn fetch(&mut self, reader: &Waker) -> bool {
        let mailbox = &self.connection.mailbox;
        let since = if self.batches.is_multiple_of(SAMPLE_EVERY) { mailbox.waits_since() } else { None };
        if !mailbox.drain(&mut self.batch, reader) {
            // free the memory: idle connections are many
            self.batch = Batch::new();
            self.counted.set(0);
            return false;
        }
        self.counted.set(self.batch.iter().map(Envelope::own_bytes).sum());
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

#[cfg(test)]
mod tests {
    use futures_util::{FutureExt, StreamExt};

    use super::*;
    use crate::connections::connection::tests::allowing;
    use crate::connections::envelope::SocketEvent;
    use crate::message::{Event, JoinId, Payload};

    #[test]
    fn fetched_messages_count_until_they_are_handled_and_leave_no_memory() {
        let connection = Arc::new(allowing(usize::MAX));
        let memory = connection.memory().clone();
        for _ in 0..20 {
            let event = SocketEvent::Push(JoinId::SOCKET, Event::const_new("e"), Payload::binary(vec![0; 1_000]));
            connection.send_event(event).unwrap();
        }
        let mut messages = MailboxStream::new(connection, Arc::default(), Realm::Phoenix);
        assert!(messages.next().now_or_never().is_some());
        assert!(memory.used() >= 16_384, "{}", memory.used());
        while messages.next().now_or_never().is_some() {}
        assert_eq!((memory.used(), messages.batch.spilled()), (0, false));
    }
}
