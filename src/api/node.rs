//! The routes about the nodes themselves: whether they run, how they are, what they offer, and their end.

use std::sync::Arc;

use actix_web::http::StatusCode;
use compact_str::CompactString;
use serde::Serialize;
use serde_json::json;

use crate::api::answer::{Answer, ApiError};
use crate::api::ask::{AllAnswers, ask_all};
use crate::api::call::Call;
use crate::api::state::Api;
use crate::api::times::since;
use crate::broker::adapter::{self, NodeId, Question};
use crate::broker::{NodeInfo, RegistryStats};

/// The description of the API for programs.
pub(super) const OPENAPI: &str = include_str!("openapi.json");

/// All nodes.
#[derive(Serialize)]
struct Stats {
    nodes: Vec<NodeStats>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    silent: Vec<NodeId>,
}

/// One node.
#[derive(Serialize)]
struct NodeStats {
    name: NodeId,
    version: CompactString,
    since: String,
    ready: bool,
    connections: usize,
    topics: usize,
    members: usize,
    names: usize,
    watches: usize,
    presence: usize,
    held: usize,
}

/// `GET /healthz`: the process runs.
pub(super) async fn health() -> Result<Answer, ApiError> {
    Ok(Answer::ok(&json!({ "status": "ok" })))
}

/// `GET /openapi.json`.
pub(super) async fn openapi() -> Result<Answer, ApiError> {
    Ok(Answer { status: StatusCode::OK, body: OPENAPI.into(), retry_after: None })
}

/// `GET /v1/stats`.
pub(super) async fn stats(api: Arc<Api>, call: Call) -> Result<Answer, ApiError> {
    let [] = call.params([])?;
    let AllAnswers { answers, silent } = ask_all(&api, Question::Node).await?;
    let nodes = answers.into_iter().filter_map(|(name, answer)| match answer {
        adapter::Answer::Node(node) => Some(NodeStats::of(name, node)),
        _ => None,
    });
    Ok(Answer::ok(&Stats { nodes: nodes.collect(), silent }))
}

/// `POST /v1/drain`: begins what SIGTERM begins.
pub(super) async fn drain(api: Arc<Api>, call: Call) -> Result<Answer, ApiError> {
    let [] = call.params([])?;
    log::info!("{} of the API drains the node", call.key);
    api.node.request_drain();
    Ok(Answer::with(StatusCode::ACCEPTED, &json!({ "draining": true })))
}

impl NodeStats {
    fn of(name: NodeId, node: NodeInfo) -> Self {
        let NodeInfo { version, age, is_ready: ready, connections, stats } = node;
        let RegistryStats { topics, members, names, watches, presence_entries: presence, held, .. } = stats;
        let since = since(age);
        Self { name, version, since, ready, connections, topics, members, names, watches, presence, held }
    }
}
