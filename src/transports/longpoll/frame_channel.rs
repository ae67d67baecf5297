//! A queue of frames between two tasks that serve one client: a session that began with polling, and the
//! WebSocket that it has changed to. It adds up what waits in it; who fills it says what a frame counts for, and
//! when all that is too much.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll};

use futures_util::Stream;
use tokio::sync::mpsc;

use crate::protocol::Frame;

/// A pipe with nothing in it.
pub(crate) fn frame_channel() -> (FrameSender, FrameReceiver) {
    let (sender, receiver) = mpsc::unbounded_channel();
    let weight = Arc::new(AtomicUsize::new(0));
    (FrameSender { sender, weight: weight.clone() }, FrameReceiver { receiver, weight })
}

/// The end where frames go in. Dropping it ends the pipe once the other end has taken all.
#[derive(Debug)]
pub(crate) struct FrameSender {
    sender: mpsc::UnboundedSender<(Frame, usize)>,
    weight: Arc<AtomicUsize>,
}

impl FrameSender {
    /// Puts one in, which counts for so many bytes; it is lost when the other end is gone.
    pub(crate) fn put(&self, frame: Frame, weight: usize) {
        self.weight.fetch_add(weight, Ordering::Relaxed);
        let _ = self.sender.send((frame, weight));
    }

    /// For how many bytes that counts which waits.
    pub(crate) fn weight(&self) -> usize {
        self.weight.load(Ordering::Relaxed)
    }
}

/// The end where frames come out.
#[derive(Debug)]
pub(crate) struct FrameReceiver {
    receiver: mpsc::UnboundedReceiver<(Frame, usize)>,
    weight: Arc<AtomicUsize>,
}

impl FrameReceiver {
    /// What there is now, after waiting for one at least; nothing when the other end is gone.
    pub(crate) async fn batch(&mut self, most: usize) -> Vec<Frame> {
        let mut taken = Vec::new();
        self.receiver.recv_many(&mut taken, most).await;
        self.weight.fetch_sub(taken.iter().map(|(_, weight)| weight).sum(), Ordering::Relaxed);
        taken.into_iter().map(|(frame, _)| frame).collect()
    }
}

impl Stream for FrameReceiver {
    type Item = Frame;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Frame>> {
        let taken = std::task::ready!(self.receiver.poll_recv(cx));
        Poll::Ready(taken.map(|(frame, weight)| {
            self.weight.fetch_sub(weight, Ordering::Relaxed);
            frame
        }))
    }
}
