//! Counts what has arrived of a frame, a message or a request body that is not complete yet, messages that wait for
//! the answer to a join or to a task, and messages that a session has taken out of its mailbox.

use std::sync::Arc;

use crate::connections::connection::Connection;
use crate::memory::about;

/// The size of one incomplete or waiting input of a connection. It counts against the node's budget until this is dropped.
pub(crate) struct IncompleteBytes {
    connection: Arc<Connection>,
    bytes: usize,
}

impl IncompleteBytes {
    pub(crate) fn new(connection: Arc<Connection>) -> Self {
        Self { connection, bytes: 0 }
    }

    /// Changes the size. Small ones count as nothing.
    pub(crate) fn set(&mut self, bytes: usize) {
        let bytes = about(bytes);
        if bytes != self.bytes {
            self.connection.change_incomplete(self.bytes, bytes);
            self.bytes = bytes;
        }
    }
}

impl Drop for IncompleteBytes {
    fn drop(&mut self) {
        self.set(0);
    }
}
