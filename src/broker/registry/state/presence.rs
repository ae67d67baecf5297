//! The steps of presence lists.

use std::slice::from_ref;
use std::time::Instant;

use super::State;
use crate::broker::adapter::Packet;
use crate::broker::registry::command::{ChangePresence, Subscribe};
use crate::connections::connection::{Member, MemberId};
use crate::connections::envelope::SocketEvent;
use crate::message::{PresenceChange, PresenceEntry, PresenceList, PresenceUpdate};
use crate::topic::Topic;

impl State {
    /// Adds a new member's presence entry and its subscription to the presence list.
    pub(super) fn track_presence(&mut self, command: Subscribe) {
        let member = command.member();
        let id = member.id();
        if command.membership.subscribe_presence {
            self.subscribe_presence(&command.topic, member);
        }
        if let Some(entry) = command.membership.entry {
            self.presence.put(&command.topic, id, entry);
        }
    }

    /// Sends the topic's presence list to a member, and from then on its changes.
    pub(in crate::broker::registry) fn subscribe_presence(&mut self, topic: &Topic, member: Member) {
        if self.index.is_member(member.id(), topic) && self.presence.subscribe(topic, member) {
            self.adapter.publish(from_ref(topic), Packet::PresenceWanted(None));
        }
    }

    pub(in crate::broker::registry) fn change_presence(&mut self, change: ChangePresence) {
        let ChangePresence { member, topic, change } = change;
        let id = member.id();
        match change {
            PresenceChange::Update(meta) => {
                if let Some(entry) = self.entry(&topic, id) {
                    let entry = PresenceEntry { key: entry.key.clone(), meta };
                    self.set_entry(&topic, id, entry);
                }
            }
            PresenceChange::Track(entry) => {
                let has_room =
                    self.entry(&topic, id).is_some() || self.presence.len(&topic) < self.limits.presence_entries;
                let listed = has_room && self.index.is_member(id, &topic);
                if listed {
                    self.set_entry(&topic, id, entry);
                }
                let update = Box::new(PresenceUpdate { topic, listed });
                let _ = member.connection.send_event(SocketEvent::Info(member.join, update));
            }
            PresenceChange::Untrack => match self.subscriptions.join_mut(&topic, id) {
                Some(command) => command.membership.entry = None,
                None => self.presence.untrack(&topic, id),
            },
        }
    }

    /// A member's entry, or that which a join will have when it is confirmed.
    fn entry(&self, topic: &Topic, id: MemberId) -> Option<&PresenceEntry> {
        match self.subscriptions.join(topic, id) {
            Some(command) => command.membership.entry.as_ref(),
            None => self.presence.entry(topic, id),
        }
    }

    fn set_entry(&mut self, topic: &Topic, id: MemberId, entry: PresenceEntry) {
        match self.subscriptions.join_mut(topic, id) {
            Some(command) => command.membership.entry = Some(entry),
            None => self.presence.put(topic, id, entry),
        }
    }

    /// The topic's presence list, as this node knows it.
    pub(in crate::broker::registry) fn presence_list(&self, topic: &Topic) -> PresenceList {
        self.presence.list(topic)
    }

    /// This node's own part of the topic's presence list.
    pub(in crate::broker::registry) fn own_presence_list(&self, topic: &Topic) -> PresenceList {
        self.presence.own_list(topic)
    }

    /// Whether a presence list has changed since the last flush, or another node has requested it.
    pub(in crate::broker::registry) fn has_presence_changes(&self) -> bool {
        self.presence.has_changed()
    }

    /// The version of this node's latest packet about each topic.
    pub(in crate::broker::registry) fn presence_versions(&self, topics: &[Topic]) -> Vec<u64> {
        topics.iter().map(|topic| self.presence.own_version(topic)).collect()
    }

    /// Whether other nodes have requested lists that were sent a short time ago.
    pub(in crate::broker::registry) fn has_waiting_presence_requests(&self) -> bool {
        self.presence.has_waiting_requests()
    }

    /// Answers such requests with the next flush, if their pause is over.
    pub(in crate::broker::registry) fn check_presence_requests(&mut self) {
        self.presence.check_requests();
    }

    /// Sends the changes of all presence lists to their subscribers and to the other nodes.
    pub(in crate::broker::registry) fn flush_presence(&mut self, now: Instant) {
        for (topic, packet) in self.presence.flush(now) {
            self.adapter.publish(from_ref(&topic), packet);
        }
    }
}
