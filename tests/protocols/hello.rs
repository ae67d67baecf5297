//! HelloWebRTC's clients among all others: where they come in, how long they stay, and whom they never meet.
//! What they say is in `transcripts/hello`.

use std::time::{Duration, Instant};

use handclasp::{Endpoint, Node};

use crate::common::{self, Client, Received, config, get, node, wait_until, wait_until_empty};

const JOIN: &str = r#"{"_messageType":"broadcast","_from":"ann"}"#;
const JOINED: &str = r#"{"_from":"ann"}"#;

async fn open(node: &Node) -> Client {
    Client::open(node.address(), "/hello", &[]).await
}

#[actix_web::test]
async fn the_root_is_the_page_for_all_clients_that_want_no_websocket() {
    let node = node(&[]);
    for path in ["/", "/hello", "/hello/", "/?any=query"] {
        let mut client = Client::open(node.address(), path, &["origin: https://foreign.test"]).await;
        client.exchange(JOIN, JOINED).await;
        drop(client);
        wait_until_empty(&node).await;
    }
    let (status, body) = get(node.address(), "/index.html").await;
    assert_eq!((status, body.contains("<html")), (200, true));
    let html = "GET / HTTP/1.1\r\nhost: x\r\naccept: text/html\r\n\r\n";
    let (mut client, head) = Client::request(node.address(), html).await;
    assert!(head.starts_with("HTTP/1.1 200"), "{head}");
    assert_eq!(String::from_utf8(client.body(&head).await).unwrap(), body);
    assert_eq!(get(node.address(), "/hello").await.0, 400);
    let (_, head) = Client::try_open(node.address(), "/elsewhere", &[]).await;
    assert!(head.starts_with("HTTP/1.1 404"), "{head}");
}

#[actix_web::test]
async fn it_can_be_turned_off_and_kept_to_some_pages() {
    let off = node(&["hello.enabled=false"]);
    for path in ["/", "/hello"] {
        let (_, head) = Client::try_open(off.address(), path, &[]).await;
        assert!(!head.starts_with("HTTP/1.1 101"), "{head}");
    }
    let strict = node(&[r#"hello.check_origin=["same"]"#]);
    for path in ["/", "/hello"] {
        let (_, head) = Client::try_open(strict.address(), path, &["origin: https://foreign.test"]).await;
        assert!(head.starts_with("HTTP/1.1 403"), "{head}");
    }
}

/// Its clients say nothing unasked.
#[actix_web::test]
async fn a_client_that_answers_pings_may_stay_and_one_that_does_not_is_closed() {
    let node = node(&["hello.ping_interval=200ms", "hello.ping_timeout=1s"]);
    let (mut listens, mut sleeps) = (open(&node).await, open(&node).await);
    listens.exchange(JOIN, JOINED).await;
    sleeps.exchange(r#"{"_messageType":"unicast","_to":1,"_from":1}"#, r#"{"_to":1,"_from":1}"#).await;
    let began = Instant::now();
    let closed = async {
        loop {
            match sleeps.receive_any().await {
                Received::Ping(_) => {}
                Received::Close(code, _) => return code,
                other => panic!("heard {other:?}"),
            }
        }
    };
    let answers = async {
        while began.elapsed() < Duration::from_secs(4) {
            match listens.receive_any().await {
                Received::Ping(bytes) => listens.raw(&common::frame(0x8A, &bytes)).await,
                other => panic!("heard {other:?}"),
            }
        }
    };
    let (code, ()) = tokio::join!(closed, answers);
    assert_eq!(code, 1001);
    listens.exchange(JOIN, JOINED).await;
}

#[actix_web::test]
async fn a_client_that_never_registers_is_closed() {
    let node = node(&["hello.register_timeout=300ms"]);
    let (mut speaks, mut silent) = (open(&node).await, open(&node).await);
    speaks.exchange(JOIN, JOINED).await;
    assert_eq!(silent.close_code().await, 1008);
    speaks.exchange(JOIN, JOINED).await;
}

#[actix_web::test]
async fn its_names_are_no_topics_of_others() {
    let node = node(&[]);
    let (mut hello, mut phoenix) = (open(&node).await, Client::new(node.address()).await);
    let id = "11111111-1111-4111-8111-111111111111";
    phoenix.join("1", &format!("peer:{id}"), "{}").await;
    phoenix.join("2", "room:ann", "{}").await;
    let mut peerjs = Client::open(node.address(), "/peerjs?key=peerjs&id=ann&token=t", &[]).await;
    peerjs.expect(r#"{"type":"OPEN"}"#).await;
    hello.exchange(JOIN, JOINED).await;
    for to in [format!("peer:{id}"), id.to_owned(), "room:ann".to_owned()] {
        hello.send(&format!(r#"{{"_messageType":"unicast","_to":"{to}","_from":"{to}"}}"#)).await;
        hello.expect(&format!(r#"{{"_to":"{to}","_from":"{to}"}}"#)).await;
    }
    phoenix.send(r#"["1","3","peer:11111111-1111-4111-8111-111111111111","offer",{"peer_id":"22222222-2222-4222-8222-222222222222"}]"#).await;
    phoenix.receive_until("peer_not_found").await;
    for name in ["name:ann", "everybody", "ann"] {
        phoenix.send(&format!(r#"["3","3","{name}","phx_join",{{}}]"#)).await;
        phoenix.receive_until("unmatched topic").await;
    }
    phoenix.expect_nothing().await;
    drop((hello, phoenix, peerjs));
    wait_until_empty(&node).await;
}

/// One who is told that somebody has come may speak to all at once, and is heard by them.
#[actix_web::test]
async fn a_client_receives_what_is_sent_to_all_from_its_connection_on() {
    let node = Endpoint::new(config(&["server.workers=2", "limits.messages_per_second=10000"])).start().unwrap();
    let mut host = open(&node).await;
    host.send(r#"{"_messageType":"x","_from":"host"}"#).await;
    for n in 0..100 {
        let mut guest = open(&node).await;
        guest.send(&format!(r#"{{"_messageType":"broadcast","_from":"g{n}"}}"#)).await;
        host.expect(&format!(r#"{{"_from":"g{n}"}}"#)).await;
        host.exchange(r#"{"_messageType":"broadcast","_from":"host"}"#, r#"{"_from":"host"}"#).await;
        // of two who speak, neither is first everywhere
        let mut heard = [guest.receive().await, guest.receive().await];
        heard.sort();
        assert_eq!(heard, [format!(r#"{{"_from":"g{n}"}}"#), r#"{"_from":"host"}"#.to_owned()]);
    }
    drop(host);
    wait_until_empty(&node).await;
}

#[actix_web::test]
async fn two_clients_that_fight_over_a_name_harm_no_other() {
    // the third is told four hundred things at once, and must not be cut off for it where the machine is busy
    let node = node(&["limits.joins_burst=50", "limits.joins_per_second=1", "limits.queue_bytes=1000000"]);
    let (mut a, mut b, mut other) = (open(&node).await, open(&node).await, open(&node).await);
    let mine = r#"{"_messageType":"unicast","_to":"other","_from":"ann"}"#;
    for _ in 0..200 {
        a.send(mine).await;
        b.send(mine).await;
    }
    let echo = r#"{"_to":"other","_from":"other"}"#;
    other.send(r#"{"_messageType":"unicast","_to":"other","_from":"other"}"#).await;
    assert_eq!(other.receive_until(r#""_from":"other""#).await, echo);
    drop((a, b, other));
    wait_until_empty(&node).await;
}

#[actix_web::test]
async fn a_client_that_floods_or_does_not_read_is_cut_off_and_a_drain_says_so() {
    let node = node(&["limits.messages_burst=50", "limits.messages_per_second=1", "drain.spread=0s"]);
    let (mut floods, mut stays) = (open(&node).await, open(&node).await);
    stays.exchange(JOIN, JOINED).await;
    for _ in 0..200 {
        floods.send("no json").await;
    }
    assert_eq!(floods.close_code().await, 1008);
    wait_until("the other", || async { node.connections() == 1 }).await;
    actix_web::rt::spawn(node.drain());
    assert_eq!(stays.close_code().await, 1012);
}
