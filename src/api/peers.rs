//! `GET /v1/peers/{id}`: where a peer is.

use std::sync::Arc;

use compact_str::CompactString;
use serde::Serialize;

use crate::api::answer::{Answer, ApiError};
use crate::api::ask::{AllAnswers, ask_all};
use crate::api::call::Call;
use crate::api::names::Protocol;
use crate::api::state::Api;
use crate::api::times::since;
use crate::broker::PeerInfo;
use crate::broker::adapter::{self, NodeId, Question};

/// The answer about a peer that is there.
#[derive(Serialize)]
struct Online {
    online: bool,
    node: NodeId,
    connection: String,
    protocol: &'static str,
    transport: CompactString,
    network: CompactString,
    subject: Option<CompactString>,
    since: String,
    rooms: Vec<CompactString>,
    queue_bytes: usize,
}

/// The answer about one that is not.
#[derive(Serialize)]
struct Absent {
    online: bool,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    silent: Vec<NodeId>,
}

/// `GET /v1/peers/{id}`.
pub(super) async fn peer(api: Arc<Api>, call: Call) -> Result<Answer, ApiError> {
    let [protocol] = call.params(["protocol"])?;
    let protocol = Protocol::of_param(protocol)?;
    let name = protocol.peer(&call.name, &api.node.config.limits)?;
    let AllAnswers { answers, silent } = ask_all(&api, Question::Peer(name)).await?;
    let found = answers.into_iter().find_map(|(node, answer)| match answer {
        adapter::Answer::Peer(Some(peer)) => Some((node, peer)),
        _ => None,
    });
    Ok(match found {
        Some((node, peer)) => Answer::ok(&online(protocol, node, peer)),
        None => Answer::ok(&Absent { online: false, silent }),
    })
}

fn online(protocol: Protocol, node: NodeId, peer: PeerInfo) -> Online {
    let PeerInfo { connection, transport, network, subject, age, topics, queue_bytes } = peer;
    Online {
        online: true,
        node,
        connection: format!("c{connection}"),
        protocol: protocol.realm().name(),
        transport,
        network,
        subject,
        since: since(age),
        rooms: topics,
        queue_bytes,
    }
}
