//! How many may come in, from where, and what becomes of a request that is too large or never ends.

use handclasp::Node;
use tokio::net::TcpStream;

use crate::common::{self, Client, Received, node, wait_until, wait_until_empty};

const PATH: &str = "/socket/websocket?vsn=2.0.0";

/// Asks for a socket in the name of another address: the client, the status, and what it was told.
async fn come(node: &Node, forwarded_for: &str) -> (Client, u16, String) {
    let header = format!("X-Forwarded-For: {forwarded_for}");
    let (mut client, head) = Client::try_open(node.address(), PATH, &[&header]).await;
    let body = client.body(&head).await;
    (client, head[9..12].parse().unwrap(), String::from_utf8(body).unwrap())
}

async fn is_full(node: &Node, forwarded_for: &str) {
    let (_, status, body) = come(node, forwarded_for).await;
    assert_eq!((status, &*body), (429, "too many connections from this address"), "{forwarded_for}");
}

#[actix_web::test]
async fn one_address_has_so_many_connections_and_gets_them_back() {
    let node = node(&["limits.sockets_per_ip=2", r#"server.trusted_proxies=["127.0.0.1"]"#]);
    let (first, one, _) = come(&node, "198.51.100.1").await;
    let (second, two, _) = come(&node, "6.6.6.6, 198.51.100.1").await;
    assert_eq!((one, two), (101, 101));
    is_full(&node, "198.51.100.1").await;
    is_full(&node, "::ffff:198.51.100.1").await;
    assert_eq!(come(&node, "198.51.100.2").await.1, 101);
    // one network of IPv6 is one customer
    let (third, three, _) = come(&node, "2001:db8::1").await;
    let (fourth, four, _) = come(&node, "[2001:db8::2]:4711").await;
    assert_eq!((three, four), (101, 101));
    is_full(&node, "2001:db8::3").await;
    assert_eq!(come(&node, "2001:db8:0:1::3").await.1, 101);
    drop(first);
    wait_until("a place that is free again", || async { come(&node, "198.51.100.1").await.1 == 101 }).await;
    drop((second, third, fourth));
    wait_until_empty(&node).await;
}

#[actix_web::test]
async fn a_client_that_reconnects_too_fast_is_rejected_though_it_has_no_connection_left() {
    let sets = ["limits.connects_burst=5", "limits.connects_per_second=1", r#"server.trusted_proxies=["127.0.0.1"]"#];
    let node = node(&sets);
    for _ in 0..5 {
        let (client, status, _) = come(&node, "198.51.100.1").await;
        assert_eq!(status, 101);
        drop(client);
        wait_until_empty(&node).await;
    }
    let told = come(&node, "198.51.100.1").await;
    assert_eq!((told.1, &*told.2), (429, "too many new connections from this address"));
    assert_eq!(come(&node, "198.51.100.2").await.1, 101);
    wait_until("a second later it may", || async { come(&node, "198.51.100.1").await.1 == 101 }).await;
}

#[actix_web::test]
async fn a_client_that_reconnects_has_no_more_guesses_than_before() {
    let node = node(&["limits.not_found_burst_per_ip=5", "limits.not_found_per_minute_per_ip=1"]);
    let own = "00000000-0000-4000-8000-00000000000a";
    // one that was there before is not to blame
    let mut neighbour = Client::new(node.address()).await;
    neighbour.join("1", &format!("peer:{NEIGHBOUR}"), "{}").await;
    for _ in 0..5 {
        let mut guesser = Client::new(node.address()).await;
        guesser.join("1", &format!("peer:{own}"), "{}").await;
        assert!(offer(&mut guesser, own).await.contains("peer_not_found"));
        drop(guesser);
        wait_until("it is gone", || async { node.connections() == 1 }).await;
    }
    let mut guesser = Client::new(node.address()).await;
    guesser.join("1", &format!("peer:{own}"), "{}").await;
    assert!(offer(&mut guesser, own).await.contains("peer_not_found"));
    assert!(offer(&mut guesser, own).await.contains("rate_limited"));
    for _ in 0..2 {
        assert!(offer(&mut neighbour, NEIGHBOUR).await.contains("peer_not_found"));
    }
}

const NEIGHBOUR: &str = "00000000-0000-4000-8000-00000000000c";

/// Sends an offer to nobody, and returns its answer.
async fn offer(client: &mut Client, own: &str) -> String {
    let nobody = "00000000-0000-4000-8000-00000000000b";
    client.send(&format!(r#"["1","2","peer:{own}","offer",{{"peer_id":"{nobody}"}}]"#)).await;
    client.receive_until("phx_reply").await
}

#[actix_web::test]
async fn connections_that_say_nothing_are_counted_and_hung_up_on() {
    let sets = ["limits.sockets_per_ip=2", "limits.http_connections_per_ip=3", "server.header_timeout=5m"];
    let node = node(&sets);
    let mut silent = Vec::new();
    for _ in 0..5 {
        silent.push(TcpStream::connect(node.address()).await.unwrap());
    }
    let mut sixth = Client::from_stream(TcpStream::connect(node.address()).await.unwrap());
    assert_eq!(sixth.receive_any().await, Received::Eof);
    // a place that is given back is one that can be had
    silent.pop();
    wait_until("a free place", || async {
        let mut seventh = Client::from_stream(TcpStream::connect(node.address()).await.unwrap());
        seventh.raw(b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n").await;
        seventh.head().await.starts_with("HTTP/1.1 200")
    })
    .await;
}

/// A WebSocket's place was given back as soon as it was one.
#[actix_web::test]
async fn a_websocket_is_one_of_the_connections_of_its_address_for_as_long_as_it_lives() {
    let node = node(&["limits.sockets_per_ip=2", "limits.http_connections_per_ip=1"]);
    let _sockets = [Client::new(node.address()).await, Client::new(node.address()).await];
    let _silent = TcpStream::connect(node.address()).await.unwrap();
    let mut fourth = Client::from_stream(TcpStream::connect(node.address()).await.unwrap());
    assert_eq!(fourth.receive_any().await, Received::Eof);
}

#[actix_web::test]
async fn a_forged_address_is_not_believed() {
    let node = node(&["limits.sockets_per_ip=1"]);
    let (_first, status, _) = come(&node, "198.51.100.1").await;
    assert_eq!(status, 101);
    is_full(&node, "198.51.100.2").await;
}

#[actix_web::test]
async fn a_full_node_says_so_and_has_room_again_when_a_client_leaves() {
    let node = node(&["server.connections=2"]);
    let (first, second) = (Client::new(node.address()).await, Client::new(node.address()).await);
    assert_eq!(node.connections(), 2);
    let (_, status, body) = come(&node, "198.51.100.1").await;
    assert_eq!((status, &*body), (503, "this server is full"));
    // what is refused for another reason is told that reason
    let (_, head) = Client::try_open(node.address(), "/socket/websocket?vsn=9", &[]).await;
    assert!(head.starts_with("HTTP/1.1 403"), "{head}");
    drop(first);
    wait_until("a free place", || async { node.connections() == 1 }).await;
    assert_eq!(come(&node, "198.51.100.1").await.1, 101);
    drop(second);
    wait_until_empty(&node).await;
}

#[actix_web::test]
async fn headers_that_are_too_many_too_large_or_too_slow_are_none() {
    let node = node(&["server.header_timeout=1s"]);
    let many: Vec<String> = (0..10_000).map(|n| format!("X-{n}: x")).collect();
    let many: Vec<&str> = many.iter().map(String::as_str).collect();
    for lines in [many, vec![&*format!("X-Large: {}", "x".repeat(1 << 20))]] {
        let (_, head) = Client::try_open(node.address(), PATH, &lines).await;
        assert!(head.starts_with("HTTP/1.1 431"), "{head}");
    }
    let (_, head) = Client::request(node.address(), "GET /socket/websocket HTTP/1.1\r\nHost: x\r\nX-Drip: ").await;
    assert!(head.starts_with("HTTP/1.1 408"), "{head}");
    assert_eq!(come(&node, "198.51.100.1").await.1, 101);
    wait_until_empty(&node).await;
}

#[actix_web::test]
async fn a_client_that_guesses_before_its_join_is_answered_gains_nothing() {
    let node = node(&["limits.not_found_burst=5"]);
    let mut client = Client::new(node.address()).await;
    // all in one go, so that the join is still being decided
    let mut said = vec![format!(r#"["1","1","peer:{NEIGHBOUR}","phx_join",{{}}]"#)];
    let guess = format!(r#"["1","g","peer:{NEIGHBOUR}","offer",{{"peer_id":"00000000-0000-4000-8000-00000000000b"}}]"#);
    said.extend(vec![guess; 20]);
    client.raw(&said.iter().flat_map(|words| common::frame(0x81, words.as_bytes())).collect::<Vec<u8>>()).await;
    client.receive_until(r#""status":"ok""#).await;
    for n in 0..20 {
        let want = if n < 5 { "peer_not_found" } else { "rate_limited" };
        let answer = client.receive().await;
        assert!(answer.contains(want), "{n}: {answer}");
    }
}
