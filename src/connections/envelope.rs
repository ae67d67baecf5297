//! The messages that the rest of the broker puts into a connection's mailbox. The queue itself is in
//! [`mailbox`](crate::connections::mailbox).

use std::any::Any;
use std::sync::Arc;

use tokio::sync::oneshot;

use crate::close::Reason;
use crate::message::{DeliveryStatus, Event, JoinId, Payload, RequestRef, Signal, Status, TaskId};
use crate::protocol::{Delivery, Frame};

/// The size that an envelope counts for in the queue besides its payload, in bytes. It is about its size in memory.
pub(crate) const ENVELOPE_OVERHEAD: usize = 128;

/// One message in a connection's mailbox.
#[derive(Debug)]
pub(crate) enum Envelope {
    /// A broadcast for a join that is a member of the topic.
    Delivery(JoinId, Arc<Delivery>),
    /// An event for the socket, about one of its own requests or joins.
    SocketEvent(Box<SocketEvent>),
    /// A message of the client, from an HTTP request beside its transport. The request waits until it has been handled.
    Posted(Frame, oneshot::Sender<()>),
    /// The next ping is due.
    Ping,
    /// The client must show that it is alive: by its answer to a ping, or by its next request.
    Probe,
    /// The connection must close. It is the last envelope.
    Close(&'static Reason),
}

/// An event for the socket from the registry, another task, or another node.
#[derive(Debug)]
pub(crate) enum SocketEvent {
    /// The join is a member of its topic now.
    Subscribed(JoinId),
    /// The join cannot become a member, for this reason.
    Refused(JoinId, &'static str),
    /// Another client with the same secret has taken over the join's name.
    Evicted(JoinId),
    /// The delivery status of a message to a named peer.
    DeliveryStatus(Signal, DeliveryStatus),
    /// A late reply to a request.
    Reply(RequestRef, Status, Payload),
    /// A message from the join's channel to its client.
    Push(JoinId, Event, Payload),
    /// The presence list of the join's topic.
    PresenceState(JoinId, Payload),
    /// The client reads too slowly for the changes of the list, and must request it again.
    PresenceLag(JoinId),
    /// A message from the server's own code to the join's channel.
    Info(JoinId, Info),
    /// A future that a channel has started is complete.
    TaskDone(TaskId),
}

/// A message from the server's own code to a channel. The channel knows its type.
pub type Info = Box<dyn Any + Send>;

impl Envelope {
    /// The size that it counts for in the queue, in bytes.
    pub(crate) fn size(&self) -> usize {
        match self {
            Self::Delivery(_, delivery) => ENVELOPE_OVERHEAD + delivery.size(),
            Self::SocketEvent(event) => match &**event {
                SocketEvent::Reply(_, _, payload)
                | SocketEvent::Push(_, _, payload)
                | SocketEvent::PresenceState(_, payload) => ENVELOPE_OVERHEAD + payload.len(),
                // there is at most one for each task, and `limits.tasks_per_socket` limits the tasks
                SocketEvent::TaskDone(_) => 0,
                _ => ENVELOPE_OVERHEAD,
            },
            Self::Posted(frame, _) => ENVELOPE_OVERHEAD + frame.size(),
            Self::Ping | Self::Probe | Self::Close(_) => 0,
        }
    }

    /// The join that has lost its name. The client gets nothing for it that is queued behind this.
    pub(crate) fn evicted(&self) -> Option<JoinId> {
        match self {
            Self::SocketEvent(event) => match **event {
                SocketEvent::Evicted(join) => Some(join),
                _ => None,
            },
            _ => None,
        }
    }

    /// Whether it is a delivery for one of these joins.
    pub(crate) fn is_for_one_of(&self, joins: &[JoinId]) -> bool {
        matches!(self, Self::Delivery(join, _) if joins.contains(join))
    }

    /// How many of these bytes only this mailbox holds. The members of a topic share a delivery, which counts against the
    /// node's budget by itself.
    pub(crate) fn own_bytes(&self) -> usize {
        match self {
            Self::Delivery(..) => ENVELOPE_OVERHEAD,
            other => other.size(),
        }
    }
}
