//! One client's conversation as a state machine: which topics it has joined, which join a message speaks
//! for, who owes which answer, and how fast it may go.
//!
//! It knows no wire format, no transport, no clock and no registry: it is told what came in and what
//! time it is, and leaves [`Effect`]s for the session to carry out. So every sequence of inputs can be
//! tried on it in a test.
//!
//! A join is not answered before the registry has confirmed it; what the client sends to that topic
//! meanwhile waits in its backlog, and nothing else waits.

use std::collections::{HashMap, VecDeque};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Instant;

use crate::channel::{Channel, Ended, Join, Reply, Router};
use crate::close;
use crate::config::Limits;
use crate::connection::Connection;
use crate::context::{Aftermath, Assigns, Client, Context, Scope};
use crate::mailbox::Note;
use crate::message::{
    Broadcast, DISCONNECT, Effect, Event, Inbound, JoinId, Outbound, Payload, Ref, Request, Signal, Status, Verdict,
};
use crate::metrics::Metrics;
use crate::rate::{Bucket, Pace, Rate};
use crate::topic::Topic;

/// What holds for all sockets of one mount.
#[derive(Debug)]
pub(crate) struct Rules {
    pub(crate) router: Arc<Router>,
    pub(crate) limits: Limits,
}

impl Rules {
    fn messages(&self) -> Rate {
        Rate::per_second(self.limits.messages_per_second, self.limits.messages_burst)
    }

    fn joins(&self) -> Rate {
        Rate::per_second(self.limits.joins_per_second, self.limits.joins_burst)
    }

    fn misses(&self) -> Rate {
        Rate::per_minute(self.limits.misses_per_minute, self.limits.misses_burst)
    }
}

/// A topic the client has joined, or is about to.
struct Joined {
    id: JoinId,
    /// The join's mark as the client gave it: what later messages must carry.
    given: Option<Ref>,
    /// The mark that answers carry: the request's own when the client gave none.
    shown: Option<Ref>,
    channel: Box<dyn Channel>,
    /// Nothing, once the client has its `ok`.
    pending: Option<Box<Pending>>,
}

/// A join that is not answered yet.
#[derive(Default)]
struct Pending {
    reference: Option<Ref>,
    reply: Option<Payload>,
    /// The older join of the same topic that is still a member.
    replaces: Option<JoinId>,
    /// Marks of older joins of the topic, to be told that they are closed once this one is answered.
    closing: Vec<Option<Ref>>,
    /// What the client said to the topic meanwhile.
    backlog: VecDeque<Held>,
    backlog_bytes: usize,
}

enum Held {
    Push(Option<Ref>, Event, Payload),
    Leave(Option<Ref>),
}

/// How a broadcast reaches the client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Passage {
    /// As the one frame that everybody gets.
    Fastlane,
    /// Not, or not as it is: what there is to do stands in the effects.
    Handled,
}

/// The state machine.
pub(crate) struct Socket {
    rules: Arc<Rules>,
    metrics: Arc<Metrics>,
    client: Client,
    joins: HashMap<Topic, Joined>,
    last_join: u32,
    messages: Bucket,
    join_rate: Bucket,
    effects: VecDeque<Effect>,
}

impl Socket {
    pub(crate) fn new(
        rules: Arc<Rules>,
        metrics: Arc<Metrics>,
        connection: Arc<Connection>,
        transport: &'static str,
        assigns: Assigns,
        now: Instant,
    ) -> Self {
        let misses_rate = rules.misses();
        let misses = Bucket::full(&misses_rate, now);
        Self {
            messages: Bucket::full(&rules.messages(), now),
            join_rate: Bucket::full(&rules.joins(), now),
            client: Client { connection, transport, assigns, misses, misses_rate },
            rules,
            metrics,
            joins: HashMap::new(),
            last_join: JoinId::SOCKET.0,
            effects: VecDeque::new(),
        }
    }

    /// What is to be done next.
    pub(crate) fn next_effect(&mut self) -> Option<Effect> {
        let effect = self.effects.pop_front();
        if effect.is_none() && self.effects.capacity() > 16 {
            self.effects = VecDeque::new();
        }
        effect
    }

    /// The client has said something.
    pub(crate) fn receive(&mut self, inbound: Inbound<'_>, now: Instant) {
        let Inbound { topic, join_ref, reference, request } = inbound;
        let pace = self.pace(now);
        match request {
            Request::Heartbeat => self.send(Outbound::Alive { reference }),
            Request::Leave => self.leave(&topic, join_ref, reference, now),
            _ if pace != Pace::Fine => {
                self.metrics.rate_limited.add(1);
                self.refuse(join_ref, reference, &topic, Payload::reason("rate_limited"));
            }
            Request::Join(payload) => self.join(&topic, join_ref, reference, &payload, now),
            Request::Push(event, payload) => self.push(&topic, join_ref, reference, &event, payload, now),
        }
    }

    /// Counts one message, of whatever kind, and ends the connection of a client that floods.
    pub(crate) fn pace(&mut self, now: Instant) -> Pace {
        let pace = self.messages.take(&self.rules.messages(), now);
        if pace == Pace::Flood {
            self.effects.push_back(Effect::Close(&close::FLOOD));
        }
        pace
    }

    /// Somebody has told a topic something that this client may be a member of.
    pub(crate) fn broadcast(&mut self, join: JoinId, broadcast: &Broadcast, now: Instant) -> Passage {
        if join == JoinId::SOCKET {
            if broadcast.event == DISCONNECT {
                self.effects.push_back(Effect::Close(&close::DISCONNECTED));
            }
            return Passage::Handled;
        }
        let Some(joined) = self.joins.get(&broadcast.topic).filter(|joined| joined.id == join) else {
            return Passage::Handled; // it has left meanwhile
        };
        if joined.pending.is_some() {
            // the registry's word is right behind; being told is being a member
            self.subscribed(join, now);
        }
        let topic = &broadcast.topic;
        let intercepts = self.intercepts(topic, &broadcast.event);
        if !self.joins.contains_key(topic) {
            return Passage::Handled; // it has stopped or crashed over this
        }
        if !intercepts {
            return Passage::Fastlane;
        }
        self.intercepted(topic, &broadcast.event, &broadcast.payload, now);
        Passage::Handled
    }

    /// The registry, another task or another node has something to say.
    pub(crate) fn note(&mut self, note: Note, now: Instant) {
        match note {
            Note::Subscribed(join) => self.subscribed(join, now),
            Note::Refused(join, reason) => {
                if let Some(topic) = self.topic_of(join) {
                    self.refused(&topic, Payload::reason(reason));
                }
            }
            Note::Evicted(join) => {
                if let Some(topic) = self.topic_of(join) {
                    self.end(&topic, Ended::Replaced, now);
                }
            }
            Note::Verdict(signal, verdict) => self.verdict(signal, verdict, now),
            Note::Reply(ticket, status, payload) => self.late_reply(ticket.join, ticket.reference, status, payload),
            Note::Push(join, event, payload) => self.late_push(join, event, payload),
            Note::Info(join, info) => {
                if let Some(topic) = self.topic_of(join) {
                    self.run(&topic, &None, now, |channel, ctx| channel.handle_info(info, ctx));
                }
            }
        }
    }

    /// What became of a signal.
    pub(crate) fn verdict(&mut self, signal: Signal, verdict: Verdict, now: Instant) {
        let Some(topic) = self.topic_of(signal.ticket.join) else { return };
        if verdict == Verdict::Absent {
            self.metrics.absent.add(1);
            self.client.misses.take(&self.client.misses_rate, now);
        }
        let reference = signal.ticket.reference.clone();
        self.run(&topic, &reference, now, |channel, ctx| channel.handle_verdict(signal, verdict, ctx));
    }

    /// The connection is gone: every channel hears of it, and nobody else.
    pub(crate) fn disconnect(&mut self, now: Instant) {
        let topics: Vec<Topic> = self.joins.keys().cloned().collect();
        for topic in topics {
            self.terminate(&topic, Ended::Disconnected, now);
        }
        self.joins.drain().for_each(|(_, joined)| bury(joined.channel));
        // what the channels still have to tell others goes out; nobody is left to hear the rest
        self.effects.retain(|effect| matches!(effect, Effect::Broadcast { .. } | Effect::Signal { .. }));
    }

    // ---- joining

    fn join(&mut self, name: &str, given: Option<Ref>, reference: Option<Ref>, payload: &Payload, now: Instant) {
        let routed = match self.admissible(name, payload, now) {
            Ok(routed) => routed,
            Err(("unmatched topic", payload)) => return self.refuse(None, reference, name, payload),
            Err((_, payload)) => return self.refuse(given, reference, name, payload),
        };
        let (topic, channel) = routed;
        let mut pending = self.take_place(&topic, now);
        pending.reference = reference.clone();
        self.last_join += 1;
        let shown = given.clone().or_else(|| reference.clone());
        let joined = Joined { id: JoinId(self.last_join), given, shown, channel, pending: Some(Box::new(pending)) };
        self.joins.insert(topic.clone(), joined);
        if let Some(join) = self.run(&topic, &reference, now, |channel, ctx| channel.join(payload, ctx)) {
            self.decide(&topic, join);
        }
    }

    /// Whether the client may ask to join at all: the channel that decides, or the reason why not.
    #[expect(clippy::type_complexity, reason = "a pair of a name and its channel, used here alone")]
    fn admissible(
        &mut self,
        name: &str,
        payload: &Payload,
        now: Instant,
    ) -> Result<(Topic, Box<dyn Channel>), (&'static str, Payload)> {
        let refuse = |reason| Err((reason, Payload::reason(reason)));
        if name.len() > self.rules.limits.topic_bytes {
            return refuse("topic too long");
        }
        let Ok(routed) = catch_unwind(AssertUnwindSafe(|| self.rules.router.route(name))) else {
            self.count_crash(name);
            return refuse("join crashed");
        };
        let Some(routed) = routed else {
            return refuse("unmatched topic");
        };
        if self.joins.len() >= self.rules.limits.joins_per_socket && !self.joins.contains_key(name) {
            return refuse("too many channels joined");
        }
        if !payload.is_object() {
            return refuse("invalid payload");
        }
        if self.join_rate.take(&self.rules.joins(), now) != Pace::Fine {
            self.metrics.rate_limited.add(1);
            return refuse("rate_limited");
        }
        Ok(routed)
    }

    /// Ends an older join of the same topic, whose place a new one is to take.
    fn take_place(&mut self, topic: &Topic, now: Instant) -> Pending {
        self.terminate(topic, Ended::Replaced, now);
        let Some(old) = self.joins.remove(topic) else { return Pending::default() };
        bury(old.channel);
        let asked = old.pending.as_ref().is_none_or(|pending| pending.reply.is_some());
        let older = old.pending.map(|pending| *pending).unwrap_or_default();
        let mut closing = older.closing;
        closing.push(old.given);
        Pending { replaces: if asked { Some(old.id) } else { older.replaces }, closing, ..Pending::default() }
    }

    /// Does what the channel has decided; of several decisions the first counts.
    fn decide(&mut self, topic: &Topic, join: Join) {
        let Some(joined) = self.joins.get_mut(topic) else { return };
        let Some(pending) = joined.pending.as_mut().filter(|pending| pending.reply.is_none()) else { return };
        match join {
            Join::Later => {}
            Join::Refuse(payload) => self.refused(topic, payload),
            Join::Accept(payload, membership) => {
                pending.reply = Some(payload);
                let (join, replaces) = (joined.id, pending.replaces.take());
                self.effects.push_back(Effect::Subscribe { join, topic: topic.clone(), membership, replaces });
            }
        }
    }

    fn refused(&mut self, topic: &Topic, payload: Payload) {
        let Some(joined) = self.joins.remove(topic) else { return };
        bury(joined.channel);
        let pending = joined.pending.map(|pending| *pending).unwrap_or_default();
        self.reply(joined.given, pending.reference, topic, Status::Error, payload);
        self.close_all(topic, pending.closing);
        if let Some(join) = pending.replaces {
            self.effects.push_back(Effect::Unsubscribe { join, topic: topic.clone() });
        }
        for held in pending.backlog {
            match held {
                Held::Push(reference, ..) => {
                    self.refuse(None, reference, topic.as_str(), Payload::reason("unmatched topic"))
                }
                Held::Leave(reference) => self.reply(None, reference, topic, Status::Ok, Payload::empty()),
            }
        }
    }

    /// Refuses a join of which the registry may have been asked already.
    fn withdraw(&mut self, topic: &Topic, reason: &str) {
        let Some(joined) = self.joins.get(topic) else { return };
        if joined.pending.as_ref().is_some_and(|pending| pending.reply.is_some()) {
            self.effects.push_back(Effect::Unsubscribe { join: joined.id, topic: topic.clone() });
        }
        self.refused(topic, Payload::reason(reason));
    }

    fn subscribed(&mut self, join: JoinId, now: Instant) {
        let Some(topic) = self.topic_of(join) else { return };
        let Some(joined) = self.joins.get_mut(&topic) else { return };
        let Some(pending) = joined.pending.take_if(|pending| pending.reply.is_some()) else { return };
        let given = joined.given.clone();
        self.reply(given, pending.reference, &topic, Status::Ok, pending.reply.unwrap_or_else(Payload::empty));
        self.close_all(&topic, pending.closing);
        self.run(&topic, &None, now, |channel, ctx| channel.joined(ctx));
        for held in pending.backlog {
            match held {
                Held::Push(reference, event, payload) => self.handle_in(&topic, reference, &event, &payload, now),
                Held::Leave(reference) => self.leave_now(&topic, reference, now),
            }
        }
    }

    fn close_all(&mut self, topic: &Topic, closing: Vec<Option<Ref>>) {
        for join_ref in closing {
            self.send(Outbound::Close { join_ref, topic: topic.clone() });
        }
    }

    // ---- being a member

    fn push(
        &mut self,
        name: &str,
        join_ref: Option<Ref>,
        reference: Option<Ref>,
        event: &str,
        payload: Payload,
        now: Instant,
    ) {
        let Some((topic, joined)) = self.joins.get_key_value(name) else {
            return self.refuse(None, reference, name, Payload::reason("unmatched topic"));
        };
        if is_stale(&join_ref, joined) {
            return;
        }
        let (topic, shown) = (topic.clone(), joined.shown.clone());
        if event.len() > self.rules.limits.event_bytes {
            return self.reply(shown, reference, &topic, Status::Error, Payload::reason("event too long"));
        }
        if joined.pending.is_none() {
            return self.handle_in(&topic, reference, event, &payload, now);
        }
        let size = payload.len() + event.len();
        if !self.hold(&topic, size, Held::Push(reference.clone(), event.into(), payload)) {
            self.reply(shown, reference, &topic, Status::Error, Payload::reason("overloaded"));
        }
    }

    /// Keeps what is said to a topic that is about to be joined; says whether there was room.
    fn hold(&mut self, topic: &Topic, size: usize, held: Held) -> bool {
        let bound = self.rules.limits.queue_bytes;
        let Some(pending) = self.joins.get_mut(topic).and_then(|joined| joined.pending.as_mut()) else { return false };
        pending.backlog_bytes += size + size_of::<Held>();
        let room = pending.backlog_bytes <= bound;
        if room {
            pending.backlog.push_back(held);
        }
        room
    }

    fn handle_in(&mut self, topic: &Topic, reference: Option<Ref>, event: &str, payload: &Payload, now: Instant) {
        self.run_and_reply(topic, &reference, now, |channel, ctx| channel.handle_in(event, payload, ctx));
    }

    fn intercepted(&mut self, topic: &Topic, event: &str, payload: &Payload, now: Instant) {
        self.run(topic, &None, now, |channel, ctx| channel.handle_out(event, payload, ctx));
    }

    fn late_reply(&mut self, join: JoinId, reference: Option<Ref>, status: Status, payload: Payload) {
        let Some(topic) = self.topic_of(join) else { return };
        let shown = self.joins.get(&topic).and_then(|joined| joined.shown.clone());
        self.reply(shown, reference, &topic, status, payload);
    }

    fn late_push(&mut self, join: JoinId, event: Event, payload: Payload) {
        let Some(topic) = self.topic_of(join) else { return };
        let join_ref = self.joins.get(&topic).and_then(|joined| joined.shown.clone());
        self.send(Outbound::Push { join_ref, topic, event, payload });
    }

    // ---- leaving

    fn leave(&mut self, name: &str, join_ref: Option<Ref>, reference: Option<Ref>, now: Instant) {
        let Some((topic, joined)) = self.joins.get_key_value(name) else {
            return self.reply(join_ref, reference, &Topic::echo(name), Status::Ok, Payload::empty());
        };
        if is_stale(&join_ref, joined) {
            return;
        }
        let topic = topic.clone();
        if joined.pending.is_none() {
            self.leave_now(&topic, reference, now);
        } else if !self.hold(&topic, 0, Held::Leave(reference.clone())) {
            self.refuse(join_ref, reference, name, Payload::reason("overloaded"));
        }
    }

    fn leave_now(&mut self, topic: &Topic, reference: Option<Ref>, now: Instant) {
        let Some(joined) = self.joins.get(topic) else { return };
        let shown = joined.shown.clone();
        self.reply(shown, reference, topic, Status::Ok, Payload::empty());
        self.end(topic, Ended::Left, now);
    }

    /// The orderly end of a join; one that is not answered yet is refused.
    fn end(&mut self, topic: &Topic, why: Ended, now: Instant) {
        self.terminate(topic, why, now);
        if self.joins.get(topic).is_some_and(|joined| joined.pending.is_some()) {
            return self.withdraw(topic, "stopped");
        }
        let Some(joined) = self.joins.remove(topic) else { return };
        self.effects.push_back(Effect::Unsubscribe { join: joined.id, topic: topic.clone() });
        self.send(Outbound::Close { join_ref: joined.given, topic: topic.clone() });
        bury(joined.channel);
    }

    /// The channel's last word. That it stops is no news, and it intercepts nothing any more: either
    /// could begin its end anew, for ever.
    fn terminate(&mut self, topic: &Topic, why: Ended, now: Instant) {
        if let Some((_, aftermath)) = self.call(topic, &None, now, |channel, ctx| channel.terminate(why, ctx)) {
            self.apply(topic, aftermath.effects);
        }
    }

    /// A channel has panicked: its join ends, and nothing else.
    fn crash(&mut self, topic: &Topic) {
        self.count_crash(topic.as_str());
        if self.joins.get(topic).is_some_and(|joined| joined.pending.is_some()) {
            return self.withdraw(topic, "join crashed");
        }
        if let Some(joined) = self.joins.remove(topic) {
            self.effects.push_back(Effect::Unsubscribe { join: joined.id, topic: topic.clone() });
            self.send(Outbound::Error { join_ref: joined.given, topic: topic.clone() });
            bury(joined.channel);
        }
    }

    fn count_crash(&self, topic: &str) {
        self.metrics.channel_crashes.add(1);
        log::error!("{}: a channel of {topic:?} panicked", self.client.connection.id);
    }

    // ---- running a channel

    fn run_and_reply(
        &mut self,
        topic: &Topic,
        reference: &Option<Ref>,
        now: Instant,
        f: impl FnOnce(&mut dyn Channel, &mut Context<'_>) -> Reply,
    ) {
        let Some((reply, aftermath)) = self.call(topic, reference, now, f) else { return };
        let echoes = self.apply(topic, aftermath.effects);
        let Some(joined) = self.joins.get(topic) else { return };
        if let Reply::Now(status, payload) = reply {
            self.reply(joined.shown.clone(), reference.clone(), topic, status, payload);
        }
        self.settle(topic, echoes, aftermath.decision, aftermath.stopped, now);
    }

    /// Runs one of the channel's functions and does what it asked for; nothing when it panicked, or
    /// the topic is not joined.
    fn run<R>(
        &mut self,
        topic: &Topic,
        reference: &Option<Ref>,
        now: Instant,
        f: impl FnOnce(&mut dyn Channel, &mut Context<'_>) -> R,
    ) -> Option<R> {
        let (result, aftermath) = self.call(topic, reference, now, f)?;
        let echoes = self.apply(topic, aftermath.effects);
        self.settle(topic, echoes, aftermath.decision, aftermath.stopped, now);
        Some(result)
    }

    fn call<R>(
        &mut self,
        topic: &Topic,
        reference: &Option<Ref>,
        now: Instant,
        f: impl FnOnce(&mut dyn Channel, &mut Context<'_>) -> R,
    ) -> Option<(R, Aftermath)> {
        let joined = self.joins.get_mut(topic)?;
        let scope = Scope { topic, join: joined.id, join_ref: &joined.shown, reference, now };
        let mut aftermath = Aftermath::default();
        let mut ctx = Context { scope, client: &mut self.client, aftermath: &mut aftermath };
        match catch_unwind(AssertUnwindSafe(|| f(&mut *joined.channel, &mut ctx))) {
            Ok(result) => Some((result, aftermath)),
            Err(_) => {
                self.apply(topic, aftermath.effects);
                self.crash(topic);
                None
            }
        }
    }

    /// Takes over what a channel left to be done, but for what it told a topic before it was a member.
    /// Its own broadcasts of events that it intercepts are returned: its client hears them after the
    /// reply, as in Phoenix.
    fn apply(&mut self, topic: &Topic, effects: Vec<Effect>) -> Vec<(Event, Payload)> {
        let is_member = self.joins.get(topic).is_some_and(|joined| joined.pending.is_none());
        let mut intercepted = Vec::new();
        for mut effect in effects {
            if let Effect::Broadcast { echo, broadcast, .. } = &mut effect {
                if !is_member && broadcast.topic == *topic {
                    continue;
                }
                if *echo && self.intercepts(topic, &broadcast.event) {
                    *echo = false;
                    intercepted.push((broadcast.event.clone(), broadcast.payload.clone()));
                }
                *echo &= self.joins.contains_key(topic);
            }
            self.effects.push_back(effect);
        }
        intercepted
    }

    /// Whether the topic's channel wants to see the event first. One that panics over it has crashed.
    fn intercepts(&mut self, topic: &Topic, event: &str) -> bool {
        let Some(joined) = self.joins.get(topic) else { return false };
        let answer = catch_unwind(AssertUnwindSafe(|| joined.channel.intercepts(event)));
        answer.unwrap_or_else(|_| {
            self.crash(topic);
            false
        })
    }

    fn settle(
        &mut self,
        topic: &Topic,
        echoes: Vec<(Event, Payload)>,
        decision: Option<Join>,
        stopped: bool,
        now: Instant,
    ) {
        for (event, payload) in echoes {
            self.intercepted(topic, &event, &payload, now);
        }
        if let Some(join) = decision {
            self.decide(topic, join);
        }
        if stopped {
            self.end(topic, Ended::Stopped, now);
        }
    }

    // ---- telling the client

    fn send(&mut self, outbound: Outbound) {
        self.effects.push_back(Effect::Send(outbound));
    }

    fn reply(
        &mut self,
        join_ref: Option<Ref>,
        reference: Option<Ref>,
        topic: &Topic,
        status: Status,
        payload: Payload,
    ) {
        self.send(Outbound::Reply { join_ref, reference, topic: topic.clone(), status, payload });
    }

    fn refuse(&mut self, join_ref: Option<Ref>, reference: Option<Ref>, name: &str, payload: Payload) {
        self.reply(join_ref, reference, &Topic::echo(name), Status::Error, payload);
    }

    fn topic_of(&self, join: JoinId) -> Option<Topic> {
        self.joins.iter().find(|(_, joined)| joined.id == join).map(|(topic, _)| topic.clone())
    }
}

/// Drops a channel: one that panicked may do so again meanwhile.
fn bury(channel: Box<dyn Channel>) {
    let _ = catch_unwind(AssertUnwindSafe(move || drop(channel)));
}

/// Whether a message speaks for a join of the topic that is over. One that names no join speaks for
/// the current one.
fn is_stale(join_ref: &Option<Ref>, joined: &Joined) -> bool {
    join_ref.is_some() && *join_ref != joined.given
}
