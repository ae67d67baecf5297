//! A Phoenix client, V1 or V2, that numbers its messages as the client of Phoenix's own tests does: the `join_ref` of
//! its joins is 11, 12, ..., the `ref` of its messages 1, 2, .... A message to a topic carries the `join_ref` of the
//! topic's last join.

use std::collections::HashMap;
use std::net::SocketAddr;

use serde_json::{Value, json};

use super::{Client, Received};

/// Both serializers, by their value of `vsn`.
pub const BOTH: [&str; 2] = [V1, V2];
pub const V1: &str = "1.0.0";
pub const V2: &str = "2.0.0";

/// A message as the client reads it. V1 messages have no `join_ref`.
#[derive(Debug, PartialEq)]
pub struct Message {
    pub join_ref: Value,
    pub reference: Value,
    pub topic: String,
    pub event: String,
    pub payload: Value,
}

pub struct Phoenix {
    pub client: Client,
    v1: bool,
    last_ref: u32,
    joins: HashMap<String, u32>,
    last_join: u32,
}

impl Phoenix {
    /// Connects to `mount`, which may have a query, with further header lines.
    pub async fn open(address: SocketAddr, mount: &str, vsn: &str, headers: &[&str]) -> Self {
        let client = Client::open(address, &path(mount, vsn), headers).await;
        Self { client, v1: vsn == V1, last_ref: 0, joins: HashMap::new(), last_join: 10 }
    }

    pub async fn send(&mut self, topic: &str, event: &str, payload: Value) {
        self.last_ref += 1;
        let reference = self.last_ref.to_string();
        let join_ref = self.joins.get(topic).map(u32::to_string);
        let message = match self.v1 {
            true => json!({ "topic": topic, "event": event, "payload": payload, "ref": reference }),
            false => json!([join_ref, reference, topic, event, payload]),
        };
        self.client.send(&message.to_string()).await;
    }

    pub async fn join(&mut self, topic: &str, payload: Value) {
        self.last_join += 1;
        self.joins.insert(topic.to_owned(), self.last_join);
        self.send(topic, "phx_join", payload).await;
    }

    /// The next message.
    pub async fn receive(&mut self) -> Message {
        let mut message: Value = serde_json::from_str(&self.client.receive().await).unwrap();
        let mut take = |v1: &str, v2: usize| match self.v1 {
            true => message.get_mut(v1).map(Value::take).unwrap_or_default(),
            false => message[v2].take(),
        };
        let text = |value: Value| value.as_str().unwrap().to_owned();
        let (join_ref, reference) = (take("join_ref", 0), take("ref", 1));
        let (topic, event) = (text(take("topic", 2)), text(take("event", 3)));
        Message { join_ref, reference, topic, event, payload: take("payload", 4) }
    }

    /// The next message must be the reply to `reference`, from the join `join_ref`.
    pub async fn expect_reply(&mut self, join_ref: &str, reference: &str, topic: &str, status: &str, response: Value) {
        let payload = json!({ "status": status, "response": response });
        let expected = self.message(json!(join_ref), json!(reference), topic, "phx_reply", payload);
        assert_eq!(self.receive().await, expected);
    }

    /// The next message must be the reply to a message whose topic is not joined.
    pub async fn expect_unmatched(&mut self, reference: &str, topic: &str) {
        let payload = json!({ "status": "error", "response": { "reason": "unmatched topic" } });
        let expected = self.message(Value::Null, json!(reference), topic, "phx_reply", payload);
        assert_eq!(self.receive().await, expected);
    }

    /// The next message must be a push to the join `join_ref`.
    pub async fn expect_push(&mut self, join_ref: &str, topic: &str, event: &str, payload: Value) {
        let expected = self.message(json!(join_ref), Value::Null, topic, event, payload);
        assert_eq!(self.receive().await, expected);
    }

    /// The next message must be the `phx_close` or `phx_error` of the join `join_ref`.
    pub async fn expect_close(&mut self, join_ref: &str, topic: &str, event: &str, payload: Value) {
        // V1 joins have no join_ref
        let reference = if self.v1 { Value::Null } else { json!(join_ref) };
        let expected = self.message(json!(join_ref), reference, topic, event, payload);
        assert_eq!(self.receive().await, expected);
    }

    /// The next message must be a broadcast to the topic.
    pub async fn expect_broadcast(&mut self, topic: &str, event: &str, payload: Value) {
        assert_eq!(self.receive().await, self.message(Value::Null, Value::Null, topic, event, payload));
    }

    /// Asserts that no message is waiting: the reply to a heartbeat comes first.
    pub async fn expect_nothing(&mut self) {
        self.send("phoenix", "heartbeat", json!({})).await;
        let reference = self.last_ref.to_string();
        let payload = json!({ "status": "ok", "response": {} });
        let expected = self.message(Value::Null, json!(reference), "phoenix", "phx_reply", payload);
        assert_eq!(self.receive().await, expected);
    }

    /// The next frame must be binary.
    pub async fn receive_binary(&mut self) -> Vec<u8> {
        match self.client.receive_any().await {
            Received::Binary(bytes) => bytes,
            other => panic!("received {other:?} instead of a binary frame"),
        }
    }

    fn message(&self, join_ref: Value, reference: Value, topic: &str, event: &str, payload: Value) -> Message {
        let join_ref = if self.v1 { Value::Null } else { join_ref };
        Message { join_ref, reference, topic: topic.to_owned(), event: event.to_owned(), payload }
    }
}

/// Requests an upgrade on `mount`, and returns the status of the response.
pub async fn status(address: SocketAddr, mount: &str, vsn: &str, headers: &[&str]) -> u16 {
    let (_, head) = Client::try_open(address, &path(mount, vsn), headers).await;
    head[9..12].parse().unwrap()
}

fn path(mount: &str, vsn: &str) -> String {
    let (mount, query) = mount.split_once('?').unwrap_or((mount, ""));
    format!("{mount}/websocket?vsn={vsn}&{query}")
}
