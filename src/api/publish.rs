//! `POST /v1/publish`: a message to all members of a topic.

use std::sync::Arc;

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use crate::api::answer::{Answer, ApiError};
use crate::api::call::Call;
use crate::api::names::{self, is_peer};
use crate::api::state::Api;
use crate::config::schema::Limits;
use crate::message::{Broadcast, Payload, is_reserved};
use crate::protocols::socketio::packet::RESERVED;

/// The body of the request.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Publish {
    topic: String,
    event: String,
    payload: Box<RawValue>,
    #[serde(default)]
    protocol: Protocol,
}

/// The protocols whose topics have several members.
#[derive(Clone, Copy, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Protocol {
    #[default]
    Phoenix,
    SocketIo,
}

/// The answer.
#[derive(Serialize)]
pub(super) struct Published {
    /// How many members of this node have it in their queue.
    delivered: usize,
    /// How many nodes it was sent to, with this one.
    nodes: usize,
}

/// `POST /v1/publish`.
pub(super) async fn publish(api: Arc<Api>, call: Call) -> Result<Answer, ApiError> {
    call.parse::<Publish>()?.run(&api).map(|published| Answer::ok(&published))
}

impl Publish {
    pub(super) fn run(self, api: &Api) -> Result<Published, ApiError> {
        let (pubsub, limits) = (&api.node.pubsub, &api.node.config.limits);
        let Self { topic, event, payload, protocol } = self;
        let topic = match protocol {
            Protocol::Phoenix => names::Protocol::Phoenix.topic(&topic, limits)?,
            Protocol::SocketIo => names::Protocol::SocketIo.topic(&topic, limits)?,
        };
        if is_peer(&topic) {
            return Err(ApiError::invalid("the topic is a peer: use /v1/signal"));
        }
        if matches!(protocol, Protocol::SocketIo) && RESERVED.contains(&&*event) {
            return Err(ApiError::invalid("reserved event"));
        }
        let payload = message(&event, payload, limits)?;
        if pubsub.memory().is_full() {
            return Err(ApiError::overloaded());
        }
        let delivery = Arc::new(pubsub.delivery(Broadcast { topic, event: event.into(), payload }));
        let nodes = 1 + pubsub.other_nodes().len();
        Ok(Published { delivered: pubsub.publish_from_server(&delivery), nodes })
    }
}

/// The payload of a message, under the limits of clients.
pub(super) fn message(event: &str, payload: Box<RawValue>, limits: &Limits) -> Result<Payload, ApiError> {
    if event.is_empty() {
        return Err(ApiError::invalid("empty event"));
    }
    if event.len() > limits.event_bytes {
        return Err(ApiError::invalid("event too long"));
    }
    if is_reserved(event) {
        return Err(ApiError::invalid("reserved event"));
    }
    if payload.get().len() > limits.message_bytes {
        return Err(ApiError::invalid("payload too large"));
    }
    Ok(Payload::from_json_text(String::from(Box::<str>::from(payload))))
}
