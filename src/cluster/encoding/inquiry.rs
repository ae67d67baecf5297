//! Converts questions and their answers to the protobuf messages of [`schema`](crate::cluster::schema), and back.

use std::time::Duration;

use compact_str::CompactString;

use super::{DecodeError, bytes, required, size, text, topic};
use crate::auth::{Revocation, RevocationsPage, RevokedTokens};
use crate::broker::adapter::{Answer, Question};
use crate::broker::{Clients, NodeInfo, PeerInfo, RegistryStats, TopicInfo, TopicsPage, TopicsQuery};
use crate::cluster::schema::{self, AnswerKind, ClientsKind, QuestionKind, RevokedKind};
use crate::topic::Realm;

impl From<&Question> for QuestionKind {
    fn from(question: &Question) -> Self {
        match question {
            Question::Census => Self::Census(schema::Empty {}),
            Question::ComparePresence => Self::ComparePresence(schema::Empty {}),
            Question::Owns(name) => Self::Owns(bytes(name.key())),
            Question::Presence(topic) => Self::Presence(bytes(topic.key())),
            Question::PresenceVersions(topics) => Self::PresenceVersions(schema::Topics {
                topics: topics.iter().map(|topic| bytes(topic.key())).collect(),
            }),
            Question::Peer(name) => Self::Peer(bytes(name.key())),
            Question::Topics(query) => Self::Topics(query.into()),
            Question::Topic(topic) => Self::Topic(bytes(topic.key())),
            Question::Node => Self::Node(schema::Empty {}),
            Question::Disconnect { clients, may_reconnect } => {
                Self::Disconnect(schema::Disconnect { may_reconnect: *may_reconnect, clients: Some(clients.into()) })
            }
            Question::Revoke(revocation) => Self::Revoke(revocation.into()),
            Question::Revocations(after) => {
                Self::Revocations(schema::RevocationsQuery { after: after.as_ref().map(Into::into) })
            }
        }
    }
}

impl TryFrom<QuestionKind> for Question {
    type Error = DecodeError;

    fn try_from(question: QuestionKind) -> Result<Self, DecodeError> {
        Ok(match question {
            QuestionKind::Census(schema::Empty {}) => Self::Census,
            QuestionKind::ComparePresence(schema::Empty {}) => Self::ComparePresence,
            QuestionKind::Owns(name) => Self::Owns(topic(&name)?),
            QuestionKind::Presence(name) => Self::Presence(topic(&name)?),
            QuestionKind::PresenceVersions(schema::Topics { topics }) => {
                Self::PresenceVersions(topics.iter().map(topic).collect::<Result<_, _>>()?)
            }
            QuestionKind::Peer(name) => Self::Peer(topic(&name)?),
            QuestionKind::Topics(query) => Self::Topics(query.try_into()?),
            QuestionKind::Topic(name) => Self::Topic(topic(&name)?),
            QuestionKind::Node(schema::Empty {}) => Self::Node,
            QuestionKind::Disconnect(schema::Disconnect { may_reconnect, clients }) => {
                Self::Disconnect { clients: clients.ok_or(DecodeError::Unknown)?.try_into()?, may_reconnect }
            }
            QuestionKind::Revoke(revocation) => Self::Revoke(revocation.try_into()?),
            QuestionKind::Revocations(schema::RevocationsQuery { after }) => {
                Self::Revocations(after.map(TryInto::try_into).transpose()?)
            }
        })
    }
}

impl From<&Answer> for AnswerKind {
    fn from(answer: &Answer) -> Self {
        match answer {
            Answer::Census(stats) => Self::Census(stats.into()),
            Answer::ComparesPresence => Self::ComparesPresence(schema::Empty {}),
            Answer::Owns(owns) => Self::Owns(*owns),
            Answer::Presence(list) => Self::Presence(list.into()),
            Answer::PresenceVersions(versions) => {
                Self::PresenceVersions(schema::Versions { versions: versions.clone() })
            }
            Answer::Peer(peer) => Self::Peer(schema::PeerAnswer { peer: peer.as_ref().map(Into::into) }),
            Answer::Topics(page) => Self::Topics(page.into()),
            Answer::Topic(info) => Self::Topic(info.into()),
            Answer::Node(info) => Self::Node(info.into()),
            Answer::Revocations(page) => Self::Revocations(page.into()),
            Answer::Closed(closed) => Self::Closed(schema::Closed { connections: closed.map(|closed| closed as u64) }),
        }
    }
}

impl TryFrom<AnswerKind> for Answer {
    type Error = DecodeError;

    fn try_from(answer: AnswerKind) -> Result<Self, DecodeError> {
        Ok(match answer {
            AnswerKind::Census(stats) => Self::Census(stats.into()),
            AnswerKind::ComparesPresence(schema::Empty {}) => Self::ComparesPresence,
            AnswerKind::Owns(owns) => Self::Owns(owns),
            AnswerKind::Presence(list) => Self::Presence(list.try_into()?),
            AnswerKind::PresenceVersions(schema::Versions { versions }) => Self::PresenceVersions(versions),
            AnswerKind::Peer(schema::PeerAnswer { peer }) => Self::Peer(peer.map(TryInto::try_into).transpose()?),
            AnswerKind::Topics(page) => Self::Topics(page.try_into()?),
            AnswerKind::Topic(info) => Self::Topic(info.try_into()?),
            AnswerKind::Node(info) => Self::Node(info.try_into()?),
            AnswerKind::Revocations(page) => Self::Revocations(page.try_into()?),
            AnswerKind::Closed(schema::Closed { connections }) => Self::Closed(connections.map(size)),
        })
    }
}

impl From<&RegistryStats> for schema::Census {
    fn from(stats: &RegistryStats) -> Self {
        Self {
            connections: stats.connections as u64,
            topics: stats.topics as u64,
            members: stats.members as u64,
            names: stats.names as u64,
            watches: stats.watches as u64,
            presence_entries: stats.presence_entries as u64,
            held: stats.held as u64,
            held_bytes: stats.held_bytes as u64,
        }
    }
}

impl From<schema::Census> for RegistryStats {
    fn from(stats: schema::Census) -> Self {
        Self {
            connections: size(stats.connections),
            topics: size(stats.topics),
            members: size(stats.members),
            names: size(stats.names),
            watches: size(stats.watches),
            presence_entries: size(stats.presence_entries),
            held: size(stats.held),
            held_bytes: size(stats.held_bytes),
        }
    }
}

impl From<&TopicsQuery> for schema::TopicsQuery {
    fn from(query: &TopicsQuery) -> Self {
        Self {
            realm: bytes(query.realm.name()),
            prefix: bytes(&query.prefix),
            after: bytes(&query.after),
            limit: query.limit as u64,
        }
    }
}

impl TryFrom<schema::TopicsQuery> for TopicsQuery {
    type Error = DecodeError;

    fn try_from(query: schema::TopicsQuery) -> Result<Self, DecodeError> {
        let realm = Realm::ALL.iter().find(|realm| realm.name().as_bytes() == query.realm);
        Ok(Self {
            realm: *realm.ok_or(DecodeError::Unknown)?,
            prefix: text(&query.prefix)?,
            after: text(&query.after)?,
            limit: size(query.limit),
        })
    }
}

impl From<&Clients> for ClientsKind {
    fn from(clients: &Clients) -> Self {
        match clients {
            Clients::Members(topic) => Self::Members(bytes(topic.key())),
            Clients::Connection { node, number } => {
                Self::Connection(schema::ConnectionOfNode { node: bytes(node), number: *number })
            }
            Clients::Subject(subject) => Self::Subject(bytes(subject)),
        }
    }
}

impl TryFrom<ClientsKind> for Clients {
    type Error = DecodeError;

    fn try_from(clients: ClientsKind) -> Result<Self, DecodeError> {
        Ok(match clients {
            ClientsKind::Members(name) => Self::Members(topic(&name)?),
            ClientsKind::Connection(schema::ConnectionOfNode { node, number }) => {
                Self::Connection { node: text(&node)?, number }
            }
            ClientsKind::Subject(subject) => Self::Subject(text(&subject)?),
        })
    }
}

impl From<&Revocation> for schema::Revocation {
    fn from(Revocation { tokens, before, at }: &Revocation) -> Self {
        Self { tokens: Some(tokens.into()), before: *before, at: *at }
    }
}

impl From<&RevokedTokens> for RevokedKind {
    fn from(tokens: &RevokedTokens) -> Self {
        match tokens {
            RevokedTokens::Subject(subject) => Self::Subject(bytes(subject)),
            RevokedTokens::TokenId(id) => Self::TokenId(bytes(id)),
        }
    }
}

impl TryFrom<RevokedKind> for RevokedTokens {
    type Error = DecodeError;

    fn try_from(tokens: RevokedKind) -> Result<Self, DecodeError> {
        Ok(match tokens {
            RevokedKind::Subject(subject) => Self::Subject(text(&subject)?.into()),
            RevokedKind::TokenId(id) => Self::TokenId(text(&id)?.into()),
        })
    }
}

impl From<&RevocationsPage> for schema::RevocationsPage {
    fn from(page: &RevocationsPage) -> Self {
        Self { revocations: page.revocations.iter().map(Into::into).collect(), is_last: page.is_last }
    }
}

impl TryFrom<schema::RevocationsPage> for RevocationsPage {
    type Error = DecodeError;

    fn try_from(page: schema::RevocationsPage) -> Result<Self, DecodeError> {
        let revocations = page.revocations.into_iter().map(TryInto::try_into).collect::<Result<_, _>>()?;
        Ok(Self { revocations, is_last: page.is_last })
    }
}

impl TryFrom<schema::Revocation> for Revocation {
    type Error = DecodeError;

    fn try_from(schema::Revocation { tokens, before, at }: schema::Revocation) -> Result<Self, DecodeError> {
        Ok(Self { tokens: tokens.ok_or(DecodeError::Unknown)?.try_into()?, before, at })
    }
}

impl From<&PeerInfo> for schema::PeerInfo {
    fn from(peer: &PeerInfo) -> Self {
        Self {
            connection: peer.connection,
            transport: bytes(&peer.transport),
            network: bytes(&peer.network),
            subject: peer.subject.as_deref().map(bytes),
            age_millis: millis(peer.age),
            topics: peer.topics.iter().map(|topic| bytes(topic)).collect(),
            queue_bytes: peer.queue_bytes as u64,
        }
    }
}

impl TryFrom<schema::PeerInfo> for PeerInfo {
    type Error = DecodeError;

    fn try_from(peer: schema::PeerInfo) -> Result<Self, DecodeError> {
        Ok(Self {
            connection: peer.connection,
            transport: text(&peer.transport)?,
            network: text(&peer.network)?,
            subject: peer.subject.as_ref().map(text).transpose()?,
            age: Duration::from_millis(peer.age_millis),
            topics: peer.topics.iter().map(text).collect::<Result<_, _>>()?,
            queue_bytes: size(peer.queue_bytes),
        })
    }
}

impl From<&TopicsPage> for schema::TopicsPage {
    fn from(page: &TopicsPage) -> Self {
        let count = |(name, members): &(CompactString, usize)| schema::TopicCount {
            name: bytes(name),
            members: *members as u64,
        };
        Self { topics: page.topics.iter().map(count).collect(), is_last: page.is_last }
    }
}

impl TryFrom<schema::TopicsPage> for TopicsPage {
    type Error = DecodeError;

    fn try_from(page: schema::TopicsPage) -> Result<Self, DecodeError> {
        let topic = |count: schema::TopicCount| Ok((text(&count.name)?, size(count.members)));
        Ok(Self { topics: page.topics.into_iter().map(topic).collect::<Result<_, _>>()?, is_last: page.is_last })
    }
}

impl From<&TopicInfo> for schema::TopicInfo {
    fn from(TopicInfo { members, presence }: &TopicInfo) -> Self {
        Self { members: *members as u64, presence: Some(presence.into()) }
    }
}

impl TryFrom<schema::TopicInfo> for TopicInfo {
    type Error = DecodeError;

    fn try_from(info: schema::TopicInfo) -> Result<Self, DecodeError> {
        Ok(Self { members: size(info.members), presence: required(info.presence)?.try_into()? })
    }
}

impl From<&NodeInfo> for schema::NodeInfo {
    fn from(node: &NodeInfo) -> Self {
        Self {
            version: bytes(&node.version),
            age_millis: millis(node.age),
            is_ready: node.is_ready,
            connections: node.connections as u64,
            stats: Some((&node.stats).into()),
        }
    }
}

impl TryFrom<schema::NodeInfo> for NodeInfo {
    type Error = DecodeError;

    fn try_from(node: schema::NodeInfo) -> Result<Self, DecodeError> {
        Ok(Self {
            version: text(&node.version)?,
            age: Duration::from_millis(node.age_millis),
            is_ready: node.is_ready,
            connections: size(node.connections),
            stats: required(node.stats)?.into(),
        })
    }
}

fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}
