//! [`Effect`]: what a socket requests from its session, which carries it out.
//!
//! Effects are carried out in [`session`](crate::sessions::session). The types of the messages are in
//! [`message`](crate::message).

use std::sync::Arc;

use crate::broker::registry::permits::Permit;
use crate::channels::task_future::TaskFuture;
use crate::close::Reason;
use crate::message::{Broadcast, JoinId, Membership, Outbound, PresenceChange, Reach, Signal, TaskId};
use crate::topic::Topic;

/// A request from a socket to its session. A registry command that a client causes carries its [`Permit`] already, so
/// it cannot be refused here: without a permit, the channel has received an error instead.
#[derive(Debug)]
pub(crate) enum Effect {
    /// Send a message to the client.
    Send(Outbound),
    /// Make this join a member of the topic. It replaces an older join if `replaces` names one.
    Subscribe { join: JoinId, topic: Topic, membership: Membership, replaces: Option<JoinId>, permit: Permit },
    /// End the membership of a join for which there was a `Subscribe`, whether or not the registry has confirmed it.
    Unsubscribe(JoinId),
    /// Send a message to the topic's members. If `topics` is given, send it to each client once that is a member of at
    /// least one of them.
    Broadcast { broadcast: Broadcast, topics: Option<Arc<[Topic]>>, reach: Reach },
    /// Send a message to the exclusive member of a topic, and report the delivery status to the socket.
    Signal { signal: Signal, broadcast: Broadcast },
    /// Start or stop watching the topic. The join is notified when it gets its first member and loses its last.
    Watch { join: JoinId, topic: Topic, on: bool, permit: Permit },
    /// Change this join's entry in the topic's presence list.
    Presence { join: JoinId, topic: Topic, change: PresenceChange, permit: Permit },
    /// Run a future, and notify the socket when it is ready.
    Spawn { id: TaskId, future: TaskFuture },
    /// Close the connection.
    Close(&'static Reason),
}
