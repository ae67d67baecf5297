//! Floods of everything that a client can cause, all at once: each has its own answer, the memory of the process stays
//! within a ceiling, and a pair that behaves goes on signalling through it all.

use std::cell::Cell;
use std::net::SocketAddr;

use futures_util::future::join_all;
use memchr::memmem;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::timeout;

use crate::common::process::Process;
use crate::common::{self, Client, TIMEOUT, frame, id};

/// How many flood in each way.
const EACH: usize = 6;
/// What all of them together may add to the memory of the process.
const CEILING: u64 = 64 * 1024 * 1024;

const SOCKET: &str = "/socket/websocket?vsn=2.0.0";
/// What may wait for absent peers, in bytes: less than one of those who flood sends.
const HELD: u64 = 200_000;
const SETS: &[&str] = &[
    "metrics.listen=127.0.0.1:0",
    "server.header_timeout=1m",
    "held_signals.bytes=200_000",
    // fewer than all who guess may say: the pair is of their address, and does not pay for it
    "limits.not_found_burst_per_ip=300",
];
/// More than the longest that is looked for.
const OVERLAP: usize = 64;
/// The close frame that tells a client that it floods: its code and words.
const FLOOD: &str = "too many messages";

/// Says it all at once, and listens until it has heard each of `wants`.
async fn flood(address: SocketAddr, path: &str, said: Vec<String>, wants: &[&str]) {
    let client = Client::open(address, path, &[]).await;
    let (mut reader, mut writer) = client.stream.into_split();
    let bytes: Vec<u8> = said.iter().flat_map(|words| frame(0x81, words.as_bytes())).collect();
    let say = async { drop(writer.write_all(&bytes).await) };
    let hear = async {
        let (mut heard, mut left) = (Vec::with_capacity(65_536), wants.to_vec());
        while !left.is_empty() {
            let read = timeout(TIMEOUT, reader.read_buf(&mut heard)).await;
            assert!(matches!(read, Ok(Ok(1..))), "{}: never heard {left:?}: {read:?}", said[said.len() - 1]);
            left.retain(|want| memmem::find(&heard, want.as_bytes()).is_none());
            // what may be the beginning of one is kept
            heard.drain(..heard.len().saturating_sub(OVERLAP));
        }
    };
    tokio::join!(say, hear);
}

fn words(times: usize, word: impl Fn(usize) -> String) -> Vec<String> {
    (0..times).map(word).collect()
}

/// All floods of one kind of each, numbered so that their names differ.
async fn floods(address: SocketAddr, n: usize) {
    let pad = "x".repeat(8_000);
    let me = id(n);
    let mut watching = vec![format!(r#"["1","1","peer:{me}","phx_join",{{}}]"#)];
    watching.extend(words(150, |w| format!(r#"["1","w","peer:{me}","watch",{{"peer_id":"{}"}}]"#, id(1_000 + w))));
    let mut guessing = vec![format!(r#"["1","1","peer:{}","phx_join",{{}}]"#, id(500 + n))];
    guessing.extend(words(100, |w| {
        format!(r#"["1","g","peer:{}","offer",{{"peer_id":"{}"}}]"#, id(500 + n), id(2_000 + w))
    }));
    let rooms = words(300, |w| format!(r#"["{w}","{w}","room:{n}-{w}","phx_join",{{}}]"#));
    let mut updates = vec![format!(r#"["1","1","room:list","phx_join",{{"meta":{{"n":{n}}}}}]"#)];
    updates.extend(words(1_200, |w| format!(r#"["1","u","room:list","update_meta",{{"w":{w}}}]"#)));
    let mut messages = vec![format!(r#"["1","1","room:own{n}","phx_join",{{}}]"#)];
    messages.extend(words(1_200, |_| format!(r#"["1","m","room:own{n}","msg",{{}}]"#)));
    let offers = words(200, |w| format!(r#"{{"type":"OFFER","dst":"absent{n}-{w}","payload":"{pad}"}}"#));
    let peerjs = format!("/peerjs?key=peerjs&id=flood{n}&token=t");
    tokio::join!(
        flood(address, SOCKET, watching, &["too many watches"]),
        flood(address, SOCKET, guessing, &["peer_not_found", "rate_limited"]),
        flood(address, SOCKET, rooms, &["too many channels joined"]),
        flood(address, SOCKET, updates, &["rate_limited", FLOOD]),
        flood(address, SOCKET, messages, &["rate_limited", FLOOD]),
        // that nothing more can wait has no words here: it is counted
        flood(address, &peerjs, offers, &[]),
    );
}

/// What /metrics says of one number; nothing of what the registry has no time to tell.
async fn number(process: &Process, name: &str) -> Option<u64> {
    let (_, text) = common::get(process.metrics.unwrap(), "/metrics").await;
    let line = text.lines().find_map(|line| line.strip_prefix(name))?;
    Some(line.trim().parse().unwrap())
}

#[actix_web::test]
async fn all_at_once_they_have_their_answers_and_a_pair_goes_on() {
    let process = Process::start(SETS);
    let (mut alice, mut bob) = (Client::new(process.address).await, Client::new(process.address).await);
    let ids = [id(900_001), id(900_002)];
    alice.join("1", &format!("peer:{}", ids[0]), "{}").await;
    bob.join("1", &format!("peer:{}", ids[1]), "{}").await;
    let (before, over, held) = (process.resident(), Cell::new(false), Cell::new(0));
    let flooding = async {
        join_all((0..EACH).map(|n| floods(process.address, n))).await;
        over.set(true);
    };
    let pair = async {
        while !over.get() {
            alice.send(&format!(r#"["1","2","peer:{}","offer",{{"peer_id":"{}"}}]"#, ids[0], ids[1])).await;
            bob.receive_until("offer").await;
            // the address is theirs too: where it has guessed too often, nobody of it is told who is there
            alice.receive_until(r#""status":"ok""#).await;
            let grown = process.resident().saturating_sub(before);
            assert!(grown < CEILING, "{grown} bytes more");
            let bytes = number(&process, "handclasp_held_bytes ").await.unwrap_or(0);
            assert!(bytes <= HELD, "{bytes} bytes wait");
            held.set(held.get().max(bytes));
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        }
    };
    tokio::join!(flooding, pair);
    let held = held.get().max(number(&process, "handclasp_held_bytes ").await.unwrap_or(0));
    assert!(held > HELD / 2, "no flood: {held} bytes waited");
    let overloaded = number(&process, r#"handclasp_signals_total{protocol="peerjs",verdict="overloaded"} "#).await;
    assert!(overloaded.is_some_and(|signals| signals > 0), "{overloaded:?} signals could not wait");
}

/// One room that forty keep entering and leaving, list and all, and one who only listens there.
#[actix_web::test]
async fn a_storm_of_joins_and_leaves_in_one_room_leaves_it_usable() {
    let process = Process::start(&["metrics.listen=127.0.0.1:0"]);
    let (mut talker, mut listener) = (Client::new(process.address).await, Client::new(process.address).await);
    talker.join("1", "room:hot", "{}").await;
    listener.join("1", "room:hot", "{}").await;
    let (before, over) = (process.resident(), Cell::new(false));
    let storm = async {
        let come_and_go = async |n: usize| {
            let mut client = Client::new(process.address).await;
            for turn in 0..20 {
                client.join(&turn.to_string(), "room:hot", &format!(r#"{{"meta":{{"n":{n}}}}}"#)).await;
                client.send(&format!(r#"["{turn}","l","room:hot","phx_leave",{{}}]"#)).await;
                client.receive_until("phx_close").await;
            }
        };
        join_all((0..40).map(come_and_go)).await;
        over.set(true);
    };
    let talk = async {
        while !over.get() {
            talker.send(r#"["1","2","room:hot","msg",{}]"#).await;
            listener.expect(r#"[null,null,"room:hot","msg",{}]"#).await;
            talker.receive_until(r#""status":"ok""#).await;
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        }
    };
    tokio::join!(storm, talk);
    let grown = process.resident().saturating_sub(before);
    assert!(grown < CEILING, "{grown} bytes more");
    drop((talker, listener));
    common::wait_until("an empty room", || async { number(&process, "handclasp_members ").await == Some(0) }).await;
}
