//! Converts a [`Message`] to the protobuf messages of [`schema`](super::schema), and back.
//!
//! Encoding copies a payload once, into the message that is sent. Decoding does not copy the payloads of broadcasts: they
//! are parts of the received message. The metadata of presence entries is copied, because an entry is kept for long and
//! would keep the whole message in memory. JSON is not parsed again: the node that sent it is authentic, and has checked
//! it.
//!
//! Decoding takes at most 192 bytes of memory for each byte of a message: those of a list of empty presence entries, which
//! is then refused. Only a node with the secret can send it.

use bytes::Bytes;
use bytestring::ByteString;
use compact_str::CompactString;
use prost::Message as _;

use super::message::{Message, NodeStatus, Verdict};
use super::schema::{self, AnswerKind, Kind, PacketKind, PayloadKind, QuestionKind};
use crate::broker::RegistryStats;
use crate::broker::adapter::{Answer, NodeId, Packet, PresencePacket, Question};
use crate::message::{Payload, PresenceEntry, PresenceList};
use crate::topic::Topic;

/// Why a message cannot be decoded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum DecodeError {
    /// It is not what any version sends.
    Malformed,
    /// It is, or contains, something of a kind that this version does not know.
    Unknown,
}

/// Decodes the content of an envelope's body.
pub(super) fn decode(body: Bytes) -> Result<Message, DecodeError> {
    let content = schema::Content::decode(body).map_err(|_| DecodeError::Malformed)?;
    Ok(match content.kind.ok_or(DecodeError::Unknown)? {
        Kind::Publish(schema::Publish { topics, packet }) => Message::Publish {
            topics: topics.iter().map(topic).collect::<Result<_, _>>()?,
            packet: required(packet)?.try_into()?,
        },
        Kind::Signal(schema::Signal { request, name, epoch, packet }) => {
            Message::Signal { request, name: topic(&name)?, epoch, packet: required(packet)?.try_into()? }
        }
        Kind::Verdict(schema::Verdict { request, verdict }) => {
            Message::Verdict { request, verdict: verdict_of(verdict)? }
        }
        Kind::GiveUp(schema::GiveUp { request, name, epoch, proof }) => {
            let proof = proof.map(|proof| proof[..].try_into()).transpose().map_err(|_| DecodeError::Malformed)?;
            Message::GiveUp { request, name: topic(&name)?, epoch, proof }
        }
        Kind::GivenUp(schema::GivenUp { request, is_free }) => Message::GivenUp { request, is_free },
        Kind::Revoke(schema::Revoke { name, epoch }) => Message::Revoke { name: topic(&name)?, epoch },
        Kind::Probe(schema::Probe { topic: name, token }) => Message::Probe { topic: topic(&name)?, token },
        Kind::Heard(schema::Probe { topic: name, token }) => Message::Heard { topic: topic(&name)?, token },
        Kind::Question(schema::Question { request, kind }) => {
            Message::Question { request, question: kind.ok_or(DecodeError::Unknown)?.try_into()? }
        }
        Kind::Answer(schema::Answer { request, kind }) => {
            Message::Answer { request, answer: kind.ok_or(DecodeError::Unknown)?.try_into()? }
        }
    })
}

impl From<&Message> for schema::Content {
    fn from(message: &Message) -> Self {
        let kind = match message {
            Message::Publish { topics, packet } => {
                let topics = topics.iter().map(|topic| bytes(topic.key())).collect();
                Kind::Publish(schema::Publish { topics, packet: Some(packet.into()) })
            }
            Message::Signal { request, name, epoch, packet } => Kind::Signal(schema::Signal {
                request: *request,
                name: bytes(name.key()),
                epoch: *epoch,
                packet: Some(packet.into()),
            }),
            Message::Verdict { request, verdict } => {
                Kind::Verdict(schema::Verdict { request: *request, verdict: verdict_code(*verdict) })
            }
            Message::GiveUp { request, name, epoch, proof } => Kind::GiveUp(schema::GiveUp {
                request: *request,
                name: bytes(name.key()),
                epoch: *epoch,
                proof: proof.as_ref().map(|proof| Bytes::copy_from_slice(proof)),
            }),
            Message::GivenUp { request, is_free } => {
                Kind::GivenUp(schema::GivenUp { request: *request, is_free: *is_free })
            }
            Message::Revoke { name, epoch } => Kind::Revoke(schema::Revoke { name: bytes(name.key()), epoch: *epoch }),
            Message::Probe { topic, token } => Kind::Probe(schema::Probe { topic: bytes(topic.key()), token: *token }),
            Message::Heard { topic, token } => Kind::Heard(schema::Probe { topic: bytes(topic.key()), token: *token }),
            Message::Question { request, question } => {
                Kind::Question(schema::Question { request: *request, kind: Some(question.into()) })
            }
            Message::Answer { request, answer } => {
                Kind::Answer(schema::Answer { request: *request, kind: Some(answer.into()) })
            }
        };
        Self { kind: Some(kind) }
    }
}

const fn verdict_code(verdict: Verdict) -> u32 {
    match verdict {
        Verdict::Delivered => 1,
        Verdict::Overloaded => 2,
        Verdict::Gone => 3,
        Verdict::Moving => 4,
    }
}

const fn verdict_of(code: u32) -> Result<Verdict, DecodeError> {
    match code {
        0 => Err(DecodeError::Malformed),
        1 => Ok(Verdict::Delivered),
        2 => Ok(Verdict::Overloaded),
        3 => Ok(Verdict::Gone),
        4 => Ok(Verdict::Moving),
        _ => Err(DecodeError::Unknown),
    }
}

impl From<&Packet> for schema::Packet {
    fn from(packet: &Packet) -> Self {
        let kind = match packet {
            Packet::Broadcast { event, payload } => {
                PacketKind::Broadcast(schema::Broadcast { event: bytes(event), payload: Some(payload.into()) })
            }
            Packet::Up(epoch) => PacketKind::Up(*epoch),
            Packet::Down(epoch) => PacketKind::Down(*epoch),
            Packet::Presence(presence) => PacketKind::Presence(presence.into()),
            Packet::PresenceWanted(node) => {
                PacketKind::PresenceWanted(schema::PresenceWanted { node: node.as_deref().map(bytes) })
            }
        };
        Self { kind: Some(kind) }
    }
}

impl TryFrom<schema::Packet> for Packet {
    type Error = DecodeError;

    fn try_from(packet: schema::Packet) -> Result<Self, DecodeError> {
        Ok(match packet.kind.ok_or(DecodeError::Unknown)? {
            PacketKind::Broadcast(schema::Broadcast { event, payload }) => {
                Self::Broadcast { event: text(&event)?, payload: required(payload)?.try_into()? }
            }
            PacketKind::Up(epoch) => Self::Up(epoch),
            PacketKind::Down(epoch) => Self::Down(epoch),
            PacketKind::Presence(presence) => Self::Presence(presence.try_into()?),
            PacketKind::PresenceWanted(schema::PresenceWanted { node }) => {
                Self::PresenceWanted(node.as_ref().map(text).transpose()?)
            }
        })
    }
}

impl From<&PresencePacket> for schema::Presence {
    fn from(packet: &PresencePacket) -> Self {
        let joins = packet.joins.iter().map(|(reference, entry)| schema::PresenceJoin {
            reference: bytes(reference),
            key: bytes(&entry.key),
            meta: Some((&entry.meta).into()),
        });
        let leaves = packet
            .leaves
            .iter()
            .map(|(reference, key)| schema::PresenceLeave { reference: bytes(reference), key: bytes(key) });
        Self {
            node: bytes(&packet.node),
            since: packet.since,
            version: packet.version,
            joins: joins.collect(),
            leaves: leaves.collect(),
            is_continued: packet.is_continued,
        }
    }
}

impl TryFrom<schema::Presence> for PresencePacket {
    type Error = DecodeError;

    fn try_from(packet: schema::Presence) -> Result<Self, DecodeError> {
        let join = |join: schema::PresenceJoin| {
            let meta = owned(required(join.meta)?.try_into()?);
            Ok((text(&join.reference)?, PresenceEntry { key: text(&join.key)?, meta }))
        };
        let leave = |leave: schema::PresenceLeave| Ok((text(&leave.reference)?, text(&leave.key)?));
        Ok(Self {
            node: text(&packet.node)?,
            since: packet.since,
            version: packet.version,
            joins: packet.joins.into_iter().map(join).collect::<Result<_, _>>()?,
            leaves: packet.leaves.into_iter().map(leave).collect::<Result<_, _>>()?,
            is_continued: packet.is_continued,
        })
    }
}

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

impl From<&PresenceList> for schema::PresenceList {
    fn from(list: &PresenceList) -> Self {
        let keys = list
            .iter()
            .map(|(key, metas)| schema::PresenceKey { key: bytes(key), metas: metas.iter().map(Into::into).collect() });
        Self { keys: keys.collect() }
    }
}

impl TryFrom<schema::PresenceList> for PresenceList {
    type Error = DecodeError;

    fn try_from(schema::PresenceList { keys }: schema::PresenceList) -> Result<Self, DecodeError> {
        let mut list = Self::new();
        for schema::PresenceKey { key, metas } in keys {
            let metas = metas.into_iter().map(Payload::try_from).collect::<Result<Vec<_>, _>>()?;
            list.entry(text(&key)?).or_default().extend(metas);
        }
        Ok(list)
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

impl From<&Payload> for schema::Payload {
    fn from(payload: &Payload) -> Self {
        let kind = match payload {
            Payload::Json(text) => PayloadKind::Json(text.as_bytes().clone()),
            Payload::Binary(bytes) => PayloadKind::Binary(bytes.clone()),
            Payload::Attached(text, attachments) => PayloadKind::Attached(schema::Attached {
                text: text.as_bytes().clone(),
                attachments: attachments.to_vec(),
            }),
        };
        Self { kind: Some(kind) }
    }
}

impl TryFrom<schema::Payload> for Payload {
    type Error = DecodeError;

    fn try_from(payload: schema::Payload) -> Result<Self, DecodeError> {
        Ok(match payload.kind.ok_or(DecodeError::Unknown)? {
            PayloadKind::Json(text) => Self::Json(json(text)?),
            PayloadKind::Binary(bytes) => Self::Binary(bytes),
            PayloadKind::Attached(schema::Attached { text, attachments }) => {
                Self::Attached(json(text)?, attachments.into())
            }
        })
    }
}

/// A copy of the payload, which does not keep the message that it came in.
fn owned(payload: Payload) -> Payload {
    let copy = |bytes: &Bytes| Bytes::copy_from_slice(bytes);
    match payload {
        Payload::Json(text) => Payload::Json((&*text).into()),
        Payload::Binary(bytes) => Payload::Binary(copy(&bytes)),
        Payload::Attached(text, attachments) => {
            Payload::Attached((&*text).into(), attachments.iter().map(copy).collect())
        }
    }
}

impl NodeStatus {
    /// The status as other nodes read it.
    pub(crate) fn encode(&self) -> Bytes {
        let status = schema::Status {
            wire_version: self.wire_version,
            oldest_wire_version: self.oldest_wire_version,
            is_retired: self.is_retired,
            secret_check: Bytes::copy_from_slice(&self.secret_check),
            relinks: self.relinks,
        };
        status.encode_to_vec().into()
    }

    /// Reads a node's status. `None` if it is malformed. It is not authenticated yet.
    pub(crate) fn decode(bytes: &[u8]) -> Option<Self> {
        let schema::Status { wire_version, oldest_wire_version, is_retired, secret_check, relinks } =
            schema::Status::decode(bytes).ok()?;
        let secret_check = secret_check[..].try_into().ok()?;
        Some(Self { wire_version, oldest_wire_version, is_retired, relinks, secret_check })
    }
}

pub(super) fn bytes(text: &str) -> Bytes {
    Bytes::copy_from_slice(text.as_bytes())
}

/// A size that another node has counted.
pub(super) fn size(number: u64) -> usize {
    usize::try_from(number).unwrap_or(usize::MAX)
}

pub(super) fn required<T>(field: Option<T>) -> Result<T, DecodeError> {
    field.ok_or(DecodeError::Malformed)
}

pub(super) fn topic(key: &Bytes) -> Result<Topic, DecodeError> {
    str::from_utf8(key).ok().and_then(Topic::from_key).ok_or(DecodeError::Malformed)
}

fn json(text: Bytes) -> Result<ByteString, DecodeError> {
    text.try_into().map_err(|_| DecodeError::Malformed)
}

/// A text such as a node's id.
pub(super) fn text(bytes: &Bytes) -> Result<NodeId, DecodeError> {
    CompactString::from_utf8(bytes).map_err(|_| DecodeError::Malformed)
}

#[cfg(test)]
mod tests;
