//! Messages of nodes that this node does not know yet. They wait until it has read the list of live nodes.

use bytes::Bytes;

/// How many messages wait.
const MESSAGES: usize = 1_024;
/// How many bytes they have.
const BYTES: usize = 4 * 1_024 * 1_024;

/// The messages that wait.
#[derive(Default)]
pub(super) struct Strangers {
    messages: Vec<Bytes>,
    bytes: usize,
}

impl Strangers {
    /// Lets a message wait. Returns whether there is room.
    pub(super) fn push(&mut self, message: Bytes) -> bool {
        let has_room = self.messages.len() < MESSAGES && self.bytes + message.len() <= BYTES;
        if has_room {
            self.bytes += message.len();
            self.messages.push(message);
        }
        has_room
    }

    pub(super) fn is_empty(&self) -> bool {
        self.messages.is_empty()
    }

    pub(super) fn take(&mut self) -> Vec<Bytes> {
        self.bytes = 0;
        std::mem::take(&mut self.messages)
    }
}
