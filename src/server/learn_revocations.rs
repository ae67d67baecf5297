//! Learns from the other nodes which tokens are revoked: when the node starts, when it may have missed some, and when
//! another node comes, which may know more.

use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::task::spawn_blocking;

use crate::auth::{Revocation, RevocationsPage, RevokedTokens};
use crate::broker::adapter::{Answer, Answers, NodeId, Question};
use crate::http::node_state::NodeState;

/// The pause before the other nodes are asked again, if not all have answered.
const ASK_AGAIN_AFTER: Duration = Duration::from_secs(2);
/// The pause before a node that is not linked looks whether it is.
const LINK_PAUSE: Duration = Duration::from_millis(20);

/// Why not all other nodes have answered.
enum NotLearned {
    Unlinked,
    Silent(Vec<NodeId>),
}

/// Asks the other nodes until all have answered, and again whenever they may know more. A node that has just started
/// accepts no tokens until it has asked. It waits one `cluster.lease` at most for the link to the others, and for their
/// answers as long as each may take, `cluster.timeout`.
pub(super) async fn learn_revocations(node: Arc<NodeState>) {
    let learning = &node.learning;
    let start_ends = Instant::now() + node.config.cluster.lease;
    loop {
        let pause = match learn_all(&node).await {
            Ok(()) => {
                learning.end();
                learning.others_changed().await;
                continue;
            }
            Err(NotLearned::Silent(silent)) => {
                if learning.end() {
                    let names = silent.join(", ");
                    log::warn!(
                        "no answer which tokens are revoked from {names}: tokens are accepted, and it is asked again"
                    );
                }
                ASK_AGAIN_AFTER
            }
            Err(NotLearned::Unlinked) => {
                if Instant::now() >= start_ends && learning.stop_waiting() {
                    log::warn!(
                        "tokens are accepted without a link to the other nodes: they may have revoked some of them"
                    );
                }
                LINK_PAUSE
            }
        };
        tokio::time::sleep(pause).await;
    }
}

/// Asks the other nodes for all of their revocations.
async fn learn_all(node: &Arc<NodeState>) -> Result<(), NotLearned> {
    let mut after = None;
    loop {
        if node.pubsub.ready().is_err() {
            return Err(NotLearned::Unlinked);
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
            return Err(NotLearned::Silent(silent));
        }
        match next {
            Some(_) => after = next,
            None => return Ok(()),
        }
    }
}
