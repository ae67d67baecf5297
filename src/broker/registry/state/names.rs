//! The steps that change who owns a name: claim, grant or refusal, takeover, release.

use std::future::ready;
use std::slice::from_ref;

use futures_util::FutureExt;
use tokio::sync::oneshot;

use super::State;
use super::contest::decided;
use crate::broker::adapter::{BoxFuture, Claimed, Epoch, Packet};
use crate::broker::registry::claims::Rival;
use crate::broker::registry::command::Subscribe;
use crate::broker::registry::names::{Owner, is_same_owner};
use crate::connections::connection::{Connection, MemberId};
use crate::connections::envelope::SocketEvent;
use crate::message::{NameClaim, Proof};
use crate::refusal::{JoinRefusal, TAKEN};
use crate::topic::Topic;

/// The reason that a client receives when the directory of names does not answer in time.
const UNREACHABLE: &str = "unreachable";

impl State {
    /// Claims a name. If a client of this node owns it, that client's secret decides, and then whether it is alive;
    /// otherwise the directory decides. It is asked once at a time: joins of this node do not take the name from each
    /// other there.
    pub(super) fn claim(&mut self, command: Subscribe, claim: NameClaim) {
        if let Some(owner) = self.names.get(&command.topic) {
            let epoch = owner.epoch;
            if !is_same_owner(owner.proof, claim.proof) {
                return self.contest(command);
            }
            return self.take_over(command, claim, epoch);
        }
        if self.claims.is_under_way(&command.topic) {
            return self.wait_for_claim(command);
        }
        let mut answer = self.adapter.claim(&command.topic, claim);
        if let Some(claimed) = (&mut answer).now_or_never() {
            return self.claim_answered(command, claimed);
        }
        self.index.add_claim(command.id());
        self.claims.begin(&command.topic, claim.proof);
        self.suspend(answer, move |state, claimed| state.claim_ended(command, claimed));
    }

    /// Lets a join wait behind the claim of its name that is under way.
    fn wait_for_claim(&mut self, command: Subscribe) {
        let Self { claims, index, .. } = self;
        if claims.is_full(&command.topic, |waiting| index.is_claiming(waiting.id())) {
            return self.refuse(&command, JoinRefusal::Unreachable, UNREACHABLE);
        }
        self.index.add_claim(command.id());
        self.claims.wait(command);
    }

    /// The directory has answered a claim. Then it is the turn of the other nodes that wait for its end, and of the joins
    /// that wait behind it.
    fn claim_ended(&mut self, command: Subscribe, claimed: Claimed) {
        let (name, proof) = (command.topic.clone(), command.proof());
        let (given_up, rivals) = self.claims.end(&name);
        let is_wanted = self.index.remove_claim(command.id());
        match claimed {
            // another node has it, or is about to: that node enters it, so this one releases nothing
            Claimed::Granted(epoch) if given_up >= Some(epoch) => {
                if is_wanted {
                    self.refuse(&command, JoinRefusal::Taken, TAKEN);
                }
            }
            Claimed::Granted(epoch) if !is_wanted => match self.next_claim(&name) {
                Some(next) => self.claim_answered(next, claimed),
                None => self.return_grant(&name, epoch),
            },
            _ if !is_wanted => {}
            _ => self.claim_answered(command, claimed),
        }
        for Rival { epoch, proof, decide } in rivals {
            let answer = self.give_up(&name, epoch, proof);
            self.suspend(answer, move |_, is_free| {
                let _ = decide.send(is_free);
            });
        }
        while !self.claims.is_under_way(&name) {
            let Some(next) = self.next_claim(&name) else { break };
            match claimed {
                // the directory would answer the same, or not at all
                Claimed::Unreachable => self.refuse(&next, JoinRefusal::Unreachable, UNREACHABLE),
                Claimed::Taken if next.proof() == proof => self.refuse(&next, JoinRefusal::Taken, TAKEN),
                _ => self.subscribe(next),
            }
        }
    }

    /// The first join that waits to claim a name, and still wants it.
    fn next_claim(&mut self, name: &Topic) -> Option<Subscribe> {
        loop {
            let next = self.claims.next(name)?;
            if self.index.remove_claim(next.id()) && !next.connection.mailbox.is_closed() {
                return Some(next);
            }
        }
    }

    fn claim_answered(&mut self, command: Subscribe, claimed: Claimed) {
        match claimed {
            Claimed::Granted(epoch) => self.add_owner(command, epoch),
            Claimed::Taken => self.refuse(&command, JoinRefusal::Taken, TAKEN),
            Claimed::Unreachable => self.refuse(&command, JoinRefusal::Unreachable, UNREACHABLE),
        }
    }

    /// The directory has granted a name to a join that does not become its owner. Another node may have given the name
    /// up for it, so the watchers learn that it has no owner.
    pub(super) fn return_grant(&mut self, name: &Topic, epoch: Epoch) {
        self.adapter.release(name, epoch);
        self.adapter.publish(from_ref(name), Packet::Down(epoch));
        self.watchers.learned(name, epoch, false);
    }

    /// Gives a name to another join of this node, in one step: a sender finds the former owner or the new one, and the
    /// watchers hear nothing, because the name has an owner throughout. The directory's entry changes at most its epoch.
    pub(super) fn take_over(&mut self, command: Subscribe, claim: NameClaim, epoch: Epoch) {
        let (name, id) = (command.topic.clone(), command.id());
        let owner = Owner { id, connection: command.connection.clone(), proof: claim.proof, epoch };
        let Some(former) = self.names.insert(name.clone(), owner) else { return };
        self.index.add_join(id, name.clone());
        self.table.replace(name.key(), former.id, command.member());
        self.presence.leave(&name, former.id);
        self.dismiss(&name, former.id, &former.connection);
        if let Some(hooks) = &self.hooks {
            hooks.peer_replaced(&name, &former.connection, &command.connection);
        }
        self.confirm(command);
    }

    /// Takes a name from its owner on this node.
    fn evict(&mut self, name: &Topic) {
        let Some(Owner { id, connection, .. }) = self.names.get(name) else { return };
        let (id, connection) = (*id, connection.clone());
        if let Some(hooks) = &self.hooks {
            hooks.peer_taken(name, &connection);
        }
        self.remove_from_tables(name, id);
        self.dismiss(name, id, &connection);
    }

    /// Tells a name's former owner that the name has a new one, and removes its watches. A client that has replaced its
    /// own join ignores it. The new owner is alive, so other claims are refused.
    fn dismiss(&mut self, name: &Topic, id: MemberId, former: &Connection) {
        let _ = former.send_event(SocketEvent::Evicted(id.join));
        self.index.take_join(id).watches.iter().for_each(|(_, topic)| self.unwatch(topic, id));
        self.decline_claims(name);
    }

    /// Gives up a name that another node's client claims, unless its owner here has another secret and is alive, or a
    /// newer grant than `epoch`. While a client of this node claims it with another secret, the decision waits. The result
    /// says whether the other node may take it.
    pub(in crate::broker::registry) fn give_up(
        &mut self,
        name: &Topic,
        epoch: Epoch,
        proof: Option<Proof>,
    ) -> BoxFuture<bool> {
        match self.names.get(name) {
            Some(owner) if owner.epoch > epoch => return Box::pin(ready(false)),
            Some(owner) if !is_same_owner(owner.proof, proof) => return self.contest_remotely(name, epoch),
            Some(_) => self.evict(name),
            None => {
                let (decide, decision) = oneshot::channel();
                if let Ok(()) = self.claims.defer(name, Rival { epoch, proof, decide }) {
                    return decided(decision);
                }
            }
        }
        self.claims.give_up(name, epoch);
        Box::pin(ready(true))
    }

    /// Which of these grants are of no use: the name has no owner on this node, and no claim of it is under way.
    pub(in crate::broker::registry) fn stale(&self, mut grants: Vec<(Topic, Epoch)>) -> Vec<(Topic, Epoch)> {
        grants.retain(|(name, _)| !self.names.contains_key(name) && !self.claims.is_under_way(name));
        grants
    }

    /// Takes a name away from its owner on this node, or from a claim under way, because another node has a newer grant.
    pub(in crate::broker::registry) fn revoke(&mut self, name: &Topic, epoch: Epoch) {
        self.claims.give_up(name, epoch);
        if self.names.get(name).is_some_and(|owner| owner.epoch <= epoch) {
            self.evict(name);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicBool, Ordering};

    use super::*;
    use crate::broker::adapter::LocalAdapter;
    use crate::broker::registry::command::Watch;
    use crate::broker::topic_table::TopicTable;
    use crate::config::schema::Config;
    use crate::connections::connection::Member;
    use crate::connections::connection::tests::numbered;
    use crate::connections::envelope::Envelope;
    use crate::connections::mailbox::Batch;
    use crate::message::{JoinId, Membership, OnlineStatus};

    const TAKEOVERS: u32 = 5_000;

    fn name() -> Topic {
        Topic::parse("peer:a").unwrap()
    }

    fn join(state: &mut State, connection: &Arc<Connection>, join: u32, replaces: Option<u32>) {
        let claim = NameClaim { proof: Some([1; 32]), is_self_certifying: false };
        let membership = Membership { claim: Some(claim), ..Membership::default() };
        let (connection, join, replaces) = (connection.clone(), JoinId(join), replaces.map(JoinId));
        state.subscribe(Subscribe { connection, join, topic: name(), membership, replaces });
    }

    /// Takes a name over many times, and watches it meanwhile. Returns what the watcher was told, and how often another
    /// thread found the name without an owner.
    fn take_over_often(take_over: impl Fn(&mut State, u32)) -> (Vec<bool>, usize) {
        let table = Arc::new(TopicTable::new());
        let mut state = State::new(&Config::default(), table.clone(), Arc::new(LocalAdapter), Arc::default());
        take_over(&mut state, 0);
        let watcher = Member { join: JoinId(1), connection: Arc::new(numbered(99, usize::MAX)) };
        state.watch(Watch { member: watcher.clone(), topic: name(), on: true });
        let stop = AtomicBool::new(false);
        let misses = std::thread::scope(|scope| {
            let reader = scope.spawn(|| {
                let until = || !stop.load(Ordering::Relaxed);
                std::iter::repeat_with(|| table.members("peer:a"))
                    .take_while(|_| until())
                    .filter(Option::is_none)
                    .count()
            });
            for n in 1..=TAKEOVERS {
                take_over(&mut state, n);
                state.flush_watchers();
            }
            stop.store(true, Ordering::Relaxed);
            reader.join().unwrap()
        });
        assert_eq!((state.stats().names, state.stats().members, state.stats().connections), (1, 1, 2));
        let mut batch = Batch::new();
        watcher.connection.mailbox.drain(&mut batch, std::task::Waker::noop());
        let told = batch.iter().map(|envelope| {
            let Envelope::SocketEvent(event) = envelope else { panic!("{envelope:?}") };
            let SocketEvent::Info(_, info) = &**event else { panic!("{event:?}") };
            info.downcast_ref::<OnlineStatus>().unwrap().online
        });
        (told.collect(), misses)
    }

    #[test]
    fn a_name_is_never_without_an_owner_while_others_take_it_over() {
        let owners = [1, 2].map(|n| Arc::new(numbered(n, usize::MAX)));
        let result = take_over_often(|state, n| join(state, &owners[n as usize % 2], n, None));
        assert_eq!(result, (vec![true], 0));
        assert!(owners.iter().all(|owner| !owner.mailbox.is_closed()));
    }

    #[test]
    fn a_name_is_never_without_an_owner_while_its_client_joins_again() {
        let owner = Arc::new(numbered(1, usize::MAX));
        let result = take_over_often(|state, n| join(state, &owner, n, n.checked_sub(1)));
        assert_eq!(result, (vec![true], 0));
    }
}
