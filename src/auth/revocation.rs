//! [`Revocation`]: which tokens are revoked.

use serde::{Deserialize, Serialize};

/// Which tokens are revoked.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RevokedTokens {
    /// All of a subject: their `sub`.
    Subject(String),
    /// One: its `jti`.
    TokenId(String),
}

impl RevokedTokens {
    /// The subject or the id.
    #[must_use]
    pub fn text(&self) -> &str {
        match self {
            Self::Subject(text) | Self::TokenId(text) => text,
        }
    }
}

/// The revocation of tokens.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Revocation {
    /// The tokens.
    #[serde(flatten)]
    pub tokens: RevokedTokens,
    /// Those that were issued before (`iat`, in seconds since 1970) are revoked.
    pub before: u64,
    /// When they were revoked, in seconds since 1970.
    pub at: u64,
}

/// A part of a node's revocations, in the order of their [`RevokedTokens`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RevocationsPage {
    /// The revocations.
    pub revocations: Vec<Revocation>,
    /// Whether there are no further ones.
    pub is_last: bool,
}

impl RevocationsPage {
    /// The page of a node that has revoked nothing.
    pub(crate) const EMPTY: Self = Self { revocations: Vec::new(), is_last: true };
}
