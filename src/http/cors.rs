//! Cross-origin requests (CORS, in the Fetch standard): the headers that let a page read a response, and the response
//! to a preflight request. Which origins are allowed is in [`origin`](crate::config::origin).

use actix_web::http::header::{self, HeaderValue};
use actix_web::{HttpRequest, HttpResponse};

use crate::config::origin::Origins;
use crate::http::request::check_origin;

/// Whether a page's requests may include credentials, such as cookies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Credentials {
    Included,
    Omitted,
}

/// Adds the headers that let the requesting page read the response, if its origin is allowed.
pub(crate) fn allow(
    mut response: HttpResponse,
    request: &HttpRequest,
    origins: &Origins,
    credentials: Credentials,
) -> HttpResponse {
    let headers = response.headers_mut();
    headers.append(header::VARY, HeaderValue::from_static("Origin"));
    if let Some(origin) = request.headers().get(header::ORIGIN)
        && check_origin(request.headers(), origins).is_ok()
    {
        headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, origin.clone());
        if credentials == Credentials::Included {
            headers.insert(header::ACCESS_CONTROL_ALLOW_CREDENTIALS, HeaderValue::from_static("true"));
        }
    }
    response
}

/// The response to a preflight request. [`allow`] adds whether the page's origin is allowed.
pub(crate) fn preflight(request: &HttpRequest, methods: &'static str) -> HttpResponse {
    let mut response = HttpResponse::NoContent();
    response.insert_header((header::ACCESS_CONTROL_ALLOW_METHODS, methods));
    if let Some(requested) = request.headers().get(header::ACCESS_CONTROL_REQUEST_HEADERS) {
        response.insert_header((header::ACCESS_CONTROL_ALLOW_HEADERS, requested.clone()));
        response.append_header((header::VARY, "Access-Control-Request-Headers"));
    }
    response.finish()
}
