//! The channel of a PeerJS id. Only the client that presents the id's token can join it; the channel forwards that
//! client's messages to other peers.

use std::collections::HashMap;
use std::time::Duration;

use sha2::{Digest, Sha256};

use super::{ANSWER, EXPIRE, LEAVE, OFFER};
use crate::auth::Access;
use crate::channels::channel::Channel;
use crate::channels::context::Context;
use crate::channels::reply::{Join, Reply};
use crate::message::{DeliveryStatus, Payload, Signal};
use crate::topic::{Realm, Topic};

/// The id of one client.
pub(crate) struct PeerJsChannel {
    /// How long a message waits for an absent recipient.
    hold_time: Duration,
    /// The messages to each peer whose delivery status is not known yet.
    in_flight: HashMap<Topic, InFlight>,
    /// What the client's token permits, if it needs one.
    access: Option<Access>,
}

/// Messages to one peer.
#[derive(Default)]
struct InFlight {
    count: u32,
    /// Whether one of those before them was held until it expired.
    has_expired: bool,
}

#[derive(serde::Deserialize)]
struct JoinParams {
    token: String,
}

impl PeerJsChannel {
    pub(crate) fn new(hold_time: Duration) -> Self {
        Self { hold_time, in_flight: HashMap::new(), access: None }
    }
}

impl Channel for PeerJsChannel {
    /// With tokens, the subject owns the id, whichever of its tokens it presents.
    fn join(&mut self, payload: &Payload, ctx: &mut Context<'_>) -> Join {
        let Ok(params) = payload.parse::<JoinParams>() else { return Join::error("invalid payload") };
        self.access = ctx.access().cloned();
        let of_token = || Sha256::digest(params.token.as_bytes()).into();
        Join::ok().exclusive(Some(self.access.as_ref().map_or_else(of_token, Access::owner)))
    }

    /// The `ref` of the request is the recipient's id. A `LEAVE` without one gives the client's own id up: others may
    /// take it, and the client goes on sending under it. The protocol has no refusal of a message, so an offer or answer
    /// that the token does not permit is answered as if the peer were absent.
    fn handle_in(&mut self, event: &str, payload: &Payload, ctx: &mut Context<'_>) -> Reply {
        let dst = ctx.request_ref().reference;
        if event == LEAVE && dst.is_none() {
            ctx.leave_topic();
        }
        let to = dst.and_then(|dst| Realm::PeerJs.topic(&dst).ok());
        let Some(to) = to else { return Reply::NoReply };
        if self.access.as_ref().is_some_and(|access| !access.may_signal(to.as_str())) {
            let is_told = event == OFFER || event == ANSWER;
            return if is_told { Reply::from(DeliveryStatus::Absent) } else { Reply::NoReply };
        }
        let reply = match event {
            LEAVE | EXPIRE => ctx.send_to(to.clone(), event, payload.clone()),
            _ => ctx.send_to_or_hold(to.clone(), event, payload.clone(), self.hold_time),
        };
        if reply == Reply::NoReply {
            self.in_flight.entry(to).or_default().count += 1;
        }
        reply
    }

    /// Replies once for all messages to one peer, when the last of them is settled: the client receives a single
    /// `EXPIRE` for an absent peer, as from PeerServer.
    fn handle_delivery(&mut self, signal: Signal, status: DeliveryStatus, ctx: &mut Context<'_>) {
        let Some(in_flight) = self.in_flight.get_mut(&signal.to) else { return };
        in_flight.count -= 1;
        in_flight.has_expired |= signal.hold_time().is_some() && status == DeliveryStatus::Absent;
        if in_flight.count > 0 {
            return;
        }
        let has_expired = in_flight.has_expired;
        self.in_flight.remove(&signal.to);
        if has_expired {
            ctx.reply(signal.request, Reply::from(DeliveryStatus::Absent));
        }
    }
}
