//! The channel of a HelloWebRTC name. The last client that used the name owns it, receives the messages to the name and
//! the broadcasts to all names, and sends its own.

use super::message::BROADCAST;
use crate::channels::channel::Channel;
use crate::channels::context::Context;
use crate::channels::reply::{Join, LimitError, Reply};
use crate::message::{DeliveryStatus, Payload, Proof, Signal};
use crate::topic::{Realm, Topic};

/// The topic that all names subscribe to.
const COMMON_TOPIC: &str = "everybody";
/// All clients present the same proof, so each can take over any name, as in the original.
const SHARED_PROOF: Proof = [0; 32];

/// One name of one client.
pub(super) struct HelloChannel {
    common_topic: Topic,
}

impl HelloChannel {
    pub(super) fn new() -> Self {
        Self { common_topic: Topic::of(Realm::Hello.prefix(), COMMON_TOPIC) }
    }
}

impl Channel for HelloChannel {
    fn join(&mut self, _: &Payload, ctx: &mut Context<'_>) -> Join {
        match ctx.subscribe(&self.common_topic) {
            Ok(()) => Join::ok().exclusive(Some(SHARED_PROOF)),
            Err(LimitError::TooManyTopics) => Join::error("too many names"),
            Err(error) => Join::error(error.reason()),
        }
    }

    /// The `ref` of a unicast request is the topic of the recipient.
    fn handle_in(&mut self, event: &str, payload: &Payload, ctx: &mut Context<'_>) -> Reply {
        if event == BROADCAST {
            ctx.broadcast_on(&self.common_topic, event, payload.clone());
            return Reply::NoReply;
        }
        let to = ctx.request_ref().reference.and_then(|to| Realm::Hello.topic(&to).ok());
        to.map_or(Reply::NoReply, |to| ctx.send_to(to, event, payload.clone()))
    }

    /// A failed delivery is only logged: the original sends no error to the sender either.
    fn handle_delivery(&mut self, signal: Signal, status: DeliveryStatus, ctx: &mut Context<'_>) {
        if status != DeliveryStatus::Delivered {
            log::debug!("{}: message to {:?}: {status:?}", ctx.connection(), signal.to.as_str());
        }
    }
}
