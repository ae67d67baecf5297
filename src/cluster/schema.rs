//! The protobuf messages that travel between nodes. [`encoding`](super::encoding) converts them, and
//! [`envelope`](super::envelope) puts them into an envelope.
//!
//! The tags are the wire format: a tag is never given a new meaning, and a new field gets a new one. A field that a
//! version does not know is skipped. All texts are UTF-8 in fields of the type `bytes`, which has the encoding of
//! `string`, so that they are cut out of a received message without a copy and checked once.

use bytes::Bytes;
use prost::{Message, Oneof};

/// The first part of an envelope's body.
#[derive(Clone, PartialEq, Message)]
pub(super) struct Head {
    /// The id of the node that sends it.
    #[prost(bytes = "bytes", tag = "1")]
    pub(super) from: Bytes,
    /// Its number, which grows with each message of that node. The first is 1.
    #[prost(uint64, tag = "2")]
    pub(super) number: u64,
    /// The id of the node that it is for. Empty if it is for the subscribers of topics.
    #[prost(bytes = "bytes", tag = "3")]
    pub(super) to: Bytes,
}

/// The second part of an envelope's body. Its tags differ from those of [`Head`], so that both together are one protobuf
/// message, and each can be read without the other.
#[derive(Clone, PartialEq, Message)]
pub(super) struct Content {
    #[prost(oneof = "Kind", tags = "4, 5, 6, 7, 8, 9, 10, 11, 12, 13")]
    pub(super) kind: Option<Kind>,
}

#[derive(Clone, PartialEq, Oneof)]
pub(super) enum Kind {
    #[prost(message, tag = "4")]
    Publish(Publish),
    #[prost(message, tag = "5")]
    Signal(Signal),
    #[prost(message, tag = "6")]
    Verdict(Verdict),
    #[prost(message, tag = "7")]
    GiveUp(GiveUp),
    #[prost(message, tag = "8")]
    GivenUp(GivenUp),
    #[prost(message, tag = "9")]
    Revoke(Revoke),
    #[prost(message, tag = "10")]
    Probe(Probe),
    #[prost(message, tag = "11")]
    Heard(Probe),
    #[prost(message, tag = "12")]
    Question(Question),
    #[prost(message, tag = "13")]
    Answer(Answer),
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct Publish {
    #[prost(bytes = "bytes", repeated, tag = "1")]
    pub(super) topics: Vec<Bytes>,
    #[prost(message, optional, tag = "2")]
    pub(super) packet: Option<Packet>,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct Signal {
    #[prost(uint64, tag = "1")]
    pub(super) request: u64,
    #[prost(bytes = "bytes", tag = "2")]
    pub(super) name: Bytes,
    #[prost(uint64, tag = "3")]
    pub(super) epoch: u64,
    #[prost(message, optional, tag = "4")]
    pub(super) packet: Option<Packet>,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct Verdict {
    #[prost(uint64, tag = "1")]
    pub(super) request: u64,
    /// 1: delivered, 2: overloaded, 3: gone, 4: moving.
    #[prost(uint32, tag = "2")]
    pub(super) verdict: u32,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct GiveUp {
    #[prost(uint64, tag = "1")]
    pub(super) request: u64,
    #[prost(bytes = "bytes", tag = "2")]
    pub(super) name: Bytes,
    #[prost(uint64, tag = "3")]
    pub(super) epoch: u64,
    /// 32 bytes, or none.
    #[prost(bytes = "bytes", optional, tag = "4")]
    pub(super) proof: Option<Bytes>,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct GivenUp {
    #[prost(uint64, tag = "1")]
    pub(super) request: u64,
    #[prost(bool, tag = "2")]
    pub(super) is_free: bool,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct Revoke {
    #[prost(bytes = "bytes", tag = "1")]
    pub(super) name: Bytes,
    #[prost(uint64, tag = "2")]
    pub(super) epoch: u64,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct Probe {
    #[prost(bytes = "bytes", tag = "1")]
    pub(super) topic: Bytes,
    #[prost(uint64, tag = "2")]
    pub(super) token: u64,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct Question {
    #[prost(uint64, tag = "1")]
    pub(super) request: u64,
    #[prost(oneof = "QuestionKind", tags = "2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13")]
    pub(super) kind: Option<QuestionKind>,
}

#[derive(Clone, PartialEq, Oneof)]
pub(super) enum QuestionKind {
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
pub(super) struct RevocationsQuery {
    /// None: from the first.
    #[prost(oneof = "RevokedKind", tags = "1, 2")]
    pub(super) after: Option<RevokedKind>,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct TopicsQuery {
    /// The name of the realm.
    #[prost(bytes = "bytes", tag = "1")]
    pub(super) realm: Bytes,
    #[prost(bytes = "bytes", tag = "2")]
    pub(super) prefix: Bytes,
    #[prost(bytes = "bytes", tag = "3")]
    pub(super) after: Bytes,
    #[prost(uint64, tag = "4")]
    pub(super) limit: u64,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct Disconnect {
    #[prost(bool, tag = "1")]
    pub(super) may_reconnect: bool,
    #[prost(oneof = "ClientsKind", tags = "2, 3, 4")]
    pub(super) clients: Option<ClientsKind>,
}

#[derive(Clone, PartialEq, Oneof)]
pub(super) enum ClientsKind {
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
pub(super) struct ConnectionOfNode {
    #[prost(bytes = "bytes", tag = "1")]
    pub(super) node: Bytes,
    #[prost(uint64, tag = "2")]
    pub(super) number: u64,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct Revocation {
    #[prost(oneof = "RevokedKind", tags = "1, 2")]
    pub(super) tokens: Option<RevokedKind>,
    /// Both in seconds since 1970.
    #[prost(uint64, tag = "3")]
    pub(super) before: u64,
    #[prost(uint64, tag = "4")]
    pub(super) at: u64,
}

#[derive(Clone, PartialEq, Oneof)]
pub(super) enum RevokedKind {
    #[prost(bytes = "bytes", tag = "1")]
    Subject(Bytes),
    #[prost(bytes = "bytes", tag = "2")]
    TokenId(Bytes),
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct Topics {
    #[prost(bytes = "bytes", repeated, tag = "1")]
    pub(super) topics: Vec<Bytes>,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct Answer {
    #[prost(uint64, tag = "1")]
    pub(super) request: u64,
    #[prost(oneof = "AnswerKind", tags = "2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12")]
    pub(super) kind: Option<AnswerKind>,
}

#[derive(Clone, PartialEq, Oneof)]
pub(super) enum AnswerKind {
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
pub(super) struct RevocationsPage {
    #[prost(message, repeated, tag = "1")]
    pub(super) revocations: Vec<Revocation>,
    #[prost(bool, tag = "2")]
    pub(super) is_last: bool,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct PeerAnswer {
    #[prost(message, optional, tag = "1")]
    pub(super) peer: Option<PeerInfo>,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct PeerInfo {
    #[prost(uint64, tag = "1")]
    pub(super) connection: u64,
    #[prost(bytes = "bytes", tag = "2")]
    pub(super) transport: Bytes,
    #[prost(bytes = "bytes", tag = "3")]
    pub(super) network: Bytes,
    #[prost(bytes = "bytes", optional, tag = "4")]
    pub(super) subject: Option<Bytes>,
    #[prost(uint64, tag = "5")]
    pub(super) age_millis: u64,
    #[prost(bytes = "bytes", repeated, tag = "6")]
    pub(super) topics: Vec<Bytes>,
    #[prost(uint64, tag = "7")]
    pub(super) queue_bytes: u64,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct TopicsPage {
    #[prost(message, repeated, tag = "1")]
    pub(super) topics: Vec<TopicCount>,
    #[prost(bool, tag = "2")]
    pub(super) is_last: bool,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct TopicCount {
    #[prost(bytes = "bytes", tag = "1")]
    pub(super) name: Bytes,
    #[prost(uint64, tag = "2")]
    pub(super) members: u64,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct TopicInfo {
    #[prost(uint64, tag = "1")]
    pub(super) members: u64,
    #[prost(message, optional, tag = "2")]
    pub(super) presence: Option<PresenceList>,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct NodeInfo {
    #[prost(bytes = "bytes", tag = "1")]
    pub(super) version: Bytes,
    #[prost(uint64, tag = "2")]
    pub(super) age_millis: u64,
    #[prost(bool, tag = "3")]
    pub(super) is_ready: bool,
    #[prost(uint64, tag = "4")]
    pub(super) connections: u64,
    #[prost(message, optional, tag = "5")]
    pub(super) stats: Option<Census>,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct Closed {
    /// None: the tokens could not be revoked.
    #[prost(uint64, optional, tag = "1")]
    pub(super) connections: Option<u64>,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct Versions {
    #[prost(uint64, repeated, tag = "1")]
    pub(super) versions: Vec<u64>,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct Census {
    #[prost(uint64, tag = "1")]
    pub(super) connections: u64,
    #[prost(uint64, tag = "2")]
    pub(super) topics: u64,
    #[prost(uint64, tag = "3")]
    pub(super) members: u64,
    #[prost(uint64, tag = "4")]
    pub(super) names: u64,
    #[prost(uint64, tag = "5")]
    pub(super) watches: u64,
    #[prost(uint64, tag = "6")]
    pub(super) presence_entries: u64,
    #[prost(uint64, tag = "7")]
    pub(super) held: u64,
    #[prost(uint64, tag = "8")]
    pub(super) held_bytes: u64,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct PresenceList {
    #[prost(message, repeated, tag = "1")]
    pub(super) keys: Vec<PresenceKey>,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct PresenceKey {
    #[prost(bytes = "bytes", tag = "1")]
    pub(super) key: Bytes,
    #[prost(message, repeated, tag = "2")]
    pub(super) metas: Vec<Payload>,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct Packet {
    #[prost(oneof = "PacketKind", tags = "1, 2, 3, 4, 5")]
    pub(super) kind: Option<PacketKind>,
}

#[derive(Clone, PartialEq, Oneof)]
pub(super) enum PacketKind {
    #[prost(message, tag = "1")]
    Broadcast(Broadcast),
    /// The epoch.
    #[prost(uint64, tag = "2")]
    Up(u64),
    /// The epoch.
    #[prost(uint64, tag = "3")]
    Down(u64),
    #[prost(message, tag = "4")]
    Presence(Presence),
    #[prost(message, tag = "5")]
    PresenceWanted(PresenceWanted),
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct PresenceWanted {
    /// The id of the node whose entries are wanted. None: those of every node.
    #[prost(bytes = "bytes", optional, tag = "1")]
    pub(super) node: Option<Bytes>,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct Broadcast {
    #[prost(bytes = "bytes", tag = "1")]
    pub(super) event: Bytes,
    #[prost(message, optional, tag = "2")]
    pub(super) payload: Option<Payload>,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct Presence {
    #[prost(bytes = "bytes", tag = "1")]
    pub(super) node: Bytes,
    #[prost(uint64, tag = "2")]
    pub(super) since: u64,
    #[prost(uint64, tag = "3")]
    pub(super) version: u64,
    #[prost(message, repeated, tag = "4")]
    pub(super) joins: Vec<PresenceJoin>,
    #[prost(message, repeated, tag = "5")]
    pub(super) leaves: Vec<PresenceLeave>,
    #[prost(bool, tag = "6")]
    pub(super) is_continued: bool,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct PresenceJoin {
    #[prost(bytes = "bytes", tag = "1")]
    pub(super) reference: Bytes,
    #[prost(bytes = "bytes", tag = "2")]
    pub(super) key: Bytes,
    #[prost(message, optional, tag = "3")]
    pub(super) meta: Option<Payload>,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct PresenceLeave {
    #[prost(bytes = "bytes", tag = "1")]
    pub(super) reference: Bytes,
    #[prost(bytes = "bytes", tag = "2")]
    pub(super) key: Bytes,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct Payload {
    #[prost(oneof = "PayloadKind", tags = "1, 2, 3")]
    pub(super) kind: Option<PayloadKind>,
}

#[derive(Clone, PartialEq, Oneof)]
pub(super) enum PayloadKind {
    /// The text of one JSON value.
    #[prost(bytes = "bytes", tag = "1")]
    Json(Bytes),
    #[prost(bytes = "bytes", tag = "2")]
    Binary(Bytes),
    #[prost(message, tag = "3")]
    Attached(Attached),
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct Attached {
    /// JSON text.
    #[prost(bytes = "bytes", tag = "1")]
    pub(super) text: Bytes,
    #[prost(bytes = "bytes", repeated, tag = "2")]
    pub(super) attachments: Vec<Bytes>,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct Empty {}

/// What a node says about itself with its heartbeat.
#[derive(Clone, PartialEq, Message)]
pub(super) struct Status {
    #[prost(uint32, tag = "1")]
    pub(super) wire_version: u32,
    #[prost(uint32, tag = "2")]
    pub(super) oldest_wire_version: u32,
    #[prost(bool, tag = "3")]
    pub(super) is_retired: bool,
    /// 16 bytes.
    #[prost(bytes = "bytes", tag = "4")]
    pub(super) secret_check: Bytes,
    #[prost(uint64, tag = "5")]
    pub(super) relinks: u64,
}
