//! What a socket wants done: its words to the session, which does it.
//!
//! Nothing is done here, and what a client or a topic is told is in [`message`](crate::message).

use crate::broker::registry::permits::Permit;
use crate::channels::task_future::TaskFuture;
use crate::close::Reason;
use crate::message::{Broadcast, JoinId, Membership, Outbound, PresenceChange, Reach, Signal, TaskId};
use crate::topic::Topic;

/// What a socket wants done. What a client may wish for from the registry has its [`Permit`] there already, so that
/// who wished for it has been told, had there been none.
#[derive(Debug)]
pub(crate) enum Effect {
    /// Tell the client.
    Send(Outbound),
    /// Make this join a member of the topic, in place of an older one if it names one.
    Subscribe { join: JoinId, topic: Topic, membership: Membership, replaces: Option<JoinId>, permit: Permit },
    /// This join is a member no longer, or is not to become one: there was a `Subscribe` for it.
    Unsubscribe(JoinId),
    /// Tell the topic's members.
    Broadcast { broadcast: Broadcast, reach: Reach },
    /// Tell the one member of a named topic, and come back with the verdict.
    Signal { signal: Signal, broadcast: Broadcast },
    /// Begin (or stop) to tell this join when the topic gets its first member and loses its last.
    Watch { join: JoinId, topic: Topic, on: bool, permit: Permit },
    /// Change what the topic's presence list says of this join.
    Presence { join: JoinId, topic: Topic, change: PresenceChange, permit: Permit },
    /// Run a future, and come back when it is ready.
    Spawn { id: TaskId, future: TaskFuture },
    /// End the connection.
    Close(&'static Reason),
}
