//! Where a handler puts the frames to a long-polling client. What happens to them is decided in [`longpoll`](super).

use crate::close::Reason;
use crate::protocol::Frame;
use crate::transports::longpoll::out_queue::OutQueue;
use crate::transports::transport::FrameSink;

/// Collects the frames to the client while the handler handles one frame or event.
pub(super) struct LongPollSink<'a> {
    pub(super) out: &'a mut OutQueue,
    /// Whether the client must send something.
    pub(super) is_pinging: bool,
    pub(super) closed: Option<&'static Reason>,
}

impl FrameSink for LongPollSink<'_> {
    fn send(&mut self, frame: Frame) {
        self.out.push(frame);
    }

    fn ping(&mut self) {
        self.is_pinging = true;
    }

    fn close(&mut self, reason: &'static Reason) {
        self.closed.get_or_insert(reason);
    }
}
