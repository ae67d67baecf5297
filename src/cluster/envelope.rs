//! The envelope of a message between nodes: it proves that a node of this cluster has sent the message, to whom, and that
//! it has not arrived before.
//!
//! **Bytes.** An envelope consists of the version of the wire format (1 byte, [`WIRE_VERSION`]), the tag (16 bytes), and
//! the body (the rest). The tag is the first 16 bytes of the HMAC-SHA-256, keyed with `cluster.secret`, of the text
//! `handclasp cluster message`, a zero byte, the version and the body. The body is one protobuf message. It begins with
//! the fields of [`Head`]: the sender's id (tag 1), the number of the message (2) and the receiver's id (3). Then comes
//! one field of [`Kind`](super::schema::Kind) (4 to 13), the message itself. The order of the fields does not matter to
//! a reader.
//!
//! **Receivers.** A message to topics has no receiver. It contains the topics, is sealed once, and is sent on each of
//! them. A node that is subscribed to several opens the first copy, and the others are [`Refused::Repeated`].
//!
//! **Repetition.** A node numbers its messages from 1, over all receivers. A node that receives them keeps, for each
//! sender, which of the last 1,024 numbers have arrived, and refuses older ones. One gap remains: a node that has just
//! started has received nothing, so it accepts an earlier message to topics if that comes before the first new one.

use bytes::{BufMut, Bytes, BytesMut};
use hmac::{Hmac, KeyInit, Mac};
use prost::Message as _;
use sha2::Sha256;

use super::encoding::{self, DecodeError, text};
use super::message::{Message, NodeStatus, OLDEST_WIRE_VERSION, WIRE_VERSION};
use super::replay::ReplayWindows;
use super::schema::{Content, Head};
use crate::broker::adapter::NodeId;

type HmacSha256 = Hmac<Sha256>;

/// The size of a tag, in bytes.
const TAG: usize = 16;

/// The size of what precedes the body: the version and the tag.
const PREFIX: usize = 1 + TAG;

/// What a tag of a message, and one of a node's id, begin with. Neither can be mistaken for the other.
const MESSAGE_DOMAIN: &[u8] = b"handclasp cluster message\0";
const NODE_DOMAIN: &[u8] = b"handclasp cluster node\0";

/// Whom a message is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Destination<'a> {
    /// One node.
    Node(&'a str),
    /// The subscribers of the topics inside the message.
    Topics,
}

/// Puts this node's messages into envelopes.
pub(crate) struct Sealer {
    node: Bytes,
    /// The number of the last message.
    number: u64,
    message_key: HmacSha256,
    node_key: HmacSha256,
}

impl Sealer {
    pub(crate) fn new(secret: &[u8], node: NodeId) -> Self {
        Self {
            node: Bytes::from(String::from(node)),
            number: 0,
            message_key: key(secret, MESSAGE_DOMAIN),
            node_key: key(secret, NODE_DOMAIN),
        }
    }

    /// The envelope with the message. Messages that are sent in the order in which they were sealed are all accepted.
    pub(crate) fn seal(&mut self, to: Destination<'_>, message: &Message) -> Bytes {
        self.number += 1;
        let to = match to {
            Destination::Node(node) => Bytes::copy_from_slice(node.as_bytes()),
            Destination::Topics => Bytes::new(),
        };
        let head = Head { from: self.node.clone(), number: self.number, to };
        seal(&self.message_key, WIRE_VERSION as u8, &head, &Content::from(message))
    }

    /// The tag of what a node says about itself, which only nodes with the same secret can compute. It covers all fields
    /// but the tag itself; those that later releases add are not covered.
    pub(crate) fn secret_check(&self, node: &str, status: &NodeStatus) -> [u8; 16] {
        let NodeStatus { wire_version, oldest_wire_version, is_retired, relinks, secret_check: _ } = *status;
        let versions = [wire_version.to_be_bytes(), oldest_wire_version.to_be_bytes()].concat();
        tag(&self.node_key, &[node.as_bytes(), &versions, &[u8::from(is_retired)], &relinks.to_be_bytes()])
    }
}

fn key(secret: &[u8], domain: &[u8]) -> HmacSha256 {
    let key = HmacSha256::new_from_slice(secret).expect("hmac takes a key of any length");
    key.chain_update(domain)
}

fn seal(key: &HmacSha256, version: u8, head: &Head, content: &impl prost::Message) -> Bytes {
    let mut envelope = BytesMut::with_capacity(PREFIX + head.encoded_len() + content.encoded_len());
    envelope.put_u8(version);
    envelope.put_bytes(0, TAG);
    head.encode_raw(&mut envelope);
    content.encode_raw(&mut envelope);
    let tag = tag(key, &[&[version], &envelope[PREFIX..]]);
    envelope[1..PREFIX].copy_from_slice(&tag);
    envelope.freeze()
}

fn tag(key: &HmacSha256, parts: &[&[u8]]) -> [u8; TAG] {
    let mut mac = key.clone();
    parts.iter().for_each(|part| mac.update(part));
    let mut tag = [0; TAG];
    tag.copy_from_slice(&mac.finalize().into_bytes()[..TAG]);
    tag
}

/// A message that has been accepted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Opened {
    /// The node that has sent it.
    pub(crate) from: NodeId,
    /// The message.
    pub(crate) message: Message,
}

/// Why a message is refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Refused {
    /// It has this version of the wire format, which this node cannot read. It may be forged.
    Version(u32),
    /// It is not from a node with this secret.
    Forged,
    /// It is this node's own message.
    Own,
    /// It is for another node, or for an earlier life of this one.
    Misdirected,
    /// It is authentic, but its node is not admitted. It can be opened again when the node is.
    Stranger(NodeId),
    /// It has arrived before, or so late that it may have.
    Repeated,
    /// It is authentic, but not what a node sends.
    Malformed,
    /// It is, or contains, something of a kind that this version does not know.
    Unknown,
}

impl From<DecodeError> for Refused {
    fn from(error: DecodeError) -> Self {
        match error {
            DecodeError::Malformed => Self::Malformed,
            DecodeError::Unknown => Self::Unknown,
        }
    }
}

/// Opens the envelopes of other nodes.
pub(crate) struct Opener {
    node: NodeId,
    message_key: HmacSha256,
    windows: ReplayWindows,
}

impl Opener {
    pub(crate) fn new(secret: &[u8], node: NodeId) -> Self {
        Self { node, message_key: key(secret, MESSAGE_DOMAIN), windows: ReplayWindows::new() }
    }

    /// Accepts the messages of a live node from now on. A node that was retired and is alive continues where it stopped.
    pub(crate) fn admit(&mut self, node: &str) {
        self.windows.admit(node);
    }

    /// Refuses the messages of a dead node from now on, as those of a stranger.
    pub(crate) fn retire(&mut self, node: &str) {
        self.windows.retire(node);
    }

    /// Opens an envelope. Only an accepted message, or one of an admitted node that cannot be read, counts as arrived.
    pub(crate) fn open(&mut self, envelope: Bytes) -> Result<Opened, Refused> {
        // its own messages come back on every topic that it is subscribed to; without a check of their signature they are
        // as good as free, and they have no effect in any case
        if self.is_own(&envelope) {
            return Err(Refused::Own);
        }
        let body = self.authenticate(envelope)?;
        self.open_body(body)
    }

    /// Whether an envelope says that it is from this node.
    fn is_own(&self, envelope: &Bytes) -> bool {
        let head = envelope.len().checked_sub(PREFIX).map(|_| Head::decode(envelope.slice(PREFIX..)));
        head.is_some_and(|head| head.is_ok_and(|head| head.from == self.node.as_bytes()))
    }

    /// Opens the body of an authentic envelope.
    pub(crate) fn open_body(&mut self, body: Bytes) -> Result<Opened, Refused> {
        let Head { from, number, to } = Head::decode(body.clone()).map_err(|_| Refused::Malformed)?;
        let from = text(&from)?;
        if from.is_empty() || number == 0 {
            return Err(Refused::Malformed);
        }
        if from == self.node {
            return Err(Refused::Own);
        }
        if !to.is_empty() && to != self.node.as_bytes() {
            return Err(Refused::Misdirected);
        }
        let Some(window) = self.windows.live(&from) else { return Err(Refused::Stranger(from)) };
        if !window.accept(number) {
            return Err(Refused::Repeated);
        }
        let message = encoding::decode(body)?;
        Ok(Opened { from, message })
    }

    /// The body of an authentic envelope.
    fn authenticate(&self, mut envelope: Bytes) -> Result<Bytes, Refused> {
        let version = *envelope.first().ok_or(Refused::Forged)?;
        if !(OLDEST_WIRE_VERSION..=WIRE_VERSION).contains(&version.into()) {
            return Err(Refused::Version(version.into()));
        }
        if envelope.len() < PREFIX {
            return Err(Refused::Forged);
        }
        let body = envelope.split_off(PREFIX);
        let mac = self.message_key.clone().chain_update([version]).chain_update(&body);
        mac.verify_truncated_left(&envelope[1..]).map_err(|_| Refused::Forged)?;
        Ok(body)
    }
}

#[cfg(test)]
mod tests;
