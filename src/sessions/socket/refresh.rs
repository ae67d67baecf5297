//! How a client refreshes its token: by the event `access_token` on any topic that it has joined.

use serde::{Deserialize, Serialize};

use super::Socket;
use crate::auth::{LaterRefusal, LaterTokens, Refreshed};
use crate::close;
use crate::connections::token_bucket::RateVerdict;
use crate::message::{Payload, Ref, Status};
use crate::refusal::{PushRefusal, TokenRefusal};
use crate::topic::Topic;

/// So many refused tokens close a connection. A client of Socket.IO sends one with each namespace.
const MAX_REFUSED: u8 = 10;

/// The payload of the event. Socket.IO has a list of arguments.
#[derive(Deserialize)]
#[serde(untagged)]
enum FreshToken {
    Named(Named),
    Argument((String,)),
    NamedArgument((Named,)),
}

#[derive(Deserialize)]
struct Named {
    access_token: String,
}

impl FreshToken {
    fn into_text(self) -> String {
        match self {
            Self::Named(Named { access_token })
            | Self::Argument((access_token,))
            | Self::NamedArgument((Named { access_token },)) => access_token,
        }
    }
}

/// The reply.
#[derive(Serialize)]
struct Accepted {
    /// In how many seconds the token expires.
    expires_in: u64,
}

impl Socket {
    /// Whether the tokens of this client are checked.
    pub(super) fn checks_tokens(&self) -> bool {
        self.client.assigns.get::<LaterTokens>().is_some()
    }

    /// Checks a fresh token, and replies. One that grants something else closes the connection: the topics that the client
    /// has joined were granted by the token before.
    pub(super) fn refresh_token(
        &mut self,
        topic: &Topic,
        reply_ref: Option<Ref>,
        reference: Option<Ref>,
        payload: &Payload,
    ) {
        let (access, is_changed) = match self.check_fresh_token(payload) {
            Ok(Refreshed::Renewed(access)) => (access, false),
            Ok(Refreshed::Changed(access)) => (access, true),
            Err((why, reason)) => {
                self.count_refused_push(why);
                return self.reply(reply_ref, reference, topic, Status::Error, Payload::reason(reason));
            }
        };
        let expires_in = access.expires_in(self.client.now).as_secs();
        self.reply(reply_ref, reference, topic, Status::Ok, Payload::from(&Accepted { expires_in }));
        if is_changed {
            return self.close(&close::GRANTS_CHANGED);
        }
        self.client.connection.set_access(access.clone(), None);
        self.client.assigns.insert(access);
    }

    /// Counts a refused token. Forged tokens cost time to check, so several close the connection: after that, the limits of
    /// new connections apply.
    pub(super) fn count_refused_token(&mut self, refusal: LaterRefusal) {
        if refusal == LaterRefusal::Token(TokenRefusal::Missing) {
            return;
        }
        self.refused_tokens += 1;
        if self.refused_tokens == MAX_REFUSED {
            self.close(&close::TOKENS_REFUSED);
        }
    }

    /// A signature costs time to check, so fresh tokens count as joins.
    fn check_fresh_token(&mut self, payload: &Payload) -> Result<Refreshed, (PushRefusal, &'static str)> {
        let (now, clock) = (self.client.now, self.client.connection.clock());
        if self.join_rate.take(&self.settings.joins, now, clock) != RateVerdict::Allow {
            return Err((PushRefusal::RateLimited, "rate_limited"));
        }
        self.refresh_with(payload).map_err(|refusal| {
            self.count_refused_token(refusal);
            (PushRefusal::Token, refusal.text())
        })
    }

    fn refresh_with(&self, payload: &Payload) -> Result<Refreshed, LaterRefusal> {
        let refused = |refusal| Err(LaterRefusal::Token(refusal));
        let Ok(fresh) = payload.parse::<FreshToken>() else { return refused(TokenRefusal::Missing) };
        let assigns = &self.client.assigns;
        let Some(later) = assigns.get::<LaterTokens>() else { return refused(TokenRefusal::Invalid) };
        later.refresh(&fresh.into_text(), assigns.get())
    }
}
