//! Cross-origin requests (the Fetch standard's CORS): which pages may read an answer, and what a browser is
//! told that asks first.

use actix_web::http::header;
use actix_web::{HttpRequest, HttpResponse, HttpResponseBuilder};

use crate::origin::Origins;

/// Adds to an answer what lets the page that asks read it, if it may.
pub(crate) fn allow(mut answer: HttpResponseBuilder, request: &HttpRequest, origins: &Origins) -> HttpResponseBuilder {
    let headers = request.headers();
    let Some(origin) = headers.get(header::ORIGIN) else { return answer };
    answer.insert_header((header::VARY, "Origin"));
    let host = headers.get(header::HOST).and_then(|host| host.to_str().ok());
    if origins.allows(headers.get_all(header::ORIGIN), host) {
        answer.insert_header((header::ACCESS_CONTROL_ALLOW_ORIGIN, origin.clone()));
    }
    answer
}

/// Answers a browser that asks whether its page may send such a request.
pub(crate) fn preflight(request: &HttpRequest, origins: &Origins, methods: &'static str) -> HttpResponse {
    let mut answer = allow(HttpResponse::NoContent(), request, origins);
    answer.insert_header((header::ACCESS_CONTROL_ALLOW_METHODS, methods));
    if let Some(wanted) = request.headers().get(header::ACCESS_CONTROL_REQUEST_HEADERS) {
        answer.insert_header((header::ACCESS_CONTROL_ALLOW_HEADERS, wanted.clone()));
        answer.append_header((header::VARY, "Access-Control-Request-Headers"));
    }
    answer.finish()
}
