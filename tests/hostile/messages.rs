//! Messages that are whole frames, and mean nothing good.

use super::{ALICE, BOB, NOBODY, Scene};

/// A client may say this much at once in tests that are about something else.
const FAST: [&str; 2] = ["limits.messages_burst=1000000", "limits.messages_per_second=1000000"];

fn error(join_ref: &str, reference: &str, topic: &str, reason: &str) -> String {
    format!(r#"[{join_ref},{reference},"{topic}","phx_reply",{{"status":"error","response":{{"reason":"{reason}"}}}}]"#)
}

#[actix_web::test]
async fn json_that_some_reader_would_stumble_over_is_malformed() {
    let scene = Scene::new(&[]).await;
    let push = |payload: &str| format!(r#"[null,"1","room:a","x",{payload}]"#);
    let deep = |open: &str, shut: &str| format!("{}1{}", open.repeat(10_000), shut.repeat(10_000));
    scene.closes_text(&push(&deep("[", "]")), 1011, "arrays 10,000 deep").await;
    scene.closes_text(&push(&deep(r#"{"a":"#, "}")), 1011, "objects 10,000 deep").await;
    scene.closes_text(&"[".repeat(60_000), 1011, "60,000 brackets that never close").await;
    for number in ["1e400", "-1e400", &"9".repeat(400), "1e99999999999999999999", "NaN", "01", "+1", "0x1"] {
        scene.closes_text(&push(number), 1011, number).await;
    }
    for text in [r#""\ud800""#, r#""\udc00""#, r#""\ud800\ud800""#, r#""\ud800x""#, r#"{"\udfff":1}"#, r#""\x41""#] {
        scene.closes_text(&push(text), 1011, text).await;
    }
    scene.closes_text(&push("\"a\0b\""), 1011, "a NUL that is not escaped").await;
    scene.closes_text(r#"[null,"1","\ud800","x",{}]"#, 1011, "half a surrogate pair in a topic").await;
    scene.closes_text(r#"[null,1e400,"room:a","x",{}]"#, 1011, "a ref that is no number").await;
    scene.closes_text(r#"[null,"1","room:a","x",{},1e400]"#, 1011, "in what is passed over").await;
    // 100 deep is deep enough for anybody: the message itself is one of them
    let depth = |n: usize| push(&format!("{}{}", "[".repeat(n), "]".repeat(n)));
    scene.closes_text(&depth(100), 1011, "101 deep").await;
    let mut client = scene.client().await;
    client.exchange(&depth(99), &error("null", r#""1""#, "room:a", "unmatched topic")).await;
    drop(client);
    scene.ends_well().await;
}

#[actix_web::test]
async fn odd_payloads_pass_as_they_are() {
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
    // and an event's name cannot break out of its string
    one.send(r#"["1","3","room:odd","\"],[\r\n\u0000",{}]"#).await;
    two.expect(r#"[null,null,"room:odd","\"],[\r\n\u0000",{}]"#).await;
    drop((one, two));
    scene.ends_well().await;
}

#[actix_web::test]
async fn odd_topics_are_names_like_any_other_or_none() {
    let scene = Scene::new(&[]).await;
    let mut client = scene.client().await;
    for topic in ["*", ">", "$SYS", "$SYS.>", ".", " ", "", "room", "room.a", "ROOM:a", "phoenix", "peer", "users:1"] {
        let join = format!(r#"["1","1","{topic}","phx_join",{{}}]"#);
        client.exchange(&join, &error("null", r#""1""#, topic, "unmatched topic")).await;
    }
    for topic in [r"room:\r\n", r"room:\u0000", r"room:\n", r"room:\u001b[31m", r"room:\t", r"\r\nroom:a"] {
        client.send(&format!(r#"["1","1","{topic}","phx_join",{{}}]"#)).await;
        let answer = client.receive().await;
        assert!(answer.starts_with(r#"[null,"1",""#) && answer.contains("unmatched topic"), "{answer}");
    }
    // below a pattern a wildcard is a letter: nobody hears another's room through it
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
    scene.ends_well().await;
}

#[actix_web::test]
async fn a_topic_of_64_kib_is_too_long_and_one_above_the_message_too_big() {
    let scene = Scene::new(&[]).await;
    let topic = format!("room:{}", "x".repeat(65_000));
    let mut client = scene.client().await;
    let join = format!(r#"["1","1","{topic}","phx_join",{{}}]"#);
    client.exchange(&join, &error(r#""1""#, r#""1""#, &topic, "topic too long")).await;
    let push = format!(r#"["1","2","{topic}","say",{{}}]"#);
    client.exchange(&push, &error("null", r#""2""#, &topic, "unmatched topic")).await;
    drop(client);
    let topic = "x".repeat(65_536);
    scene.closes_text(&format!(r#"["1","1","{topic}","phx_join",{{}}]"#), 1009, "a topic of 64 KiB").await;
    scene.ends_well().await;
}

#[actix_web::test]
async fn odd_refs_come_back_as_they_are() {
    let scene = Scene::new(&[]).await;
    let mut client = scene.client().await;
    let long = format!("\"{}\"", "9".repeat(1_022));
    for reference in ["-1", "9007199254740993", "1.0", "true", "[]", "{}", r#"{"a":[null]}"#, r#""""#, &long] {
        let want = error("null", reference, "room:a", "unmatched topic");
        client.exchange(&format!(r#"[{reference},{reference},"room:a","say",{{}}]"#), &want).await;
    }
    drop(client);
    // joins and answers keep them: a hundred joins would keep megabytes
    let too_long = format!("\"{}\"", "9".repeat(1_023));
    scene.closes_text(&format!(r#"[{too_long},"1","room:a","phx_join",{{}}]"#), 1011, "a join_ref of 1 KiB").await;
    scene.closes_text(&format!(r#"["1",{too_long},"room:a","phx_join",{{}}]"#), 1011, "a ref of 1 KiB").await;
    scene.ends_well().await;
}

#[actix_web::test]
async fn ten_thousand_joins_take_what_is_allowed_and_no_more() {
    let free = ["limits.joins_burst=1000000", "limits.joins_per_second=1000000", FAST[0], FAST[1]];
    let scene = Scene::new(&free).await;
    let mut client = scene.client().await;
    let (mut ok, mut too_many) = (0, 0);
    for batch in 0..100 {
        let joins: Vec<Vec<u8>> = (0..100)
            .map(|n| format!(r#"["1","1","room:{}","phx_join",{{}}]"#, batch * 100 + n))
            .map(|join| crate::common::frame(0x81, join.as_bytes()))
            .collect();
        client.raw(&joins.concat()).await;
        for _ in 0..100 {
            let answer = client.receive().await;
            ok += usize::from(answer.contains(r#""status":"ok""#));
            too_many += usize::from(answer.contains("too many channels joined"));
        }
    }
    assert_eq!((ok, too_many), (100, 9_900));
    assert_eq!(scene.node.pubsub().census().await.topics, 102);
    drop(client);
    scene.ends_well().await;
}

#[actix_web::test]
async fn ten_thousand_joins_as_fast_as_can_be_are_a_flood() {
    let scene = Scene::new(&["limits.joins_per_second=1"]).await;
    let join = |n: usize| crate::common::frame(0x81, format!(r#"["1","1","room:{n}","phx_join",{{}}]"#).as_bytes());
    let mut client = scene.client().await;
    client.raw(&(0..10_000).flat_map(join).collect::<Vec<u8>>()).await;
    assert_eq!(client.close_code().await, 1008);
    drop(client);
    // who joins and leaves the same topic keeps below the number, and meets the rate of joins instead
    let mut client = scene.client().await;
    let mut limited = 0;
    let pair = [&*join(1), &crate::common::frame(0x81, br#"["1","2","room:1","phx_leave",{}]"#)].concat();
    client.raw(&pair.repeat(230)).await;
    client.send(r#"[null,"end","phoenix","heartbeat",{}]"#).await;
    loop {
        let answer = client.receive().await;
        limited += usize::from(answer.contains("rate_limited"));
        if answer.contains(r#""end""#) {
            break;
        }
    }
    assert!((1..=30).contains(&limited), "{limited} of 230 joins were refused");
    drop(client);
    scene.ends_well().await;
}

#[actix_web::test]
async fn a_client_that_has_not_joined_reaches_nobody() {
    let scene = Scene::new(&[]).await;
    let mut client = scene.client().await;
    let signal = |topic: &str, n: u8| format!(r#"["9","{n}","peer:{topic}","offer",{{"peer_id":"{ALICE}"}}]"#);
    let unmatched =
        |topic: &str, n: u8| error("null", &format!("\"{n}\""), &format!("peer:{topic}"), "unmatched topic");
    // before joining
    client.exchange(&signal(NOBODY, 1), &unmatched(NOBODY, 1)).await;
    // on another's topic
    client.exchange(&signal(ALICE, 2), &unmatched(ALICE, 2)).await;
    client.join("9", &format!("peer:{NOBODY}"), "{}").await;
    client.send(&format!(r#"["9","3","peer:{NOBODY}","phx_leave",{{}}]"#)).await;
    client.receive_until("phx_close").await;
    // after leaving
    client.exchange(&signal(NOBODY, 4), &unmatched(NOBODY, 4)).await;
    drop(client);
    scene.ends_well().await;
}

#[actix_web::test]
async fn a_signal_to_oneself_arrives_once() {
    let scene = Scene::new(&[]).await;
    let mut client = scene.client().await;
    client.join("1", &format!("peer:{NOBODY}"), "{}").await;
    client.send(&format!(r#"["1","2","peer:{NOBODY}","offer",{{"peer_id":"{NOBODY}"}}]"#)).await;
    let mut heard = [client.receive().await, client.receive().await];
    heard.sort();
    assert_eq!(heard[0], format!(r#"["1","2","peer:{NOBODY}","phx_reply",{{"status":"ok","response":{{}}}}]"#));
    assert_eq!(heard[1], format!(r#"[null,null,"peer:{NOBODY}","offer",{{"peer_id":"{NOBODY}"}}]"#));
    client.expect_nothing().await;
    drop(client);
    scene.ends_well().await;
}

#[actix_web::test]
async fn a_search_for_ids_is_stopped_and_the_search_alone() {
    let scene = Scene::new(&FAST).await;
    let mut client = scene.client().await;
    client.join("1", &format!("peer:{NOBODY}"), "{}").await;
    let (mut missed, mut limited) = (0, 0);
    for n in 0..1_000 {
        client
            .send(&format!(r#"["1","{n}","peer:{NOBODY}","offer",{{"peer_id":"00000000-0000-4000-8000-{n:012}"}}]"#))
            .await;
        let answer = client.receive().await;
        missed += usize::from(answer.contains("peer_not_found"));
        limited += usize::from(answer.contains("rate_limited"));
    }
    assert_eq!(missed + limited, 1_000);
    assert!((60..=70).contains(&missed), "{missed} ids were told to be absent");
    // whoever is there cannot be told apart from who is not
    for to in [BOB, NOBODY] {
        client.send(&format!(r#"["1","x","peer:{NOBODY}","connect",{{"peer_id":"{to}"}}]"#)).await;
        assert!(client.receive().await.contains("rate_limited"));
    }
    drop(client);
    scene.ends_well().await;
}

#[actix_web::test]
async fn a_secret_of_a_mebibyte_is_too_big_or_unproven() {
    let secret = |n: usize| format!(r#"["1","1","peer:{NOBODY}","phx_join",{{"secret":"{}"}}]"#, "A".repeat(n));
    let scene = Scene::new(&[]).await;
    scene.closes_text(&secret(1 << 20), 1009, "a secret of 1 MiB").await;
    scene.ends_well().await;
    let scene = Scene::new(&["limits.message_bytes=2_000_000"]).await;
    let mut client = scene.client().await;
    let unproven = error(r#""1""#, r#""1""#, &format!("peer:{NOBODY}"), "unproven");
    client.exchange(&secret(1 << 20), &unproven).await;
    drop(client);
    scene.ends_well().await;
}

#[actix_web::test]
async fn a_payload_of_another_shape_is_refused_in_words() {
    let scene = Scene::new(&[]).await;
    let mut client = scene.client().await;
    let topic = format!("peer:{NOBODY}");
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
    // bytes are no object either
    client.send_binary(&[&b"\0\x01\x01\x29\x05"[..], b"12", topic.as_bytes(), b"offer", b"\x01\x02"].concat()).await;
    client.expect(&error(r#""1""#, r#""2""#, &topic, "invalid payload")).await;
    drop(client);
    scene.ends_well().await;
}

#[actix_web::test]
async fn a_topic_that_is_joined_a_thousand_times_is_joined_once() {
    let free = ["limits.joins_burst=1000000", "limits.joins_per_second=1000000", FAST[0], FAST[1]];
    let scene = Scene::new(&free).await;
    let mut client = scene.client().await;
    let join = |n: usize| format!(r#"["{n}","{n}","room:again","phx_join",{{"meta":{{}}}}]"#);
    let joins: Vec<u8> = (0..1_000).flat_map(|n| crate::common::frame(0x81, join(n).as_bytes())).collect();
    client.raw(&joins).await;
    let (mut answered, mut joined, mut ended) = (vec![0; 1_000], 0, 0);
    while answered.contains(&0) || joined != ended + 1 {
        let message: serde_json::Value = serde_json::from_str(&client.receive().await).unwrap();
        match message[3].as_str() {
            Some("phx_reply") => {
                answered[message[1].as_str().unwrap().parse::<usize>().unwrap()] += 1;
                joined += usize::from(message[4]["status"] == "ok");
            }
            Some("phx_close") => ended += 1,
            _ => {}
        }
    }
    assert!(answered.iter().all(|times| *times == 1), "each is answered once");
    let census = scene.node.pubsub().census().await;
    assert_eq!((census.topics, census.members, census.rows), (3, 3, 1));
    drop(client);
    scene.ends_well().await;
}
