//! A client that polls: requests made of bytes, a connection each, and the session that they make.

use std::net::SocketAddr;

use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::PATIENCE;

/// The content type of a request that brings several messages.
pub const BATCH: &str = "content-type: application/x-ndjson";

/// An answer, with its headers in lower case.
#[derive(Debug)]
pub struct Answer {
    pub http: u16,
    pub head: String,
    pub body: String,
}

impl Answer {
    pub fn header(&self, name: &str) -> Option<&str> {
        self.head.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(": "))
    }

    pub fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_else(|_| panic!("no JSON: {self:?}"))
    }

    /// The status that counts.
    pub fn status(&self) -> u64 {
        self.json()["status"].as_u64().unwrap()
    }
}

/// Asks once, and waits for the answer.
pub async fn ask(address: SocketAddr, method: &str, path: &str, headers: &[&str], body: &[u8]) -> Answer {
    let mut stream = TcpStream::connect(address).await.unwrap();
    let more: String = headers.iter().map(|line| format!("{line}\r\n")).collect();
    let length = if body.is_empty() { String::new() } else { format!("content-length: {}\r\n", body.len()) };
    let head = format!("{method} {path} HTTP/1.1\r\nhost: {address}\r\nconnection: close\r\n{length}{more}\r\n");
    stream.write_all(head.as_bytes()).await.unwrap();
    // a server that has heard enough may answer before it has read all
    let _ = stream.write_all(body).await;
    answer(&mut stream).await
}

/// The next answer, to its last byte.
pub async fn answer(stream: &mut TcpStream) -> Answer {
    let mut bytes = Vec::new();
    let read = timeout(2 * PATIENCE, async {
        while stream.read_buf(&mut bytes).await? > 0 {
            if let Some(answer) = whole(&bytes) {
                return Ok(answer);
            }
        }
        std::io::Result::Ok(whole(&bytes).expect("a whole answer"))
    });
    read.await.expect("an answer to the request").unwrap()
}

/// The answer, if it has arrived as a whole.
fn whole(bytes: &[u8]) -> Option<Answer> {
    let text = std::str::from_utf8(bytes).ok()?;
    let (head, body) = text.split_once("\r\n\r\n")?;
    let answer = Answer { http: head[9..12].parse().unwrap(), head: head.to_lowercase(), body: body.to_owned() };
    let length: usize = answer.header("content-length").map_or(0, |length| length.parse().unwrap());
    (answer.body.len() == length).then_some(answer)
}

/// A session.
pub struct Polling {
    pub address: SocketAddr,
    pub path: String,
    pub token: String,
    /// What was heard and not looked at yet.
    heard: Vec<Value>,
}

impl Polling {
    /// Opens a session below `mount`, which may have a query.
    pub async fn open(address: SocketAddr, mount: &str, vsn: &str, headers: &[&str]) -> Self {
        let (mount, query) = mount.split_once('?').map_or((mount, String::new()), |(m, q)| (m, format!("&{q}")));
        let path = format!("{mount}/longpoll?vsn={vsn}{query}");
        let answer = ask(address, "GET", &path, headers, b"").await;
        assert_eq!(answer.status(), 410, "{answer:?}");
        let token = answer.json()["token"].as_str().unwrap().to_owned();
        Self { address, path, token, heard: Vec::new() }
    }

    pub fn with_token(&self) -> String {
        format!("{}&token={}", self.path, self.token)
    }

    pub async fn get(&self) -> Answer {
        ask(self.address, "GET", &self.with_token(), &[], b"").await
    }

    /// Sends one message, and returns the status that is told.
    pub async fn post(&self, text: &str) -> u64 {
        ask(self.address, "POST", &self.with_token(), &[], text.as_bytes()).await.status()
    }

    /// Sends several messages, and returns the status that is told.
    pub async fn batch(&self, lines: &[&str]) -> u64 {
        ask(self.address, "POST", &self.with_token(), &[BATCH], lines.join("\n").as_bytes()).await.status()
    }

    /// Says something that must be taken.
    pub async fn say(&self, text: &str) {
        assert_eq!(self.post(text).await, 200, "{text}");
    }

    /// The next message, as it was written.
    pub async fn hear_text(&mut self) -> String {
        self.hear_value().await.as_str().unwrap().to_owned()
    }

    async fn hear_value(&mut self) -> Value {
        while self.heard.is_empty() {
            let mut answer = self.get().await.json();
            assert!(answer["status"] == 200 || answer["status"] == 204, "{answer}");
            assert_eq!(answer["token"], json!(self.token));
            self.heard = serde_json::from_value(answer["messages"].take()).unwrap();
        }
        self.heard.remove(0)
    }

    /// The next message.
    pub async fn hear(&mut self) -> Value {
        serde_json::from_str(&self.hear_text().await).unwrap()
    }

    pub async fn hears(&mut self, want: Value) {
        assert_eq!(self.hear().await, want);
    }

    /// What one poll that must bring something brings.
    pub async fn poll(&self) -> Vec<Value> {
        let answer = self.get().await.json();
        assert_eq!(answer["status"], 200, "{answer}");
        let messages = answer["messages"].as_array().unwrap();
        messages.iter().map(|text| serde_json::from_str(text.as_str().unwrap()).unwrap()).collect()
    }

    /// Joins a V2 topic with the mark `1`; it must be let in.
    pub async fn join(&mut self, topic: &str) {
        self.say(&json!(["1", "1", topic, "phx_join", {}]).to_string()).await;
        self.hears(json!(["1", "1", topic, "phx_reply", { "status": "ok", "response": {} }])).await;
    }
}
