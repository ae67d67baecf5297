//! [`Respondent`]: answers what the server API asks about this node, on this node's own behalf and for other nodes.
//!
//! It reads the published table, and asks the registry only for what is in none. What takes long is done in steps, so that
//! neither the registry nor the thread that asks stands still.

use std::collections::BTreeMap;
use std::future::ready;
use std::net::IpAddr;
use std::sync::{Arc, OnceLock, Weak};
use std::time::Instant;

use actix::Addr;
use compact_str::{CompactString, ToCompactString};
use futures_util::FutureExt;
use ipnet::{IpNet, Ipv4Net, Ipv6Net};
use tokio::task::{spawn_blocking, yield_now};

use crate::auth::{Revocation, RevocationsPage, RevokedTokens};
use crate::broker::adapter::{Answer, BoxFuture, Question};
use crate::broker::inquiry::{Clients, NodeInfo, PeerInfo, TopicInfo, TopicsPage, TopicsQuery};
use crate::broker::registry::Registry;
use crate::broker::registry::command::{GetOwnPresence, GetStats, GetTopicsOf};
use crate::broker::topic_table::TopicTable;
use crate::close;
use crate::connections::connection::{Connection, ConnectionId, Member};
use crate::connections::walk::{CONNECTIONS_OF_A_STEP, Walk};
use crate::topic::Topic;

/// The maximum number of topics of one page.
pub(crate) const TOPICS_OF_A_PAGE: usize = 1_000;
/// How large the names of one page may be together, in bytes. A message of an engine has room for them.
const PAGE_BYTES: usize = 256 * 1024;
/// How many topics of one client are listed.
const TOPICS_OF_A_CLIENT: usize = 1_000;
/// The prefixes of the networks that are shown in place of a client's address.
const IPV4_PREFIX: u8 = 24;
const IPV6_PREFIX: u8 = 48;

/// What a respondent must know of its node that is above the broker.
pub(crate) trait NodeControl: Send + Sync {
    /// All connections of the node, in steps.
    fn connections(&self) -> Walk;

    /// The connection with this number.
    fn connection(&self, id: ConnectionId) -> Option<Arc<Connection>>;

    /// The number of connections.
    fn connection_count(&self) -> usize;

    /// Whether the node takes clients.
    fn is_ready(&self) -> bool;

    /// Revokes tokens on this node, and disconnects the clients that have one. Returns how many. `None` if that is not
    /// possible.
    fn revoke_here(&self, revocation: &Revocation) -> Option<usize>;

    /// The first revocations of this node behind `after`.
    fn revocations(&self, after: Option<RevokedTokens>) -> RevocationsPage;

    /// Other nodes may know what this one has missed.
    fn ask_again(&self);
}

/// Answers questions about this node.
#[derive(Clone)]
pub(super) struct Respondent {
    table: Arc<TopicTable>,
    registry: Addr<Registry>,
    node: CompactString,
    started: Instant,
    /// Set once the node is complete.
    control: Arc<OnceLock<Weak<dyn NodeControl>>>,
}

impl Respondent {
    pub(super) fn new(table: Arc<TopicTable>, registry: Addr<Registry>, node: CompactString) -> Self {
        Self { table, registry, node, started: Instant::now(), control: Arc::default() }
    }

    /// From now on, questions about the node's connections are answered.
    pub(super) fn set_control(&self, control: Weak<dyn NodeControl>) {
        let is_first = self.control.set(control).is_ok();
        debug_assert!(is_first, "a pubsub belongs to one node");
    }

    fn control(&self) -> Option<Arc<dyn NodeControl>> {
        self.control.get().and_then(Weak::upgrade)
    }

    /// Answers a question of the server API. It has no answer to others.
    pub(super) fn answer(&self, question: Question) -> BoxFuture<Answer> {
        let respondent = self.clone();
        match question {
            Question::Peer(name) => Box::pin(respondent.peer(name).map(Answer::Peer)),
            Question::Topics(query) => Box::pin(respondent.topics(query).map(Answer::Topics)),
            Question::Topic(topic) => Box::pin(respondent.topic(topic).map(Answer::Topic)),
            Question::Node => Box::pin(respondent.node().map(Answer::Node)),
            Question::Disconnect { clients, may_reconnect } => {
                Box::pin(respondent.disconnect(clients, may_reconnect).map(|closed| Answer::Closed(Some(closed))))
            }
            Question::Revoke(revocation) => {
                // it may wait for the disk
                let revoked = spawn_blocking(move || respondent.revoke(&revocation));
                Box::pin(revoked.map(|closed| Answer::Closed(closed.ok().flatten())))
            }
            Question::Revocations(after) => Box::pin(ready(Answer::Revocations(respondent.revocations(after)))),
            _ => Box::pin(ready(Answer::Closed(None))),
        }
    }

    /// The client of this node that owns a name.
    async fn peer(self, name: Topic) -> Option<PeerInfo> {
        let connection = clients_among(&self.table.members(name.key())?).next()?.connection.clone();
        let joined = GetTopicsOf { connection: connection.id, limit: TOPICS_OF_A_CLIENT };
        let topics = self.registry.send(joined).await.unwrap_or_default();
        let mut bytes = PAGE_BYTES;
        let topics = topics.iter().filter(|topic| **topic != name).map_while(|topic| {
            bytes = bytes.checked_sub(topic.as_str().len())?;
            Some(topic.as_str().into())
        });
        Some(PeerInfo {
            connection: connection.id.0,
            transport: CompactString::const_new(if connection.writer().is_some() { "websocket" } else { "http" }),
            network: network(connection.address),
            subject: connection.access().map(|access| access.subject().into()),
            age: connection.now().saturating_duration_since(connection.opened),
            topics: topics.collect(),
            queue_bytes: connection.held().0,
        })
    }

    /// The first topics of a query.
    async fn topics(self, query: TopicsQuery) -> TopicsPage {
        let limit = query.limit.min(TOPICS_OF_A_PAGE);
        let mut found: BTreeMap<CompactString, usize> = BTreeMap::new();
        let mut place = Some(Default::default());
        while let Some(at) = place {
            place = self.table.visit(at, |topic, members| {
                let name = topic.as_str();
                let is_wanted =
                    topic.realm() == query.realm && name > &*query.after && name.starts_with(&*query.prefix);
                let is_early = found.len() <= limit || found.last_key_value().is_some_and(|(last, _)| name < &**last);
                if is_wanted && is_early {
                    found.insert(name.into(), members);
                    // one more than are asked for shows whether there are more
                    if found.len() > limit + 1 {
                        found.pop_last();
                    }
                }
            });
            yield_now().await;
        }
        let mut bytes = PAGE_BYTES;
        let all = found.len();
        let fits = |(name, _): &(CompactString, usize)| {
            let left = bytes.checked_sub(name.len());
            bytes = left.unwrap_or_default();
            left.is_some()
        };
        let topics: Vec<_> = found.into_iter().take(limit).take_while(fits).collect();
        TopicsPage { is_last: topics.len() == all, topics }
    }

    /// A topic on this node.
    async fn topic(self, topic: Topic) -> TopicInfo {
        let members = self.table.count(topic.key());
        let presence = self.registry.send(GetOwnPresence { topic }).await.unwrap_or_default();
        TopicInfo { members, presence }
    }

    /// This node.
    async fn node(self) -> NodeInfo {
        let control = self.control();
        NodeInfo {
            version: CompactString::const_new(env!("CARGO_PKG_VERSION")),
            age: self.started.elapsed(),
            is_ready: control.as_ref().is_some_and(|control| control.is_ready()),
            connections: control.map_or(0, |control| control.connection_count()),
            stats: self.registry.send(GetStats).await.unwrap_or_default(),
        }
    }

    /// Disconnects clients of this node. Returns how many connections it has closed.
    async fn disconnect(self, clients: Clients, may_reconnect: bool) -> usize {
        let reason = if may_reconnect { &close::DISCONNECTED } else { &close::DISMISSED };
        let mut closed = 0;
        match clients {
            Clients::Members(topic) => {
                let members = self.table.members(topic.key());
                for step in members.iter().flat_map(|members| members.chunks(CONNECTIONS_OF_A_STEP)) {
                    closed += clients_among(step).filter(|client| client.connection.close(reason)).count();
                    yield_now().await;
                }
            }
            Clients::Connection { node, number } => {
                let control = self.control().filter(|_| node == self.node);
                let connection = control.and_then(|control| control.connection(ConnectionId(number)));
                closed += usize::from(connection.is_some_and(|connection| connection.close(reason)));
            }
            Clients::Subject(subject) => {
                let has_subject = |connection: &&Arc<Connection>| {
                    connection.access().is_some_and(|access| access.subject() == subject)
                };
                for step in self.control().into_iter().flat_map(|control| control.connections()) {
                    closed += step.iter().filter(has_subject).filter(|connection| connection.close(reason)).count();
                    yield_now().await;
                }
            }
        }
        closed
    }

    /// The first revocations of this node behind `after`.
    fn revocations(&self, after: Option<RevokedTokens>) -> RevocationsPage {
        self.control().map_or(RevocationsPage::EMPTY, |control| control.revocations(after))
    }

    /// Other nodes may know what this one has missed: messages were lost, or a node is new.
    pub(super) fn ask_again(&self) {
        if let Some(control) = self.control() {
            control.ask_again();
        }
    }

    /// Revokes tokens on this node.
    fn revoke(&self, revocation: &Revocation) -> Option<usize> {
        self.control()?.revoke_here(revocation)
    }
}

/// Those of a topic's members that are clients.
fn clients_among(members: &[Member]) -> impl Iterator<Item = &Member> {
    members.iter().filter(|member| member.join.is_client())
}

/// The network of a client, in place of its address.
fn network(address: IpAddr) -> CompactString {
    let network = match address {
        IpAddr::V4(address) => Ipv4Net::new(address, IPV4_PREFIX).map(IpNet::V4),
        IpAddr::V6(address) => Ipv6Net::new(address, IPV6_PREFIX).map(IpNet::V6),
    };
    network.map_or_else(|_| CompactString::default(), |network| network.trunc().to_compact_string())
}
