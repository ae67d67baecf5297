//! Clients of Socket.IO's relay, of revisions 4, 3 and 2 of Engine.IO and of Socket.IO 0.9, over WebSockets and long
//! polling. A client's id is a name that only it ever has; the namespace and its rooms are groups.
//!
//! A client of revision 3 or 2 (Socket.IO 2 and 1) is in the namespace at once, and is not told its id. It sends the
//! pings itself. A client of Socket.IO 0.9 is like it, but says nothing before it knows that it is in the namespace. Its
//! packets are those of revision 4 in another form.

use std::collections::HashMap;

use serde_json::{Value, json};

use super::{Client, ROOMS, pad};
use crate::common::rng::Rng;
use crate::record::{Answer, Place, Record, Verdict};
use crate::wire::{Payload, Transport, byte_string, bytes};

/// A part of each message. Each version of the protocol has a form of its own for it.
const TEXT: &str = "\u{e9}\u{1f600}";
const CONNECT: &str = "40";
const EVENT: &str = "42";
const ACK: &str = "43";
const PING: &str = "2";
const PONG: &str = "3";
/// The packets of Socket.IO 0.9 that have no content, and the beginnings of the others.
const CONNECT_09: &str = "1::";
const HEARTBEAT_09: &str = "2::";
const JSON_09: &str = "4:::";
const EVENT_09: &str = "5:::";
const ACK_09: &str = "6:::";

#[derive(Clone, Copy, PartialEq, Eq)]
enum Version {
    /// Of Engine.IO.
    V4,
    V3,
    /// Like V3, with text as byte strings.
    V2,
    /// Socket.IO 0.9.
    V09,
}

#[derive(Clone, Copy)]
enum Request {
    Join(usize),
    Leave(usize),
    Message(usize),
}

pub struct SocketIo {
    client: usize,
    version: Version,
    /// The pings that the server has not answered.
    pings: u64,
    /// The joins of its id and of the namespace, once it has asked for them.
    joins: Option<(usize, usize)>,
    room: Option<(String, usize)>,
    last_ack: u64,
    requests: HashMap<u64, Request>,
    /// The rooms that it has asked for, or is in.
    rooms: Vec<usize>,
    /// Whether it knows that it is in the namespace.
    is_connected: bool,
}

pub fn open(client: usize, rng: &mut Rng, record: &mut Record) -> (Box<dyn Client>, Transport) {
    let version = [Version::V4, Version::V4, Version::V3, Version::V2, Version::V09][rng.below(5) as usize];
    let payload = match (version, rng.below(3)) {
        (Version::V4, _) => Payload::Separated,
        (Version::V3, 0) => Payload::Lengths,
        (Version::V3, _) => Payload::Binary,
        (Version::V2, 0) => Payload::Lengths2,
        (Version::V2, _) => Payload::Binary2,
        (Version::V09, _) => Payload::Marked,
    };
    let transport = match rng.below(4) {
        0..=1 => Transport::Engine { payload, upgrades: version != Version::V09 && rng.below(3) > 0 },
        _ if version == Version::V09 => Transport::WebSocket09,
        _ if version == Version::V2 => Transport::WebSocket("/socket.io/?EIO=2&transport=websocket".to_owned()),
        _ if version == Version::V3 => Transport::WebSocket("/socket.io/?EIO=3&transport=websocket".to_owned()),
        _ => Transport::WebSocket("/socket.io/?EIO=4&transport=websocket".to_owned()),
    };
    let joins = (version != Version::V4).then(|| enter(client, record));
    let (requests, rooms) = (HashMap::new(), Vec::new());
    (
        Box::new(SocketIo {
            client,
            version,
            pings: 0,
            joins,
            room: None,
            last_ack: 0,
            requests,
            rooms,
            is_connected: false,
        }),
        transport,
    )
}

/// The joins of a client's id and of the namespace.
fn enter(client: usize, record: &mut Record) -> (usize, usize) {
    let own = Place::Name(format!("io client {client}"));
    (record.join(client, own, None), record.join(client, namespace(), None))
}

fn namespace() -> Place {
    Place::Group("io".to_owned())
}

/// A packet of Socket.IO 0.9 as one of revision 4.
fn modern(text: &str) -> Option<String> {
    if text == CONNECT_09 {
        return Some(CONNECT.to_owned());
    }
    if let Some(ack) = text.strip_prefix(ACK_09) {
        return Some(format!("{ACK}{}", ack.replacen('+', "", 1)));
    }
    let event: Value = serde_json::from_str(text.strip_prefix(EVENT_09)?).unwrap();
    let arguments = event["args"].as_array().into_iter().flatten();
    Some(format!("{EVENT}{}", [&event["name"]].into_iter().chain(arguments).cloned().collect::<Value>()))
}

impl SocketIo {
    fn event(&mut self, arguments: Value, request: Option<Request>) -> String {
        let is_09 = self.version == Version::V09;
        let Some(request) = request else {
            return if is_09 { format!("{JSON_09}{}", arguments[1]) } else { format!("{EVENT}{arguments}") };
        };
        self.last_ack += 1;
        self.requests.insert(self.last_ack, request);
        match is_09 {
            true => format!("5:{}+::{}", self.last_ack, json!({ "name": arguments[0], "args": [arguments[1]] })),
            false => format!("{EVENT}{}{arguments}", self.last_ack),
        }
    }

    fn change_room(&mut self, rng: &mut Rng, record: &mut Record) -> String {
        if let Some((room, join)) = self.room.take() {
            record.release(join);
            return self.event(json!(["leave", room]), Some(Request::Leave(join)));
        }
        let room = format!("{}-{}", record.round, rng.below(ROOMS));
        let join = record.join(self.client, Place::Group(format!("io {room}")), None);
        self.room = Some((room.clone(), join));
        self.rooms.push(join);
        self.event(json!(["join", room]), Some(Request::Join(join)))
    }

    fn ack(&mut self, text: &str, record: &mut Record) {
        let start = text.find('[').unwrap();
        let (number, response) = text.split_at(start);
        let response: Value = serde_json::from_str(response).unwrap();
        let reason = response[0]["reason"].as_str();
        match (self.requests.remove(&number.parse().unwrap()), reason) {
            (Some(Request::Join(join)), None) => record.answer(join, Answer::Ok),
            (Some(Request::Join(join)), Some("left")) => record.answer(join, Answer::Ended),
            (Some(Request::Leave(join)), None) => {
                self.rooms.retain(|other| *other != join);
                record.end(join);
            }
            (Some(Request::Message(number)), None) => record.verdict(number, Verdict::Delivered),
            (Some(Request::Message(number)), Some("peer_not_found")) => record.verdict(number, Verdict::Absent),
            _ => record.fault(self.client, format!("unexpected acknowledgement {text}")),
        }
    }

    /// A message names the sender, and not the group by which it came: the record knows that.
    fn receive(&mut self, arguments: &Value, record: &mut Record) {
        let (event, message) = (arguments[0].as_str().unwrap(), &arguments[1]);
        if event == "user disconnected" {
            return;
        }
        let (Some((name, all)), Some(number)) = (self.joins, message["n"].as_u64()) else {
            return record.fault(self.client, format!("unexpected {arguments}"));
        };
        let to = record.messages.get(number as usize).map(|message| message.to.clone());
        let candidates = [name, all].into_iter().chain(self.rooms.iter().copied());
        let join = candidates.rev().find(|join| Some(&record.joins[*join].place) == to.as_ref());
        let Some(join) = join else {
            return record.fault(self.client, format!("{arguments} to {to:?}, where the client is no member"));
        };
        if message["text"] != TEXT {
            record.fault(self.client, format!("unexpected text in {arguments}"));
        }
        // the sender itself may not have read its id yet
        let id = message["from"].as_str().unwrap_or_default().to_owned();
        if !record.ids.iter().any(|(known, _)| *known == id) {
            let sender = record.joins[record.messages[number as usize].join].place.clone();
            record.ids.push((id.clone(), sender));
        }
        record.claims.push((number as usize, id));
        record.receive(join, number, None);
    }

    fn say(&mut self, rng: &mut Rng, record: &mut Record) -> Vec<String> {
        let Some((name, _)) = self.joins else {
            self.joins = Some(enter(self.client, record));
            return vec![CONNECT.to_owned()];
        };
        if self.is_busy() {
            return Vec::new();
        }
        match rng.below(18) {
            0 if matches!(self.version, Version::V3 | Version::V2) => {
                self.pings += 1;
                vec![PING.to_owned()]
            }
            0..=2 => {
                let mut messages = vec![self.change_room(rng, record)];
                if self.room.is_some() && rng.below(3) == 0 {
                    messages.push(self.change_room(rng, record));
                }
                messages
            }
            3..=11 if !record.ids.is_empty() => {
                let (id, place) = record.ids[rng.below(record.ids.len() as u64) as usize].clone();
                let signal = |_| {
                    let number = record.send(self.client, name, place.clone(), true);
                    let signal = json!(["signal", { "to": id, "n": number, "text": TEXT, "pad": pad(rng) }]);
                    self.event(signal, Some(Request::Message(number)))
                };
                (0..3).map(signal).collect()
            }
            _ => {
                let to = self.room.as_ref().map_or_else(namespace, |(room, _)| Place::Group(format!("io {room}")));
                let number = record.send(self.client, name, to, false);
                vec![self.event(json!(["message", { "n": number, "text": TEXT, "pad": pad(rng) }]), None)]
            }
        }
    }
}

impl Client for SocketIo {
    fn speak(&mut self, rng: &mut Rng, record: &mut Record) -> Vec<String> {
        let messages = self.say(rng, record);
        match self.version {
            Version::V2 => messages.iter().map(|text| byte_string(text.as_bytes())).collect(),
            _ => messages,
        }
    }

    fn hear(&mut self, text: &str, record: &mut Record) -> Vec<String> {
        if text == HEARTBEAT_09 {
            return vec![HEARTBEAT_09.to_owned()];
        }
        let modern = match self.version {
            Version::V09 => modern(text),
            Version::V2 => Some(String::from_utf8(bytes(text)).unwrap()),
            _ => None,
        };
        let text = modern.as_deref().unwrap_or(text);
        if text == PING && self.version == Version::V4 {
            return vec![PONG.to_owned()];
        }
        if text == PONG && self.pings > 0 {
            self.pings -= 1;
            return Vec::new();
        }
        if let (Some(connected), Some((name, all))) = (text.strip_prefix(CONNECT), self.joins) {
            self.is_connected = true;
            if self.version == Version::V4 {
                let id: Value = serde_json::from_str(connected).unwrap();
                record.ids.push((id["sid"].as_str().unwrap().to_owned(), record.joins[name].place.clone()));
            }
            record.answer(name, Answer::Ok);
            record.answer(all, Answer::Ok);
        } else if let Some(event) = text.strip_prefix(EVENT) {
            self.receive(&serde_json::from_str(event).unwrap(), record);
        } else if let Some(ack) = text.strip_prefix(ACK) {
            self.ack(ack, record);
        } else if !text.starts_with("0{") {
            record.fault(self.client, format!("unexpected {text}"));
        }
        Vec::new()
    }

    fn is_busy(&self) -> bool {
        self.version == Version::V09 && !self.is_connected
    }

    fn closed(&mut self, code: u16, record: &mut Record) {
        record.fault(self.client, format!("the server closes the connection with {code}"));
    }
}
