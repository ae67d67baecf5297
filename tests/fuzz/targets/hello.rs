//! HelloWebRTC's JSON, in both dialects.

use std::sync::{Arc, LazyLock};

use super::asked::{Asked, Wish, ask, frames};
use super::seeds::messages;
use super::{SMALL, Target};
use crate::json::is_portable;
use crate::message::{Broadcast, Payload};
use crate::metrics::families::Metrics;
use crate::protocol::{Decoded, Frame, Protocol};
use crate::protocols::hello::Hello;
use crate::topic::Realm;

pub(super) const WORDS: &[&str] = &[
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

pub(super) const TARGETS: &[Target] = &[Target { name: "hello", run, seeds, words: WORDS, most: SMALL }];

fn seeds() -> Vec<Vec<u8>> {
    messages("hello")
}

/// One for all: a node has one, and it takes much longer to make than a message to read.
pub(super) static METRICS: LazyLock<Arc<Metrics>> = LazyLock::new(Arc::default);

pub(super) fn client() -> Hello {
    Hello::new(METRICS.clone())
}

/// Who speaks for the first time registers, and then says what it says the second time alone.
fn run(data: &[u8]) {
    for frame in frames(data) {
        let mut hello = client();
        let Some(register) = ask(&mut hello, &frame) else { continue };
        assert!(matches!(register.command, Wish::Join(_)), "{register:?} before a registration");
        let behind = match hello.next_step() {
            Some(Decoded::Request(inbound)) => Some(Asked::of(inbound)),
            other => {
                assert!(other.is_none());
                None
            }
        };
        assert_eq!(ask(&mut hello, &frame), behind, "said again");
        assert!(hello.next_step().is_none(), "said twice");
        let Some(Asked { topic, command: Wish::Push(event, payload), .. }) = behind else { continue };
        assert_eq!(topic, register.topic);
        let topic = Realm::Hello.topic("everybody").expect("a name");
        let Some(Frame::Text(text)) =
            Hello::broadcast(&Broadcast { topic, event: event.into(), payload: payload.clone() })
        else {
            panic!("{payload:?} cannot be said")
        };
        assert!(text.len() <= data.len(), "{} bytes are made of {}", text.len(), data.len());
        assert!(is_portable(&text) && payload.is_object());
        assert!(Payload::parse::<serde_json::Value>(&payload).is_ok(), "no json: {text}");
    }
}
