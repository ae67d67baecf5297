//! What a request is answered that Engine.IO does not let through: a status, and a code with words.

use actix_web::HttpResponse;
use actix_web::http::{StatusCode, header};

use crate::door::Door;
use crate::mount::Refusal;

/// What is wrong with a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Fault {
    UnknownTransport,
    UnknownSession,
    BadHandshakeMethod,
    BadRequest,
    UnsupportedVersion,
    /// The body is larger than the mount lets pass.
    TooLarge,
    /// The mount does not let the client in.
    Refused(Refusal),
}

impl From<Refusal> for Fault {
    fn from(refusal: Refusal) -> Self {
        Self::Refused(refusal)
    }
}

impl Fault {
    pub(super) fn response(self, door: &Door) -> HttpResponse {
        match self {
            Self::UnknownTransport => bad(0, "Transport unknown"),
            Self::UnknownSession => bad(1, "Session ID unknown"),
            Self::BadHandshakeMethod => bad(2, "Bad handshake method"),
            Self::BadRequest => bad(3, "Bad request"),
            Self::UnsupportedVersion => bad(5, "Unsupported protocol version"),
            Self::TooLarge => HttpResponse::PayloadTooLarge().finish(),
            Self::Refused(refusal) => {
                door.turn_away(&refusal);
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
