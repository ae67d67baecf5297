//! `POST /v1/revoke`: revokes tokens on all nodes, and disconnects the clients that have one.

use std::sync::Arc;
use std::time::Duration;

use actix_web::http::StatusCode;
use serde::Deserialize;

use crate::api::answer::{Answer, ApiError};
use crate::api::ask::{AllAnswers, ask_all};
use crate::api::call::Call;
use crate::api::disconnect::Disconnected;
use crate::api::state::Api;
use crate::auth::{MAX_ID, Revocation, RevokedTokens};
use crate::broker::adapter::{self, Question};
use crate::json::present;
use crate::wall_clock::since_1970;

/// The last second of the year 9999, since 1970.
const LATEST: f64 = 253_402_300_799.0;

/// The body of the request.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Revoke {
    #[serde(default, deserialize_with = "present")]
    subject: Option<String>,
    #[serde(default, deserialize_with = "present")]
    token_id: Option<String>,
    #[serde(default, deserialize_with = "present")]
    before: Option<f64>,
}

/// `POST /v1/revoke`.
pub(super) async fn revoke(api: Arc<Api>, call: Call) -> Result<Answer, ApiError> {
    call.parse::<Revoke>()?.run(&api, &call.key).await.map(|disconnected| Answer::ok(&disconnected))
}

impl Revoke {
    /// Whether it names one kind of tokens.
    pub(super) fn check(&self) -> Result<(), ApiError> {
        match self.subject.is_some() != self.token_id.is_some() {
            true => Ok(()),
            false => Err(ApiError::malformed("expected one of `subject`, `token_id`")),
        }
    }

    pub(super) async fn run(self, api: &Api, key: &str) -> Result<Disconnected, ApiError> {
        self.check()?;
        if api.node.tokens.is_none() {
            return Err(ApiError::invalid("auth.mode is off"));
        }
        let revocation = self.revocation(api.node.config.auth.leeway)?;
        let answers = ask_all(api, Question::Revoke(revocation)).await?;
        let disconnected = Disconnected::of(all_revoked(answers)?);
        log::info!("{key} of the API has revoked tokens");
        Ok(disconnected)
    }

    /// Without `before`, all tokens that were signed until now: `iat` is in whole seconds, and one that was signed in this
    /// second is meant, too. Tokens by a clock that is ahead by up to `auth.leeway` can be revoked by a later `before`.
    fn revocation(self, leeway: Duration) -> Result<Revocation, ApiError> {
        let at = since_1970().as_secs();
        let (text, tokens): (_, fn(String) -> RevokedTokens) = match (self.subject, self.token_id) {
            (Some(subject), _) => (subject, RevokedTokens::Subject),
            (None, token_id) => (token_id.unwrap_or_default(), RevokedTokens::TokenId),
        };
        if !(1..=MAX_ID).contains(&text.len()) {
            return Err(ApiError::invalid("a subject or a token's id has 1 to 128 bytes"));
        }
        let latest = at + leeway.as_secs() + 1;
        let before = match self.before {
            None => at + 1,
            // a whole number may be written as `1.0`; one in milliseconds must not refuse a subject for ever
            Some(before) if before.fract() == 0.0 && (0.0..=LATEST).contains(&before) => (before as u64).min(latest),
            Some(_) => return Err(ApiError::invalid("before is not a whole number of seconds until the year 9999")),
        };
        Ok(Revocation { tokens: tokens(text), before, at })
    }
}

/// A node that could not revoke the tokens has not done what was asked for, and is not silent.
fn all_revoked(all: AllAnswers) -> Result<AllAnswers, ApiError> {
    let failed = all.answers.iter().find(|(_, answer)| *answer == adapter::Answer::Closed(None));
    match failed {
        None => Ok(all),
        Some((node, _)) => {
            let reason = format!("{node} cannot keep the revocation: its log says why");
            Err(ApiError::new(StatusCode::SERVICE_UNAVAILABLE, reason))
        }
    }
}
