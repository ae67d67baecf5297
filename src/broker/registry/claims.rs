//! The claims of names that are under way in the directory: at most one of each name, with later ones waiting behind it.
//! A part of the registry.
//!
//! The directory may have granted a name to this node although the registry does not know it yet. If another node asks
//! for the name meanwhile, this node gives it up before it has it.

use std::collections::{HashMap, VecDeque};

use crate::broker::adapter::Epoch;
use crate::broker::registry::command::Subscribe;
use crate::topic::Topic;

/// The maximum number of joins that wait for one name. Each holds a pending join.
const WAITING: usize = 64;

/// The names that are being claimed.
#[derive(Default)]
pub(super) struct Claims(HashMap<Topic, NameClaims>);

#[derive(Default)]
struct NameClaims {
    /// Whether the directory has been asked and has not answered.
    is_under_way: bool,
    /// The highest epoch that another node may have taken since the claim began.
    given_up: Option<Epoch>,
    /// Joins that claim the name, too, oldest first.
    waiting: VecDeque<Subscribe>,
}

impl Claims {
    /// Begins the only claim of a name.
    pub(super) fn begin(&mut self, name: &Topic) {
        let claims = self.0.entry(name.clone()).or_default();
        (claims.is_under_way, claims.given_up) = (true, None);
    }

    /// Whether a claim of the name is under way.
    pub(super) fn is_under_way(&self, name: &Topic) -> bool {
        self.0.get(name).is_some_and(|claims| claims.is_under_way)
    }

    /// Whether no other join may wait for the name. Those that `is_wanted` rejects are removed first.
    pub(super) fn is_full(&mut self, name: &Topic, is_wanted: impl Fn(&Subscribe) -> bool) -> bool {
        let Some(claims) = self.0.get_mut(name).filter(|claims| claims.waiting.len() >= WAITING) else { return false };
        claims.waiting.retain(is_wanted);
        claims.waiting.len() >= WAITING
    }

    /// Lets a join wait behind the claim that is under way.
    pub(super) fn wait(&mut self, command: Subscribe) {
        self.0.entry(command.topic.clone()).or_default().waiting.push_back(command);
    }

    /// Gives up the grants up to `epoch` that are not known yet.
    pub(super) fn give_up(&mut self, name: &Topic, epoch: Epoch) {
        if let Some(claims) = self.0.get_mut(name) {
            claims.given_up = claims.given_up.max(Some(epoch));
        }
    }

    /// Ends a claim. Returns the highest epoch that another node may have taken meanwhile.
    pub(super) fn end(&mut self, name: &Topic) -> Option<Epoch> {
        let claims = self.0.get_mut(name)?;
        claims.is_under_way = false;
        let given_up = claims.given_up;
        if claims.waiting.is_empty() {
            self.0.remove(name);
        }
        given_up
    }

    /// The join that has waited longest.
    pub(super) fn next(&mut self, name: &Topic) -> Option<Subscribe> {
        let claims = self.0.get_mut(name)?;
        let next = claims.waiting.pop_front();
        if claims.waiting.is_empty() && !claims.is_under_way {
            self.0.remove(name);
        }
        next
    }
}
