//! The parts of an envelope, its messages without those of inquiries, and the status of a node.

use bytes::Bytes;
use prost::{Message, Oneof};

use super::inquiry::{Answer, Question};
use super::packet::Packet;

/// The first part of an envelope's body.
#[derive(Clone, PartialEq, Message)]
pub(in crate::cluster) struct Head {
    /// The id of the node that sends it.
    #[prost(bytes = "bytes", tag = "1")]
    pub(in crate::cluster) from: Bytes,
    /// Its number, which grows with each message of that node. The first is 1.
    #[prost(uint64, tag = "2")]
    pub(in crate::cluster) number: u64,
    /// The id of the node that it is for. Empty if it is for the subscribers of topics.
    #[prost(bytes = "bytes", tag = "3")]
    pub(in crate::cluster) to: Bytes,
}

/// The second part of an envelope's body. Its tags differ from those of [`Head`], so that both together are one protobuf
/// message, and each can be read without the other.
#[derive(Clone, PartialEq, Message)]
pub(in crate::cluster) struct Content {
    #[prost(oneof = "Kind", tags = "4, 5, 6, 7, 8, 9, 10, 11, 12, 13")]
    pub(in crate::cluster) kind: Option<Kind>,
}

#[derive(Clone, PartialEq, Oneof)]
pub(in crate::cluster) enum Kind {
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
pub(in crate::cluster) struct Publish {
    #[prost(bytes = "bytes", repeated, tag = "1")]
    pub(in crate::cluster) topics: Vec<Bytes>,
    #[prost(message, optional, tag = "2")]
    pub(in crate::cluster) packet: Option<Packet>,
}

#[derive(Clone, PartialEq, Message)]
pub(in crate::cluster) struct Signal {
    #[prost(uint64, tag = "1")]
    pub(in crate::cluster) request: u64,
    #[prost(bytes = "bytes", tag = "2")]
    pub(in crate::cluster) name: Bytes,
    #[prost(uint64, tag = "3")]
    pub(in crate::cluster) epoch: u64,
    #[prost(message, optional, tag = "4")]
    pub(in crate::cluster) packet: Option<Packet>,
}

#[derive(Clone, PartialEq, Message)]
pub(in crate::cluster) struct Verdict {
    #[prost(uint64, tag = "1")]
    pub(in crate::cluster) request: u64,
    /// 1: delivered, 2: overloaded, 3: gone, 4: moving.
    #[prost(uint32, tag = "2")]
    pub(in crate::cluster) verdict: u32,
}

#[derive(Clone, PartialEq, Message)]
pub(in crate::cluster) struct GiveUp {
    #[prost(uint64, tag = "1")]
    pub(in crate::cluster) request: u64,
    #[prost(bytes = "bytes", tag = "2")]
    pub(in crate::cluster) name: Bytes,
    #[prost(uint64, tag = "3")]
    pub(in crate::cluster) epoch: u64,
    /// 32 bytes, or none.
    #[prost(bytes = "bytes", optional, tag = "4")]
    pub(in crate::cluster) proof: Option<Bytes>,
}

#[derive(Clone, PartialEq, Message)]
pub(in crate::cluster) struct GivenUp {
    #[prost(uint64, tag = "1")]
    pub(in crate::cluster) request: u64,
    #[prost(bool, tag = "2")]
    pub(in crate::cluster) is_free: bool,
}

#[derive(Clone, PartialEq, Message)]
pub(in crate::cluster) struct Revoke {
    #[prost(bytes = "bytes", tag = "1")]
    pub(in crate::cluster) name: Bytes,
    #[prost(uint64, tag = "2")]
    pub(in crate::cluster) epoch: u64,
}

#[derive(Clone, PartialEq, Message)]
pub(in crate::cluster) struct Probe {
    #[prost(bytes = "bytes", tag = "1")]
    pub(in crate::cluster) topic: Bytes,
    #[prost(uint64, tag = "2")]
    pub(in crate::cluster) token: u64,
}

/// What a node says about itself with its heartbeat.
#[derive(Clone, PartialEq, Message)]
pub(in crate::cluster) struct Status {
    #[prost(uint32, tag = "1")]
    pub(in crate::cluster) wire_version: u32,
    #[prost(uint32, tag = "2")]
    pub(in crate::cluster) oldest_wire_version: u32,
    #[prost(bool, tag = "3")]
    pub(in crate::cluster) is_retired: bool,
    /// 16 bytes.
    #[prost(bytes = "bytes", tag = "4")]
    pub(in crate::cluster) secret_check: Bytes,
    #[prost(uint64, tag = "5")]
    pub(in crate::cluster) relinks: u64,
}
