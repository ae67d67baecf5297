//! A client that speaks Phoenix as the client of Phoenix's own tests does, V1 or V2: its joins are marked
//! 11, 12, ..., its messages 1, 2, ..., and what it says to a topic carries the mark of its last join.

use std::collections::HashMap;
use std::net::SocketAddr;

use serde_json::{Value, json};

use super::{Client, Heard};

/// Both serializers, as `vsn` names them.
pub const BOTH: [&str; 2] = [V1, V2];
pub const V1: &str = "1.0.0";
pub const V2: &str = "2.0.0";

/// A message as the client reads it; V1's have no `join_ref`.
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
    /// Connects below `mount`, which may have a query, with further header lines.
    pub async fn open(address: SocketAddr, mount: &str, vsn: &str, headers: &[&str]) -> Self {
        let client = Client::open(address, &path(mount, vsn), headers).await;
        Self { client, v1: vsn == V1, last_ref: 0, joins: HashMap::new(), last_join: 10 }
    }

    pub async fn say(&mut self, topic: &str, event: &str, payload: Value) {
        self.last_ref += 1;
        let reference = self.last_ref.to_string();
        let join_ref = self.joins.get(topic).map(u32::to_string);
        let message = match self.v1 {
            true => json!({ "topic": topic, "event": event, "payload": payload, "ref": reference }),
            false => json!([join_ref, reference, topic, event, payload]),
        };
        self.client.say(&message.to_string()).await;
    }

    pub async fn join(&mut self, topic: &str, payload: Value) {
        self.last_join += 1;
        self.joins.insert(topic.to_owned(), self.last_join);
        self.say(topic, "phx_join", payload).await;
    }

    /// The next message.
    pub async fn hear(&mut self) -> Message {
        let mut message: Value = serde_json::from_str(&self.client.hear().await).unwrap();
        let mut take = |v1: &str, v2: usize| match self.v1 {
            true => message.get_mut(v1).map(Value::take).unwrap_or_default(),
            false => message[v2].take(),
        };
        let text = |value: Value| value.as_str().unwrap().to_owned();
        let (join_ref, reference) = (take("join_ref", 0), take("ref", 1));
        let (topic, event) = (text(take("topic", 2)), text(take("event", 3)));
        Message { join_ref, reference, topic, event, payload: take("payload", 4) }
    }

    /// The next message is a reply to the message of this mark, by the join of this mark.
    pub async fn replied(&mut self, join_ref: &str, reference: &str, topic: &str, status: &str, response: Value) {
        let payload = json!({ "status": status, "response": response });
        let want = self.message(json!(join_ref), json!(reference), topic, "phx_reply", payload);
        assert_eq!(self.hear().await, want);
    }

    /// The next message is the refusal of one that no join speaks for.
    pub async fn unmatched(&mut self, reference: &str, topic: &str) {
        let payload = json!({ "status": "error", "response": { "reason": "unmatched topic" } });
        let want = self.message(Value::Null, json!(reference), topic, "phx_reply", payload);
        assert_eq!(self.hear().await, want);
    }

    /// The next message is a push to the join of this mark.
    pub async fn pushed(&mut self, join_ref: &str, topic: &str, event: &str, payload: Value) {
        let want = self.message(json!(join_ref), Value::Null, topic, event, payload);
        assert_eq!(self.hear().await, want);
    }

    /// The next message says that the join of this mark has ended, by `phx_close` or `phx_error`.
    pub async fn ended(&mut self, join_ref: &str, topic: &str, event: &str, payload: Value) {
        // V1's joins have no mark
        let reference = if self.v1 { Value::Null } else { json!(join_ref) };
        let want = self.message(json!(join_ref), reference, topic, event, payload);
        assert_eq!(self.hear().await, want);
    }

    /// The next message is what everybody on the topic hears.
    pub async fn broadcast(&mut self, topic: &str, event: &str, payload: Value) {
        assert_eq!(self.hear().await, self.message(Value::Null, Value::Null, topic, event, payload));
    }

    /// Nothing is to be heard: proved by a heartbeat whose answer comes first.
    pub async fn hears_nothing(&mut self) {
        self.say("phoenix", "heartbeat", json!({})).await;
        let reference = self.last_ref.to_string();
        let payload = json!({ "status": "ok", "response": {} });
        let want = self.message(Value::Null, json!(reference), "phoenix", "phx_reply", payload);
        assert_eq!(self.hear().await, want);
    }

    /// The next frame is one of bytes.
    pub async fn bytes(&mut self) -> Vec<u8> {
        match self.client.hear_any().await {
            Heard::Binary(bytes) => bytes,
            other => panic!("heard {other:?}, not bytes"),
        }
    }

    fn message(&self, join_ref: Value, reference: Value, topic: &str, event: &str, payload: Value) -> Message {
        let join_ref = if self.v1 { Value::Null } else { join_ref };
        Message { join_ref, reference, topic: topic.to_owned(), event: event.to_owned(), payload }
    }
}

/// Asks to connect below `mount`, and returns the status.
pub async fn status(address: SocketAddr, mount: &str, vsn: &str, headers: &[&str]) -> u16 {
    let (_, head) = Client::ask(address, &path(mount, vsn), headers).await;
    head[9..12].parse().unwrap()
}

fn path(mount: &str, vsn: &str) -> String {
    let (mount, query) = mount.split_once('?').unwrap_or((mount, ""));
    format!("{mount}/websocket?vsn={vsn}&{query}")
}
