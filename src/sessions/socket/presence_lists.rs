//! [`PresenceLists`]: the presence lists that a client is still to be sent.

use std::collections::VecDeque;

use crate::message::JoinId;

/// The joins whose presence lists a client is still to be sent, one list after the other.
#[derive(Default)]
pub(crate) struct PresenceLists {
    /// The join whose list was requested and has not arrived yet.
    requested: Option<JoinId>,
    /// The joins whose lists are requested next.
    waiting: VecDeque<JoinId>,
}

impl PresenceLists {
    /// Adds a join. Returns whether its list can be requested at once.
    pub(super) fn begin(&mut self, join: JoinId) -> bool {
        let is_first = self.requested.is_none();
        if is_first {
            self.requested = Some(join);
        } else {
            self.waiting.push_back(join);
        }
        is_first
    }

    /// Adds a join whose list is requested in its turn.
    pub(super) fn add(&mut self, join: JoinId) {
        self.waiting.push_back(join);
    }

    /// The first waiting join that `is_ready` accepts, if no other list is on its way.
    pub(super) fn next(&mut self, is_ready: impl Fn(JoinId) -> bool) -> Option<JoinId> {
        if self.requested.is_some() {
            return None;
        }
        let at = self.waiting.iter().position(|join| is_ready(*join))?;
        self.requested = self.waiting.remove(at);
        self.requested
    }

    /// The list of a join has arrived.
    pub(super) fn arrived(&mut self, join: JoinId) {
        self.requested.take_if(|requested| *requested == join);
    }

    /// A join that has ended needs no list.
    pub(super) fn forget(&mut self, join: JoinId) {
        self.arrived(join);
        self.waiting.retain(|waiting| *waiting != join);
    }

    /// The number of lists that were requested or wait to be.
    pub(super) fn len(&self) -> usize {
        self.waiting.len() + usize::from(self.requested.is_some())
    }
}
