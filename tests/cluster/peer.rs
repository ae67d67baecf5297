//! A client of one node: a Phoenix socket. It answers pings while it waits, and keeps what it hears meanwhile.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tokio::time::{sleep, timeout};

use crate::PATIENCE;
pub use crate::common::certified;
use crate::common::{Client, Received, TIMEOUT};

/// What a socket receives besides replies: the topic, the event, the payload.
pub type Push = (String, String, Value);

pub struct Peer {
    client: Client,
    /// The id that it has joined first.
    pub id: String,
    last_ref: u64,
    heard: VecDeque<Push>,
}

/// A peer id that any client may join.
pub fn random_id() -> String {
    uuid::Uuid::new_v4().to_string()
}

/// Repeats a signal until it is delivered. Every other verdict must be `unreachable`.
pub async fn wait_for_ok(from: &mut Peer, to: &str, n: u64) {
    let deadline = Instant::now() + PATIENCE;
    while let Err(reason) = from.signal(to, n).await {
        assert_eq!(reason, "unreachable");
        assert!(Instant::now() < deadline, "the signal {n} is not delivered");
        sleep(Duration::from_millis(10)).await;
    }
}

impl Peer {
    /// A client that has joined nothing.
    pub async fn connect(node: SocketAddr) -> Self {
        Self { client: Client::new(node).await, id: String::new(), last_ref: 0, heard: VecDeque::new() }
    }

    /// A client that tries to join a peer id. The error is the reason of the refusal.
    pub async fn try_join(node: SocketAddr, id: &str, params: Value) -> Result<Self, String> {
        let mut peer = Self::connect(node).await;
        peer.id = id.to_owned();
        peer.call(&format!("peer:{id}"), "phx_join", params).await?;
        Ok(peer)
    }

    /// A client that has joined a peer id without a secret.
    pub async fn join(node: SocketAddr, id: &str) -> Self {
        Self::try_join(node, id, json!({})).await.unwrap_or_else(|reason| panic!("peer:{id} is refused: {reason}"))
    }

    /// A client that has joined a random peer id.
    pub async fn new(node: SocketAddr) -> Self {
        Self::join(node, &random_id()).await
    }

    /// A client that has joined an id with its secret.
    pub async fn new_certified(node: SocketAddr) -> Self {
        let (id, secret) = certified();
        Self::try_join(node, &id, secret).await.unwrap_or_else(|reason| panic!("peer:{id} is refused: {reason}"))
    }

    /// Joins a room.
    pub async fn join_room(&mut self, room: &str, params: Value) {
        let joined = self.call(&format!("room:{room}"), "phx_join", params).await;
        joined.unwrap_or_else(|reason| panic!("room:{room} is refused: {reason}"));
    }

    /// Sends an event, and returns its `ref`.
    pub async fn push(&mut self, topic: &str, event: &str, payload: Value) -> String {
        self.last_ref += 1;
        let reference = self.last_ref.to_string();
        // each topic is joined once, so its name serves as the join_ref
        self.client.send(&json!([topic, reference, topic, event, payload]).to_string()).await;
        reference
    }

    /// Waits for the reply to an event. The error is the reason of the refusal.
    pub async fn reply(&mut self, reference: &str) -> Result<Value, String> {
        self.replies(&[reference.to_owned()]).await.remove(0)
    }

    /// Waits for the replies to several events, which may come in any order.
    pub async fn replies(&mut self, references: &[String]) -> Vec<Result<Value, String>> {
        let mut replies: Vec<_> = references.iter().map(|_| None).collect();
        while replies.iter().any(Option::is_none) {
            let mut message = self.next().await.expect("the node closed the connection");
            let reference = message[1].as_str().unwrap_or_default().to_owned();
            if message[3] == "phx_reply"
                && let Some(at) = references.iter().position(|one| *one == reference)
            {
                let response = message[4]["response"].take();
                replies[at] = Some(match message[4]["status"] == "ok" {
                    true => Ok(response),
                    false => Err(response["reason"].as_str().unwrap_or_default().to_owned()),
                });
            } else {
                self.keep(message);
            }
        }
        replies.into_iter().flatten().collect()
    }

    /// Sends an event, and waits for its reply.
    pub async fn call(&mut self, topic: &str, event: &str, payload: Value) -> Result<Value, String> {
        let reference = self.push(topic, event, payload).await;
        self.reply(&reference).await
    }

    /// Sends a signal to a peer. The payload's `n` is a number.
    pub async fn signal(&mut self, to: &str, n: u64) -> Result<(), String> {
        let topic = format!("peer:{}", self.id);
        self.call(&topic, "signal", json!({ "peer_id": to, "n": n })).await.map(drop)
    }

    /// Sends an event to a room that it has joined.
    pub async fn say(&mut self, room: &str, n: u64) {
        let said = self.call(&format!("room:{room}"), "message", json!({ "n": n })).await;
        said.unwrap_or_else(|reason| panic!("a message to room:{room} is refused: {reason}"));
    }

    /// Watches a peer. Returns whether it is online.
    pub async fn watch(&mut self, id: &str) -> bool {
        let topic = format!("peer:{}", self.id);
        self.call(&topic, "watch", json!({ "peer_id": id })).await.unwrap()["online"].as_bool().unwrap()
    }

    /// The next push that `is_wanted` selects. Others are kept for later.
    pub async fn hear(&mut self, what: &str, mut is_wanted: impl FnMut(&Push) -> bool) -> Push {
        if let Some(at) = self.heard.iter().position(&mut is_wanted) {
            return self.heard.remove(at).unwrap();
        }
        loop {
            let message = self.next().await.unwrap_or_else(|| panic!("the connection was closed before: {what}"));
            self.keep(message);
            if self.heard.back().is_some_and(&mut is_wanted) {
                return self.heard.pop_back().unwrap();
            }
        }
    }

    /// The payload of the next push of this event.
    pub async fn hear_event(&mut self, event: &str) -> Value {
        self.hear(event, |push| push.1 == event).await.2
    }

    /// Waits until a signal or a message with this number arrives.
    pub async fn hear_number(&mut self, n: u64) {
        self.hear(&format!("number {n}"), |push| push.2["n"] == n).await;
    }

    /// What has been heard and not been waited for, once everything sent before has arrived.
    pub async fn heard(&mut self) -> Vec<Push> {
        for _ in 0..2 {
            self.call("phoenix", "heartbeat", json!({})).await.unwrap();
        }
        self.heard.drain(..).collect()
    }

    /// Waits until the node closes the connection.
    pub async fn until_closed(mut self) {
        while self.next().await.is_some() {}
    }

    fn keep(&mut self, mut message: Value) {
        if message[3] != "phx_reply" {
            let text = |value: &Value| value.as_str().unwrap().to_owned();
            self.heard.push_back((text(&message[2]), text(&message[3]), message[4].take()));
        }
    }

    async fn next(&mut self) -> Option<Value> {
        timeout(TIMEOUT * 2, self.next_ever()).await.unwrap_or_else(|_| panic!("heard nothing but {:?}", self.heard))
    }

    /// The next message. `None` if the connection is closed.
    async fn next_ever(&mut self) -> Option<Value> {
        loop {
            match self.client.receive_ever().await {
                Received::Text(text) => return Some(serde_json::from_str(&text).unwrap()),
                Received::Ping(_) => self.client.pong().await,
                Received::Close(..) | Received::Eof => return None,
                other => panic!("received {other:?}"),
            }
        }
    }
}
