//! The claims of a token whose signature is right, and whether they hold at a given time.

use std::time::Duration;

use serde::Deserialize;
use serde_json::value::RawValue;

use super::error::TokenError;
use super::grants::{GrantLists, Grants};
use crate::json::present;
use crate::refusal::TokenRefusal;

/// The maximum length of `sub` and of `jti`, in bytes.
pub(crate) const MAX_ID: usize = 128;

/// What the claims must agree with.
#[derive(Clone, Debug)]
pub(super) struct Expectations {
    pub(super) audience: String,
    pub(super) issuer: Option<String>,
    pub(super) leeway: Duration,
}

/// The claims that are read. A claim that occurs twice is an error, and so is one that is `null`. All others are ignored.
#[derive(Deserialize)]
struct RawClaims<'a> {
    sub: String,
    exp: u64,
    aud: Audience,
    #[serde(default, deserialize_with = "present")]
    nbf: Option<u64>,
    #[serde(default, deserialize_with = "present")]
    iat: Option<u64>,
    #[serde(default, deserialize_with = "present")]
    iss: Option<String>,
    #[serde(default, deserialize_with = "present")]
    jti: Option<String>,
    #[serde(borrow, default, deserialize_with = "present")]
    handclasp: Option<&'a RawValue>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Audience {
    One(String),
    Several(Vec<String>),
}

impl Audience {
    fn contains(&self, audience: &str) -> bool {
        match self {
            Self::One(one) => one == audience,
            Self::Several(several) => several.iter().any(|one| one == audience),
        }
    }
}

/// The claims of an accepted token.
#[derive(Debug)]
pub(super) struct Claims {
    pub(super) subject: String,
    pub(super) issuer: Option<String>,
    /// Its `jti`.
    pub(super) id: Option<String>,
    /// Its `iat`, or 0.
    pub(super) issued_at: u64,
    /// Its `exp`.
    pub(super) exp: u64,
    /// The time until `exp`, at the time of the check. Zero within the leeway after it.
    pub(super) time_left: Duration,
    /// The time until the leeway after `exp` is over.
    pub(super) time_until_end: Duration,
    pub(super) grants: Grants,
}

impl Claims {
    /// Reads the claims, and checks them at `now`, the time since 1970.
    pub(super) fn check(json: &[u8], expected: &Expectations, now: Duration) -> Result<Self, TokenError> {
        let invalid = |why| TokenError { refusal: TokenRefusal::Invalid, why };
        let is_object = json.trim_ascii_start().starts_with(b"{");
        let raw = serde_json::from_slice::<RawClaims<'_>>(json).ok().filter(|_| is_object).ok_or(invalid(
            "the claims must be an object, each once: `sub` a text, `exp` (and `nbf`, `iat`) a whole number of seconds, \
             `aud` a text or a list",
        ))?;
        if !is_id(&raw.sub) {
            return Err(invalid("`sub` must have 1 to 128 bytes and no control characters"));
        }
        if raw.jti.as_ref().is_some_and(|jti| jti.len() > MAX_ID) {
            return Err(invalid("`jti` has more than 128 bytes"));
        }
        if !raw.aud.contains(&expected.audience) {
            return Err(invalid("`aud` does not contain auth.audience"));
        }
        if expected.issuer.is_some() && raw.iss != expected.issuer {
            return Err(invalid("`iss` is not auth.issuer"));
        }
        let grants = grants(raw.handclasp).map_err(invalid)?;
        let (exp, leeway) = (Duration::from_secs(raw.exp), expected.leeway);
        let end = exp.saturating_add(leeway);
        if now >= end {
            return Err(TokenError { refusal: TokenRefusal::Expired, why: "`exp` is over" });
        }
        let latest = now.saturating_add(leeway);
        let is_later = |time: Option<u64>| time.is_some_and(|time| Duration::from_secs(time) > latest);
        if is_later(raw.nbf) || is_later(raw.iat) {
            let why = "`nbf` or `iat` is in the future";
            return Err(TokenError { refusal: TokenRefusal::NotYetValid, why });
        }
        let (time_left, time_until_end) = (exp.saturating_sub(now), end.saturating_sub(now));
        let issued_at = raw.iat.unwrap_or_default();
        Ok(Self {
            subject: raw.sub,
            issuer: raw.iss,
            id: raw.jti,
            issued_at,
            exp: raw.exp,
            time_left,
            time_until_end,
            grants,
        })
    }
}

fn is_id(text: &str) -> bool {
    (1..=MAX_ID).contains(&text.len()) && !text.chars().any(char::is_control)
}

/// The grants of the claim `handclasp`.
fn grants(claim: Option<&RawValue>) -> Result<Grants, &'static str> {
    let Some(claim) = claim.map(RawValue::get) else { return Ok(Grants::ALL) };
    // serde also reads a JSON array as a struct
    let lists = serde_json::from_str::<GrantLists>(claim).ok().filter(|_| claim.starts_with('{'));
    Grants::new(lists.ok_or(
        "`handclasp` must be an object. It can have `peers`, `signal`, `join` and `publish`, which are lists of texts, an \
         object `info` and a boolean `turn`",
    )?)
}
