//! Clients that send too many bytes, or have too many sent to others.

use super::{BOB, MALLORY, Scene};
use crate::common::longpoll::request;
use crate::common::streaming::{Stream, post};
use crate::common::{Client, id};

const FEW_BYTES: [&str; 2] = ["limits.bytes_per_second=1", "limits.bytes_burst=20_000"];
const LIMITED: &str = r#"{"status":"error","response":{"reason":"rate_limited"}}"#;
const OK: &str = r#"{"status":"ok","response":{}}"#;

fn signal(n: usize, size: usize) -> String {
    let (peer, text) = (format!("peer:{MALLORY}"), "x".repeat(size));
    format!(r#"["1","{n}","{peer}","offer",{{"peer_id":"{BOB}","sdp":"{text}"}}]"#)
}

async fn join_peer(client: &mut Client) {
    client.join("1", &format!("peer:{MALLORY}"), "{}").await;
}

#[actix_web::test]
async fn bytes_are_limited_as_messages_are() {
    let mut scene = Scene::new(&FEW_BYTES).await;
    let mut mallory = scene.client().await;
    join_peer(&mut mallory).await;
    for n in 0..7 {
        mallory.send(&signal(n, 5_000)).await;
    }
    for n in 0..7 {
        let expected = if n < 3 { OK } else { LIMITED };
        mallory.expect(&format!(r#"["1","{n}","peer:{MALLORY}","phx_reply",{expected}]"#)).await;
    }
    for _ in 0..3 {
        scene.bob.receive_until("offer").await;
    }
    mallory.send(&signal(7, 5_000)).await;
    assert_eq!(mallory.close_code().await, 1008);
    scene.finish().await;
}

#[actix_web::test]
async fn bodies_count_too() {
    let scene = Scene::new(&FEW_BYTES).await;
    let address = scene.node.address();
    let text = "x".repeat(5_000);
    // long polling of Engine.IO, also from a script
    for (query, body, accepted) in [
        ("EIO=4&transport=polling", format!(r#"42["message","{text}"]"#), "ok"),
        ("EIO=3&transport=polling&j=0", format!("d=5016%3A42%5B%22message%22%2C%22{text}%22%5D"), "ok"),
    ] {
        let path = format!("/socket.io/?{query}");
        let opened = request(address, "GET", &path, &[], b"").await.body;
        let sid = opened.split("sid").nth(1).unwrap().split(['"', '\\', ':']).find(|part| part.len() > 8).unwrap();
        let session = format!("{path}&sid={sid}");
        if !query.contains("j=0") {
            assert_eq!(request(address, "POST", &session, &[], b"40").await.body, "ok");
        }
        assert_eq!(request(address, "POST", &session, &[], body.as_bytes()).await.body, accepted, "{query}");
        let mut count = 1;
        while request(address, "POST", &session, &[], body.as_bytes()).await.http == 200 {
            count += 1;
            assert!(count < 20, "{query}");
        }
    }
    // long polling of Phoenix
    let opened = request(address, "GET", "/socket/longpoll?vsn=2.0.0", &[], b"").await.json();
    let session = format!("/socket/longpoll?vsn=2.0.0&token={}", opened["token"].as_str().unwrap());
    let join = r#"["1","1","room:a","phx_join",{}]"#;
    assert_eq!(request(address, "POST", &session, &[], join.as_bytes()).await.status(), 200);
    let push = format!(r#"["1","2","room:a","msg",{{"x":"{text}"}}]"#);
    let mut count = 0;
    while request(address, "POST", &session, &[], push.as_bytes()).await.status() == 200 {
        count += 1;
        assert!(count < 20, "Phoenix");
    }
    // posts beside a stream or a WebSocket of PeerJS
    let mut stream = Stream::open(address, "/peerjs/mallory/t/id?i=0").await;
    stream.next().await;
    let offer = format!(r#"{{"type":"OFFER","dst":"nobody","payload":"{text}"}}"#);
    let mut count = 0;
    while post(address, "/peerjs/mallory/t/offer", &offer).await.http == 200 {
        count += 1;
        assert!(count < 20, "PeerJS");
    }
    drop(stream);
    scene.finish().await;
}

/// The sender is told. Signals to one peer are not affected.
#[actix_web::test]
async fn what_one_sender_has_sent_to_many_is_limited() {
    let mut scene = Scene::new(&["limits.fanout_bytes_per_second=1", "limits.fanout_bytes_burst=100_000"]).await;
    let mut mallory = scene.client().await;
    join_peer(&mut mallory).await;
    mallory.join("2", "room:a", "{}").await;
    let mut members = Vec::new();
    for _ in 0..9 {
        let mut member = scene.client().await;
        member.join("1", "room:a", "{}").await;
        members.push(member);
    }
    let text = "x".repeat(5_000);
    for n in 0..6 {
        mallory.send(&format!(r#"["2","{n}","room:a","msg",{{"x":"{text}"}}]"#)).await;
        let expected = if n < 3 { OK } else { LIMITED };
        mallory.expect(&format!(r#"["2","{n}","room:a","phx_reply",{expected}]"#)).await;
    }
    for member in &mut members {
        for _ in 0..3 {
            member.receive_until("msg").await;
        }
        member.expect_nothing().await;
    }
    mallory.exchange(&signal(9, 10), &format!(r#"["1","9","peer:{MALLORY}","phx_reply",{OK}]"#)).await;
    scene.bob.receive_until("offer").await;
    let mut relay = Vec::new();
    for _ in 0..10 {
        let mut client = Client::open(scene.node.address(), "/socket.io/?EIO=4&transport=websocket", &[]).await;
        client.send("40").await;
        client.receive_until("40{").await;
        relay.push(client);
    }
    for n in 0..6 {
        relay[0].send(&format!(r#"421["message",{n},"{text}"]"#)).await;
    }
    for _ in 3..6 {
        relay[0].expect(r#"431[{"reason":"rate_limited"}]"#).await;
    }
    for client in &mut relay[1..] {
        for n in 0..3 {
            assert!(client.receive().await.starts_with(&format!(r#"42["message",{n},"#)));
        }
        client.exchange("40/end", r#"44/end,{"message":"Invalid namespace"}"#).await;
    }
    drop((mallory, members, relay));
    scene.finish().await;
}

/// The description of a large call, for each of the others in it.
#[actix_web::test]
async fn large_descriptions_pass_at_once() {
    let limits = handclasp::Config::default().limits;
    let (bytes, fanout) = (limits.bytes_burst, limits.fanout_bytes_burst);
    let defaults = [format!("limits.bytes_burst={bytes}"), format!("limits.fanout_bytes_burst={fanout}")];
    let scene = Scene::new(&[&defaults[0], &defaults[1]]).await;
    let mut mallory = scene.client().await;
    join_peer(&mut mallory).await;
    let mut others = Vec::new();
    for n in 0..20 {
        let mut other = scene.client().await;
        other.join("1", &format!("peer:{}", id(1_000 + n)), "{}").await;
        others.push(other);
    }
    let offer = signal(0, 261_000);
    for n in 0..20 {
        mallory.send(&offer.replace(BOB, &id(1_000 + n))).await;
    }
    for other in &mut others {
        other.receive_until("offer").await;
        mallory.expect(&format!(r#"["1","0","peer:{MALLORY}","phx_reply",{OK}]"#)).await;
    }
    drop((mallory, others));
    scene.finish().await;
}
