//! What a node is asked about itself and its clients, for the server API, and what it answers. Who answers is in
//! [`respondent`](crate::broker::respondent).

use compact_str::CompactString;
use std::time::Duration;

use crate::broker::registry_stats::RegistryStats;
use crate::message::PresenceList;
use crate::topic::{Realm, Topic};

/// Clients that are to be disconnected.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Clients {
    /// The members of a topic. A name has one.
    Members(Topic),
    /// One connection of one node.
    Connection {
        /// The node.
        node: CompactString,
        /// The number of the connection on its node.
        number: u64,
    },
    /// Those whose token has this `sub`.
    Subject(CompactString),
}

impl Clients {
    /// The size of its texts, in bytes.
    #[cfg(feature = "cluster")]
    pub(crate) fn size(&self) -> usize {
        match self {
            Self::Members(topic) => topic.key().len(),
            Self::Connection { node, .. } => node.len(),
            Self::Subject(subject) => subject.len(),
        }
    }
}

/// The client that owns a name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PeerInfo {
    /// The number of its connection on its node.
    pub connection: u64,
    /// How it is connected: `websocket` or `http`.
    pub transport: CompactString,
    /// The network of its IP address.
    pub network: CompactString,
    /// The `sub` of its token.
    pub subject: Option<CompactString>,
    /// How long it has been connected.
    pub age: Duration,
    /// The other topics that it is a member of, as its clients name them. Not all if they are many.
    pub topics: Vec<CompactString>,
    /// The size of the messages that wait for the client, in bytes.
    pub queue_bytes: usize,
}

/// Which topics are listed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TopicsQuery {
    /// The realm of the topics.
    pub realm: Realm,
    /// How their names begin.
    pub prefix: CompactString,
    /// Only names behind this one.
    pub after: CompactString,
    /// How many at most.
    pub limit: usize,
}

/// The first topics of a query, by name.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TopicsPage {
    /// Their names, and how many members each has on the node.
    pub topics: Vec<(CompactString, usize)>,
    /// Whether there are no further ones.
    pub is_last: bool,
}

/// One topic on one node.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TopicInfo {
    /// The number of its members.
    pub members: usize,
    /// The presence entries of these members.
    pub presence: PresenceList,
}

/// One node.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct NodeInfo {
    /// The version of its program.
    pub version: CompactString,
    /// How long it has been running.
    pub age: Duration,
    /// Whether it takes clients.
    pub is_ready: bool,
    /// The number of connected clients.
    pub connections: usize,
    /// The sizes of its tables.
    pub stats: RegistryStats,
}
