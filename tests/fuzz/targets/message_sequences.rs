//! Sessions of well-formed messages only: each byte of an input selects a message or an event. The fuzzer explores
//! their order, and gets deeper into the state machines than by mutating the bytes of JSON.

use std::iter::once;
use std::sync::LazyLock;

use super::session_input::Part;
use super::sessions::{run_async, run_hello, run_peerjs, run_phoenix, run_socketio};
use super::{SMALL, Target};
use crate::protocol::Frame;

const OWN_ID: &str = "00000000-0000-4000-8000-00000000000a";
const OTHER_ID: &str = "00000000-0000-4000-8000-00000000000b";
/// The events elsewhere in the broker. Frequent ones are repeated.
const EVENTS: &[u8] = b"ggggmmmmrreEbBdaaoufFF\xFA";

pub(super) const TARGETS: &[Target] = &[
    Target {
        name: "sequence_phoenix",
        run: |data| run_phoenix(sequence(&PHOENIX, EVENTS, data)),
        seeds,
        dictionary: &[],
        max_len: SMALL,
    },
    Target {
        name: "sequence_async",
        run: |data| run_async(sequence(&ASYNC, &[EVENTS, b"ttt"].concat(), data)),
        seeds,
        dictionary: &[],
        max_len: SMALL,
    },
    Target {
        name: "sequence_peerjs",
        run: |data| run_peerjs(sequence(&PEERJS, EVENTS, data)),
        seeds,
        dictionary: &[],
        max_len: SMALL,
    },
    Target {
        name: "sequence_hello",
        run: |data| run_hello(sequence(&HELLO, EVENTS, data)),
        seeds,
        dictionary: &[],
        max_len: SMALL,
    },
    Target {
        name: "sequence_socketio",
        run: |data| run_socketio(once(join_main_namespace()).chain(sequence(&SOCKETIO, EVENTS, data))),
        seeds,
        dictionary: &[],
        max_len: SMALL,
    },
];

static PHOENIX: LazyLock<Vec<String>> = LazyLock::new(phoenix_messages);
static ASYNC: LazyLock<Vec<String>> = LazyLock::new(async_messages);
static PEERJS: LazyLock<Vec<String>> = LazyLock::new(peerjs_messages);
static HELLO: LazyLock<Vec<String>> = LazyLock::new(hello_messages);
static SOCKETIO: LazyLock<Vec<String>> = LazyLock::new(socketio_messages);

fn seeds() -> Vec<Vec<u8>> {
    [1, 7, 31].map(|step: u8| (0..=255_u8).map(|n| n.wrapping_mul(step)).collect()).to_vec()
}

/// A v4 client has to join the main namespace; a v3 client may.
fn join_main_namespace() -> Part {
    Part::Message(Frame::Text("40".into()))
}

fn sequence(messages: &[String], events: &[u8], data: &[u8]) -> impl Iterator<Item = Part> + Clone {
    data.iter().map(move |byte| {
        let at = usize::from(*byte) % (messages.len() + events.len());
        match messages.get(at) {
            Some(message) => Part::Message(Frame::Text(message.as_str().into())),
            None => Part::Events(vec![events[at - messages.len()]]),
        }
    })
}

fn async_messages() -> Vec<String> {
    let topics = ["slow:a", "slow:b"].map(|topic| {
        [
            ("phx_join", "{}"),
            ("phx_join", r#"{"no":1}"#),
            ("phx_leave", "{}"),
            ("reply", "{}"),
            ("reply", "{}"),
            ("twice", "{}"),
            ("spawn", "{}"),
            ("now", "{}"),
            ("stop", "{}"),
        ]
        .map(|(event, payload)| (topic, event, payload))
    });
    with_refs(topics.into_iter().flatten())
}

fn phoenix_messages() -> Vec<String> {
    let (own_topic, to_other) = (format!("peer:{OWN_ID}"), format!(r#"{{"peer_id":"{OTHER_ID}"}}"#));
    let to_self = format!(r#"{{"peer_id":"{OWN_ID}"}}"#);
    let rooms = ["room:a", "room:b"].map(|room| {
        [("phx_join", "{}"), ("phx_join", r#"{"meta":{}}"#), ("phx_leave", "{}"), ("msg", "{}"), ("update_meta", "{}")]
            .map(|(event, payload)| (room, event, payload))
    });
    let peer = [
        ("phx_join", "{}"),
        ("phx_leave", "{}"),
        ("offer", &to_other),
        ("offer", &to_self),
        ("connect", &to_other),
        ("watch", &to_other),
        ("watch", &to_self),
        ("unwatch", &to_other),
    ]
    .map(|(event, payload)| (&*own_topic, event, payload));
    let more = [
        ("broker:match", "phx_join", "{}"),
        ("broker:match", "register", "{}"),
        ("broker:other", "phx_join", "{}"),
        ("room:c", "phx_join", "{}"),
        ("room:d", "phx_join", "{}"),
        ("none", "phx_join", "{}"),
        ("none", "phx_leave", "{}"),
        ("phoenix", "heartbeat", "{}"),
    ];
    let all = rooms.into_iter().flatten().chain(peer).chain(more);
    with_refs(all)
}

/// Gives each message its own ref, so that a missing reply can be traced to it.
fn with_refs<'a>(messages: impl Iterator<Item = (&'a str, &'a str, &'a str)>) -> Vec<String> {
    let with_refs = messages.enumerate().flat_map(|(n, (topic, event, payload))| {
        ["null", r#""1""#, r#""2""#].map(|join_ref| format!(r#"[{join_ref},{n},"{topic}","{event}",{payload}]"#))
    });
    with_refs.collect()
}

fn peerjs_messages() -> Vec<String> {
    let kinds = ["OFFER", "ANSWER", "CANDIDATE", "LEAVE", "EXPIRE"];
    let messages =
        kinds.into_iter().flat_map(|kind| ["me", "a", "b"].map(|dst| format!(r#"{{"type":"{kind}","dst":"{dst}"}}"#)));
    messages.chain([r#"{"type":"LEAVE"}"#.to_owned(), r#"{"type":"HEARTBEAT"}"#.to_owned()]).collect()
}

fn hello_messages() -> Vec<String> {
    let names = ["a", "b", "c", "d", "e"];
    let messages = names.into_iter().flat_map(|from| {
        [
            format!(r#"{{"_messageType":"broadcast","_from":"{from}"}}"#),
            format!(r#"{{"_from":"{from}"}}"#),
            format!(r#"{{"messageType":"unicast","to":"a","from":"{from}"}}"#),
            format!(r#"{{"messageType":"unicast","to":"x","from":"{from}"}}"#),
        ]
    });
    messages.collect()
}

fn socketio_messages() -> Vec<String> {
    let messages = ["join", "leave"].into_iter().flat_map(|event| {
        ["a", "b", "c", "d", "e"]
            .into_iter()
            .flat_map(move |room| ["", "1", "2"].map(|id| format!(r#"42{id}["{event}","{room}"]"#)))
    });
    // messages that close the connection are left out: other targets find those
    let more = ["40/none,", r#"42["message",1]"#, r#"421["signal",{"to":"a"}]"#, r#"422["none"]"#];
    messages.chain(more.map(str::to_owned)).collect()
}
