//! Clients of the plain relay. They are not told when they have joined.

use serde_json::{Value, json};

use super::{Client, pad};
use crate::common::rng::Rng;
use crate::record::{Place, Record};
use crate::wire::Transport;

pub struct Relay {
    client: usize,
    join: usize,
}

pub fn open(client: usize, record: &mut Record) -> (Box<dyn Client>, Transport) {
    let join = record.join_silently(client, Place::Group("relay".to_owned()));
    (Box::new(Relay { client, join }), Transport::WebSocket("/relay".to_owned()))
}

impl Client for Relay {
    fn speak(&mut self, rng: &mut Rng, record: &mut Record) -> Vec<String> {
        let to = record.joins[self.join].place.clone();
        vec![json!({ "n": record.send(self.client, self.join, to, false), "pad": pad(rng) }).to_string()]
    }

    fn hear(&mut self, text: &str, record: &mut Record) -> Vec<String> {
        let message: Value = serde_json::from_str(text).unwrap();
        record.receive(self.join, message["n"].as_u64().unwrap(), None);
        Vec::new()
    }

    fn closed(&mut self, code: u16, record: &mut Record) {
        record.fault(self.client, format!("the server closes the connection with {code}"));
    }
}
