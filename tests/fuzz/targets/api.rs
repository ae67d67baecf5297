//! Bodies of the server API: batches, which contain the bodies of the other routes.

use bytes::Bytes;

use super::{SMALL, Target};
use crate::api::batch::count_operations;

const SEEDS: [&str; 5] = [
    r#"{"operations":[{"publish":{"topic":"room:a","event":"notice","payload":{"a":[1,2.5e3,null]},"protocol":"socketio"}}]}"#,
    r#"{"operations":[{"signal":{"to":"6f2c1c9a-8d2e-4f6b-9c1f-2f4f6f1f0a11","event":"ring","payload":{}}}]}"#,
    r#"{"operations":[{"disconnect":{"topic":"room:a","reconnect":false}},{"disconnect":{"connection":"c1","node":"a.1"}}]}"#,
    r#"{"operations":[{"revoke":{"subject":"u7","before":1796000000}},{"revoke":{"token_id":"\\u0061"}}]}"#,
    r#"{"operations":[]}"#,
];
const WORDS: &[&str] = &[
    "operations",
    "publish",
    "signal",
    "disconnect",
    "revoke",
    "topic",
    "event",
    "payload",
    "protocol",
    "phoenix",
    "peerjs",
    "socketio",
    "peer",
    "subject",
    "connection",
    "node",
    "reconnect",
    "token_id",
    "before",
    "1e308",
    "\\ud800",
    "[[[[",
];
/// The shortest operation that can be accepted has more bytes than this.
const SHORTEST: usize = 20;

pub(super) const TARGETS: &[Target] = &[Target {
    name: "api_body",
    run: body,
    seeds: || SEEDS.map(|seed| seed.as_bytes().to_vec()).to_vec(),
    dictionary: WORDS,
    max_len: SMALL,
}];

/// What is accepted is an object with operations of some bytes each. A refusal repeats nothing of the body but is one line.
fn body(data: &[u8]) {
    let counted = count_operations(Bytes::copy_from_slice(data));
    assert_eq!(counted, count_operations(Bytes::copy_from_slice(data)), "the same body has the same answer");
    match counted {
        Ok(count) => {
            let value: serde_json::Value = serde_json::from_slice(data).expect("only JSON is accepted");
            assert_eq!(value["operations"].as_array().map(Vec::len), Some(count));
            assert!(count * SHORTEST <= data.len());
        }
        Err(reason) => assert!(!reason.is_empty() && reason.len() < 200 && !reason.contains(char::is_control)),
    }
}
