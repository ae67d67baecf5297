//! Cross-origin requests (the Fetch standard's CORS): which pages may read an answer, and what a browser is
//! told that asks first.

use actix_web::http::header::{self, HeaderValue};
use actix_web::{HttpRequest, HttpResponse};

use crate::config::origin::Origins;
use crate::http::request::check_origin;

/// Whether a page's requests may bring what its browser has for us, as cookies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Credentials {
    Included,
    Omitted,
}

/// Lets the page that asks read the answer, if it may.
pub(crate) fn allow(
    mut answer: HttpResponse,
    request: &HttpRequest,
    origins: &Origins,
    credentials: Credentials,
) -> HttpResponse {
    let headers = answer.headers_mut();
    headers.append(header::VARY, HeaderValue::from_static("Origin"));
    if let Some(origin) = request.headers().get(header::ORIGIN)
        && check_origin(request.headers(), origins).is_ok()
    {
        headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, origin.clone());
        if credentials == Credentials::Included {
            headers.insert(header::ACCESS_CONTROL_ALLOW_CREDENTIALS, HeaderValue::from_static("true"));
        }
    }
    answer
}

/// Answers a browser that asks whether its page may send such a request; whether the page may, [`allow`] says.
pub(crate) fn preflight(request: &HttpRequest, methods: &'static str) -> HttpResponse {
    let mut answer = HttpResponse::NoContent();
    answer.insert_header((header::ACCESS_CONTROL_ALLOW_METHODS, methods));
    if let Some(wanted) = request.headers().get(header::ACCESS_CONTROL_REQUEST_HEADERS) {
        answer.insert_header((header::ACCESS_CONTROL_ALLOW_HEADERS, wanted.clone()));
        answer.append_header((header::VARY, "Access-Control-Request-Headers"));
    }
    answer.finish()
}
