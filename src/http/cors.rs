//! Who may read a response: pages of other origins (CORS, in the Fetch standard), and caches. Which origins are allowed
//! is in [`origin`](crate::config::origin).
//!
//! Each mount has a rule for the paths below it. A middleware applies it to all responses there, so that a page can
//! read errors too, whichever part of the node responds. No cache stores these responses, unless they say otherwise:
//! they belong to one client.

use actix_web::body::MessageBody;
use actix_web::dev::{ServiceRequest, ServiceResponse};
use actix_web::http::header::{self, HeaderMap, HeaderName, HeaderValue};
use actix_web::http::{Method, StatusCode};
use actix_web::middleware::Next;
use actix_web::{Error, FromRequest, Handler, HttpRequest, HttpResponse, Resource, Responder, web};

use crate::config::origin::Origins;
use crate::http::methods;
use crate::http::request::is_origin_allowed;

/// The pages that may read a response.
#[derive(Clone, Debug)]
pub(crate) enum Readers {
    /// All pages, without cookies. The response is the same for all origins.
    All,
    /// The pages of these origins. Their requests may include credentials, such as cookies.
    WithCredentials(Origins),
    /// The pages of these origins, without credentials.
    WithoutCredentials(Origins),
}

/// Who may read the responses at some paths.
pub(crate) struct CorsRule {
    covers: Box<dyn Fn(&str) -> bool + Send + Sync>,
    readers: Readers,
}

/// The rules of a node. The first one that covers a path counts.
pub(crate) type CorsRules = Vec<CorsRule>;

impl CorsRule {
    /// A rule for the paths that `covers` accepts.
    pub(crate) fn new(readers: Readers, covers: impl Fn(&str) -> bool + Send + Sync + 'static) -> Self {
        Self { covers: Box::new(covers), readers }
    }

    /// A rule for `path` and all paths below it.
    pub(crate) fn below(path: String, readers: Readers) -> Self {
        Self::new(readers, move |requested| is_below(requested, &path))
    }
}

/// Whether a requested path is `path`, or below it.
pub(crate) fn is_below(requested: &str, path: &str) -> bool {
    requested.strip_prefix(path).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

/// The middleware that applies the rules.
pub(crate) async fn apply_rules(
    rules: web::Data<CorsRules>,
    request: ServiceRequest,
    next: Next<impl MessageBody + 'static>,
) -> Result<ServiceResponse<impl MessageBody>, Error> {
    let mut response = next.call(request).await?;
    let request = response.request().clone();
    let rule = rules.iter().find(|rule| (rule.covers)(request.path()));
    if let Some(rule) = rule
        && response.status() != StatusCode::SWITCHING_PROTOCOLS
    {
        let headers = response.headers_mut();
        allow(headers, &request, &rule.readers);
        if !headers.contains_key(header::CACHE_CONTROL) {
            headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
        }
    }
    Ok(response)
}

/// Adds the headers that let the requesting page read the response, if its origin is allowed.
pub(crate) fn allow(headers: &mut HeaderMap, request: &HttpRequest, readers: &Readers) {
    let (origins, has_credentials) = match readers {
        Readers::All => {
            headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, HeaderValue::from_static("*"));
            return expose(headers);
        }
        Readers::WithCredentials(origins) => (origins, true),
        Readers::WithoutCredentials(origins) => (origins, false),
    };
    vary(headers, &header::ORIGIN);
    if let Some(origin) = request.headers().get(header::ORIGIN)
        && is_origin_allowed(request, origins)
    {
        headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, origin.clone());
        if has_credentials {
            headers.insert(header::ACCESS_CONTROL_ALLOW_CREDENTIALS, HeaderValue::from_static("true"));
        }
        expose(headers);
    }
}

/// Lets the page read when it may try again.
fn expose(headers: &mut HeaderMap) {
    if headers.contains_key(header::RETRY_AFTER) {
        headers.insert(header::ACCESS_CONTROL_EXPOSE_HEADERS, HeaderValue::from_static("Retry-After"));
    }
}

/// Adds the name of a request header on which the response depends, unless it is there already.
pub(crate) fn vary(headers: &mut HeaderMap, name: &HeaderName) {
    let is_named = |value: &HeaderValue| {
        value.to_str().is_ok_and(|list| list.split(',').any(|item| item.trim().eq_ignore_ascii_case(name.as_str())))
    };
    if !headers.get_all(header::VARY).any(is_named) {
        headers.append(header::VARY, name.clone().into());
    }
}

/// The response to a preflight request, and to any other OPTIONS request. [`allow`] adds whether the page's origin is
/// allowed. `methods` are those of the preflight, `served` those of the resource.
pub(crate) fn preflight(request: &HttpRequest, methods: &'static str, served: &'static str) -> HttpResponse {
    let mut response = methods::other(request.method(), served);
    let headers = response.headers_mut();
    headers.insert(header::ACCESS_CONTROL_ALLOW_METHODS, HeaderValue::from_static(methods));
    if let Some(requested) = request.headers().get(header::ACCESS_CONTROL_REQUEST_HEADERS) {
        headers.insert(header::ACCESS_CONTROL_ALLOW_HEADERS, requested.clone());
        vary(headers, &header::ACCESS_CONTROL_REQUEST_HEADERS);
    }
    response
}

/// A resource that can only be read, also by pages of other origins. `methods` are those of a preflight response.
pub(crate) fn readable<F, Args>(path: &str, methods: &'static str, handler: F) -> Resource
where
    F: Handler<Args>,
    Args: FromRequest + 'static,
    F::Output: Responder + 'static,
{
    methods::readable(path, handler).route(web::method(Method::OPTIONS).to(move |request: HttpRequest| {
        let response = preflight(&request, methods, methods::READ);
        async { response }
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_is_below_itself_and_its_segments_alone() {
        for requested in ["/io", "/io/", "/io/a/b"] {
            assert!(is_below(requested, "/io"), "{requested}");
        }
        for requested in ["/", "/i", "/ion", "/other/io"] {
            assert!(!is_below(requested, "/io"), "{requested}");
        }
    }

    #[test]
    fn a_header_on_which_a_response_depends_is_named_once() {
        let mut headers = HeaderMap::new();
        headers.insert(header::VARY, HeaderValue::from_static("accept, origin"));
        vary(&mut headers, &header::ORIGIN);
        vary(&mut headers, &header::ACCEPT_ENCODING);
        let named: Vec<_> = headers.get_all(header::VARY).map(HeaderValue::as_bytes).collect();
        assert_eq!(named, [&b"accept, origin"[..], b"accept-encoding"]);
    }
}
