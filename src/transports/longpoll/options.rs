//! What differs between the long-polling sessions of the protocols.

use crate::close::Reason;
use crate::protocol::Frame;

/// How the clients of a protocol poll.
#[derive(Clone, Copy, Debug)]
pub(crate) struct LongPollOptions {
    /// The maximum size of the frames that wait for the client, in bytes.
    pub(crate) bytes: usize,
    /// Whether a second poll during a first one closes the session, as a protocol error.
    pub(crate) close_on_concurrent_poll: bool,
    /// Whether the remaining frames of a closed session can still be fetched, for a while.
    pub(crate) drain_after_close: bool,
    /// Whether the client is a part of this process. It polls only when it expects something, and is alive in between.
    pub(crate) in_process: bool,
    /// Whether a poll is answered with one frame only. The other frames wait for the next poll, or for an upgrade.
    pub(crate) one_frame_per_poll: bool,
    /// Makes the frame that tells a waiting poll that the session is closed, and why.
    pub(crate) close_frame: Option<fn(&'static Reason) -> Frame>,
    /// Makes the ping of a session that uses a stream. Without it, a WebSocket is pinged by a control frame.
    pub(crate) ping: Option<fn() -> Frame>,
    /// Whether the client may change its transport at any time: a poll or a further stream replaces the present stream.
    /// The session then accepts the client's frames by any transport.
    pub(crate) newest_transport: bool,
}

impl LongPollOptions {
    /// A queue of at most `bytes`, and nothing that only some protocols need.
    pub(crate) const fn new(bytes: usize) -> Self {
        Self {
            bytes,
            close_on_concurrent_poll: false,
            drain_after_close: false,
            in_process: false,
            one_frame_per_poll: false,
            close_frame: None,
            ping: None,
            newest_transport: false,
        }
    }
}
