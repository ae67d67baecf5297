//! [`OutQueue`]: the frames that wait until a long-polling client fetches them.

use std::collections::VecDeque;
use std::sync::Arc;

use crate::connections::connection::Connection;
use crate::protocol::Frame;

/// How much one poll is answered with, in bytes; a single frame may be larger. More waits for the next poll, where frames
/// are shared with other clients and their size is counted.
const ANSWER_BYTES: usize = 64 * 1024;

/// The frames that wait, in order. The connection counts them.
pub(super) struct OutQueue {
    frames: VecDeque<Frame>,
    connection: Arc<Connection>,
}

impl OutQueue {
    pub(super) fn new(connection: Arc<Connection>) -> Self {
        Self { frames: VecDeque::new(), connection }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.frames.is_empty()
    }

    /// Adds a message. Its frames are queued one by one.
    pub(super) fn push(&mut self, frame: Frame) {
        if let Frame::Several(frames) = frame {
            return frames.iter().cloned().for_each(|frame| self.push(frame));
        }
        self.connection.frame_queued(&frame);
        self.frames.push_back(frame);
    }

    /// Takes the frames for one answer: at most one, or as many as fit.
    pub(super) fn take(&mut self, only_one: bool) -> Vec<Frame> {
        let (mut taken, mut bytes) = (Vec::new(), 0);
        while let Some(frame) = self.frames.front() {
            bytes += frame.size();
            if !taken.is_empty() && (only_one || bytes > ANSWER_BYTES) {
                break;
            }
            taken.extend(self.pop());
        }
        self.free();
        taken
    }

    /// Takes all frames.
    pub(super) fn take_all(&mut self) -> Vec<Frame> {
        let taken = std::iter::from_fn(|| self.pop()).collect();
        self.free();
        taken
    }

    /// Puts frames back that were taken for an answer.
    pub(super) fn put_back(&mut self, frames: Vec<Frame>) {
        for frame in frames.into_iter().rev() {
            self.connection.frame_queued(&frame);
            self.frames.push_front(frame);
        }
    }

    fn pop(&mut self) -> Option<Frame> {
        let frame = self.frames.pop_front()?;
        self.connection.frame_taken(&frame);
        Some(frame)
    }

    /// Frees the memory of an empty queue: idle sessions are many.
    fn free(&mut self) {
        if self.frames.is_empty() {
            self.frames = VecDeque::new();
        }
    }
}

impl Drop for OutQueue {
    fn drop(&mut self) {
        self.take_all();
    }
}
