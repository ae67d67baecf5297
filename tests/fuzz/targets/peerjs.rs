//! PeerJS's JSON.

use super::asked::{Asked, Wish, ask, frames};
use super::hello::METRICS;
use super::seeds::messages;
use super::{SMALL, Target};
use crate::message::{Broadcast, Payload};
use crate::protocol::{Frame, Protocol};
use crate::protocols::peerjs::PeerJs;
use crate::topic::Realm;

/// How much longer than what came a message may become: our id, and the names of all keys.
const MORE: usize = 64;
const ID: &str = "me";

pub(super) const WORDS: &[&str] = &[
    "\"type\":",
    "\"src\":",
    "\"dst\":",
    "\"payload\":",
    "\"OFFER\"",
    "\"ANSWER\"",
    "\"CANDIDATE\"",
    "\"LEAVE\"",
    "\"EXPIRE\"",
    "\"HEARTBEAT\"",
    "\\u0000",
    "null",
];

pub(super) const TARGETS: &[Target] = &[Target { name: "peerjs", run, seeds, words: WORDS, most: SMALL }];

fn seeds() -> Vec<Vec<u8>> {
    messages("peerjs")
}

pub(super) fn client() -> PeerJs {
    PeerJs::new(Realm::PeerJs.topic(ID).expect("a name"), "token", None, METRICS.clone())
}

/// What is handed on is what came, and is handed on the same again.
fn run(data: &[u8]) {
    for asked in frames(data).filter_map(|frame| ask(&mut client(), &frame)) {
        let Asked { reference, command: Wish::Push(event, payload), .. } = &asked else { continue };
        let text = handed_on(payload);
        assert!(text.size() <= data.len() + MORE, "{} bytes are made of {}", text.size(), data.len());
        let Frame::Text(json) = &text else { panic!("{text:?} is no text") };
        let value: serde_json::Value = serde_json::from_str(json).expect("json");
        assert_eq!(value["type"], **event);
        assert_eq!((value["src"].as_str(), value["dst"].as_str()), (Some(ID), reference.as_deref()));
        assert_eq!(ask(&mut client(), &text), Some(asked.clone()), "read again");
    }
}

fn handed_on(payload: &Payload) -> Frame {
    let topic = Realm::PeerJs.topic("other").expect("a name");
    PeerJs::broadcast(&Broadcast { topic, event: "OFFER".into(), payload: payload.clone() }).expect("json can be said")
}
