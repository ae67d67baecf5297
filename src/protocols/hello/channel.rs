//! The channels of HelloWebRTC names. The last client that used a name owns it, receives the messages to the name and the
//! broadcasts to all names, and sends its own.

use std::sync::Arc;

use super::binary;
use super::message::{BROADCAST, LIST};
use super::recent_names::RecentNames;
use crate::channels::channel::Channel;
use crate::channels::context::Context;
use crate::channels::reply::{Join, LimitError, Reply, TerminateReason};
use crate::message::{DeliveryStatus, Payload, Proof, Signal};
use crate::topic::{Realm, Topic};

/// The topic that all names of the JSON dialects subscribe to.
const JSON_TOPIC: &str = "everybody";
/// The topic that all names of the binary dialect subscribe to.
const BINARY_TOPIC: &str = "everybody-binary";
/// All clients present the same proof, so each can take over any name, as in the original.
const SHARED_PROOF: Proof = [0; 32];

/// One name of one client.
pub(super) struct HelloChannel {
    common_topic: Topic,
}

impl HelloChannel {
    /// A name of the JSON dialects.
    pub(super) fn new() -> Self {
        Self::of(JSON_TOPIC)
    }

    fn of(common_topic: &str) -> Self {
        Self { common_topic: Topic::of(Realm::Hello.prefix(), common_topic) }
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

/// One name of one client in the binary dialect. Such clients can list each other.
pub(super) struct BinaryChannel {
    name: HelloChannel,
    recent_names: Arc<RecentNames>,
}

impl BinaryChannel {
    pub(super) fn new(recent_names: Arc<RecentNames>) -> Self {
        Self { name: HelloChannel::of(BINARY_TOPIC), recent_names }
    }
}

impl Channel for BinaryChannel {
    fn join(&mut self, payload: &Payload, ctx: &mut Context<'_>) -> Join {
        self.name.join(payload, ctx)
    }

    fn after_join(&mut self, ctx: &mut Context<'_>) {
        self.recent_names.add(ctx.topic(), ctx.connection());
    }

    fn handle_in(&mut self, event: &str, payload: &Payload, ctx: &mut Context<'_>) -> Reply {
        self.recent_names.add(ctx.topic(), ctx.connection());
        if event == LIST {
            let list = binary::list(ctx.topic(), &self.recent_names.names());
            ctx.push(LIST, list);
            return Reply::NoReply;
        }
        self.name.handle_in(event, payload, ctx)
    }

    fn handle_delivery(&mut self, signal: Signal, status: DeliveryStatus, ctx: &mut Context<'_>) {
        self.name.handle_delivery(signal, status, ctx);
    }

    fn terminate(&mut self, _: TerminateReason, ctx: &mut Context<'_>) {
        self.recent_names.remove(ctx.topic(), ctx.connection());
    }
}
