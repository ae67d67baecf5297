//! [`Paced`]: a stream of a WebSocket's actor that waits while much output waits for the client.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use futures_util::{Stream, StreamExt};

use crate::connections::connection::WriteSide;

/// Passes a stream on while less than [`HIGH_WATER`](crate::connections::writer::HIGH_WATER) of output waits. So the
/// broker's messages wait in the mailbox, where they are shared and counted, and a client cannot request more than it
/// reads.
///
/// It registers no waker when it waits: the connection's [task](crate::transports::websocket::io) writes so much output
/// itself, and polls its actor again when that is done.
pub(super) struct Paced<S> {
    stream: S,
    write_side: Arc<WriteSide>,
}

impl<S> Paced<S> {
    pub(super) fn new(stream: S, write_side: Arc<WriteSide>) -> Self {
        Self { stream, write_side }
    }
}

impl<S: Stream + Unpin> Stream for Paced<S> {
    type Item = S::Item;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<S::Item>> {
        if self.write_side.writer.is_high() { Poll::Pending } else { self.stream.poll_next_unpin(cx) }
    }
}
