//! [`RegistryHooks`]: what the registry reports. Only a registry with webhooks has one.

use std::collections::{HashMap, VecDeque};

use compact_str::CompactString;

use super::grace::{Change, Gone, Subject};
use super::handle::Webhooks;
use crate::connections::connection::Connection;
use crate::message::JoinId;
use crate::topic::Topic;

/// The reason of a client that has left its name, but not its connection; and of one whose name another node has taken.
const LEFT: &str = "left";
const TAKEN: &str = "taken";
/// How many nodes are remembered that were told gone: each life of a node has another name, and only the last ones return.
const GONE_NODES: usize = 100;

/// What the registry reports to the webhooks.
pub(crate) struct RegistryHooks {
    webhooks: Webhooks,
    /// How many clients are members of each room. The table of topics counts subscriptions of the server, too.
    rooms: HashMap<Topic, usize>,
    /// The nodes that were told gone last.
    gone: VecDeque<CompactString>,
}

impl RegistryHooks {
    pub(crate) fn new(webhooks: Webhooks) -> Self {
        Self { webhooks, rooms: HashMap::new(), gone: VecDeque::new() }
    }

    /// A name has got its owner.
    pub(crate) fn peer_up(&self, name: &Topic, owner: &Connection) {
        if self.webhooks.wants_peer(name) {
            self.webhooks.changed(Subject::Peer(name.clone()), Change::Up(subject(owner)));
        }
    }

    /// A name has lost its owner, which has left it or is closed.
    pub(crate) fn peer_down(&self, name: &Topic, owner: &Connection) {
        self.down(name, owner, owner.mailbox.closed().map_or(LEFT, |reason| reason.name));
    }

    /// A name has got another owner in one step. That is nothing new, unless it is another user.
    pub(crate) fn peer_replaced(&self, name: &Topic, former: &Connection, owner: &Connection) {
        if subject(former) != subject(owner) {
            self.peer_taken(name, former);
            self.peer_up(name, owner);
        }
    }

    /// Another client has the name now.
    pub(crate) fn peer_taken(&self, name: &Topic, owner: &Connection) {
        self.down(name, owner, TAKEN);
    }

    fn down(&self, name: &Topic, owner: &Connection, reason: &'static str) {
        if self.webhooks.wants_peer(name) {
            let gone = Gone { reason, subject: subject(owner) };
            self.webhooks.changed(Subject::Peer(name.clone()), Change::Down(gone));
        }
    }

    /// A topic that is no name has a new member.
    pub(crate) fn joined(&mut self, topic: &Topic, join: JoinId) {
        if !is_of_client(join) || !self.webhooks.wants_room(topic) {
            return;
        }
        let members = self.rooms.entry(topic.clone()).or_default();
        *members += 1;
        if *members == 1 {
            self.webhooks.changed(Subject::Room(topic.clone()), Change::Up(None));
        }
    }

    /// A topic that is no name has lost a member.
    pub(crate) fn left(&mut self, topic: &Topic, join: JoinId) {
        let Some(members) = self.rooms.get_mut(topic).filter(|_| is_of_client(join)) else { return };
        *members -= 1;
        if *members == 0 {
            self.rooms.remove(topic);
            let gone = Gone { reason: LEFT, subject: None };
            self.webhooks.changed(Subject::Room(topic.clone()), Change::Down(gone));
        }
    }

    /// Another node is gone.
    pub(crate) fn node_down(&mut self, node: &str) {
        if self.gone.len() == GONE_NODES {
            self.gone.pop_front();
        }
        self.gone.push_back(node.into());
        self.webhooks.node_down(node);
    }

    /// Another node is there. If it was told gone, the receiver has forgotten its peers and rooms.
    pub(crate) fn node_up(&mut self, node: &str) {
        let before = self.gone.len();
        self.gone.retain(|gone| gone != node);
        if self.gone.len() < before {
            self.webhooks.node_back();
        }
    }
}

/// Whether the member is a join of a client, and neither a subscription of the server nor that of a socket to its own id.
fn is_of_client(join: JoinId) -> bool {
    join.is_client() && join != JoinId::SOCKET
}

/// The subject of the client's token.
fn subject(client: &Connection) -> Option<CompactString> {
    client.access().map(|access| access.subject().into())
}
