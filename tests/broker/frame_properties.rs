//! Property tests of frames, from clients that do not wait for replies: each request has at most one reply, and any frame
//! leaves the connection open or closes it with a code.

use std::collections::BTreeMap;

use proptest::prelude::*;

use crate::common::{self, Client, Received, wait_until_empty};
use crate::properties::LIMITS;

/// A frame of a client that does not wait for replies.
#[derive(Clone, Debug)]
struct RawFrame {
    event: &'static str,
    topic: &'static str,
    join_ref: Option<u8>,
}

fn raw_frame() -> impl Strategy<Value = RawFrame> {
    const EVENTS: [&str; 8] =
        ["phx_join", "phx_join", "phx_leave", "msg", "offer", "watch", "update_meta", "phx_close"];
    const TOPICS: [&str; 6] =
        ["room:a", "room:b", "peer:20dd48ca-fdcf-41c9-9a3b-000000000001", "broker:match", "none", "phoenix"];
    (prop::sample::select(&EVENTS[..]), prop::sample::select(&TOPICS[..]), prop::option::of(0..3_u8))
        .prop_map(|(event, topic, join_ref)| RawFrame { event, topic, join_ref })
}

/// Sends all frames at once, then receives until the last reply. Returns the number of replies to each frame.
async fn count_replies(client: &mut Client, all: &[RawFrame]) -> BTreeMap<usize, usize> {
    for (n, RawFrame { event, topic, join_ref }) in all.iter().enumerate() {
        let join_ref = join_ref.map_or("null".into(), |n| format!("\"{n}\""));
        let payload = r#"{"peer_id":"20dd48ca-fdcf-41c9-9a3b-000000000001","meta":{"a":[1]}}"#;
        client.send(&format!(r#"[{join_ref},{n},"{topic}","{event}",{payload}]"#)).await;
    }
    // the reply to a last join comes after every earlier command of the registry
    client.send(r#"["end","end","room:end","phx_join",{}]"#).await;
    let mut counts = BTreeMap::new();
    loop {
        let text = client.receive().await;
        let message: serde_json::Value = serde_json::from_str(&text).unwrap();
        if message[1] == "end" {
            return counts;
        }
        if message[3] == "phx_reply" {
            *counts.entry(message[1].as_u64().unwrap() as usize).or_default() += 1;
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 100, max_shrink_time: 60_000, ..ProptestConfig::default() })]

    #[test]
    fn requests_sent_at_once_have_at_most_one_reply_each(all in prop::collection::vec(raw_frame(), 1..60)) {
        actix_web::rt::System::new().block_on(async {
            let node = common::node(&LIMITS);
            let mut client = Client::new(node.address()).await;
            for (n, count) in count_replies(&mut client, &all).await {
                assert_eq!(count, 1, "request {n}, {:?}, in {all:?}", all[n]);
            }
            drop(client);
            wait_until_empty(&node).await;
            node.stop().await;
        });
    }

    #[test]
    fn any_frame_gets_a_reply_or_a_close_code(
        text in any::<bool>(),
        bytes in prop_oneof![
            prop::collection::vec(any::<u8>(), 0..200),
            "\\[(null|\"[a-z]{0,3}\"|[0-9]{1,3}),(null|1),\"[a-z:*]{0,9}\",\"(phx_join|phx_leave|msg)\",[{}0-9\"a]{0,4}\\]".prop_map(String::into_bytes),
            (prop::collection::vec(0..6_u8, 4), prop::collection::vec(any::<u8>(), 0..30))
                .prop_map(|(lengths, rest)| [vec![0], lengths, rest].concat()),
        ],
    ) {
        actix_web::rt::System::new().block_on(async {
            let node = common::node(&[]);
            for path in ["/socket/websocket?vsn=2.0.0", "/socket/websocket"] {
                let mut client = Client::open(node.address(), path, &[]).await;
                client.raw(&common::frame(if text { 0x81 } else { 0x82 }, &bytes)).await;
                client.raw(&common::frame(0x89, b"still there?")).await;
                loop {
                    match client.receive_any().await {
                        Received::Pong(_) => break,
                        Received::Close(code, _) => {
                            assert!(matches!(code, 1007 | 1011), "{code}");
                            break;
                        }
                        Received::Eof => panic!("closed without a close frame"),
                        Received::Text(_) | Received::Binary(_) | Received::Ping(_) => {}
                    }
                }
            }
            node.stop().await;
        });
    }
}
