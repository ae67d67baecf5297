//! [`Tokens`]: checks tokens with the keys and rules of `[auth]`, and signs them. A signature is checked by the crate
//! `jsonwebtoken`; the claims are checked here, because the crate compares `aud` and `iss` only where a token has them.

use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant};

use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use jsonwebtoken::crypto::CryptoProvider;
use jsonwebtoken::crypto::aws_lc::DEFAULT_PROVIDER;
use jsonwebtoken::{Algorithm, EncodingKey, Header, encode};
use serde::de::IgnoredAny;
use serde::{Deserialize, Serialize};

use super::access::Access;
use super::claims::{Claims, Expectations};
use super::error::{InvalidAuth, TokenError};
use super::grants::GrantLists;
use super::keys::Keys;
use super::keys_url::KeysUrl;
use super::revocations::Revocations;
use super::subjects::{SubjectSlot, Subjects};
use crate::config::schema::Auth;
use crate::json::present;
use crate::refusal::TokenRefusal;
use crate::wall_clock::since_1970;

/// The maximum size of a token, in bytes. A larger one is refused before anything of it is decoded.
const MAX_TOKEN: usize = 4_096;

/// A token to be signed.
#[derive(Clone, Debug)]
pub struct TokenRequest {
    /// Its `sub`.
    pub subject: String,
    /// How long it is valid.
    pub lifetime: Duration,
    /// Its claim `handclasp`. Without one, the token permits what any client may.
    pub grants: Option<GrantLists>,
}

/// The keys and rules of `[auth]`.
pub struct Tokens {
    keys: Keys,
    /// Signs, if there is a secret.
    signer: Option<EncodingKey>,
    expected: Expectations,
    max_session: Duration,
    /// Whether clients cannot connect without a token.
    are_required: bool,
    revocations: Arc<Revocations>,
    subjects: Arc<Subjects>,
    warnings: Vec<String>,
}

/// The members of a token's header that are read. `jku`, `x5u`, `jwk` and `x5c` would let a token choose its key.
#[derive(Deserialize)]
struct TokenHeader {
    alg: Algorithm,
    #[serde(default, deserialize_with = "present")]
    kid: Option<String>,
    #[serde(default, deserialize_with = "present")]
    crit: Option<IgnoredAny>,
}

#[derive(Serialize)]
struct NewClaims<'a> {
    sub: &'a str,
    aud: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    iss: Option<&'a str>,
    iat: u64,
    exp: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    handclasp: Option<&'a GrantLists>,
}

impl Tokens {
    /// Reads the keys of `[auth]`, whatever its mode. Those at a URL are read when
    /// [asked](Self::start_reading_keys).
    ///
    /// # Errors
    /// When the file of `auth.jwks` cannot be read, is not a JWK Set, or has no key that can be used.
    pub fn from_config(config: &Auth) -> Result<Self, InvalidAuth> {
        if CryptoProvider::try_get_default().is_none() {
            // the program has a second provider, and has not chosen; if it does so now, its choice counts
            let _ = DEFAULT_PROVIDER.install_default();
        }
        let (keys, warnings) = Keys::read(config)?;
        let signer = config.secrets.first().map(|secret| {
            EncodingKey::from_secret(secret.reveal()).expect("a secret of the configuration is not empty")
        });
        let Auth { audience, issuer, leeway, max_session, .. } = config.clone();
        Ok(Self {
            keys,
            signer,
            expected: Expectations { audience, issuer, leeway },
            max_session,
            are_required: config.is_required(),
            revocations: Arc::new(Revocations::new(max_session)),
            subjects: Subjects::new(config.sockets_per_subject),
            warnings,
        })
    }

    /// The keys of `auth.jwks` that cannot be used, a line each.
    #[must_use]
    pub fn warnings(&self) -> &[String] {
        &self.warnings
    }

    /// Reads the keys at the URL of `auth.jwks`, if it is one, and reads them again whenever `auth.jwks_refresh` is over. It
    /// waits for the first attempt.
    ///
    /// # Errors
    /// When the thread that reads them cannot start.
    pub fn start_reading_keys(&mut self, config: &Auth) -> Result<(), InvalidAuth> {
        self.keys.start_reading(config)
    }

    /// The age of the keys at the URL of `auth.jwks`, if it is one.
    pub(crate) fn keys_age(&self) -> Option<Duration> {
        self.keys.at_url().map(KeysUrl::age)
    }

    /// Why there are no keys at the URL of `auth.jwks`.
    #[must_use]
    pub fn keys_problem(&self) -> Option<String> {
        self.keys.at_url().and_then(KeysUrl::problem)
    }

    /// Reads the file of `auth.revocations`, if there is one, and keeps later revocations there.
    ///
    /// # Errors
    /// When the file cannot be used.
    pub(crate) fn open_revocations(&self, config: &Auth) -> Result<(), InvalidAuth> {
        let Some(path) = &config.revocations else { return Ok(()) };
        let named = |what: String| InvalidAuth(format!("auth.revocations: {}: {what}", path.display()));
        self.revocations.open_file(path.clone()).map_err(named)
    }

    /// Reads the file of `auth.revocations`, if it exists, and does not change it.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub fn read_revocations(&self, config: &Auth) -> Result<(), InvalidAuth> {
        let Some(path) = config.revocations.as_ref().filter(|path| path.exists()) else { return Ok(()) };
        let named = |what: String| InvalidAuth(format!("auth.revocations: {}: {what}", path.display()));
        self.revocations.read_file(path).map_err(named)
    }

    /// Whether no token can be checked.
    pub(crate) fn have_no_keys(&self) -> bool {
        self.keys.are_none()
    }

    /// The tokens that are revoked.
    pub(crate) fn revocations(&self) -> &Revocations {
        &self.revocations
    }

    /// Whether clients cannot connect without a token.
    pub(crate) fn are_required(&self) -> bool {
        self.are_required
    }

    /// Checks the token of a client that connects, and counts its socket while the returned place is kept.
    pub(crate) fn admit(&self, token: &str) -> Result<(Access, SubjectSlot), TokenRefusal> {
        let access = self.check(token).map_err(|error| error.refusal)?;
        let slot = self.subjects.admit(access.owner()).ok_or(TokenRefusal::TooManySockets)?;
        Ok((access, slot))
    }

    /// Checks a token.
    ///
    /// # Errors
    /// Why it is refused.
    pub fn check(&self, token: &str) -> Result<Access, TokenError> {
        self.check_at(token, since_1970(), Instant::now())
    }

    /// Checks a token at a time since 1970, which is the monotonic time `now`.
    pub(crate) fn check_at(&self, token: &str, unix_time: Duration, now: Instant) -> Result<Access, TokenError> {
        let invalid = |why| TokenError { refusal: TokenRefusal::Invalid, why };
        if token.is_empty() {
            return Err(TokenError { refusal: TokenRefusal::Missing, why: "there is none" });
        }
        if token.len() > MAX_TOKEN {
            return Err(invalid("it has more than 4,096 bytes"));
        }
        let parts = token.rsplit_once('.').and_then(|(message, signature)| {
            let (header, claims) = message.split_once('.')?;
            Some((message, decode(header)?, decode(claims)?, signature))
        });
        let (message, header, claims, signature) =
            parts.ok_or(invalid("it is not a JWT: three parts in base64url, with dots between them"))?;
        let header = serde_json::from_slice::<TokenHeader>(&header)
            .ok()
            .filter(|_| header.trim_ascii_start().starts_with(b"{"))
            .ok_or(invalid("its header has no known `alg`, or is malformed"))?;
        if header.crit.is_some() {
            return Err(invalid("its header has `crit`"));
        }
        self.keys.verify(header.kid.as_deref(), header.alg, message, signature)?;
        let claims = Claims::check(&claims, &self.expected, unix_time)?;
        let access = Access::new(claims, self.max_session, self.revocations.clone(), now);
        match access.is_revoked() {
            true => Err(TokenError { refusal: TokenRefusal::Revoked, why: "it was revoked" }),
            false => Ok(access),
        }
    }

    /// Signs a token with the first of `auth.secrets`.
    ///
    /// # Errors
    /// When there is no secret, or the token would be refused.
    pub fn sign(&self, request: &TokenRequest) -> Result<String, String> {
        let signer = self.signer.as_ref().ok_or("auth.secrets: empty, so there is no secret to sign with")?;
        let iat = since_1970().as_secs();
        let claims = NewClaims {
            sub: &request.subject,
            aud: &self.expected.audience,
            iss: self.expected.issuer.as_deref(),
            iat,
            exp: iat.saturating_add(request.lifetime.as_secs()),
            handclasp: request.grants.as_ref(),
        };
        let token = encode(&Header::new(Algorithm::HS256), &claims, signer).map_err(|error| error.to_string())?;
        self.check(&token).map_err(|error| error.to_string())?;
        Ok(token)
    }
}

impl fmt::Debug for Tokens {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tokens").field("expected", &self.expected).finish_non_exhaustive()
    }
}

/// The part of a token, decoded. Neither padding nor bits after the last byte are accepted.
fn decode(part: &str) -> Option<Vec<u8>> {
    BASE64_URL_SAFE_NO_PAD.decode(part).ok()
}

#[cfg(test)]
mod tests;
