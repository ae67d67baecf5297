//! [`Revocation`]: which tokens are revoked.

use serde::{Deserialize, Serialize};

/// Which tokens are revoked.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RevokedTokens {
    /// All of a subject: their `sub`.
    Subject(String),
    /// One: its `jti`.
    TokenId(String),
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
