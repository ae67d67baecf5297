//! PeerJS messages.

use super::hello::METRICS;
use super::request::{Command, OwnedRequest, decode, frames};
use super::seeds::messages;
use super::{SMALL, Target};
use crate::message::{Broadcast, Payload};
use crate::protocol::{Frame, Protocol};
use crate::protocols::peerjs::PeerJs;
use crate::topic::Realm;

/// How much longer than the received message a forwarded one may be: the sender's id, and the names of all keys.
const OVERHEAD: usize = 64;
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

pub(super) const TARGETS: &[Target] = &[Target { name: "peerjs", run, seeds, dictionary: WORDS, max_len: SMALL }];

fn seeds() -> Vec<Vec<u8>> {
    messages("peerjs")
}

pub(super) fn client() -> PeerJs {
    PeerJs::new(Realm::PeerJs.topic(ID).expect("a name"), "token", None, METRICS.clone())
}

/// A forwarded message contains what was received, and decodes to the same request again.
fn run(data: &[u8]) {
    for request in frames(data).filter_map(|frame| decode(&mut client(), &frame)) {
        let OwnedRequest { reference, command: Command::Push(event, payload), .. } = &request else { continue };
        let Some(dst) = reference else {
            assert_eq!(**event, *"LEAVE", "a message to nobody, other than the client giving its id up");
            continue;
        };
        let text = forward(payload);
        assert!(text.size() <= data.len() + OVERHEAD, "{} bytes are sent for {} received", text.size(), data.len());
        let Frame::Text(json) = &text else { panic!("{text:?} is not text") };
        let value: serde_json::Value = serde_json::from_str(json).expect("json");
        assert_eq!(value["type"], **event);
        assert_eq!((value["src"].as_str(), value["dst"].as_str()), (Some(ID), Some(&**dst)));
        assert_eq!(decode(&mut client(), &text), Some(request.clone()), "decoded again");
    }
}

fn forward(payload: &Payload) -> Frame {
    let topic = Realm::PeerJs.topic("other").expect("a name");
    PeerJs::broadcast(&Broadcast { topic, event: "OFFER".into(), payload: payload.clone() })
        .expect("JSON can be encoded")
}
