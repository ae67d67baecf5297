//! The errors of Engine.IO's HTTP requests, and their responses: a status, with a code and a message in the body.

use actix_web::{HttpResponse, HttpResponseBuilder};

use crate::http::acceptor::Acceptor;
use crate::http::connect_error::ConnectError;
use crate::refusal::ConnectRefusal;

/// Why a request is rejected.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum EngineError {
    UnknownTransport,
    UnknownSession,
    BadHandshakeMethod,
    /// A WebSocket upgrade without the required headers.
    BadUpgrade,
    BadRequest,
    UnsupportedVersion,
    /// The body is larger than the mount's limit.
    TooLarge,
    /// The node has no memory left for the body.
    Overloaded,
    /// The mount refuses the connection.
    Refused(ConnectError),
}

impl From<ConnectError> for EngineError {
    fn from(error: ConnectError) -> Self {
        Self::Refused(error)
    }
}

impl EngineError {
    /// The reason under which the error is counted as a refused connection. None for a request of an open session, and
    /// for a refusal of the mount, which has a reason of its own.
    fn refusal(&self) -> Option<ConnectRefusal> {
        match self {
            Self::UnknownTransport | Self::BadHandshakeMethod => Some(ConnectRefusal::Request),
            Self::BadUpgrade => Some(ConnectRefusal::Upgrade),
            Self::UnsupportedVersion => Some(ConnectRefusal::Version),
            Self::UnknownSession => Some(ConnectRefusal::Session),
            Self::Refused(_) | Self::BadRequest | Self::TooLarge | Self::Overloaded => None,
        }
    }

    pub(super) fn response(self, acceptor: &Acceptor) -> HttpResponse {
        match (&self, self.refusal()) {
            (Self::Refused(error), _) => acceptor.count_refusal(error),
            (_, Some(reason)) => acceptor.count_refused(reason),
            _ => {}
        }
        match self {
            Self::UnknownTransport => bad_request(0, "Transport unknown"),
            Self::UnknownSession => bad_request(1, "Session ID unknown"),
            Self::BadHandshakeMethod => bad_request(2, "Bad handshake method"),
            Self::BadRequest | Self::BadUpgrade => bad_request(3, "Bad request"),
            Self::UnsupportedVersion => bad_request(5, "Unsupported protocol version"),
            Self::TooLarge => HttpResponse::PayloadTooLarge().finish(),
            Self::Overloaded => HttpResponse::ServiceUnavailable().finish(),
            Self::Refused(error) => {
                let message = if error.body.is_empty() { "Forbidden" } else { &error.body };
                with_code(error.response(), 4, message)
            }
        }
    }
}

fn bad_request(code: u8, message: &str) -> HttpResponse {
    with_code(HttpResponse::BadRequest(), code, message)
}

fn with_code(mut response: HttpResponseBuilder, code: u8, message: &str) -> HttpResponse {
    let body = format!(r#"{{"code":{code},"message":{}}}"#, serde_json::Value::from(message));
    response.content_type("application/json").body(body)
}
