//! Draining: a node that shuts down rejects new clients, closes its connections with code 1012, and exits.

use std::io::{BufRead, BufReader};
use std::process::Stdio;
use std::time::{Duration, Instant};

use actix_web::{HttpResponse, web};
use handclasp::{Endpoint, Node};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::spawn_blocking;
use tokio::time::timeout;

use crate::common::process::Process;
use crate::common::{self, Client, Received, TIMEOUT, node};

#[actix_web::test]
async fn every_client_is_closed_with_service_restart_joined_or_not() {
    let node = node(&["drain.spread=200ms", "drain.timeout=5s"]);
    let (mut joined, mut idle) = (Client::new(node.address()).await, Client::new(node.address()).await);
    joined.join("1", "room:r", "{}").await;
    idle.expect_nothing().await;
    let clients = async {
        for client in [&mut joined, &mut idle] {
            assert_eq!(client.receive_any().await, Received::Close(1012, "service restart".into()));
            client.raw(&common::frame(0x88, &1012_u16.to_be_bytes())).await;
        }
    };
    tokio::join!(node.drain(), clients);
}

#[actix_web::test]
async fn sigterm_drains_the_node_and_exits_with_status_0() {
    let mut process = Process::start(&["drain.spread=0s"]);
    let mut client = Client::new(process.address).await;
    client.join("1", "room:r", "{}").await;
    process.signal("TERM");
    assert_eq!(client.close_code().await, 1012);
    drop(client);
    assert_eq!(process.exit_code().await, Some(0));
}

#[actix_web::test]
async fn a_draining_node_accepts_no_clients_and_is_not_ready() {
    let process = Process::start(&["drain.spread=20s", "drain.timeout=20s"]);
    let (_, ready) = Client::request(process.address, "GET /readyz HTTP/1.1\r\nHost: localhost\r\n\r\n").await;
    assert!(ready.starts_with("HTTP/1.1 200"), "{ready}");
    let mut probe = TcpStream::connect(process.address).await.unwrap();
    let mut clients = Vec::new();
    for _ in 0..20 {
        clients.push(Client::new(process.address).await);
    }
    process.signal("TERM");
    // this connection was open before the signal, so it can still send requests
    let mut text = String::new();
    while !text.contains("503") {
        probe.write_all(b"GET /readyz HTTP/1.1\r\nHost: localhost\r\n\r\n").await.unwrap();
        let mut chunk = [0; 4096];
        let read = probe.read(&mut chunk).await.unwrap();
        assert!(read > 0, "the connection closed first");
        text = String::from_utf8_lossy(&chunk[..read]).into_owned();
    }
}

#[actix_web::test]
async fn a_second_sigterm_exits_immediately() {
    let mut process =
        Process::start(&["drain.spread=0s", "drain.timeout=1m", "socket.write_timeout=1m", "socket.close_timeout=1m"]);
    let mut client = Client::new(process.address).await;
    client.expect_nothing().await;
    process.signal("TERM");
    // the node is draining, and waits for this client's close frame
    assert_eq!(client.close_code().await, 1012);
    process.signal("TERM");
    assert_eq!(process.exit_code().await, Some(0));
}

#[actix_web::test]
async fn sighup_does_not_stop_the_node() {
    let mut process = Process::logging_to(Stdio::piped(), &["drain.spread=0s"]);
    let mut client = Client::new(process.address).await;
    client.join("1", "room:r", "{}").await;
    process.signal("HUP");
    let mut lines = BufReader::new(process.log()).lines().map(Result::unwrap);
    let reported = spawn_blocking(move || lines.any(|line| line.contains("SIGHUP changes nothing")));
    assert!(timeout(TIMEOUT, reported).await.expect("the line in the log").unwrap());
    client.expect_nothing().await;
    process.signal("TERM");
    assert_eq!(client.close_code().await, 1012);
    drop(client);
    assert_eq!(process.exit_code().await, Some(0));
}

/// The id of one side of a pair.
fn id(pair: usize, side: char) -> String {
    format!("00000000-0000-4000-8000-00000000{pair:03}{side}")
}

/// Replies to the close frame, and returns when it arrived.
async fn reply_to_close(client: &mut Client) -> Instant {
    let now = Instant::now();
    client.raw(&common::frame(0x88, &1012_u16.to_be_bytes())).await;
    now
}

/// Sends offers until the server closes the connection. Returns how many were acknowledged, and when the close frame
/// arrived.
async fn send_offers(mut client: Client, pair: usize) -> (usize, Instant) {
    let (from, to) = (id(pair, 'a'), id(pair, 'b'));
    let mut acknowledged = 0;
    loop {
        client.send(&format!(r#"["1","2","peer:{from}","offer",{{"peer_id":"{to}","n":{acknowledged}}}]"#)).await;
        match client.receive_any().await {
            Received::Text(text) if text.contains(r#""status":"ok""#) => acknowledged += 1,
            // the other side has been closed already
            Received::Text(_) => tokio::time::sleep(Duration::from_millis(5)).await,
            Received::Close(code, _) => {
                assert_eq!(code, 1012);
                return (acknowledged, reply_to_close(&mut client).await);
            }
            other => panic!("received {other:?}"),
        }
    }
}

/// Receives offers until the server closes the connection. Returns how many there were, and when the close frame
/// arrived.
async fn receive_offers(mut client: Client) -> (usize, Instant) {
    let mut received = 0;
    loop {
        match client.receive_any().await {
            Received::Text(text) => {
                assert!(text.contains(&format!(r#""n":{received}}}"#)), "{text}, after {received} others");
                received += 1;
            }
            Received::Close(code, _) => {
                assert_eq!(code, 1012);
                return (received, reply_to_close(&mut client).await);
            }
            other => panic!("received {other:?}"),
        }
    }
}

#[actix_web::test]
async fn no_acknowledged_signal_is_lost_under_load_and_the_close_frames_are_spread() {
    const PAIRS: usize = 15;
    let sets = ["drain.spread=1s", "drain.timeout=8s", "limits.messages_burst=1000000", "server.workers=2"];
    let mut process = Process::start(&sets);
    let mut pairs = Vec::new();
    for pair in 0..PAIRS {
        let (mut a, mut b) = (Client::new(process.address).await, Client::new(process.address).await);
        a.join("1", &format!("peer:{}", id(pair, 'a')), "{}").await;
        b.join("1", &format!("peer:{}", id(pair, 'b')), "{}").await;
        pairs.push((pair, a, b));
    }
    let results = pairs.into_iter().map(|(pair, a, b)| {
        let (sending, receiving) =
            (actix_web::rt::spawn(send_offers(a, pair)), actix_web::rt::spawn(receive_offers(b)));
        async { (sending.await.unwrap(), receiving.await.unwrap()) }
    });
    let results: Vec<_> = results.collect();
    tokio::time::sleep(Duration::from_millis(300)).await;
    process.signal("TERM");
    let results = futures_util::future::join_all(results).await;
    assert_eq!(process.exit_code().await, Some(0));
    for ((acknowledged, _), (received, _)) in &results {
        // the acknowledgement of the last offer may be lost
        assert!(
            *acknowledged > 0 && (*acknowledged..=acknowledged + 1).contains(received),
            "{acknowledged} acknowledged, {received} received"
        );
    }
    let closed_at = results.iter().flat_map(|((_, a), (_, b))| [*a, *b]);
    let spread = closed_at.clone().max().unwrap() - closed_at.min().unwrap();
    assert!(spread > Duration::from_millis(500), "all close frames within {spread:?}");
}

/// A node with the route `/slow`, whose response is `SLOW_BYTES` long, and a client that has its head.
async fn node_with_a_response_in_progress(sets: &[&str]) -> (Node, TcpStream) {
    let slow = || async { HttpResponse::Ok().body(vec![b'x'; SLOW_BYTES]) };
    let routes = move |app: &mut web::ServiceConfig| {
        app.route("/slow", web::get().to(slow));
    };
    let node = Endpoint::new(common::config(sets)).routes(routes).start().unwrap();
    let mut client = TcpStream::connect(node.address()).await.unwrap();
    client.write_all(b"GET /slow HTTP/1.1\r\nHost: localhost\r\n\r\n").await.unwrap();
    let mut head = [0; 15];
    client.read_exact(&mut head).await.unwrap();
    assert_eq!(&head, b"HTTP/1.1 200 OK");
    (node, client)
}

/// More than the kernel takes for a client that does not read.
const SLOW_BYTES: usize = 64 << 20;

#[actix_web::test]
async fn a_response_in_progress_is_sent_whole() {
    let (node, mut client) = node_with_a_response_in_progress(&["drain.spread=0s", "drain.timeout=1m"]).await;
    let address = node.address();
    let draining = actix_web::rt::spawn(node.drain());
    common::wait_until("the node accepts no clients", || async { TcpStream::connect(address).await.is_err() }).await;
    let (mut read, mut chunk) = (0, vec![0; 1 << 20]);
    while read < SLOW_BYTES {
        let length = client.read(&mut chunk).await.unwrap();
        assert!(length > 0, "the connection closed after {read} bytes");
        read += length;
    }
    draining.await.unwrap();
}

#[actix_web::test]
async fn a_client_that_does_not_read_its_response_does_not_delay_the_exit() {
    let sets = ["drain.spread=0s", "drain.timeout=500ms", "socket.write_timeout=10m", "socket.close_timeout=10m"];
    let (node, client) = node_with_a_response_in_progress(&sets).await;
    node.drain().await;
    drop(client);
}

#[actix_web::test]
async fn a_client_that_does_not_answer_its_close_frame_does_not_delay_the_exit() {
    let sets = [
        "drain.spread=0s",
        "drain.timeout=500ms",
        "socket.write_timeout=10m",
        "socket.close_timeout=10m",
        "socket.idle_timeout=24h",
    ];
    let mut process = Process::start(&sets);
    let mut client = Client::new(process.address).await;
    client.join("1", "room:r", "{}").await;
    process.signal("TERM");
    assert_eq!(client.close_code().await, 1012);
    assert_eq!(process.exit_code().await, Some(0));
}
