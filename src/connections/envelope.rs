//! What the rest of the broker has to say to one connection. How it waits for that is the
//! [mailbox](crate::connections::mailbox)'s to say.

use std::any::Any;
use std::sync::Arc;

use crate::close::Reason;
use crate::message::{DeliveryStatus, Event, JoinId, Payload, RequestRef, Signal, Status, TaskId};
use crate::protocol::Delivery;

/// What a note takes in the queue beside its payload, in bytes: about its size in memory.
pub(crate) const ENVELOPE_OVERHEAD: usize = 128;

/// One thing that the rest of the broker has to say to a connection.
#[derive(Debug)]
pub(crate) enum Envelope {
    /// To a join, as a member of its topic.
    Delivery(JoinId, Arc<Delivery>),
    /// To the socket, about one of its own wishes or joins.
    SocketEvent(Box<SocketEvent>),
    /// It is time to ask the client for a sign of life.
    Ping,
    /// The connection must end; nothing follows.
    Close(&'static Reason),
}

/// What the registry, another task, or another node answers.
#[derive(Debug)]
pub(crate) enum SocketEvent {
    /// The join is a member now.
    Subscribed(JoinId),
    /// The join cannot be a member, for this reason.
    Refused(JoinId, &'static str),
    /// Somebody with the same secret took the join's place.
    Evicted(JoinId),
    /// What became of a message to a named peer.
    DeliveryStatus(Signal, DeliveryStatus),
    /// A late answer to a request.
    Reply(RequestRef, Status, Payload),
    /// A message of the join's channel to its client.
    Push(JoinId, Event, Payload),
    /// Something for the join's channel.
    Info(JoinId, Info),
    /// A future that a channel has started is ready.
    TaskDone(TaskId),
}

/// A message to a channel from the server's own code; the channel knows what it is.
pub type Info = Box<dyn Any + Send>;

impl Envelope {
    /// What it takes in the queue, in bytes.
    pub(crate) fn size(&self) -> usize {
        match self {
            Self::Delivery(_, delivery) => ENVELOPE_OVERHEAD + delivery.size(),
            Self::SocketEvent(note) => match &**note {
                SocketEvent::Reply(_, _, payload) | SocketEvent::Push(_, _, payload) => {
                    ENVELOPE_OVERHEAD + payload.len()
                }
                // one at most for each task, and those have a bound of their own
                SocketEvent::TaskDone(_) => 0,
                _ => ENVELOPE_OVERHEAD,
            },
            Self::Ping | Self::Close(_) => 0,
        }
    }
}
