//! The claims of names that are under way in the directory: at most one of each name, with later ones waiting behind it.
//! A part of the registry.
//!
//! The directory may have granted a name to this node although the registry does not know it yet. If another node asks
//! for the name meanwhile, with the same secret, this node gives it up before it has it. With another secret, the question
//! waits until the claim has ended.

use std::collections::{HashMap, VecDeque};
use std::mem::take;

use tokio::sync::oneshot;

use crate::broker::adapter::Epoch;
use crate::broker::registry::command::Subscribe;
use crate::broker::registry::names::is_same_owner;
use crate::message::Proof;
use crate::topic::Topic;

/// The maximum number of joins that wait for one name. Each holds a pending join.
const WAITING: usize = 64;
/// The maximum number of other nodes that wait for the end of one claim. The claims of further ones are refused.
const RIVALS: usize = 4;

/// The names that are being claimed.
#[derive(Default)]
pub(super) struct Claims(HashMap<Topic, NameClaims>);

#[derive(Default)]
struct NameClaims {
    /// Whether the directory has been asked and has not answered.
    is_under_way: bool,
    /// What the claim that is under way proves.
    proof: Option<Proof>,
    /// The highest epoch that another node may have taken since the claim began.
    given_up: Option<Epoch>,
    /// Joins that claim the name, too, oldest first.
    waiting: VecDeque<Subscribe>,
    /// Claims of other nodes, which are decided once this one has ended.
    rivals: Vec<Rival>,
}

/// The claim of another node that has found a grant of this node.
pub(super) struct Rival {
    pub(super) epoch: Epoch,
    pub(super) proof: Option<Proof>,
    /// Tells that node whether the name is free.
    pub(super) decide: oneshot::Sender<bool>,
}

impl Claims {
    /// Begins the only claim of a name.
    pub(super) fn begin(&mut self, name: &Topic, proof: Option<Proof>) {
        let claims = self.0.entry(name.clone()).or_default();
        (claims.is_under_way, claims.proof, claims.given_up) = (true, proof, None);
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

    /// Lets a rival wait for the end of the claim that is under way. If nothing is under way, or the claim proves the same
    /// as the rival's, the rival is returned.
    pub(super) fn defer(&mut self, name: &Topic, rival: Rival) -> Result<(), Rival> {
        match self.0.get_mut(name).filter(|claims| claims.is_under_way) {
            Some(claims) if !is_same_owner(claims.proof, rival.proof) => {
                claims.rivals.retain(|other| !other.decide.is_closed());
                if claims.rivals.len() < RIVALS {
                    claims.rivals.push(rival);
                } else {
                    let _ = rival.decide.send(false);
                }
                Ok(())
            }
            _ => Err(rival),
        }
    }

    /// Gives up the grants up to `epoch` that are not known yet.
    pub(super) fn give_up(&mut self, name: &Topic, epoch: Epoch) {
        if let Some(claims) = self.0.get_mut(name) {
            claims.given_up = claims.given_up.max(Some(epoch));
        }
    }

    /// Ends a claim. Returns the highest epoch that another node may have taken meanwhile, and the rivals that wait.
    pub(super) fn end(&mut self, name: &Topic) -> (Option<Epoch>, Vec<Rival>) {
        let Some(claims) = self.0.get_mut(name) else { return (None, Vec::new()) };
        claims.is_under_way = false;
        let ended = (claims.given_up, take(&mut claims.rivals));
        if claims.waiting.is_empty() {
            self.0.remove(name);
        }
        ended
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
