//! How a socket comes to be on a topic, or does not: who may ask, what the channel decides, what the
//! registry answers, and what waits meanwhile.
//!
//! A join takes the place of an older one of the same topic. The client hears first how the new one
//! ended, then that the old one is closed, as from Phoenix; an older one that was not answered yet ends
//! as the new one does.

use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind};

use crate::channels::channel::Channel;
use crate::channels::context::Context;
use crate::channels::effect::Effect;
use crate::channels::reply::{Join, LimitError, TerminateReason};
use crate::connections::token_bucket::RateVerdict;
use crate::message::{JoinId, Outbound, Payload, Ref, Status};
use crate::metrics::labels::JoinRefusal;
use crate::sessions::socket::Socket;
use crate::sessions::socket::channel_server::{ChannelServer, PendingJoin, QueuedPush};
use crate::topic::Topic;

impl Socket {
    pub(crate) fn join(&mut self, name: &str, given: Option<Ref>, reference: Option<Ref>, payload: &Payload) {
        let routed = match self.admissible(name, payload) {
            Ok(routed) => routed,
            Err((why, words)) => {
                self.count_unjoined(why);
                let shown = given.filter(|_| why != JoinRefusal::Unmatched);
                return self.refuse(shown, reference, name, Payload::reason(words));
            }
        };
        let (topic, channel) = routed;
        let mut pending = self.take_place(&topic);
        pending.reference = reference.clone();
        pending.since = Some(self.client.now);
        self.last_join += 1;
        let id = JoinId(self.last_join);
        self.topics.insert(id, topic.clone());
        self.joins.insert(topic.clone(), Box::new(ChannelServer::new(id, given, channel, pending)));
        let run = |channel: &mut dyn Channel, ctx: &mut Context<'_>| (channel.join(payload, ctx), channel.intercepts());
        let Some((join, intercepted)) = self.run(&topic, &reference, run) else { return };
        if let Some(joined) = self.joins.get_mut(&topic) {
            joined.intercepted = intercepted;
        }
        self.decide(&topic, join);
    }

    /// Whether the client may ask to join at all: the channel that decides, or the reason why not.
    #[expect(clippy::type_complexity, reason = "a pair of a name and its channel, used here alone")]
    fn admissible(
        &mut self,
        name: &str,
        payload: &Payload,
    ) -> Result<(Topic, Box<dyn Channel>), (JoinRefusal, &'static str)> {
        if name.len() > self.rules.limits.topic_bytes {
            return Err((JoinRefusal::TooLong, "topic too long"));
        }
        let Ok(routed) = catch_unwind(AssertUnwindSafe(|| self.rules.router.route(self.rules.realm, name))) else {
            self.count_crash(name);
            return Err((JoinRefusal::Crash, "join crashed"));
        };
        let Some(routed) = routed else {
            return Err((JoinRefusal::Unmatched, "unmatched topic"));
        };
        let (most, older) = (self.rules.limits.joins_per_socket, self.joins.get(name).map(|joined| joined.owed()));
        if older.is_none() && self.joins.len() >= most {
            return Err((JoinRefusal::TooMany, "too many channels joined"));
        }
        if !payload.is_object() {
            return Err((JoinRefusal::Payload, "invalid payload"));
        }
        if self.join_rate.take(&self.rules.joins, self.client.now) != RateVerdict::Fine {
            return Err((JoinRefusal::RateLimited, "rate_limited"));
        }
        // a topic that nobody answers for may be joined anew, but not for ever
        if older.is_some_and(|owed| owed >= most) {
            return Err((JoinRefusal::TooMany, "too many channels joined"));
        }
        Ok(routed)
    }

    /// Ends an older join of the same topic, whose place a new one is to take.
    fn take_place(&mut self, topic: &Topic) -> PendingJoin {
        self.terminate(topic, TerminateReason::Replaced);
        let Some(mut old) = self.forget(topic) else { return PendingJoin::default() };
        let (id, given, pending) = (old.id, old.given.take(), old.pending.take());
        old.bury();
        let Some(mut pending) = pending else { return PendingJoin::after(id, given) };
        self.refuse_backlog(topic, std::mem::take(&mut pending.backlog));
        PendingJoin::instead_of(id, given, *pending)
    }

    /// Does what the channel has decided; of several decisions the first counts.
    pub(crate) fn decide(&mut self, topic: &Topic, join: Join) {
        let Some(joined) = self.joins.get_mut(topic) else { return };
        let Some(pending) = joined.pending.as_mut().filter(|pending| pending.reply.is_none()) else { return };
        match join {
            Join::Later => {}
            Join::Refuse(payload) => {
                self.count_unjoined(if self.client.overloaded {
                    JoinRefusal::Overloaded
                } else {
                    JoinRefusal::Channel
                });
                self.refused(topic, payload);
            }
            Join::Accept(payload, membership) => {
                let Ok(turn) = self.client.turn(topic.key().len() + membership.size()) else {
                    self.count_unjoined(JoinRefusal::Overloaded);
                    return self.refused(topic, Payload::reason(LimitError::Overloaded.reason()));
                };
                pending.reply = Some(payload);
                let (join, replaces) = (joined.id, pending.replaces.take());
                self.effects.push_back(Effect::Subscribe { join, topic: topic.clone(), membership, replaces, turn });
            }
        }
    }

    pub(crate) fn refused(&mut self, topic: &Topic, payload: Payload) {
        let Some(mut joined) = self.forget(topic) else { return };
        let pending = joined.pending.take().map(|pending| *pending).unwrap_or_default();
        for (given, reference) in pending.owed {
            self.reply(given, reference, topic, Status::Error, payload.clone());
        }
        self.reply(joined.given.take(), pending.reference, topic, Status::Error, payload);
        joined.bury();
        self.close_all(topic, pending.closing);
        if let Some(join) = pending.replaces {
            self.effects.push_back(Effect::Unsubscribe(join));
        }
        self.refuse_backlog(topic, pending.backlog);
    }

    /// Answers what was said to a topic that has not been joined after all.
    fn refuse_backlog(&mut self, topic: &Topic, backlog: VecDeque<QueuedPush>) {
        backlog.into_iter().for_each(|held| self.refuse_held(topic, held));
    }

    fn refuse_held(&mut self, topic: &Topic, held: QueuedPush) {
        match held {
            QueuedPush::Push(reference, ..) => {
                self.refuse(None, reference, topic.as_str(), Payload::reason("unmatched topic"))
            }
            QueuedPush::Leave(reference) => self.reply(None, reference, topic, Status::Ok, Payload::empty()),
        }
    }

    /// Refuses a join of which the registry may have been asked already.
    pub(crate) fn withdraw(&mut self, topic: &Topic, why: JoinRefusal, reason: &str) {
        let Some(joined) = self.joins.get(topic) else { return };
        if joined.is_asked() {
            self.effects.push_back(Effect::Unsubscribe(joined.id));
        }
        self.count_unjoined(why);
        self.refused(topic, Payload::reason(reason));
    }

    fn count_unjoined(&self, why: JoinRefusal) {
        self.metrics.joins_refused.add(self.rules.realm, why, 1);
    }

    pub(crate) fn subscribed(&mut self, join: JoinId) {
        let Some(topic) = self.topic_of(join) else { return };
        let Some(joined) = self.joins.get_mut(&topic) else { return };
        let Some(pending) = joined.pending.take_if(|pending| pending.reply.is_some()) else { return };
        self.lane_changed = true;
        let (given, mut closing) = (joined.given.clone(), pending.closing);
        let welcome = pending.reply.unwrap_or_else(Payload::empty);
        if let Some(since) = pending.since {
            self.metrics.join_time.add(self.rules.realm, self.client.now.saturating_duration_since(since));
        }
        for (given, reference) in pending.owed {
            self.reply(given.clone(), reference, &topic, Status::Ok, welcome.clone());
            closing.push(given);
        }
        self.reply(given, pending.reference, &topic, Status::Ok, welcome);
        self.close_all(&topic, closing);
        self.run(&topic, &None, |channel, ctx| channel.joined(ctx));
        self.replay.extend(pending.backlog.into_iter().map(|held| (topic.clone(), held)));
    }

    /// Takes up the next of what was said to a topic before its join was answered, when all that came before has been
    /// done: what it comes to, as a signal to nobody, counts before the next is judged. Says whether there was one.
    pub(crate) fn replay_next(&mut self) -> bool {
        let Some((topic, held)) = self.replay.pop_front() else { return false };
        match held {
            // it has left, stopped or crashed meanwhile
            held if !self.joins.contains_key(&topic) => self.refuse_held(&topic, held),
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

    /// Keeps what is said to a topic that is about to be joined; says whether there was room.
    pub(crate) fn hold(&mut self, topic: &Topic, held: QueuedPush) -> bool {
        let bound = self.rules.limits.queue_bytes;
        let pending = self.joins.get_mut(topic).and_then(|joined| joined.pending.as_mut());
        pending.is_some_and(|pending| pending.hold(held, bound))
    }
}
