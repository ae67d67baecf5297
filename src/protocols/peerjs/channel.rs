//! What a PeerJS id does: it is its owner's alone, and passes on what its owner says to others.

use std::collections::HashMap;
use std::time::Duration;

use sha2::{Digest, Sha256};

use super::{EXPIRE, LEAVE};
use crate::channels::channel::Channel;
use crate::channels::context::Context;
use crate::channels::reply::{Join, Reply};
use crate::message::{DeliveryStatus, Payload, Signal};
use crate::topic::{Realm, Topic};

/// One client's id.
pub(crate) struct PeerJsChannel {
    /// For how long what it says waits for one who is absent.
    hold_time: Duration,
    /// How much of what it said to whom has no verdict yet.
    open: HashMap<Topic, u32>,
}

#[derive(serde::Deserialize)]
struct JoinParams {
    token: String,
}

impl PeerJsChannel {
    pub(crate) fn new(hold_time: Duration) -> Self {
        Self { hold_time, open: HashMap::new() }
    }
}

impl Channel for PeerJsChannel {
    fn join(&mut self, payload: &Payload, _: &mut Context<'_>) -> Join {
        let Ok(params) = payload.parse::<JoinParams>() else { return Join::error("invalid payload") };
        Join::ok().exclusive(Some(Sha256::digest(params.token.as_bytes()).into()))
    }

    /// The mark of the request is whom it is for.
    fn handle_in(&mut self, event: &str, payload: &Payload, ctx: &mut Context<'_>) -> Reply {
        let to = ctx.request_ref().reference.and_then(|dst| Realm::PeerJs.topic(&dst).ok());
        let Some(to) = to else { return Reply::NoReply };
        let reply = match event {
            LEAVE | EXPIRE => ctx.send_to(to.clone(), event, payload.clone()),
            _ => ctx.send_to_or_hold(to.clone(), event, payload.clone(), self.hold_time),
        };
        if reply == Reply::NoReply {
            *self.open.entry(to).or_default() += 1;
        }
        reply
    }

    /// Of all that waited for one peer, the last tells that it was in vain: once, and not for each.
    fn handle_delivery(&mut self, signal: Signal, verdict: DeliveryStatus, ctx: &mut Context<'_>) {
        let Some(open) = self.open.get_mut(&signal.to) else { return };
        *open -= 1;
        if *open > 0 {
            return;
        }
        self.open.remove(&signal.to);
        if signal.hold.is_some() {
            ctx.reply(signal.request, Reply::from(verdict));
        }
    }
}
