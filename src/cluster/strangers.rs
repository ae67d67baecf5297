//! Messages of nodes that this node does not know yet. They wait until it has read the list of live nodes.

use bytes::Bytes;

/// How many messages wait.
const MESSAGES: usize = 1_024;
/// How many bytes they have.
const BYTES: usize = 4 * 1_024 * 1_024;

/// The messages that wait.
#[derive(Default)]
pub(super) struct Strangers {
    /// Each with its number, which only grows.
    messages: Vec<(u64, Bytes)>,
    bytes: usize,
    last: u64,
}

impl Strangers {
    /// Lets a message wait. Returns whether there is room.
    pub(super) fn push(&mut self, message: Bytes) -> bool {
        let has_room = self.messages.len() < MESSAGES && self.bytes + message.len() <= BYTES;
        if has_room {
            self.bytes += message.len();
            self.last += 1;
            self.messages.push((self.last, message));
        }
        has_room
    }

    pub(super) fn is_empty(&self) -> bool {
        self.messages.is_empty()
    }

    /// The number of the last message that has come.
    pub(super) fn last(&self) -> u64 {
        self.last
    }

    pub(super) fn take(&mut self) -> Vec<(u64, Bytes)> {
        self.bytes = 0;
        std::mem::take(&mut self.messages)
    }

    /// Lets messages wait that were taken, before all others.
    pub(super) fn put_back(&mut self, mut messages: Vec<(u64, Bytes)>) {
        self.bytes += messages.iter().map(|(_, message)| message.len()).sum::<usize>();
        messages.append(&mut self.messages);
        self.messages = messages;
    }
}
