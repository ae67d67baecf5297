//! What a HelloWebRTC name does: it is the last one's who spoke under it, hears what is said to it and to all,
//! and passes on what its holder says.

use super::{BROADCAST, EVERYBODY};
use crate::channels::channel::Channel;
use crate::channels::context::Context;
use crate::channels::reply::{Join, LimitError, Reply};
use crate::message::{DeliveryStatus, Payload, Proof, Signal};
use crate::topic::{Realm, Topic};

/// Whoever claims a name may have it, as in the original: everybody brings the same proof.
const ANYBODY: Proof = [0; 32];

/// One name of one client.
pub(super) struct HelloChannel {
    everybody: Topic,
}

impl HelloChannel {
    pub(super) fn new() -> Self {
        Self { everybody: Topic::of(Realm::Hello.mark(), EVERYBODY) }
    }
}

impl Channel for HelloChannel {
    fn join(&mut self, _: &Payload, ctx: &mut Context<'_>) -> Join {
        match ctx.subscribe(&self.everybody) {
            Ok(()) => Join::ok().exclusive(Some(ANYBODY)),
            Err(LimitError::TooManyTopics) => Join::error("too many names"),
            Err(error) => Join::error(error.reason()),
        }
    }

    /// The mark of the request is whose topic it is for.
    fn handle_in(&mut self, event: &str, payload: &Payload, ctx: &mut Context<'_>) -> Reply {
        if event == BROADCAST {
            ctx.broadcast_on(&self.everybody, event, payload.clone());
            return Reply::NoReply;
        }
        let to = ctx.request_ref().reference.and_then(|to| Realm::Hello.topic(&to).ok());
        to.map_or(Reply::NoReply, |to| ctx.send_to(to, event, payload.clone()))
    }

    /// The sender is not told, as in the original.
    fn handle_delivery(&mut self, signal: Signal, verdict: DeliveryStatus, ctx: &mut Context<'_>) {
        if verdict != DeliveryStatus::Delivered {
            log::debug!("{}: said to {:?}, {verdict:?}", ctx.connection(), signal.to.as_str());
        }
    }
}
