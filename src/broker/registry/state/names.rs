//! The steps that change who owns a name: claim, grant or refusal, takeover, release.

use std::future::ready;

use futures_util::FutureExt;

use super::State;
use crate::broker::adapter::{BoxFuture, Claimed};
use crate::broker::registry::command::Subscribe;
use crate::broker::registry::names::{Owner, is_same_owner};
use crate::connections::envelope::SocketEvent;
use crate::message::{NameClaim, Proof};
use crate::refusal::{JoinRefusal, TAKEN};
use crate::topic::Topic;

/// The reason that a client receives when the directory of names does not answer.
const UNREACHABLE: &str = "unreachable";

impl State {
    /// Claims a name. If a client of this node owns it, that client's secret decides, and then whether it is alive;
    /// otherwise the directory decides.
    pub(super) fn claim(&mut self, command: Subscribe, claim: NameClaim) {
        if let Some(owner) = self.names.get(&command.topic) {
            let epoch = owner.epoch;
            if !is_same_owner(owner.proof, claim.proof) {
                return self.contest(command);
            }
            self.evict(&command.topic);
            return self.add_member(command, Some((claim.proof, epoch)));
        }
        let mut answer = self.adapter.claim(&command.topic, claim.proof);
        if let Some(claimed) = (&mut answer).now_or_never() {
            return self.claim_answered(command, claim, claimed);
        }
        let id = command.member().id();
        self.index.add_claim(id);
        self.suspend(answer, move |state, claimed| {
            let is_wanted = state.index.remove_claim(id);
            match claimed {
                Claimed::Granted(epoch) if !is_wanted => state.adapter.release(&command.topic, epoch),
                _ if !is_wanted => {}
                _ => state.claim_answered(command, claim, claimed),
            }
        });
    }

    fn claim_answered(&mut self, command: Subscribe, claim: NameClaim, claimed: Claimed) {
        match claimed {
            Claimed::Granted(epoch) => {
                // two joins on this node may have claimed it at the same time; the epoch tells which the directory
                // granted last
                if self.names.get(&command.topic).is_some_and(|owner| owner.epoch >= epoch) {
                    return self.refuse(&command, JoinRefusal::Taken, TAKEN);
                }
                self.evict(&command.topic);
                self.add_member(command, Some((claim.proof, epoch)));
            }
            Claimed::Taken => self.refuse(&command, JoinRefusal::Taken, TAKEN),
            Claimed::Unreachable => self.refuse(&command, JoinRefusal::Unreachable, UNREACHABLE),
        }
    }

    /// Takes a name from its owner on this node, and notifies the owner. The directory's entry stays unchanged. The name
    /// has a new owner, which is alive, so other claims are refused.
    fn evict(&mut self, name: &Topic) {
        let Some(Owner { id, connection, .. }) = self.names.get(name) else { return };
        let _ = connection.send_event(SocketEvent::Evicted(id.join));
        let id = *id;
        self.remove_from_tables(name, id);
        self.index.take_join(id).watches.iter().for_each(|(_, topic)| self.unwatch(topic, id));
        self.decline_claims(name);
    }

    /// Releases a name that another node's client claims, unless its owner here has another secret and is alive. The
    /// result says whether the name is free.
    pub(in crate::broker::registry) fn release_name(&mut self, name: &Topic, proof: Option<Proof>) -> BoxFuture<bool> {
        match self.names.get(name) {
            Some(owner) if !is_same_owner(owner.proof, proof) => return self.contest_remotely(name),
            Some(_) => self.evict(name),
            None => {}
        }
        Box::pin(ready(true))
    }
}
