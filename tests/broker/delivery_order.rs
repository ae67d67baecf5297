//! A crowd that talks all at once, each at whatever pace, to listeners of whom some fall behind: everybody hears what
//! each of the others has said to them, once and in order, and every word is answered.
//!
//! Other tests ask and listen in turn. What a client hears here comes by three ways that have to keep off each other:
//! from its session, from the worker's courier, and from what the wire did not take at once.

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

const CROWD: usize = 6;
const WORDS: usize = 120;
/// What the kernel keeps for those who fall behind (bytes).
const WINDOW: usize = 65_536;
const ROOM: &str = "room:crowd";
/// What is over 16 KiB goes another way than what is small; all are below `limits.message_bytes` (bytes).
const SIZES: [usize; 8] = [0, 0, 0, 0, 100, 1_000, 3_000, 17_000];

/// Whom a word is for.
#[derive(Clone, Copy, Debug)]
enum To {
    Everybody,
    One(usize),
    /// A heartbeat.
    Server,
}

/// What one of the crowd will say.
#[derive(Clone, Copy, Debug)]
struct Word {
    to: To,
    pad: usize,
    /// Whether it goes out together with the next.
    is_hasty: bool,
}

fn words(rng: &mut Rng) -> Vec<Word> {
    let word = |_| {
        let to = match rng.below(8) {
            0..=2 => To::Everybody,
            3..=6 => To::One(rng.below(CROWD as u64) as usize),
            _ => To::Server,
        };
        Word { to, pad: SIZES[rng.below(SIZES.len() as u64) as usize], is_hasty: rng.below(12) > 0 }
    };
    (0..WORDS).map(word).collect()
}

/// As the protocol has it; who hears it finds `from` and `said` in it.
fn spoken(from: usize, said: usize, word: Word) -> String {
    let pad = "x".repeat(word.pad);
    match word.to {
        To::Everybody => format!(r#"["room","{said}","{ROOM}","word",{{"from":{from},"said":{said},"pad":"{pad}"}}]"#),
        To::One(other) => {
            let (own, other) = (id(from), id(other));
            format!(
                r#"["own","{said}","peer:{own}","word",{{"peer_id":"{other}","from":{from},"said":{said},"pad":"{pad}"}}]"#
            )
        }
        To::Server => format!(r#"[null,"{said}","phoenix","heartbeat",{{}}]"#),
    }
}

/// Says everything, some of it in one piece.
async fn speak(mut stream: TcpStream, from: usize, words: &[Word]) {
    let mut bytes = Vec::new();
    for (said, word) in words.iter().enumerate() {
        bytes.extend(frame(0x81, spoken(from, said, *word).as_bytes()));
        if !word.is_hasty {
            stream.write_all(&bytes).await.unwrap();
            bytes.clear();
        }
    }
    stream.write_all(&bytes).await.unwrap();
}

/// The words heard on a topic, by who said them; by nobody: the answers to one's own.
type Listened = BTreeMap<(String, Option<usize>), Vec<usize>>;

/// Listens until so many words have come, and pauses now and then.
async fn listen(client: &mut Client, count: usize, rng: &mut Rng) -> Listened {
    let mut listened = Listened::new();
    for _ in 0..count {
        if rng.below(40) == 0 {
            sleep(Duration::from_millis(rng.below(30))).await;
        }
        let heard: Value = serde_json::from_str(&client.receive().await).unwrap();
        let topic = heard[2].as_str().unwrap().to_owned();
        let (from, said) = if heard[3] == "phx_reply" {
            assert_eq!(heard[4]["status"], "ok", "{heard}");
            (None, heard[1].as_str().unwrap().parse().unwrap())
        } else {
            let number = |name: &str| heard[4][name].as_u64().unwrap() as usize;
            (Some(number("from")), number("said"))
        };
        listened.entry((topic, from)).or_default().push(said);
    }
    listened
}

/// What `me` is to hear of all that is said.
fn due(me: usize, all: &[Vec<Word>]) -> Listened {
    let mut due = Listened::new();
    let own = format!("peer:{}", id(me));
    for (from, words) in all.iter().enumerate() {
        for (said, word) in words.iter().enumerate() {
            let answered = match word.to {
                To::Everybody => ROOM,
                To::One(_) => &own,
                To::Server => "phoenix",
            };
            if from == me {
                due.entry((answered.to_owned(), None)).or_default().push(said);
            }
            let topic = match word.to {
                To::Everybody if from != me => ROOM,
                To::One(other) if other == me => &own,
                _ => continue,
            };
            due.entry((topic.to_owned(), Some(from))).or_default().push(said);
        }
    }
    due
}

async fn talk(workers: usize, seed: u64) {
    let workers = format!("server.workers={workers}");
    let node = node(&[&workers, "limits.messages_burst=100000", "limits.queue_bytes=16777216", "limits.queue_age=60s"]);
    let mut rng = Rng(seed);
    let all: Vec<Vec<Word>> = (0..CROWD).map(|_| words(&mut rng)).collect();
    let mut clients = Vec::new();
    for me in 0..CROWD {
        let mut client = Client::new(node.address()).await;
        if me % 2 == 0 {
            SockRef::from(&client.stream).set_recv_buffer_size(WINDOW).unwrap();
        }
        client.join("own", &format!("peer:{}", id(me)), "{}").await;
        client.join("room", ROOM, "{}").await;
        clients.push(client);
    }
    join_all(clients.iter_mut().enumerate().map(|(me, client)| {
        let voice = std::net::TcpStream::from(client.stream.as_fd().try_clone_to_owned().unwrap());
        let (due, mut rng) = (due(me, &all), Rng(seed + 1 + me as u64));
        let (count, words) = (due.values().map(Vec::len).sum(), &all[me]);
        async move {
            let spoken = speak(TcpStream::from_std(voice).unwrap(), me, words);
            let (listened, ()) = tokio::join!(listen(client, count, &mut rng), spoken);
            assert!(listened == due, "seed {seed}, client {me}: heard {listened:?}, not {due:?}");
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
async fn everybody_hears_each_of_the_others_in_order_on_one_worker() {
    for seed in 1..=4 {
        talk(1, seed).await;
    }
}

#[actix_web::test]
async fn everybody_hears_each_of_the_others_in_order_on_several_workers() {
    for seed in 1..=4 {
        talk(3, seed).await;
    }
}
