//! A minimal registry for one socket. Commands wait until the input has them run, events until the input has them read;
//! the input also decides the outcome of each command.

use std::collections::{HashMap, HashSet, VecDeque};

use crate::broker::registry::permits::Permit;
use crate::connections::envelope::SocketEvent;
use crate::message::{DeliveryStatus, JoinId, Membership, OnlineStatus, Payload, Signal};
use crate::topic::Topic;

/// A command of the socket.
pub(super) enum Command {
    Subscribe { join: JoinId, topic: Topic, membership: Membership, replaces: Option<JoinId> },
    Unsubscribe(JoinId),
    Presence(JoinId),
    Watch(JoinId, Topic),
    HeldSignal(Signal),
}

/// The socket's memberships, and its pending commands and events.
#[derive(Default)]
pub(super) struct FakeRegistry {
    commands: VecDeque<(Command, Option<Permit>)>,
    events: VecDeque<SocketEvent>,
    members: HashMap<JoinId, Topic>,
    used: HashSet<JoinId>,
    left: HashSet<JoinId>,
}

impl FakeRegistry {
    /// Queues a command. An unsubscribe needs no permit, since it frees what an earlier command took.
    pub(super) fn send(&mut self, command: Command, permit: Option<Permit>) {
        match &command {
            Command::Subscribe { join, .. } => assert!(self.used.insert(*join), "{join:?} was used before"),
            Command::Unsubscribe(join) => {
                assert!(self.used.contains(join) && self.left.insert(*join), "{join:?} leaves twice, or never joined");
            }
            Command::Presence(_) => assert!(!self.is_list_requested(), "a second list is requested"),
            Command::Watch(..) | Command::HeldSignal(_) => {}
        }
        let needs_none = matches!(command, Command::Unsubscribe(_) | Command::Presence(_));
        assert_eq!(permit.is_none(), needs_none, "a command without a permit, or a permit too much");
        self.commands.push_back((command, permit));
    }

    /// Runs the next command, and grants or rejects it.
    pub(super) fn run_next(&mut self, grants: bool, status: DeliveryStatus) {
        match self.commands.pop_front().map(|(command, _)| command) {
            Some(Command::Subscribe { join, topic, membership, replaces }) => {
                if let Some(older) = replaces {
                    self.members.remove(&older);
                }
                let has_list = grants && membership.subscribe_presence;
                let refused = if membership.claim.is_some() { "taken" } else { "topic is full" };
                if grants {
                    self.members.insert(join, topic);
                }
                self.events.push_back(if grants {
                    SocketEvent::Subscribed(join)
                } else {
                    SocketEvent::Refused(join, refused)
                });
                if has_list {
                    self.events.push_back(SocketEvent::PresenceState(join, Payload::empty()));
                }
            }
            Some(Command::Unsubscribe(join)) => drop(self.members.remove(&join)),
            Some(Command::Presence(join)) if self.members.contains_key(&join) => {
                self.events.push_back(SocketEvent::PresenceState(join, Payload::empty()));
            }
            Some(Command::Presence(_)) => {}
            Some(Command::Watch(join, topic)) => {
                self.events.push_back(SocketEvent::Info(join, Box::new(OnlineStatus { topic, online: grants })));
            }
            Some(Command::HeldSignal(signal)) => self.events.push_back(SocketEvent::DeliveryStatus(signal, status)),
            None => {}
        }
    }

    /// Evicts a member, as when another client takes its exclusive name.
    pub(super) fn evict(&mut self, n: usize) {
        if let Some(join) = self.nth(n).map(|(join, _)| join) {
            self.members.remove(&join);
            self.events.push_back(SocketEvent::Evicted(join));
        }
    }

    /// A member misses changes of its presence list.
    pub(super) fn lag(&mut self, n: usize) {
        if let Some((join, _)) = self.nth(n) {
            self.events.push_back(SocketEvent::PresenceLag(join));
        }
    }

    fn is_list_requested(&self) -> bool {
        let is_request =
            |(command, _): &(Command, _)| matches!(command, Command::Presence(join) if !self.left.contains(join));
        self.commands.iter().any(is_request)
    }

    /// The n-th member, in the order of the joins.
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

    /// How many held signals have no delivery status that was read.
    pub(super) fn held(&self) -> usize {
        let commands = self.commands.iter().filter(|(command, _)| matches!(command, Command::HeldSignal(_))).count();
        commands + self.events.iter().filter(|event| matches!(event, SocketEvent::DeliveryStatus(..))).count()
    }

    pub(super) fn next_event(&mut self) -> Option<SocketEvent> {
        self.events.pop_front()
    }

    pub(super) fn is_idle(&self) -> bool {
        self.commands.is_empty() && self.events.is_empty()
    }
}
