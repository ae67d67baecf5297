//! What one node asks of another, and the answers.

use bytes::Bytes;
use prost::{Message, Oneof};

use super::packet::PresenceList;

#[derive(Clone, PartialEq, Message)]
pub(in crate::cluster) struct Question {
    #[prost(uint64, tag = "1")]
    pub(in crate::cluster) request: u64,
    #[prost(oneof = "QuestionKind", tags = "2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13")]
    pub(in crate::cluster) kind: Option<QuestionKind>,
}

#[derive(Clone, PartialEq, Oneof)]
pub(in crate::cluster) enum QuestionKind {
    #[prost(message, tag = "2")]
    Census(Empty),
    /// The topic.
    #[prost(bytes = "bytes", tag = "3")]
    Presence(Bytes),
    #[prost(message, tag = "4")]
    PresenceVersions(Topics),
    #[prost(message, tag = "5")]
    ComparePresence(Empty),
    /// The name.
    #[prost(bytes = "bytes", tag = "6")]
    Owns(Bytes),
    /// The name.
    #[prost(bytes = "bytes", tag = "7")]
    Peer(Bytes),
    #[prost(message, tag = "8")]
    Topics(TopicsQuery),
    /// The topic.
    #[prost(bytes = "bytes", tag = "9")]
    Topic(Bytes),
    #[prost(message, tag = "10")]
    Node(Empty),
    #[prost(message, tag = "11")]
    Disconnect(Disconnect),
    #[prost(message, tag = "12")]
    Revoke(Revocation),
    #[prost(message, tag = "13")]
    Revocations(RevocationsQuery),
}

#[derive(Clone, PartialEq, Message)]
pub(in crate::cluster) struct RevocationsQuery {
    /// None: from the first.
    #[prost(oneof = "RevokedKind", tags = "1, 2")]
    pub(in crate::cluster) after: Option<RevokedKind>,
}

#[derive(Clone, PartialEq, Message)]
pub(in crate::cluster) struct TopicsQuery {
    /// The name of the realm.
    #[prost(bytes = "bytes", tag = "1")]
    pub(in crate::cluster) realm: Bytes,
    #[prost(bytes = "bytes", tag = "2")]
    pub(in crate::cluster) prefix: Bytes,
    #[prost(bytes = "bytes", tag = "3")]
    pub(in crate::cluster) after: Bytes,
    #[prost(uint64, tag = "4")]
    pub(in crate::cluster) limit: u64,
}

#[derive(Clone, PartialEq, Message)]
pub(in crate::cluster) struct Disconnect {
    #[prost(bool, tag = "1")]
    pub(in crate::cluster) may_reconnect: bool,
    #[prost(oneof = "ClientsKind", tags = "2, 3, 4")]
    pub(in crate::cluster) clients: Option<ClientsKind>,
}

#[derive(Clone, PartialEq, Oneof)]
pub(in crate::cluster) enum ClientsKind {
    /// The topic.
    #[prost(bytes = "bytes", tag = "2")]
    Members(Bytes),
    #[prost(message, tag = "3")]
    Connection(ConnectionOfNode),
    /// The subject.
    #[prost(bytes = "bytes", tag = "4")]
    Subject(Bytes),
}

#[derive(Clone, PartialEq, Message)]
pub(in crate::cluster) struct ConnectionOfNode {
    #[prost(bytes = "bytes", tag = "1")]
    pub(in crate::cluster) node: Bytes,
    #[prost(uint64, tag = "2")]
    pub(in crate::cluster) number: u64,
}

#[derive(Clone, PartialEq, Message)]
pub(in crate::cluster) struct Revocation {
    #[prost(oneof = "RevokedKind", tags = "1, 2")]
    pub(in crate::cluster) tokens: Option<RevokedKind>,
    /// Both in seconds since 1970.
    #[prost(uint64, tag = "3")]
    pub(in crate::cluster) before: u64,
    #[prost(uint64, tag = "4")]
    pub(in crate::cluster) at: u64,
}

#[derive(Clone, PartialEq, Oneof)]
pub(in crate::cluster) enum RevokedKind {
    #[prost(bytes = "bytes", tag = "1")]
    Subject(Bytes),
    #[prost(bytes = "bytes", tag = "2")]
    TokenId(Bytes),
}

#[derive(Clone, PartialEq, Message)]
pub(in crate::cluster) struct Topics {
    #[prost(bytes = "bytes", repeated, tag = "1")]
    pub(in crate::cluster) topics: Vec<Bytes>,
}

#[derive(Clone, PartialEq, Message)]
pub(in crate::cluster) struct Answer {
    #[prost(uint64, tag = "1")]
    pub(in crate::cluster) request: u64,
    #[prost(oneof = "AnswerKind", tags = "2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12")]
    pub(in crate::cluster) kind: Option<AnswerKind>,
}

#[derive(Clone, PartialEq, Oneof)]
pub(in crate::cluster) enum AnswerKind {
    #[prost(message, tag = "2")]
    Census(Census),
    #[prost(message, tag = "3")]
    Presence(PresenceList),
    #[prost(message, tag = "4")]
    PresenceVersions(Versions),
    #[prost(message, tag = "5")]
    ComparesPresence(Empty),
    #[prost(bool, tag = "6")]
    Owns(bool),
    #[prost(message, tag = "7")]
    Peer(PeerAnswer),
    #[prost(message, tag = "8")]
    Topics(TopicsPage),
    #[prost(message, tag = "9")]
    Topic(TopicInfo),
    #[prost(message, tag = "10")]
    Node(NodeInfo),
    #[prost(message, tag = "11")]
    Closed(Closed),
    #[prost(message, tag = "12")]
    Revocations(RevocationsPage),
}

#[derive(Clone, PartialEq, Message)]
pub(in crate::cluster) struct RevocationsPage {
    #[prost(message, repeated, tag = "1")]
    pub(in crate::cluster) revocations: Vec<Revocation>,
    #[prost(bool, tag = "2")]
    pub(in crate::cluster) is_last: bool,
}

#[derive(Clone, PartialEq, Message)]
pub(in crate::cluster) struct PeerAnswer {
    #[prost(message, optional, tag = "1")]
    pub(in crate::cluster) peer: Option<PeerInfo>,
}

#[derive(Clone, PartialEq, Message)]
pub(in crate::cluster) struct PeerInfo {
    #[prost(uint64, tag = "1")]
    pub(in crate::cluster) connection: u64,
    #[prost(bytes = "bytes", tag = "2")]
    pub(in crate::cluster) transport: Bytes,
    #[prost(bytes = "bytes", tag = "3")]
    pub(in crate::cluster) network: Bytes,
    #[prost(bytes = "bytes", optional, tag = "4")]
    pub(in crate::cluster) subject: Option<Bytes>,
    #[prost(uint64, tag = "5")]
    pub(in crate::cluster) age_millis: u64,
    #[prost(bytes = "bytes", repeated, tag = "6")]
    pub(in crate::cluster) topics: Vec<Bytes>,
    #[prost(uint64, tag = "7")]
    pub(in crate::cluster) queue_bytes: u64,
}

#[derive(Clone, PartialEq, Message)]
pub(in crate::cluster) struct TopicsPage {
    #[prost(message, repeated, tag = "1")]
    pub(in crate::cluster) topics: Vec<TopicCount>,
    #[prost(bool, tag = "2")]
    pub(in crate::cluster) is_last: bool,
}

#[derive(Clone, PartialEq, Message)]
pub(in crate::cluster) struct TopicCount {
    #[prost(bytes = "bytes", tag = "1")]
    pub(in crate::cluster) name: Bytes,
    #[prost(uint64, tag = "2")]
    pub(in crate::cluster) members: u64,
}

#[derive(Clone, PartialEq, Message)]
pub(in crate::cluster) struct TopicInfo {
    #[prost(uint64, tag = "1")]
    pub(in crate::cluster) members: u64,
    #[prost(message, optional, tag = "2")]
    pub(in crate::cluster) presence: Option<PresenceList>,
}

#[derive(Clone, PartialEq, Message)]
pub(in crate::cluster) struct NodeInfo {
    #[prost(bytes = "bytes", tag = "1")]
    pub(in crate::cluster) version: Bytes,
    #[prost(uint64, tag = "2")]
    pub(in crate::cluster) age_millis: u64,
    #[prost(bool, tag = "3")]
    pub(in crate::cluster) is_ready: bool,
    #[prost(uint64, tag = "4")]
    pub(in crate::cluster) connections: u64,
    #[prost(message, optional, tag = "5")]
    pub(in crate::cluster) stats: Option<Census>,
}

#[derive(Clone, PartialEq, Message)]
pub(in crate::cluster) struct Closed {
    /// None: the tokens could not be revoked.
    #[prost(uint64, optional, tag = "1")]
    pub(in crate::cluster) connections: Option<u64>,
}

#[derive(Clone, PartialEq, Message)]
pub(in crate::cluster) struct Versions {
    #[prost(uint64, repeated, tag = "1")]
    pub(in crate::cluster) versions: Vec<u64>,
}

#[derive(Clone, PartialEq, Message)]
pub(in crate::cluster) struct Census {
    #[prost(uint64, tag = "1")]
    pub(in crate::cluster) connections: u64,
    #[prost(uint64, tag = "2")]
    pub(in crate::cluster) topics: u64,
    #[prost(uint64, tag = "3")]
    pub(in crate::cluster) members: u64,
    #[prost(uint64, tag = "4")]
    pub(in crate::cluster) names: u64,
    #[prost(uint64, tag = "5")]
    pub(in crate::cluster) watches: u64,
    #[prost(uint64, tag = "6")]
    pub(in crate::cluster) presence_entries: u64,
    #[prost(uint64, tag = "7")]
    pub(in crate::cluster) held: u64,
    #[prost(uint64, tag = "8")]
    pub(in crate::cluster) held_bytes: u64,
}

#[derive(Clone, PartialEq, Message)]
pub(in crate::cluster) struct Empty {}
