//! Names and their owners: how one is claimed, kept from others, and taken over. A part of the registry.

use std::sync::Arc;

use actix::{AsyncContext, Context, Handler, WrapFuture, fut::ActorFutureExt};
use futures_util::FutureExt;

use crate::broker::adapter::{Claimed, Epoch};
use crate::broker::registry::Registry;
use crate::broker::registry::command::{ReleaseName, Subscribe};
use crate::connections::connection::Connection;
use crate::connections::connection::MemberId;
use crate::connections::envelope::SocketEvent;
use crate::message::{NameClaim, Proof};
use crate::metrics::labels::JoinRefusal;
use crate::topic::Topic;

/// Why a claim was not heard, as the client hears it.
const TAKEN: &str = "taken";
const UNREACHABLE: &str = "unreachable";

/// Who holds a name.
pub(crate) struct Owner {
    pub(crate) id: MemberId,
    pub(crate) connection: Arc<Connection>,
    pub(crate) proof: Option<Proof>,
    pub(crate) epoch: Epoch,
}

impl Registry {
    /// Asks for a name: of its owner here, or else of the directory.
    pub(crate) fn claim(&mut self, command: Subscribe, claim: NameClaim, ctx: &mut Context<Self>) {
        if let Some(owner) = self.names.get(&command.topic) {
            let epoch = owner.epoch;
            if !is_same_owner(owner.proof, claim.proof) {
                return self.refuse(&command, JoinRefusal::Taken, TAKEN);
            }
            self.evict(&command.topic, ctx);
            return self.add_member(command, Some((claim.proof, epoch)), ctx);
        }
        let mut answer = self.adapter.claim(&command.topic, claim.proof);
        if let Some(claimed) = (&mut answer).now_or_never() {
            return self.claimed(command, claim, claimed, ctx);
        }
        let id = command.member().id();
        self.index.add_claim(id);
        ctx.spawn(answer.into_actor(self).map(move |claimed, registry, ctx| {
            let wanted = registry.index.remove_claim(id);
            match claimed {
                Claimed::Granted(epoch) if !wanted => registry.adapter.release(&command.topic, epoch),
                _ if !wanted => {}
                _ => registry.claimed(command, claim, claimed, ctx),
            }
        }));
    }

    fn claimed(&mut self, command: Subscribe, claim: NameClaim, claimed: Claimed, ctx: &mut Context<Self>) {
        match claimed {
            Claimed::Granted(epoch) => {
                // two joins here may have asked at once; the directory has put them in order
                if self.names.get(&command.topic).is_some_and(|owner| owner.epoch >= epoch) {
                    return self.refuse(&command, JoinRefusal::Taken, TAKEN);
                }
                self.evict(&command.topic, ctx);
                self.add_member(command, Some((claim.proof, epoch)), ctx);
            }
            Claimed::Taken => self.refuse(&command, JoinRefusal::Taken, TAKEN),
            Claimed::Unreachable => self.refuse(&command, JoinRefusal::Unreachable, UNREACHABLE),
        }
    }

    /// Takes a name from its owner here, who is told; the directory's entry stays as it is.
    fn evict(&mut self, name: &Topic, ctx: &mut Context<Self>) {
        let Some(Owner { id, connection, .. }) = self.names.get(name) else { return };
        let _ = connection.send_event(SocketEvent::Evicted(id.join));
        let id = *id;
        self.remove_from_tables(name, id, ctx);
        self.index.take_join(id).watchers.iter().for_each(|(_, topic)| self.unwatch(topic, id));
    }
}

/// Two joins have the same owner when both brought the same secret.
fn is_same_owner(held: Option<Proof>, claimed: Option<Proof>) -> bool {
    held.is_some() && held == claimed
}

impl Handler<ReleaseName> for Registry {
    type Result = bool;

    fn handle(&mut self, ReleaseName { name, proof }: ReleaseName, ctx: &mut Self::Context) -> bool {
        match self.names.get(&name) {
            Some(owner) if !is_same_owner(owner.proof, proof) => false,
            Some(_) => {
                self.evict(&name, ctx);
                true
            }
            None => true,
        }
    }
}
