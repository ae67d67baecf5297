//! [`LaterTokens`]: checks the tokens that a client sends after it has connected: with a join, or to refresh the one that
//! it has.

use std::fmt;
use std::sync::Arc;

use super::access::Access;
use super::subjects::SubjectSlot;
use super::tokens::Tokens;
use crate::refusal::{NOT_ALLOWED, TokenRefusal};

/// In the assigns of each client whose tokens are checked. Cloning copies a pointer.
#[derive(Clone)]
pub(crate) struct LaterTokens {
    tokens: Arc<Tokens>,
    joins: JoinTokens,
}

/// Whether joins may have a token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum JoinTokens {
    /// The protocol sends none.
    Ignored,
    /// A join without a token is allowed.
    Optional,
    /// While the client has no access, a join without a token is refused with this reason.
    Required(TokenRefusal),
}

/// What a fresh token changes.
#[derive(Debug)]
pub(crate) enum Refreshed {
    /// Only when the connection ends.
    Renewed(Access),
    /// What the client may do: it has to connect again with this token.
    Changed(Access),
}

/// Why such a token is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum LaterRefusal {
    Token(TokenRefusal),
    /// It is for another subject than the one that the connection belongs to.
    OtherSubject,
}

impl LaterRefusal {
    /// The reason as clients receive it.
    pub(crate) const fn text(self) -> &'static str {
        match self {
            Self::Token(refusal) => refusal.text(),
            Self::OtherSubject => NOT_ALLOWED,
        }
    }
}

impl LaterTokens {
    pub(crate) fn new(tokens: Arc<Tokens>, joins: JoinTokens) -> Self {
        Self { tokens, joins }
    }

    /// Whether joins may have a token.
    pub(crate) fn are_in_joins(&self) -> bool {
        self.joins != JoinTokens::Ignored
    }

    /// Checks a join with this token, of a client that has the access `known`. Returns the access that it has gained, and
    /// the place of its socket. A connection belongs to one subject, and keeps the access that it had first.
    ///
    /// # Errors
    /// Why the join is refused.
    pub(crate) fn check_join(
        &self,
        token: Option<&str>,
        known: Option<&Access>,
    ) -> Result<Option<(Access, SubjectSlot)>, LaterRefusal> {
        let Some(token) = token else {
            return match self.joins {
                JoinTokens::Required(refusal) if known.is_none() => Err(LaterRefusal::Token(refusal)),
                _ => Ok(None),
            };
        };
        let Some(known) = known else {
            return self.tokens.admit(token).map(Some).map_err(LaterRefusal::Token);
        };
        match known.owner() == self.check(token)?.owner() {
            true => Ok(None),
            false => Err(LaterRefusal::OtherSubject),
        }
    }

    /// Checks a fresh token of a client that has the access `known`. It must be for the same subject.
    ///
    /// # Errors
    /// Why it is refused.
    pub(crate) fn refresh(&self, token: &str, known: Option<&Access>) -> Result<Refreshed, LaterRefusal> {
        let access = self.check(token)?;
        match known {
            None => Ok(Refreshed::Changed(access)),
            Some(known) if known.owner() != access.owner() => Err(LaterRefusal::OtherSubject),
            Some(known) if known.grants() != access.grants() => Ok(Refreshed::Changed(access)),
            Some(known) => Ok(Refreshed::Renewed(access.after(known))),
        }
    }

    fn check(&self, token: &str) -> Result<Access, LaterRefusal> {
        self.tokens.check(token).map_err(|error| LaterRefusal::Token(error.refusal))
    }
}

impl fmt::Debug for LaterTokens {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LaterTokens").field("joins", &self.joins).finish_non_exhaustive()
    }
}
