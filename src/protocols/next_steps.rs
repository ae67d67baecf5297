//! The additional steps of a client, in order: what [`Protocol::next_step`](crate::protocol::Protocol::next_step)
//! returns. Most clients need them only for their join, so an empty queue keeps no memory.

use std::collections::VecDeque;

use crate::protocol::Decoded;

/// The steps that have not been returned yet.
#[derive(Default)]
pub(super) struct NextSteps(VecDeque<Decoded<'static>>);

impl<const N: usize> From<[Decoded<'static>; N]> for NextSteps {
    fn from(steps: [Decoded<'static>; N]) -> Self {
        Self(steps.into())
    }
}

impl NextSteps {
    pub(super) fn push(&mut self, step: Decoded<'static>) {
        self.0.push_back(step);
    }

    /// The next step, if there is one.
    pub(super) fn pop(&mut self) -> Option<Decoded<'static>> {
        let step = self.0.pop_front();
        if step.is_none() {
            self.0 = VecDeque::new();
        }
        step
    }
}
