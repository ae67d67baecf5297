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

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use futures_util::{FutureExt, stream};

    use super::*;
    use crate::connections::ready_queue::ReadyQueue;
    use crate::memory::MemoryBudget;
    use crate::protocol::Frame;

    #[test]
    fn nothing_more_is_done_for_a_client_that_does_not_read() {
        let write_side = Arc::new(WriteSide::new(ReadyQueue::new(), MemoryBudget::new(0)));
        let mut requests = Paced::new(stream::iter(0..1_000), write_side.clone());
        let replies = || write_side.writer.state().output.len();
        while requests.next().now_or_never().flatten().is_some() {
            write_side.writer.send(&Frame::Binary(Bytes::from(vec![0; 3_000])));
        }
        assert!((64 * 1024..68 * 1024).contains(&replies()), "{}", replies());
        write_side.writer.state().output.advance(10_000);
        assert!(requests.next().now_or_never().flatten().is_some(), "it goes on once the client has read");
    }
}
