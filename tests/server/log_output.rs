//! A log that cannot be written: the broker goes on serving as if nothing were the matter, and says afterwards how
//! much is missing.

use std::fs::OpenOptions;
use std::io::{BufRead, BufReader};
use std::process::Stdio;
use std::time::{Duration, Instant};

use tokio::net::TcpStream;

use crate::common::process::Process;
use crate::common::{self, Client, get};

/// Every request is several lines of this log.
const CHATTY: &[&str] = &["log.level=trace,actix_http=trace", "server.workers=1", "limits.messages_burst=1000000"];

/// Two who signal each other, and requests beside them: 1,000 are more than the log has room for.
async fn signal_each_other(process: &Process, times: usize) {
    const IDS: [&str; 2] = ["00000000-0000-4000-8000-00000000000a", "00000000-0000-4000-8000-00000000000b"];
    let (mut alice, mut bob) = (Client::new(process.address).await, Client::new(process.address).await);
    alice.join("1", &format!("peer:{}", IDS[0]), "{}").await;
    bob.join("1", &format!("peer:{}", IDS[1]), "{}").await;
    for _ in 0..times {
        alice.send(&format!(r#"["1","2","peer:{}","offer",{{"peer_id":"{}"}}]"#, IDS[0], IDS[1])).await;
        bob.receive_until("offer").await;
        alice.receive_until(r#""status":"ok""#).await;
        assert_eq!(get(process.address, "/healthz").await.0, 200);
    }
}

#[actix_web::test]
async fn a_pipe_that_nobody_reads_stops_nobody_and_what_was_dropped_is_counted() {
    let mut process = Process::logging_to(Stdio::piped(), &[CHATTY, &["metrics.listen=127.0.0.1:0"]].concat());
    assert_eq!(dropped(&process).await, 0);
    signal_each_other(&process, 1_500).await;
    let uncounted = dropped(&process).await;
    assert!(uncounted > 0, "all lines had room");
    // now somebody reads: what waited, and then how much did not
    let lines = BufReader::new(process.log()).lines().map(Result::unwrap);
    let reading = tokio::task::spawn_blocking(|| {
        let mut lines = lines;
        lines.find(|line| line.contains("log lines dropped while stderr was blocked"))
    });
    let confession = tokio::time::timeout(common::TIMEOUT, reading).await.expect("the count").unwrap();
    let told = confession.expect("the log ended");
    let told: u64 = told.split_whitespace().find_map(|word| word.parse().ok()).expect("a number");
    // to ask for the metrics was some lines more
    assert!((uncounted..=dropped(&process).await).contains(&told), "{uncounted} counted, {told} told");
}

/// How many lines of the log the metrics say are missing.
async fn dropped(process: &Process) -> u64 {
    let (_, text) = get(process.metrics.unwrap(), "/metrics").await;
    let line = text.lines().find_map(|line| line.strip_prefix("handclasp_log_lines_dropped_total "));
    line.expect("the number").parse().unwrap()
}

#[actix_web::test]
async fn a_pipe_that_nobody_reads_does_not_delay_the_exit() {
    let mut process = Process::logging_to(Stdio::piped(), &[CHATTY, &["metrics.listen=127.0.0.1:0"]].concat());
    signal_each_other(&process, 1_500).await;
    assert!(dropped(&process).await > 0, "all lines had room");
    process.signal("TERM");
    assert_eq!(process.exit_code().await, Some(0));
}

#[actix_web::test]
async fn a_disk_that_is_full_stops_nobody() {
    let full = OpenOptions::new().write(true).open("/dev/full").unwrap();
    let mut process = Process::logging_to(full, CHATTY);
    signal_each_other(&process, 200).await;
    process.signal("TERM");
    assert_eq!(process.exit_code().await, Some(0));
}

/// Descriptors for a process with one worker and a few connections.
const FEW: u32 = 64;

#[actix_web::test]
async fn descriptors_that_have_run_out_are_logged_once_and_cost_only_new_clients() {
    let mut process = Process::with_descriptors(FEW, &["server.workers=1"]);
    let lines = BufReader::new(process.log()).lines().map(Result::unwrap);
    let (mut alice, mut bob) = (Client::new(process.address).await, Client::new(process.address).await);
    alice.join("1", "room:r", "{}").await;
    bob.join("1", "room:r", "{}").await;
    // the kernel takes them; the process cannot
    let mut crowd = Vec::new();
    for _ in 0..FEW {
        crowd.push(TcpStream::connect(process.address).await.unwrap());
    }
    let mut late = Client::from_stream(TcpStream::connect(process.address).await.unwrap());
    late.raw(b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n").await;
    // accepting is tried again every half second
    let until = Instant::now() + Duration::from_secs(2);
    while Instant::now() < until {
        alice.send(r#"["1","2","room:r","hello",{}]"#).await;
        bob.expect(r#"[null,null,"room:r","hello",{}]"#).await;
        alice.receive_until(r#""status":"ok""#).await;
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    drop(crowd);
    assert!(late.head().await.starts_with("HTTP/1.1 200"), "who waited is let in");
    process.signal("TERM");
    drop((alice, bob, late));
    assert_eq!(process.exit_code().await, Some(0));
    let told: Vec<String> = lines.filter(|line| line.contains("os error 24")).collect();
    assert_eq!(told.len(), 1, "{told:#?}");
}
