//! Protocol tests as bytes: every file in `tests/transcripts/<protocol>` is a conversation with a node, and a client
//! must receive exactly what the file says.
//!
//! | line | meaning |
//! |---|---|
//! | `# text` | the fact, and the section of the protocol's specification that states it |
//! | `set key=value` | a setting of the node, before the first client |
//! | `connect PATH` | a client connects |
//! | `a poll PATH`, `a push PATH BODY` | client `a` sends a GET or a POST, on a connection of its own |
//! | `<body text` | this is the body of the response to its oldest request that has not been read |
//! | `> text`, `>x bytes` | it sends a text message, or a binary one |
//! | `>frame 81 bytes` | it sends one masked frame with this first byte |
//! | `>raw bytes` | it sends raw bytes |
//! | `< text`, `<x bytes`, `<ping bytes`, `<pong bytes` | this is the next frame it receives |
//! | `<close 1011` | it receives a close frame with this code; 1005: without a code |
//! | `stream PATH` | a client requests a streaming response of PeerServer's HTTP transport |
//! | `<end` | its streaming response ends |
//! | `post STATUS PATH BODY` | a request with this body gets a response with this status |
//! | `drop` | it closes the connection without a close frame |
//! | `broadcast TOPIC EVENT PAYLOAD` | the server broadcasts on a topic, once it has a member |
//! | `counted NAME N` | the node's counter of this name reaches N |
//! | `drain` | the node drains |
//!
//! With several clients, a line begins with the name of the client: `a connect ...`, `b< text`. Bytes are written in
//! hexadecimal, or as text in single or double quotes. `${name}` stands for the text that was received in its place
//! first; `${300*x}` is 300 times `x`. At the end of a file, no client may have received more than the file says, and
//! nothing may remain on the node.

#[path = "../transcripts/lab.rs"]
mod lab;
#[path = "../transcripts/script.rs"]
mod script;

use std::cell::Cell;
use std::collections::{BTreeMap, HashMap, VecDeque};
use std::path::{Path, PathBuf};

use handclasp::message::DeliveryStatus;
use handclasp::metrics::Metrics;
use handclasp::metrics::{DropReason, JoinRefusal, PushRefusal};
use handclasp::{Endpoint, Node, Payload, Topic};
use script::{bytes, filled, parts, repeated};
use tokio::net::TcpStream;

use crate::common::streaming::{Line, Stream, post};
use crate::common::{Client, Received, config, frame, wait_until, wait_until_empty};

#[actix_web::test]
async fn phoenix() {
    run_all("phoenix").await;
}

#[actix_web::test]
async fn peerjs() {
    run_all("peerjs").await;
}

#[actix_web::test]
async fn engineio() {
    run_all("engineio").await;
}

#[actix_web::test]
async fn socketio() {
    run_all("socketio").await;
}

#[actix_web::test]
async fn socketio_0_9() {
    run_all("socketio-0.9").await;
}

#[actix_web::test]
async fn hello() {
    run_all("hello").await;
}

#[actix_web::test]
async fn relay() {
    run_all("relay").await;
}

/// Runs all transcripts of a protocol at the same time, and reports those that failed.
async fn run_all(protocol: &str) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/transcripts").join(protocol);
    let mut files: Vec<PathBuf> = folder.read_dir().unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    assert!(!files.is_empty(), "no transcripts in {}", folder.display());
    let running = files.into_iter().map(|file| (file.clone(), actix_web::rt::spawn(run(file))));
    let mut failed = Vec::new();
    for (file, transcript) in running.collect::<Vec<_>>() {
        if transcript.await.is_err() {
            failed.push(file.file_name().unwrap().to_owned());
        }
    }
    assert!(failed.is_empty(), "failed: {failed:?}; the lines are printed above");
}

async fn run(file: PathBuf) {
    let text = std::fs::read_to_string(&file).unwrap();
    let label = LineLabel { file, line: Cell::new(0) };
    let mut runner = Runner::default();
    for (number, line) in text.lines().enumerate() {
        label.line.set(number + 1);
        if !line.is_empty() && !line.starts_with('#') {
            runner.run_line(line).await;
        }
    }
    runner.finish().await;
}

/// Prints the current line if a panic unwinds past it.
struct LineLabel {
    file: PathBuf,
    line: Cell<usize>,
}

impl Drop for LineLabel {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("^ at {}:{}", self.file.display(), self.line.get());
        }
    }
}

#[derive(Default)]
struct Runner {
    sets: Vec<String>,
    node: Option<Node>,
    clients: BTreeMap<String, Client>,
    streams: BTreeMap<String, Stream>,
    /// The requests of each client whose responses have not been read, oldest first.
    requests: BTreeMap<String, VecDeque<Client>>,
    variables: HashMap<String, String>,
}

impl Runner {
    async fn run_line(&mut self, line: &str) {
        let (verb, rest) = line.split_once(' ').unwrap_or((line, ""));
        match verb {
            "set" => self.sets.push(rest.to_owned()),
            "broadcast" => self.broadcast(rest).await,
            "counted" => self.expect_count(rest).await,
            "drain" => {
                let node = self.node.take().expect("a node to drain");
                actix_web::rt::spawn(node.drain());
            }
            "connect" | "drop" | "stream" => self.run_client_line("", line).await,
            "post" => self.post(rest).await,
            _ => {
                let end = line.find([' ', '<', '>']).expect("a line begins with a verb or a client");
                self.run_client_line(&line[..end], line[end..].trim_start()).await;
            }
        }
    }

    /// Runs one line of one client.
    async fn run_client_line(&mut self, name: &str, line: &str) {
        let (verb, rest) = line.split_once(' ').unwrap_or((line, ""));
        let rest = repeated(rest);
        match verb {
            "connect" => return self.connect(name, &filled(&rest, &self.variables)).await,
            "poll" | "push" => return self.request(name, verb, &filled(&rest, &self.variables)).await,
            "<body" => return self.expect_body(name, &rest).await,
            "stream" => {
                let stream = Stream::open(self.node().address(), &rest).await;
                self.streams.insert(name.to_owned(), stream);
                return;
            }
            "drop" => {
                let dropped = (self.clients.remove(name).is_some(), self.streams.remove(name).is_some());
                assert_ne!(dropped, (false, false), "a client to drop");
                return;
            }
            _ => {}
        }
        let text = filled(&rest, &self.variables);
        if let Some(stream) = self.streams.get_mut(name) {
            match verb {
                "<" => stream.expect(&text).await,
                "<end" => {
                    assert_eq!(stream.next().await, Line::End(text));
                    self.streams.remove(name);
                }
                other => panic!("unknown verb of a stream: {other:?}"),
            }
            return;
        }
        let client = &mut self.clients.get_mut(name).expect("a client that has connected");
        match verb {
            ">" => client.send(&text).await,
            ">x" => client.send_binary(&bytes(&text)).await,
            ">raw" => client.raw(&bytes(&text)).await,
            ">frame" => client.raw(&frame(bytes(&text)[0], &bytes(&text)[1..])).await,
            "<" => {
                let received = client.receive().await;
                assert!(matches(&rest, &received, &mut self.variables), "\nreceived {received}\nexpected {text}");
            }
            "<x" => assert_eq!(client.receive_any().await, Received::Binary(bytes(&text))),
            "<ping" => assert_eq!(client.receive_any().await, Received::Ping(bytes(&text))),
            "<pong" => assert_eq!(client.receive_any().await, Received::Pong(bytes(&text))),
            "<close" => {
                let code = match client.receive_any().await {
                    Received::Close(code, _) => code,
                    other => panic!("received {other:?} instead of a close frame"),
                };
                assert_eq!(code, rest.parse::<u16>().unwrap());
                self.clients.remove(name);
            }
            other => panic!("unknown verb {other:?}"),
        }
    }

    async fn post(&mut self, line: &str) {
        let line = repeated(line);
        let [status, path, body] = line.splitn(3, ' ').collect::<Vec<_>>()[..] else {
            panic!("post needs three arguments")
        };
        let response = post(self.node().address(), path, body).await;
        assert_eq!(response.http, status.parse::<u16>().unwrap(), "{response:?}");
    }

    async fn connect(&mut self, name: &str, path: &str) {
        let address = self.node().address();
        let client = Client::open(address, path, &[]).await;
        self.clients.insert(name.to_owned(), client);
    }

    async fn request(&mut self, name: &str, verb: &str, rest: &str) {
        let (path, body) = rest.split_once(' ').unwrap_or((rest, ""));
        let (method, length) = (if verb == "poll" { "GET" } else { "POST" }, body.len());
        let mut client = Client::from_stream(TcpStream::connect(self.node().address()).await.unwrap());
        let head = format!("{method} {path} HTTP/1.1\r\nHost: node.localhost\r\nContent-Length: {length}\r\n\r\n");
        client.raw(&[head.as_bytes(), body.as_bytes()].concat()).await;
        self.requests.entry(name.to_owned()).or_default().push_back(client);
    }

    async fn expect_body(&mut self, name: &str, expected: &str) {
        let mut client = self.requests.get_mut(name).and_then(VecDeque::pop_front).expect("a request before");
        let head = client.head().await;
        let body = String::from_utf8(client.body(&head).await).unwrap();
        let text = filled(expected, &self.variables);
        assert!(matches(expected, &body, &mut self.variables), "\nreceived {body}\nexpected {text}");
    }

    fn node(&mut self) -> &Node {
        let sets: Vec<&str> = self.sets.iter().map(String::as_str).collect();
        self.node.get_or_insert_with(|| lab::mounts(Endpoint::new(config(&sets))).start().unwrap())
    }

    async fn broadcast(&mut self, line: &str) {
        let [topic, event, payload] = line.splitn(3, ' ').collect::<Vec<_>>()[..] else {
            panic!("broadcast needs three arguments")
        };
        let pubsub = self.node().pubsub();
        wait_until("the topic has a member", || async { pubsub.count(topic) > 0 }).await;
        let payload: serde_json::Value = serde_json::from_str(payload).unwrap();
        pubsub.broadcast(&Topic::parse(topic).unwrap(), event, Payload::json(&payload).unwrap());
    }

    async fn expect_count(&mut self, line: &str) {
        let (name, number) = line.split_once(' ').unwrap();
        let (pubsub, number) = (self.node().pubsub(), number.parse::<u64>().unwrap());
        wait_until(line, || async { count(pubsub.metrics(), name) == number }).await;
    }

    /// No client has received anything else, and nothing remains on the node.
    async fn finish(mut self) {
        for (name, client) in &mut self.clients {
            client.raw(&frame(0x89, b"end")).await;
            assert_eq!(
                client.receive_any().await,
                Received::Pong(b"end".into()),
                "received by {name:?} after the last line"
            );
        }
        assert!(self.streams.is_empty(), "streams that have neither ended nor been dropped: {:?}", self.streams.keys());
        assert!(self.requests.values().all(VecDeque::is_empty), "a response was not read");
        self.clients.clear();
        if let Some(node) = &self.node {
            wait_until_empty(node).await;
        }
    }
}

/// The counter that a transcript calls by this name.
fn count(metrics: &Metrics, name: &str) -> u64 {
    match name {
        "absent" => metrics.signals.of(DeliveryStatus::Absent),
        "channel_crashes" => metrics.channel_crashes.get(),
        "ignored" => metrics.messages_dropped.of(DropReason::Ignored),
        "joins" => metrics.joins.get(),
        "rate_limited" => {
            metrics.messages_refused.of(PushRefusal::RateLimited) + metrics.joins_refused.of(JoinRefusal::RateLimited)
        }
        "unencodable" => metrics.messages_dropped.of(DropReason::Unencodable),
        _ => panic!("no counter is called {name}"),
    }
}

/// Whether the received text matches. Stores the text of each new `${name}`.
fn matches(expected: &str, received: &str, variables: &mut HashMap<String, String>) -> bool {
    let (mut rest, parts) = (received, parts(expected).collect::<Vec<_>>());
    for (index, (literal, name)) in parts.iter().enumerate() {
        let Some(after) = rest.strip_prefix(literal) else { return false };
        rest = after;
        let Some(name) = name else { continue };
        let next = parts.get(index + 1).map_or("", |(literal, _)| literal);
        let end = rest.find(next.get(..1).unwrap_or("\n")).unwrap_or(rest.len());
        let word = variables.entry((*name).to_owned()).or_insert_with(|| rest[..end].to_owned());
        let Some(after) = rest.strip_prefix(&**word) else { return false };
        rest = after;
    }
    rest.is_empty()
}
