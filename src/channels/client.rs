//! [`Client`]: the state of one client that all channels of its socket share, and its remaining limits.
//!
//! How a channel uses it is in [`context`](crate::channels::context).

use std::sync::Arc;
use std::time::Instant;

use crate::broker::registry::permits::{CommandBudget, Permit};
use crate::channels::assigns::Assigns;
use crate::channels::reply::LimitError;
use crate::connections::connection::Connection;
use crate::connections::token_bucket::{Rate, TokenBucket};
use crate::topic::Topic;

/// The state that all channels of one socket share. `repr(C)` keeps the fields in this order: those that every message
/// needs are next to each other at the end.
#[repr(C)]
pub(crate) struct Client {
    pub(crate) transport: &'static str,
    /// How many more topics its channels may subscribe to besides their own.
    pub(crate) subscriptions_left: usize,
    /// How many more tasks it may run.
    pub(crate) tasks_left: usize,
    pub(crate) budget: Arc<CommandBudget>,
    pub(crate) assigns: Assigns,
    /// The first name that it has claimed, which costs nothing: most clients have one name, and claim it again whenever
    /// they connect.
    pub(crate) first_name: Option<Topic>,
    /// Whether a request of the latest callback was refused because the registry's command queue was full.
    pub(crate) overloaded: bool,
    pub(crate) connection: Arc<Connection>,
    /// How many more names it may look for that nobody has.
    pub(crate) not_found_budget: TokenBucket,
    pub(crate) not_found_rate: Rate,
    /// The time when the socket last handled an event.
    pub(crate) now: Instant,
}

impl Client {
    /// Whether it has recently looked for too many names: by signals to absent peers, watches of absent peers, and joins
    /// of names. Those of other clients with the same IP address do not count.
    pub(crate) fn is_probing(&mut self) -> bool {
        self.not_found_budget.is_empty(&self.not_found_rate, self.now)
    }

    /// Charges the claim of a name, whose result says whether another client has it. The first name is free. Returns
    /// whether the claim is allowed.
    pub(crate) fn charge_claim(&mut self, name: &Topic) -> bool {
        if self.first_name.get_or_insert_with(|| name.clone()) == name {
            return true;
        }
        let is_allowed = !self.is_probing();
        if is_allowed {
            self.charge_not_found();
        }
        is_allowed
    }

    /// Charges the refusal of a name that another client has, unless its claim was charged.
    pub(crate) fn charge_taken(&mut self, name: &Topic) {
        if self.first_name.as_ref() == Some(name) {
            self.charge_not_found();
        }
    }

    /// Counts a name that was not found against the client's budget and that of its IP address.
    pub(crate) fn charge_not_found(&mut self) {
        self.not_found_budget.take(&self.not_found_rate, self.now);
        self.connection.not_found_budget.take(self.now);
    }

    /// Takes back one [`charge_not_found`](Self::charge_not_found), because the peer was present.
    pub(crate) fn refund_not_found(&mut self) {
        self.not_found_budget.give_back(&self.not_found_rate);
        self.connection.not_found_budget.give_back();
    }

    /// Takes a permit for a registry command with this many bytes.
    pub(crate) fn permit(&mut self, bytes: usize) -> Result<Permit, LimitError> {
        let permit = self.budget.take(bytes);
        self.overloaded |= permit.is_none();
        permit.ok_or(LimitError::Overloaded)
    }
}
