//! Random work over all protocols, next to two clients that signal each other. Afterwards the node's tables are empty,
//! and its memory has not grown.
//!
//! `make soak` runs this for ten minutes against a release build (`SOAK_SECONDS`), `make test` for a few seconds.
//!
//! It is a binary of its own, because nothing else may run while it measures, and `make soak` runs it alone.

mod common;

use std::time::{Duration, Instant};

use common::longpoll::LongPollClient;
use common::process::Process;
use common::rng::Rng;
use common::{Client, frame, wait_until};
use futures_util::future::join_all;
use tokio::io::AsyncReadExt;
use tokio::time::timeout;

/// The number of concurrent clients, and of the names that they share.
const CLIENTS: u64 = 48;
const NAMES: u64 = 30;
const SETS: &[&str] = &[
    "metrics.listen=127.0.0.1:0",
    "limits.sockets_per_ip=2000",
    "limits.connects_per_second=1000000",
    "limits.connects_burst=1000000",
    "limits.not_found_burst=100000",
    "limits.not_found_burst_per_ip=1000000000",
    "limits.not_found_per_minute_per_ip=1000000000",
    // held signals and abandoned long-polling sessions must expire during the test
    "peerjs.expire_timeout=1s",
    "socket.poll_window=500ms",
    "hello.enabled=true",
    "log.level=off",
];
/// How much memory may grow in addition to a quarter: what an allocator keeps varies.
const SLACK: u64 = 16 * 1024 * 1024;
fn id(rng: &mut Rng) -> String {
    format!("00000000-0000-4000-8000-{:012}", rng.below(NAMES))
}

fn pad(rng: &mut Rng) -> String {
    "x".repeat(rng.below(2_000) as usize)
}

/// The path and the messages of one random client.
fn random_client(rng: &mut Rng) -> (String, Vec<String>) {
    let (id, other, room, pad) = (id(rng), id(rng), rng.below(NAMES), pad(rng));
    match rng.below(4) {
        0 => {
            let path = format!("/peerjs?key=peerjs&id={id}&token=t{}", rng.below(3));
            let offer = format!(r#"{{"type":"OFFER","dst":"{other}","payload":"{pad}"}}"#);
            (path, vec![offer.clone(), r#"{"type":"HEARTBEAT"}"#.into(), offer, r#"{"type":"LEAVE"}"#.into()])
        }
        1 => {
            let join = format!(r#"42["join",{{"room":"r{room}"}}]"#);
            let messages = ["40".into(), join, format!(r#"42["message","{pad}"]"#), "3".into()];
            ("/socket.io/?EIO=4&transport=websocket".into(), messages.into())
        }
        2 => {
            let messages =
                format!(r#"{{"_messageType":"broadcast","_contentType":"x","_content":"{pad}","_from":"n{room}"}}"#);
            ("/hello".into(), vec![messages; 3])
        }
        _ => ("/socket/websocket?vsn=2.0.0".into(), phoenix(rng, &id, &other, room, &pad)),
    }
}

fn phoenix(rng: &mut Rng, id: &str, other: &str, room: u64, pad: &str) -> Vec<String> {
    let mut messages = vec![
        format!(r#"["1","1","peer:{id}","phx_join",{{}}]"#),
        format!(r#"["2","2","room:r{room}","phx_join",{{"meta":{{"n":{room}}}}}]"#),
        r#"["3","3","broker:match","phx_join",{}]"#.into(),
    ];
    for _ in 0..rng.below(12) {
        messages.push(match rng.below(8) {
            0 => format!(r#"["1","4","peer:{id}","offer",{{"peer_id":"{other}","sdp":"{pad}"}}]"#),
            1 => format!(r#"["1","5","peer:{id}","watch",{{"peer_id":"{other}"}}]"#),
            2 => format!(r#"["1","6","peer:{id}","unwatch",{{"peer_id":"{other}"}}]"#),
            3 => format!(r#"["2","7","room:r{room}","msg",{{"pad":"{pad}"}}]"#),
            4 => format!(r#"["2","8","room:r{room}","update_meta",{{"n":{}}}]"#, rng.below(9)),
            5 => format!(r#"["2","9","room:r{room}","phx_leave",{{}}]"#),
            6 => r#"["3","10","broker:match","register",{}]"#.into(),
            _ => r#"[null,"11","phoenix","heartbeat",{}]"#.into(),
        });
    }
    if rng.below(10) == 0 {
        messages.push("{no json".into());
    }
    messages
}

/// Reads whatever has arrived, for a moment.
async fn read_some(client: &mut Client) {
    let mut bytes = vec![0; 65_536];
    let _ =
        timeout(Duration::from_millis(5), async { while let Ok(1..) = client.stream.read(&mut bytes).await {} }).await;
}

/// Runs one client, and ends its connection in a random way.
async fn run_client(process: &Process, rng: &mut Rng) {
    if rng.below(8) == 0 {
        let polling = LongPollClient::open(process.address, "/socket", "2.0.0", &[]).await;
        polling.send(&format!(r#"["1","1","room:r{}","phx_join",{{}}]"#, rng.below(NAMES))).await;
        return; // abandons the session
    }
    let (path, messages) = random_client(rng);
    let mut client = Client::open(process.address, &path, &[]).await;
    for message in messages {
        client.send(&message).await;
        if rng.below(3) == 0 {
            read_some(&mut client).await;
        }
    }
    match rng.below(4) {
        0 => client.raw(&frame(0x88, &1000_u16.to_be_bytes())).await,
        1 => socket2::SockRef::from(&client.stream).set_linger(Some(Duration::ZERO)).unwrap(),
        2 => client.raw(&[0x81, 0xFE]).await, // half of a frame
        _ => read_some(&mut client).await,
    }
}

async fn run_clients(process: &Process, seed: u64, until: Instant) -> u64 {
    let (mut rng, mut clients) = (Rng(seed), 0);
    while Instant::now() < until {
        run_client(process, &mut rng).await;
        clients += 1;
    }
    clients
}

/// Two clients that signal each other: every offer arrives and is acknowledged. Returns the longest time that one took.
async fn signal_each_other(process: &Process, until: Instant) -> Duration {
    let ids = ["00000000-0000-4000-8000-aaaaaaaaaaaa", "00000000-0000-4000-8000-bbbbbbbbbbbb"];
    let (mut a, mut b) = (Client::new(process.address).await, Client::new(process.address).await);
    a.join("1", &format!("peer:{}", ids[0]), "{}").await;
    b.join("1", &format!("peer:{}", ids[1]), "{}").await;
    let mut longest = Duration::ZERO;
    while Instant::now() < until {
        let sent_at = Instant::now();
        a.send(&format!(r#"["1","2","peer:{}","offer",{{"peer_id":"{}"}}]"#, ids[0], ids[1])).await;
        b.receive_until("offer").await;
        assert!(a.receive_until("phx_reply").await.contains(r#""status":"ok""#));
        longest = longest.max(sent_at.elapsed());
        b.expect_nothing().await;
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    longest
}

/// Runs all clients for some time. Returns the resident memory once everything is removed.
async fn run_round(process: &Process, seed: u64, time: Duration) -> u64 {
    let until = Instant::now() + time;
    let workers = (1..=CLIENTS).map(|n| run_clients(process, seed * 1_000 + n, until));
    let (clients, longest) = tokio::join!(join_all(workers), signal_each_other(process, until));
    let busy = process.resident();
    wait_until("the tables are empty", || async { process.remaining().await.is_empty() }).await;
    let now = process.resident();
    println!(
        "{:>8} clients, slowest signal {longest:.1?}, resident memory {} KiB under load, {} KiB idle",
        clients.iter().sum::<u64>(),
        busy / 1024,
        now / 1024
    );
    now
}

#[actix_web::test]
async fn random_work_leaves_empty_tables_and_no_memory_growth() {
    let seconds = std::env::var("SOAK_SECONDS").map_or(5, |seconds| seconds.parse().expect("a number of seconds"));
    let process = Process::start(SETS);
    let round = Duration::from_secs(seconds).div_f64(20.0).max(Duration::from_secs(1));
    // the first round allocates what is never freed: thread stacks, the allocator's own tables
    let before = run_round(&process, 1, round).await;
    let until = Instant::now() + Duration::from_secs(seconds);
    let (mut seed, mut after) = (1, before);
    while Instant::now() < until {
        seed += 1;
        after = run_round(&process, seed, round).await;
    }
    let limit = before + before / 4 + SLACK;
    println!("result: {} KiB before, {} KiB after, {} KiB allowed", before / 1024, after / 1024, limit / 1024);
    assert!(after <= limit, "memory has grown");
}
