//! Property tests of actions. After any sequence of them, on any node, the registries match a simple model, each client
//! receives only its own messages, every request has one reply, and nothing is left at the end.

use std::collections::{BTreeMap, BTreeSet};

use handclasp::Node;
use proptest::prelude::*;

use crate::common::cluster::MemoryCluster;
use crate::common::{Client, Received, config, id, wait_until};

const CLIENTS: usize = 5;
const ROOMS: usize = 3;
const PEERS: usize = 3;

/// The next action of a client.
#[derive(Clone, Debug)]
enum Step {
    JoinRoom(usize, usize),
    LeaveRoom(usize, usize),
    Shout(usize, usize),
    Claim(usize, usize),
    Release(usize, usize),
    Signal(usize, usize),
    /// Resets the connection, and replaces it by a new client.
    Reset(usize),
}

fn step() -> impl Strategy<Value = Step> {
    let (client, room, peer) = (0..CLIENTS, 0..ROOMS, 0..PEERS);
    prop_oneof![
        4 => (client.clone(), room.clone()).prop_map(|(c, r)| Step::JoinRoom(c, r)),
        2 => (client.clone(), room.clone()).prop_map(|(c, r)| Step::LeaveRoom(c, r)),
        5 => (client.clone(), room).prop_map(|(c, r)| Step::Shout(c, r)),
        4 => (client.clone(), peer.clone()).prop_map(|(c, p)| Step::Claim(c, p)),
        2 => (client.clone(), peer.clone()).prop_map(|(c, p)| Step::Release(c, p)),
        5 => (client.clone(), peer).prop_map(|(c, p)| Step::Signal(c, p)),
        1 => client.prop_map(Step::Reset),
    ]
}

/// The expected memberships.
#[derive(Default)]
struct Model {
    rooms: BTreeMap<usize, BTreeSet<usize>>,
    peers: BTreeMap<usize, usize>,
}

/// What the owner of a contested name does.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Owners {
    /// They answer the ping, and keep the name.
    Alive,
    /// They do not answer, so that they lose the name and their connection.
    Frozen,
}

struct World {
    cluster: MemoryCluster,
    nodes: Vec<Node>,
    clients: Vec<Client>,
    owners: Owners,
    /// The clients that have answered a ping. They are not pinged again so soon.
    answered: BTreeSet<usize>,
    model: Model,
    /// Numbers every message, so that it can be recognised.
    number: usize,
}

fn room(n: usize) -> String {
    format!("room:{n}")
}

impl World {
    async fn new(cluster: MemoryCluster, nodes: Vec<Node>, owners: Owners) -> Self {
        let mut clients = Vec::new();
        for n in 0..CLIENTS {
            let mut client = Client::new(nodes[n % nodes.len()].address()).await;
            client.join("own", &format!("peer:{}", id(100 + n)), "{}").await;
            clients.push(client);
        }
        Self { cluster, nodes, clients, owners, answered: BTreeSet::new(), model: Model::default(), number: 0 }
    }

    async fn run_step(&mut self, step: &Step) {
        self.number += 1;
        match *step {
            Step::JoinRoom(client, n) => {
                self.request(client, &room(n), "phx_join", "{}", "ok").await;
                self.model.rooms.entry(n).or_default().insert(client);
            }
            Step::LeaveRoom(client, n) => {
                self.request(client, &room(n), "phx_leave", "{}", "ok").await;
                self.model.rooms.entry(n).or_default().remove(&client);
            }
            Step::Shout(client, n) => self.shout(client, n).await,
            Step::Claim(client, n) => self.claim(client, n).await,
            Step::Release(client, n) => {
                self.request(client, &format!("peer:{}", id(n)), "phx_leave", "{}", "ok").await;
                if self.model.peers.get(&n) == Some(&client) {
                    self.model.peers.remove(&n);
                }
                // the reply does not wait for the registry; until the registry has run the command, a signal still
                // finds the old owner's queue
                self.wait_until_equal(None).await;
            }
            Step::Signal(client, n) => self.signal(client, n).await,
            Step::Reset(client) => self.reset(client).await,
        }
    }

    /// Sends a request and receives its one reply.
    async fn request(&mut self, client: usize, topic: &str, event: &str, payload: &str, status: &str) -> String {
        self.send_request(client, topic, event, payload).await;
        self.receive_reply(client, topic, status).await
    }

    async fn send_request(&mut self, client: usize, topic: &str, event: &str, payload: &str) {
        let (number, join_ref) = (self.number, if event == "phx_join" { "\"j\"" } else { "null" });
        self.clients[client].send(&format!(r#"[{join_ref},"{number}","{topic}","{event}",{payload}]"#)).await;
    }

    /// Receives the one reply to the latest request. Joining a topic again closes the older join, and so does a leave;
    /// their `phx_close` may come between the replies.
    async fn receive_reply(&mut self, client: usize, topic: &str, status: &str) -> String {
        let number = self.number;
        loop {
            let text = self.clients[client].receive().await;
            if text.contains("phx_close") {
                continue;
            }
            assert!(text.contains(&format!(r#","{number}","{topic}","phx_reply""#)), "request {number}: {text}");
            assert!(text.contains(&format!(r#""status":"{status}""#)), "{topic}: {text}");
            return text;
        }
    }

    async fn shout(&mut self, client: usize, n: usize) {
        let members = self.model.rooms.get(&n).cloned().unwrap_or_default();
        let status = if members.contains(&client) { "ok" } else { "error" };
        let payload = format!(r#"{{"n":{}}}"#, self.number);
        self.request(client, &room(n), "msg", &payload, status).await;
        if status == "ok" {
            for member in members.into_iter().filter(|member| *member != client) {
                self.receive(member, &room(n), "msg", &payload).await;
            }
        }
        // on its way to a node without members, it would reach the next client that joins there
        wait_until("the message is nowhere", || async { self.cluster.is_quiet() }).await;
    }

    /// The next message of a client, other than a `phx_close`, must be this one.
    async fn receive(&mut self, client: usize, topic: &str, event: &str, payload: &str) {
        let expected = format!(r#"[null,null,"{topic}","{event}",{payload}]"#);
        loop {
            let text = self.clients[client].receive().await;
            if text.contains("phx_close") {
                continue;
            }
            assert_eq!(text, expected);
            return;
        }
    }

    async fn claim(&mut self, client: usize, n: usize) {
        let topic = format!("peer:{}", id(n));
        let owner = self.model.peers.get(&n).copied().filter(|owner| *owner != client);
        self.send_request(client, &topic, "phx_join", "{}").await;
        match (owner, self.owners) {
            (Some(owner), Owners::Alive) => {
                if self.answered.insert(owner) {
                    self.answer_ping(owner).await;
                }
                self.receive_reply(client, &topic, "error").await;
            }
            (Some(owner), Owners::Frozen) => {
                self.receive_reply(client, &topic, "ok").await;
                self.model.peers.insert(n, client);
                assert_eq!(self.clients[owner].close_code().await, 1001);
                self.reset(owner).await;
            }
            (None, _) => {
                self.receive_reply(client, &topic, "ok").await;
                self.model.peers.insert(n, client);
            }
        }
    }

    /// Answers a ping, before which a `phx_close` may come.
    async fn answer_ping(&mut self, client: usize) {
        loop {
            match self.clients[client].receive_any().await {
                Received::Text(text) => assert!(text.contains("phx_close"), "{text}"),
                received => {
                    assert_eq!(received, Received::Ping(Vec::new()));
                    return self.clients[client].pong().await;
                }
            }
        }
    }

    async fn signal(&mut self, client: usize, n: usize) {
        let owner = self.model.peers.get(&n).copied();
        let own = id(100 + client);
        let (number, to) = (self.number, id(n));
        let offer = format!(r#"["own","{number}","peer:{own}","offer",{{"peer_id":"{to}","n":{number}}}]"#);
        self.clients[client].send(&offer).await;
        let signal = format!(r#"{{"peer_id":"{own}","n":{number}}}"#);
        let status = if owner.is_some() { "ok" } else { "error" };
        let is_reply =
            |text: &str| text.contains(&format!(r#","{number}","#)) && text.contains(&format!(r#":"{status}""#));
        // for a signal to itself, the signal and the reply come in either order
        let (mut received, mut replied) = (owner != Some(client), false);
        while !(received && replied) {
            let text = self.clients[client].receive().await;
            if is_reply(&text) {
                replied = true;
            } else if text.contains(&signal) {
                assert!(!received, "received twice, or not expected: {text}");
                received = true;
            } else {
                assert!(text.contains("phx_close"), "{text}");
            }
        }
        if let Some(owner) = owner.filter(|owner| *owner != client) {
            self.receive(owner, &format!("peer:{to}"), "offer", &signal).await;
        }
    }

    async fn reset(&mut self, client: usize) {
        let address = self.nodes[client % self.nodes.len()].address();
        let reset_client = std::mem::replace(&mut self.clients[client], Client::new(address).await);
        socket2::SockRef::from(&reset_client.stream).set_linger(Some(std::time::Duration::ZERO)).unwrap();
        drop(reset_client);
        self.answered.remove(&client);
        for members in self.model.rooms.values_mut() {
            members.remove(&client);
        }
        self.model.peers.retain(|_, owner| *owner != client);
        self.wait_until_equal(Some(client)).await;
        self.clients[client].join("own", &format!("peer:{}", id(100 + client)), "{}").await;
    }

    /// Waits until every registry matches the model. Each client also has a name of its own, except for `reset_client`,
    /// which has just been replaced.
    async fn wait_until_equal(&self, reset_client: Option<usize>) {
        for (at, node) in self.nodes.iter().enumerate() {
            let here = |client: &&usize| **client % self.nodes.len() == at;
            let in_rooms: usize = self.model.rooms.values().map(|members| members.iter().filter(here).count()).sum();
            let rooms = self.model.rooms.values().filter(|members| members.iter().any(|client| here(&client))).count();
            let own = (0..CLIENTS).filter(|client| here(&client) && Some(*client) != reset_client).count();
            let names = own + self.model.peers.values().filter(here).count();
            let pubsub = node.pubsub();
            wait_until("the registry matches the model", || async {
                let stats = pubsub.stats().await;
                (stats.members, stats.topics, stats.names) == (in_rooms + names, rooms + names, names)
            })
            .await;
        }
    }

    async fn end(mut self) {
        self.wait_until_equal(None).await;
        for client in &mut self.clients {
            // no client has received anything that the model did not expect
            client.send(r#"[null,"end","phoenix","heartbeat",{}]"#).await;
            loop {
                let text = client.receive().await;
                assert!(text.contains("phx_close") || text.contains("\"end\""), "unexpected: {text}");
                if text.contains("\"end\"") {
                    break;
                }
            }
        }
        self.clients.clear();
        self.cluster.stop_empty(self.nodes).await;
    }
}

/// Limits that these few clients never reach.
pub const LIMITS: [&str; 2] = ["limits.not_found_burst=100000", "limits.joins_burst=100000"];

fn run(steps: &[Step], nodes: usize, owners: Owners) {
    let timeout = match owners {
        Owners::Alive => "limits.contest_timeout=1m",
        Owners::Frozen => "limits.contest_timeout=10ms",
    };
    let sets = [&LIMITS[..], &[timeout]].concat();
    actix_web::rt::System::new().block_on(async {
        let cluster = MemoryCluster::default();
        let nodes = (0..nodes).map(|n| cluster.node(&format!("n{n}"), config(&sets))).collect();
        let mut world = World::new(cluster, nodes, owners).await;
        for step in steps {
            world.run_step(step).await;
        }
        world.end().await;
    });
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 100, max_shrink_time: 60_000, ..ProptestConfig::default() })]

    #[test]
    fn one_node_matches_the_model(steps in prop::collection::vec(step(), 1..80)) {
        run(&steps, 1, Owners::Alive);
    }

    #[test]
    fn two_nodes_match_the_model(steps in prop::collection::vec(step(), 1..80)) {
        run(&steps, 2, Owners::Alive);
    }
}

proptest! {
    // each contest takes a moment
    #![proptest_config(ProptestConfig { cases: 20, max_shrink_time: 60_000, ..ProptestConfig::default() })]

    #[test]
    fn frozen_owners_lose_their_names(steps in prop::collection::vec(step(), 1..60), nodes in 1..3_usize) {
        run(&steps, nodes, Owners::Frozen);
    }
}
