//! Hundreds of clients that stop reading: each is cut off within its queue's bound, the memory of the process stays
//! within a ceiling, and nobody else notices.

use std::net::SocketAddr;

use futures_util::future::join_all;
use tokio::io::AsyncReadExt;

use crate::common::process::Process;
use crate::common::{self, Client, id};

/// How many stall in the room, and how many each with messages of its own.
const IN_A_ROOM: usize = 1_000;
const ALONE: usize = 200;
const SETS: &[&str] = &["limits.sockets_per_ip=2000", "limits.connects_burst=2000", "limits.messages_burst=1000000"];
/// The queue's bound in bytes alone is to be seen here.
const PATIENT: &[&str] = &["limits.queue_age=1h", "socket.write_timeout=10m", "socket.idle_timeout=1h"];
/// What one message weighs, and how many are more than the kernel and the queue of one client hold.
const BYTES: usize = 16_384;
const MESSAGES: usize = 64;
/// What a client that reads nothing may cost: its queue twice, since what was fetched for it may be as much again, and
/// what the HTTP server has begun to write.
const CEILING: u64 = 256 * 1024;

async fn crowd(address: SocketAddr, size: usize, topic: impl Fn(usize) -> String) -> Vec<Client> {
    let mut crowd = Vec::new();
    for n in 0..size {
        let mut client = Client::with_small_window(address).await;
        client.join("1", &topic(n), "{}").await;
        crowd.push(client);
    }
    crowd
}

/// Whoever was cut off finds what the kernel had taken for it, and then the end.
async fn is_cut_off(client: Client) {
    let (mut stream, mut bytes, mut heard) = (client.stream, 0, vec![0; 65_536]);
    while let Ok(read @ 1..) = stream.read(&mut heard).await {
        bytes += read;
    }
    assert!(bytes < MESSAGES * BYTES, "one heard it all");
}

fn is_within_the_ceiling(process: &Process, before: u64, clients: usize) {
    let each = process.resident().saturating_sub(before) / clients as u64;
    assert!(each < CEILING, "{each} bytes more for each");
}

#[actix_web::test]
async fn in_a_busy_room_they_cost_its_others_nothing() {
    rlimit::increase_nofile_limit(4_096).unwrap();
    let process = Process::start(SETS);
    let (mut talker, mut listener) = (Client::new(process.address).await, Client::new(process.address).await);
    talker.join("1", "room:busy", "{}").await;
    listener.join("1", "room:busy", "{}").await;
    let crowd = crowd(process.address, IN_A_ROOM, |_| "room:busy".into()).await;
    let before = process.resident();
    let pad = "x".repeat(BYTES);
    for n in 0..MESSAGES {
        talker.send(&format!(r#"["1","{n}","room:busy","msg",{{"pad":"{pad}"}}]"#)).await;
        listener.receive_until("msg").await;
        talker.receive_until(r#""status":"ok""#).await;
        is_within_the_ceiling(&process, before, IN_A_ROOM);
    }
    let reading = join_all(crowd.into_iter().map(is_cut_off));
    tokio::time::timeout(common::TIMEOUT, reading).await.expect("all are cut off");
    talker.expect_nothing().await;
}

#[actix_web::test]
async fn each_with_a_full_queue_of_its_own_they_cost_what_is_said() {
    rlimit::increase_nofile_limit(4_096).unwrap();
    let process = Process::start(&[SETS, PATIENT].concat());
    let mut sender = Client::new(process.address).await;
    sender.join("1", &format!("peer:{}", id(ALONE)), "{}").await;
    let crowd = crowd(process.address, ALONE, |n| format!("peer:{}", id(n))).await;
    let (before, pad, me) = (process.resident(), "x".repeat(BYTES), id(ALONE));
    let mut left: Vec<usize> = (0..ALONE).collect();
    // all have as much in their queues at a time
    while !left.is_empty() {
        let mut still = Vec::new();
        for n in left {
            let you = id(n);
            sender.send(&format!(r#"["1","{n}","peer:{me}","offer",{{"peer_id":"{you}","pad":"{pad}"}}]"#)).await;
            let answer = sender.receive_until("phx_reply").await;
            if answer.contains(r#""status":"ok""#) {
                still.push(n);
            } else {
                assert!(answer.contains("overloaded"), "{answer}");
            }
        }
        left = still;
        is_within_the_ceiling(&process, before, ALONE);
    }
    drop(crowd);
}
