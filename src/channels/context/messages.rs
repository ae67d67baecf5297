//! What a channel sends: pushes to its own client, broadcasts to the members of topics, and signals to the owner of a
//! name.

use std::sync::Arc;
use std::time::Duration;

use super::Context;
use crate::channels::effect::Effect;
use crate::channels::reply::Reply;
use crate::message::{Broadcast, Event, Outbound, Payload, Reach, Signal};
use crate::topic::Topic;

impl Context<'_> {
    /// Sends a message to this channel's client. A push made during [`Channel::join`](crate::Channel::join) arrives
    /// before the reply to the join. A binary payload is dropped for a client of Phoenix serializer V1, which has no
    /// binary messages.
    pub fn push(&mut self, event: impl Into<Event>, payload: impl Into<Payload>) {
        let (join_ref, topic) = (self.scope.join_ref.clone(), self.scope.topic.clone());
        let (event, payload) = (event.into(), payload.into());
        self.push_effect(Effect::Send(Outbound::Push { join_ref, topic, event, payload }));
    }

    /// Sends a message to every member of the topic, including this client. Only members can broadcast: before
    /// [`Channel::after_join`](crate::Channel::after_join) this has no effect.
    pub fn broadcast(&mut self, event: impl Into<Event>, payload: impl Into<Payload>) {
        self.broadcast_with(self.scope.topic.clone(), event.into(), payload.into(), Reach::Echoed);
    }

    /// Sends a message to every other member of the topic.
    pub fn broadcast_from(&mut self, event: impl Into<Event>, payload: impl Into<Payload>) {
        self.broadcast_with(self.scope.topic.clone(), event.into(), payload.into(), Reach::Others);
    }

    /// Sends a message to every member of another topic, as [`Pubsub::broadcast`](crate::Pubsub::broadcast) does. This
    /// client does not need to be a member of it.
    pub fn broadcast_on(&mut self, topic: &Topic, event: impl Into<Event>, payload: impl Into<Payload>) {
        let reach = if topic == self.scope.topic { Reach::Echoed } else { Reach::Members };
        self.broadcast_with(topic.clone(), event.into(), payload.into(), reach);
    }

    /// Like [`broadcast_on`](Self::broadcast_on), but this client does not receive the message.
    pub fn broadcast_from_on(&mut self, topic: &Topic, event: impl Into<Event>, payload: impl Into<Payload>) {
        self.broadcast_with(topic.clone(), event.into(), payload.into(), Reach::Others);
    }

    /// Sends a message to every other client that is a member of at least one of `topics`. A client that is a member of
    /// several receives it once. The message arrives under the first of the topics.
    pub fn broadcast_from_on_any(&mut self, topics: &[Topic], event: impl Into<Event>, payload: impl Into<Payload>) {
        let [topic, rest @ ..] = topics else { return };
        let broadcast = Broadcast { topic: topic.clone(), event: event.into(), payload: payload.into() };
        let topics = (!rest.is_empty()).then(|| Arc::from(topics));
        self.push_effect(Effect::Broadcast { broadcast, topics, reach: Reach::Others });
    }

    fn broadcast_with(&mut self, topic: Topic, event: Event, payload: Payload, reach: Reach) {
        let broadcast = Broadcast { topic, event, payload };
        self.push_effect(Effect::Broadcast { broadcast, topics: None, reach });
    }

    /// Sends a message to the client that owns the name `to`, the exclusive member of that topic.
    /// [`Channel::handle_delivery`](crate::Channel::handle_delivery) receives the result and replies to the current
    /// request. Return the value of this method from [`Channel::handle_in`](crate::Channel::handle_in): it is the error
    /// `rate_limited` when the client has sent too many messages to absent peers.
    #[must_use]
    pub fn send_to(&mut self, to: Topic, event: impl Into<Event>, payload: impl Into<Payload>) -> Reply {
        self.send_signal(to, event.into(), payload.into(), None)
    }

    /// Like [`send_to`](Self::send_to), but when no client owns the name, the message is held for up to `time` until
    /// one takes it. Later messages to the same name wait behind it, those of [`send_to`](Self::send_to) included. The
    /// result arrives when the message is delivered, when `time` expires (absent), or when the queue of held messages
    /// is full (overloaded).
    #[must_use]
    pub fn send_to_or_hold(
        &mut self,
        to: Topic,
        event: impl Into<Event>,
        payload: impl Into<Payload>,
        time: Duration,
    ) -> Reply {
        self.send_signal(to, event.into(), payload.into(), Some(time))
    }

    fn send_signal(&mut self, to: Topic, event: Event, payload: Payload, hold: Option<Duration>) -> Reply {
        if self.client.is_probing() {
            return Reply::error("rate_limited");
        }
        let broadcast = Broadcast { topic: to.clone(), event: event.clone(), payload };
        let signal = Signal { to, event, request: self.request_ref(), hold };
        self.push_effect(Effect::Signal { signal, broadcast });
        Reply::NoReply
    }
}
