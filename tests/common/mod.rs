//! What the tests share: a node on a free port, and a WebSocket client that reads and writes raw bytes.
//!
//! Every wait has a time limit of [`TIMEOUT`], and a failed assertion shows what was received instead.

#![allow(dead_code, reason = "each test binary uses its part")]

pub mod certificate;
pub mod child;
pub mod cluster;
pub mod longpoll;
pub mod memory_engine;
#[cfg(feature = "nats")]
pub mod nats;
pub mod phoenix;
pub mod process;
pub mod receiver;
#[cfg(feature = "redis")]
pub mod redis;
pub mod rng;
pub mod shared_adapter;
pub mod streaming;
pub mod tls;

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::time::Duration;

use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use handclasp::broker::adapter::LocalAdapter;
use handclasp::{Config, Endpoint, Node, Pubsub, RegistryStats};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use socket2::{Domain, Socket, Type};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

/// How long a test waits for something to happen.
pub const TIMEOUT: Duration = Duration::from_secs(10);

/// Nothing is refused for its rate.
pub const UNLIMITED: [&str; 12] = [
    "limits.connects_per_second=1000000",
    "limits.connects_burst=1000000",
    "limits.messages_per_second=1000000",
    "limits.messages_burst=1000000",
    "limits.joins_per_socket=10000",
    "limits.joins_per_second=1000000",
    "limits.joins_burst=1000000",
    "limits.not_found_per_minute=1000000",
    "limits.not_found_burst=1000000",
    "limits.not_found_burst_per_ip=1000000000",
    "limits.not_found_per_minute_per_ip=1000000000",
    "limits.queue_bytes=16777216",
];

/// A configuration with the given settings (`section.key=value`), a free port and one worker.
pub fn config(sets: &[&str]) -> Config {
    // all tests of a binary share its descriptors, and a connection within the process takes two
    rlimit::increase_nofile_limit(8_192).unwrap();
    // many tests send more at once than one client may: `tests/hostile/rates.rs` tests these limits
    let standard = ["server.workers=1", "limits.bytes_burst=4000000000", "limits.fanout_bytes_burst=4000000000"];
    let sets: Vec<String> = standard.iter().chain(sets).map(ToString::to_string).collect();
    Config::load(None, [], &sets, Some("127.0.0.1:0")).unwrap()
}

/// A node with the standard channels.
pub fn node(sets: &[&str]) -> Node {
    Endpoint::new(config(sets)).start().unwrap()
}

/// The settings of a node with an engine. Nothing listens at the URL.
pub const ENGINE: [&str; 3] =
    ["cluster.engine=redis", "cluster.urls=redis://127.0.0.1:1", "cluster.secret=0123456789abcdef-0123456789abcdef"];

/// A node that has an engine in its configuration, and no other nodes.
pub fn node_with_engine(sets: &[&str]) -> Node {
    Endpoint::new(config(&[&ENGINE, sets].concat())).adapter(LocalAdapter).start().unwrap()
}

/// The settings of a node with webhooks. Nothing listens at the URL.
pub const WEBHOOKS: [&str; 2] =
    ["webhooks.url=http://127.0.0.1:1/hooks", "webhooks.secrets=whsec_MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY="];

/// The peer id with this number. It is not bound to a secret, so any client may join it.
pub fn id(n: usize) -> String {
    format!("00000000-0000-4000-8000-{n:012}")
}

/// A secret, as join parameters, and the id that can be joined only with it.
pub fn certified() -> (String, Value) {
    let secret = [uuid::Uuid::new_v4().into_bytes(), uuid::Uuid::new_v4().into_bytes()].concat();
    let hash: [u8; 32] = Sha256::digest(&secret).into();
    let id = uuid::Builder::from_custom_bytes(*hash.first_chunk().unwrap()).into_uuid();
    (id.to_string(), json!({ "secret": BASE64_URL_SAFE_NO_PAD.encode(secret) }))
}

/// Repeats a check until it is true.
pub async fn wait_until<F: Future<Output = bool>>(what: &str, ask: impl FnMut() -> F) {
    wait_for(what, TIMEOUT, ask).await;
}

/// Repeats a check until it is true, for longer than [`TIMEOUT`].
pub async fn wait_for<F: Future<Output = bool>>(what: &str, limit: Duration, mut ask: impl FnMut() -> F) {
    let checks = timeout(limit, async {
        while !ask().await {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    });
    assert!(checks.await.is_ok(), "still not true after the time limit: {what}");
}

/// Waits until the node has no connection, and its registry holds nothing.
pub async fn wait_until_empty(node: &Node) {
    let (pubsub, expected) = (node.pubsub(), RegistryStats::default());
    wait_until("an empty registry", || async { pubsub.stats().await == expected && node.connections() == 0 }).await;
}

/// Waits until the registry holds nothing.
pub async fn wait_until_registry_empty(pubsub: &Pubsub) {
    wait_until("an empty registry", || async { pubsub.stats().await == RegistryStats::default() }).await;
}

/// Requests a page, and returns its status and body.
pub async fn get(address: SocketAddr, path: &str) -> (u16, String) {
    let mut stream = TcpStream::connect(address).await.unwrap();
    let request = format!("GET {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut response = String::new();
    timeout(TIMEOUT, stream.read_to_string(&mut response)).await.expect("a response to the request").unwrap();
    let (head, body) = response.split_once("\r\n\r\n").unwrap();
    (head[9..12].parse().unwrap(), body.to_owned())
}

/// The value of one series in `/metrics`, by its name and labels. `None` if the node does not report it.
pub async fn metric(metrics: SocketAddr, series: &str) -> Option<u64> {
    let (_, text) = get(metrics, "/metrics").await;
    let value = text.lines().find_map(|line| line.strip_prefix(series)?.strip_prefix(' '))?;
    Some(value.parse().unwrap())
}

/// What a client receives.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Received {
    Text(String),
    Binary(Vec<u8>),
    Ping(Vec<u8>),
    Pong(Vec<u8>),
    /// A close frame: its code (1005 if it has none) and its reason.
    Close(u16, String),
    /// The connection was closed. An incomplete frame before it is dropped.
    Eof,
}

/// A WebSocket client that writes its own bytes, so that it can break any rule.
pub struct Client {
    pub stream: TcpStream,
    buffer: VecDeque<u8>,
}

impl Client {
    /// Uses an existing connection.
    pub fn from_stream(stream: TcpStream) -> Self {
        stream.set_nodelay(true).unwrap();
        Self { stream, buffer: VecDeque::new() }
    }

    /// Connects to `/socket` with protocol version V2.
    pub async fn new(address: SocketAddr) -> Self {
        Self::open(address, "/socket/websocket?vsn=2.0.0", &[]).await
    }

    /// A client with small kernel buffers, so that it stalls soon: a small receive window, and segments of the size
    /// that real networks use.
    pub async fn with_small_window(address: SocketAddr) -> Self {
        Self::open_with_small_window(address, "/socket/websocket?vsn=2.0.0").await
    }

    /// The same, for another path.
    pub async fn open_with_small_window(address: SocketAddr, path: &str) -> Self {
        let mut client = Self::tcp_with_small_window(address);
        client.raw(upgrade(path).as_bytes()).await;
        assert!(client.head().await.starts_with("HTTP/1.1 101"));
        client
    }

    /// A client whose kernel buffers this much, so that it stalls soon and can still read fast.
    pub async fn with_receive_buffer(address: SocketAddr, bytes: usize) -> Self {
        let socket = Socket::new(Domain::for_address(address), Type::STREAM, None).unwrap();
        socket.set_recv_buffer_size(bytes).unwrap();
        let mut client = Self::connect(socket, address);
        client.raw(upgrade("/socket/websocket?vsn=2.0.0").as_bytes()).await;
        assert!(client.head().await.starts_with("HTTP/1.1 101"));
        client
    }

    /// A connection with small kernel buffers, on which nothing was sent yet.
    pub fn tcp_with_small_window(address: SocketAddr) -> Self {
        let socket = Socket::new(Domain::for_address(address), Type::STREAM, None).unwrap();
        socket.set_recv_buffer_size(4_096).unwrap();
        socket.set_tcp_mss(1_000).unwrap();
        Self::connect(socket, address)
    }

    fn connect(socket: Socket, address: SocketAddr) -> Self {
        socket.connect(&address.into()).unwrap();
        socket.set_nonblocking(true).unwrap();
        Self::from_stream(TcpStream::from_std(socket.into()).unwrap())
    }

    /// Connects to a path, with further header lines. The upgrade must succeed.
    pub async fn open(address: SocketAddr, path: &str, headers: &[&str]) -> Self {
        let (client, response) = Self::try_open(address, path, headers).await;
        assert!(response.starts_with("HTTP/1.1 101"), "{response}");
        client
    }

    /// Requests an upgrade, and returns the head of the response, whatever its status.
    pub async fn try_open(address: SocketAddr, path: &str, headers: &[&str]) -> (Self, String) {
        let more: String = headers.iter().map(|line| format!("{line}\r\n")).collect();
        Self::request(
            address,
            &format!(
                "GET {path} HTTP/1.1\r\nHost: {address}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
                 Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n{more}\r\n"
            ),
        )
        .await
    }

    /// Sends any request, and returns the head of the response.
    pub async fn request(address: SocketAddr, request: &str) -> (Self, String) {
        let mut client = Self::from_stream(TcpStream::connect(address).await.unwrap());
        client.raw(request.as_bytes()).await;
        let head = client.head().await;
        (client, head)
    }

    /// Reads the head of a response. If the connection closes before its end, returns what arrived.
    pub async fn head(&mut self) -> String {
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            match timeout(TIMEOUT, self.byte()).await.expect("a response to the request") {
                Some(byte) => head.push(byte),
                None => break,
            }
        }
        String::from_utf8(head).unwrap()
    }

    /// Reads the body of the response with this head.
    pub async fn body(&mut self, head: &str) -> Vec<u8> {
        let length = head.lines().find_map(|line| line.strip_prefix("content-length: "));
        let length = length.map_or(0, |length| length.trim().parse().unwrap());
        let mut body = Vec::new();
        while body.len() < length {
            match timeout(TIMEOUT, self.byte()).await.expect("the body of a response") {
                Some(byte) => body.push(byte),
                None => break,
            }
        }
        body
    }

    /// Sends a text message.
    pub async fn send(&mut self, text: &str) {
        self.raw(&frame(0x81, text.as_bytes())).await;
    }

    /// Sends a binary message.
    pub async fn send_binary(&mut self, bytes: &[u8]) {
        self.raw(&frame(0x82, bytes)).await;
    }

    /// Sends raw bytes. A write error is ignored: the test sees the closed connection when it reads.
    pub async fn raw(&mut self, bytes: &[u8]) {
        let _ = self.stream.write_all(bytes).await;
    }

    /// The next frame.
    pub async fn receive_any(&mut self) -> Received {
        timeout(TIMEOUT, self.next()).await.expect("received nothing")
    }

    /// The next frame, however long it takes.
    pub async fn receive_ever(&mut self) -> Received {
        self.next().await
    }

    /// The next text message.
    pub async fn receive(&mut self) -> String {
        match self.receive_any().await {
            Received::Text(text) => text,
            other => panic!("received {other:?} instead of text"),
        }
    }

    /// The next text message must be this one.
    pub async fn expect(&mut self, expected: &str) {
        assert_eq!(self.receive().await, expected);
    }

    /// Reads messages until a text message contains `part`, and returns it.
    pub async fn receive_until(&mut self, part: &str) -> String {
        loop {
            let text = self.receive().await;
            if text.contains(part) {
                return text;
            }
        }
    }

    /// Sends a message, and expects this one in return.
    pub async fn exchange(&mut self, send: &str, expected: &str) {
        self.send(send).await;
        self.expect(expected).await;
    }

    /// The next frame must be a ping. Answers it, as browsers and all WebSocket libraries do.
    pub async fn answer_ping(&mut self) {
        let received = self.receive_any().await;
        assert!(matches!(received, Received::Ping(_)), "received {received:?} instead of a ping");
        self.pong().await;
    }

    /// Receives pings, answers none, and returns the code with which the server closes the connection.
    pub async fn ignore_pings_until_closed(&mut self) -> u16 {
        loop {
            match self.receive_any().await {
                Received::Ping(_) => {}
                Received::Close(code, _) => return code,
                other => panic!("received {other:?} instead of a ping"),
            }
        }
    }

    /// Sends what a client answers to a ping.
    pub async fn pong(&mut self) {
        self.raw(&frame(0x8A, b"")).await;
    }

    /// Sends a message, and expects this one in return. Meanwhile `owner` answers the ping by which the server checks
    /// whether the owner of a contested name is alive.
    pub async fn exchange_while_alive(&mut self, owner: &mut Self, send: &str, expected: &str) {
        self.send(send).await;
        owner.answer_ping().await;
        self.expect(expected).await;
    }

    /// Joins a V2 topic. The join must succeed.
    pub async fn join(&mut self, join_ref: &str, topic: &str, payload: &str) -> String {
        self.send(&format!(r#"["{join_ref}","{join_ref}","{topic}","phx_join",{payload}]"#)).await;
        let response = self.receive_until("phx_reply").await;
        assert!(response.contains(r#""status":"ok""#), "{response}");
        response
    }

    /// Reads until the connection closes, and returns the close code (1006 if there is no close frame).
    pub async fn close_code(&mut self) -> u16 {
        loop {
            match self.receive_any().await {
                Received::Close(code, _) => return code,
                Received::Eof => return 1006,
                _ => {}
            }
        }
    }

    /// Asserts that no message is waiting: the replies to two heartbeats come first. The server handles one message of
    /// the client, then the deliveries that are queued for it, then the client's next message.
    pub async fn expect_nothing(&mut self) {
        for _ in 0..2 {
            self.send(r#"[null,"quiet?","phoenix","heartbeat",{}]"#).await;
            self.expect(r#"[null,"quiet?","phoenix","phx_reply",{"status":"ok","response":{}}]"#).await;
        }
    }

    async fn next(&mut self) -> Received {
        let (Some(first), Some(second)) = (self.byte().await, self.byte().await) else { return Received::Eof };
        let length = match second & 0x7F {
            126 => self.number(2).await,
            127 => self.number(8).await,
            short => usize::from(short),
        };
        while self.buffer.len() < length {
            if !self.fill().await {
                return Received::Eof;
            }
        }
        let payload: Vec<u8> = self.buffer.drain(..length).collect();
        let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
        match first & 0x0F {
            1 => Received::Text(text(&payload)),
            2 => Received::Binary(payload),
            8 if payload.len() < 2 => Received::Close(1005, String::new()),
            8 => Received::Close(u16::from_be_bytes([payload[0], payload[1]]), text(&payload[2..])),
            9 => Received::Ping(payload),
            10 => Received::Pong(payload),
            opcode => panic!("the server sent a frame with opcode {opcode}"),
        }
    }

    async fn number(&mut self, bytes: usize) -> usize {
        let mut number = 0;
        for _ in 0..bytes {
            number = number << 8 | usize::from(self.byte().await.unwrap());
        }
        number
    }

    pub async fn byte(&mut self) -> Option<u8> {
        if self.buffer.is_empty() {
            self.fill().await;
        }
        self.buffer.pop_front()
    }

    /// Reads more. Returns whether the connection is still open.
    async fn fill(&mut self) -> bool {
        let mut chunk = [0; 16_384];
        let read = self.stream.read(&mut chunk).await.unwrap_or(0);
        self.buffer.extend(&chunk[..read]);
        read > 0
    }
}

/// An upgrade request.
pub fn upgrade(path: &str) -> String {
    format!(
        "GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
         Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
    )
}

/// A masked frame. Its masking key is not zero, so that a server which does not unmask fails the test.
pub fn frame(first: u8, payload: &[u8]) -> Vec<u8> {
    const MASK: [u8; 4] = [0x37, 0xfa, 0x21, 0x3d];
    let mut bytes = vec![first];
    match payload.len() {
        short @ 0..126 => bytes.push(0x80 | short as u8),
        middle @ 126..65_536 => {
            bytes.push(0x80 | 126);
            bytes.extend((middle as u16).to_be_bytes());
        }
        long => {
            bytes.push(0x80 | 127);
            bytes.extend((long as u64).to_be_bytes());
        }
    }
    bytes.extend(MASK);
    bytes.extend(payload.iter().zip(MASK.iter().cycle()).map(|(byte, mask)| byte ^ mask));
    bytes
}
