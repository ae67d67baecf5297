//! The orderly end: newcomers are turned away, clients are told to come back elsewhere, and then it is over.

use std::io::{BufRead, BufReader};
use std::process::Stdio;
use std::time::{Duration, Instant};

use tokio::task::spawn_blocking;
use tokio::time::timeout;

use crate::common::process::Process;
use crate::common::{self, Client, Received, TIMEOUT, node};

#[actix_web::test]
async fn every_client_is_told_to_come_back_joined_or_not() {
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
async fn a_signal_drains_and_the_process_ends_well() {
    let mut process = Process::start(&["drain.spread=0s"]);
    let mut client = Client::new(process.address).await;
    client.join("1", "room:r", "{}").await;
    process.signal("TERM");
    assert_eq!(client.close_code().await, 1012);
    drop(client);
    assert_eq!(process.exit_code().await, Some(0));
}

#[actix_web::test]
async fn no_new_client_is_accepted_and_readiness_says_so() {
    let process = Process::start(&["drain.spread=20s", "drain.timeout=20s"]);
    let (_, ready) = Client::request(process.address, "GET /readyz HTTP/1.1\r\nHost: x\r\n\r\n").await;
    assert!(ready.starts_with("HTTP/1.1 200"), "{ready}");
    let mut asking = tokio::net::TcpStream::connect(process.address).await.unwrap();
    let mut clients = Vec::new();
    for _ in 0..20 {
        clients.push(Client::new(process.address).await);
    }
    process.signal("TERM");
    // the connection was there before: it may still ask
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    let mut saw = String::new();
    while !saw.contains("503") {
        asking.write_all(b"GET /readyz HTTP/1.1\r\nHost: x\r\n\r\n").await.unwrap();
        let mut chunk = [0; 4096];
        let read = asking.read(&mut chunk).await.unwrap();
        assert!(read > 0, "the connection ended first");
        saw = String::from_utf8_lossy(&chunk[..read]).into_owned();
    }
}

#[actix_web::test]
async fn a_second_signal_ends_at_once() {
    let mut process = Process::start(&["drain.spread=0s", "drain.timeout=1m", "socket.write_timeout=1m"]);
    let mut client = Client::new(process.address).await;
    client.expect_nothing().await;
    process.signal("TERM");
    // the drain is under way, and waits for a client that does not answer its goodbye
    assert_eq!(client.close_code().await, 1012);
    process.signal("TERM");
    assert_eq!(process.exit_code().await, Some(0));
}

#[actix_web::test]
async fn a_hangup_ends_nothing() {
    let mut process = Process::logging_to(Stdio::piped(), &["drain.spread=0s"]);
    let mut client = Client::new(process.address).await;
    client.join("1", "room:r", "{}").await;
    process.signal("HUP");
    let mut lines = BufReader::new(process.log()).lines().map(Result::unwrap);
    let told = spawn_blocking(move || lines.any(|line| line.contains("SIGHUP changes nothing")));
    assert!(timeout(TIMEOUT, told).await.expect("a line about it").unwrap());
    client.expect_nothing().await;
    process.signal("TERM");
    assert_eq!(client.close_code().await, 1012);
    drop(client);
    assert_eq!(process.exit_code().await, Some(0));
}

/// One of a pair: the ids of the two, by the pair's number.
fn id(pair: usize, side: char) -> String {
    format!("00000000-0000-4000-8000-00000000{pair:03}{side}")
}

/// Answers the goodbye as a client does, and returns when it came.
async fn part(client: &mut Client) -> Instant {
    let now = Instant::now();
    client.raw(&common::frame(0x88, &1012_u16.to_be_bytes())).await;
    now
}

/// Sends offers until it is told to go; how many were answered ok, and when it was told.
async fn offer(mut client: Client, pair: usize) -> (usize, Instant) {
    let (from, to) = (id(pair, 'a'), id(pair, 'b'));
    let mut answered = 0;
    loop {
        client.send(&format!(r#"["1","2","peer:{from}","offer",{{"peer_id":"{to}","n":{answered}}}]"#)).await;
        match client.receive_any().await {
            Received::Text(text) if text.contains(r#""status":"ok""#) => answered += 1,
            // its peer has been told before
            Received::Text(_) => tokio::time::sleep(Duration::from_millis(5)).await,
            Received::Close(code, _) => {
                assert_eq!(code, 1012);
                return (answered, part(&mut client).await);
            }
            other => panic!("heard {other:?}"),
        }
    }
}

/// Takes offers until it is told to go; how many there were, and when it was told.
async fn take(mut client: Client) -> (usize, Instant) {
    let mut taken = 0;
    loop {
        match client.receive_any().await {
            Received::Text(text) => {
                assert!(text.contains(&format!(r#""n":{taken}}}"#)), "{text}, after {taken} others");
                taken += 1;
            }
            Received::Close(code, _) => {
                assert_eq!(code, 1012);
                return (taken, part(&mut client).await);
            }
            other => panic!("heard {other:?}"),
        }
    }
}

#[actix_web::test]
async fn under_load_no_signal_is_lost_that_was_answered_ok_and_the_close_frames_are_spread() {
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
    let talks = pairs.into_iter().map(|(pair, a, b)| {
        let (offering, taking) = (actix_web::rt::spawn(offer(a, pair)), actix_web::rt::spawn(take(b)));
        async { (offering.await.unwrap(), taking.await.unwrap()) }
    });
    let talks: Vec<_> = talks.collect();
    tokio::time::sleep(Duration::from_millis(300)).await;
    process.signal("TERM");
    let talks = futures_util::future::join_all(talks).await;
    assert_eq!(process.exit_code().await, Some(0));
    for ((answered, _), (taken, _)) in &talks {
        // the answer to the last offer may not have come any more
        assert!(*answered > 0 && (*answered..=answered + 1).contains(taken), "{answered} answered ok, {taken} arrived");
    }
    let told = talks.iter().flat_map(|((_, a), (_, b))| [*a, *b]);
    let spread = told.clone().max().unwrap() - told.min().unwrap();
    assert!(spread > Duration::from_millis(500), "all told within {spread:?}");
}

#[actix_web::test]
async fn a_client_that_does_not_answer_its_close_frame_does_not_delay_the_exit() {
    let sets = ["drain.spread=0s", "drain.timeout=500ms", "socket.write_timeout=10m", "socket.idle_timeout=24h"];
    let mut process = Process::start(&sets);
    let mut client = Client::new(process.address).await;
    client.join("1", "room:r", "{}").await;
    process.signal("TERM");
    assert_eq!(client.close_code().await, 1012);
    assert_eq!(process.exit_code().await, Some(0));
}
