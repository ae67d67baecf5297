//! The commands of the node's threads to the cluster's thread, and the queue that they wait in.

use std::sync::Arc;

use tokio::sync::{mpsc, oneshot};

use crate::broker::adapter::{Answers, Claimed, Epoch, Packet, Question, Unreachable};
use crate::broker::registry::permits::{CommandBudget, Permit};
use crate::cluster::outgoing::OutgoingSignal;
use crate::message::NameClaim;
use crate::topic::Topic;

/// The memory that a command takes beside its content, in bytes: itself, its place in the queue, its answer, and the
/// task that works on it.
const COMMAND_OVERHEAD: usize = 512;

/// Where the answer goes, and the permit that the command holds until then.
pub(super) type Reply<T> = (oneshot::Sender<T>, Permit);

/// A call of the adapter.
pub(super) enum Command {
    Claim { name: Topic, claim: NameClaim, reply: Reply<Claimed> },
    Release { name: Topic, epoch: Epoch },
    Whereis { name: Topic, reply: Reply<Result<Option<Epoch>, Unreachable>> },
    Deliver(OutgoingSignal),
    Publish { topics: Box<[Topic]>, packet: Packet, permit: Permit },
    Subscribe { topic: Topic, reply: Reply<()> },
    Unsubscribe { topic: Topic },
    Ask { question: Question, reply: Reply<Answers> },
    Retire,
    Stop { reply: oneshot::Sender<()> },
}

/// The queue to the cluster's thread. Its commands count against a budget until they have left the node
/// (`cluster.queue_bytes`).
pub(super) struct CommandQueue {
    commands: mpsc::UnboundedSender<Command>,
    budget: Arc<CommandBudget>,
}

impl CommandQueue {
    /// A queue for commands of `limit` bytes.
    pub(super) fn new(limit: usize) -> (Self, mpsc::UnboundedReceiver<Command>) {
        let (commands, receiver) = mpsc::unbounded_channel();
        (Self { commands, budget: CommandBudget::with_overhead(limit, COMMAND_OVERHEAD) }, receiver)
    }

    /// Adds a command. Once the adapter has stopped, it is dropped, and with it the sender of its answer.
    pub(super) fn push(&self, command: Command) {
        let _ = self.commands.send(command);
    }

    pub(super) fn budget(&self) -> &Arc<CommandBudget> {
        &self.budget
    }
}
