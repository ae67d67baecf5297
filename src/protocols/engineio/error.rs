//! What a request is answered that Engine.IO does not let through: a status, and a code with words.

use actix_web::HttpResponse;
use actix_web::http::{StatusCode, header};

use crate::http::acceptor::Acceptor;
use crate::http::mount::ConnectError;
use crate::refusal::ConnectRefusal;

/// What is wrong with a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum EngineError {
    UnknownTransport,
    UnknownSession,
    BadHandshakeMethod,
    /// An upgrade without the headers of one.
    BadUpgrade,
    BadRequest,
    UnsupportedVersion,
    /// The body is larger than the mount lets pass.
    TooLarge,
    /// The mount does not let the client in.
    Refused(ConnectError),
}

impl From<ConnectError> for EngineError {
    fn from(refusal: ConnectError) -> Self {
        Self::Refused(refusal)
    }
}

impl EngineError {
    /// Under which reason it is counted that no session begins, where it is for one to begin.
    fn refusal(&self) -> Option<ConnectRefusal> {
        match self {
            Self::UnknownTransport | Self::BadHandshakeMethod => Some(ConnectRefusal::Request),
            Self::BadUpgrade => Some(ConnectRefusal::Upgrade),
            Self::UnsupportedVersion => Some(ConnectRefusal::Version),
            Self::UnknownSession => Some(ConnectRefusal::Session),
            Self::Refused(refusal) => Some(refusal.reason),
            Self::BadRequest | Self::TooLarge => None,
        }
    }

    pub(super) fn response(self, acceptor: &Acceptor) -> HttpResponse {
        if let Some(reason) = self.refusal() {
            acceptor.count_refused(reason);
        }
        match self {
            Self::UnknownTransport => bad(0, "Transport unknown"),
            Self::UnknownSession => bad(1, "Session ID unknown"),
            Self::BadHandshakeMethod => bad(2, "Bad handshake method"),
            Self::BadRequest | Self::BadUpgrade => bad(3, "Bad request"),
            Self::UnsupportedVersion => bad(5, "Unsupported protocol version"),
            Self::TooLarge => HttpResponse::PayloadTooLarge().finish(),
            Self::Refused(refusal) => {
                let words = if refusal.body.is_empty() { "Forbidden" } else { &refusal.body };
                with_code(refusal.status, 4, words)
            }
        }
    }
}

fn bad(code: u8, words: &str) -> HttpResponse {
    with_code(StatusCode::BAD_REQUEST, code, words)
}

fn with_code(status: StatusCode, code: u8, words: &str) -> HttpResponse {
    let body = format!(r#"{{"code":{code},"message":{}}}"#, serde_json::Value::from(words));
    HttpResponse::build(status)
        .content_type("application/json")
        .insert_header((header::CACHE_CONTROL, "no-store"))
        .body(body)
}
