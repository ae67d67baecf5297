//! How a join ends: the client leaves, the channel stops or crashes, or another join replaces it.

use super::Socket;
use crate::channels::effect::Effect;
use crate::channels::reply::TerminateReason;
use crate::message::{Outbound, Payload, Ref, Status};
use crate::refusal::JoinRefusal;
use crate::sessions::socket::channel_server::{ChannelServer, QueuedPush};
use crate::topic::Topic;

impl Socket {
    pub(super) fn leave(&mut self, name: &str, join_ref: Option<Ref>, reference: Option<Ref>) {
        let Some((topic, server)) = self.joins.raw_entry().from_key(name) else {
            return self.reply(
                join_ref,
                reference,
                &Topic::echo(self.settings.realm, name),
                Status::Ok,
                Payload::empty(),
            );
        };
        if server.is_stale(&join_ref) {
            return;
        }
        let topic = topic.clone();
        if !server.is_waiting() {
            self.leave_now(&topic, reference);
        } else if !self.queue(&topic, QueuedPush::Leave(reference.clone())) {
            self.refuse(join_ref, reference, name, Payload::reason("overloaded"));
        }
    }

    pub(super) fn leave_now(&mut self, topic: &Topic, reference: Option<Ref>) {
        let Some(server) = self.joins.get(topic) else { return };
        let reply_ref = server.reply_ref.clone();
        self.reply(reply_ref, reference, topic, Status::Ok, Payload::empty());
        self.end(topic, TerminateReason::Left);
    }

    /// Ends a join normally. A join that is not answered yet is refused.
    pub(super) fn end(&mut self, topic: &Topic, why: TerminateReason) {
        self.terminate(topic, why);
        if self.joins.get(topic).is_some_and(|server| server.is_pending()) {
            return self.abort_join(topic, JoinRefusal::Channel, "stopped");
        }
        let Some(mut server) = self.remove_join(topic) else { return };
        self.end_membership(&server);
        self.send(Outbound::Close { join_ref: server.join_ref.take(), topic: topic.clone() });
        self.drop_server(topic, *server);
    }

    /// Ends the membership of a topic whose channel goes on.
    pub(super) fn leave_topic(&mut self, topic: &Topic) {
        let Some(server) = self.joins.get_mut(topic).filter(|server| !server.is_pending() && !server.has_left) else {
            return;
        };
        server.has_left = true;
        self.fastlane_changed = true;
        let id = server.id;
        self.topics.remove(&id);
        self.forget_presence(id);
        self.effects.push_back(Effect::Unsubscribe(id));
    }

    fn end_membership(&mut self, server: &ChannelServer) {
        if !server.has_left {
            self.effects.push_back(Effect::Unsubscribe(server.id));
        }
    }

    /// Runs the channel's `terminate`. A `stop` in it is ignored, and its own broadcasts are not intercepted, because
    /// either could run `terminate` again without end.
    pub(super) fn terminate(&mut self, topic: &Topic, why: TerminateReason) {
        if let Some((_, outcome)) = self.call(topic, &None, |channel, ctx| channel.terminate(why, ctx)) {
            self.apply(topic, outcome.actions);
        }
    }

    /// Ends the join of a channel that has panicked. The connection and its other joins are not affected.
    pub(super) fn crash(&mut self, topic: &Topic) {
        self.count_crash(topic.as_str());
        if self.joins.get(topic).is_some_and(|server| server.is_pending()) {
            return self.abort_join(topic, JoinRefusal::Crash, "join crashed");
        }
        if let Some(mut server) = self.remove_join(topic) {
            self.end_membership(&server);
            self.send(Outbound::Error { join_ref: server.join_ref.take(), topic: topic.clone() });
            self.drop_server(topic, *server);
        }
    }

    pub(super) fn count_crash(&self, topic: &str) {
        self.metrics.channel_crashes.add(self.settings.realm, (), 1);
        log::error!("{}: a channel of {topic:?} panicked", self.client.connection.id);
    }
}
