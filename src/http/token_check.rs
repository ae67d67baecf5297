//! [`TokenCheck`]: checks the tokens of a mount's clients when they connect, if the mount and the configuration ask for
//! it. The tokens themselves are in [`auth`](crate::auth); which part of a request holds one is up to each protocol.

use std::sync::Arc;

use actix_web::HttpRequest;
use actix_web::http::header;

use crate::auth::{Access, JoinTokens, LaterTokens, SubjectSlot, Tokens};
use crate::channels::assigns::Assigns;
use crate::connections::connection::Connection;
use crate::refusal::TokenRefusal;

/// The token of a client that connects, if it has one, and what follows if it has none.
#[derive(Clone, Debug, Default)]
pub(crate) struct OfferedToken {
    text: Option<String>,
    /// Whether the client may send its token with each join instead.
    may_be_at_join: bool,
    /// Whether a client without a token sends a random text.
    may_be_random: bool,
}

impl OfferedToken {
    /// A token that is checked before the client is admitted.
    pub(crate) fn new(token: Option<&str>) -> Self {
        Self { text: token.filter(|token| !token.is_empty()).map(str::to_owned), ..Self::default() }
    }

    /// A token of a protocol in which a client without one sends a random text.
    pub(crate) fn or_random(token: &str) -> Self {
        Self { may_be_random: true, ..Self::new(Some(token)) }
    }

    /// A token that the client may also send with each join: without a valid one, its joins need it.
    pub(crate) fn or_at_join(token: Option<&str>) -> Self {
        Self { may_be_at_join: true, ..Self::new(token) }
    }
}

/// What has become of a client's token. Both are empty if tokens are not checked.
#[derive(Default)]
pub(crate) struct CheckedToken {
    /// What the token permits, if there is one, and the place of the client's socket.
    admitted: Option<(Access, SubjectSlot)>,
    later: Option<LaterTokens>,
}

impl CheckedToken {
    /// What the token permits, if there is one.
    pub(super) fn access(&self) -> Option<Access> {
        self.admitted.as_ref().map(|(access, _)| access.clone())
    }

    /// Puts it into the assigns of the client's socket. The token ends the connection when it expires or is revoked.
    pub(super) fn apply(self, assigns: &mut Assigns, connection: &Connection) {
        if let Some((access, place)) = self.admitted {
            connection.set_access(access.clone(), Some(place));
            assigns.insert(access);
        }
        if let Some(later) = self.later {
            assigns.insert(later);
        }
    }
}

/// Checks tokens, if the clients need one or may have one.
pub(crate) struct TokenCheck(Option<Arc<Tokens>>);

impl TokenCheck {
    pub(super) fn new(tokens: Option<Arc<Tokens>>) -> Self {
        Self(tokens)
    }

    /// Whether there is anything to check.
    pub(super) fn is_on(&self) -> bool {
        self.0.is_some()
    }

    /// Checks the token of a client.
    pub(super) fn check(&self, offered: &OfferedToken) -> Result<CheckedToken, TokenRefusal> {
        let Some(tokens) = &self.0 else { return Ok(CheckedToken::default()) };
        let is_random = |text: &&String| offered.may_be_random && !tokens.are_required() && !text.contains('.');
        let checked = match offered.text.as_ref().filter(|text| !is_random(text)) {
            Some(token) => tokens.admit(token).map(Some),
            None if tokens.are_required() => Err(TokenRefusal::Missing),
            None => Ok(None),
        };
        let (admitted, joins) = match (checked, offered.may_be_at_join) {
            (Ok(admitted), false) => (admitted, JoinTokens::Ignored),
            (Ok(admitted), true) => (admitted, JoinTokens::Optional),
            (Err(refusal), true) => (None, JoinTokens::Required(refusal)),
            (Err(refusal), false) => return Err(refusal),
        };
        Ok(CheckedToken { admitted, later: Some(LaterTokens::new(tokens.clone(), joins)) })
    }
}

/// The token of a request: the param `token`, or else the header `Authorization: Bearer`.
pub(crate) fn token_of<'a>(request: &'a HttpRequest, params: &'a [(String, String)]) -> Option<&'a str> {
    let bearer = || {
        let value = request.headers().get(header::AUTHORIZATION)?.to_str().ok()?;
        let (scheme, token) = value.split_once(' ')?;
        scheme.eq_ignore_ascii_case("bearer").then(|| token.trim())
    };
    token_param(params).or_else(bearer)
}

/// The option `authToken` of a client, or else its param `token`.
pub(crate) fn auth_token_or_param<'a>(auth_token: Option<&'a str>, params: &'a [(String, String)]) -> Option<&'a str> {
    auth_token.or_else(|| token_param(params))
}

/// The first param `token`. Long-polling clients of Phoenix add the token of their session behind it.
fn token_param(params: &[(String, String)]) -> Option<&str> {
    params.iter().find(|(name, _)| name == "token").map(|(_, token)| &**token)
}
