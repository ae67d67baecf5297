//! What arrives from other nodes: each message is opened and handed to the part that it is for.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::rc::{Rc, Weak};

use bytes::Bytes;
use tokio::task::spawn_local;

use crate::cluster::engine::EngineEvents;
use crate::cluster::envelope::{Destination, Opened, Refused};
use crate::cluster::message::Message;
use crate::cluster::requests::Response;
use crate::cluster::this_node::ThisNode;
use crate::refusal::PacketRefusal;

/// What the engine calls while one link lasts.
pub(super) struct Receiver {
    pub(super) node: Weak<ThisNode>,
    pub(super) link_number: u64,
}

impl EngineEvents for Receiver {
    fn message(&self, message: Bytes) {
        let Some(node) = self.node.upgrade() else { return };
        // it runs in a task of the engine, which would end without a word
        if catch_unwind(AssertUnwindSafe(|| node.receive(message))).is_err() {
            node.receipt_panicked.notify_one();
        }
    }

    fn lost(&self, why: String) {
        if let Some(node) = self.node.upgrade().filter(|node| node.link_number.get() == self.link_number) {
            node.link_lost(why);
        }
    }
}

impl ThisNode {
    fn receive(self: &Rc<Self>, message: Bytes) {
        let opened = self.opener.borrow_mut().open(message.clone());
        match opened {
            Err(Refused::Stranger(_)) => self.wait_for_members(message),
            opened => self.accept(opened),
        }
    }

    /// Dispatches a message, or counts why it is refused.
    fn accept(self: &Rc<Self>, opened: Result<Opened, Refused>) {
        match opened {
            Ok(Opened { from, message }) => {
                self.metrics.cluster.packets_received.inc();
                self.dispatch(&from, message);
            }
            Err(refused) => {
                if let Some(reason) = refusal(&refused) {
                    self.metrics.cluster.packets_refused.inc(reason);
                }
            }
        }
    }

    /// A message of a node that this node does not know: it may have just started. It is opened again once the list of
    /// live nodes has been read.
    fn wait_for_members(self: &Rc<Self>, message: Bytes) {
        let mut strangers = self.strangers.borrow_mut();
        let is_first = strangers.is_empty();
        if !strangers.push(message) {
            return self.metrics.cluster.packets_refused.inc(PacketRefusal::Stranger);
        }
        if is_first {
            let node = self.clone();
            spawn_local(async move {
                loop {
                    // what comes during a reading of the list may be of a node that the reading does not show yet
                    let before = node.strangers.borrow().last();
                    let _ = node.refresh_members().await;
                    node.open_waiting(before);
                    if node.strangers.borrow().is_empty() {
                        return;
                    }
                }
            });
        }
    }

    /// Opens the messages of nodes that were not known. They come before what these nodes send from now on. One of a node
    /// that is still not known is refused if its number is at most `known_until`, and waits otherwise.
    pub(super) fn open_waiting(self: &Rc<Self>, known_until: u64) {
        let waiting = self.strangers.borrow_mut().take();
        let mut strangers = Vec::new();
        for (number, message) in waiting {
            let opened = self.opener.borrow_mut().open(message.clone());
            match opened {
                Err(Refused::Stranger(_)) if number > known_until => strangers.push((number, message)),
                opened => self.accept(opened),
            }
        }
        self.strangers.borrow_mut().put_back(strangers);
    }

    fn dispatch(self: &Rc<Self>, from: &str, message: Message) {
        match message {
            Message::Publish { topics, packet } => self.inbox.publish(&topics, packet),
            Message::Signal { request, name, epoch, packet } => {
                // a node whose lease is over may have lost the name to another node
                if self.may_own() {
                    self.answer_signal(from, request, name, epoch, packet);
                }
            }
            Message::Verdict { request, verdict } => self.requests.resolve(request, Response::Verdict(verdict)),
            Message::GiveUp { request, name, epoch, proof } => self.answer_give_up(from, request, name, epoch, proof),
            Message::GivenUp { request, is_free } => self.requests.resolve(request, Response::GivenUp(is_free)),
            Message::Revoke { name, epoch } => {
                self.metrics.cluster.names_revoked.inc();
                self.inbox.revoke(&name, epoch);
            }
            Message::Probe { topic, token } => {
                let sealed = self.seal(Destination::Topics, &Message::Heard { topic: topic.clone(), token });
                drop(spawn_local(self.engine.publish(topic.key(), sealed)));
            }
            Message::Heard { token, .. } => self.subscriptions.borrow_mut().heard(token, from),
            Message::Question { request, question } => self.answer_question(from, request, question),
            Message::Answer { request, answer } => self.requests.resolve(request, Response::Answer(answer)),
        }
    }
}

/// What is counted. A node's own messages come back on each topic that it is subscribed to, and are not.
fn refusal(refused: &Refused) -> Option<PacketRefusal> {
    Some(match refused {
        Refused::Own => return None,
        Refused::Forged => PacketRefusal::Forged,
        Refused::Repeated => PacketRefusal::Repeated,
        Refused::Version(_) => PacketRefusal::Version,
        Refused::Malformed => PacketRefusal::Malformed,
        Refused::Stranger(_) => PacketRefusal::Stranger,
        Refused::Misdirected => PacketRefusal::Misdirected,
        Refused::Unknown => PacketRefusal::Unknown,
    })
}
