//! Converts a [`Message`] to the protobuf messages of [`schema`](super::schema), and back. What it
//! carries is converted in `packet`, and questions and answers in `inquiry`.
//!
//! Encoding copies a payload once, into the message that is sent. Decoding does not copy the payloads of broadcasts: they
//! are parts of the received message. The metadata of presence entries is copied, because an entry is kept for long and
//! would keep the whole message in memory. JSON is not parsed again: the node that sent it is authentic, and has checked
//! it.
//!
//! Decoding takes at most 192 bytes of memory for each byte of a message: those of a list of empty presence entries, which
//! is then refused. Only a node with the secret can send it.

mod inquiry;
mod packet;

use bytes::Bytes;
use compact_str::CompactString;
use prost::Message as _;

use super::message::{Message, NodeStatus, Verdict};
use super::schema::{self, Kind};
use crate::broker::adapter::NodeId;
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

/// A text such as a node's id.
pub(super) fn text(bytes: &Bytes) -> Result<NodeId, DecodeError> {
    CompactString::from_utf8(bytes).map_err(|_| DecodeError::Malformed)
}

#[cfg(test)]
mod tests;
