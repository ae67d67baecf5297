//! A queue of frames between two tasks of one client: a session that started with long polling, and the stream that it
//! uses now, such as a WebSocket. The connection counts the frames in it.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll};

use futures_util::Stream;
use tokio::sync::mpsc;

use crate::connections::connection::{Connection, QUEUED_OVERHEAD};
use crate::protocol::Frame;

/// An empty channel of frames to the client. The session stops reading its mailbox while many frames wait in it.
pub(crate) fn to_client(connection: Arc<Connection>) -> (FrameSender, FrameReceiver) {
    channel(Count { connection, from_client: None })
}

/// An empty channel of frames from the client. Its sender enforces the limit.
pub(crate) fn from_client(connection: Arc<Connection>) -> (FrameSender, FrameReceiver) {
    channel(Count { connection, from_client: Some(AtomicUsize::new(0)) })
}

fn channel(count: Count) -> (FrameSender, FrameReceiver) {
    let (sender, receiver) = mpsc::unbounded_channel();
    let count = Arc::new(count);
    (FrameSender { sender, count: count.clone() }, FrameReceiver { receiver, count })
}

/// Counts the frames in a channel.
#[derive(Debug)]
struct Count {
    connection: Arc<Connection>,
    /// The size of the frames from the client. Those to the client are counted by the connection alone.
    from_client: Option<AtomicUsize>,
}

impl Count {
    fn add(&self, frame: &Frame) {
        match &self.from_client {
            None => self.connection.frame_queued(frame),
            Some(bytes) => {
                let size = QUEUED_OVERHEAD + frame.size();
                bytes.fetch_add(size, Ordering::Relaxed);
                self.connection.change_incomplete(0, size);
            }
        }
    }

    fn remove(&self, frame: &Frame) {
        match &self.from_client {
            None => self.connection.frame_taken(frame),
            Some(bytes) => {
                let size = QUEUED_OVERHEAD + frame.size();
                bytes.fetch_sub(size, Ordering::Relaxed);
                self.connection.change_incomplete(size, 0);
            }
        }
    }
}

/// The sending end. When it is dropped, the channel ends once the receiver has taken all frames.
#[derive(Debug)]
pub(crate) struct FrameSender {
    sender: mpsc::UnboundedSender<Frame>,
    count: Arc<Count>,
}

impl FrameSender {
    /// Queues a frame. It is lost if the receiver has been dropped.
    pub(crate) fn send(&self, frame: Frame) {
        self.count.add(&frame);
        if let Err(mpsc::error::SendError(frame)) = self.sender.send(frame) {
            self.count.remove(&frame);
        }
    }

    /// The size of the queued frames from the client, in bytes.
    pub(crate) fn bytes_from_client(&self) -> usize {
        self.count.from_client.as_ref().map_or(0, |bytes| bytes.load(Ordering::Relaxed))
    }
}

/// The receiving end.
#[derive(Debug)]
pub(crate) struct FrameReceiver {
    receiver: mpsc::UnboundedReceiver<Frame>,
    count: Arc<Count>,
}

impl FrameReceiver {
    /// Waits for a frame and returns all queued ones, at most `most`. Empty once the sender has been dropped.
    pub(crate) async fn batch(&mut self, most: usize) -> Vec<Frame> {
        let mut taken = Vec::new();
        self.receiver.recv_many(&mut taken, most).await;
        taken.iter().for_each(|frame| self.count.remove(frame));
        taken
    }
}

impl Stream for FrameReceiver {
    type Item = Frame;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Frame>> {
        let taken = std::task::ready!(self.receiver.poll_recv(cx));
        Poll::Ready(taken.inspect(|frame| self.count.remove(frame)))
    }
}

impl Drop for FrameReceiver {
    fn drop(&mut self) {
        self.receiver.close();
        while let Ok(frame) = self.receiver.try_recv() {
            self.count.remove(&frame);
        }
    }
}
