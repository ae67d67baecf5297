//! Clients with TLS: which are accepted, what the others are told, and how their connections are served and end.

use std::net::SocketAddr;
use std::sync::Arc;

use futures_util::future::join_all;
use handclasp::Node;
use rustls::version::{TLS12, TLS13};
use rustls::{AlertDescription, ClientConfig, Error};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::common::tls::{Certificate, Tunnel, connect};
use crate::common::{self, Client, TIMEOUT, metric, wait_until, wait_until_empty};

const V2: &str = "/socket/websocket?vsn=2.0.0";
/// A ClientHello of TLS 1.1 (RFC 4346), with one cipher suite and no extensions, without its 32 random bytes.
const TLS_1_1: [&[u8]; 2] = [&[0x16, 3, 1, 0, 45, 1, 0, 0, 41, 3, 2], &[0, 0, 2, 0xC0, 0x13, 1, 0]];
/// An alert of TLS 1.2 at most (RFC 5246, 7.2): fatal, handshake_failure.
const HANDSHAKE_FAILURE: [u8; 7] = [0x15, 3, 3, 0, 2, 2, 40];

/// What the server answers to these bytes, before it closes the connection.
async fn answer(address: SocketAddr, bytes: &[u8]) -> Vec<u8> {
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(bytes).await.unwrap();
    let mut answer = Vec::new();
    timeout(TIMEOUT, stream.read_to_end(&mut answer)).await.expect("the server closes the connection").unwrap();
    answer
}

async fn error_of(node: &Node, client: &Arc<ClientConfig>) -> Error {
    let error = connect(node.address(), client).await.expect_err("no connection");
    *error.into_inner().expect("an error of TLS").downcast().expect("an error of TLS")
}

#[actix_web::test]
async fn a_page_and_a_websocket_are_served_with_either_version_of_tls() {
    let certificate = Certificate::create();
    let node = certificate.node(&[]);
    for version in [&TLS12, &TLS13] {
        let tunnel = Tunnel::start(node.address(), certificate.client_with(&[version], &[])).await;
        let (status, body) = common::get(tunnel.address, "/healthz").await;
        assert_eq!((status, &*body), (200, "ok\n"));
        let mut client = Client::open(tunnel.address, V2, &[]).await;
        client.join("1", "room:tls", "{}").await;
        let text = "x".repeat(100_000);
        client.send(&format!(r#"["1","2","room:tls","shout",{{"text":"{text}"}}]"#)).await;
        client.receive_until("phx_reply").await;
    }
    wait_until_empty(&node).await;
}

#[actix_web::test]
async fn a_client_that_offers_only_http_2_or_tls_1_1_is_refused_in_the_words_of_tls() {
    let certificate = Certificate::create();
    let node = certificate.node(&[]);
    let error = error_of(&node, &certificate.client_with(&[&TLS13], &[b"h2"])).await;
    assert_eq!(error, Error::AlertReceived(AlertDescription::NoApplicationProtocol));
    let both = certificate.client_with(&[&TLS13], &[b"h2", b"http/1.1"]);
    let stream = connect(node.address(), &both).await.unwrap();
    assert_eq!(stream.get_ref().1.alpn_protocol(), Some(&b"http/1.1"[..]));
    let hello = [TLS_1_1[0], &[7; 32], TLS_1_1[1]].concat();
    assert_eq!(answer(node.address(), &hello).await, HANDSHAKE_FAILURE);
    let pubsub = node.pubsub();
    wait_until("both are counted", || async { pubsub.metrics().tls_handshakes_failed.get() == 2 }).await;
}

#[actix_web::test]
async fn a_client_without_tls_is_told_so() {
    let certificate = Certificate::create();
    let node = certificate.node(&[]);
    let request = format!("GET / HTTP/1.1\r\nHost: localhost\r\nX-Long: {}\r\n\r\n", "x".repeat(4_000));
    let response = String::from_utf8(answer(node.address(), request.as_bytes()).await).unwrap();
    assert!(response.starts_with("HTTP/1.1 400 Bad Request\r\n"), "{response}");
    assert!(response.ends_with("\r\n\r\nthis port speaks TLS: use https:// or wss://\n"), "{response}");
}

/// Clients that begin a handshake and do not end it take no place for long, and no other client waits for them.
#[actix_web::test]
async fn half_handshakes_end_with_the_header_timeout_and_delay_nobody() {
    const CLIENTS: usize = 1_000;
    let certificate = Certificate::create();
    let sets = ["server.header_timeout=1s", "limits.sockets_per_ip=100000", "metrics.listen=127.0.0.1:0"];
    let process = &certificate.process(&sets);
    let stall = |n: usize| async move {
        let mut stream = TcpStream::connect(process.address).await.unwrap();
        stream.write_all(if n.is_multiple_of(2) { TLS_1_1[0] } else { b"" }).await.unwrap();
        stream
    };
    let mut stalled = join_all((0..CLIENTS).map(stall)).await;
    let tunnel = Tunnel::start(process.address, certificate.client()).await;
    assert_eq!(common::get(tunnel.address, "/healthz").await.0, 200);
    for stream in &mut stalled {
        // an alert, or a reset because of bytes that nobody has read, may come before the end
        let end = async { while stream.read(&mut [0; 64]).await.is_ok_and(|read| read > 0) {} };
        timeout(TIMEOUT, end).await.expect("the server closes the connection");
    }
    // those of the node itself
    wait_until("their descriptors are closed", || async { process.descriptors() < 100 }).await;
    let failed = metric(process.metrics.unwrap(), "handclasp_tls_handshakes_failed_total").await;
    assert_eq!(failed, Some(CLIENTS as u64));
}

#[actix_web::test]
async fn connections_of_one_address_are_limited_before_their_handshakes() {
    let certificate = Certificate::create();
    let node = certificate.node(&["limits.sockets_per_ip=1", "limits.http_connections_per_ip=1"]);
    let stalled =
        [TcpStream::connect(node.address()).await.unwrap(), TcpStream::connect(node.address()).await.unwrap()];
    wait_until("a third one is closed", || async { connect(node.address(), &certificate.client()).await.is_err() })
        .await;
    drop(stalled);
    wait_until("one is accepted again", || async { connect(node.address(), &certificate.client()).await.is_ok() })
        .await;
}

/// The server's close frame comes before the end of TLS, and that before the end of the connection.
#[actix_web::test]
async fn a_connection_ends_with_its_close_frame_and_the_alert_of_tls() {
    let certificate = Certificate::create();
    let node = certificate.node(&[]);
    let mut stream = connect(node.address(), &certificate.client()).await.unwrap();
    stream.write_all(common::upgrade(V2).as_bytes()).await.unwrap();
    stream.write_all(&common::frame(0x88, &4000_u16.to_be_bytes())).await.unwrap();
    let mut received = Vec::new();
    // without the alert `close_notify` this would be an error: rustls takes it for an attack
    timeout(TIMEOUT, stream.read_to_end(&mut received)).await.expect("the end").expect("an orderly end");
    let text = String::from_utf8_lossy(&received);
    assert!(
        text.starts_with("HTTP/1.1 101") && received.windows(2).any(|code| code == 4000_u16.to_be_bytes()),
        "{text}"
    );
    drop(stream);
    wait_until_empty(&node).await;
}

/// Pairs that signal while the certificate is replaced.
#[actix_web::test]
async fn a_new_certificate_is_given_to_new_connections_and_no_message_is_lost() {
    const PAIRS: usize = 50;
    let certificate = Certificate::create();
    let sets = [
        "metrics.listen=127.0.0.1:0",
        "limits.sockets_per_ip=100000",
        "limits.connects_burst=100000",
        "limits.messages_burst=100000",
    ];
    let process = certificate.process(&sets);
    let (address, metrics) = (process.address, process.metrics.unwrap());
    let tunnel = Tunnel::start(address, certificate.client()).await;
    let (stop, stopped) = tokio::sync::watch::channel(false);
    let pairs = (0..PAIRS).map(|pair| actix_web::rt::spawn(signal(tunnel.address, pair, stopped.clone())));
    let pairs: Vec<_> = pairs.collect();
    wait_until("all clients have joined", || async {
        metric(metrics, "handclasp_names").await == Some(2 * PAIRS as u64)
    })
    .await;
    let reloads = |outcome: &'static str| async move {
        metric(metrics, &format!("handclasp_tls_reloads_total{{outcome=\"{outcome}\"}}")).await.unwrap_or(0)
    };

    std::fs::write(certificate.key(), "not a key").unwrap();
    process.signal("HUP");
    wait_until("the broken pair is refused", || async { reloads("refused").await == 1 }).await;
    assert!(connect(address, &certificate.client()).await.is_ok(), "the old certificate is still in use");

    // it has no session that it could resume without a certificate
    let old = certificate.client();
    certificate.renew();
    process.signal("HUP");
    wait_until("the new pair is used", || async { reloads("replaced").await == 1 }).await;
    assert!(connect(address, &old).await.is_err(), "a new connection gets the new certificate");
    assert!(connect(address, &certificate.client()).await.is_ok());

    stop.send(true).unwrap();
    for signals in join_all(pairs).await {
        assert!(signals.unwrap() > 0, "each pair signals");
    }
}

/// Sends signals from one client to another until it is told to stop. Every one must arrive. Returns their number.
async fn signal(address: SocketAddr, pair: usize, stopped: tokio::sync::watch::Receiver<bool>) -> usize {
    let [from, to] = [common::id(pair * 2), common::id(pair * 2 + 1)];
    let (mut sender, mut receiver) = (Client::new(address).await, Client::new(address).await);
    sender.join("1", &format!("peer:{from}"), "{}").await;
    receiver.join("1", &format!("peer:{to}"), "{}").await;
    for n in 0.. {
        if *stopped.borrow() {
            return n;
        }
        sender.send(&format!(r#"["1","{n}","peer:{from}","offer",{{"peer_id":"{to}","n":"{n}."}}]"#)).await;
        assert!(sender.receive_until("phx_reply").await.contains(r#""status":"ok""#));
        assert!(receiver.receive_until("offer").await.contains(&format!(r#""n":"{n}.""#)));
    }
    unreachable!()
}
