//! What a PeerJS id does: it is its owner's alone, and passes on what its owner says to others.

use std::collections::HashMap;
use std::time::Duration;

use sha2::{Digest, Sha256};

use super::{EXPIRE, LEAVE};
use crate::channels::channel::Channel;
use crate::channels::context::Context;
use crate::channels::reply::{Join, Reply, delivery_reply};
use crate::message::{DeliveryStatus, Payload, Signal};
use crate::topic::{Realm, Topic};

/// One client's id.
pub(crate) struct PeerJsChannel {
    /// For how long what it says waits for one who is absent.
    patience: Duration,
    /// How much of what it said to whom has no verdict yet.
    open: HashMap<Topic, u32>,
}

#[derive(serde::Deserialize)]
struct JoinParams {
    token: String,
}

impl PeerJsChannel {
    pub(crate) fn new(patience: Duration) -> Self {
        Self { patience, open: HashMap::new() }
    }
}

impl Channel for PeerJsChannel {
    fn join(&mut self, payload: &Payload, _: &mut Context<'_>) -> Join {
        let Ok(wish) = payload.parse::<JoinParams>() else { return Join::refuse("invalid payload") };
        Join::ok().claim(Some(Sha256::digest(wish.token.as_bytes()).into()))
    }

    /// The mark of the request is whom it is for.
    fn handle_in(&mut self, event: &str, payload: &Payload, ctx: &mut Context<'_>) -> Reply {
        let to = ctx.ticket().reference.and_then(|dst| Realm::PeerJs.topic(&dst).ok());
        let Some(to) = to else { return Reply::None };
        let reply = match event {
            LEAVE | EXPIRE => ctx.signal(to.clone(), event, payload.clone()),
            _ => ctx.signal_or_hold(to.clone(), event, payload.clone(), self.patience),
        };
        if reply == Reply::None {
            *self.open.entry(to).or_default() += 1;
        }
        reply
    }

    /// Of all that waited for one peer, the last tells that it was in vain: once, and not for each.
    fn handle_verdict(&mut self, signal: Signal, verdict: DeliveryStatus, ctx: &mut Context<'_>) {
        let Some(open) = self.open.get_mut(&signal.to) else { return };
        *open -= 1;
        if *open > 0 {
            return;
        }
        self.open.remove(&signal.to);
        if signal.hold.is_some() {
            ctx.reply(signal.ticket, delivery_reply(verdict));
        }
    }
}
