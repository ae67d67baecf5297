//! How a socket runs its channels' callbacks, and applies what they have requested. A panic in a callback crashes only
//! its channel.

use std::sync::Arc;

use super::Socket;
use crate::channels::channel::DynChannel;
use crate::channels::context::{Action, CallbackOutcome, Context};
use crate::channels::effect::Effect;
use crate::channels::reply::{Join, Reply, TerminateReason};
use crate::message::{Broadcast, Event, Payload, Reach, Ref};
use crate::refusal::PushRefusal;
use crate::sessions::socket::channel_server::{Callback, Crashed};
use crate::topic::Topic;

impl Socket {
    /// Runs the channel's `handle_out` for an intercepted event. Broadcasts that `handle_out` makes on its own topic
    /// are not intercepted again, because that would never end.
    pub(crate) fn intercept(&mut self, topic: &Topic, event: &str, payload: &Payload) {
        let run = |channel: &mut DynChannel, ctx: &mut Context<'_>| channel.handle_out(event, payload, ctx);
        let Some(((), outcome)) = self.call(topic, &None, run) else { return };
        self.apply(topic, outcome.actions);
        self.settle(topic, Vec::new(), outcome.completed_join, outcome.stopped);
    }

    pub(crate) fn run_and_reply(&mut self, topic: &Topic, reference: &Option<Ref>, f: impl Callback<Reply>) {
        let Some((reply, mut outcome)) = self.call(topic, reference, f) else { return };
        let (reply, why) = match (self.refuse_fanout(&mut outcome.actions), self.client.overloaded) {
            (true, _) => (Reply::error("rate_limited"), PushRefusal::RateLimited),
            (false, true) => (reply, PushRefusal::Overloaded),
            (false, false) => (reply, PushRefusal::Channel),
        };
        let echoes = self.apply(topic, outcome.actions);
        let Some(server) = self.joins.get(topic) else { return };
        if let Reply::Reply(status, payload) = reply {
            self.answer(server.reply_ref.clone(), reference.clone(), topic, status, payload, why);
        }
        self.settle(topic, echoes, outcome.completed_join, outcome.stopped);
    }

    /// Runs a callback and applies its requests. Returns `None` when it has panicked, or the topic is not joined.
    pub(crate) fn run<R>(&mut self, topic: &Topic, reference: &Option<Ref>, f: impl Callback<R>) -> Option<R> {
        let (result, outcome) = self.call(topic, reference, f)?;
        let echoes = self.apply(topic, outcome.actions);
        self.settle(topic, echoes, outcome.completed_join, outcome.stopped);
        Some(result)
    }

    pub(crate) fn call<R>(
        &mut self,
        topic: &Topic,
        reference: &Option<Ref>,
        f: impl Callback<R>,
    ) -> Option<(R, CallbackOutcome)> {
        let (result, outcome) = self.joins.get_mut(topic)?.call(topic, reference, &mut self.client, f);
        match result {
            Ok(result) => Some((result, outcome)),
            Err(Crashed) => {
                self.apply(topic, outcome.actions);
                self.crash(topic);
                None
            }
        }
    }

    /// Turns a callback's requests into effects. Broadcasts on the own topic are dropped if the client is not a member
    /// yet. Own broadcasts of intercepted events are returned: as in Phoenix, their `handle_out` runs after the reply.
    pub(crate) fn apply(&mut self, topic: &Topic, actions: Vec<Action>) -> Vec<(Event, Payload)> {
        let is_member = self.joins.get(topic).is_some_and(|server| !server.is_pending());
        let mut intercepted = Vec::new();
        for action in actions {
            let mut effect = match action {
                Action::Do(effect) => effect,
                Action::Subscribe(other, claim, permit) => {
                    self.subscribe(topic, other, claim, permit);
                    continue;
                }
                Action::Unsubscribe(other) => {
                    self.unsubscribe_from(topic, &other);
                    continue;
                }
                Action::LeaveTopic => {
                    self.leave_topic(topic);
                    continue;
                }
                Action::Spawn(task) => {
                    self.start_task(topic, *task);
                    continue;
                }
            };
            match &mut effect {
                Effect::Broadcast { broadcast, topics, .. } if !is_member && is_on(topic, broadcast, topics) => {
                    continue;
                }
                Effect::Broadcast { broadcast, reach: reach @ Reach::Echoed, .. } => match self.joins.get(topic) {
                    None => *reach = Reach::Others,
                    Some(server) if server.intercepts(&broadcast.event) => {
                        *reach = Reach::Others;
                        intercepted.push((broadcast.event.clone(), broadcast.payload.clone()));
                    }
                    Some(_) => {}
                },
                _ => {}
            }
            self.effects.push_back(effect);
        }
        intercepted
    }

    pub(crate) fn settle(
        &mut self,
        topic: &Topic,
        echoes: Vec<(Event, Payload)>,
        completed_join: Option<Join>,
        stopped: bool,
    ) {
        for (event, payload) in echoes {
            self.intercept(topic, &event, &payload);
        }
        if let Some(join) = completed_join {
            self.apply_join(topic, join);
        }
        if stopped {
            self.end(topic, TerminateReason::Stopped);
        }
    }
}

/// Whether a broadcast goes to `topic`.
fn is_on(topic: &Topic, broadcast: &Broadcast, topics: &Option<Arc<[Topic]>>) -> bool {
    broadcast.topic == *topic || topics.as_ref().is_some_and(|topics| topics.contains(topic))
}
