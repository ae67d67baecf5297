//! The steps of watches: they are answered, and their watchers are notified, from what this node's table says and from
//! what the other nodes and the directory report.

use super::State;
use crate::broker::adapter::{Epoch, Unreachable};
use crate::broker::registry::command::Watch;
use crate::connections::connection::MemberId;
use crate::topic::Topic;

impl State {
    pub(in crate::broker::registry) fn watch(&mut self, Watch { member, topic, on }: Watch) {
        if member.connection.mailbox.is_closed() {
            return;
        }
        let id = member.id();
        if !on {
            self.unwatch(&topic, id);
            return self.index.remove_watch(id, topic);
        }
        let was_interested = self.is_interested(&topic);
        if self.watchers.add(&topic, member) {
            self.index.add_watch(id, topic.clone());
        }
        if let Some(owner) = self.names.get(&topic) {
            self.watchers.learned(&topic, owner.epoch, true);
        }
        self.sync_interest(&topic, was_interested);
        // otherwise, the name is looked up when the subscription is confirmed: nothing that happens later is missed
        if !self.subscriptions.has(&topic) {
            self.look_up(&topic);
        }
    }

    pub(super) fn unwatch(&mut self, topic: &Topic, id: MemberId) {
        let was_interested = self.is_interested(topic);
        self.watchers.remove(topic, id);
        if !self.watchers.has(topic) {
            self.passes.lookups.remove(topic);
        }
        self.sync_interest(topic, was_interested);
    }

    /// Asks whether another node holds a watched name, and answers the watchers that wait.
    pub(super) fn look_up(&mut self, topic: &Topic) {
        let Some(changes) = self.watchers.changes(topic) else { return };
        if self.table.count(topic.key()) > 0 {
            return self.watchers.answer(topic, true);
        }
        let (answer, topic) = (self.adapter.whereis(topic), topic.clone());
        self.wait(answer, move |state, found| state.looked_up(&topic, changes, found));
    }

    /// The directory has answered, or failed to. Watchers are answered from what is known. They hear of a change once the
    /// directory answers.
    pub(super) fn looked_up(&mut self, topic: &Topic, changes: u64, found: Result<Option<Epoch>, Unreachable>) {
        match found {
            Ok(Some(epoch)) if self.watchers.found(topic, epoch) => self.passes.lookups.add(topic),
            Ok(None) if self.watchers.is_absent(topic, changes) => return self.look_up(topic),
            Err(Unreachable) if self.watchers.has(topic) => self.passes.lookups.add(topic),
            Ok(_) | Err(Unreachable) => {}
        }
        let is_here = self.table.count(topic.key()) > 0;
        self.watchers.answer(topic, is_here);
    }

    /// Whether lookups must be repeated after a pause.
    pub(in crate::broker::registry) fn has_lookups_to_repeat(&self) -> bool {
        self.passes.lookups.are_waiting()
    }

    /// Begins to repeat them.
    pub(in crate::broker::registry) fn repeat_lookups(&mut self) {
        self.passes.lookups.start();
    }

    /// Whether the state of a watched topic may have changed since the last flush.
    pub(in crate::broker::registry) fn has_watch_changes(&self) -> bool {
        self.watchers.has_changed()
    }

    /// Notifies the watchers of such topics. Returns how many watchers these have.
    pub(in crate::broker::registry) fn flush_watchers(&mut self) -> usize {
        let table = &self.table;
        self.watchers.flush(|topic| table.count(topic.key()) > 0)
    }
}
