//! Floods of everything that a client can send. Each flood gets its own reply, the memory of the process stays under a
//! limit, and two well-behaved clients can still signal each other.

use std::cell::Cell;
use std::net::SocketAddr;

use futures_util::future::join_all;
use memchr::memmem;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::timeout;

use crate::common::process::Process;
use crate::common::{self, Client, TIMEOUT, frame, id, metric};

/// The number of clients in each flood.
const CLIENTS: usize = 6;
/// How much memory all floods together may add to the process.
const MAX_GROWTH: u64 = 64 * 1024 * 1024;

const SOCKET: &str = "/socket/websocket?vsn=2.0.0";
/// The limit on held signals, in bytes: less than one flooding client sends.
const MAX_HELD: u64 = 200_000;
const SETS: &[&str] = &[
    "metrics.listen=127.0.0.1:0",
    "server.header_timeout=1m",
    "held_signals.bytes=200_000",
    // fewer than the probing clients send; the well-behaved pair has the same IP and must not be affected
    "limits.not_found_burst=60",
    "limits.not_found_burst_per_ip=300",
];
/// Longer than any text that is searched for.
const OVERLAP: usize = 64;
/// The reason in the close frame of a flooding client.
const FLOOD: &str = "too many messages";

/// Sends all messages at once, and receives until each text of `expected` has come, or one of its alternatives.
async fn flood(address: SocketAddr, path: &str, messages: Vec<String>, expected: &[&str]) {
    let client = Client::open(address, path, &[]).await;
    let (mut reader, mut writer) = client.stream.into_split();
    let bytes: Vec<u8> = messages.iter().flat_map(|message| frame(0x81, message.as_bytes())).collect();
    let sending = async { drop(writer.write_all(&bytes).await) };
    let receiving = async {
        let (mut bytes_read, mut left) = (Vec::with_capacity(65_536), expected.to_vec());
        while !left.is_empty() {
            let read = timeout(TIMEOUT, reader.read_buf(&mut bytes_read)).await;
            assert!(matches!(read, Ok(Ok(1..))), "{}: never received {left:?}: {read:?}", messages[messages.len() - 1]);
            left.retain(|texts| texts.split('|').all(|text| memmem::find(&bytes_read, text.as_bytes()).is_none()));
            // keep what may be the beginning of a text
            bytes_read.drain(..bytes_read.len().saturating_sub(OVERLAP));
        }
    };
    tokio::join!(sending, receiving);
}

fn repeat(times: usize, message: impl Fn(usize) -> String) -> Vec<String> {
    (0..times).map(message).collect()
}

/// One client of each flood. The number makes their names differ.
async fn floods(address: SocketAddr, n: usize) {
    let pad = "x".repeat(8_000);
    let me = id(n);
    let mut watching = vec![format!(r#"["1","1","peer:{me}","phx_join",{{}}]"#)];
    watching.extend(repeat(150, |w| format!(r#"["1","w","peer:{me}","watch",{{"peer_id":"{}"}}]"#, id(1_000 + w))));
    let mut probing = vec![format!(r#"["1","1","peer:{}","phx_join",{{}}]"#, id(500 + n))];
    probing.extend(repeat(100, |w| {
        format!(r#"["1","g","peer:{}","offer",{{"peer_id":"{}"}}]"#, id(500 + n), id(2_000 + w))
    }));
    let rooms = repeat(300, |w| format!(r#"["{w}","{w}","room:{n}-{w}","phx_join",{{}}]"#));
    let mut updates = vec![format!(r#"["1","1","room:list","phx_join",{{"meta":{{"n":{n}}}}}]"#)];
    updates.extend(repeat(1_200, |w| format!(r#"["1","u","room:list","update_meta",{{"w":{w}}}]"#)));
    let mut messages = vec![format!(r#"["1","1","room:own{n}","phx_join",{{}}]"#)];
    messages.extend(repeat(1_200, |_| format!(r#"["1","m","room:own{n}","msg",{{}}]"#)));
    let offers = repeat(200, |w| format!(r#"{{"type":"OFFER","dst":"absent{n}-{w}","payload":"{pad}"}}"#));
    let peerjs = format!("/peerjs?key=peerjs&id=flood{n}&token=t");
    tokio::join!(
        flood(address, SOCKET, watching, &["too many watches|rate_limited"]),
        flood(address, SOCKET, probing, &["peer_not_found", "rate_limited"]),
        flood(address, SOCKET, rooms, &["too many channels joined"]),
        flood(address, SOCKET, updates, &["rate_limited", FLOOD]),
        flood(address, SOCKET, messages, &["rate_limited", FLOOD]),
        // PeerJS has no reply for a rejected signal; the metrics count it
        flood(address, &peerjs, offers, &[]),
    );
}

/// The size of the held signals, or 0 if the registry did not have time to report it.
async fn held_bytes(process: &Process) -> u64 {
    metric(process.metrics.unwrap(), "handclasp_held_bytes").await.unwrap_or(0)
}

#[actix_web::test]
async fn all_floods_at_once_are_rejected_and_a_pair_can_still_signal() {
    let process = Process::start(SETS);
    let (mut alice, mut bob) = (Client::new(process.address).await, Client::new(process.address).await);
    let ids = [id(900_001), id(900_002)];
    alice.join("1", &format!("peer:{}", ids[0]), "{}").await;
    bob.join("1", &format!("peer:{}", ids[1]), "{}").await;
    let (before, finished, held) = (process.resident(), Cell::new(false), Cell::new(0));
    let flooding = async {
        join_all((0..CLIENTS).map(|n| floods(process.address, n))).await;
        finished.set(true);
    };
    let pair = async {
        while !finished.get() {
            alice.send(&format!(r#"["1","2","peer:{}","offer",{{"peer_id":"{}"}}]"#, ids[0], ids[1])).await;
            bob.receive_until("offer").await;
            // the pair shares the IP of the probing clients, but its own signals are to a peer that is online
            alice.receive_until(r#""status":"ok""#).await;
            let grown = process.resident().saturating_sub(before);
            assert!(grown < MAX_GROWTH, "memory grew by {grown} bytes");
            let bytes = held_bytes(&process).await;
            assert!(bytes <= MAX_HELD, "{bytes} bytes are held");
            held.set(held.get().max(bytes));
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        }
    };
    tokio::join!(flooding, pair);
    let held = held.get().max(held_bytes(&process).await);
    assert!(held > MAX_HELD / 2, "no flood: {held} bytes were held");
    let overloaded =
        metric(process.metrics.unwrap(), r#"handclasp_signals_total{protocol="peerjs",status="overloaded"}"#).await;
    assert!(overloaded.is_some_and(|signals| signals > 0), "{overloaded:?} signals were rejected");
}

/// 40 clients keep joining and leaving one room with presence, while one client sends and another receives there.
#[actix_web::test]
async fn a_room_stays_usable_while_many_clients_join_and_leave() {
    let process = Process::start(&["metrics.listen=127.0.0.1:0"]);
    let (mut sender, mut receiver) = (Client::new(process.address).await, Client::new(process.address).await);
    sender.join("1", "room:hot", "{}").await;
    receiver.join("1", "room:hot", "{}").await;
    let (before, finished) = (process.resident(), Cell::new(false));
    let storm = async {
        let join_and_leave = async |n: usize| {
            let mut client = Client::new(process.address).await;
            for round in 0..20 {
                client.join(&round.to_string(), "room:hot", &format!(r#"{{"meta":{{"n":{n}}}}}"#)).await;
                client.send(&format!(r#"["{round}","l","room:hot","phx_leave",{{}}]"#)).await;
                client.receive_until("phx_close").await;
            }
        };
        join_all((0..40).map(join_and_leave)).await;
        finished.set(true);
    };
    let exchange = async {
        while !finished.get() {
            sender.send(r#"["1","2","room:hot","msg",{}]"#).await;
            receiver.expect(r#"[null,null,"room:hot","msg",{}]"#).await;
            sender.receive_until(r#""status":"ok""#).await;
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        }
    };
    tokio::join!(storm, exchange);
    let grown = process.resident().saturating_sub(before);
    assert!(grown < MAX_GROWTH, "memory grew by {grown} bytes");
    drop((sender, receiver));
    common::wait_until("the room is empty", || async {
        metric(process.metrics.unwrap(), "handclasp_members").await == Some(0)
    })
    .await;
}
