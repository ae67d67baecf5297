//! The middleware that answers requests for hosts of other servers with 421. The rules are in
//! [`hosts`](crate::http::hosts).

use std::sync::Arc;

use actix_web::body::{BoxBody, MessageBody};
use actix_web::dev::{ServiceRequest, ServiceResponse};
use actix_web::http::header;
use actix_web::middleware::Next;
use actix_web::{Error, HttpResponse, web};

use crate::http::body::close_after_response;
use crate::http::hosts::HostRules;
use crate::http::node_state::NodeState;

/// The rules of a listener, and where refusals are counted and logged.
pub(crate) struct HostCheck {
    pub(crate) rules: HostRules,
    pub(crate) node: Arc<NodeState>,
}

pub(crate) async fn check_host(
    check: web::Data<HostCheck>,
    request: ServiceRequest,
    next: Next<impl MessageBody + 'static>,
) -> Result<ServiceResponse<BoxBody>, Error> {
    let Some(text) = check.rules.refusal(request.request()) else {
        return Ok(next.call(request).await?.map_into_boxed_body());
    };
    check.node.refusal_log.write(&text);
    check.node.pubsub.metrics().hosts_refused.inc();
    let response = HttpResponse::MisdirectedRequest()
        .insert_header((header::CACHE_CONTROL, "no-store"))
        .insert_header((header::X_CONTENT_TYPE_OPTIONS, "nosniff"))
        .content_type("text/plain; charset=utf-8")
        .body(text);
    let response = close_after_response(request.request(), response);
    Ok(request.into_response(response))
}
