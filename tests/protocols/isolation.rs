//! All protocols at once, on one port of one process: clients that come, speak and die at random, all under the
//! same names. Nobody hears another realm, and nothing is left of anybody.

use std::net::SocketAddr;
use std::ops::RangeInclusive;

use futures_util::future::join_all;
use handclasp::Endpoint;
use serde_json::json;

use crate::common::longpoll::LongPollClient;
use crate::common::process::Process;
use crate::common::rng::Rng;
use crate::common::{Client, Received, config, frame, wait_until, wait_until_empty};

/// How many clients there are at a time, how much each does, and how many names they share.
const GUESTS: u64 = 40;
const STEPS: u64 = 25;
const NAMES: u64 = 5;
/// What one address may do here, and how long a poll lasts.
const SETS: [&str; 3] = ["limits.sockets_per_ip=10000", "limits.connects_burst=10000", "socket.poll_window=4s"];

#[derive(Clone, Copy, Debug)]
enum Kind {
    Phoenix,
    LongPoll,
    PeerJs,
    SocketIo,
    Hello,
}

impl Kind {
    const ALL: [Self; 5] = [Self::Phoenix, Self::LongPoll, Self::PeerJs, Self::SocketIo, Self::Hello];

    /// What its clients say of themselves in all that they say.
    fn mark(self) -> &'static str {
        match self {
            Self::Phoenix | Self::LongPoll => "realm-phoenix",
            Self::PeerJs => "realm-peerjs",
            Self::SocketIo => "realm-socketio",
            Self::Hello => "realm-hello",
        }
    }

    fn expect(self, text: &str) {
        let others = Self::ALL.iter().filter(|other| other.mark() != self.mark());
        for other in others {
            assert!(!text.contains(other.mark()), "{self:?} heard {text}");
        }
    }
}

fn name(rng: &mut Rng) -> String {
    format!("room:{}", rng.below(NAMES))
}

/// A client with a WebSocket.
struct Guest {
    kind: Kind,
    name: String,
    client: Client,
}

impl Guest {
    async fn come(kind: Kind, address: SocketAddr, rng: &mut Rng) -> Self {
        let (name, token) = (name(rng), rng.below(2));
        let path = match kind {
            Kind::PeerJs => format!("/peerjs?key=peerjs&id={name}&token=t{token}"),
            Kind::SocketIo => "/socket.io/?EIO=4&transport=websocket".into(),
            Kind::Hello => "/hello".into(),
            Kind::Phoenix | Kind::LongPoll => "/socket/websocket?vsn=2.0.0".into(),
        };
        let mut client = Client::open(address, &path, &[]).await;
        match kind {
            Kind::Phoenix => drop(client.join("1", &name, "{}").await),
            Kind::SocketIo => {
                client.send("40").await;
                client.send(&format!(r#"42["join",{{"room":"{name}"}}]"#)).await;
            }
            _ => {}
        }
        Self { kind, name, client }
    }

    async fn speak(&mut self, rng: &mut Rng) {
        let (mark, name, to) = (self.kind.mark(), &self.name, name(rng));
        let said = match self.kind {
            Kind::PeerJs => format!(r#"{{"type":"OFFER","dst":"{to}","payload":"{mark}"}}"#),
            Kind::SocketIo => format!(r#"42["message","{mark}"]"#),
            Kind::Hello if rng.below(2) == 0 => {
                format!(r#"{{"_messageType":"broadcast","_contentType":"x","_content":"{mark}","_from":"{name}"}}"#)
            }
            Kind::Hello => format!(
                r#"{{"messageType":"unicast","to":"{to}","from":"{name}","content":{{"contentType":"x","body":"{mark}"}}}}"#
            ),
            Kind::Phoenix | Kind::LongPoll => format!(r#"["1","2","{name}","shout",{{"body":"{mark}"}}]"#),
        };
        self.client.send(&said).await;
    }

    /// Hears all that there is; says whether the connection still stands.
    async fn listen(&mut self) -> bool {
        self.client.raw(&frame(0x89, b"all?")).await;
        loop {
            match self.client.receive_any().await {
                Received::Text(text) => self.kind.expect(&text),
                Received::Pong(_) => return true,
                Received::Binary(_) | Received::Ping(_) => {}
                Received::Close(..) | Received::Eof => return false,
            }
        }
    }

    /// Says goodbye, or does not.
    async fn go(mut self, rng: &mut Rng) {
        if rng.below(2) == 0 {
            self.client.raw(&frame(0x88, &1000_u16.to_be_bytes())).await;
        }
    }
}

/// One after the other at one place, until all steps are done.
async fn guests(address: SocketAddr, seed: u64) {
    let mut rng = Rng(seed);
    let mut step = 0;
    while step < STEPS {
        let kind = Kind::ALL[rng.below(5) as usize];
        if matches!(kind, Kind::LongPoll) {
            step += poll(address, &mut rng).await;
            continue;
        }
        let mut guest = Guest::come(kind, address, &mut rng).await;
        let stay = rng.below(8);
        for _ in 0..=stay {
            step += 1;
            guest.speak(&mut rng).await;
            if !guest.listen().await {
                break;
            }
        }
        guest.go(&mut rng).await;
    }
}

/// One who polls comes, speaks, hears, and leaves or is forgotten; how many steps that took.
async fn poll(address: SocketAddr, rng: &mut Rng) -> u64 {
    let session = LongPollClient::open(address, "/socket", "2.0.0", &[]).await;
    let name = name(rng);
    session.send(&json!(["1", "1", name, "phx_join", {}]).to_string()).await;
    let steps = 1 + rng.below(4);
    for _ in 0..steps {
        session.send(&json!(["1", "2", name, "shout", { "body": Kind::LongPoll.mark() }]).to_string()).await;
    }
    Kind::LongPoll.expect(&session.get().await.body);
    if rng.below(2) == 0 {
        session.send(&json!(["1", "3", name, "phx_leave", {}]).to_string()).await;
    }
    steps
}

async fn everyone(address: SocketAddr, seed: u64) {
    join_all((1..=GUESTS).map(|n| guests(address, seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) ^ n))).await;
}

#[actix_web::test]
async fn nobody_hears_another_realm_and_nothing_is_left() {
    let sets: Vec<&str> = SETS.into_iter().chain(["server.workers=2", "peerjs.expire_timeout=300ms"]).collect();
    let node = Endpoint::new(config(&sets)).start().unwrap();
    for seed in 1..=3 {
        everyone(node.address(), seed).await;
        wait_until_empty(&node).await;
    }
    assert!(node.pubsub().metrics().delivered.get() > 1_000, "they did speak: {:?}", node.pubsub().metrics());
}

/// Lets everybody come, and says how much memory is held once nothing of them is left.
async fn visited(process: &Process, seeds: RangeInclusive<u64>) -> u64 {
    for seed in seeds {
        everyone(process.address, seed).await;
    }
    wait_until("empty tables", || async { process.remaining().await.is_empty() }).await;
    process.resident() / 1024
}

/// The first visits warm the allocator up; what others leave behind after that would grow from round to round.
#[actix_web::test]
async fn the_process_is_as_small_afterwards_as_before() {
    const SLACK: u64 = 4_096;
    // of its own, so that its memory is nobody else's
    let sets: Vec<&str> = SETS.into_iter().chain(["metrics.listen=127.0.0.1:0"]).collect();
    let process = Process::start(&sets);
    let before = visited(&process, 1..=2).await;
    let after = visited(&process, 3..=6).await;
    assert!(after <= before + SLACK, "{before} KiB before, {after} KiB after");
}
