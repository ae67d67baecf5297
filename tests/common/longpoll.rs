//! A long-polling client: it builds each HTTP request by hand, sends it on a new connection, and keeps the session.

use std::net::SocketAddr;

use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::TIMEOUT;

/// The content type of a request that carries several messages.
pub const BATCH: &str = "content-type: application/x-ndjson";

/// An HTTP response. Its headers are in lower case.
#[derive(Debug)]
pub struct Response {
    pub http: u16,
    pub head: String,
    pub body: String,
}

impl Response {
    pub fn header(&self, name: &str) -> Option<&str> {
        self.head.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(": "))
    }

    pub fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_else(|_| panic!("not JSON: {self:?}"))
    }

    /// The status in the JSON body. Long polling reports its own status there, under an HTTP status of 200.
    pub fn status(&self) -> u64 {
        self.json()["status"].as_u64().unwrap()
    }
}

/// Sends one request, and returns the response.
pub async fn request(address: SocketAddr, method: &str, path: &str, headers: &[&str], body: &[u8]) -> Response {
    let mut stream = TcpStream::connect(address).await.unwrap();
    let more: String = headers.iter().map(|line| format!("{line}\r\n")).collect();
    let length = if body.is_empty() { String::new() } else { format!("content-length: {}\r\n", body.len()) };
    let head = format!("{method} {path} HTTP/1.1\r\nhost: {address}\r\nconnection: close\r\n{length}{more}\r\n");
    stream.write_all(head.as_bytes()).await.unwrap();
    // the server may respond, and close, before it has read the whole body
    let _ = stream.write_all(body).await;
    response(&mut stream).await
}

/// Reads one whole response.
pub async fn response(stream: &mut TcpStream) -> Response {
    let mut bytes = Vec::new();
    let read = timeout(2 * TIMEOUT, async {
        while stream.read_buf(&mut bytes).await? > 0 {
            if let Some(response) = parse(&bytes) {
                return Ok(response);
            }
        }
        std::io::Result::Ok(parse(&bytes).expect("a whole response"))
    });
    read.await.expect("a response to the request").unwrap()
}

/// The response, if all of it has arrived.
fn parse(bytes: &[u8]) -> Option<Response> {
    let text = std::str::from_utf8(bytes).ok()?;
    let (head, body) = text.split_once("\r\n\r\n")?;
    let response = Response { http: head[9..12].parse().unwrap(), head: head.to_lowercase(), body: body.to_owned() };
    let length: usize = response.header("content-length").map_or(0, |length| length.parse().unwrap());
    (response.body.len() == length).then_some(response)
}

/// One long-polling session.
pub struct LongPollClient {
    pub address: SocketAddr,
    pub path: String,
    pub token: String,
    /// Messages that were received but not read yet.
    unread: Vec<Value>,
}

impl LongPollClient {
    /// Opens a session on `mount`. The mount may have a query.
    pub async fn open(address: SocketAddr, mount: &str, vsn: &str, headers: &[&str]) -> Self {
        let (mount, query) = mount.split_once('?').map_or((mount, String::new()), |(m, q)| (m, format!("&{q}")));
        let path = format!("{mount}/longpoll?vsn={vsn}{query}");
        let response = request(address, "GET", &path, headers, b"").await;
        assert_eq!(response.status(), 410, "{response:?}");
        let token = response.json()["token"].as_str().unwrap().to_owned();
        Self { address, path, token, unread: Vec::new() }
    }

    pub fn with_token(&self) -> String {
        format!("{}&token={}", self.path, self.token)
    }

    pub async fn get(&self) -> Response {
        request(self.address, "GET", &self.with_token(), &[], b"").await
    }

    /// Sends one message, and returns the status in the response.
    pub async fn post(&self, text: &str) -> u64 {
        request(self.address, "POST", &self.with_token(), &[], text.as_bytes()).await.status()
    }

    /// Sends several messages in one request, and returns the status in the response.
    pub async fn batch(&self, lines: &[&str]) -> u64 {
        request(self.address, "POST", &self.with_token(), &[BATCH], lines.join("\n").as_bytes()).await.status()
    }

    /// Sends a message, which must be accepted.
    pub async fn send(&self, text: &str) {
        assert_eq!(self.post(text).await, 200, "{text}");
    }

    /// The next message, as text.
    pub async fn receive_text(&mut self) -> String {
        self.receive_value().await.as_str().unwrap().to_owned()
    }

    async fn receive_value(&mut self) -> Value {
        while self.unread.is_empty() {
            let mut response = self.get().await.json();
            assert!(response["status"] == 200 || response["status"] == 204, "{response}");
            assert_eq!(response["token"], json!(self.token));
            self.unread = serde_json::from_value(response["messages"].take()).unwrap();
        }
        self.unread.remove(0)
    }

    /// The next message.
    pub async fn receive(&mut self) -> Value {
        serde_json::from_str(&self.receive_text().await).unwrap()
    }

    pub async fn expect(&mut self, expected: Value) {
        assert_eq!(self.receive().await, expected);
    }

    /// The messages of one poll, which must return at least one.
    pub async fn poll(&self) -> Vec<Value> {
        let response = self.get().await.json();
        assert_eq!(response["status"], 200, "{response}");
        let messages = response["messages"].as_array().unwrap();
        messages.iter().map(|text| serde_json::from_str(text.as_str().unwrap()).unwrap()).collect()
    }

    /// Joins a V2 topic with `ref` `1`. The join must succeed.
    pub async fn join(&mut self, topic: &str) {
        self.send(&json!(["1", "1", topic, "phx_join", {}]).to_string()).await;
        self.expect(json!(["1", "1", topic, "phx_reply", { "status": "ok", "response": {} }])).await;
    }
}
