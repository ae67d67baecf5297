//! A signal to another node, from the command until its delivery status is known.

use std::sync::Arc;

use tokio::sync::oneshot;
use tokio::time::Instant;

use crate::broker::adapter::Packet;
use crate::broker::registry::permits::Permit;
use crate::message::DeliveryStatus;
use crate::topic::Topic;

/// A signal to another node.
pub(super) struct OutgoingSignal {
    pub(super) name: Topic,
    pub(super) packet: Packet,
    /// Until when it is sent again if the name is on its way from one node to another. `None` before the first attempt.
    pub(super) retry_until: Option<Instant>,
    status: oneshot::Sender<DeliveryStatus>,
    /// Its message holds the permit, too, and may wait longer than the signal.
    pub(super) permit: Arc<Permit>,
}

impl OutgoingSignal {
    /// A signal, and the receiver of its status.
    pub(super) fn new(name: Topic, packet: Packet, permit: Permit) -> (Self, oneshot::Receiver<DeliveryStatus>) {
        let (sender, status) = oneshot::channel();
        (Self { name, packet, retry_until: None, status: sender, permit: Arc::new(permit) }, status)
    }

    /// Reports the status to the sender, if it still waits.
    pub(super) fn settle(self, status: DeliveryStatus) {
        let _ = self.status.send(status);
    }
}
