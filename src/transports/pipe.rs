//! A queue of frames between two tasks that serve one client: a session that began with polling, and the
//! WebSocket that it has changed to. It counts the bytes that wait in it; who fills it says when that is
//! too much.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll};

use futures_util::Stream;
use tokio::sync::mpsc;

use crate::protocol::Frame;

/// What a frame takes beside its own bytes: about its size in the queue.
const FRAME_SIZE: usize = 64;

/// A pipe with nothing in it.
pub(crate) fn pipe() -> (Inflow, Outflow) {
    let (sender, receiver) = mpsc::unbounded_channel();
    let bytes = Arc::new(AtomicUsize::new(0));
    (Inflow { sender, bytes: bytes.clone() }, Outflow { receiver, bytes })
}

/// The end where frames go in. Dropping it ends the pipe once the other end has taken all.
#[derive(Debug)]
pub(crate) struct Inflow {
    sender: mpsc::UnboundedSender<Frame>,
    bytes: Arc<AtomicUsize>,
}

impl Inflow {
    /// Puts one in; it is lost when the other end is gone.
    pub(crate) fn put(&self, frame: Frame) {
        self.bytes.fetch_add(size(&frame), Ordering::Relaxed);
        let _ = self.sender.send(frame);
    }

    /// How many bytes wait.
    pub(crate) fn bytes(&self) -> usize {
        self.bytes.load(Ordering::Relaxed)
    }
}

/// The end where frames come out.
#[derive(Debug)]
pub(crate) struct Outflow {
    receiver: mpsc::UnboundedReceiver<Frame>,
    bytes: Arc<AtomicUsize>,
}

impl Outflow {
    /// What there is now, after waiting for one at least; nothing when the other end is gone.
    pub(crate) async fn batch(&mut self, most: usize) -> Vec<Frame> {
        let mut frames = Vec::new();
        self.receiver.recv_many(&mut frames, most).await;
        self.bytes.fetch_sub(frames.iter().map(size).sum(), Ordering::Relaxed);
        frames
    }
}

impl Stream for Outflow {
    type Item = Frame;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Frame>> {
        let frame = std::task::ready!(self.receiver.poll_recv(cx));
        if let Some(frame) = &frame {
            self.bytes.fetch_sub(size(frame), Ordering::Relaxed);
        }
        Poll::Ready(frame)
    }
}

fn size(frame: &Frame) -> usize {
    frame.size() + FRAME_SIZE
}
