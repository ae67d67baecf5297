//! What a request is answered with: a status and a JSON text, for errors `{"reason": "..."}`.

use std::borrow::Cow;

use actix_web::http::{StatusCode, header};
use actix_web::{HttpResponse, HttpResponseBuilder};
use bytes::Bytes;
use serde::Serialize;

/// The answer to a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Answer {
    pub(super) status: StatusCode,
    /// JSON text.
    pub(super) body: Bytes,
    /// In how many seconds the request may be sent again.
    pub(super) retry_after: Option<u32>,
}

impl Answer {
    /// 200 with a value.
    pub(super) fn ok(value: &impl Serialize) -> Self {
        Self::with(StatusCode::OK, value)
    }

    pub(super) fn with(status: StatusCode, value: &impl Serialize) -> Self {
        let text = serde_json::to_vec(value).expect("an answer has no maps with keys that are not texts");
        Self { status, body: text.into(), retry_after: None }
    }

    /// The response, which no cache keeps and no browser takes for anything but JSON.
    pub(super) fn response(self) -> HttpResponse {
        let mut response = HttpResponseBuilder::new(self.status);
        response
            .content_type("application/json")
            .insert_header((header::CACHE_CONTROL, "no-store"))
            .insert_header((header::X_CONTENT_TYPE_OPTIONS, "nosniff"));
        if let Some(seconds) = self.retry_after {
            response.insert_header((header::RETRY_AFTER, seconds));
        }
        if self.status == StatusCode::UNAUTHORIZED {
            response.insert_header((header::WWW_AUTHENTICATE, "Bearer"));
        }
        response.body(self.body)
    }
}

/// Why a request, or one operation of a batch, is refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct ApiError {
    pub(super) status: StatusCode,
    pub(super) reason: Cow<'static, str>,
    pub(super) retry_after: Option<u32>,
}

/// The body of an error.
#[derive(Serialize)]
pub(super) struct Reason<'a> {
    pub(super) reason: &'a str,
}

impl ApiError {
    pub(super) fn new(status: StatusCode, reason: impl Into<Cow<'static, str>>) -> Self {
        Self { status, reason: reason.into(), retry_after: None }
    }

    /// The request is not what the route takes.
    pub(super) fn malformed(reason: impl Into<Cow<'static, str>>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, reason)
    }

    /// The request is what the route takes, but one of its values is not possible.
    pub(super) fn invalid(reason: impl Into<Cow<'static, str>>) -> Self {
        Self::new(StatusCode::UNPROCESSABLE_ENTITY, reason)
    }

    /// The key does not have the permission.
    pub(super) fn not_allowed() -> Self {
        Self::new(StatusCode::FORBIDDEN, "not allowed")
    }

    /// The node has no room for the request now.
    pub(super) fn overloaded() -> Self {
        Self { retry_after: Some(1), ..Self::new(StatusCode::SERVICE_UNAVAILABLE, "overloaded") }
    }

    /// The same request may be sent again after so many seconds.
    pub(super) fn too_many(reason: &'static str, retry_after: u32) -> Self {
        Self { retry_after: Some(retry_after), ..Self::new(StatusCode::TOO_MANY_REQUESTS, reason) }
    }
}

impl From<ApiError> for Answer {
    fn from(error: ApiError) -> Self {
        Self { retry_after: error.retry_after, ..Self::with(error.status, &Reason { reason: &error.reason }) }
    }
}
