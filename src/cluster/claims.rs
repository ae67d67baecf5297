//! Claims of names: the engine's directory grants a free name; the node that holds a name decides whether it gives the
//! name up; a dead node, or one that is about to stop, is not asked.

use std::rc::Rc;
use std::time::Duration;

use futures_util::FutureExt;
use tokio::task::spawn_local;
use tokio::time::{Instant, sleep, timeout};

use crate::broker::adapter::{Answer, Answers, Claimed, Epoch, Question, Unreachable};
use crate::cluster::engine::{ClaimResult, Holder, Lost, Reach};
use crate::cluster::message::Message;
use crate::cluster::requests::Response;
use crate::cluster::this_node::ThisNode;
use crate::config::Isolated;
use crate::message::{NameClaim, Proof};
use crate::metrics::labels::ClaimStatus;
use crate::topic::Topic;

/// The pause before a claim begins again because the directory's entry has changed meanwhile.
const CLAIM_PAUSE: Duration = Duration::from_millis(1);
/// The first pause before a node that has no inbox is told again that it has lost a name. It doubles with each attempt.
const REVOKE_PAUSE: Duration = Duration::from_millis(50);

/// What the node that holds a name says about another node's claim.
enum Decision {
    /// The node has given it up.
    GivenUp,
    /// The name may be taken, and the node has not been asked, or not answered.
    Free,
    /// It stays where it is.
    Kept,
    /// The node has not answered, and may be alive.
    Unknown,
}

impl ThisNode {
    /// Claims a name for a client of this node.
    pub(super) async fn claim(self: Rc<Self>, name: Topic, claim: NameClaim) -> Claimed {
        let claimed = match self.is_linked.get() {
            true => self.claim_in_directory(&name, claim).await.unwrap_or_else(|Lost| {
                self.names.note_unanswered();
                Claimed::Unreachable
            }),
            false => Claimed::Unreachable,
        };
        let claimed = match claimed {
            Claimed::Unreachable if !self.is_linked.get() => self.claim_in_isolation(claim),
            claimed => claimed,
        };
        if let Claimed::Granted(epoch) = claimed {
            self.names.saw_epoch(epoch);
        }
        self.metrics.cluster.claims.inc(status(claimed));
        claimed
    }

    async fn claim_in_directory(self: &Rc<Self>, name: &Topic, claim: NameClaim) -> Result<Claimed, Lost> {
        if self.may_be_missing(claim) && self.engine.find(name.key()).await?.is_none() && !self.is_free(name).await {
            return Ok(Claimed::Unreachable);
        }
        let until = Instant::now() + self.options.contest_timeout + self.options.timeout;
        while Instant::now() < until {
            let holder = match self.engine.claim(name.key()).await? {
                ClaimResult::Granted(epoch) => return Ok(Claimed::Granted(epoch)),
                ClaimResult::Held(holder) => holder,
            };
            let granted = match self.decision(name, &holder, claim).await? {
                Decision::Kept if self.engine.find(name.key()).await?.as_ref() == Some(&holder) => {
                    return Ok(Claimed::Taken);
                }
                Decision::Unknown => return Ok(Claimed::Unreachable),
                // the node was asked for an older grant than its client has
                Decision::Kept => None,
                decision => self.engine.replace(name.key(), &holder).await?.map(|epoch| (epoch, decision)),
            };
            if let Some((epoch, decision)) = granted {
                if matches!(decision, Decision::Free) {
                    self.revoke_at(holder, name.clone());
                }
                return Ok(Claimed::Granted(epoch));
            }
            sleep(CLAIM_PAUSE).await;
        }
        // other claims were faster each time
        Ok(Claimed::Unreachable)
    }

    /// Takes a name away from a node that has not given it up. A node without an inbox may be about to enter the name again,
    /// or to have one. If neither is the case within a moment, it enters its names later, and finds out then.
    pub(super) fn revoke_at(self: &Rc<Self>, holder: Holder, name: Topic) {
        let (node, permit) = (self.clone(), self.budget.take_anyway(name.key().len()));
        let revoke = Message::Revoke { name: name.clone(), epoch: holder.epoch };
        spawn_local(async move {
            let (until, mut pause) = (Instant::now() + node.options.timeout, REVOKE_PAUSE);
            loop {
                match node.send(&holder.node, &revoke).await {
                    Ok(Reach::Accepted) => break,
                    Err(Lost) => {
                        node.names.note_unsent_revoke(holder, name);
                        break;
                    }
                    Ok(Reach::Nobody) => {}
                }
                if Instant::now() + pause > until || !node.members.borrow().is_live(&holder.node) {
                    break;
                }
                sleep(pause).await;
                pause *= 2;
            }
            drop(permit);
        });
    }

    /// Whether a name may have a live owner although the directory has no entry of it, and the claim does not show that it
    /// comes from that owner.
    fn may_be_missing(&self, claim: NameClaim) -> bool {
        let is_granted_anyway = claim.is_self_certifying || self.options.isolated == Isolated::All;
        !is_granted_anyway && self.may_directory_lack_names()
    }

    /// Whether all other nodes say that none of their clients owns the name.
    async fn is_free(self: &Rc<Self>, name: &Topic) -> bool {
        let Answers { answers, silent } = self.clone().ask(Question::Owns(name.clone())).await;
        silent.is_empty() && answers.iter().all(|(_, answer)| *answer == Answer::Owns(false))
    }

    /// Asks the node that holds a name, unless it cannot or need not be asked.
    async fn decision(
        self: &Rc<Self>,
        name: &Topic,
        holder: &Holder,
        NameClaim { proof, is_self_certifying }: NameClaim,
    ) -> Result<Decision, Lost> {
        self.names.saw_epoch(holder.epoch);
        if holder.node == self.options.node {
            // an entry that was not released: no client of this node has the name while one claims it
            return Ok(Decision::GivenUp);
        }
        if !self.is_live(&holder.node).await? || self.members.borrow().is_retired(&holder.node) {
            return Ok(Decision::Free);
        }
        let mut waiter = self.requests.open();
        let request = Message::GiveUp { request: waiter.id, name: name.clone(), epoch: holder.epoch, proof };
        if self.send(&holder.node, &request).await? == Reach::Nobody {
            // only its owner can have claimed such a name
            return Ok(if is_self_certifying { Decision::Free } else { self.decision_without(holder).await? });
        }
        match timeout(self.options.contest_timeout + self.options.timeout, waiter.response()).await {
            Ok(Some(Response::GivenUp(true))) => Ok(Decision::GivenUp),
            Ok(Some(_)) => Ok(Decision::Kept),
            Ok(None) => Err(Lost),
            Err(_) => self.decision_without(holder).await,
        }
    }

    /// A node that has not answered decides nothing once its lease is over.
    async fn decision_without(self: &Rc<Self>, holder: &Holder) -> Result<Decision, Lost> {
        self.refresh_members().await?;
        Ok(if self.members.borrow().is_live(&holder.node) { Decision::Unknown } else { Decision::Free })
    }

    /// Releases a name in the directory.
    pub(super) fn release(self: &Rc<Self>, name: Topic, epoch: Epoch) {
        let release = self.engine.release(name.key(), epoch).shared();
        self.names.note_release(&name, epoch);
        self.names.releases.borrow_mut().insert(name.clone(), release.clone());
        let node = self.clone();
        spawn_local(async move {
            if release.clone().await == Err(Lost) {
                node.names.note_unanswered();
            }
            let mut releases = node.names.releases.borrow_mut();
            if releases.get(&name).is_some_and(|latest| latest.ptr_eq(&release)) {
                releases.remove(&name);
            }
        });
    }

    /// Waits until the latest release of a name has taken effect, if one is under way.
    pub(super) fn released(&self, name: &Topic) -> impl Future<Output = ()> + use<> {
        let release = self.names.releases.borrow().get(name).cloned();
        async move {
            if let Some(release) = release {
                let _ = release.await;
            }
        }
    }

    /// Decides a claim that the directory cannot: it is entered there once the engine is back.
    fn claim_in_isolation(&self, claim: NameClaim) -> Claimed {
        let is_granted = match self.options.isolated {
            Isolated::All => true,
            Isolated::Proven => claim.is_self_certifying,
            Isolated::None => false,
        };
        if !is_granted {
            return Claimed::Unreachable;
        }
        Claimed::Granted(self.names.highest_epoch.get().saturating_add(1))
    }

    /// The directory's entry of a name. While the directory may lack names, it is unknown whether a missing name has an
    /// owner.
    pub(super) async fn entry(&self, name: &Topic) -> Result<Option<Holder>, Lost> {
        match self.engine.find(name.key()).await? {
            None if self.may_directory_lack_names() => Err(Lost),
            found => Ok(found),
        }
    }

    /// The epoch with which another node holds a name.
    pub(super) async fn whereis(self: Rc<Self>, name: Topic) -> Result<Option<Epoch>, Unreachable> {
        let unreachable = |Lost| Unreachable;
        let Some(holder) = self.entry(&name).await.map_err(unreachable)? else { return Ok(None) };
        let is_elsewhere = holder.node != self.options.node && self.is_live(&holder.node).await.map_err(unreachable)?;
        Ok(is_elsewhere.then_some(holder.epoch))
    }

    /// Another node asks for a name that this node holds.
    pub(super) fn answer_give_up(
        self: &Rc<Self>,
        from: &str,
        request: u64,
        name: Topic,
        epoch: Epoch,
        proof: Option<Proof>,
    ) {
        let (node, from) = (self.clone(), from.to_owned());
        // before it is: a signal that arrives in between must not release the entry
        self.routes.borrow_mut().set_given_up(name.clone());
        spawn_local(async move {
            let is_free = node.inbox.give_up(&name, epoch, proof).await;
            if is_free {
                node.routes.borrow_mut().set_given_up(name.clone());
            }
            node.send_answer(&from, &Message::GivenUp { request, is_free });
            if is_free {
                sleep(node.options.timeout).await;
                node.release_unless_taken(name, epoch).await;
            }
        });
    }

    /// Releases a name that this node has given up, if the other node has not taken it: it may have lost its link.
    async fn release_unless_taken(self: &Rc<Self>, name: Topic, epoch: Epoch) {
        match self.engine.find(name.key()).await {
            Ok(Some(holder)) if holder.node == self.options.node && holder.epoch == epoch => {
                if self.release_stale(vec![(name, epoch)]).await.is_none() {
                    self.names.note_unanswered();
                }
            }
            Ok(_) => {}
            Err(Lost) => self.names.note_unanswered(),
        }
    }
}

fn status(claimed: Claimed) -> ClaimStatus {
    match claimed {
        Claimed::Granted(_) => ClaimStatus::Granted,
        Claimed::Taken => ClaimStatus::Taken,
        Claimed::Unreachable => ClaimStatus::Unreachable,
    }
}
