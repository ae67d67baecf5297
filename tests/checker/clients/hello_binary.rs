//! Clients of HelloWebRTC's binary dialect: bencode in binary frames. Such a client has a name of its own. It asks for
//! the list of names with its first message, and the answer tells it that it has its name.

use super::{Client, pad, repeats};
use crate::common::rng::Rng;
use crate::record::{Answer, Place, Record};
use crate::wire::Transport;

pub struct HelloBinary {
    client: usize,
    name: String,
    /// The join of its name, which begins with its first message.
    join: Option<usize>,
}

pub fn open(client: usize, record: &Record) -> (Box<dyn Client>, Transport) {
    let name = format!("{}-{client}", record.round);
    (Box::new(HelloBinary { client, name, join: None }), Transport::WebSocket("/hello".to_owned()))
}

fn place(name: &str) -> Place {
    Place::Name(format!("hello binary {name}"))
}

fn string(text: &str) -> String {
    format!("{}:{text}", text.len())
}

fn content(number: usize, pad: &str) -> String {
    format!("d1:ni{number}e3:pad{}e", string(pad))
}

impl HelloBinary {
    /// The number of a message, and the name of its sender, if every byte is as it must be.
    fn read(&self, text: &str) -> Option<(usize, String)> {
        let number = text.strip_prefix("d7:contentd1:ni")?.split_once('e')?.0.parse().ok()?;
        let (_, from) = text.rsplit_once("4:from")?.1.strip_suffix('e')?.split_once(':')?;
        let content = content(number, &"x".repeat(text.matches('x').count()));
        let expected = format!("d7:content{content}2:to{}4:from{}e", string(&self.name), string(from));
        (text == expected).then(|| (number, from.to_owned()))
    }
}

impl Client for HelloBinary {
    fn is_binary(&self) -> bool {
        true
    }

    fn speak(&mut self, rng: &mut Rng, record: &mut Record) -> Vec<String> {
        let from = string(&self.name);
        let Some(join) = self.join else {
            record.hello_binary_names.push(self.name.clone());
            self.join = Some(record.join(self.client, place(&self.name), None));
            return vec![format!("d4:from{from}11:messageType4:liste")];
        };
        let names = &record.hello_binary_names;
        let to = names[rng.below(names.len() as u64) as usize].clone();
        let count = repeats(rng);
        let message = |_| {
            let content = content(record.send(self.client, join, place(&to), false), &pad(rng));
            format!("d2:to{}4:from{from}11:messageType7:unicast7:content{content}e", string(&to))
        };
        (0..count).map(message).collect()
    }

    fn hear(&mut self, text: &str, record: &mut Record) -> Vec<String> {
        let list_end = format!("11:contentType4:liste4:from{}e", string(&self.name));
        match (self.join, self.read(text)) {
            (Some(join), Some((number, from))) => record.receive(join, number as u64, Some(&place(&from))),
            (Some(join), None) if text.ends_with(&list_end) => record.answer(join, Answer::Ok),
            _ => record.fault(self.client, format!("unexpected {text}")),
        }
        Vec::new()
    }

    fn closed(&mut self, code: u16, record: &mut Record) {
        record.fault(self.client, format!("the server closes the connection with {code}"));
    }
}
