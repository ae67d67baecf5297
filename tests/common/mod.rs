//! What the tests share: a node on a free port, and a client that speaks bytes.
//!
//! Everything waits for what it wants to see, at most [`PATIENCE`], and says what it saw instead.

#![allow(dead_code, reason = "each test binary uses its part")]

pub mod dice;
pub mod hub;
pub mod longpoll;
pub mod phoenix;
pub mod process;

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::time::Duration;

use handclasp::{Config, Endpoint, Node};
use socket2::{Domain, Socket, Type};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

/// How long a test waits for what must come.
pub const PATIENCE: Duration = Duration::from_secs(10);

/// A configuration of the given keys, `section.key=value`, on a free port and with one worker.
pub fn config(sets: &[&str]) -> Config {
    // the tests of a binary share its descriptors, and a connection within the process takes two
    rlimit::increase_nofile_limit(8_192).unwrap();
    let sets: Vec<String> = ["server.workers=1"].iter().chain(sets).map(ToString::to_string).collect();
    Config::load(None, [], &sets, Some("127.0.0.1:0")).unwrap()
}

/// A node with the standard channels.
pub fn node(sets: &[&str]) -> Node {
    Endpoint::new(config(sets)).start().unwrap()
}

/// A peer's id, another for each number; whoever comes first may have it.
pub fn id(n: usize) -> String {
    format!("00000000-0000-4000-8000-{n:012}")
}

/// Asks again and again until it is so.
pub async fn eventually<F: Future<Output = bool>>(what: &str, mut ask: impl FnMut() -> F) {
    let asked = timeout(PATIENCE, async {
        while !ask().await {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    });
    assert!(asked.await.is_ok(), "never came true: {what}");
}

/// Waits until nobody is left, and nothing of anybody.
pub async fn empty(node: &Node) {
    let (pubsub, want) = (node.pubsub(), handclasp::RegistryStats::default());
    eventually("an empty registry", || async { pubsub.stats().await == want && node.connections() == 0 }).await;
}

/// Gets a page: its status and body.
pub async fn get(address: SocketAddr, path: &str) -> (u16, String) {
    let mut stream = TcpStream::connect(address).await.unwrap();
    let request = format!("GET {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    timeout(PATIENCE, stream.read_to_string(&mut answer)).await.expect("an answer to the request").unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    (head[9..12].parse().unwrap(), body.to_owned())
}

/// What a client hears.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Heard {
    Text(String),
    Binary(Vec<u8>),
    Ping(Vec<u8>),
    Pong(Vec<u8>),
    /// A close frame: its code (1005 when it has none) and words.
    Close(u16, String),
    /// The connection ended (with whatever is left unsaid).
    End,
}

/// A WebSocket client made of bytes, so that it can do what no well-behaved client would.
pub struct Client {
    pub stream: TcpStream,
    buffer: VecDeque<u8>,
}

impl Client {
    /// Over a connection that is there already.
    pub fn of(stream: TcpStream) -> Self {
        stream.set_nodelay(true).unwrap();
        Self { stream, buffer: VecDeque::new() }
    }

    /// Connects to `/socket` and speaks V2.
    pub async fn new(address: SocketAddr) -> Self {
        Self::open(address, "/socket/websocket?vsn=2.0.0", &[]).await
    }

    /// One for whom the kernel keeps little, so that it stalls soon: small windows, and segments as on a real wire.
    pub async fn narrow(address: SocketAddr) -> Self {
        let socket = Socket::new(Domain::for_address(address), Type::STREAM, None).unwrap();
        socket.set_recv_buffer_size(4_096).unwrap();
        socket.set_tcp_mss(1_000).unwrap();
        socket.connect(&address.into()).unwrap();
        socket.set_nonblocking(true).unwrap();
        let mut client = Self::of(TcpStream::from_std(socket.into()).unwrap());
        client.raw(upgrade("/socket/websocket?vsn=2.0.0").as_bytes()).await;
        assert!(client.head().await.starts_with("HTTP/1.1 101"));
        client
    }

    /// Connects to any path, with further header lines; it must be accepted.
    pub async fn open(address: SocketAddr, path: &str, headers: &[&str]) -> Self {
        let (client, answer) = Self::ask(address, path, headers).await;
        assert!(answer.starts_with("HTTP/1.1 101"), "{answer}");
        client
    }

    /// Asks for an upgrade and returns the answer's head, whatever it is.
    pub async fn ask(address: SocketAddr, path: &str, headers: &[&str]) -> (Self, String) {
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

    /// Sends any request and returns the answer's head.
    pub async fn request(address: SocketAddr, request: &str) -> (Self, String) {
        let mut client = Self::of(TcpStream::connect(address).await.unwrap());
        client.raw(request.as_bytes()).await;
        let head = client.head().await;
        (client, head)
    }

    /// The head of an answer; what came of it, when the connection ends before.
    pub async fn head(&mut self) -> String {
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            match timeout(PATIENCE, self.byte()).await.expect("an answer to the request") {
                Some(byte) => head.push(byte),
                None => break,
            }
        }
        String::from_utf8(head).unwrap()
    }

    /// The body that an answer with this head has.
    pub async fn body(&mut self, head: &str) -> Vec<u8> {
        let length = head.lines().find_map(|line| line.strip_prefix("content-length: "));
        let length = length.map_or(0, |length| length.trim().parse().unwrap());
        let mut body = Vec::new();
        while body.len() < length {
            match timeout(PATIENCE, self.byte()).await.expect("the body of an answer") {
                Some(byte) => body.push(byte),
                None => break,
            }
        }
        body
    }

    /// Sends a text message.
    pub async fn say(&mut self, text: &str) {
        self.raw(&frame(0x81, text.as_bytes())).await;
    }

    /// Sends a binary message.
    pub async fn say_bytes(&mut self, bytes: &[u8]) {
        self.raw(&frame(0x82, bytes)).await;
    }

    /// Sends bytes as they are. That the other side has hung up is for the test to hear.
    pub async fn raw(&mut self, bytes: &[u8]) {
        let _ = self.stream.write_all(bytes).await;
    }

    /// The next thing heard.
    pub async fn hear_any(&mut self) -> Heard {
        timeout(PATIENCE, self.next()).await.expect("nothing was heard")
    }

    /// The next text message.
    pub async fn hear(&mut self) -> String {
        match self.hear_any().await {
            Heard::Text(text) => text,
            other => panic!("heard {other:?}, not text"),
        }
    }

    /// The next text message must be this.
    pub async fn hears(&mut self, want: &str) {
        assert_eq!(self.hear().await, want);
    }

    /// Listens until a text message holds `part`, and returns it.
    pub async fn hear_until(&mut self, part: &str) -> String {
        loop {
            let text = self.hear().await;
            if text.contains(part) {
                return text;
            }
        }
    }

    /// Says something and hears this.
    pub async fn ask_for(&mut self, say: &str, want: &str) {
        self.say(say).await;
        self.hears(want).await;
    }

    /// Joins a V2 topic; it must be let in.
    pub async fn join(&mut self, join_ref: &str, topic: &str, payload: &str) -> String {
        self.say(&format!(r#"["{join_ref}","{join_ref}","{topic}","phx_join",{payload}]"#)).await;
        let answer = self.hear_until("phx_reply").await;
        assert!(answer.contains(r#""status":"ok""#), "{answer}");
        answer
    }

    /// Listens until the connection is closed, and returns the code.
    pub async fn closed(&mut self) -> u16 {
        loop {
            match self.hear_any().await {
                Heard::Close(code, _) => return code,
                Heard::End => return 1006,
                _ => {}
            }
        }
    }

    /// Nothing is to be heard: proved by heartbeats whose answers come first. What a client says is handled before what it
    /// is told, and only after that what it says next.
    pub async fn hears_nothing(&mut self) {
        for _ in 0..2 {
            self.say(r#"[null,"quiet?","phoenix","heartbeat",{}]"#).await;
            self.hears(r#"[null,"quiet?","phoenix","phx_reply",{"status":"ok","response":{}}]"#).await;
        }
    }

    async fn next(&mut self) -> Heard {
        let (Some(first), Some(second)) = (self.byte().await, self.byte().await) else { return Heard::End };
        let length = match second & 0x7F {
            126 => self.number(2).await,
            127 => self.number(8).await,
            short => usize::from(short),
        };
        let mut payload = Vec::with_capacity(length);
        for _ in 0..length {
            match self.byte().await {
                Some(byte) => payload.push(byte),
                None => return Heard::End,
            }
        }
        let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
        match first & 0x0F {
            1 => Heard::Text(text(&payload)),
            2 => Heard::Binary(payload),
            8 if payload.len() < 2 => Heard::Close(1005, String::new()),
            8 => Heard::Close(u16::from_be_bytes([payload[0], payload[1]]), text(&payload[2..])),
            9 => Heard::Ping(payload),
            10 => Heard::Pong(payload),
            opcode => panic!("the server sent a frame of kind {opcode}"),
        }
    }

    async fn number(&mut self, bytes: usize) -> usize {
        let mut number = 0;
        for _ in 0..bytes {
            number = number << 8 | usize::from(self.byte().await.unwrap());
        }
        number
    }

    async fn byte(&mut self) -> Option<u8> {
        if self.buffer.is_empty() {
            let mut chunk = [0; 16_384];
            let read = self.stream.read(&mut chunk).await.unwrap_or(0);
            self.buffer.extend(&chunk[..read]);
        }
        self.buffer.pop_front()
    }
}

/// The request for a WebSocket.
pub fn upgrade(path: &str) -> String {
    format!(
        "GET {path} HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
         Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
    )
}

/// A masked frame; its mask is not zero, so that a server that forgets it is found out.
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
