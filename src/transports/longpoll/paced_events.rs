//! [`PacedEvents`]: the events of a long-polling session, which wait while many frames wait for its client.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use futures_util::{Stream, StreamExt};

use crate::connections::connection::Connection;
use crate::connections::writer::HIGH_WATER;

/// Passes the events on while less than [`HIGH_WATER`] waits for the client's next poll, or for its stream. Until then the
/// broker's messages wait in the mailbox, whose limits say when a client is a slow consumer.
pub(super) struct PacedEvents<S> {
    events: S,
    connection: Arc<Connection>,
}

impl<S> PacedEvents<S> {
    pub(super) fn new(events: S, connection: Arc<Connection>) -> Self {
        Self { events, connection }
    }

    fn is_full(&self) -> bool {
        // a session that closes has to reach the end of its mailbox
        self.connection.queued_bytes() >= HIGH_WATER && !self.connection.mailbox.is_closed()
    }
}

impl<S: Stream + Unpin> Stream for PacedEvents<S> {
    type Item = S::Item;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<S::Item>> {
        if self.is_full() {
            self.connection.mailbox.pause(cx.waker(), self.connection.now());
            // frames that another thread took before the pause have woken nobody
            if self.is_full() {
                return Poll::Pending;
            }
            self.connection.mailbox.resume();
        }
        self.events.poll_next_unpin(cx)
    }
}
