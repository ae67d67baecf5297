//! The model: whatever clients do and however the receiver answers, what it has computed equals the registry's tables once
//! all is quiet, or it was told to read them.

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::time::Duration;

use futures_util::future::join_all;
use handclasp::{Channel, Context, Endpoint, Mount, Node, Payload, Reply, Router};
use serde_json::Value;

use crate::common::rng::Rng;
use crate::common::{Client, UNLIMITED, certified, config, wait_for, wait_until_empty};
use crate::receiver::{Answer, Known, Receiver};

const CLIENTS: usize = 6;
const PEERS: usize = 4;
const ROOMS: usize = 3;
const STEPS: usize = 400;
const LIMIT: Duration = Duration::from_secs(60);
/// How many requests the receiver may answer otherwise than with 200.
const MISHAPS: usize = 16;

/// A room whose channel panics when it is told to.
struct Fragile;

impl Channel for Fragile {
    fn handle_in(&mut self, event: &str, _: &Payload, _: &mut Context<'_>) -> Reply {
        assert_ne!(event, "panic", "as the client wishes");
        Reply::ok()
    }
}

/// The clients, and the ids that they take from each other.
struct World {
    node: Node,
    clients: Vec<Client>,
    ids: Vec<(String, Value)>,
    rng: Rng,
}

impl World {
    async fn new(seed: u64, receiver: &Receiver) -> Self {
        let of_receiver = receiver.sets();
        // with some of the seeds, events are lost while requests fail
        let give_up = ["webhooks.give_up_after=5m", "webhooks.give_up_after=1s"][(seed % 2) as usize];
        let sets = ["webhooks.grace_period=30ms", "webhooks.timeout=150ms", give_up];
        let all: Vec<&str> = UNLIMITED.into_iter().chain(of_receiver.iter().map(String::as_str)).chain(sets).collect();
        let router = Router::new().channel("room:*", |_| Fragile);
        let node = Endpoint::new(config(&all)).mount(Mount::new("/fragile", router)).start().unwrap();
        let mut world =
            Self { node, clients: Vec::new(), ids: (0..PEERS).map(|_| certified()).collect(), rng: Rng(seed) };
        for n in 0..CLIENTS {
            let client = world.client(n).await;
            world.clients.push(client);
        }
        world
    }

    /// Half of the clients use the fragile rooms.
    async fn client(&self, n: usize) -> Client {
        match n % 2 {
            0 => Client::new(self.node.address()).await,
            _ => Client::open(self.node.address(), "/fragile/websocket?vsn=2.0.0", &[]).await,
        }
    }

    fn below(&mut self, n: usize) -> usize {
        usize::try_from(self.rng.below(n as u64)).unwrap()
    }

    async fn step(&mut self, number: usize) {
        let (client, room, peer) = (self.below(CLIENTS), self.below(ROOMS), self.below(PEERS));
        let (room, (id, secret)) = (format!("room:{room}"), self.ids[peer].clone());
        let text = match self.below(10) {
            0..3 => format!(r#"["{number}","{number}","{room}","phx_join",{{}}]"#),
            3 => format!(r#"[null,"{number}","{room}","phx_leave",{{}}]"#),
            4..7 => format!(r#"["{number}","{number}","peer:{id}","phx_join",{secret}]"#),
            7 => format!(r#"[null,"{number}","peer:{id}","phx_leave",{{}}]"#),
            8 => format!(r#"[null,"{number}","{room}","panic",{{}}]"#),
            _ => {
                self.clients[client] = self.client(client).await;
                return;
            }
        };
        self.clients[client].send(&text).await;
        if self.below(4) == 0 {
            tokio::time::sleep(Duration::from_millis(self.rng.below(60))).await;
        }
    }

    /// What a backend reads.
    fn state(&self) -> (BTreeSet<String>, BTreeSet<String>) {
        let pubsub = self.node.pubsub();
        let there = |topic: &String| pubsub.count(topic) > 0;
        let peers = self.ids.iter().map(|(id, _)| format!("peer:{id}")).filter(there).collect();
        (peers, (0..ROOMS).map(|n| format!("room:{n}")).filter(there).collect())
    }
}

/// A backend: what it has computed from the requests so far.
struct Backend {
    receiver: Receiver,
    known: Known,
    handled: usize,
    losses: usize,
}

impl Backend {
    /// Handles the requests that have arrived, and reads the state when it is told to.
    fn catch_up(&mut self, world: &World) {
        for request in &self.receiver.requests()[self.handled..] {
            let instance = request.json()["instance"].as_str().unwrap().to_owned();
            let losses = &mut self.losses;
            self.known.accept_and_read(request, |known| {
                *losses += 1;
                let (peers, rooms) = world.state();
                let name = |topic: String| ("phoenix".to_owned(), topic.split_once(':').unwrap().1.to_owned());
                known.peers = peers.into_iter().map(|topic| (name(topic), [instance.clone()].into())).collect();
                known.rooms = rooms.into_iter().map(|topic| (name(topic), [instance.clone()].into())).collect();
            });
            self.handled += 1;
        }
    }

    fn computed(&self) -> (BTreeSet<String>, BTreeSet<String>) {
        let peers = self.known.peers.keys().map(|(_, id)| format!("peer:{id}")).collect();
        (peers, self.known.rooms.keys().map(|(_, name)| format!("room:{name}")).collect())
    }
}

/// Answers at random at first, and then accepts everything.
fn with_mishaps(receiver: &Receiver, seed: u64) {
    let (mut rng, mut left) = (Rng(seed), MISHAPS);
    receiver.answer(move || {
        left = left.saturating_sub(1);
        match rng.below(8) {
            _ if left == 0 => Answer::Status(200),
            0 => Answer::Status(500),
            1 => Answer::Lose,
            2 => Answer::Hang,
            _ => Answer::Status(200),
        }
    });
}

async fn wait_until_right(what: &str, backend: &RefCell<Backend>, world: &World) {
    let is_right = || async {
        let mut backend = backend.borrow_mut();
        backend.catch_up(world);
        backend.computed() == world.state()
    };
    wait_for(what, LIMIT, is_right).await;
}

/// Returns how often the backend was told of a loss.
async fn run(seed: u64) -> usize {
    let receiver = Receiver::start();
    with_mishaps(&receiver, seed);
    let mut world = World::new(seed, &receiver).await;
    let backend = RefCell::new(Backend { receiver, known: Known::default(), handled: 0, losses: 0 });
    for number in 0..STEPS {
        world.step(number).await;
        backend.borrow_mut().catch_up(&world);
    }
    wait_until_right(&format!("seed {seed}: the backend knows what there is"), &backend, &world).await;
    world.clients.clear();
    wait_until_right(&format!("seed {seed}: the backend knows what is left"), &backend, &world).await;
    wait_until_empty(&world.node).await;
    wait_until_right(&format!("seed {seed}: the backend knows that nothing is left"), &backend, &world).await;
    world.node.stop().await;
    backend.into_inner().losses
}

#[actix_web::test]
async fn the_backend_knows_what_there_is() {
    let losses = join_all((1..=8).map(run)).await;
    assert!(losses.iter().any(|count| *count > 0) && losses.contains(&0), "with losses and without: {losses:?}");
}
