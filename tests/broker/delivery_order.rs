//! Many clients send at the same time, some of them slow to read. Each client receives every message that the others
//! sent to it, once and in order, and a reply to each of its own.
//!
//! Other tests send and receive in turn. Here a client's messages come by three paths that must keep their order: from
//! its session, from the worker's flusher, and from frames that the socket did not accept at first.

use std::collections::BTreeMap;
use std::os::fd::AsFd;
use std::time::Duration;

use futures_util::future::join_all;
use serde_json::Value;
use socket2::SockRef;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio::time::sleep;

use crate::common::rng::Rng;
use crate::common::{Client, frame, id, node, wait_until_empty};

const CLIENTS: usize = 6;
const MESSAGES: usize = 120;
/// The receive buffer of the slow readers, in bytes.
const RECEIVE_BUFFER: usize = 65_536;
const ROOM: &str = "room:crowd";
/// Padding of the messages, in bytes. Messages over 16 KiB take another path than small ones. All are below
/// `limits.message_bytes`.
const SIZES: [usize; 8] = [0, 0, 0, 0, 100, 1_000, 3_000, 17_000];

/// The recipient of a message.
#[derive(Clone, Copy, Debug)]
enum Recipient {
    Room,
    Peer(usize),
    /// A heartbeat.
    Server,
}

/// A message that a client will send.
#[derive(Clone, Copy, Debug)]
struct Message {
    to: Recipient,
    pad: usize,
    /// Whether it is written together with the next one.
    with_next: bool,
}

fn random_messages(rng: &mut Rng) -> Vec<Message> {
    let message = |_| {
        let to = match rng.below(8) {
            0..=2 => Recipient::Room,
            3..=6 => Recipient::Peer(rng.below(CLIENTS as u64) as usize),
            _ => Recipient::Server,
        };
        Message { to, pad: SIZES[rng.below(SIZES.len() as u64) as usize], with_next: rng.below(12) > 0 }
    };
    (0..MESSAGES).map(message).collect()
}

/// The message as the protocol encodes it. The recipient finds `from` and `n` in it.
fn encode(from: usize, n: usize, message: Message) -> String {
    let pad = "x".repeat(message.pad);
    match message.to {
        Recipient::Room => format!(r#"["room","{n}","{ROOM}","message",{{"from":{from},"n":{n},"pad":"{pad}"}}]"#),
        Recipient::Peer(other) => {
            let (own, other) = (id(from), id(other));
            format!(
                r#"["own","{n}","peer:{own}","message",{{"peer_id":"{other}","from":{from},"n":{n},"pad":"{pad}"}}]"#
            )
        }
        Recipient::Server => format!(r#"[null,"{n}","phoenix","heartbeat",{{}}]"#),
    }
}

/// Sends all messages, several of them in one write.
async fn send_all(mut stream: TcpStream, from: usize, messages: &[Message]) {
    let mut bytes = Vec::new();
    for (n, message) in messages.iter().enumerate() {
        bytes.extend(frame(0x81, encode(from, n, *message).as_bytes()));
        if !message.with_next {
            stream.write_all(&bytes).await.unwrap();
            bytes.clear();
        }
    }
    stream.write_all(&bytes).await.unwrap();
}

/// The numbers of the messages received on a topic, by their sender. Without a sender: the replies to the client's own
/// messages.
type ReceivedNumbers = BTreeMap<(String, Option<usize>), Vec<usize>>;

/// Receives this number of messages, with pauses.
async fn receive_all(client: &mut Client, count: usize, rng: &mut Rng) -> ReceivedNumbers {
    let mut received = ReceivedNumbers::new();
    for _ in 0..count {
        if rng.below(40) == 0 {
            sleep(Duration::from_millis(rng.below(30))).await;
        }
        let message: Value = serde_json::from_str(&client.receive().await).unwrap();
        let topic = message[2].as_str().unwrap().to_owned();
        let (from, n) = if message[3] == "phx_reply" {
            assert_eq!(message[4]["status"], "ok", "{message}");
            (None, message[1].as_str().unwrap().parse().unwrap())
        } else {
            let number = |name: &str| message[4][name].as_u64().unwrap() as usize;
            (Some(number("from")), number("n"))
        };
        received.entry((topic, from)).or_default().push(n);
    }
    received
}

/// What `me` must receive.
fn expected(me: usize, all: &[Vec<Message>]) -> ReceivedNumbers {
    let mut expected = ReceivedNumbers::new();
    let own = format!("peer:{}", id(me));
    for (from, messages) in all.iter().enumerate() {
        for (n, message) in messages.iter().enumerate() {
            let reply_topic = match message.to {
                Recipient::Room => ROOM,
                Recipient::Peer(_) => &own,
                Recipient::Server => "phoenix",
            };
            if from == me {
                expected.entry((reply_topic.to_owned(), None)).or_default().push(n);
            }
            let topic = match message.to {
                Recipient::Room if from != me => ROOM,
                Recipient::Peer(other) if other == me => &own,
                _ => continue,
            };
            expected.entry((topic.to_owned(), Some(from))).or_default().push(n);
        }
    }
    expected
}

async fn run(workers: usize, seed: u64) {
    let workers = format!("server.workers={workers}");
    let node = node(&[
        &workers,
        "limits.messages_burst=100000",
        "limits.queue_bytes=16777216",
        "limits.queue_age=60s",
        "socket.write_timeout=60s",
    ]);
    let mut rng = Rng(seed);
    let all: Vec<Vec<Message>> = (0..CLIENTS).map(|_| random_messages(&mut rng)).collect();
    let mut clients = Vec::new();
    for me in 0..CLIENTS {
        let mut client = Client::new(node.address()).await;
        if me % 2 == 0 {
            SockRef::from(&client.stream).set_recv_buffer_size(RECEIVE_BUFFER).unwrap();
        }
        client.join("own", &format!("peer:{}", id(me)), "{}").await;
        client.join("room", ROOM, "{}").await;
        clients.push(client);
    }
    join_all(clients.iter_mut().enumerate().map(|(me, client)| {
        let stream = std::net::TcpStream::from(client.stream.as_fd().try_clone_to_owned().unwrap());
        let (expected, mut rng) = (expected(me, &all), Rng(seed + 1 + me as u64));
        let (count, messages) = (expected.values().map(Vec::len).sum(), &all[me]);
        async move {
            let sending = send_all(TcpStream::from_std(stream).unwrap(), me, messages);
            let (received, ()) = tokio::join!(receive_all(client, count, &mut rng), sending);
            assert!(received == expected, "seed {seed}, client {me}: received {received:?}, not {expected:?}");
            client.expect_nothing().await;
        }
    }))
    .await;
    assert_eq!(node.pubsub().metrics().messages_dropped.get(), 0);
    drop(clients);
    wait_until_empty(&node).await;
    node.stop().await;
}

#[actix_web::test]
async fn messages_arrive_in_order_on_one_worker() {
    for seed in 1..=4 {
        run(1, seed).await;
    }
}

#[actix_web::test]
async fn messages_arrive_in_order_on_several_workers() {
    for seed in 1..=4 {
        run(3, seed).await;
    }
}
