//! One client, as all channels of its socket see it: what they share, and what it may still do.
//!
//! What a channel does with it is in [`context`](crate::channels::context).

use std::sync::Arc;
use std::time::Instant;

use crate::broker::registry::permits::{CommandBudget, Permit};
use crate::channels::assigns::Assigns;
use crate::channels::reply::LimitError;
use crate::connections::connection::Connection;
use crate::connections::token_bucket::{Rate, TokenBucket};

/// What all channels of one socket have in common. In memory as written: what each message needs stands at the end.
#[repr(C)]
pub(crate) struct Client {
    pub(crate) transport: &'static str,
    /// How many topics more its joins may hear besides their own.
    pub(crate) may_hear: usize,
    pub(crate) turns: Arc<CommandBudget>,
    pub(crate) assigns: Assigns,
    /// Whether the channel that ran last was declined something for want of a turn.
    pub(crate) overloaded: bool,
    pub(crate) connection: Arc<Connection>,
    /// How many signals to nobody it may still send.
    pub(crate) misses: TokenBucket,
    pub(crate) misses_rate: Rate,
    /// What time it is, as the socket was last told.
    pub(crate) now: Instant,
}

impl Client {
    /// Whether it has spoken to nobody too often of late. What others of its address do is not its fault.
    pub(crate) fn has_missed_too_often(&mut self) -> bool {
        self.misses.is_empty(&self.misses_rate, self.now)
    }

    /// Counts a signal to nobody, for it and for its address.
    pub(crate) fn miss(&mut self) {
        self.misses.take(&self.misses_rate, self.now);
        self.connection.misses.take(self.now);
    }

    /// What was counted was none.
    pub(crate) fn unmiss(&mut self) {
        self.misses.give_back();
        self.connection.misses.give_back();
    }

    /// A turn at the registry, for an order that carries so many bytes.
    pub(crate) fn turn(&mut self, bytes: usize) -> Result<Permit, LimitError> {
        let turn = self.turns.take(bytes);
        self.overloaded |= turn.is_none();
        turn.ok_or(LimitError::Overloaded)
    }
}
