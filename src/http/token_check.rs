//! [`TokenCheck`]: checks the tokens of a mount's clients when they connect, if the mount and the configuration ask for
//! it. The tokens themselves are in [`auth`](crate::auth); which part of a request holds one is up to each protocol.

use std::sync::Arc;

use actix_web::HttpRequest;
use actix_web::http::header;

use crate::auth::{Access, TokenAtJoin, Tokens};
use crate::channels::assigns::Assigns;
use crate::connections::connection::Connection;
use crate::refusal::TokenRefusal;

/// What has become of a client's token. Both are empty if no token is needed.
#[derive(Clone, Debug, Default)]
pub(crate) struct TokenStatus {
    /// What the token permits, if it was accepted.
    pub(crate) access: Option<Access>,
    /// Checks the tokens of the client's joins, if they may have some.
    at_join: Option<TokenAtJoin>,
}

impl TokenStatus {
    /// Puts it into the assigns of the client's socket. The token ends the connection when it expires.
    pub(super) fn apply(self, assigns: &mut Assigns, connection: &Connection) {
        if let Some(access) = self.access {
            connection.set_end(access.ends());
            assigns.insert(access);
        }
        if let Some(at_join) = self.at_join {
            assigns.insert(at_join);
        }
    }
}

/// Checks tokens, if the clients need one.
pub(crate) struct TokenCheck(Option<Arc<Tokens>>);

impl TokenCheck {
    pub(super) fn new(tokens: Option<Arc<Tokens>>) -> Self {
        Self(tokens)
    }

    /// Checks the token of a client.
    pub(crate) fn check(&self, token: Option<&str>) -> Result<TokenStatus, TokenRefusal> {
        let Some(tokens) = &self.0 else { return Ok(TokenStatus::default()) };
        let access = tokens.check(token.unwrap_or_default()).map_err(|error| error.refusal)?;
        Ok(TokenStatus { access: Some(access), at_join: None })
    }

    /// Checks the token of a client that may also send one with each join: without a valid one, its joins need it.
    pub(crate) fn check_or_at_join(&self, token: Option<&str>) -> TokenStatus {
        let Some(tokens) = &self.0 else { return TokenStatus::default() };
        let (access, refusal) = match tokens.check(token.unwrap_or_default()) {
            Ok(access) => (Some(access), TokenRefusal::Missing),
            Err(error) => (None, error.refusal),
        };
        TokenStatus { access, at_join: Some(TokenAtJoin::new(tokens.clone(), refusal)) }
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
