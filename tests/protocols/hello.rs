//! HelloWebRTC clients: their entry points, their timeouts, and their separation from other protocols. Their messages
//! are in `transcripts/hello`.

use std::time::{Duration, Instant};

use handclasp::{Endpoint, Node};

use crate::common::{self, Client, Received, config, get, node, wait_until, wait_until_empty};

/// The protocol is off by default.
const ON: &str = "hello.enabled=true";
const JOIN: &str = r#"{"_messageType":"broadcast","_from":"ann"}"#;
const JOINED: &str = r#"{"_from":"ann"}"#;

async fn open(node: &Node) -> Client {
    Client::open(node.address(), "/hello", &[]).await
}

#[actix_web::test]
async fn the_root_serves_the_page_except_for_upgrades() {
    let node = node(&[ON]);
    for path in ["/", "/hello", "/hello/", "/?any=query"] {
        let mut client = Client::open(node.address(), path, &["origin: https://foreign.test"]).await;
        client.exchange(JOIN, JOINED).await;
        drop(client);
        wait_until_empty(&node).await;
    }
    let (status, body) = get(node.address(), "/index.html").await;
    assert_eq!((status, body.contains("<html")), (200, true));
    let html = "GET / HTTP/1.1\r\nhost: localhost\r\naccept: text/html\r\n\r\n";
    let (mut client, head) = Client::request(node.address(), html).await;
    assert!(head.starts_with("HTTP/1.1 200"), "{head}");
    assert_eq!(String::from_utf8(client.body(&head).await).unwrap(), body);
    assert_eq!(get(node.address(), "/hello").await.0, 400);
    let (_, head) = Client::try_open(node.address(), "/elsewhere", &[]).await;
    assert!(head.starts_with("HTTP/1.1 404"), "{head}");
}

#[actix_web::test]
async fn the_protocol_is_off_by_default_and_can_be_limited_to_origins() {
    let off = node(&[]);
    for path in ["/", "/hello"] {
        let (_, head) = Client::try_open(off.address(), path, &[]).await;
        assert!(!head.starts_with("HTTP/1.1 101"), "{head}");
    }
    let strict = node(&[ON, r#"hello.check_origin=["same"]"#]);
    for path in ["/", "/hello"] {
        let (_, head) = Client::try_open(strict.address(), path, &["origin: https://foreign.test"]).await;
        assert!(head.starts_with("HTTP/1.1 403"), "{head}");
    }
}

/// HelloWebRTC clients send nothing by themselves.
#[actix_web::test]
async fn a_client_that_does_not_reply_to_pings_is_closed() {
    let node = node(&[ON, "hello.ping_interval=200ms", "hello.ping_timeout=1s"]);
    let (mut active, mut silent) = (open(&node).await, open(&node).await);
    active.exchange(JOIN, JOINED).await;
    silent.exchange(r#"{"_messageType":"unicast","_to":1,"_from":1}"#, r#"{"_to":1,"_from":1}"#).await;
    let started = Instant::now();
    let reply_to_pings = async {
        while started.elapsed() < Duration::from_secs(4) {
            active.answer_ping().await;
        }
    };
    let (code, ()) = tokio::join!(silent.ignore_pings_until_closed(), reply_to_pings);
    assert_eq!(code, 1001);
    active.exchange(JOIN, JOINED).await;
}

#[actix_web::test]
async fn a_client_that_never_registers_is_closed() {
    let node = node(&[ON, "hello.register_timeout=300ms"]);
    let (mut registered, mut silent) = (open(&node).await, open(&node).await);
    registered.exchange(JOIN, JOINED).await;
    assert_eq!(silent.close_code().await, 1008);
    registered.exchange(JOIN, JOINED).await;
}

#[actix_web::test]
async fn names_are_not_topics_of_other_protocols() {
    let node = node(&[ON]);
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

/// A client that is told of a newcomer can broadcast, and the newcomer receives it.
#[actix_web::test]
async fn a_new_client_receives_broadcasts_immediately() {
    let node = Endpoint::new(config(&[ON, "server.workers=2", "limits.messages_per_second=10000"])).start().unwrap();
    let mut host = open(&node).await;
    host.send(r#"{"_messageType":"x","_from":"host"}"#).await;
    for n in 0..100 {
        let mut newcomer = open(&node).await;
        newcomer.send(&format!(r#"{{"_messageType":"broadcast","_from":"g{n}"}}"#)).await;
        host.expect(&format!(r#"{{"_from":"g{n}"}}"#)).await;
        host.exchange(r#"{"_messageType":"broadcast","_from":"host"}"#, r#"{"_from":"host"}"#).await;
        // two broadcasts sent at the same time may arrive in either order
        let mut received = [newcomer.receive().await, newcomer.receive().await];
        received.sort();
        assert_eq!(received, [format!(r#"{{"_from":"g{n}"}}"#), r#"{"_from":"host"}"#.to_owned()]);
    }
    drop(host);
    wait_until_empty(&node).await;
}

#[actix_web::test]
async fn the_list_of_the_binary_dialect_forgets_disconnected_clients() {
    let node = node(&[ON, "limits.messages_per_second=1000000", "limits.messages_burst=1000000"]);
    let (mut a, mut b) = (open(&node).await, open(&node).await);
    b.send_binary(b"d4:from3:ben11:messageType4:liste").await;
    let both = Received::Binary(b"d7:contentd4:bodyl3:bene11:contentType4:liste4:from3:bene".to_vec());
    assert_eq!(b.receive_any().await, both);
    drop(b);
    let alone = Received::Binary(b"d7:contentd4:bodyl3:anne11:contentType4:liste4:from3:anne".to_vec());
    let forgotten = async {
        loop {
            a.send_binary(b"d4:from3:ann11:messageType4:liste").await;
            if a.receive_any().await == alone {
                break;
            }
        }
    };
    tokio::time::timeout(common::TIMEOUT, forgotten).await.expect("the name is forgotten");
}

#[actix_web::test]
async fn two_clients_that_compete_for_a_name_affect_no_other() {
    // the third client receives 400 messages at once, and must not be disconnected for that on a busy machine
    let node = node(&[ON, "limits.joins_burst=50", "limits.joins_per_second=1", "limits.queue_bytes=1000000"]);
    let (mut a, mut b, mut other) = (open(&node).await, open(&node).await, open(&node).await);
    let message = r#"{"_messageType":"unicast","_to":"other","_from":"ann"}"#;
    for _ in 0..200 {
        a.send(message).await;
        b.send(message).await;
    }
    let echo = r#"{"_to":"other","_from":"other"}"#;
    other.send(r#"{"_messageType":"unicast","_to":"other","_from":"other"}"#).await;
    assert_eq!(other.receive_until(r#""_from":"other""#).await, echo);
    drop((a, b, other));
    wait_until_empty(&node).await;
}

#[actix_web::test]
async fn a_flooding_client_is_disconnected_and_a_drain_closes_with_service_restart() {
    let node = node(&[ON, "limits.messages_burst=50", "limits.messages_per_second=1", "drain.spread=0s"]);
    let (mut flooding, mut other) = (open(&node).await, open(&node).await);
    other.exchange(JOIN, JOINED).await;
    for _ in 0..200 {
        flooding.send("no json").await;
    }
    assert_eq!(flooding.close_code().await, 1008);
    wait_until("the other connection stays open", || async { node.connections() == 1 }).await;
    actix_web::rt::spawn(node.drain());
    assert_eq!(other.close_code().await, 1012);
}
