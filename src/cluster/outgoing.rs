//! A signal to another node, from the command until its delivery status is known.

use std::sync::Arc;

use tokio::sync::oneshot;
use tokio::time::Instant;

use crate::broker::adapter::{Epoch, Packet};
use crate::broker::registry::permits::Permit;
use crate::message::DeliveryStatus;
use crate::topic::Topic;

/// A signal to another node.
pub(super) struct OutgoingSignal {
    pub(super) name: Topic,
    pub(super) packet: Packet,
    /// Its place among the signals of this node: lower ones were sent earlier.
    pub(super) number: u64,
    /// Whether the directory has been asked for its name since it began to wait.
    pub(super) is_looked_up: bool,
    /// Until when it is sent again if the name is not where the directory says. `None` before the first attempt.
    pub(super) retry_until: Option<Instant>,
    /// The epoch of the grant that its last node no longer had.
    pub(super) gone: Option<Epoch>,
    status: oneshot::Sender<DeliveryStatus>,
    /// Its message holds the permit, too, and may wait longer than the signal.
    pub(super) permit: Arc<Permit>,
}

impl OutgoingSignal {
    /// A signal, and the receiver of its status.
    pub(super) fn new(name: Topic, packet: Packet, permit: Permit) -> (Self, oneshot::Receiver<DeliveryStatus>) {
        let (sender, status) = oneshot::channel();
        let signal = Self {
            name,
            packet,
            number: 0,
            is_looked_up: false,
            retry_until: None,
            gone: None,
            status: sender,
            permit: Arc::new(permit),
        };
        (signal, status)
    }

    /// Reports the status to the sender, if it still waits.
    pub(super) fn settle(self, status: DeliveryStatus) {
        let _ = self.status.send(status);
    }
}
