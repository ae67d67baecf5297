//! The server API: its listener, keys and routes.

#[path = "../common/mod.rs"]
mod common;

mod clients;
mod hostile;
mod listener;
mod messages;
#[cfg(feature = "cluster")]
mod nodes;

use std::net::SocketAddr;

use handclasp::{Endpoint, Node};
use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::common::{TIMEOUT, config};

/// A key with all permissions, one that may only read, and one that may only publish.
pub const ALL: &str = "all-0123456789abcdef0123456789abcdef";
pub const READ: &str = "read-0123456789abcdef0123456789abcdef";
pub const PUBLISH: &str = "publish-0123456789abcdef0123456789abcdef";

/// The settings of a listener with these keys.
pub fn settings() -> [String; 2] {
    let key = |name, key, permissions| format!(r#"{{ name = "{name}", key = "{key}", permissions = {permissions} }}"#);
    let keys = [
        key("all", ALL, r#"["read", "publish", "disconnect", "revoke", "drain"]"#),
        key("read", READ, r#"["read"]"#),
        key("publish", PUBLISH, r#"["publish"]"#),
    ];
    ["api.listen=127.0.0.1:0".to_owned(), format!("api.keys=[{}]", keys.join(", "))]
}

/// A node with the API.
pub fn api_node(sets: &[&str]) -> Node {
    let settings = settings();
    let sets: Vec<&str> = settings.iter().map(String::as_str).chain(sets.iter().copied()).collect();
    Endpoint::new(config(&sets)).start().unwrap()
}

/// A response.
pub struct Response {
    pub status: u16,
    pub head: String,
    pub body: String,
}

impl Response {
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_else(|_| panic!("{}: {:?}", self.status, self.body))
    }

    /// Status and reason of an error.
    pub fn error(&self) -> (u16, String) {
        (self.status, self.json()["reason"].as_str().unwrap().to_owned())
    }

    pub fn header(&self, name: &str) -> Option<&str> {
        let start = format!("{name}: ");
        self.head.lines().find_map(|line| line.strip_prefix(&*start))
    }
}

/// Sends a request as it is, and reads until the connection closes.
pub async fn raw(address: SocketAddr, request: &[u8]) -> Response {
    let mut stream = TcpStream::connect(address).await.unwrap();
    // an error means that the listener has closed the connection: its response is read all the same
    let _ = stream.write_all(request).await;
    read(&mut stream).await
}

/// Reads a response until the connection closes.
pub async fn read(stream: &mut (impl AsyncReadExt + Unpin)) -> Response {
    let mut bytes = Vec::new();
    let _ = timeout(TIMEOUT, stream.read_to_end(&mut bytes)).await.expect("a response, and the end of the connection");
    let text = String::from_utf8(bytes).unwrap();
    let (head, body) = text.split_once("\r\n\r\n").unwrap_or_else(|| panic!("no response: {text:?}"));
    Response { status: head[9..12].parse().unwrap(), head: head.to_owned(), body: body.to_owned() }
}

/// A request with a key, further header lines and a body of JSON.
pub fn request(method: &str, path: &str, key: &str, headers: &str, body: &str) -> String {
    let body = match method {
        "GET" | "HEAD" => String::new(),
        _ if body.is_empty() => "Content-Length: 0\r\n\r\n".to_owned(),
        _ => format!("Content-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}", body.len()),
    };
    let end = if body.is_empty() { "\r\n" } else { "" };
    let key = if key.is_empty() { String::new() } else { format!("Authorization: Bearer {key}\r\n") };
    format!("{method} {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n{key}{headers}{body}{end}")
}

/// Sends a request.
pub async fn send(node: &Node, method: &str, path: &str, key: &str, body: &str) -> Response {
    raw(node.api_address().unwrap(), request(method, path, key, "", body).as_bytes()).await
}

/// Posts JSON with the key of all permissions. The answer must be 200.
pub async fn post(node: &Node, path: &str, body: Value) -> Value {
    let response = send(node, "POST", path, ALL, &body.to_string()).await;
    assert_eq!(response.status, 200, "{path} {body}: {}", response.body);
    response.json()
}

/// Reads with the key of all permissions. The answer must be 200.
pub async fn get(node: &Node, path: &str) -> Value {
    let response = send(node, "GET", path, ALL, "").await;
    assert_eq!(response.status, 200, "{path}: {}", response.body);
    response.json()
}
