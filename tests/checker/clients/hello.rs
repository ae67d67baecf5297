//! Clients of HelloWebRTC, in the first of its JSON dialects. A client has a name of its own, and is told neither that
//! it has it nor what became of its messages.

use serde_json::{Value, json};

use super::{Client, pad, repeats};
use crate::common::rng::Rng;
use crate::record::{Place, Record};
use crate::wire::Transport;

pub struct Hello {
    client: usize,
    name: String,
    /// The join of its name, which begins with its first message.
    join: Option<usize>,
}

pub fn open(client: usize, record: &Record) -> (Box<dyn Client>, Transport) {
    let name = format!("{}-{client}", record.round);
    (Box::new(Hello { client, name, join: None }), Transport::WebSocket("/hello".to_owned()))
}

fn place(name: &str) -> Place {
    Place::Name(format!("hello {name}"))
}

impl Client for Hello {
    fn speak(&mut self, rng: &mut Rng, record: &mut Record) -> Vec<String> {
        let join = *self.join.get_or_insert_with(|| {
            record.hello_names.push(self.name.clone());
            record.join_silently(self.client, place(&self.name))
        });
        let to = record.hello_names[rng.below(record.hello_names.len() as u64) as usize].clone();
        let count = repeats(rng);
        let message = |_| {
            let content = json!({ "n": record.send(self.client, join, place(&to), false), "pad": pad(rng) });
            let (kind, from) = ("unicast", &self.name);
            json!({ "_messageType": kind, "_contentType": "offer", "_content": content, "_to": to, "_from": from })
                .to_string()
        };
        (0..count).map(message).collect()
    }

    fn hear(&mut self, text: &str, record: &mut Record) -> Vec<String> {
        let message: Value = serde_json::from_str(text).unwrap();
        let from = message["_from"].as_str().map(place);
        match (self.join, message["_content"]["n"].as_u64()) {
            (Some(join), Some(number)) => record.receive(join, number, from.as_ref()),
            _ => record.fault(self.client, format!("unexpected {text}")),
        }
        Vec::new()
    }

    fn closed(&mut self, code: u16, record: &mut Record) {
        record.fault(self.client, format!("the server closes the connection with {code}"));
    }
}
