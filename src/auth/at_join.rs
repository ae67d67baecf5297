//! [`TokenAtJoin`]: checks the token of a client that sends it with its join, after it has connected.

use std::fmt;
use std::sync::Arc;

use super::access::Access;
use super::tokens::Tokens;
use crate::refusal::{NOT_ALLOWED, TokenRefusal};

/// In the assigns of a client whose protocol sends the token with each join. Cloning copies a pointer.
#[derive(Clone)]
pub(crate) struct TokenAtJoin {
    tokens: Arc<Tokens>,
    /// The refusal of a join without a token, while the client has no access.
    refusal: TokenRefusal,
}

impl TokenAtJoin {
    pub(crate) fn new(tokens: Arc<Tokens>, refusal: TokenRefusal) -> Self {
        Self { tokens, refusal }
    }

    /// Checks a join with this token, of a client that has the access `known`. Returns the access that it has gained. A
    /// connection belongs to one subject, and keeps the access that it had first.
    ///
    /// # Errors
    /// The reason for which the join is refused.
    pub(crate) fn check(&self, token: Option<&str>, known: Option<&Access>) -> Result<Option<Access>, &'static str> {
        let Some(token) = token else {
            return if known.is_some() { Ok(None) } else { Err(self.refusal.text()) };
        };
        let access = self.tokens.check(token).map_err(|error| error.refusal.text())?;
        match known {
            None => Ok(Some(access)),
            Some(known) if known.owner() == access.owner() => Ok(None),
            Some(_) => Err(NOT_ALLOWED),
        }
    }
}

impl fmt::Debug for TokenAtJoin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TokenAtJoin").field("refusal", &self.refusal).finish_non_exhaustive()
    }
}
