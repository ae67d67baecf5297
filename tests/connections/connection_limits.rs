//! How many connections are admitted, from which addresses, and what happens to request heads that are too large or
//! never end.

use handclasp::Node;
use tokio::net::TcpStream;

use crate::common::{self, Client, Received, node, wait_until, wait_until_empty};

const PATH: &str = "/socket/websocket?vsn=2.0.0";

/// Requests an upgrade in the name of another address. Returns the client, and the status and body of the response.
async fn connect(node: &Node, forwarded_for: &str) -> (Client, u16, String) {
    let header = format!("X-Forwarded-For: {forwarded_for}");
    let (mut client, head) = Client::try_open(node.address(), PATH, &[&header]).await;
    let body = client.body(&head).await;
    (client, head[9..12].parse().unwrap(), String::from_utf8(body).unwrap())
}

async fn expect_rejected(node: &Node, forwarded_for: &str) {
    let (_, status, body) = connect(node, forwarded_for).await;
    assert_eq!((status, &*body), (429, "too many connections from this address"), "{forwarded_for}");
}

#[actix_web::test]
async fn the_connections_of_an_address_are_limited_and_released() {
    let node = node(&["limits.sockets_per_ip=2", r#"server.trusted_proxies=["127.0.0.1"]"#]);
    let (first, one, _) = connect(&node, "198.51.100.1").await;
    let (second, two, _) = connect(&node, "6.6.6.6, 198.51.100.1").await;
    assert_eq!((one, two), (101, 101));
    expect_rejected(&node, "198.51.100.1").await;
    expect_rejected(&node, "::ffff:198.51.100.1").await;
    assert_eq!(connect(&node, "198.51.100.2").await.1, 101);
    // one IPv6 network counts as one client
    let (third, three, _) = connect(&node, "2001:db8::1").await;
    let (fourth, four, _) = connect(&node, "[2001:db8::2]:4711").await;
    assert_eq!((three, four), (101, 101));
    expect_rejected(&node, "2001:db8::3").await;
    assert_eq!(connect(&node, "2001:db8:0:1::3").await.1, 101);
    drop(first);
    wait_until("a connection is admitted again", || async { connect(&node, "198.51.100.1").await.1 == 101 }).await;
    drop((second, third, fourth));
    wait_until_empty(&node).await;
}

/// Opens a WebSocket as a client with this name, and returns the head of the response.
async fn connect_as(node: &Node, user_agent: &str) -> (Client, String) {
    Client::try_open(node.address(), PATH, &[&format!("User-Agent: {user_agent}")]).await
}

/// One page that connected in a loop shut out everybody behind the same address.
#[actix_web::test]
async fn a_client_that_connects_in_a_loop_does_not_shut_out_other_kinds_of_clients() {
    let node = node(&["limits.connects_burst=40", "limits.connects_per_second=1"]);
    let mut admitted = 0;
    for _ in 0..200 {
        let (_, head) = connect_as(&node, "looping").await;
        if head.starts_with("HTTP/1.1 101") {
            admitted += 1;
        } else {
            assert!(head.starts_with("HTTP/1.1 429") && head.contains("retry-after: 1"), "{head}");
        }
    }
    assert!((20..40).contains(&admitted), "{admitted}");
    let mut clients = Vec::new();
    for _ in 0..10 {
        let (client, head) = connect_as(&node, "behaved").await;
        assert!(head.starts_with("HTTP/1.1 101"), "{head}");
        clients.push(client);
    }
}

/// A page of a foreign origin, and a request that is not a valid upgrade, are refused before anything is counted.
#[actix_web::test]
async fn refused_requests_take_nothing_from_the_limit() {
    let node = node(&["limits.connects_burst=2", "limits.connects_per_second=1"]);
    for _ in 0..50 {
        let (_, head) = Client::try_open(node.address(), PATH, &["Origin: https://foreign.test"]).await;
        assert!(head.starts_with("HTTP/1.1 403"), "{head}");
        let (_, head) = Client::try_open(node.address(), "/socket/websocket?vsn=9", &[]).await;
        assert!(head.starts_with("HTTP/1.1 403"), "{head}");
    }
    assert_eq!(connect(&node, "").await.1, 101);
}

#[actix_web::test]
async fn a_client_that_reconnects_too_fast_is_rejected_even_without_open_connections() {
    let sets = ["limits.connects_burst=10", "limits.connects_per_second=2", r#"server.trusted_proxies=["127.0.0.1"]"#];
    let node = node(&sets);
    for _ in 0..5 {
        let (client, status, _) = connect(&node, "198.51.100.1").await;
        assert_eq!(status, 101);
        drop(client);
        wait_until_empty(&node).await;
    }
    let response = connect(&node, "198.51.100.1").await;
    assert_eq!((response.1, &*response.2), (429, "too many new connections from this address"));
    assert_eq!(connect(&node, "198.51.100.2").await.1, 101);
    wait_until("a connection is admitted a second later", || async { connect(&node, "198.51.100.1").await.1 == 101 })
        .await;
}

#[actix_web::test]
async fn reconnecting_does_not_reset_the_limit_on_signals_to_absent_peers() {
    let node = node(&["limits.not_found_burst_per_ip=5", "limits.not_found_per_minute_per_ip=1"]);
    let own = "00000000-0000-4000-8000-00000000000a";
    // this peer was connected before, and must not be affected
    let mut neighbour = Client::new(node.address()).await;
    neighbour.join("1", &format!("peer:{NEIGHBOUR}"), "{}").await;
    for _ in 0..5 {
        let mut prober = Client::new(node.address()).await;
        prober.join("1", &format!("peer:{own}"), "{}").await;
        assert!(offer(&mut prober, own).await.contains("peer_not_found"));
        drop(prober);
        wait_until("the connection is closed", || async { node.connections() == 1 }).await;
    }
    let mut prober = Client::new(node.address()).await;
    prober.join("1", &format!("peer:{own}"), "{}").await;
    assert!(offer(&mut prober, own).await.contains("peer_not_found"));
    assert!(offer(&mut prober, own).await.contains("rate_limited"));
    for _ in 0..2 {
        assert!(offer(&mut neighbour, NEIGHBOUR).await.contains("peer_not_found"));
    }
}

const NEIGHBOUR: &str = "00000000-0000-4000-8000-00000000000c";

/// Sends an offer to an absent peer, and returns the reply.
async fn offer(client: &mut Client, own: &str) -> String {
    let absent = "00000000-0000-4000-8000-00000000000b";
    client.send(&format!(r#"["1","2","peer:{own}","offer",{{"peer_id":"{absent}"}}]"#)).await;
    client.receive_until("phx_reply").await
}

#[actix_web::test]
async fn silent_connections_are_counted_and_closed_beyond_the_limit() {
    let sets = ["limits.sockets_per_ip=2", "limits.http_connections_per_ip=3", "server.header_timeout=5m"];
    let node = node(&sets);
    let mut silent = Vec::new();
    for _ in 0..5 {
        silent.push(TcpStream::connect(node.address()).await.unwrap());
    }
    let mut sixth = Client::from_stream(TcpStream::connect(node.address()).await.unwrap());
    assert_eq!(sixth.receive_any().await, Received::Eof);
    // once a connection closes, another one is admitted
    silent.pop();
    wait_until("a connection is admitted again", || async {
        let mut seventh = Client::from_stream(TcpStream::connect(node.address()).await.unwrap());
        seventh.raw(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n").await;
        seventh.head().await.starts_with("HTTP/1.1 200")
    })
    .await;
}

/// A WebSocket used to be uncounted from the moment of the upgrade.
#[actix_web::test]
async fn a_websocket_counts_towards_its_address_until_it_closes() {
    let node = node(&["limits.sockets_per_ip=2", "limits.http_connections_per_ip=1"]);
    let _sockets = [Client::new(node.address()).await, Client::new(node.address()).await];
    let _silent = TcpStream::connect(node.address()).await.unwrap();
    let mut fourth = Client::from_stream(TcpStream::connect(node.address()).await.unwrap());
    assert_eq!(fourth.receive_any().await, Received::Eof);
}

#[actix_web::test]
async fn a_forged_address_is_ignored() {
    let node = node(&["limits.sockets_per_ip=1"]);
    let (_first, status, _) = connect(&node, "198.51.100.1").await;
    assert_eq!(status, 101);
    expect_rejected(&node, "198.51.100.2").await;
}

#[actix_web::test]
async fn a_full_node_rejects_clients_until_one_leaves() {
    let node = node(&["server.connections=2"]);
    let (first, second) = (Client::new(node.address()).await, Client::new(node.address()).await);
    assert_eq!(node.connections(), 2);
    let (_, status, body) = connect(&node, "198.51.100.1").await;
    assert_eq!((status, &*body), (503, "this server is full"));
    // another reason for rejecting the request comes first
    let (_, head) = Client::try_open(node.address(), "/socket/websocket?vsn=9", &[]).await;
    assert!(head.starts_with("HTTP/1.1 403"), "{head}");
    drop(first);
    wait_until("the first connection is closed", || async { node.connections() == 1 }).await;
    assert_eq!(connect(&node, "198.51.100.1").await.1, 101);
    drop(second);
    wait_until_empty(&node).await;
}

#[actix_web::test]
async fn too_many_too_large_or_too_slow_headers_are_rejected() {
    let node = node(&["server.header_timeout=1s"]);
    let many: Vec<String> = (0..10_000).map(|n| format!("X-{n}: x")).collect();
    let many: Vec<&str> = many.iter().map(String::as_str).collect();
    for lines in [many, vec![&*format!("X-Large: {}", "x".repeat(1 << 20))]] {
        let (_, head) = Client::try_open(node.address(), PATH, &lines).await;
        assert!(head.starts_with("HTTP/1.1 431"), "{head}");
    }
    let (_, head) =
        Client::request(node.address(), "GET /socket/websocket HTTP/1.1\r\nHost: localhost\r\nX-Drip: ").await;
    assert!(head.starts_with("HTTP/1.1 408"), "{head}");
    assert_eq!(connect(&node, "198.51.100.1").await.1, 101);
    wait_until_empty(&node).await;
}

#[actix_web::test]
async fn signals_before_the_join_is_confirmed_count_towards_the_limit() {
    let node = node(&["limits.not_found_burst=5"]);
    let mut client = Client::new(node.address()).await;
    // all at once, so that the join is still pending
    let mut messages = vec![format!(r#"["1","1","peer:{NEIGHBOUR}","phx_join",{{}}]"#)];
    let offer = format!(r#"["1","g","peer:{NEIGHBOUR}","offer",{{"peer_id":"00000000-0000-4000-8000-00000000000b"}}]"#);
    messages.extend(vec![offer; 20]);
    client.raw(&messages.iter().flat_map(|message| common::frame(0x81, message.as_bytes())).collect::<Vec<u8>>()).await;
    client.receive_until(r#""status":"ok""#).await;
    for n in 0..20 {
        let expected = if n < 5 { "peer_not_found" } else { "rate_limited" };
        let reply = client.receive().await;
        assert!(reply.contains(expected), "{n}: {reply}");
    }
}
