//! [`Access`]: what the token of a connected client permits, and until when.

use std::fmt;
use std::ops::Deref;
use std::sync::Arc;
use std::time::{Duration, Instant};

use sha2::{Digest, Sha256};

use super::claims::Claims;
use super::grants::Grants;
use super::revocations::{Revocations, TokenIdentity};
use super::subjects::Owner;

/// The accepted token of a client: its subject, its [`Grants`], and when it expires. A mount that
/// [checks tokens](crate::Mount::check_tokens) puts it into the [assigns](crate::channels::Assigns) of the socket, where
/// channels find it. Cloning copies a pointer.
#[derive(Clone)]
pub struct Access(Arc<Inner>);

#[derive(Clone)]
struct Inner {
    subject: String,
    owner: Owner,
    /// Its `jti`.
    id: Option<String>,
    /// Its `iat`, or 0.
    issued_at: u64,
    grants: Grants,
    revocations: Arc<Revocations>,
    /// When the token expires, without leeway.
    expires: Instant,
    /// When the client is disconnected.
    ends: Instant,
    /// Its `exp`, in seconds since 1970.
    exp: u64,
}

impl Access {
    /// The access of a token that was checked at `now`. A session lasts no longer than `max_session`.
    pub(super) fn new(claims: Claims, max_session: Duration, revocations: Arc<Revocations>, now: Instant) -> Self {
        let Claims { subject, issuer, id, issued_at, exp, time_left, time_until_end, grants } = claims;
        Self(Arc::new(Inner {
            owner: owner(&issuer.unwrap_or_default(), &subject),
            subject,
            id,
            issued_at,
            grants,
            revocations,
            expires: now + time_left.min(max_session),
            ends: now + time_until_end.min(max_session),
            exp,
        }))
    }

    /// The token's `sub`.
    #[must_use]
    pub fn subject(&self) -> &str {
        &self.0.subject
    }

    /// The time until the token expires, or until `auth.max_session` is over.
    #[must_use]
    pub fn expires_in(&self, now: Instant) -> Duration {
        self.0.expires.saturating_duration_since(now)
    }

    /// When the client is disconnected: at the token's `exp` and the leeway, or when `auth.max_session` is over.
    pub(crate) fn ends(&self) -> Instant {
        self.0.ends
    }

    /// The SHA-256 of issuer and subject. It proves on another connection, with another token, that an id has the same
    /// owner.
    pub(crate) fn owner(&self) -> Owner {
        self.0.owner
    }

    /// What the token permits.
    pub(crate) fn grants(&self) -> &Grants {
        &self.0.grants
    }

    /// The access of a connection that had `known` before. A token that is not valid for longer, such as the same one again,
    /// does not begin another `auth.max_session`.
    pub(super) fn after(self, known: &Self) -> Self {
        if self.0.exp > known.0.exp || self.0.ends <= known.0.ends {
            return self;
        }
        let Inner { expires, ends, .. } = *known.0;
        Self(Arc::new(Inner { expires, ends, ..(*self.0).clone() }))
    }

    /// Whether the token was revoked.
    pub(crate) fn is_revoked(&self) -> bool {
        let Inner { subject, id, issued_at, revocations, .. } = &*self.0;
        revocations.cover(TokenIdentity { subject, id: id.as_deref(), issued_at: *issued_at })
    }

    /// How long the credentials of TURN servers may be valid: as long as the token at most, and not at all without the
    /// grant.
    pub(crate) fn turn_time(&self, now: Instant) -> Duration {
        if self.has_turn() { self.expires_in(now) } else { Duration::ZERO }
    }
}

/// The proof of an owner. No client's secret has the same hash: the label makes it longer than a secret may be.
fn owner(issuer: &str, subject: &str) -> Owner {
    const LABEL: &[u8] = b"handclasp: the owner of a name is the subject of this issuer and name, as its token says: ";
    // the length separates the issuer from the subject
    let length = (issuer.len() as u64).to_le_bytes();
    Sha256::new().chain_update(LABEL).chain_update(length).chain_update(issuer).chain_update(subject).finalize().into()
}

impl Deref for Access {
    type Target = Grants;

    fn deref(&self) -> &Grants {
        &self.0.grants
    }
}

impl fmt::Debug for Access {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Access")
            .field("subject", &self.0.subject)
            .field("grants", &self.0.grants)
            .finish_non_exhaustive()
    }
}
