//! Valid frames with malformed or malicious messages.

use super::{ALICE, BOB, MALLORY, Scene};

/// No rate limit on messages, for tests of something else.
const NO_RATE_LIMIT: [&str; 2] = ["limits.messages_burst=1000000", "limits.messages_per_second=1000000"];

fn error(join_ref: &str, reference: &str, topic: &str, reason: &str) -> String {
    format!(r#"[{join_ref},{reference},"{topic}","phx_reply",{{"status":"error","response":{{"reason":"{reason}"}}}}]"#)
}

#[actix_web::test]
async fn json_that_some_parsers_reject_is_malformed() {
    let scene = Scene::new(&[]).await;
    let push = |payload: &str| format!(r#"[null,"1","room:a","x",{payload}]"#);
    let deep = |open: &str, close: &str| format!("{}1{}", open.repeat(10_000), close.repeat(10_000));
    scene.expect_closed_after_text(&push(&deep("[", "]")), 1011, "arrays 10,000 deep").await;
    scene.expect_closed_after_text(&push(&deep(r#"{"a":"#, "}")), 1011, "objects 10,000 deep").await;
    scene.expect_closed_after_text(&"[".repeat(60_000), 1011, "60,000 brackets that never close").await;
    for number in ["1e400", "-1e400", &"9".repeat(400), "1e99999999999999999999", "NaN", "01", "+1", "0x1"] {
        scene.expect_closed_after_text(&push(number), 1011, number).await;
    }
    for text in [r#""\ud800""#, r#""\udc00""#, r#""\ud800\ud800""#, r#""\ud800x""#, r#"{"\udfff":1}"#, r#""\x41""#] {
        scene.expect_closed_after_text(&push(text), 1011, text).await;
    }
    scene.expect_closed_after_text(&push("\"a\0b\""), 1011, "an unescaped NUL").await;
    scene.expect_closed_after_text(r#"[null,"1","\ud800","x",{}]"#, 1011, "half a surrogate pair in a topic").await;
    scene.expect_closed_after_text(r#"[null,1e400,"room:a","x",{}]"#, 1011, "a ref that is not a number").await;
    scene.expect_closed_after_text(r#"[null,"1","room:a","x",{},1e400]"#, 1011, "in an element that is ignored").await;
    // the limit is a depth of 100, and the message itself is the first level
    let depth = |n: usize| push(&format!("{}{}", "[".repeat(n), "]".repeat(n)));
    scene.expect_closed_after_text(&depth(100), 1011, "101 deep").await;
    let mut client = scene.client().await;
    client.exchange(&depth(99), &error("null", r#""1""#, "room:a", "unmatched topic")).await;
    drop(client);
    scene.finish().await;
}

#[actix_web::test]
async fn unusual_payloads_are_forwarded_unchanged() {
    let scene = Scene::new(&[]).await;
    let (mut one, mut two) = (scene.client().await, scene.client().await);
    one.join("1", "room:odd", "{}").await;
    two.join("1", "room:odd", "{}").await;
    for payload in [
        r#"{"a":1,"a":2}"#,
        r#""\u0000""#,
        r#"{"\u0000":"\r\n"}"#,
        "[]",
        "null",
        "-0.0",
        "1e308",
        "9007199254740993",
        r#""\ud83d\ude00""#,
        r#"{"phx_ref":"forged","status":"ok"}"#,
    ] {
        one.exchange(
            &format!(r#"["1","2","room:odd","say",{payload}]"#),
            r#"["1","2","room:odd","phx_reply",{"status":"ok","response":{}}]"#,
        )
        .await;
        two.expect(&format!(r#"[null,null,"room:odd","say",{payload}]"#)).await;
    }
    // the name of an event cannot end its JSON string
    one.send(r#"["1","3","room:odd","\"],[\r\n\u0000",{}]"#).await;
    two.expect(r#"[null,null,"room:odd","\"],[\r\n\u0000",{}]"#).await;
    drop((one, two));
    scene.finish().await;
}

#[actix_web::test]
async fn unusual_topics_are_ordinary_names_or_rejected() {
    let scene = Scene::new(&[]).await;
    let mut client = scene.client().await;
    for topic in ["*", ">", "$SYS", "$SYS.>", ".", " ", "", "room", "room.a", "ROOM:a", "phoenix", "peer", "users:1"] {
        let join = format!(r#"["1","1","{topic}","phx_join",{{}}]"#);
        client.exchange(&join, &error("null", r#""1""#, topic, "unmatched topic")).await;
    }
    for topic in [r"room:\r\n", r"room:\u0000", r"room:\n", r"room:\u001b[31m", r"room:\t", r"\r\nroom:a"] {
        client.send(&format!(r#"["1","1","{topic}","phx_join",{{}}]"#)).await;
        let reply = client.receive().await;
        assert!(reply.starts_with(r#"[null,"1",""#) && reply.contains("unmatched topic"), "{reply}");
    }
    // under a pattern a wildcard is an ordinary character, so it matches no other room
    for (n, topic) in ["room:*", "room:>", "room:$SYS", "room:a.*", "room:", "room: "].iter().enumerate() {
        client.join(&n.to_string(), topic, "{}").await;
    }
    let (mut one, mut two) = (scene.client().await, scene.client().await);
    one.join("1", "room:a.b", "{}").await;
    two.join("1", "room:a.b", "{}").await;
    one.send(r#"["1","2","room:a.b","say",{}]"#).await;
    two.expect(r#"[null,null,"room:a.b","say",{}]"#).await;
    client.expect_nothing().await;
    drop((client, one, two));
    scene.finish().await;
}

#[actix_web::test]
async fn a_long_topic_is_rejected_and_a_topic_above_the_message_limit_closes_the_connection() {
    let scene = Scene::new(&[]).await;
    let topic = format!("room:{}", "x".repeat(65_000));
    let mut client = scene.client().await;
    let join = format!(r#"["1","1","{topic}","phx_join",{{}}]"#);
    client.exchange(&join, &error(r#""1""#, r#""1""#, &topic, "topic too long")).await;
    let push = format!(r#"["1","2","{topic}","say",{{}}]"#);
    client.exchange(&push, &error("null", r#""2""#, &topic, "unmatched topic")).await;
    drop(client);
    let topic = "x".repeat(524_288);
    scene.expect_closed_after_text(&format!(r#"["1","1","{topic}","phx_join",{{}}]"#), 1009, "a topic of 64 KiB").await;
    scene.finish().await;
}

#[actix_web::test]
async fn unusual_refs_are_returned_unchanged() {
    let scene = Scene::new(&[]).await;
    let mut client = scene.client().await;
    let long = format!("\"{}\"", "9".repeat(1_022));
    for reference in ["-1", "9007199254740993", "1.0", "true", "[]", "{}", r#"{"a":[null]}"#, r#""""#, &long] {
        let expected = error("null", reference, "room:a", "unmatched topic");
        client.exchange(&format!(r#"[{reference},{reference},"room:a","say",{{}}]"#), &expected).await;
    }
    drop(client);
    // joins and replies keep their refs, so a hundred joins would keep megabytes
    let too_long = format!("\"{}\"", "9".repeat(1_023));
    scene
        .expect_closed_after_text(&format!(r#"[{too_long},"1","room:a","phx_join",{{}}]"#), 1011, "a join_ref of 1 KiB")
        .await;
    scene
        .expect_closed_after_text(&format!(r#"["1",{too_long},"room:a","phx_join",{{}}]"#), 1011, "a ref of 1 KiB")
        .await;
    scene.finish().await;
}

#[actix_web::test]
async fn ten_thousand_joins_are_accepted_up_to_the_limit() {
    let limits = ["limits.joins_burst=1000000", "limits.joins_per_second=1000000", NO_RATE_LIMIT[0], NO_RATE_LIMIT[1]];
    let scene = Scene::new(&limits).await;
    let mut client = scene.client().await;
    let (mut ok, mut too_many) = (0, 0);
    for batch in 0..100 {
        let joins: Vec<Vec<u8>> = (0..100)
            .map(|n| format!(r#"["1","1","room:{}","phx_join",{{}}]"#, batch * 100 + n))
            .map(|join| crate::common::frame(0x81, join.as_bytes()))
            .collect();
        client.raw(&joins.concat()).await;
        for _ in 0..100 {
            let reply = client.receive().await;
            ok += usize::from(reply.contains(r#""status":"ok""#));
            too_many += usize::from(reply.contains("too many channels joined"));
        }
    }
    assert_eq!((ok, too_many), (100, 9_900));
    assert_eq!(scene.node.pubsub().stats().await.topics, 102);
    drop(client);
    scene.finish().await;
}

#[actix_web::test]
async fn ten_thousand_joins_without_a_pause_are_closed_as_a_flood() {
    let scene = Scene::new(&["limits.joins_per_second=1"]).await;
    let join = |n: usize| crate::common::frame(0x81, format!(r#"["1","1","room:{n}","phx_join",{{}}]"#).as_bytes());
    let mut client = scene.client().await;
    client.raw(&(0..10_000).flat_map(join).collect::<Vec<u8>>()).await;
    assert_eq!(client.close_code().await, 1008);
    drop(client);
    // joining and leaving the same topic stays below the number of joins, but meets their rate limit
    let mut client = scene.client().await;
    let mut limited = 0;
    let pair = [&*join(1), &crate::common::frame(0x81, br#"["1","2","room:1","phx_leave",{}]"#)].concat();
    client.raw(&pair.repeat(230)).await;
    client.send(r#"[null,"end","phoenix","heartbeat",{}]"#).await;
    loop {
        let reply = client.receive().await;
        limited += usize::from(reply.contains("rate_limited"));
        if reply.contains(r#""end""#) {
            break;
        }
    }
    assert!((1..=30).contains(&limited), "{limited} of 230 joins were rejected");
    drop(client);
    scene.finish().await;
}

#[actix_web::test]
async fn a_client_that_has_not_joined_cannot_signal() {
    let scene = Scene::new(&[]).await;
    let mut client = scene.client().await;
    let signal = |topic: &str, n: u8| format!(r#"["9","{n}","peer:{topic}","offer",{{"peer_id":"{ALICE}"}}]"#);
    let unmatched =
        |topic: &str, n: u8| error("null", &format!("\"{n}\""), &format!("peer:{topic}"), "unmatched topic");
    // before joining
    client.exchange(&signal(MALLORY, 1), &unmatched(MALLORY, 1)).await;
    // on another's topic
    client.exchange(&signal(ALICE, 2), &unmatched(ALICE, 2)).await;
    client.join("9", &format!("peer:{MALLORY}"), "{}").await;
    client.send(&format!(r#"["9","3","peer:{MALLORY}","phx_leave",{{}}]"#)).await;
    client.receive_until("phx_close").await;
    // after leaving
    client.exchange(&signal(MALLORY, 4), &unmatched(MALLORY, 4)).await;
    drop(client);
    scene.finish().await;
}

#[actix_web::test]
async fn a_signal_to_the_sender_itself_arrives_once() {
    let scene = Scene::new(&[]).await;
    let mut client = scene.client().await;
    client.join("1", &format!("peer:{MALLORY}"), "{}").await;
    client.send(&format!(r#"["1","2","peer:{MALLORY}","offer",{{"peer_id":"{MALLORY}"}}]"#)).await;
    let mut received = [client.receive().await, client.receive().await];
    received.sort();
    assert_eq!(received[0], format!(r#"["1","2","peer:{MALLORY}","phx_reply",{{"status":"ok","response":{{}}}}]"#));
    assert_eq!(received[1], format!(r#"[null,null,"peer:{MALLORY}","offer",{{"peer_id":"{MALLORY}"}}]"#));
    client.expect_nothing().await;
    drop(client);
    scene.finish().await;
}

#[actix_web::test]
async fn probing_for_ids_is_rate_limited() {
    let scene = Scene::new(&NO_RATE_LIMIT).await;
    let mut client = scene.client().await;
    client.join("1", &format!("peer:{MALLORY}"), "{}").await;
    let (mut not_found, mut limited) = (0, 0);
    for n in 0..1_000 {
        client
            .send(&format!(r#"["1","{n}","peer:{MALLORY}","offer",{{"peer_id":"00000000-0000-4000-8000-{n:012}"}}]"#))
            .await;
        let reply = client.receive().await;
        not_found += usize::from(reply.contains("peer_not_found"));
        limited += usize::from(reply.contains("rate_limited"));
    }
    assert_eq!(not_found + limited, 1_000);
    assert!((120..=140).contains(&not_found), "{not_found} ids were reported as absent");
    // a peer that is online now looks like one that is absent
    for to in [BOB, MALLORY] {
        client.send(&format!(r#"["1","x","peer:{MALLORY}","connect",{{"peer_id":"{to}"}}]"#)).await;
        assert!(client.receive().await.contains("rate_limited"));
    }
    drop(client);
    scene.finish().await;
}

#[actix_web::test]
async fn a_secret_of_1_mib_is_too_big_or_unproven() {
    let secret = |n: usize| format!(r#"["1","1","peer:{MALLORY}","phx_join",{{"secret":"{}"}}]"#, "A".repeat(n));
    let scene = Scene::new(&[]).await;
    scene.expect_closed_after_text(&secret(1 << 20), 1009, "a secret of 1 MiB").await;
    scene.finish().await;
    let scene = Scene::new(&["limits.message_bytes=2_000_000"]).await;
    let mut client = scene.client().await;
    let unproven = error(r#""1""#, r#""1""#, &format!("peer:{MALLORY}"), "unproven");
    client.exchange(&secret(1 << 20), &unproven).await;
    drop(client);
    scene.finish().await;
}

#[actix_web::test]
async fn a_payload_of_the_wrong_shape_is_rejected_with_a_reason() {
    let scene = Scene::new(&[]).await;
    let mut client = scene.client().await;
    let topic = format!("peer:{MALLORY}");
    for payload in ["[]", "null", "1", r#""text""#, "true"] {
        let join = format!(r#"["1","1","{topic}","phx_join",{payload}]"#);
        client.exchange(&join, &error(r#""1""#, r#""1""#, &topic, "invalid payload")).await;
    }
    let wrong = format!(r#"["1","1","{topic}","phx_join",{{"secret":7}}]"#);
    client.exchange(&wrong, &error(r#""1""#, r#""1""#, &topic, "invalid payload")).await;
    client.join("1", &topic, "{}").await;
    let twice = format!(r#"{{"peer_id":"{BOB}","peer_id":"{ALICE}"}}"#);
    for payload in ["[]", "null", "1", r#""text""#, "{}", r#"{"peer_id":7}"#, r#"{"peer_id":null}"#, &twice] {
        for event in ["offer", "connect"] {
            let push = format!(r#"["1","2","{topic}","{event}",{payload}]"#);
            client.exchange(&push, &error(r#""1""#, r#""2""#, &topic, "invalid payload")).await;
        }
    }
    for event in ["watch", "unwatch"] {
        let push = format!(r#"["1","2","{topic}","{event}",[]]"#);
        client.exchange(&push, &error(r#""1""#, r#""2""#, &topic, "invalid peer id")).await;
    }
    // a binary payload is not an object either
    client.send_binary(&[&b"\0\x01\x01\x29\x05"[..], b"12", topic.as_bytes(), b"offer", b"\x01\x02"].concat()).await;
    client.expect(&error(r#""1""#, r#""2""#, &topic, "invalid payload")).await;
    drop(client);
    scene.finish().await;
}

#[actix_web::test]
async fn a_topic_joined_a_thousand_times_has_one_member() {
    let limits = ["limits.joins_burst=1000000", "limits.joins_per_second=1000000", NO_RATE_LIMIT[0], NO_RATE_LIMIT[1]];
    let scene = Scene::new(&limits).await;
    let mut client = scene.client().await;
    let join = |n: usize| format!(r#"["{n}","{n}","room:again","phx_join",{{"meta":{{}}}}]"#);
    let joins: Vec<u8> = (0..1_000).flat_map(|n| crate::common::frame(0x81, join(n).as_bytes())).collect();
    client.raw(&joins).await;
    let (mut replies, mut joined, mut closed) = (vec![0; 1_000], 0, 0);
    while replies.contains(&0) || joined != closed + 1 {
        let message: serde_json::Value = serde_json::from_str(&client.receive().await).unwrap();
        match message[3].as_str() {
            Some("phx_reply") => {
                replies[message[1].as_str().unwrap().parse::<usize>().unwrap()] += 1;
                joined += usize::from(message[4]["status"] == "ok");
            }
            Some("phx_close") => closed += 1,
            _ => {}
        }
    }
    assert!(replies.iter().all(|times| *times == 1), "each join has one reply");
    let stats = scene.node.pubsub().stats().await;
    assert_eq!((stats.topics, stats.members, stats.presence_entries), (3, 3, 1));
    drop(client);
    scene.finish().await;
}
