//! Clients of Socket.IO's relay, of revisions 4 and 3 of Engine.IO, over WebSockets and long polling. A client's id is a
//! name that only it ever has; the namespace and its rooms are groups.
//!
//! A client of revision 3 (Socket.IO 2) is in the namespace at once, and is not told its id. It sends the pings itself.

use std::collections::HashMap;

use serde_json::{Value, json};

use super::{Client, ROOMS, pad};
use crate::common::rng::Rng;
use crate::record::{Answer, Place, Record, Verdict};
use crate::wire::{Payload, Transport};

const CONNECT: &str = "40";
const EVENT: &str = "42";
const ACK: &str = "43";
const PING: &str = "2";
const PONG: &str = "3";

#[derive(Clone, Copy)]
enum Request {
    Join(usize),
    Leave(usize),
    Message(usize),
}

pub struct SocketIo {
    client: usize,
    is_old: bool,
    /// The pings that the server has not answered.
    pings: u64,
    /// The joins of its id and of the namespace, once it has asked for them.
    joins: Option<(usize, usize)>,
    room: Option<(String, usize)>,
    last_ack: u64,
    requests: HashMap<u64, Request>,
    /// The rooms that it has asked for, or is in.
    rooms: Vec<usize>,
}

pub fn open(client: usize, rng: &mut Rng, record: &mut Record) -> (Box<dyn Client>, Transport) {
    let is_old = rng.below(3) == 0;
    let payload = match (is_old, rng.below(3)) {
        (false, _) => Payload::Separated,
        (true, 0) => Payload::Lengths,
        (true, _) => Payload::Binary,
    };
    let transport = match rng.below(4) {
        0..=1 => Transport::Engine { payload, upgrades: rng.below(3) > 0 },
        _ if is_old => Transport::WebSocket("/socket.io/?EIO=3&transport=websocket".to_owned()),
        _ => Transport::WebSocket("/socket.io/?EIO=4&transport=websocket".to_owned()),
    };
    let joins = is_old.then(|| enter(client, record));
    let (requests, rooms) = (HashMap::new(), Vec::new());
    (Box::new(SocketIo { client, is_old, pings: 0, joins, room: None, last_ack: 0, requests, rooms }), transport)
}

/// The joins of a client's id and of the namespace.
fn enter(client: usize, record: &mut Record) -> (usize, usize) {
    let own = Place::Name(format!("io client {client}"));
    (record.join(client, own, None), record.join(client, namespace(), None))
}

fn namespace() -> Place {
    Place::Group("io".to_owned())
}

impl SocketIo {
    fn event(&mut self, arguments: Value, request: Option<Request>) -> String {
        let Some(request) = request else { return format!("{EVENT}{arguments}") };
        self.last_ack += 1;
        self.requests.insert(self.last_ack, request);
        format!("{EVENT}{}{arguments}", self.last_ack)
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
        // the sender itself may not have read its id yet
        let id = message["from"].as_str().unwrap_or_default().to_owned();
        if !record.ids.iter().any(|(known, _)| *known == id) {
            let sender = record.joins[record.messages[number as usize].join].place.clone();
            record.ids.push((id.clone(), sender));
        }
        record.claims.push((number as usize, id));
        record.receive(join, number, None);
    }
}

impl Client for SocketIo {
    fn speak(&mut self, rng: &mut Rng, record: &mut Record) -> Vec<String> {
        let Some((name, _)) = self.joins else {
            self.joins = Some(enter(self.client, record));
            return vec![CONNECT.to_owned()];
        };
        match rng.below(18) {
            0 if self.is_old => {
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
                    let signal = json!(["signal", { "to": id, "n": number, "pad": pad(rng) }]);
                    self.event(signal, Some(Request::Message(number)))
                };
                (0..3).map(signal).collect()
            }
            _ => {
                let to = self.room.as_ref().map_or_else(namespace, |(room, _)| Place::Group(format!("io {room}")));
                let number = record.send(self.client, name, to, false);
                vec![self.event(json!(["message", { "n": number, "pad": pad(rng) }]), None)]
            }
        }
    }

    fn hear(&mut self, text: &str, record: &mut Record) -> Vec<String> {
        if text == PING && !self.is_old {
            return vec![PONG.to_owned()];
        }
        if text == PONG && self.pings > 0 {
            self.pings -= 1;
            return Vec::new();
        }
        if let (Some(connected), Some((name, all))) = (text.strip_prefix(CONNECT), self.joins) {
            if !self.is_old {
                let id: Value = serde_json::from_str(connected).unwrap();
                record.ids.push((id["sid"].as_str().unwrap().to_owned(), record.joins[name].place.clone()));
            }
            record.answer(name, Answer::Ok);
            record.answer(all, Answer::Ok);
        } else if let Some(event) = text.strip_prefix(EVENT) {
            self.receive(&serde_json::from_str(event).unwrap(), record);
        } else if let Some(ack) = text.strip_prefix(ACK) {
            self.ack(ack, record);
        } else if !text.starts_with('0') {
            record.fault(self.client, format!("unexpected {text}"));
        }
        Vec::new()
    }

    fn closed(&mut self, code: u16, record: &mut Record) {
        record.fault(self.client, format!("the server closes the connection with {code}"));
    }
}
