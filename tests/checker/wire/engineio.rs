//! Sessions of Engine.IO that begin with long polling. Some change to a WebSocket amid their messages, and some give a
//! WebSocket up and try another one. And the sessions of Socket.IO 0.9, which begin with a handshake of their own and do
//! not change.

use std::cell::Cell;
use std::net::SocketAddr;
use std::pin::pin;
use std::rc::Rc;
use std::time::Duration;

use futures_util::future::{Either, select};
use serde_json::Value;
use tokio::io::AsyncWriteExt;
use tokio::sync::Mutex;
use tokio::time::sleep;

use super::{Party, Writer, connect, read_frames, write_cut};
use crate::common::longpoll::{self, Response};
use crate::common::rng::Rng;
use crate::common::{Client, Received, frame, upgrade};

/// What separates the packets in one body of revision 4.
const SEPARATOR: &str = "\x1e";
const CLOSE: &str = "1";
const NOOP: &str = "6";
const PROBE: (&str, &str) = ("2probe", "3probe");
const UPGRADE: &str = "5";
/// Of Socket.IO 0.9: what surrounds the length of each packet in one body, and the two packets above.
const MARK: char = '\u{fffd}';
const CLOSE_09: &str = "0::";
const NOOP_09: &str = "8::";

/// How several packets become one body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Payload {
    /// Of revision 4: separated.
    Separated,
    /// Of revision 3, as bytes: each with its length in digits.
    Binary,
    /// Of revision 3, for clients without binary responses: each with its length before it.
    Lengths,
    /// Of revision 2, in the same two forms. The text of each packet is a byte string.
    Binary2,
    Lengths2,
    /// Of Socket.IO 0.9: each with its length between two marks, unless it is alone.
    Marked,
}

pub struct EngineSession {
    address: SocketAddr,
    path: String,
    payload: Payload,
    /// The WebSocket, after the upgrade. Locked by what sends, so that messages keep their order.
    writer: Mutex<Option<Writer>>,
}

impl Payload {
    /// The path with which a session begins.
    fn path(self) -> String {
        let query = match self {
            Self::Marked => return "/socket.io/1/".to_owned(),
            Self::Separated => "EIO=4",
            Self::Binary => "EIO=3",
            Self::Lengths => "EIO=3&b64=1",
            Self::Binary2 => "EIO=2",
            Self::Lengths2 => "EIO=2&b64=1",
        };
        format!("/socket.io/?transport=polling&{query}")
    }

    fn is_binary(self) -> bool {
        matches!(self, Self::Binary | Self::Binary2)
    }

    fn encode(self, packets: &[String]) -> Vec<u8> {
        let units = |packet: &str| packet.encode_utf16().count();
        let packed = |packet: &String| match self {
            Self::Binary => with_digits(packet.as_bytes()),
            Self::Binary2 => with_digits(&bytes(packet)),
            Self::Marked => format!("{MARK}{}{MARK}{packet}", units(packet)).into_bytes(),
            _ => format!("{}:{packet}", units(packet)).into_bytes(),
        };
        match self {
            Self::Separated => packets.join(SEPARATOR).into_bytes(),
            Self::Marked if packets.len() == 1 => packets[0].clone().into_bytes(),
            _ => packets.iter().flat_map(packed).collect(),
        }
    }

    fn decode(self, body: &[u8]) -> Vec<String> {
        let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
        match self {
            Self::Separated => text(body).split(SEPARATOR).map(str::to_owned).collect(),
            Self::Binary => without_digits(body).into_iter().map(text).collect(),
            Self::Binary2 => without_digits(body).into_iter().map(byte_string).collect(),
            Self::Lengths | Self::Lengths2 => without_units(&text(body), "", ':'),
            Self::Marked => without_units(&text(body), &MARK.to_string(), MARK),
        }
    }
}

/// The string whose characters stand for these bytes: the text of revision 2.
pub fn byte_string(bytes: &[u8]) -> String {
    bytes.iter().copied().map(char::from).collect()
}

/// The bytes of such a string.
pub fn bytes(string: &str) -> Vec<u8> {
    string.chars().map(|c| u8::try_from(c).unwrap()).collect()
}

/// A packet with its length as one byte for each digit.
fn with_digits(packet: &[u8]) -> Vec<u8> {
    let digits: Vec<u8> = packet.len().to_string().bytes().map(|digit| digit - b'0').collect();
    [&[0][..], &digits, &[255], packet].concat()
}

fn without_digits(body: &[u8]) -> Vec<&[u8]> {
    let (mut packets, mut rest) = (Vec::new(), body);
    while !rest.is_empty() {
        let (digits, tail) = rest.split_at(rest.iter().position(|byte| *byte == 255).unwrap());
        let length = digits[1..].iter().fold(0, |length, digit| length * 10 + usize::from(*digit));
        packets.push(&tail[1..=length]);
        rest = &tail[length + 1..];
    }
    packets
}

/// The packets of a body that has the length of each, in UTF-16 code units, between `before` and `after`. Without
/// lengths, the body is one packet.
fn without_units(body: &str, before: &str, after: char) -> Vec<String> {
    let (mut packets, mut rest) = (Vec::new(), body);
    while let Some((length, tail)) = rest.strip_prefix(before).and_then(|rest| rest.split_once(after)) {
        let mut left: usize = length.parse().unwrap();
        let end = tail.char_indices().find_map(|(at, c)| {
            let is_end = left == 0;
            left = left.saturating_sub(c.len_utf16());
            is_end.then_some(at)
        });
        let (packet, next) = tail.split_at(end.unwrap_or(tail.len()));
        packets.push(packet.to_owned());
        rest = next;
    }
    if packets.is_empty() || !rest.is_empty() {
        packets.push(rest.to_owned());
    }
    packets
}

impl EngineSession {
    pub async fn open(address: SocketAddr, payload: Payload) -> Self {
        if payload == Payload::Marked {
            let path = handshake(address, "xhr-polling").await;
            return Self { address, path, payload, writer: Mutex::default() };
        }
        let (head, body) = get(address, &payload.path()).await;
        let packets = payload.decode(&body);
        let open = packets.first().and_then(|packet| packet.strip_prefix('0'));
        let open: Value = serde_json::from_str(open.unwrap_or_else(|| panic!("no handshake: {head}"))).unwrap();
        let path = format!("{}&sid={}", payload.path(), open["sid"].as_str().unwrap());
        Self { address, path, payload, writer: Mutex::default() }
    }

    pub async fn writer(&self) -> Option<Writer> {
        self.writer.lock().await.clone()
    }

    pub async fn send(&self, messages: &[String], party: &Party, rng: Option<&mut Rng>) {
        let writer = self.writer.lock().await;
        match (&*writer, rng) {
            _ if messages.is_empty() => {}
            (Some(writer), Some(rng)) => write_cut(writer, &party.frames(messages), rng).await,
            // an error means that the connection is closed, which the reader sees
            (Some(writer), None) => drop(writer.lock().await.write_all(&party.frames(messages)).await),
            (None, _) => self.post(messages, party).await,
        }
    }

    async fn post(&self, messages: &[String], party: &Party) {
        let content_type = match self.payload {
            payload if payload.is_binary() => "Content-Type: application/octet-stream",
            _ => "Content-Type: text/plain;charset=UTF-8",
        };
        let body = self.payload.encode(messages);
        let Response { http, .. } = longpoll::request(self.address, "POST", &self.path, &[content_type], &body).await;
        if http != 200 && !party.is_ending.get() {
            party.fault(format!("the server refuses a body with {http}"));
        }
    }

    /// Closes a session that polls.
    pub async fn close(&self, party: &Party) {
        let close = if self.payload == Payload::Marked { CLOSE_09 } else { CLOSE };
        self.post(&[close.to_owned()], party).await;
    }

    /// Polls, and changes to a WebSocket if there are random numbers for it.
    pub async fn read(self: Rc<Self>, party: Party, rng: Option<Rng>) {
        let is_paused = Cell::new(false);
        let mut polling = pin!(self.poll(&party, &is_paused));
        let Some(rng) = rng else { return polling.await };
        let (client, writer) = match select(&mut polling, pin!(self.probe(rng))).await {
            Either::Left(_) => return,
            Either::Right((Ok(probed), _)) => probed,
            Either::Right((Err(head), _)) => return party.fault(format!("no upgrade: {head}")),
        };
        // the client waits for its poll and its post before it sends the last packet
        is_paused.set(true);
        polling.await;
        let mut current = self.writer.lock().await;
        let _ = writer.lock().await.write_all(&frame(0x81, UPGRADE.as_bytes())).await;
        *current = Some(writer.clone());
        drop(current);
        party.record.borrow_mut().note(party.number, "has upgraded".to_owned());
        read_frames(client, party.clone(), writer).await;
    }

    async fn poll(&self, party: &Party, is_paused: &Cell<bool>) {
        while !is_paused.get() {
            let (head, body) = get(self.address, &self.path).await;
            if party.is_ending.get() {
                return;
            }
            if !head.starts_with("HTTP/1.1 200") {
                return party.fault(format!("a poll ends with {head}"));
            }
            let noop = if self.payload == Payload::Marked { NOOP_09 } else { NOOP };
            for packet in self.payload.decode(&body).iter().filter(|packet| *packet != noop) {
                let answers = party.hear(packet);
                self.send(&answers, party, None).await;
            }
        }
    }

    /// Opens WebSockets until one has answered the probe, and is not given up. Returns the head of a
    /// response that is no upgrade.
    async fn probe(&self, mut rng: Rng) -> Result<(Client, Writer), String> {
        let path = self.path.replace("transport=polling", "transport=websocket");
        loop {
            sleep(Duration::from_micros(rng.below(30_000))).await;
            let (stream, writer) = connect(self.address).await;
            let probe = [upgrade(&path).into_bytes(), frame(0x81, PROBE.0.as_bytes())].concat();
            write_cut(&writer, &probe, &mut rng).await;
            if rng.below(5) == 0 {
                continue;
            }
            let mut client = Client::from_stream(stream);
            let head = client.head().await;
            if !head.starts_with("HTTP/1.1 101") {
                return Err(head);
            }
            // the server may not have noticed yet that the WebSocket before this one is gone
            let is_probed = client.receive_any().await == Received::Text(PROBE.1.to_owned());
            if is_probed && rng.below(5) > 0 {
                return Ok((client, writer));
            }
        }
    }
}

/// Begins a session of Socket.IO 0.9. Returns the path of its requests by this transport.
pub async fn handshake(address: SocketAddr, transport: &str) -> String {
    let path = Payload::Marked.path();
    let (head, body) = get(address, &path).await;
    let body = String::from_utf8(body).unwrap();
    let (sid, _) = body.split_once(':').unwrap_or_else(|| panic!("no handshake: {head}{body}"));
    format!("{path}{transport}/{sid}")
}

async fn get(address: SocketAddr, path: &str) -> (String, Vec<u8>) {
    let request = format!("GET {path} HTTP/1.1\r\nhost: {address}\r\nconnection: close\r\n\r\n");
    let (mut client, head) = Client::request(address, &request).await;
    let body = client.body(&head).await;
    (head, body)
}
