//! HelloWebRTC messages, in each dialect.

use std::sync::{Arc, LazyLock};

use super::request::{Command, OwnedRequest, decode, frames};
use super::seeds::messages;
use super::{SMALL, Target};
use crate::json::is_portable;
use crate::message::{Broadcast, Payload};
use crate::metrics::families::Metrics;
use crate::protocol::{Decoded, Frame, Protocol};
use crate::protocols::hello::Hello;
use crate::topic::Realm;

pub(super) const WORDS: &[&str] = &[
    "\"_type\":",
    "\"_uuid\":",
    "\"_touuid\":",
    "\"_sdp\":",
    "\"join\"",
    "\"offer\"",
    "\"_messageType\":",
    "\"_contentType\":",
    "\"_content\":",
    "\"_to\":",
    "\"_from\":",
    "\"messageType\":",
    "\"content\":",
    "\"to\":",
    "\"from\":",
    "\"unicast\"",
    "\"broadcast\"",
    "null",
    "\\u0000",
];

pub(super) const TARGETS: &[Target] = &[Target { name: "hello", run, seeds, dictionary: WORDS, max_len: SMALL }];

fn seeds() -> Vec<Vec<u8>> {
    messages("hello")
}

/// Shared by all inputs: building the metrics takes much longer than decoding a message.
pub(super) static METRICS: LazyLock<Arc<Metrics>> = LazyLock::new(Arc::default);

pub(super) fn client() -> Hello {
    Hello::new(METRICS.clone())
}

/// The first message of a client registers it and is then handled as a message; the same message a second time is only
/// handled as a message.
fn run(data: &[u8]) {
    for frame in frames(data) {
        let mut hello = client();
        let Some(register) = decode(&mut hello, &frame) else { continue };
        assert!(matches!(register.command, Command::Join(_)), "{register:?} instead of a registration");
        let next = match hello.next_step() {
            Some(Decoded::Request(inbound)) => Some(OwnedRequest::of(inbound)),
            other => {
                assert!(other.is_none());
                None
            }
        };
        assert_eq!(decode(&mut hello, &frame), next, "the same message a second time");
        assert!(hello.next_step().is_none(), "the message is handled twice");
        let Some(OwnedRequest { topic, command: Command::Push(event, payload), .. }) = next else { continue };
        assert_eq!(topic, register.topic);
        let topic = Realm::Hello.topic("everybody").expect("a name");
        let Some(Frame::Text(text)) =
            Hello::broadcast(&Broadcast { topic, event: event.into(), payload: payload.clone() })
        else {
            panic!("{payload:?} cannot be encoded")
        };
        // the server adds a key to a join of the early dialect
        let added = ",\"_name\":\"name\"".len();
        assert!(text.len() <= data.len() + added, "{} bytes are sent for {} received", text.len(), data.len());
        assert!(is_portable(&text) && payload.is_object());
        assert!(Payload::parse::<serde_json::Value>(&payload).is_ok(), "not JSON: {text}");
    }
}
