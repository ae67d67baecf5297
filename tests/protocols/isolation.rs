//! All protocols on one port of one process: clients connect, send and disconnect at random, all with the same names.
//! No client receives messages of another protocol, and nothing remains on the node.

use std::net::SocketAddr;
use std::ops::RangeInclusive;

use futures_util::future::join_all;
use handclasp::Endpoint;
use serde_json::json;

use crate::common::longpoll::LongPollClient;
use crate::common::process::Process;
use crate::common::rng::Rng;
use crate::common::{Client, Received, config, frame, wait_until, wait_until_empty};

/// The number of concurrent clients, the steps of each, and the number of shared names.
const CLIENTS: u64 = 40;
const STEPS: u64 = 25;
const NAMES: u64 = 5;
/// Limits that these clients do not reach, and the duration of a poll.
const SETS: [&str; 5] = [
    "limits.sockets_per_ip=10000",
    "limits.connects_burst=10000",
    "socket.poll_window=4s",
    "relay.enabled=true",
    "hello.enabled=true",
];

#[derive(Clone, Copy, Debug)]
enum Kind {
    Phoenix,
    LongPoll,
    PeerJs,
    SocketIo,
    Hello,
    Relay,
}

impl Kind {
    const ALL: [Self; 6] = [Self::Phoenix, Self::LongPoll, Self::PeerJs, Self::SocketIo, Self::Hello, Self::Relay];

    /// A text in every message of this protocol's clients.
    fn marker(self) -> &'static str {
        match self {
            Self::Phoenix | Self::LongPoll => "realm-phoenix",
            Self::PeerJs => "realm-peerjs",
            Self::SocketIo => "realm-socketio",
            Self::Hello => "realm-hello",
            Self::Relay => "realm-relay",
        }
    }

    fn check(self, text: &str) {
        let others = Self::ALL.iter().filter(|other| other.marker() != self.marker());
        for other in others {
            assert!(!text.contains(other.marker()), "{self:?} received {text}");
        }
    }
}

fn name(rng: &mut Rng) -> String {
    format!("room:{}", rng.below(NAMES))
}

/// A WebSocket client.
struct RandomClient {
    kind: Kind,
    name: String,
    client: Client,
}

impl RandomClient {
    async fn connect(kind: Kind, address: SocketAddr, rng: &mut Rng) -> Self {
        let (name, token) = (name(rng), rng.below(2));
        let path = match kind {
            Kind::PeerJs => format!("/peerjs?key=peerjs&id={name}&token=t{token}"),
            Kind::SocketIo => "/socket.io/?EIO=4&transport=websocket".into(),
            Kind::Hello => "/hello".into(),
            Kind::Relay => "/relay".into(),
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

    async fn send_message(&mut self, rng: &mut Rng) {
        let (marker, name, to) = (self.kind.marker(), &self.name, name(rng));
        let message = match self.kind {
            Kind::PeerJs => format!(r#"{{"type":"OFFER","dst":"{to}","payload":"{marker}"}}"#),
            Kind::SocketIo => format!(r#"42["message","{marker}"]"#),
            Kind::Hello if rng.below(2) == 0 => {
                format!(r#"{{"_messageType":"broadcast","_contentType":"x","_content":"{marker}","_from":"{name}"}}"#)
            }
            Kind::Hello => format!(
                r#"{{"messageType":"unicast","to":"{to}","from":"{name}","content":{{"contentType":"x","body":"{marker}"}}}}"#
            ),
            Kind::Relay => format!("{name} {marker}"),
            Kind::Phoenix | Kind::LongPoll => format!(r#"["1","2","{name}","shout",{{"body":"{marker}"}}]"#),
        };
        self.client.send(&message).await;
    }

    /// Receives everything that has arrived, and returns whether the connection is still open.
    async fn receive_all(&mut self) -> bool {
        self.client.raw(&frame(0x89, b"all?")).await;
        loop {
            match self.client.receive_any().await {
                Received::Text(text) => self.kind.check(&text),
                Received::Pong(_) => return true,
                Received::Binary(_) | Received::Ping(_) => {}
                Received::Close(..) | Received::Eof => return false,
            }
        }
    }

    /// Disconnects, with or without a close frame.
    async fn disconnect(mut self, rng: &mut Rng) {
        if rng.below(2) == 0 {
            self.client.raw(&frame(0x88, &1000_u16.to_be_bytes())).await;
        }
    }
}

/// Runs one client after another, until all steps are done.
async fn run_clients(address: SocketAddr, seed: u64) {
    let mut rng = Rng(seed);
    let mut step = 0;
    while step < STEPS {
        let kind = Kind::ALL[rng.below(Kind::ALL.len() as u64) as usize];
        if matches!(kind, Kind::LongPoll) {
            step += poll(address, &mut rng).await;
            continue;
        }
        let mut client = RandomClient::connect(kind, address, &mut rng).await;
        let messages = rng.below(8);
        for _ in 0..=messages {
            step += 1;
            client.send_message(&mut rng).await;
            if !client.receive_all().await {
                break;
            }
        }
        client.disconnect(&mut rng).await;
    }
}

/// Runs one long-polling session, which leaves its topic or is abandoned. Returns the number of steps.
async fn poll(address: SocketAddr, rng: &mut Rng) -> u64 {
    let session = LongPollClient::open(address, "/socket", "2.0.0", &[]).await;
    let name = name(rng);
    session.send(&json!(["1", "1", name, "phx_join", {}]).to_string()).await;
    let steps = 1 + rng.below(4);
    for _ in 0..steps {
        session.send(&json!(["1", "2", name, "shout", { "body": Kind::LongPoll.marker() }]).to_string()).await;
    }
    Kind::LongPoll.check(&session.get().await.body);
    if rng.below(2) == 0 {
        session.send(&json!(["1", "3", name, "phx_leave", {}]).to_string()).await;
    }
    steps
}

async fn run_all(address: SocketAddr, seed: u64) {
    join_all((1..=CLIENTS).map(|n| run_clients(address, seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) ^ n))).await;
}

#[actix_web::test]
async fn no_client_receives_another_protocol_and_nothing_is_left() {
    let sets: Vec<&str> = SETS.into_iter().chain(["server.workers=2", "peerjs.expire_timeout=300ms"]).collect();
    let node = Endpoint::new(config(&sets)).start().unwrap();
    for seed in 1..=3 {
        run_all(node.address(), seed).await;
        wait_until_empty(&node).await;
    }
    assert!(node.pubsub().metrics().delivered.get() > 1_000, "too few messages: {:?}", node.pubsub().metrics());
}

/// Runs all clients, and returns the resident memory once everything is removed.
async fn memory_after(process: &Process, seeds: RangeInclusive<u64>) -> u64 {
    for seed in seeds {
        run_all(process.address, seed).await;
    }
    wait_until("the tables are empty", || async { process.remaining().await.is_empty() }).await;
    process.resident() / 1024
}

/// The first rounds warm the allocator up. Memory that is not released afterwards would grow from round to round.
#[actix_web::test]
async fn the_memory_of_the_process_does_not_grow() {
    const SLACK: u64 = 4_096;
    // a separate process, so that only its own memory is measured
    let sets: Vec<&str> = SETS.into_iter().chain(["metrics.listen=127.0.0.1:0"]).collect();
    let process = Process::start(&sets);
    let before = memory_after(&process, 1..=2).await;
    let after = memory_after(&process, 3..=6).await;
    assert!(after <= before + SLACK, "{before} KiB before, {after} KiB after");
}
