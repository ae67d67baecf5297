//! A registry for one socket, as simple as can be: orders wait until they are carried out, answers until they are
//! read, and what the rest of the world says is for the input to say.

use std::collections::{HashMap, HashSet, VecDeque};

use crate::broker::registry::permits::Permit;
use crate::connections::envelope::SocketEvent;
use crate::message::{DeliveryStatus, JoinId, Membership, OnlineStatus, Signal};
use crate::topic::Topic;

/// What the socket has asked for.
pub(super) enum Order {
    Subscribe { join: JoinId, topic: Topic, membership: Membership, replaces: Option<JoinId> },
    Unsubscribe(JoinId),
    Watch(JoinId, Topic),
    HeldSignal(Signal),
}

/// Where the socket's joins stand.
#[derive(Default)]
pub(super) struct Registry {
    orders: VecDeque<(Order, Option<Permit>)>,
    mail: VecDeque<SocketEvent>,
    members: HashMap<JoinId, Topic>,
    used: HashSet<JoinId>,
    left: HashSet<JoinId>,
}

impl Registry {
    /// What has no turn gives back what one that had a turn has taken, or is to take.
    pub(super) fn order(&mut self, order: Order, permit: Option<Permit>) {
        match &order {
            Order::Subscribe { join, .. } => assert!(self.used.insert(*join), "{join:?} was used before"),
            Order::Unsubscribe(join) => {
                assert!(self.used.contains(join) && self.left.insert(*join), "{join:?} leaves once, and had its turn");
            }
            Order::Watch(..) | Order::HeldSignal(_) => {}
        }
        assert_eq!(permit.is_none(), matches!(order, Order::Unsubscribe(_)), "whose turn it is");
        self.orders.push_back((order, permit));
    }

    /// Carries out the next order; a wish is granted, or not.
    pub(super) fn carry_out(&mut self, grants: bool, verdict: DeliveryStatus) {
        match self.orders.pop_front().map(|(order, _)| order) {
            Some(Order::Subscribe { join, topic, membership, replaces }) => {
                if let Some(older) = replaces {
                    self.members.remove(&older);
                }
                let refused = if membership.claim.is_some() { "taken" } else { "topic is full" };
                if grants {
                    self.members.insert(join, topic);
                }
                self.mail.push_back(if grants {
                    SocketEvent::Subscribed(join)
                } else {
                    SocketEvent::Refused(join, refused)
                });
            }
            Some(Order::Unsubscribe(join)) => drop(self.members.remove(&join)),
            Some(Order::Watch(join, topic)) => {
                self.mail.push_back(SocketEvent::Info(join, Box::new(OnlineStatus { topic, online: grants })));
            }
            Some(Order::HeldSignal(signal)) => self.mail.push_back(SocketEvent::DeliveryStatus(signal, verdict)),
            None => {}
        }
    }

    /// Somebody else takes the place of a member.
    pub(super) fn evict(&mut self, n: usize) {
        if let Some(join) = self.nth(n).map(|(join, _)| join) {
            self.members.remove(&join);
            self.mail.push_back(SocketEvent::Evicted(join));
        }
    }

    /// One of the members, in the order of their joins.
    pub(super) fn nth(&self, n: usize) -> Option<(JoinId, Topic)> {
        let mut members: Vec<_> = self.members.iter().map(|(join, topic)| (*join, topic.clone())).collect();
        members.sort();
        if members.is_empty() { None } else { Some(members.swap_remove(n % members.len())) }
    }

    pub(super) fn members_of(&self, topic: &Topic) -> Vec<JoinId> {
        let mut joins: Vec<_> =
            self.members.iter().filter(|(_, other)| *other == topic).map(|(join, _)| *join).collect();
        joins.sort();
        joins
    }

    pub(super) fn members(&self) -> usize {
        self.members.len()
    }

    /// How many signals have no verdict yet that was read.
    pub(super) fn held(&self) -> usize {
        let orders = self.orders.iter().filter(|(order, _)| matches!(order, Order::HeldSignal(_))).count();
        orders + self.mail.iter().filter(|note| matches!(note, SocketEvent::DeliveryStatus(..))).count()
    }

    pub(super) fn next_note(&mut self) -> Option<SocketEvent> {
        self.mail.pop_front()
    }

    pub(super) fn is_idle(&self) -> bool {
        self.orders.is_empty() && self.mail.is_empty()
    }
}
