//! The limits on JSON beyond its syntax, and the rewriting of signals between peers and of messages in the relay.

use serde::de::IgnoredAny;
use serde_json::Value;

use super::seeds::messages;
use super::{SMALL, Target};
use crate::channels::builtin::peer::readdress::readdress;
use crate::channels::builtin::relay::readdress::{self as relay, RecipientMember};
use crate::json::{MAX_DEPTH, is_portable, push_string};
use crate::message::Payload;

const WORDS: &[&str] = &[
    "1e400",
    "-0.0e-9",
    "\\ud83d\\ude00",
    "\\ud800",
    "\\u+041",
    "[[[[[[[[",
    "{\"a\":",
    "\"peer_id\":",
    "\"sender_id\":",
    "\"from\":",
    "\"sendto\":",
    "\"to\":",
];

pub(super) const TARGETS: &[Target] = &[
    Target { name: "json", run: json, seeds, dictionary: WORDS, max_len: SMALL },
    Target { name: "signal", run: signal, seeds: signals, dictionary: WORDS, max_len: SMALL },
    Target { name: "socketio_relay", run: relay, seeds: relayed, dictionary: WORDS, max_len: SMALL },
];

fn seeds() -> Vec<Vec<u8>> {
    let others = ["[1e308,-1e-400,1e400]", "\"\\ud83d\\ude00\\u0041\"", "\"\\ud800\\u0041\"", "[[[[[[]]]]]]"];
    [messages("phoenix"), messages("peerjs"), others.map(|text| text.as_bytes().to_vec()).to_vec()].concat()
}

fn depth(value: &Value) -> usize {
    match value {
        Value::Array(items) => 1 + items.iter().map(depth).max().unwrap_or(0),
        Value::Object(members) => 1 + members.values().map(depth).max().unwrap_or(0),
        _ => 0,
    }
}

/// JSON is portable if serde_json can read it into values, and it is not nested too deeply.
fn json(data: &[u8]) {
    let Ok(text) = str::from_utf8(data) else { return };
    let mut encoded = String::new();
    push_string(&mut encoded, text);
    assert!(encoded.len() <= 6 * text.len() + 2);
    assert_eq!(serde_json::from_str::<String>(&encoded).expect("a string"), text);

    let is_portable = is_portable(text);
    if serde_json::from_str::<IgnoredAny>(text).is_err() {
        return;
    }
    let value = serde_json::from_str::<Value>(text);
    let is_readable = value.as_ref().is_ok_and(|value| depth(value) <= MAX_DEPTH);
    // of a repeated key only one value is kept, and the dropped one may have been the deep one
    let is_deep = || text.bytes().filter(|byte| matches!(byte, b'[' | b'{')).count() > MAX_DEPTH;
    assert!(is_portable == is_readable || is_deep() && !is_portable, "portable: {is_portable}, read: {value:?}");
}

/// A forwarded signal keeps every member except the ids.
fn signal(data: &[u8]) {
    let Ok(text) = str::from_utf8(data) else { return };
    let own_id = "00000000-0000-0000-0000-000000000007";
    let Ok(signal) = readdress(text, own_id) else { return };
    assert!(signal.text.len() <= text.len() + 64, "{} bytes are sent for {} received", signal.text.len(), text.len());
    let read = |text: &str| serde_json::from_str::<serde_json::Map<String, Value>>(text);
    let (Ok(mut received), Ok(mut forwarded)) = (read(text), read(&signal.text)) else {
        assert!(read(text).is_err() == read(&signal.text).is_err(), "{}", signal.text);
        return;
    };
    assert_eq!(received.remove("peer_id"), Some(signal.to.into()));
    assert_eq!(received.remove("sender_id"), signal.sender.map(Value::from));
    assert_eq!(forwarded.remove("peer_id"), Some(own_id.into()));
    assert_eq!(received, forwarded);
}

fn signals() -> Vec<Vec<u8>> {
    let all = messages("phoenix").into_iter().filter_map(|message| {
        let message: [Value; 5] = serde_json::from_slice(&message).ok()?;
        message[4].is_object().then(|| message[4].to_string().into_bytes())
    });
    let one = Payload::from(serde_json::json!({ "sdp": "v=0", "peer_id": "you", "sender_id": "me" }));
    all.chain([one.parse::<Value>().expect("json").to_string().into_bytes()]).collect()
}

/// A forwarded message keeps every argument and member, except that `from` is the sender and `to` is removed.
fn relay(data: &[u8]) {
    let Ok(text) = str::from_utf8(data) else { return };
    for (member, name) in [(RecipientMember::To, "to"), (RecipientMember::SendTo, "sendto")] {
        let Ok(message) = relay::readdress(text, member, "me") else { continue };
        assert!(relay::begins_with_object(&message.text), "{}", message.text);
        assert!(message.text.len() <= text.len() + 12, "{} bytes for {}", message.text.len(), text.len());
        assert!(message.text.matches("\"me\"").count() >= 1, "{}", message.text);
        let read = |text: &str| serde_json::from_str::<Vec<Value>>(text);
        let (Ok(mut received), Ok(forwarded)) = (read(text), read(&message.text)) else { continue };
        let first = received[0].as_object_mut().expect("an object");
        first.insert("from".to_owned(), "me".into());
        let recipient = if name == "to" { first.remove(name) } else { first.get(name).cloned() };
        assert_eq!(recipient.filter(|to| to.as_str().is_some_and(|to| !to.is_empty())), message.to.map(Value::from));
        assert_eq!(received, forwarded);
    }
}

fn relayed() -> Vec<Vec<u8>> {
    let texts = [
        r#"[{"type":"offer","sdp":"v=0","sendto":"you"},[1,{}],"x"]"#,
        r#" [ {"to":"you","from":"me","\u0066rom":{}} ] "#,
        r#"[{"sendto":null}]"#,
        r#"["text",{"from":1}]"#,
    ];
    texts.map(|text| text.as_bytes().to_vec()).to_vec()
}
