//! The protobuf messages that travel between nodes. [`encoding`](super::encoding) converts them, and
//! [`envelope`](super::envelope) puts them into an envelope.
//!
//! The tags are the wire format: a tag is never given a new meaning, and a new field gets a new one. A field that a
//! version does not know is skipped. All texts are UTF-8 in fields of the type `bytes`, which has the encoding of
//! `string`, so that they are cut out of a received message without a copy and checked once.

mod inquiry;
mod message;
mod packet;

pub(super) use inquiry::*;
pub(super) use message::*;
pub(super) use packet::*;
