//! Hundreds of clients that stop reading: each is disconnected when its queue is full, memory stays under a limit, and
//! other clients are not affected.

use std::net::SocketAddr;

use futures_util::future::join_all;
use tokio::io::AsyncReadExt;

use crate::common::process::Process;
use crate::common::{self, Client, id};

/// The number of stalled clients in one room, and of those with messages of their own.
const IN_A_ROOM: usize = 1_000;
const WITH_OWN_MESSAGES: usize = 200;
const SETS: &[&str] = &[
    "limits.sockets_per_ip=2000",
    "limits.connects_burst=2000",
    "limits.messages_burst=1000000",
    "limits.bytes_burst=4000000000",
    "limits.fanout_bytes_burst=4000000000",
];
/// Only the size of the queue must disconnect a client here, not a timeout.
const NO_TIMEOUTS: &[&str] = &["limits.queue_age=1h", "socket.write_timeout=10m", "socket.idle_timeout=1h"];
/// The size of a message, and a number of messages that exceeds the kernel's buffers and one client's queue.
const MESSAGE_BYTES: usize = 16_384;
const MESSAGES: usize = 64;
/// The size of the queue to one client.
const QUEUE: &str = "limits.queue_bytes=131072";
/// Maximum memory of a client that reads nothing and has messages of its own: its queue, and 128 KiB.
const MAX_BYTES: u64 = 256 * 1024;
/// The same for a client in a room, whose members share the messages.
const MAX_BYTES_IN_A_ROOM: u64 = 24 * 1024;

async fn stalled(address: SocketAddr, size: usize, topic: impl Fn(usize) -> String) -> Vec<Client> {
    let mut stalled = Vec::new();
    for n in 0..size {
        let mut client = Client::with_small_window(address).await;
        client.join("1", &topic(n), "{}").await;
        stalled.push(client);
    }
    stalled
}

/// A disconnected client reads what the kernel has buffered, and then the end.
async fn expect_disconnected(client: Client) {
    let (mut stream, mut bytes, mut buffer) = (client.stream, 0, vec![0; 65_536]);
    while let Ok(read @ 1..) = stream.read(&mut buffer).await {
        bytes += read;
    }
    assert!(bytes < MESSAGES * MESSAGE_BYTES, "a client received everything");
}

fn check_memory(process: &Process, before: u64, clients: usize, max: u64) {
    let each = process.resident().saturating_sub(before) / clients as u64;
    assert!(each < max, "memory grew by {each} bytes per client");
}

#[actix_web::test]
async fn stalled_clients_in_a_room_do_not_affect_its_other_members() {
    rlimit::increase_nofile_limit(4_096).unwrap();
    let process = Process::start(&[SETS, &[QUEUE]].concat());
    let (mut sender, mut receiver) = (Client::new(process.address).await, Client::new(process.address).await);
    sender.join("1", "room:busy", "{}").await;
    receiver.join("1", "room:busy", "{}").await;
    let stalled = stalled(process.address, IN_A_ROOM, |_| "room:busy".into()).await;
    let before = process.resident();
    let pad = "x".repeat(MESSAGE_BYTES);
    for n in 0..MESSAGES {
        sender.send(&format!(r#"["1","{n}","room:busy","msg",{{"pad":"{pad}"}}]"#)).await;
        receiver.receive_until("msg").await;
        sender.receive_until(r#""status":"ok""#).await;
        check_memory(&process, before, IN_A_ROOM, MAX_BYTES_IN_A_ROOM);
    }
    let reading = join_all(stalled.into_iter().map(expect_disconnected));
    tokio::time::timeout(common::TIMEOUT * 6, reading).await.expect("all clients are disconnected");
    sender.expect_nothing().await;
}

#[actix_web::test]
async fn stalled_clients_with_full_queues_use_limited_memory() {
    rlimit::increase_nofile_limit(4_096).unwrap();
    let process = Process::start(&[SETS, NO_TIMEOUTS, &[QUEUE]].concat());
    let mut sender = Client::new(process.address).await;
    sender.join("1", &format!("peer:{}", id(WITH_OWN_MESSAGES)), "{}").await;
    let stalled = stalled(process.address, WITH_OWN_MESSAGES, |n| format!("peer:{}", id(n))).await;
    let (before, pad, me) = (process.resident(), "x".repeat(MESSAGE_BYTES), id(WITH_OWN_MESSAGES));
    let mut open: Vec<usize> = (0..WITH_OWN_MESSAGES).collect();
    // all queues grow at the same pace
    while !open.is_empty() {
        let mut not_full = Vec::new();
        for n in open {
            let you = id(n);
            sender.send(&format!(r#"["1","{n}","peer:{me}","offer",{{"peer_id":"{you}","pad":"{pad}"}}]"#)).await;
            let reply = sender.receive_until("phx_reply").await;
            if reply.contains(r#""status":"ok""#) {
                not_full.push(n);
            } else {
                assert!(reply.contains("overloaded"), "{reply}");
            }
        }
        open = not_full;
        check_memory(&process, before, WITH_OWN_MESSAGES, MAX_BYTES);
    }
    drop(stalled);
}
