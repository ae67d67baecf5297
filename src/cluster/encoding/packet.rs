//! Converts broadcasts, presence and payloads to the protobuf messages of [`schema`](crate::cluster::schema), and back.

use bytes::Bytes;
use bytestring::ByteString;

use super::{DecodeError, bytes, required, text};
use crate::broker::adapter::{Packet, PresencePacket};
use crate::cluster::schema::{self, PacketKind, PayloadKind};
use crate::message::{Payload, PresenceEntry, PresenceList};

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

fn json(text: Bytes) -> Result<ByteString, DecodeError> {
    text.try_into().map_err(|_| DecodeError::Malformed)
}
