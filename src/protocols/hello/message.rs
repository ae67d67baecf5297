//! A message of any dialect, once it is read: who sends it, and what to do with it.

use std::borrow::Cow;

use crate::message::{Inbound, Payload, Ref, Request};
use crate::protocol::Decoded;
use crate::topic::Topic;

/// The message types that are forwarded. A message of any other type only registers its sender's name.
pub(super) const UNICAST: &str = "unicast";
pub(super) const BROADCAST: &str = "broadcast";
/// The message type that asks for names, in the binary dialect.
pub(super) const LIST: &str = "list";

/// A message to forward, sent under a name of the client.
pub(super) struct PendingPush {
    pub(super) from: Topic,
    pub(super) event: &'static str,
    /// The topic of the recipient; none for a broadcast.
    pub(super) to: Option<Ref>,
    pub(super) payload: Payload,
}

impl PendingPush {
    pub(super) fn into_request(self) -> Decoded<'static> {
        Decoded::Request(Inbound {
            topic: Cow::Owned(self.from.key().to_owned()),
            join_ref: None,
            reference: self.to,
            request: Request::Push(Cow::Borrowed(self.event), self.payload),
        })
    }
}
