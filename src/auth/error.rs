//! Why keys cannot be used, and why a token is refused.

use std::fmt;

use crate::refusal::TokenRefusal;

/// Why the keys of `[auth]` cannot be used. It contains no key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InvalidAuth(pub(super) String);

impl fmt::Display for InvalidAuth {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for InvalidAuth {}

/// Why a token is refused. It contains nothing of the token. Clients are told the reason alone; `Display` has the
/// details, for the operator.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TokenError {
    /// The reason.
    pub(crate) refusal: TokenRefusal,
    pub(super) why: &'static str,
}

impl fmt::Display for TokenError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.refusal.text(), self.why)
    }
}

impl std::error::Error for TokenError {}
