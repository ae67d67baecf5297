//! Names and their owners: how one is claimed, kept from others, and taken over. A part of the registry.

use std::sync::Arc;

use actix::{AsyncContext, Context, Handler, WrapFuture, fut::ActorFutureExt};
use futures_util::FutureExt;

use crate::broker::adapter::{Claimed, Epoch};
use crate::broker::registry::Registry;
use crate::broker::registry::command::{ReleaseName, Subscribe};
use crate::connections::connection::Connection;
use crate::connections::connection::MemberId;
use crate::connections::mail::SocketEvent;
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
    pub(crate) fn claim(&mut self, wish: Subscribe, claim: NameClaim, ctx: &mut Context<Self>) {
        if let Some(owner) = self.names.get(&wish.topic) {
            let epoch = owner.epoch;
            if !is_same_owner(owner.proof, claim.proof) {
                return self.refuse(&wish, JoinRefusal::Taken, TAKEN);
            }
            self.evict(&wish.topic, ctx);
            return self.admit(wish, Some((claim.proof, epoch)), ctx);
        }
        let mut answer = self.adapter.claim(&wish.topic, claim.proof);
        if let Some(claimed) = (&mut answer).now_or_never() {
            return self.claimed(wish, claim, claimed, ctx);
        }
        let id = wish.member().id();
        self.holdings.add_claim(id);
        ctx.spawn(answer.into_actor(self).map(move |claimed, registry, ctx| {
            let wanted = registry.holdings.remove_claim(id);
            match claimed {
                Claimed::Granted(epoch) if !wanted => registry.adapter.release(&wish.topic, epoch),
                _ if !wanted => {}
                _ => registry.claimed(wish, claim, claimed, ctx),
            }
        }));
    }

    fn claimed(&mut self, wish: Subscribe, claim: NameClaim, claimed: Claimed, ctx: &mut Context<Self>) {
        match claimed {
            Claimed::Granted(epoch) => {
                // two joins here may have asked at once; the directory has put them in order
                if self.names.get(&wish.topic).is_some_and(|owner| owner.epoch >= epoch) {
                    return self.refuse(&wish, JoinRefusal::Taken, TAKEN);
                }
                self.evict(&wish.topic, ctx);
                self.admit(wish, Some((claim.proof, epoch)), ctx);
            }
            Claimed::Taken => self.refuse(&wish, JoinRefusal::Taken, TAKEN),
            Claimed::Unreachable => self.refuse(&wish, JoinRefusal::Unreachable, UNREACHABLE),
        }
    }

    /// Takes a name from its owner here, who is told; the directory's entry stays as it is.
    fn evict(&mut self, name: &Topic, ctx: &mut Context<Self>) {
        let Some(Owner { id, connection, .. }) = self.names.get(name) else { return };
        let _ = connection.tell(SocketEvent::Evicted(id.join));
        let id = *id;
        self.remove_from_tables(name, id, ctx);
        self.holdings.take_join(id).watches.iter().for_each(|(_, topic)| self.unwatch(topic, id));
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
