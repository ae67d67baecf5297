//! How a socket comes to be on a topic, or does not: who may ask, what the channel decides, what the
//! registry answers, and what waits meanwhile.
//!
//! A join takes the place of an older one of the same topic. The client hears first how the new one
//! ended, then that the old one is closed, as from Phoenix; an older one that was not answered yet ends
//! as the new one does.

use std::panic::{AssertUnwindSafe, catch_unwind};

use super::Socket;
use crate::channels::channel::{Channel, DynChannel};
use crate::channels::context::Context;
use crate::channels::effect::Effect;
use crate::channels::reply::{Join, LimitError, TerminateReason};
use crate::connections::token_bucket::RateVerdict;
use crate::message::{JoinId, Outbound, Payload, Ref, Status};
use crate::refusal::JoinRefusal;
use crate::sessions::socket::channel_server::{Backlog, ChannelServer, PendingJoin, QueuedPush};
use crate::topic::Topic;

impl Socket {
    pub(crate) fn join(&mut self, name: &str, join_ref: Option<Ref>, reference: Option<Ref>, payload: &Payload) {
        let routed = match self.route_join(name, payload) {
            Ok(routed) => routed,
            Err((why, words)) => {
                self.count_refused_join(why);
                let reply_ref = join_ref.filter(|_| why != JoinRefusal::Unmatched);
                return self.refuse(reply_ref, reference, name, Payload::reason(words));
            }
        };
        let (topic, channel) = routed;
        let mut pending = self.replace_join(&topic);
        pending.reference = reference.clone();
        pending.since = Some(self.client.now);
        self.last_join += 1;
        let id = JoinId(self.last_join);
        self.topics.insert(id, topic.clone());
        self.joins.insert(topic.clone(), Box::new(ChannelServer::new(id, join_ref, channel, pending)));
        let run = |channel: &mut DynChannel, ctx: &mut Context<'_>| (channel.join(payload, ctx), channel.intercepts());
        let Some((join, intercepted)) = self.run(&topic, &reference, run) else { return };
        if let Some(server) = self.joins.get_mut(&topic) {
            server.intercepted = intercepted;
        }
        self.apply_join(&topic, join);
    }

    /// Whether the client may ask to join at all: the channel that decides, or the reason why not.
    #[expect(clippy::type_complexity, reason = "a pair of a name and its channel, used here alone")]
    fn route_join(
        &mut self,
        name: &str,
        payload: &Payload,
    ) -> Result<(Topic, Box<dyn Channel>), (JoinRefusal, &'static str)> {
        if name.len() > self.settings.limits.topic_bytes {
            return Err((JoinRefusal::TooLong, "topic too long"));
        }
        let Ok(routed) = catch_unwind(AssertUnwindSafe(|| self.settings.router.route(self.settings.realm, name)))
        else {
            self.count_crash(name);
            return Err((JoinRefusal::Crash, "join crashed"));
        };
        let Some(routed) = routed else {
            return Err((JoinRefusal::Unmatched, "unmatched topic"));
        };
        let (most, older) =
            (self.settings.limits.joins_per_socket, self.joins.get(name).map(|server| server.superseded()));
        if older.is_none() && self.joins.len() >= most {
            return Err((JoinRefusal::TooMany, "too many channels joined"));
        }
        if !payload.is_object() {
            return Err((JoinRefusal::Payload, "invalid payload"));
        }
        if self.join_rate.take(&self.settings.joins, self.client.now) != RateVerdict::Allow {
            return Err((JoinRefusal::RateLimited, "rate_limited"));
        }
        // a topic that nobody answers for may be joined anew, but not for ever
        if older.is_some_and(|superseded| superseded >= most) {
            return Err((JoinRefusal::TooMany, "too many channels joined"));
        }
        Ok(routed)
    }

    /// Ends an older join of the same topic, whose place a new one is to take.
    fn replace_join(&mut self, topic: &Topic) -> PendingJoin {
        self.terminate(topic, TerminateReason::Replaced);
        let Some(mut old) = self.remove_join(topic) else { return PendingJoin::default() };
        let (id, join_ref, pending) = (old.id, old.join_ref.take(), old.pending.take());
        self.drop_server(topic, *old);
        let Some(mut pending) = pending else { return PendingJoin::after(id, join_ref) };
        self.refuse_backlog(topic, std::mem::take(&mut pending.backlog));
        PendingJoin::instead_of(id, join_ref, *pending)
    }

    /// Does what the channel has decided; of several decisions the first counts.
    pub(crate) fn apply_join(&mut self, topic: &Topic, join: Join) {
        let Some(server) = self.joins.get_mut(topic) else { return };
        let Some(pending) = server.pending.as_mut().filter(|pending| pending.reply.is_none()) else { return };
        match join {
            Join::Pending => {}
            Join::Error(payload) => {
                self.count_refused_join(if self.client.overloaded {
                    JoinRefusal::Overloaded
                } else {
                    JoinRefusal::Channel
                });
                self.refused(topic, payload);
            }
            Join::Ok(payload, membership) => {
                let Ok(permit) = self.client.permit(topic.key().len() + membership.size()) else {
                    self.count_refused_join(JoinRefusal::Overloaded);
                    return self.refused(topic, Payload::reason(LimitError::Overloaded.reason()));
                };
                pending.reply = Some(payload);
                let (join, replaces) = (server.id, pending.replaces.take());
                self.effects.push_back(Effect::Subscribe { join, topic: topic.clone(), membership, replaces, permit });
            }
        }
    }

    pub(crate) fn refused(&mut self, topic: &Topic, payload: Payload) {
        let Some(mut server) = self.remove_join(topic) else { return };
        let pending = server.pending.take().map(|pending| *pending).unwrap_or_default();
        for (join_ref, reference) in pending.superseded {
            self.reply(join_ref, reference, topic, Status::Error, payload.clone());
        }
        self.reply(server.join_ref.take(), pending.reference, topic, Status::Error, payload);
        self.drop_server(topic, *server);
        self.close_all(topic, pending.closing);
        if let Some(join) = pending.replaces {
            self.effects.push_back(Effect::Unsubscribe(join));
        }
        self.refuse_backlog(topic, pending.backlog);
    }

    /// Answers what was said to a topic that has not been joined after all.
    fn refuse_backlog(&mut self, topic: &Topic, backlog: Backlog) {
        backlog.into_iter().for_each(|queued| self.refuse_queued(topic, queued));
    }

    fn refuse_queued(&mut self, topic: &Topic, queued: QueuedPush) {
        match queued {
            QueuedPush::Push(reference, ..) => {
                self.refuse(None, reference, topic.as_str(), Payload::reason("unmatched topic"))
            }
            QueuedPush::Leave(reference) => self.reply(None, reference, topic, Status::Ok, Payload::empty()),
        }
    }

    /// Refuses a join of which the registry may have been asked already.
    pub(crate) fn abort_join(&mut self, topic: &Topic, why: JoinRefusal, reason: &str) {
        let Some(server) = self.joins.get(topic) else { return };
        if server.is_asked() {
            self.effects.push_back(Effect::Unsubscribe(server.id));
        }
        self.count_refused_join(why);
        self.refused(topic, Payload::reason(reason));
    }

    fn count_refused_join(&self, why: JoinRefusal) {
        self.metrics.joins_refused.add(self.settings.realm, why, 1);
    }

    pub(crate) fn join_confirmed(&mut self, join: JoinId) {
        let Some(topic) = self.topic_of(join) else { return };
        let Some(server) = self.joins.get_mut(&topic) else { return };
        let Some(pending) = server.pending.take_if(|pending| pending.reply.is_some()) else { return };
        self.fastlane_changed = true;
        let (join_ref, mut closing) = (server.join_ref.clone(), pending.closing);
        let welcome = pending.reply.unwrap_or_else(Payload::empty);
        if let Some(since) = pending.since {
            self.metrics.join_duration.add(self.settings.realm, self.client.now.saturating_duration_since(since));
        }
        for (join_ref, reference) in pending.superseded {
            self.reply(join_ref.clone(), reference, &topic, Status::Ok, welcome.clone());
            closing.push(join_ref);
        }
        self.reply(join_ref, pending.reference, &topic, Status::Ok, welcome);
        self.close_all(&topic, closing);
        self.run(&topic, &None, |channel, ctx| channel.after_join(ctx));
        self.replay.extend(pending.backlog.into_iter().map(|queued| (topic.clone(), queued)));
    }

    /// Takes up the next of what was said to a topic before its join was answered, when all that came before has been
    /// done: what it comes to, as a signal to nobody, counts before the next is judged. Says whether there was one.
    pub(crate) fn replay_next(&mut self) -> bool {
        let Some((topic, queued)) = self.replay.pop_front() else { return false };
        match queued {
            // it has left, stopped or crashed meanwhile
            queued if !self.joins.contains_key(&topic) => self.refuse_queued(&topic, queued),
            // what came before it awaits a task; there is room, since it had some before
            queued if self.is_waiting(&topic) => drop(self.queue(&topic, queued)),
            QueuedPush::Push(reference, event, payload) => self.handle_in(&topic, reference, &event, &payload),
            QueuedPush::Leave(reference) => self.leave_now(&topic, reference),
        }
        true
    }

    fn close_all(&mut self, topic: &Topic, closing: Vec<Option<Ref>>) {
        for join_ref in closing {
            self.send(Outbound::Close { join_ref, topic: topic.clone() });
        }
    }

    fn is_waiting(&self, topic: &Topic) -> bool {
        self.joins.get(topic).is_some_and(|server| server.is_waiting())
    }

    /// Keeps what is said to a topic that is about to be joined, or whose channel awaits a task; says whether there
    /// was room.
    pub(crate) fn queue(&mut self, topic: &Topic, queued: QueuedPush) -> bool {
        let bound = self.settings.limits.queue_bytes;
        let backlog = self.joins.get_mut(topic).and_then(|server| server.backlog());
        backlog.is_some_and(|backlog| backlog.push(queued, bound))
    }

    /// The end of a channel's life in the socket: what was said to it meanwhile is answered.
    pub(crate) fn drop_server(&mut self, topic: &Topic, mut server: ChannelServer) {
        let backlog = server.take_awaiting();
        server.drop_channel();
        self.refuse_backlog(topic, backlog);
    }
}
