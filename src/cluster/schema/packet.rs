//! What is delivered to the members of a topic or to the owner of a name: broadcasts, presence and payloads.

use bytes::Bytes;
use prost::{Message, Oneof};

#[derive(Clone, PartialEq, Message)]
pub(in crate::cluster) struct PresenceList {
    #[prost(message, repeated, tag = "1")]
    pub(in crate::cluster) keys: Vec<PresenceKey>,
}

#[derive(Clone, PartialEq, Message)]
pub(in crate::cluster) struct PresenceKey {
    #[prost(bytes = "bytes", tag = "1")]
    pub(in crate::cluster) key: Bytes,
    #[prost(message, repeated, tag = "2")]
    pub(in crate::cluster) metas: Vec<Payload>,
}

#[derive(Clone, PartialEq, Message)]
pub(in crate::cluster) struct Packet {
    #[prost(oneof = "PacketKind", tags = "1, 2, 3, 4, 5")]
    pub(in crate::cluster) kind: Option<PacketKind>,
}

#[derive(Clone, PartialEq, Oneof)]
pub(in crate::cluster) enum PacketKind {
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
pub(in crate::cluster) struct PresenceWanted {
    /// The id of the node whose entries are wanted. None: those of every node.
    #[prost(bytes = "bytes", optional, tag = "1")]
    pub(in crate::cluster) node: Option<Bytes>,
}

#[derive(Clone, PartialEq, Message)]
pub(in crate::cluster) struct Broadcast {
    #[prost(bytes = "bytes", tag = "1")]
    pub(in crate::cluster) event: Bytes,
    #[prost(message, optional, tag = "2")]
    pub(in crate::cluster) payload: Option<Payload>,
}

#[derive(Clone, PartialEq, Message)]
pub(in crate::cluster) struct Presence {
    #[prost(bytes = "bytes", tag = "1")]
    pub(in crate::cluster) node: Bytes,
    #[prost(uint64, tag = "2")]
    pub(in crate::cluster) since: u64,
    #[prost(uint64, tag = "3")]
    pub(in crate::cluster) version: u64,
    #[prost(message, repeated, tag = "4")]
    pub(in crate::cluster) joins: Vec<PresenceJoin>,
    #[prost(message, repeated, tag = "5")]
    pub(in crate::cluster) leaves: Vec<PresenceLeave>,
    #[prost(bool, tag = "6")]
    pub(in crate::cluster) is_continued: bool,
}

#[derive(Clone, PartialEq, Message)]
pub(in crate::cluster) struct PresenceJoin {
    #[prost(bytes = "bytes", tag = "1")]
    pub(in crate::cluster) reference: Bytes,
    #[prost(bytes = "bytes", tag = "2")]
    pub(in crate::cluster) key: Bytes,
    #[prost(message, optional, tag = "3")]
    pub(in crate::cluster) meta: Option<Payload>,
}

#[derive(Clone, PartialEq, Message)]
pub(in crate::cluster) struct PresenceLeave {
    #[prost(bytes = "bytes", tag = "1")]
    pub(in crate::cluster) reference: Bytes,
    #[prost(bytes = "bytes", tag = "2")]
    pub(in crate::cluster) key: Bytes,
}

#[derive(Clone, PartialEq, Message)]
pub(in crate::cluster) struct Payload {
    #[prost(oneof = "PayloadKind", tags = "1, 2, 3")]
    pub(in crate::cluster) kind: Option<PayloadKind>,
}

#[derive(Clone, PartialEq, Oneof)]
pub(in crate::cluster) enum PayloadKind {
    /// The text of one JSON value.
    #[prost(bytes = "bytes", tag = "1")]
    Json(Bytes),
    #[prost(bytes = "bytes", tag = "2")]
    Binary(Bytes),
    #[prost(message, tag = "3")]
    Attached(Attached),
}

#[derive(Clone, PartialEq, Message)]
pub(in crate::cluster) struct Attached {
    /// JSON text.
    #[prost(bytes = "bytes", tag = "1")]
    pub(in crate::cluster) text: Bytes,
    #[prost(bytes = "bytes", repeated, tag = "2")]
    pub(in crate::cluster) attachments: Vec<Bytes>,
}
