//! `POST /v1/signal`: a message to one peer, and whether it has reached the peer's queue.

use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use tokio::time::timeout;

use crate::api::answer::{Answer, ApiError};
use crate::api::call::Call;
use crate::api::publish::message;
use crate::api::state::Api;
use crate::channels::builtin::peer::readdress::from_server;
use crate::channels::builtin::peer::topic_of;
use crate::message::{Broadcast, DeliveryStatus, Payload};

/// The maximum time that another node and the engine have to say what has become of a signal.
const TIMEOUT: Duration = Duration::from_secs(5);

/// The body of the request.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Signal {
    to: String,
    event: String,
    payload: Box<RawValue>,
}

/// The answer.
#[derive(Serialize)]
pub(super) struct Signalled {
    verdict: &'static str,
}

/// `POST /v1/signal`.
pub(super) async fn signal(api: Arc<Api>, call: Call) -> Result<Answer, ApiError> {
    call.parse::<Signal>()?.run(&api).await.map(|signalled| Answer::ok(&signalled))
}

impl Signal {
    pub(super) async fn run(self, api: &Api) -> Result<Signalled, ApiError> {
        let (pubsub, limits) = (&api.node.pubsub, &api.node.config.limits);
        let Self { to, event, payload } = self;
        let topic = topic_of(&to).ok_or_else(|| ApiError::invalid("invalid peer id"))?;
        let Payload::Json(text) = message(&event, payload, limits)? else { unreachable!("a message is JSON") };
        let text = from_server(&text).map_err(|_| {
            ApiError::invalid("the payload must be an object without peer_id and sender_id, which the node sets")
        })?;
        if pubsub.memory().is_full() {
            return Ok(Signalled { verdict: verdict(DeliveryStatus::Overloaded) });
        }
        let broadcast = Broadcast { topic, event: event.into(), payload: Payload::from_json_text(text) };
        let status = pubsub.signal_from_server(Arc::new(pubsub.delivery(broadcast)));
        let status = timeout(TIMEOUT, status).await.unwrap_or(DeliveryStatus::Unreachable);
        Ok(Signalled { verdict: verdict(status) })
    }
}

const fn verdict(status: DeliveryStatus) -> &'static str {
    match status {
        DeliveryStatus::Delivered => "delivered",
        DeliveryStatus::Absent => "peer_not_found",
        DeliveryStatus::Overloaded => "overloaded",
        DeliveryStatus::Unreachable => "unreachable",
    }
}
