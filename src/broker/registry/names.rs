//! The owners of names. A name is a topic with at most one member.

use std::sync::Arc;

use crate::broker::adapter::Epoch;
use crate::connections::connection::{Connection, MemberId};
use crate::message::Proof;

/// The member that owns a name.
pub(super) struct Owner {
    pub(super) id: MemberId,
    pub(super) connection: Arc<Connection>,
    pub(super) proof: Option<Proof>,
    pub(super) epoch: Epoch,
}

/// Whether two joins belong to the same owner: both proved that they know the same secret.
pub(super) fn is_same_owner(held: Option<Proof>, claimed: Option<Proof>) -> bool {
    held.is_some() && held == claimed
}
