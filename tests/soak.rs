//! Random work of all kinds and protocols for a while, with a pair that signals each other through it: afterwards
//! the tables are empty, and the memory of the process is what it was before.
//!
//! `make soak` runs it for ten minutes against a release build (`SOAK_SECONDS`), `make test` for a few seconds.
//!
//! A binary of its own: nothing else may run beside it when it measures, and `make soak` runs it alone.

mod common;

use std::time::{Duration, Instant};

use common::longpoll::LongPollClient;
use common::process::Process;
use common::rng::Rng;
use common::{Client, frame, wait_until};
use futures_util::future::join_all;
use tokio::io::AsyncReadExt;
use tokio::time::timeout;

/// Clients at a time, and names that they share.
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
    // what waits for absent peers, and sessions of those who poll no more, end within the test
    "peerjs.expire_timeout=1s",
    "socket.poll_window=500ms",
    "log.level=off",
];
/// What the memory may grow by beside a quarter: what an allocator keeps depends on chance.
const SLACK: u64 = 16 * 1024 * 1024;
fn id(rng: &mut Rng) -> String {
    format!("00000000-0000-4000-8000-{:012}", rng.below(NAMES))
}

fn pad(rng: &mut Rng) -> String {
    "x".repeat(rng.below(2_000) as usize)
}

/// What one client says in its life, and where.
fn life(rng: &mut Rng) -> (String, Vec<String>) {
    let (id, other, room, pad) = (id(rng), id(rng), rng.below(NAMES), pad(rng));
    match rng.below(4) {
        0 => {
            let path = format!("/peerjs?key=peerjs&id={id}&token=t{}", rng.below(3));
            let offer = format!(r#"{{"type":"OFFER","dst":"{other}","payload":"{pad}"}}"#);
            (path, vec![offer.clone(), r#"{"type":"HEARTBEAT"}"#.into(), offer, r#"{"type":"LEAVE"}"#.into()])
        }
        1 => {
            let join = format!(r#"42["join",{{"room":"r{room}"}}]"#);
            let said = ["40".into(), join, format!(r#"42["message","{pad}"]"#), "3".into()];
            ("/socket.io/?EIO=4&transport=websocket".into(), said.into())
        }
        2 => {
            let said =
                format!(r#"{{"_messageType":"broadcast","_contentType":"x","_content":"{pad}","_from":"n{room}"}}"#);
            ("/hello".into(), vec![said; 3])
        }
        _ => ("/socket/websocket?vsn=2.0.0".into(), phoenix(rng, &id, &other, room, &pad)),
    }
}

fn phoenix(rng: &mut Rng, id: &str, other: &str, room: u64, pad: &str) -> Vec<String> {
    let mut said = vec![
        format!(r#"["1","1","peer:{id}","phx_join",{{}}]"#),
        format!(r#"["2","2","room:r{room}","phx_join",{{"meta":{{"n":{room}}}}}]"#),
        r#"["3","3","broker:match","phx_join",{}]"#.into(),
    ];
    for _ in 0..rng.below(12) {
        said.push(match rng.below(8) {
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
        said.push("{no json".into());
    }
    said
}

/// Reads for a moment what there is, as bytes.
async fn glance(client: &mut Client) {
    let mut bytes = vec![0; 65_536];
    let _ =
        timeout(Duration::from_millis(5), async { while let Ok(1..) = client.stream.read(&mut bytes).await {} }).await;
}

/// One client from its beginning to one of the ends that there are.
async fn live(process: &Process, rng: &mut Rng) {
    if rng.below(8) == 0 {
        let polling = LongPollClient::open(process.address, "/socket", "2.0.0", &[]).await;
        polling.send(&format!(r#"["1","1","room:r{}","phx_join",{{}}]"#, rng.below(NAMES))).await;
        return; // and never comes again
    }
    let (path, said) = life(rng);
    let mut client = Client::open(process.address, &path, &[]).await;
    for words in said {
        client.send(&words).await;
        if rng.below(3) == 0 {
            glance(&mut client).await;
        }
    }
    match rng.below(4) {
        0 => client.raw(&frame(0x88, &1000_u16.to_be_bytes())).await,
        1 => socket2::SockRef::from(&client.stream).set_linger(Some(Duration::ZERO)).unwrap(),
        2 => client.raw(&[0x81, 0xFE]).await, // half a frame
        _ => glance(&mut client).await,
    }
}

async fn work(process: &Process, seed: u64, until: Instant) -> u64 {
    let (mut rng, mut lives) = (Rng(seed), 0);
    while Instant::now() < until {
        live(process, &mut rng).await;
        lives += 1;
    }
    lives
}

/// Two who behave: every offer arrives and is answered. The longest that one took.
async fn pair(process: &Process, until: Instant) -> Duration {
    let ids = ["00000000-0000-4000-8000-aaaaaaaaaaaa", "00000000-0000-4000-8000-bbbbbbbbbbbb"];
    let (mut a, mut b) = (Client::new(process.address).await, Client::new(process.address).await);
    a.join("1", &format!("peer:{}", ids[0]), "{}").await;
    b.join("1", &format!("peer:{}", ids[1]), "{}").await;
    let mut longest = Duration::ZERO;
    while Instant::now() < until {
        let said = Instant::now();
        a.send(&format!(r#"["1","2","peer:{}","offer",{{"peer_id":"{}"}}]"#, ids[0], ids[1])).await;
        b.receive_until("offer").await;
        assert!(a.receive_until("phx_reply").await.contains(r#""status":"ok""#));
        longest = longest.max(said.elapsed());
        b.expect_nothing().await;
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    longest
}

/// One stretch of work, and how much memory is held when nothing of it is left.
async fn stretch(process: &Process, seed: u64, time: Duration) -> u64 {
    let until = Instant::now() + time;
    let workers = (1..=CLIENTS).map(|n| work(process, seed * 1_000 + n, until));
    let (lives, longest) = tokio::join!(join_all(workers), pair(process, until));
    let busy = process.resident();
    wait_until("empty tables", || async { process.remaining().await.is_empty() }).await;
    let now = process.resident();
    println!(
        "{:>8} lives, the longest signal {longest:.1?}, resident {} KiB at work, {} KiB at rest",
        lives.iter().sum::<u64>(),
        busy / 1024,
        now / 1024
    );
    now
}

#[actix_web::test]
async fn after_random_work_all_is_as_it_was() {
    let seconds = std::env::var("SOAK_SECONDS").map_or(5, |seconds| seconds.parse().expect("a number of seconds"));
    let process = Process::start(SETS);
    let part = Duration::from_secs(seconds).div_f64(20.0).max(Duration::from_secs(1));
    // the first stretch fills what is kept for ever: threads' stacks, the allocator's own tables
    let before = stretch(&process, 1, part).await;
    let until = Instant::now() + Duration::from_secs(seconds);
    let (mut seed, mut after) = (1, before);
    while Instant::now() < until {
        seed += 1;
        after = stretch(&process, seed, part).await;
    }
    let most = before + before / 4 + SLACK;
    println!("verdict: {} KiB before, {} KiB after, {} KiB allowed", before / 1024, after / 1024, most / 1024);
    assert!(after <= most, "memory has grown");
}
