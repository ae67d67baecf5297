//! The rates of one socket: its messages, their bytes, and the bytes that it causes to be sent to others. Joins and
//! not-found requests have rates of their own.

use std::time::Instant;

use super::Socket;
use crate::channels::context::Action;
use crate::channels::effect::Effect;
use crate::close;
use crate::connections::token_bucket::RateVerdict;

impl Socket {
    /// A message of the client has arrived. [`take_message_token`](Self::take_message_token) counts its bytes.
    pub(crate) fn received(&mut self, bytes: usize) {
        self.received_bytes += bytes;
    }

    /// Counts one message of any kind, and its bytes, against the rate limits. Closes the connection if the client
    /// floods.
    pub(crate) fn take_message_token(&mut self, now: Instant) -> RateVerdict {
        self.client.now = now;
        let bytes = std::mem::take(&mut self.received_bytes);
        let (settings, clock) = (&self.settings, self.client.connection.clock());
        let messages = self.messages.take(&settings.messages, now, clock);
        let verdict = messages.max(self.bytes.take_many(&settings.bytes, bytes, now, clock));
        if verdict == RateVerdict::Flood {
            self.effects.push_back(Effect::Close(&close::FLOOD));
        }
        verdict
    }

    /// Counts a message of this many bytes that was sent to so many members of topics.
    pub(crate) fn charge_fanout(&mut self, bytes: usize, members: usize) {
        let cost = bytes.saturating_mul(members) as f64;
        self.fanout.charge(&self.settings.fanout, cost, self.client.now);
    }

    /// Removes the broadcasts from what a channel has requested, if its client has caused too much to be sent already.
    /// Returns whether there were any.
    pub(super) fn refuse_fanout(&mut self, actions: &mut Vec<Action>) -> bool {
        let is_broadcast = |action: &Action| matches!(action, Action::Do(Effect::Broadcast { .. }));
        let is_refused =
            actions.iter().any(is_broadcast) && self.fanout.is_empty(&self.settings.fanout, self.client.now);
        if is_refused {
            actions.retain(|action| !is_broadcast(action));
        }
        is_refused
    }
}
