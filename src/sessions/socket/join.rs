//! How a socket joins a topic: the checks of the request, the channel's decision, the registry's confirmation, and the
//! backlog of messages that wait for it. How a join ends is in [`leave`](crate::sessions::socket::leave).
//!
//! A new join of a topic replaces the older one. As in Phoenix, the client first receives the reply to the new join and
//! then the close of the old one. An older join that was not answered yet receives the same reply as the new one.

use std::panic::{AssertUnwindSafe, catch_unwind};

use serde::Deserialize;

use super::Socket;
use crate::auth::{LaterRefusal, LaterTokens};
use crate::channels::channel::{Channel, DynChannel};
use crate::channels::context::Context;
use crate::channels::effect::Effect;
use crate::channels::reply::{Join, LimitError, TerminateReason};
use crate::connections::token_bucket::RateVerdict;
use crate::message::{JoinId, Outbound, Payload, Ref, Status};
use crate::refusal::{JoinRefusal, TokenRefusal};
use crate::sessions::socket::channel_server::{Backlog, ChannelServer, PendingJoin, QueuedPush};
use crate::topic::Topic;

/// The payload of a join that may carry a token.
#[derive(Deserialize)]
struct TokenParams {
    token: Option<String>,
}

impl Socket {
    pub(crate) fn join(&mut self, name: &str, join_ref: Option<Ref>, reference: Option<Ref>, payload: &Payload) {
        let routed = match self.route_join(name, payload) {
            Ok(routed) => routed,
            Err((why, reason)) => {
                self.count_refused_join(why);
                let reply_ref = join_ref.filter(|_| why != JoinRefusal::Unmatched);
                return self.refuse(reply_ref, reference, name, Payload::reason(reason));
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

    /// Checks a request to join. Returns the topic and the channel that decides, or the reason for the refusal.
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
        let (now, clock) = (self.client.now, self.client.connection.clock());
        if self.join_rate.take(&self.settings.joins, now, clock) != RateVerdict::Allow {
            return Err((JoinRefusal::RateLimited, "rate_limited"));
        }
        // a pending join may be replaced, but the number of joins that wait for one reply is limited
        if older.is_some_and(|superseded| superseded >= most) {
            return Err((JoinRefusal::TooMany, "too many channels joined"));
        }
        self.check_token(payload).map_err(|refusal| {
            self.count_refused_token(refusal);
            (JoinRefusal::Token, refusal.text())
        })?;
        Ok(routed)
    }

    /// Checks the member `token` of a join, if the client may send its token there.
    fn check_token(&mut self, payload: &Payload) -> Result<(), LaterRefusal> {
        let assigns = &mut self.client.assigns;
        let Some(later) = assigns.get::<LaterTokens>().filter(|later| later.are_in_joins()) else { return Ok(()) };
        let Ok(params) = payload.parse::<TokenParams>() else { return Err(LaterRefusal::Token(TokenRefusal::Invalid)) };
        if let Some((access, place)) = later.check_join(params.token.as_deref(), assigns.get())? {
            self.client.connection.set_access(access.clone(), Some(place));
            assigns.insert(access);
        }
        Ok(())
    }

    /// Ends an older join of the same topic, which a new join replaces.
    fn replace_join(&mut self, topic: &Topic) -> PendingJoin {
        self.terminate(topic, TerminateReason::Replaced);
        let Some(mut old) = self.remove_join(topic) else { return PendingJoin::default() };
        let (id, join_ref, pending) = (old.id, old.join_ref.take(), old.pending.take());
        self.drop_server(topic, *old);
        let Some(mut pending) = pending else { return PendingJoin::after(id, join_ref) };
        self.refuse_backlog(topic, std::mem::take(&mut pending.backlog));
        PendingJoin::instead_of(id, join_ref, *pending)
    }

    /// Applies the channel's decision. If there are several, the first counts.
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
            // a join that replaces another tells the client nothing new about the name
            Join::Ok(_, membership)
                if membership.claim.is_some() && pending.replaces.is_none() && !self.client.charge_claim(topic) =>
            {
                self.count_refused_join(JoinRefusal::RateLimited);
                self.refused(topic, Payload::reason("rate_limited"));
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

    /// Refuses the queued messages to a topic whose join was refused or has ended.
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

    /// Refuses a pending join, and cancels the membership if the registry has been asked for it.
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

    /// Handles the next queued message, once the effects of earlier ones have been carried out. The order matters
    /// because an effect, such as a signal to an absent peer, can change the limits for the next message. Returns
    /// whether there was a message.
    pub(crate) fn replay_next(&mut self) -> bool {
        let Some((topic, queued)) = self.replay.pop_front() else { return false };
        match queued {
            // the join has ended meanwhile
            queued if !self.joins.contains_key(&topic) => self.refuse_queued(&topic, queued),
            // an earlier message awaits a task; there is room in the backlog, because this message was in one before
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

    /// Queues a message to a topic whose join is pending or whose channel awaits a task. Returns false when the backlog
    /// is full.
    pub(crate) fn queue(&mut self, topic: &Topic, queued: QueuedPush) -> bool {
        let bound = self.settings.limits.queue_bytes;
        let backlog = self.joins.get_mut(topic).and_then(|server| server.backlog());
        backlog.is_some_and(|backlog| backlog.push(queued, bound, &self.client.connection))
    }

    /// Drops a channel that has been removed, and refuses the messages in its backlog.
    pub(crate) fn drop_server(&mut self, topic: &Topic, mut server: ChannelServer) {
        let backlog = server.take_awaiting();
        server.drop_channel();
        self.refuse_backlog(topic, backlog);
    }
}
