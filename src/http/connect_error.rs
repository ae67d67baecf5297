//! [`ConnectError`]: the refusal of a client that wants to connect, and its HTTP response.

use std::fmt;

use actix_web::http::{StatusCode, header};
use actix_web::{HttpResponse, HttpResponseBuilder};
use compact_str::CompactString;

use crate::refusal::{ConnectRefusal, TokenRefusal};

/// After how many seconds a client that a limit has refused may try again. The buckets of the limits refill all the time.
const RETRY_AFTER: &str = "1";

/// The refusal of a client: the response that it receives instead of the upgrade.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConnectError {
    pub(crate) status: StatusCode,
    pub(crate) body: CompactString,
    /// The reason under which the refusal is counted.
    pub(crate) reason: ConnectRefusal,
}

impl ConnectError {
    /// 403 with an empty body, as Phoenix responds.
    #[must_use]
    pub const fn forbidden() -> Self {
        Self { status: StatusCode::FORBIDDEN, body: CompactString::const_new(""), reason: ConnectRefusal::Mount }
    }

    /// A status from 400 to 599, and a plain-text body. A browser shows neither to the page that opens the WebSocket.
    #[must_use]
    pub fn new(status: StatusCode, body: impl Into<CompactString>) -> Self {
        Self { status, body: body.into(), reason: ConnectRefusal::Mount }
    }

    /// The mount's `connect` has panicked.
    pub(crate) fn crashed() -> Self {
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, "").with_reason(ConnectRefusal::Crash)
    }

    /// The node has no room for another connection.
    pub(crate) fn full() -> Self {
        Self::new(StatusCode::SERVICE_UNAVAILABLE, "this server is full").with_reason(ConnectRefusal::Full)
    }

    /// The status of the response, and for a limit per client IP when to try again. No cache stores it, because it
    /// depends on the client.
    pub(crate) fn response(&self) -> HttpResponseBuilder {
        let mut response = HttpResponse::build(self.status);
        response.insert_header((header::CACHE_CONTROL, "no-store"));
        if matches!(self.reason, ConnectRefusal::Address | ConnectRefusal::RateLimited) {
            response.insert_header((header::RETRY_AFTER, RETRY_AFTER));
        }
        response
    }

    /// The response with the body. It may show a value from the client, so no browser may take it for a page.
    pub(crate) fn text_response(&self) -> HttpResponse {
        let mut response = self.response();
        response.insert_header((header::X_CONTENT_TYPE_OPTIONS, "nosniff"));
        response.content_type("text/plain; charset=utf-8").body(self.body.to_string())
    }

    /// Sets the reason of a refusal that does not come from the mount's `connect`.
    pub(crate) fn with_reason(self, reason: ConnectRefusal) -> Self {
        Self { reason, ..self }
    }
}

impl From<TokenRefusal> for ConnectError {
    fn from(refusal: TokenRefusal) -> Self {
        let status = match refusal {
            TokenRefusal::TooManySockets => StatusCode::TOO_MANY_REQUESTS,
            _ => StatusCode::FORBIDDEN,
        };
        Self::new(status, refusal.text()).with_reason(refusal.into())
    }
}

impl fmt::Display for ConnectError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "refused with {}", self.status.as_u16())
    }
}

impl std::error::Error for ConnectError {}
