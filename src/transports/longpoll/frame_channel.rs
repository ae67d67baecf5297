//! A queue of frames between two tasks of one client: a session that started with long polling, and the stream that it
//! uses now, such as a WebSocket. It adds up the weights of the frames in it. The sender sets the weight of each frame, and
//! enforces the limit.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll};

use futures_util::Stream;
use tokio::sync::mpsc;

use crate::protocol::Frame;

/// An empty channel.
pub(crate) fn frame_channel() -> (FrameSender, FrameReceiver) {
    let (sender, receiver) = mpsc::unbounded_channel();
    let weight = Arc::new(AtomicUsize::new(0));
    (FrameSender { sender, weight: weight.clone() }, FrameReceiver { receiver, weight })
}

/// The sending end. When it is dropped, the channel ends once the receiver has taken all frames.
#[derive(Debug)]
pub(crate) struct FrameSender {
    sender: mpsc::UnboundedSender<(Frame, usize)>,
    weight: Arc<AtomicUsize>,
}

impl FrameSender {
    /// Queues a frame that counts for `weight` bytes. The frame is lost if the receiver has been dropped.
    pub(crate) fn send(&self, frame: Frame, weight: usize) {
        self.weight.fetch_add(weight, Ordering::Relaxed);
        let _ = self.sender.send((frame, weight));
    }

    /// The number of bytes that the queued frames count for.
    pub(crate) fn weight(&self) -> usize {
        self.weight.load(Ordering::Relaxed)
    }
}

/// The receiving end.
#[derive(Debug)]
pub(crate) struct FrameReceiver {
    receiver: mpsc::UnboundedReceiver<(Frame, usize)>,
    weight: Arc<AtomicUsize>,
}

impl FrameReceiver {
    /// Waits for a frame and returns all queued ones, at most `most`. Empty once the sender has been dropped.
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
