//! A client that is upgraded only to be closed with a reason. Browsers hide why an upgrade fails, but show the reason of
//! a close frame.

use crate::close::{self, Reason};
use crate::message::{Broadcast, Outbound};
use crate::protocol::{Decoded, Frame, Malformed, Protocol, Unencodable};
use crate::refusal::TokenRefusal;

/// The protocol state of a refused client.
pub(super) struct Refused(pub(super) &'static Reason);

impl Protocol for Refused {
    fn decode<'a>(&'a mut self, _: &'a Frame) -> Result<Option<Decoded<'a>>, Malformed> {
        Ok(None)
    }

    fn next_step(&mut self) -> Option<Decoded<'static>> {
        Some(Decoded::Close(self.0))
    }

    fn encode(&mut self, _: &Outbound) -> Result<Option<Frame>, Unencodable> {
        Ok(None)
    }

    fn broadcast(_: &Broadcast) -> Option<Frame> {
        None
    }
}

/// The close reason of a client that can get another token and come back. A client with an invalid token cannot, and is
/// refused before the upgrade.
pub(super) fn close_reason(refusal: TokenRefusal) -> Option<&'static Reason> {
    match refusal {
        TokenRefusal::Expired => Some(&close::TOKEN_EXPIRED),
        TokenRefusal::NotYetValid => Some(&close::TOKEN_NOT_YET_VALID),
        TokenRefusal::Revoked => Some(&close::TOKEN_REVOKED),
        TokenRefusal::Missing | TokenRefusal::Invalid | TokenRefusal::KeyUnknown | TokenRefusal::TooManySockets => None,
    }
}
