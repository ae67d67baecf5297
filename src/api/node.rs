//! The routes about the node itself.

use actix_web::http::StatusCode;
use serde_json::json;

use crate::api::answer::{Answer, ApiError};

/// The description of the API for programs.
pub(super) const OPENAPI: &str = include_str!("openapi.json");

/// `GET /healthz`: the process runs.
pub(super) async fn health() -> Result<Answer, ApiError> {
    Ok(Answer::ok(&json!({ "status": "ok" })))
}

/// `GET /openapi.json`.
pub(super) async fn openapi() -> Result<Answer, ApiError> {
    Ok(Answer { status: StatusCode::OK, body: OPENAPI.into(), retry_after: None })
}
