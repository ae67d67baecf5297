//! Learns from the other nodes which tokens are revoked: when the node starts, when it may have missed some, and when
//! another node comes, which may know more.

use std::sync::Arc;
use std::time::Duration;

use tokio::task::spawn_blocking;

use crate::auth::{Revocation, RevocationsPage, RevokedTokens};
use crate::broker::adapter::{Answer, Answers, Question};
use crate::http::node_state::NodeState;

/// The pause before the other nodes are asked again, if not all have answered.
const ASK_AGAIN_AFTER: Duration = Duration::from_secs(2);

/// Asks the other nodes until all have answered, and again whenever they may know more.
pub(super) async fn learn_revocations(node: Arc<NodeState>) {
    loop {
        while !learn_all(&node).await {
            tokio::time::sleep(ASK_AGAIN_AFTER).await;
        }
        node.others_changed().await;
    }
}

/// Asks the other nodes for all of their revocations. Returns whether all have answered.
async fn learn_all(node: &Arc<NodeState>) -> bool {
    let mut after = None;
    loop {
        if node.pubsub.ready().is_err() {
            return false;
        }
        let Answers { answers, silent } = node.pubsub.ask_others(Question::Revocations(after)).await;
        let mut next: Option<RevokedTokens> = None;
        for (_, answer) in answers {
            let Answer::Revocations(RevocationsPage { revocations, is_last }) = answer else { continue };
            // the pages of the nodes end at different places: what follows the first of these is not known yet
            if !is_last && let Some(Revocation { tokens, .. }) = revocations.last() {
                next = Some(next.map_or_else(|| tokens.clone(), |next| next.min(tokens.clone())));
            }
            let node = node.clone();
            // it may wait for the disk
            let revoked = spawn_blocking(move || node.revoke(&revocations));
            if let Ok(Err(error)) = revoked.await {
                log::error!("{error}");
            }
        }
        if !silent.is_empty() {
            return false;
        }
        match next {
            Some(_) => after = next,
            None => return true,
        }
    }
}
