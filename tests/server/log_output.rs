//! A log that cannot be written: the broker keeps serving, and reports afterwards how many lines it dropped.

use std::fs::OpenOptions;
use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use tokio::net::TcpStream;

use crate::common::process::Process;
use crate::common::{self, Client, get, metric};

/// With these settings every request writes several log lines.
const VERBOSE: &[&str] = &["log.level=trace,actix_http=trace", "server.workers=1", "limits.messages_burst=1000000"];

/// Two clients that exchange signals, with HTTP requests in between. 1,000 rounds exceed the log's buffer.
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
async fn a_blocked_log_pipe_stops_no_client_and_dropped_lines_are_counted() {
    let mut process = Process::logging_to(Stdio::piped(), &[VERBOSE, &["metrics.listen=127.0.0.1:0"]].concat());
    assert_eq!(dropped(&process).await, 0);
    signal_each_other(&process, 1_500).await;
    let dropped_before = dropped(&process).await;
    assert!(dropped_before > 0, "no line was dropped");
    // when the pipe is read, the buffered lines come first, then the number of dropped lines
    let lines = BufReader::new(process.log()).lines().map(Result::unwrap);
    let reading = tokio::task::spawn_blocking(|| {
        let mut lines = lines;
        lines.find(|line| line.contains("log lines dropped while stderr was blocked"))
    });
    let line = tokio::time::timeout(common::TIMEOUT, reading).await.expect("the count").unwrap();
    let reported = line.expect("the line in the log");
    let reported: u64 = reported.split_whitespace().find_map(|word| word.parse().ok()).expect("a number");
    // reading the metrics dropped further lines
    assert!(
        (dropped_before..=dropped(&process).await).contains(&reported),
        "{dropped_before} counted, {reported} reported"
    );
}

/// The number of dropped log lines, as the metrics report it.
async fn dropped(process: &Process) -> u64 {
    metric(process.metrics.unwrap(), "handclasp_log_lines_dropped_total").await.unwrap()
}

#[actix_web::test]
async fn a_blocked_log_pipe_does_not_delay_the_exit() {
    let mut process = Process::logging_to(Stdio::piped(), &[VERBOSE, &["metrics.listen=127.0.0.1:0"]].concat());
    signal_each_other(&process, 1_500).await;
    assert!(dropped(&process).await > 0, "no line was dropped");
    process.signal("TERM");
    assert_eq!(process.exit_code().await, Some(0));
}

#[actix_web::test]
async fn a_full_disk_stops_no_client_and_the_lines_that_it_takes_are_counted() {
    let full = OpenOptions::new().write(true).open("/dev/full").unwrap();
    let mut process = Process::logging_to(full, &[VERBOSE, &["metrics.listen=127.0.0.1:0"]].concat());
    signal_each_other(&process, 200).await;
    assert!(dropped(&process).await > 200, "a line for each request at least");
    process.signal("TERM");
    assert_eq!(process.exit_code().await, Some(0));
}

/// A FIFO without a reader refuses every write, as a full disk does, until a reader opens it.
#[actix_web::test]
async fn lines_that_could_not_be_written_are_reported_once_writing_works_again() {
    let path = std::env::temp_dir().join(format!("handclasp-log-{}", std::process::id()));
    let made = Command::new("mkfifo").arg(&path).status().unwrap();
    assert!(made.success());
    let reader = OpenOptions::new().read(true).write(true).open(&path).unwrap();
    let log = OpenOptions::new().write(true).open(&path).unwrap();
    drop(reader);
    let process = Process::logging_to(log, &[VERBOSE, &["metrics.listen=127.0.0.1:0"]].concat());
    signal_each_other(&process, 10).await;
    let lost = dropped(&process).await;
    assert!(lost > 10, "{lost}");
    let opened = OpenOptions::new().read(true).write(true).open(&path).unwrap();
    std::fs::remove_file(&path).unwrap();
    let reading = tokio::task::spawn_blocking(|| {
        let mut lines = BufReader::new(opened).lines().map(Result::unwrap);
        lines.find(|line| line.contains("log lines dropped because stderr could not be written"))
    });
    // the next line is the first that is written
    signal_each_other(&process, 1).await;
    let line = tokio::time::timeout(common::TIMEOUT, reading).await.expect("the count").unwrap();
    let line = line.expect("the line in the log");
    let reported: u64 = line.split_whitespace().find_map(|word| word.parse().ok()).expect("a number");
    assert!((lost..=dropped(&process).await).contains(&reported), "{lost} counted, {reported} reported");
}

/// Enough descriptors for a process with one worker and a few connections.
const DESCRIPTORS: u32 = 64;

#[actix_web::test]
async fn running_out_of_descriptors_is_logged_once_and_affects_only_new_clients() {
    let mut process = Process::with_descriptors(DESCRIPTORS, &["server.workers=1"]);
    let lines = BufReader::new(process.log()).lines().map(Result::unwrap);
    let (mut alice, mut bob) = (Client::new(process.address).await, Client::new(process.address).await);
    alice.join("1", "room:r", "{}").await;
    bob.join("1", "room:r", "{}").await;
    // the kernel completes these connections, but the process cannot accept them
    let mut clients = Vec::new();
    for _ in 0..DESCRIPTORS {
        clients.push(TcpStream::connect(process.address).await.unwrap());
    }
    let mut late = Client::from_stream(TcpStream::connect(process.address).await.unwrap());
    late.raw(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n").await;
    // the broker tries to accept every half second
    let until = Instant::now() + Duration::from_secs(2);
    while Instant::now() < until {
        alice.send(r#"["1","2","room:r","hello",{}]"#).await;
        bob.expect(r#"[null,null,"room:r","hello",{}]"#).await;
        alice.receive_until(r#""status":"ok""#).await;
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    drop(clients);
    assert!(late.head().await.starts_with("HTTP/1.1 200"), "a waiting client is accepted");
    process.signal("TERM");
    drop((alice, bob, late));
    assert_eq!(process.exit_code().await, Some(0));
    let reported: Vec<String> = lines.filter(|line| line.contains("os error 24")).collect();
    assert_eq!(reported.len(), 1, "{reported:#?}");
}
