//! The methods of a resource. HEAD is GET without a body, OPTIONS is 204, and a method that the resource does not serve
//! is 405. Both name the methods in `Allow`.
//!
//! Protocols with responses of their own for other methods (Phoenix, Engine.IO) keep those.

use actix_web::http::{Method, header};
use actix_web::web::{self, ServiceConfig};
use actix_web::{FromRequest, Handler, HttpRequest, HttpResponse, Resource, Responder};

/// The methods of a resource that can only be read.
pub(crate) const READ: &str = "GET, HEAD, OPTIONS";

/// A resource that can only be read. `handler` responds to GET and to HEAD; the HTTP server omits the body.
pub(crate) fn readable<F, Args>(path: &str, handler: F) -> Resource
where
    F: Handler<Args>,
    Args: FromRequest + 'static,
    F::Output: Responder + 'static,
{
    let resource = web::resource(path).route(web::get().to(handler.clone())).route(web::head().to(handler));
    with_others(resource, READ)
}

/// Adds the responses to the methods that a resource has no route for.
pub(crate) fn with_others(resource: Resource, allow: &'static str) -> Resource {
    resource.default_service(web::to(move |request: HttpRequest| {
        let response = other(request.method(), allow);
        async { response }
    }))
}

/// The response to a method that a resource does not serve.
pub(crate) fn other(method: &Method, allow: &'static str) -> HttpResponse {
    let mut response = match *method {
        Method::OPTIONS => HttpResponse::NoContent(),
        _ => HttpResponse::MethodNotAllowed(),
    };
    response.insert_header((header::ALLOW, allow)).finish()
}

/// Responds to requests for which there is no route, on a node without a page: 404, but 204 to OPTIONS on `/` or `*`,
/// by which a load balancer checks whether the node responds.
pub(crate) fn without_page(app: &mut ServiceConfig) {
    app.default_service(web::to(|request: HttpRequest| {
        let response = match (request.method(), request.path()) {
            (&Method::OPTIONS, "/" | "*") => other(&Method::OPTIONS, "OPTIONS"),
            _ => HttpResponse::NotFound().finish(),
        };
        async { response }
    }));
}
