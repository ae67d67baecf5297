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
    pub(crate) subscriptions_left: usize,
    /// How many tasks more it may run.
    pub(crate) tasks_left: usize,
    pub(crate) budget: Arc<CommandBudget>,
    pub(crate) assigns: Assigns,
    /// Whether the channel that ran last was declined something for want of a turn.
    pub(crate) overloaded: bool,
    pub(crate) connection: Arc<Connection>,
    /// How many signals to nobody it may still send.
    pub(crate) not_found_budget: TokenBucket,
    pub(crate) not_found_rate: Rate,
    /// What time it is, as the socket was last told.
    pub(crate) now: Instant,
}

impl Client {
    /// Whether it has spoken to nobody too often of late. What others of its address do is not its fault.
    pub(crate) fn is_probing(&mut self) -> bool {
        self.not_found_budget.is_empty(&self.not_found_rate, self.now)
    }

    /// Counts a signal to nobody, for it and for its address.
    pub(crate) fn charge_not_found(&mut self) {
        self.not_found_budget.take(&self.not_found_rate, self.now);
        self.connection.not_found_budget.take(self.now);
    }

    /// What was counted was none.
    pub(crate) fn refund_not_found(&mut self) {
        self.not_found_budget.give_back();
        self.connection.not_found_budget.give_back();
    }

    /// A turn at the registry, for an order that carries so many bytes.
    pub(crate) fn permit(&mut self, bytes: usize) -> Result<Permit, LimitError> {
        let permit = self.budget.take(bytes);
        self.overloaded |= permit.is_none();
        permit.ok_or(LimitError::Overloaded)
    }
}
