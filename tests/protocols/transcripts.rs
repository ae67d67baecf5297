//! Protocols' facts as bytes: every file below `tests/transcripts/<protocol>` is a conversation with a
//! node, and what a client hears must be exactly what stands there.
//!
//! | line | meaning |
//! |---|---|
//! | `# words` | the fact, and the section of the protocol's specification that states it |
//! | `set key=value` | the node's configuration, before anybody connects |
//! | `connect PATH` | a client comes |
//! | `> text`, `>x bytes` | it says a text message, or one of bytes |
//! | `>frame 81 bytes` | it sends one masked frame with this first byte |
//! | `>raw bytes` | it sends bytes as they are |
//! | `< text`, `<x bytes`, `<pong bytes` | it hears this next, and nothing else |
//! | `<close 1011` | it is told goodbye with this code; 1005: without one |
//! | `drop` | it hangs up without a word |
//! | `broadcast TOPIC EVENT PAYLOAD` | the server's own code tells a topic that has members |
//! | `counted NAME N` | the node's counter of that name comes to stand at N |
//! | `drain` | the node goes down in the orderly way |
//!
//! With several clients, a line begins with whose it is: `a connect ...`, `b< text`. Bytes are written in
//! hexadecimal, or as text in single or double quotes. `${name}` stands for what was heard in its place
//! first; `${300*x}` is 300 times `x`. At the end of a file nobody may have heard more than it says, and
//! the node must have forgotten everybody.

#[path = "../transcripts/lab.rs"]
mod lab;
#[path = "../transcripts/script.rs"]
mod script;

use std::cell::Cell;
use std::collections::{BTreeMap, HashMap};
use std::path::{Path, PathBuf};

use handclasp::message::DeliveryStatus;
use handclasp::metrics::Metrics;
use handclasp::metrics::{DropReason, JoinRefusal, PushRefusal};
use handclasp::{Endpoint, Node, Payload, Topic};
use script::{bytes, filled, parts, repeated};

use crate::common::{Client, Received, config, frame, wait_until, wait_until_empty};

#[actix_web::test]
async fn phoenix() {
    play("phoenix").await;
}

#[actix_web::test]
async fn peerjs() {
    play("peerjs").await;
}

#[actix_web::test]
async fn engineio() {
    play("engineio").await;
}

#[actix_web::test]
async fn socketio() {
    play("socketio").await;
}

#[actix_web::test]
async fn hello() {
    play("hello").await;
}

/// Plays all conversations of a protocol at the same time, and says which of them went otherwise.
async fn play(protocol: &str) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/transcripts").join(protocol);
    let mut files: Vec<PathBuf> = folder.read_dir().unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    assert!(!files.is_empty(), "no transcripts in {}", folder.display());
    let playing = files.into_iter().map(|file| (file.clone(), actix_web::rt::spawn(converse(file))));
    let mut wrong = Vec::new();
    for (file, conversation) in playing.collect::<Vec<_>>() {
        if conversation.await.is_err() {
            wrong.push(file.file_name().unwrap().to_owned());
        }
    }
    assert!(wrong.is_empty(), "went otherwise: {wrong:?}; the lines are named above");
}

async fn converse(file: PathBuf) {
    let text = std::fs::read_to_string(&file).unwrap();
    let at = At { file, line: Cell::new(0) };
    let mut stage = Stage::default();
    for (number, line) in text.lines().enumerate() {
        at.line.set(number + 1);
        if !line.is_empty() && !line.starts_with('#') {
            stage.perform(line).await;
        }
    }
    stage.close().await;
}

/// Where we are, told when a panic passes by.
struct At {
    file: PathBuf,
    line: Cell<usize>,
}

impl Drop for At {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("^ at {}:{}", self.file.display(), self.line.get());
        }
    }
}

#[derive(Default)]
struct Stage {
    sets: Vec<String>,
    node: Option<Node>,
    clients: BTreeMap<String, Client>,
    words: HashMap<String, String>,
}

impl Stage {
    async fn perform(&mut self, line: &str) {
        let (verb, rest) = line.split_once(' ').unwrap_or((line, ""));
        match verb {
            "set" => self.sets.push(rest.to_owned()),
            "broadcast" => self.broadcast(rest).await,
            "counted" => self.counted(rest).await,
            "drain" => {
                let node = self.node.take().expect("a node to drain");
                actix_web::rt::spawn(node.drain());
            }
            "connect" | "drop" => self.act("", line).await,
            _ => {
                let end = line.find([' ', '<', '>']).expect("a line begins with a verb or a client");
                self.act(&line[..end], line[end..].trim_start()).await;
            }
        }
    }

    /// What one client does, or hears.
    async fn act(&mut self, name: &str, line: &str) {
        let (verb, rest) = line.split_once(' ').unwrap_or((line, ""));
        let rest = repeated(rest);
        match verb {
            "connect" => return self.connect(name, &rest).await,
            "drop" => {
                self.clients.remove(name).expect("a client to drop");
                return;
            }
            _ => {}
        }
        let said = filled(&rest, &self.words);
        let client = &mut self.clients.get_mut(name).expect("a client that has connected");
        match verb {
            ">" => client.send(&said).await,
            ">x" => client.send_binary(&bytes(&said)).await,
            ">raw" => client.raw(&bytes(&said)).await,
            ">frame" => client.raw(&frame(bytes(&said)[0], &bytes(&said)[1..])).await,
            "<" => {
                let heard = client.receive().await;
                assert!(fits(&rest, &heard, &mut self.words), "\n   heard {heard}\ninstead of {said}");
            }
            "<x" => assert_eq!(client.receive_any().await, Received::Binary(bytes(&said))),
            "<pong" => assert_eq!(client.receive_any().await, Received::Pong(bytes(&said))),
            "<close" => {
                let code = match client.receive_any().await {
                    Received::Close(code, _) => code,
                    other => panic!("heard {other:?}, not a goodbye"),
                };
                assert_eq!(code, rest.parse::<u16>().unwrap());
                self.clients.remove(name);
            }
            other => panic!("{other:?} is no verb"),
        }
    }

    async fn connect(&mut self, name: &str, path: &str) {
        let address = self.node().address();
        let client = Client::open(address, path, &[]).await;
        self.clients.insert(name.to_owned(), client);
    }

    fn node(&mut self) -> &Node {
        let sets: Vec<&str> = self.sets.iter().map(String::as_str).collect();
        self.node.get_or_insert_with(|| lab::mounts(Endpoint::new(config(&sets))).start().unwrap())
    }

    async fn broadcast(&mut self, line: &str) {
        let [topic, event, payload] = line.splitn(3, ' ').collect::<Vec<_>>()[..] else { panic!("three words") };
        let pubsub = self.node().pubsub();
        wait_until("a member to tell", || async { pubsub.count(topic) > 0 }).await;
        let payload: serde_json::Value = serde_json::from_str(payload).unwrap();
        pubsub.broadcast(&Topic::parse(topic).unwrap(), event, Payload::json(&payload).unwrap());
    }

    async fn counted(&mut self, line: &str) {
        let (name, number) = line.split_once(' ').unwrap();
        let (pubsub, number) = (self.node().pubsub(), number.parse::<u64>().unwrap());
        wait_until(line, || async { count(pubsub.metrics(), name) == number }).await;
    }

    /// Nobody has heard anything that is not written, and nothing of anybody is left.
    async fn close(mut self) {
        for (name, client) in &mut self.clients {
            client.raw(&frame(0x89, b"end")).await;
            assert_eq!(
                client.receive_any().await,
                Received::Pong(b"end".into()),
                "what {name:?} heard after the last line"
            );
        }
        self.clients.clear();
        if let Some(node) = &self.node {
            wait_until_empty(node).await;
        }
    }
}

/// What a transcript calls by this name.
fn count(metrics: &Metrics, name: &str) -> u64 {
    match name {
        "absent" => metrics.signals.of(DeliveryStatus::Absent),
        "channel_crashes" => metrics.channel_crashes.get(),
        "ignored" => metrics.messages_dropped.of(DropReason::Ignored),
        "rate_limited" => {
            metrics.messages_refused.of(PushRefusal::RateLimited) + metrics.joins_refused.of(JoinRefusal::RateLimited)
        }
        "unencodable" => metrics.messages_dropped.of(DropReason::Unencodable),
        _ => panic!("nothing is counted as {name}"),
    }
}

/// Whether the text heard is the one that was wanted; keeps what stands where a word is new.
fn fits(want: &str, heard: &str, words: &mut HashMap<String, String>) -> bool {
    let (mut rest, parts) = (heard, parts(want).collect::<Vec<_>>());
    for (at, (literal, name)) in parts.iter().enumerate() {
        let Some(after) = rest.strip_prefix(literal) else { return false };
        rest = after;
        let Some(name) = name else { continue };
        let next = parts.get(at + 1).map_or("", |(literal, _)| literal);
        let end = rest.find(next.get(..1).unwrap_or("\n")).unwrap_or(rest.len());
        let word = words.entry((*name).to_owned()).or_insert_with(|| rest[..end].to_owned());
        let Some(after) = rest.strip_prefix(&**word) else { return false };
        rest = after;
    }
    rest.is_empty()
}
