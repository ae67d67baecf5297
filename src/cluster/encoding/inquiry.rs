//! Converts the questions of the server API, and their answers, to the protobuf messages of [`schema`](super::schema), and
//! back. All other messages are in [`encoding`](super::encoding).

use std::time::Duration;

use compact_str::CompactString;

use super::encoding::{DecodeError, bytes, required, size, text, topic};
use super::schema::{self, ClientsKind, RevokedKind};
use crate::auth::{Revocation, RevocationsPage, RevokedTokens};
use crate::broker::{Clients, NodeInfo, PeerInfo, TopicInfo, TopicsPage, TopicsQuery};
use crate::topic::Realm;

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
