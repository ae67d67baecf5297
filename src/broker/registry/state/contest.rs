//! The steps of a contested name: a claim waits for the owner's answer to a ping, and is admitted or refused.

use std::time::Instant;

use futures_util::FutureExt;
use tokio::sync::oneshot;

use super::State;
use crate::broker::adapter::{BoxFuture, Epoch};
use crate::broker::registry::command::Subscribe;
use crate::broker::registry::connection_index::ConnectionIndex;
use crate::broker::registry::contests::{Contender, Contest, Finding};
use crate::close;
use crate::connections::connection::ConnectionId;
use crate::refusal::{JoinRefusal, TAKEN};
use crate::topic::Topic;

impl State {
    /// A join of this node claims a name that another client of this node owns.
    pub(super) fn contest(&mut self, command: Subscribe) {
        let (name, id) = (command.topic.clone(), command.id());
        // both are joins of one client: it is alive
        if self.names.get(&name).is_some_and(|owner| owner.id.connection == id.connection) {
            return self.refuse(&command, JoinRefusal::Taken, TAKEN);
        }
        self.index.add_claim(id);
        self.add_contender(&name, Contender::Join(command));
    }

    /// A client of another node claims a name that a client of this node owns. The result says whether the name has
    /// become free.
    pub(super) fn contest_remotely(&mut self, name: &Topic, epoch: Epoch) -> BoxFuture<bool> {
        let (decide, decision) = oneshot::channel();
        self.add_contender(name, Contender::Remote(epoch, decide));
        decided(decision)
    }

    fn add_contender(&mut self, name: &Topic, contender: Contender) {
        let Some(owner) = self.names.get(name) else { return self.admit(name, contender) };
        let owner = owner.connection.clone();
        let index = &self.index;
        let added = self.contests.add(name, &owner, contender, |contender| is_wanted(index, contender), owner.now());
        match added {
            Contest::Waiting => {}
            Contest::Refused(contender) => self.decline(contender),
            Contest::OwnerClosing(contender) => {
                self.connection_closed(owner.id);
                self.admit(name, contender);
            }
        }
    }

    /// Decides the contests whose owner has answered, or has not answered in time.
    pub(in crate::broker::registry) fn check_contests(&mut self, now: Instant) {
        self.contests.findings(now).into_iter().for_each(|finding| self.decide(finding));
    }

    fn decide(&mut self, Finding { owner, is_alive, names }: Finding) {
        let is_owned = |name: &Topic| self.names.get(name).is_some_and(|held| held.id.connection == owner.id);
        let contested: Vec<Topic> = names.into_iter().filter(is_owned).collect();
        if is_alive {
            contested.iter().for_each(|name| self.decline_claims(name));
        } else if !contested.is_empty() {
            owner.close(&close::UNRESPONSIVE);
            self.connection_closed(owner.id);
        }
    }

    pub(in crate::broker::registry) fn has_contests(&self) -> bool {
        !self.contests.is_empty()
    }

    /// A client joins again: it is alive, and keeps its names while one join replaces the other.
    pub(super) fn note_life(&mut self, connection: ConnectionId) {
        if let Some(finding) = self.contests.answered(connection) {
            self.decide(finding);
        }
    }

    /// A name has lost its owner: the first of its claims that is still wanted gets it.
    pub(super) fn name_freed(&mut self, name: &Topic) {
        let mut contenders = self.contests.take(name).into_iter();
        let winner = contenders.find(|contender| is_wanted(&self.index, contender));
        contenders.for_each(|contender| self.decline(contender));
        if let Some(winner) = winner {
            self.admit(name, winner);
        }
    }

    /// Refuses all waiting claims of a name.
    pub(super) fn decline_claims(&mut self, name: &Topic) {
        self.contests.take(name).into_iter().for_each(|contender| self.decline(contender));
    }

    fn decline(&mut self, contender: Contender) {
        match contender {
            Contender::Join(command) => {
                if self.index.remove_claim(command.id()) {
                    self.refuse(&command, JoinRefusal::Taken, TAKEN);
                }
            }
            // if the other node does not wait any more, it does not need the answer
            Contender::Remote(_, decide) => drop(decide.send(false)),
        }
    }

    fn admit(&mut self, name: &Topic, contender: Contender) {
        match contender {
            Contender::Join(command) => {
                if self.index.remove_claim(command.id()) {
                    self.subscribe(command);
                }
            }
            Contender::Remote(epoch, decide) => {
                self.claims.give_up(name, epoch);
                let _ = decide.send(true);
            }
        }
    }
}

/// What is decided on the claim of another node.
pub(super) fn decided(decision: oneshot::Receiver<bool>) -> BoxFuture<bool> {
    // an error means that the registry has died: its node exits, which frees the name
    Box::pin(decision.map(|is_free| is_free.unwrap_or(true)))
}

/// Whether the claim's client still waits.
fn is_wanted(index: &ConnectionIndex, contender: &Contender) -> bool {
    match contender {
        Contender::Join(command) => !command.connection.mailbox.is_closed() && index.is_claiming(command.id()),
        Contender::Remote(_, decide) => !decide.is_closed(),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::time::Duration;

    use super::*;
    use crate::broker::adapter::LocalAdapter;
    use crate::broker::topic_table::TopicTable;
    use crate::config::schema::Config;
    use crate::connections::connection::tests::numbered;
    use crate::connections::connection::{Connection, MemberId};
    use crate::connections::envelope::{Envelope, SocketEvent};
    use crate::connections::mailbox::Batch;
    use crate::message::{JoinId, Membership, NameClaim};

    fn state() -> State {
        State::new(&Config::default(), Arc::new(TopicTable::new()), Arc::new(LocalAdapter), Arc::default())
    }

    fn name() -> Topic {
        Topic::parse("peer:a").unwrap()
    }

    fn clients(count: u64) -> Vec<Arc<Connection>> {
        (0..count).map(|n| Arc::new(numbered(n, usize::MAX))).collect()
    }

    fn join(state: &mut State, connection: &Arc<Connection>) {
        let membership = Membership { claim: Some(NameClaim::default()), ..Membership::default() };
        let (connection, join) = (connection.clone(), JoinId(1));
        state.subscribe(Subscribe { connection, join, topic: name(), membership, replaces: None });
    }

    /// The registry's answers to the client's join.
    fn answers(client: &Connection) -> Vec<bool> {
        let mut batch = Batch::new();
        client.mailbox.drain(&mut batch, std::task::Waker::noop());
        let answer = |envelope: &Envelope| match envelope {
            Envelope::SocketEvent(event) => Some(matches!(**event, SocketEvent::Subscribed(_))),
            _ => None,
        };
        batch.iter().filter_map(answer).collect()
    }

    #[test]
    fn the_first_claim_gets_the_name_when_the_owner_leaves() {
        let (mut state, clients) = (state(), clients(3));
        clients.iter().for_each(|client| join(&mut state, client));
        let mut remote = state.contest_remotely(&name(), 0);
        assert_eq!((answers(&clients[0]), answers(&clients[1])), (vec![true], vec![]));
        state.unsubscribe(MemberId { connection: clients[0].id, join: JoinId(1) });
        assert_eq!((answers(&clients[1]), answers(&clients[2])), (vec![true], vec![false]));
        assert_eq!((&mut remote).now_or_never(), Some(false));
        assert!(!clients[0].mailbox.is_closed());
    }

    #[test]
    fn a_claim_of_another_node_can_be_the_first() {
        let (mut state, clients) = (state(), clients(2));
        join(&mut state, &clients[0]);
        let mut remote = state.contest_remotely(&name(), 0);
        join(&mut state, &clients[1]);
        assert_eq!((&mut remote).now_or_never(), None);
        state.check_contests(Instant::now() + Duration::from_secs(3));
        assert_eq!((&mut remote).now_or_never(), Some(true));
        assert_eq!(answers(&clients[1]), [false]);
        assert_eq!(clients[0].mailbox.closed(), Some(&close::UNRESPONSIVE));
        assert_eq!(state.stats().names, 0);
    }

    /// The registry may learn that a client is gone after it has decided a contest.
    #[test]
    fn a_claim_of_a_closed_connection_does_not_get_the_name() {
        let (mut state, clients) = (state(), clients(3));
        clients.iter().for_each(|client| join(&mut state, client));
        clients[1].close(&close::GONE);
        state.unsubscribe(MemberId { connection: clients[0].id, join: JoinId(1) });
        assert_eq!(answers(&clients[2]), [true]);
    }

    /// The name is free, so it does not matter whether its former owner answers the ping.
    #[test]
    fn an_owner_that_has_left_its_names_is_not_closed() {
        let (mut state, clients) = (state(), clients(2));
        clients.iter().for_each(|client| join(&mut state, client));
        state.unsubscribe(MemberId { connection: clients[0].id, join: JoinId(1) });
        state.check_contests(Instant::now() + Duration::from_secs(3));
        assert!(!clients[0].mailbox.is_closed() && !state.has_contests());
    }

    #[test]
    fn two_joins_of_one_connection_do_not_ping_it() {
        let (mut state, clients) = (state(), clients(1));
        join(&mut state, &clients[0]);
        let membership = Membership { claim: Some(NameClaim::default()), ..Membership::default() };
        let (connection, join) = (clients[0].clone(), JoinId(2));
        state.subscribe(Subscribe { connection, join, topic: name(), membership, replaces: None });
        assert_eq!((answers(&clients[0]), state.has_contests()), (vec![true, false], false));
    }
}
