//! A receiver of webhooks: an HTTP server that records what it gets and answers as a test says, and the state that a
//! backend computes from it.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{sleep, spawn};
use std::time::Duration;

use serde_json::Value;

use super::wait_until;

/// A secret of the tests: `whsec_` and the base64 of 32 bytes.
pub const SECRET: &str = "whsec_MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY=";

/// What the receiver does with a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answer {
    Status(u16),
    /// The status 503, and that the next request is welcome after a second.
    Busy,
    /// A status with a body of 1 GiB.
    Endless(u16),
    /// One byte of a response at a time, which never ends.
    Drip,
    /// Nothing, until the sender gives up.
    Hang,
    /// Closes the connection with a reset.
    Reset,
    /// Records the request, but answers 500, as a proxy does that has lost the answer.
    Lose,
}

/// One request.
#[derive(Clone, Debug)]
pub struct Request {
    pub headers: BTreeMap<String, String>,
    pub body: String,
}

impl Request {
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap()
    }
}

type Script = Box<dyn FnMut() -> Answer + Send>;

/// The server. Clones are handles to the same one.
#[derive(Clone)]
pub struct Receiver {
    pub address: SocketAddr,
    /// The requests that were accepted, and all that arrived.
    accepted: Arc<Mutex<Vec<Request>>>,
    tried: Arc<Mutex<Vec<Request>>>,
    script: Arc<Mutex<Script>>,
}

impl Receiver {
    pub fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let script: Script = Box::new(|| Answer::Status(200));
        let receiver = Self {
            address: listener.local_addr().unwrap(),
            accepted: Arc::default(),
            tried: Arc::default(),
            script: Arc::new(Mutex::new(script)),
        };
        let server = receiver.clone();
        spawn(move || {
            for stream in listener.incoming() {
                let (server, stream) = (server.clone(), stream.unwrap());
                spawn(move || server.serve(&stream));
            }
        });
        receiver
    }

    /// The settings of a node that sends to it.
    pub fn sets(&self) -> [String; 3] {
        [
            format!("webhooks.url=http://{}/hooks", self.address),
            format!("webhooks.secrets={SECRET}"),
            "webhooks.batch_interval=10ms".to_owned(),
        ]
    }

    /// From now on, each request is answered by the next result of `script`.
    pub fn answer(&self, script: impl FnMut() -> Answer + Send + 'static) {
        *self.script.lock().unwrap_or_else(PoisonError::into_inner) = Box::new(script);
    }

    pub fn requests(&self) -> Vec<Request> {
        self.accepted.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// All requests that have arrived, also those that were not accepted.
    pub fn tries(&self) -> Vec<Request> {
        self.tried.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The events of all accepted requests, without repetitions.
    pub fn events(&self) -> Vec<Value> {
        let mut state = Known::default();
        self.requests().iter().flat_map(|request| state.accept(request)).collect()
    }

    /// The events as short texts, such as `peer_up a`.
    pub fn short(&self) -> Vec<String> {
        self.events().iter().map(short).collect()
    }

    pub async fn wait_for(&self, expected: &[&str]) {
        let what = format!("{expected:?} of {:?}", self.short());
        wait_until(&what, || async { self.short() == expected }).await;
    }

    /// Waits until an event with this short text has arrived.
    pub async fn wait_for_one(&self, expected: &str) {
        wait_until(expected, || async { self.short().iter().any(|event| event == expected) }).await;
    }

    /// Serves one connection.
    fn serve(&self, stream: &TcpStream) {
        let mut reader = BufReader::new(stream);
        while let Some(request) = read(&mut reader) {
            let answer = (self.script.lock().unwrap_or_else(PoisonError::into_inner))();
            self.tried.lock().unwrap_or_else(PoisonError::into_inner).push(request.clone());
            let is_accepted = matches!(answer, Answer::Status(200..300) | Answer::Endless(200..300) | Answer::Lose);
            if is_accepted {
                self.accepted.lock().unwrap_or_else(PoisonError::into_inner).push(request);
            }
            if !respond(stream, answer) {
                return;
            }
        }
    }
}

/// Reads one request. `None` at the end of the connection.
fn read(reader: &mut BufReader<&TcpStream>) -> Option<Request> {
    let mut headers = BTreeMap::new();
    let mut line = String::new();
    reader.read_line(&mut line).ok().filter(|read| *read > 0)?;
    assert!(line.starts_with("POST /hooks"), "{line}");
    loop {
        line.clear();
        reader.read_line(&mut line).ok().filter(|read| *read > 0)?;
        let Some((name, value)) = line.trim_end().split_once(": ") else { break };
        headers.insert(name.to_ascii_lowercase(), value.to_owned());
    }
    let mut body = vec![0; headers["content-length"].parse().unwrap()];
    reader.read_exact(&mut body).ok()?;
    Some(Request { headers, body: String::from_utf8(body).unwrap() })
}

/// Answers a request. Returns whether the connection serves another one.
fn respond(mut stream: &TcpStream, answer: Answer) -> bool {
    match answer {
        Answer::Status(status) => {
            let head = format!("HTTP/1.1 {status} X\r\nLocation: http://127.0.0.1:1/\r\nContent-Length: 2\r\n\r\n{{}}");
            stream.write_all(head.replace("{}", if status == 204 { "" } else { "{}" }).as_bytes()).is_ok()
                && status != 204
        }
        Answer::Busy => stream.write_all(b"HTTP/1.1 503 X\r\nRetry-After: 1\r\nContent-Length: 0\r\n\r\n").is_ok(),
        Answer::Lose => respond(stream, Answer::Status(500)),
        Answer::Endless(status) => {
            let _ = stream.write_all(format!("HTTP/1.1 {status} X\r\nContent-Length: 1073741824\r\n\r\n").as_bytes());
            while stream.write_all(&[0; 65_536]).is_ok() {}
            false
        }
        Answer::Drip => {
            while stream.write_all(b"H").is_ok() {
                sleep(Duration::from_millis(10));
            }
            false
        }
        Answer::Hang => {
            let _ = stream.read(&mut [0]);
            false
        }
        Answer::Reset => {
            let _ = socket2::SockRef::from(&stream).set_linger(Some(Duration::ZERO));
            false
        }
    }
}

/// An event in few words.
pub fn short(event: &Value) -> String {
    let words = ["type", "peer", "room", "gone", "reason", "subject"].iter().filter_map(|key| event[*key].as_str());
    words.map(str::to_owned).chain(event["count"].as_u64().map(|count| count.to_string())).collect::<Vec<_>>().join(" ")
}

/// A protocol and a name.
pub type Name = (String, String);

/// What a backend knows, as the documentation says it should compute it.
#[derive(Debug, Default)]
pub struct Known {
    /// The nodes on which each peer is, more than one for a while if it moves.
    pub peers: BTreeMap<Name, BTreeSet<String>>,
    /// The nodes on which each room has members.
    pub rooms: BTreeMap<Name, BTreeSet<String>>,
    /// The node of each instance.
    nodes: BTreeMap<String, String>,
    /// The last number of each instance.
    seen: BTreeMap<String, u64>,
    /// Events were lost: the state is to be read.
    pub must_read: bool,
}

impl Known {
    /// Applies the events of a request that are new, and returns them.
    pub fn accept(&mut self, request: &Request) -> Vec<Value> {
        self.accept_and_read(request, |known| known.must_read = true)
    }

    /// The same, and calls `read` at each loss.
    pub fn accept_and_read(&mut self, request: &Request, mut read: impl FnMut(&mut Self)) -> Vec<Value> {
        let json = request.json();
        let instance = json["instance"].as_str().unwrap();
        let events: Vec<Value> = json["events"].as_array().unwrap().clone();
        assert_eq!(request.headers["webhook-id"], format!("{instance}-{}", events[0]["seq"]));
        assert!((1..=100).contains(&events.len()) && request.body.len() <= 65_536);
        let mut new = Vec::new();
        for event in events {
            if self.apply(json["node"].as_str().unwrap(), instance, &event) {
                if event["type"] == "lost" {
                    read(self);
                }
                new.push(event);
            }
        }
        new
    }

    /// Applies an event. Returns `false` if it is a repetition.
    fn apply(&mut self, node: &str, instance: &str, event: &Value) -> bool {
        let seq = event["seq"].as_u64().unwrap();
        let last = self.seen.entry(instance.to_owned()).or_default();
        if seq <= *last {
            return false;
        }
        let is_gap = seq > *last + 1;
        *last = seq;
        let kind = event["type"].as_str().unwrap();
        assert!(!is_gap || kind == "lost", "a gap before {event}");
        assert_eq!(seq == 1, kind == "node_up", "the first event of an instance: {event}");
        let name = |key: &str| {
            (
                event["protocol"].as_str().unwrap_or_default().to_owned(),
                event[key].as_str().unwrap_or_default().to_owned(),
            )
        };
        match kind {
            "peer_up" => drop(self.peers.entry(name("peer")).or_default().insert(instance.to_owned())),
            "peer_down" => remove(&mut self.peers, &name("peer"), instance),
            "room_occupied" => drop(self.rooms.entry(name("room")).or_default().insert(instance.to_owned())),
            "room_vacated" => remove(&mut self.rooms, &name("room"), instance),
            "node_up" => {
                let others = event["nodes"].as_array().unwrap();
                let is_over = |(other, name): &(&String, &String)| *name == node && !others.iter().any(|o| o == *other);
                let over: Vec<String> = self.nodes.iter().filter(is_over).map(|(other, _)| other.clone()).collect();
                over.iter().for_each(|other| self.forget(other));
                self.nodes.insert(instance.to_owned(), node.to_owned());
            }
            "node_down" => self.forget(event["gone"].as_str().unwrap()),
            "lost" => {}
            other => panic!("{other} is no event"),
        }
        true
    }

    fn forget(&mut self, instance: &str) {
        for nodes in [&mut self.peers, &mut self.rooms] {
            nodes.retain(|_, nodes| {
                nodes.remove(instance);
                !nodes.is_empty()
            });
        }
    }
}

/// Removes an instance from those of a name.
fn remove(nodes: &mut BTreeMap<Name, BTreeSet<String>>, name: &Name, instance: &str) {
    if let Some(instances) = nodes.get_mut(name) {
        instances.remove(instance);
        if instances.is_empty() {
            nodes.remove(name);
        }
    }
}

/// Of one peer or room, the events alternate, up first. After a loss, nothing is known.
pub fn assert_pairs(events: &[Value]) {
    let mut up = BTreeSet::new();
    for event in events {
        let kind = event["type"].as_str().unwrap();
        let subject = (event["protocol"].to_string(), event["peer"].to_string(), event["room"].to_string());
        match kind {
            "peer_up" | "room_occupied" => assert!(up.insert(subject), "two ups in a row: {event}"),
            "peer_down" | "room_vacated" => assert!(up.remove(&subject), "down without up: {event}"),
            "lost" => panic!("lost events: {event}"),
            _ => {}
        }
    }
}
