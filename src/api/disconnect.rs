//! `POST /v1/disconnect`: closes the connections of clients, on all nodes.

use std::sync::Arc;

use compact_str::CompactString;
use serde::{Deserialize, Serialize};

use crate::api::answer::{Answer, ApiError};
use crate::api::ask::{AllAnswers, ask_all};
use crate::api::call::Call;
use crate::api::names::Protocol;
use crate::api::state::Api;
use crate::auth::MAX_ID;
use crate::broker::Clients;
use crate::broker::adapter::{self, NodeId, Question};
use crate::json::present;

/// The body of the request: one of the handles, and how.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Disconnect {
    #[serde(default, deserialize_with = "present")]
    peer: Option<String>,
    #[serde(default, deserialize_with = "present")]
    connection: Option<String>,
    #[serde(default, deserialize_with = "present")]
    subject: Option<String>,
    #[serde(default, deserialize_with = "present")]
    topic: Option<String>,
    #[serde(default, deserialize_with = "present")]
    node: Option<String>,
    #[serde(default, deserialize_with = "present")]
    protocol: Option<Protocol>,
    #[serde(default = "reconnects")]
    reconnect: bool,
}

fn reconnects() -> bool {
    true
}

/// The answer.
#[derive(Serialize)]
pub(super) struct Disconnected {
    /// How many connections were closed.
    disconnected: usize,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    silent: Vec<NodeId>,
}

/// `POST /v1/disconnect`.
pub(super) async fn disconnect(api: Arc<Api>, call: Call) -> Result<Answer, ApiError> {
    call.parse::<Disconnect>()?.run(&api, &call.key).await.map(|disconnected| Answer::ok(&disconnected))
}

impl Disconnect {
    /// Whether it names one handle, with the fields that belong to it.
    pub(super) fn check(&self) -> Result<(), ApiError> {
        let handles = [&self.peer, &self.connection, &self.subject, &self.topic];
        if handles.iter().filter(|handle| handle.is_some()).count() != 1 {
            return Err(ApiError::malformed("expected one of `peer`, `connection`, `subject`, `topic`"));
        }
        if self.node.is_some() && self.connection.is_none() {
            return Err(ApiError::malformed("`node` belongs to `connection`"));
        }
        if self.protocol.is_some() && self.peer.is_none() && self.topic.is_none() {
            return Err(ApiError::malformed("`protocol` belongs to `peer` and `topic`"));
        }
        Ok(())
    }

    pub(super) async fn run(self, api: &Api, key: &str) -> Result<Disconnected, ApiError> {
        self.check()?;
        let may_reconnect = self.reconnect;
        let answers = ask_all(api, Question::Disconnect { clients: self.clients(api)?, may_reconnect }).await?;
        let disconnected = Disconnected::of(answers);
        log::info!("{key} of the API has disconnected {} connections", disconnected.disconnected);
        Ok(disconnected)
    }

    fn clients(self, api: &Api) -> Result<Clients, ApiError> {
        let (limits, protocol) = (&api.node.config.limits, self.protocol.unwrap_or_default());
        if let Some(peer) = self.peer {
            return protocol.peer(&peer, limits).map(Clients::Members);
        }
        if let Some(topic) = self.topic {
            return protocol.topic(&topic, limits).map(Clients::Members);
        }
        if let Some(connection) = self.connection {
            let number = number_of(&connection).ok_or_else(|| ApiError::invalid("invalid connection"))?;
            let node = match self.node {
                Some(node) => node.into(),
                None if api.node.pubsub.other_nodes().is_empty() => api.node.pubsub.instance().clone(),
                // each node has a connection of this number
                None => return Err(ApiError::invalid("with several nodes, a connection needs its node")),
            };
            return Ok(Clients::Connection { node, number });
        }
        match self.subject.map(CompactString::from) {
            Some(subject) if (1..=MAX_ID).contains(&subject.len()) => Ok(Clients::Subject(subject)),
            _ => Err(ApiError::invalid("a subject has 1 to 128 bytes")),
        }
    }
}

/// The number in `c42`.
fn number_of(connection: &str) -> Option<u64> {
    let digits = connection.strip_prefix('c')?;
    digits.bytes().all(|byte| byte.is_ascii_digit()).then(|| digits.parse().ok()).flatten()
}

impl Disconnected {
    /// What the nodes have closed together.
    pub(super) fn of(AllAnswers { answers, silent }: AllAnswers) -> Self {
        let closed = answers.into_iter().map(|(_, answer)| match answer {
            adapter::Answer::Closed(closed) => closed.unwrap_or_default(),
            _ => 0,
        });
        Self { disconnected: closed.sum(), silent }
    }
}
