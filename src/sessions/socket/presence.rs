//! When a socket requests the presence lists of its joins: one after the other, each once the client has read enough.
//!
//! A list can be large, and a client can join many topics at once. So the registry sends a list on request, and the
//! socket requests the next one only when it has handled the one before. The transport handles no events while much
//! output waits for its client, so the lists come as fast as the client reads.
//!
//! A client that reads too slowly for the changes of a list is sent none
//! ([`PresenceLag`](crate::connections::envelope::SocketEvent::PresenceLag)), but the whole list again, in its turn.

use super::Socket;
use crate::message::JoinId;
use crate::topic::Topic;

impl Socket {
    /// Whether the registry may send the list of a join as soon as it adds the join. Otherwise the list is requested
    /// later.
    pub(crate) fn begin_presence(&mut self, join: JoinId) -> bool {
        self.presence_lists.get_or_insert_default().begin(join)
    }

    /// The next join whose list is to be requested, with its topic. A join that is not confirmed yet waits.
    pub(crate) fn next_presence(&mut self) -> Option<(JoinId, Topic)> {
        let mut lists = self.presence_lists.take()?;
        let next = lists.next(|join| self.confirmed_topic(join).is_some());
        if lists.len() > 0 {
            self.presence_lists = Some(lists);
        }
        next.and_then(|join| Some((join, self.confirmed_topic(join)?)))
    }

    fn confirmed_topic(&self, join: JoinId) -> Option<Topic> {
        let topic = self.topic_of(join)?;
        self.joins.get(&topic).is_some_and(|server| !server.is_pending()).then_some(topic)
    }

    /// The list of a join has arrived.
    pub(super) fn presence_arrived(&mut self, join: JoinId) {
        if let Some(lists) = &mut self.presence_lists {
            lists.arrived(join);
        }
    }

    /// The join has missed changes of its list, so it is to be sent again.
    pub(super) fn presence_lags(&mut self, join: JoinId) {
        if self.topic_of(join).is_some() {
            self.presence_lists.get_or_insert_default().add(join);
        }
    }

    /// A join that has ended needs no list.
    pub(super) fn forget_presence(&mut self, join: JoinId) {
        if let Some(lists) = &mut self.presence_lists {
            lists.forget(join);
        }
    }
}
