//! Clients of PeerJS. A client's id is a name, its token the secret. The server tells clients of PeerJS 0.3, which begin
//! with HTTP, apart by both, so such a client has a token of its own.

use serde_json::{Value, json};

use super::{Client, NAMES, Role, pad, repeats};
use crate::common::rng::Rng;
use crate::record::{Answer, Place, Record};
use crate::wire::Transport;

/// The close code of a client whose id another connection has taken over, or which was refused.
const CLOSED: u16 = 1005;

/// Secrets from this one on belong to one client each.
const FIRST_OWN: u64 = 10;

pub struct PeerJs {
    client: usize,
    join: usize,
    stays: bool,
    has_left: bool,
}

pub fn open(client: usize, role: Role, rng: &mut Rng, record: &mut Record) -> (Box<dyn Client>, Transport) {
    let stays = role != Role::Anything;
    let is_http = stays || rng.below(2) == 0;
    let name = match stays || is_http && rng.below(3) > 0 {
        true => format!("h{client}-{}", record.round),
        false => random_id(rng, record),
    };
    let secret = if is_http { FIRST_OWN + client as u64 } else { rng.below(8).min(1) };
    let join = record.join(client, place(&name), Some(secret));
    record.peerjs_ids.push(name.clone());
    let transport = match is_http {
        true => Transport::PeerJs { id: name, token: format!("t{secret}") },
        false => Transport::WebSocket(format!("/peerjs?key=peerjs&id={name}&token=t{secret}")),
    };
    (Box::new(PeerJs { client, join, stays, has_left: false }), transport)
}

fn random_id(rng: &mut Rng, record: &Record) -> String {
    format!("p{}-{}", record.round, rng.below(NAMES))
}

fn place(id: &str) -> Place {
    Place::Name(format!("peerjs {id}"))
}

/// Any id, or one that a client has asked for.
fn random_receiver(rng: &mut Rng, record: &Record) -> String {
    match rng.below(2) {
        0 => random_id(rng, record),
        _ => record.peerjs_ids[rng.below(record.peerjs_ids.len() as u64) as usize].clone(),
    }
}

impl Client for PeerJs {
    fn speak(&mut self, rng: &mut Rng, record: &mut Record) -> Vec<String> {
        if rng.below(40) == 0 && !self.has_left && !self.stays {
            self.has_left = true;
            record.release(self.join);
            return vec![json!({ "type": "LEAVE" }).to_string()];
        }
        let (dst, count) = (random_receiver(rng, record), repeats(rng));
        let message = |_| {
            let message_type = ["OFFER", "ANSWER", "CANDIDATE", "LEAVE", "LEAVE"][rng.below(5) as usize];
            let number = record.send(self.client, self.join, place(&dst), false);
            json!({ "type": message_type, "dst": dst, "payload": { "n": number, "pad": pad(rng) } }).to_string()
        };
        (0..count).map(message).collect()
    }

    fn hear(&mut self, text: &str, record: &mut Record) -> Vec<String> {
        let message: Value = serde_json::from_str(text).unwrap();
        let src = message["src"].as_str().map(place);
        match message["type"].as_str().unwrap() {
            "OPEN" => record.answer(self.join, Answer::Ok),
            "ID-TAKEN" => record.answer(self.join, Answer::Taken),
            "EXPIRE" => {
                let now = record.tick();
                record.expired.push((self.client, src.unwrap(), now));
            }
            "OFFER" | "ANSWER" | "CANDIDATE" | "LEAVE" => {
                record.receive(self.join, message["payload"]["n"].as_u64().unwrap(), src.as_ref());
            }
            _ => record.fault(self.client, format!("unexpected {text}")),
        }
        Vec::new()
    }

    fn closed(&mut self, code: u16, record: &mut Record) {
        if code != CLOSED {
            record.fault(self.client, format!("the server closes the connection with {code}"));
        }
        record.end(self.join);
    }
}
