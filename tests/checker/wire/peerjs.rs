//! Clients of PeerJS 0.3: they begin with a streaming response and a POST for each message, replace the stream by the
//! next one, and at last by a WebSocket, while messages arrive.

use std::cell::Cell;
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::Duration;

use futures_util::future::join;
use serde_json::Value;
use tokio::sync::Mutex;
use tokio::time::sleep;

use super::{Party, Writer, connect, read_frames, write_cut};
use crate::common::rng::Rng;
use crate::common::streaming::{Line, Stream, post};
use crate::common::{Client, upgrade};

const OPEN: &str = r#"{"type":"OPEN"}"#;
/// What a stream says that is refused. The WebSocket is told why.
const REFUSED: &str = r#"{"type":"HTTP-ERROR"}"#;

pub struct PeerJsSession {
    address: SocketAddr,
    id: String,
    token: String,
    /// Whether the server must know the client.
    is_open: Cell<bool>,
    /// The WebSocket, once it is open. Locked by what sends, so that messages keep their order.
    writer: Mutex<Option<Writer>>,
}

/// What replaces a stream.
enum Next {
    Stream(Stream),
    Socket(Client, Writer),
    /// The head of a response that is no upgrade.
    Refused(String),
}

impl PeerJsSession {
    pub fn new(address: SocketAddr, id: &str, token: &str) -> Self {
        let (id, token) = (id.to_owned(), token.to_owned());
        Self { address, id, token, is_open: Cell::new(false), writer: Mutex::default() }
    }

    pub async fn writer(&self) -> Option<Writer> {
        self.writer.lock().await.clone()
    }

    pub async fn send(&self, messages: &[String], party: &Party, rng: &mut Rng) {
        let writer = self.writer.lock().await;
        if let Some(writer) = &*writer {
            return write_cut(writer, &party.frames(messages), rng).await;
        }
        for message in messages {
            let kind: Value = serde_json::from_str(message).unwrap();
            let kind = kind["type"].as_str().unwrap().to_lowercase();
            let was_open = self.is_open.get();
            let status = post(self.address, &format!("{}/{kind}", self.path()), message).await.http;
            if status == 401 && !was_open {
                // it is not connected yet, or its id is taken: each such answer takes its time
                return;
            }
            if status != 200 && !party.is_ending.get() {
                party.fault(format!("the server refuses a message with {status}"));
            }
        }
    }

    fn path(&self) -> String {
        format!("/peerjs/{}/{}", self.id, self.token)
    }

    async fn stream(&self, index: u64) -> Stream {
        Stream::request(self.address, &format!("{}/id?i={index}", self.path())).await
    }

    /// Reads one stream after the other, then the WebSocket. Each follows while the one before it is still open, and is
    /// read after its end.
    pub async fn read(self: Rc<Self>, party: Party, mut rng: Rng) {
        let (mut stream, streams) = (self.stream(0).await, 1 + rng.below(5));
        for index in 1.. {
            let follow = self.follow((index < streams).then_some(index), &mut rng);
            match join(self.read_stream(stream, &party), follow).await.1 {
                Next::Stream(next) => stream = next,
                Next::Socket(client, writer) => return read_frames(client, party, writer).await,
                Next::Refused(head) => return party.fault(format!("no upgrade: {head}")),
            }
        }
    }

    async fn read_stream(&self, mut stream: Stream, party: &Party) {
        loop {
            match stream.next().await {
                Line::Text(line) => {
                    self.is_open.set(self.is_open.get() || line == OPEN);
                    party.hear(&line);
                }
                Line::End(rest) if rest.is_empty() || rest == REFUSED && !self.is_open.get() => return,
                other => return party.fault(format!("a stream ends with {other:?}")),
            }
        }
    }

    /// The stream of this index, or the WebSocket.
    async fn follow(&self, index: Option<u64>, rng: &mut Rng) -> Next {
        sleep(Duration::from_micros(rng.below(100_000))).await;
        if let Some(index) = index {
            return Next::Stream(self.stream(index).await);
        }
        let (stream, writer) = connect(self.address).await;
        let path = format!("/peerjs?key=peerjs&id={}&token={}", self.id, self.token);
        write_cut(&writer, upgrade(&path).as_bytes(), rng).await;
        let mut client = Client::from_stream(stream);
        let head = client.head().await;
        if !head.starts_with("HTTP/1.1 101") {
            return Next::Refused(head);
        }
        *self.writer.lock().await = Some(writer.clone());
        Next::Socket(client, writer)
    }
}
