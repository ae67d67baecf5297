//! The claims of names that are under way in the directory. A part of the registry.
//!
//! The directory may have granted a name to this node although the registry does not know it yet. If another node asks
//! for the name meanwhile, this node gives it up before it has it.

use std::collections::HashMap;

use crate::broker::adapter::Epoch;
use crate::topic::Topic;

/// The names with claims under way.
#[derive(Default)]
pub(super) struct Claims(HashMap<Topic, NameClaims>);

#[derive(Default)]
struct NameClaims {
    count: usize,
    lost: LostGrants,
}

/// What has become of grants since the oldest claim of the name under way began.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct LostGrants {
    /// The highest epoch that another node may have taken.
    pub(super) given_up: Option<Epoch>,
    /// The highest epoch that this node has released, so that the directory does not know earlier ones either.
    pub(super) released: Option<Epoch>,
}

impl Claims {
    pub(super) fn start(&mut self, name: &Topic) {
        self.0.entry(name.clone()).or_default().count += 1;
    }

    /// Whether a claim of the name is under way.
    pub(super) fn has(&self, name: &Topic) -> bool {
        self.0.contains_key(name)
    }

    /// Gives up the grants up to `epoch` that are not known yet.
    pub(super) fn give_up(&mut self, name: &Topic, epoch: Epoch) {
        if let Some(claims) = self.0.get_mut(name) {
            claims.lost.given_up = claims.lost.given_up.max(Some(epoch));
        }
    }

    /// Notes that this node has released a grant.
    pub(super) fn released(&mut self, name: &Topic, epoch: Epoch) {
        if let Some(claims) = self.0.get_mut(name) {
            claims.lost.released = claims.lost.released.max(Some(epoch));
        }
    }

    /// Ends a claim.
    pub(super) fn finish(&mut self, name: &Topic) -> LostGrants {
        let Some(claims) = self.0.get_mut(name) else { return LostGrants::default() };
        let lost = claims.lost;
        claims.count -= 1;
        if claims.count == 0 {
            self.0.remove(name);
        }
        lost
    }
}
