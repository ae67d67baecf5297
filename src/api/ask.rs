//! One question to all nodes: this one answers itself, and the others have a second. A node that has not answered by then
//! is `silent`, so that a partial answer is never taken for a whole one.

use std::time::Duration;

use actix_web::http::StatusCode;
use tokio::time::timeout;

use crate::api::answer::ApiError;
use crate::api::state::Api;
use crate::broker::adapter::{Answer, Answers, NodeId, Question};

/// How long the other nodes have to answer.
const DEADLINE: Duration = Duration::from_secs(1);

/// The answers of all nodes, this one first, each with the node's name.
pub(super) struct AllAnswers {
    pub(super) answers: Vec<(NodeId, Answer)>,
    /// The nodes that have not answered, in the order of their names.
    pub(super) silent: Vec<NodeId>,
}

/// Asks all nodes.
///
/// # Errors
/// 503 if this node itself does not answer, because its registry has too much to do, or if it does not know the others yet:
/// nobody could say what is missing.
pub(super) async fn ask_all(api: &Api, question: Question) -> Result<AllAnswers, ApiError> {
    let pubsub = &api.node.pubsub;
    if pubsub.ready().is_err() && pubsub.other_nodes().is_empty() {
        return Err(ApiError::new(StatusCode::SERVICE_UNAVAILABLE, "not linked to the other nodes"));
    }
    let own = timeout(DEADLINE, pubsub.answer(question.clone()));
    let others = timeout(DEADLINE, pubsub.ask_others(question));
    let (own, others) = futures_util::future::join(own, others).await;
    let own = own.map_err(|_| ApiError::overloaded())?;
    let others = others.unwrap_or_else(|_| Answers { answers: Vec::new(), silent: pubsub.other_nodes() });
    let mut silent = others.silent;
    silent.sort();
    let answers = std::iter::once((pubsub.instance().clone(), own)).chain(others.answers).collect();
    Ok(AllAnswers { answers, silent })
}
