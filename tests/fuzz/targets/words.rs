//! Conversations of well-formed messages alone: each byte of the input is one of them, or something that happens. So
//! the fuzzer spends its time on their order, and comes deeper into the state machines than by bytes of JSON.

use std::iter::once;
use std::sync::LazyLock;

use super::conversation::{talk_async, talk_hello, talk_peerjs, talk_phoenix, talk_socketio};
use super::tape::Part;
use super::{SMALL, Target};
use crate::protocol::Frame;

const ME: &str = "00000000-0000-4000-8000-00000000000a";
const OTHER: &str = "00000000-0000-4000-8000-00000000000b";
/// What happens on the other side, most of it more than once, that it may happen more often.
const EVENTS: &[u8] = b"ggggmmmmrreEbBdaaoufFF\xFA";

pub(super) const TARGETS: &[Target] = &[
    Target {
        name: "words_phoenix",
        run: |data| talk_phoenix(play(&PHOENIX, EVENTS, data)),
        seeds,
        words: &[],
        most: SMALL,
    },
    Target {
        name: "words_async",
        run: |data| talk_async(play(&ASYNC, &[EVENTS, b"ttt"].concat(), data)),
        seeds,
        words: &[],
        most: SMALL,
    },
    Target {
        name: "words_peerjs",
        run: |data| talk_peerjs(play(&PEERJS, EVENTS, data)),
        seeds,
        words: &[],
        most: SMALL,
    },
    Target { name: "words_hello", run: |data| talk_hello(play(&HELLO, EVENTS, data)), seeds, words: &[], most: SMALL },
    Target {
        name: "words_socketio",
        run: |data| talk_socketio(once(enter()).chain(play(&SOCKETIO, EVENTS, data))),
        seeds,
        words: &[],
        most: SMALL,
    },
];

static PHOENIX: LazyLock<Vec<String>> = LazyLock::new(of_phoenix);
static ASYNC: LazyLock<Vec<String>> = LazyLock::new(of_async);
static PEERJS: LazyLock<Vec<String>> = LazyLock::new(of_peerjs);
static HELLO: LazyLock<Vec<String>> = LazyLock::new(of_hello);
static SOCKETIO: LazyLock<Vec<String>> = LazyLock::new(of_socketio);

fn seeds() -> Vec<Vec<u8>> {
    [1, 7, 31].map(|step: u8| (0..=255_u8).map(|n| n.wrapping_mul(step)).collect()).to_vec()
}

/// A new client has to ask to be on the main namespace; an old one may.
fn enter() -> Part {
    Part::Says(Frame::Text("40".into()))
}

fn play(messages: &[String], events: &[u8], data: &[u8]) -> impl Iterator<Item = Part> + Clone {
    data.iter().map(move |byte| {
        let at = usize::from(*byte) % (messages.len() + events.len());
        match messages.get(at) {
            Some(message) => Part::Says(Frame::Text(message.as_str().into())),
            None => Part::Happens(vec![events[at - messages.len()]]),
        }
    })
}

fn of_async() -> Vec<String> {
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
    marked(topics.into_iter().flatten())
}

fn of_phoenix() -> Vec<String> {
    let (mine, to) = (format!("peer:{ME}"), format!(r#"{{"peer_id":"{OTHER}"}}"#));
    let own = format!(r#"{{"peer_id":"{ME}"}}"#);
    let rooms = ["room:a", "room:b"].map(|room| {
        [("phx_join", "{}"), ("phx_join", r#"{"meta":{}}"#), ("phx_leave", "{}"), ("msg", "{}"), ("update_meta", "{}")]
            .map(|(event, payload)| (room, event, payload))
    });
    let peer = [
        ("phx_join", "{}"),
        ("phx_leave", "{}"),
        ("offer", &to),
        ("offer", &own),
        ("connect", &to),
        ("watch", &to),
        ("watch", &own),
        ("unwatch", &to),
    ]
    .map(|(event, payload)| (&*mine, event, payload));
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
    marked(all)
}

/// Each message has a mark of its own, so that whoever is owed an answer is known by it.
fn marked<'a>(all: impl Iterator<Item = (&'a str, &'a str, &'a str)>) -> Vec<String> {
    let marked = all.enumerate().flat_map(|(n, (topic, event, payload))| {
        ["null", r#""1""#, r#""2""#].map(|join_ref| format!(r#"[{join_ref},{n},"{topic}","{event}",{payload}]"#))
    });
    marked.collect()
}

fn of_peerjs() -> Vec<String> {
    let kinds = ["OFFER", "ANSWER", "CANDIDATE", "LEAVE", "EXPIRE"];
    let said =
        kinds.into_iter().flat_map(|kind| ["me", "a", "b"].map(|dst| format!(r#"{{"type":"{kind}","dst":"{dst}"}}"#)));
    said.chain([r#"{"type":"LEAVE"}"#.to_owned(), r#"{"type":"HEARTBEAT"}"#.to_owned()]).collect()
}

fn of_hello() -> Vec<String> {
    let names = ["a", "b", "c", "d", "e"];
    let said = names.into_iter().flat_map(|from| {
        [
            format!(r#"{{"_messageType":"broadcast","_from":"{from}"}}"#),
            format!(r#"{{"_from":"{from}"}}"#),
            format!(r#"{{"messageType":"unicast","to":"a","from":"{from}"}}"#),
            format!(r#"{{"messageType":"unicast","to":"x","from":"{from}"}}"#),
        ]
    });
    said.collect()
}

fn of_socketio() -> Vec<String> {
    let said = ["join", "leave"].into_iter().flat_map(|event| {
        ["a", "b", "c", "d", "e"]
            .into_iter()
            .flat_map(move |room| ["", "1", "2"].map(|id| format!(r#"42{id}["{event}","{room}"]"#)))
    });
    // what would end a conversation is left out: that is found without help
    let more = ["40/none,", r#"42["message",1]"#, r#"421["signal",{"to":"a"}]"#, r#"422["none"]"#];
    said.chain(more.map(str::to_owned)).collect()
}
