//! Whatever clients do, in whatever order and on whatever node: the registries are what a simple model
//! says, nobody hears what is not theirs, every request is answered once, and nothing is left at the end.

use std::collections::{BTreeMap, BTreeSet};

use handclasp::Node;
use proptest::prelude::*;

use crate::common::cluster::MemoryCluster;
use crate::common::{self, Client, Received, config, id, wait_until, wait_until_empty};

const CLIENTS: usize = 5;
const ROOMS: usize = 3;
const PEERS: usize = 3;

/// What one client does next.
#[derive(Clone, Debug)]
enum Step {
    JoinRoom(usize, usize),
    LeaveRoom(usize, usize),
    Shout(usize, usize),
    Claim(usize, usize),
    Release(usize, usize),
    Signal(usize, usize),
    /// The connection is reset, and a new client takes the place.
    Die(usize),
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
        1 => client.prop_map(Step::Die),
    ]
}

/// Who should be where.
#[derive(Default)]
struct Model {
    rooms: BTreeMap<usize, BTreeSet<usize>>,
    peers: BTreeMap<usize, usize>,
}

struct World {
    nodes: Vec<Node>,
    clients: Vec<Client>,
    model: Model,
    /// Numbers everything that is said, so that each message is known again.
    said: usize,
}

fn room(n: usize) -> String {
    format!("room:{n}")
}

impl World {
    async fn new(nodes: Vec<Node>) -> Self {
        let mut clients = Vec::new();
        for n in 0..CLIENTS {
            let mut client = Client::new(nodes[n % nodes.len()].address()).await;
            client.join("own", &format!("peer:{}", id(100 + n)), "{}").await;
            clients.push(client);
        }
        Self { nodes, clients, model: Model::default(), said: 0 }
    }

    async fn take(&mut self, step: &Step) {
        self.said += 1;
        match *step {
            Step::JoinRoom(client, n) => {
                self.ask(client, &room(n), "phx_join", "{}", "ok").await;
                self.model.rooms.entry(n).or_default().insert(client);
            }
            Step::LeaveRoom(client, n) => {
                self.ask(client, &room(n), "phx_leave", "{}", "ok").await;
                self.model.rooms.entry(n).or_default().remove(&client);
            }
            Step::Shout(client, n) => self.shout(client, n).await,
            Step::Claim(client, n) => self.claim(client, n).await,
            Step::Release(client, n) => {
                self.ask(client, &format!("peer:{}", id(n)), "phx_leave", "{}", "ok").await;
                if self.model.peers.get(&n) == Some(&client) {
                    self.model.peers.remove(&n);
                }
                // its answer does not wait for the registry: until that has heard, a signal still finds the queue
                self.agrees(None).await;
            }
            Step::Signal(client, n) => self.signal(client, n).await,
            Step::Die(client) => self.die(client).await,
        }
    }

    /// Sends a request and hears its one answer. A join of what is joined already ends the older join
    /// too, and so does a leave; both words may stand between the answers.
    async fn ask(&mut self, client: usize, topic: &str, event: &str, payload: &str, status: &str) -> String {
        let (said, join_ref) = (self.said, if event == "phx_join" { "\"j\"" } else { "null" });
        let client = &mut self.clients[client];
        client.send(&format!(r#"[{join_ref},"{said}","{topic}","{event}",{payload}]"#)).await;
        loop {
            let text = client.receive().await;
            if text.contains("phx_close") {
                continue;
            }
            assert!(text.contains(&format!(r#","{said}","{topic}","phx_reply""#)), "asked {said}: {text}");
            assert!(text.contains(&format!(r#""status":"{status}""#)), "{event} {topic}: {text}");
            return text;
        }
    }

    async fn shout(&mut self, client: usize, n: usize) {
        let members = self.model.rooms.get(&n).cloned().unwrap_or_default();
        let status = if members.contains(&client) { "ok" } else { "error" };
        let payload = format!(r#"{{"said":{}}}"#, self.said);
        self.ask(client, &room(n), "msg", &payload, status).await;
        if status == "ok" {
            for member in members.into_iter().filter(|member| *member != client) {
                self.receive(member, &room(n), "msg", &payload).await;
            }
        }
    }

    /// The next thing that a client hears, other than that an older join has ended, is this.
    async fn receive(&mut self, client: usize, topic: &str, event: &str, payload: &str) {
        let want = format!(r#"[null,null,"{topic}","{event}",{payload}]"#);
        loop {
            let text = self.clients[client].receive().await;
            if text.contains("phx_close") {
                continue;
            }
            assert_eq!(text, want);
            return;
        }
    }

    async fn claim(&mut self, client: usize, n: usize) {
        let free = self.model.peers.get(&n).is_none_or(|holder| *holder == client);
        let status = if free { "ok" } else { "error" };
        self.ask(client, &format!("peer:{}", id(n)), "phx_join", "{}", status).await;
        if free {
            self.model.peers.insert(n, client);
        }
    }

    async fn signal(&mut self, client: usize, n: usize) {
        let holder = self.model.peers.get(&n).copied();
        let own = id(100 + client);
        let (said, to) = (self.said, id(n));
        let say = format!(r#"["own","{said}","peer:{own}","offer",{{"peer_id":"{to}","said":{said}}}]"#);
        self.clients[client].send(&say).await;
        let signal = format!(r#"{{"peer_id":"{own}","said":{said}}}"#);
        let status = if holder.is_some() { "ok" } else { "error" };
        let verdict =
            |text: &str| text.contains(&format!(r#","{said}","#)) && text.contains(&format!(r#":"{status}""#));
        // to oneself, the signal and its verdict come in either order
        let (mut heard, mut answered) = (holder != Some(client), false);
        while !(heard && answered) {
            let text = self.clients[client].receive().await;
            if verdict(&text) {
                answered = true;
            } else if text.contains(&signal) {
                assert!(!heard, "twice, or not mine: {text}");
                heard = true;
            } else {
                assert!(text.contains("phx_close"), "{text}");
            }
        }
        if let Some(holder) = holder.filter(|holder| *holder != client) {
            self.receive(holder, &format!("peer:{to}"), "offer", &signal).await;
        }
    }

    async fn die(&mut self, client: usize) {
        let address = self.nodes[client % self.nodes.len()].address();
        let dead = std::mem::replace(&mut self.clients[client], Client::new(address).await);
        socket2::SockRef::from(&dead.stream).set_linger(Some(std::time::Duration::ZERO)).unwrap();
        drop(dead);
        for members in self.model.rooms.values_mut() {
            members.remove(&client);
        }
        self.model.peers.retain(|_, holder| *holder != client);
        self.agrees(Some(client)).await;
        self.clients[client].join("own", &format!("peer:{}", id(100 + client)), "{}").await;
    }

    /// Every registry holds what the model says, once what is on its way has arrived. Each client also
    /// has a name of its own, but for one that has just died.
    async fn agrees(&self, dead: Option<usize>) {
        for (at, node) in self.nodes.iter().enumerate() {
            let here = |client: &&usize| **client % self.nodes.len() == at;
            let in_rooms: usize = self.model.rooms.values().map(|members| members.iter().filter(here).count()).sum();
            let rooms = self.model.rooms.values().filter(|members| members.iter().any(|client| here(&client))).count();
            let own = (0..CLIENTS).filter(|client| here(&client) && Some(*client) != dead).count();
            let names = own + self.model.peers.values().filter(here).count();
            let pubsub = node.pubsub();
            wait_until("the registry is what the model says", || async {
                let census = pubsub.census().await;
                (census.members, census.topics, census.names) == (in_rooms + names, rooms + names, names)
            })
            .await;
        }
    }

    async fn end(mut self, cluster: MemoryCluster) {
        self.agrees(None).await;
        for client in &mut self.clients {
            // nobody has heard anything that the model did not expect
            client.send(r#"[null,"end","phoenix","heartbeat",{}]"#).await;
            loop {
                let text = client.receive().await;
                assert!(text.contains("phx_close") || text.contains("\"end\""), "nobody expected {text}");
                if text.contains("\"end\"") {
                    break;
                }
            }
        }
        self.clients.clear();
        for node in &self.nodes {
            wait_until_empty(node).await;
        }
        wait_until("an empty directory", || async { cluster.is_empty() }).await;
        for node in self.nodes {
            node.stop().await;
        }
    }
}

/// Nothing that these few clients do is too much.
const LIFTED: [&str; 2] = ["limits.not_found_burst=100000", "limits.joins_burst=100000"];

fn run(steps: &[Step], nodes: usize) {
    actix_web::rt::System::new().block_on(async {
        let cluster = MemoryCluster::default();
        let nodes = (0..nodes).map(|n| cluster.node(&format!("n{n}"), config(&LIFTED))).collect();
        let mut world = World::new(nodes).await;
        for step in steps {
            world.take(step).await;
        }
        world.end(cluster).await;
    });
}

/// One frame of a client that waits for nothing.
#[derive(Clone, Debug)]
struct Words {
    event: &'static str,
    topic: &'static str,
    join_ref: Option<u8>,
}

fn words() -> impl Strategy<Value = Words> {
    const EVENTS: [&str; 8] =
        ["phx_join", "phx_join", "phx_leave", "msg", "offer", "watch", "update_meta", "phx_close"];
    const TOPICS: [&str; 6] =
        ["room:a", "room:b", "peer:20dd48ca-fdcf-41c9-9a3b-000000000001", "broker:match", "none", "phoenix"];
    (prop::sample::select(&EVENTS[..]), prop::sample::select(&TOPICS[..]), prop::option::of(0..3_u8))
        .prop_map(|(event, topic, join_ref)| Words { event, topic, join_ref })
}

/// Says everything at once; then listens until all is quiet, and returns how often each was answered.
async fn answers(client: &mut Client, all: &[Words]) -> BTreeMap<usize, usize> {
    for (n, Words { event, topic, join_ref }) in all.iter().enumerate() {
        let join_ref = join_ref.map_or("null".into(), |n| format!("\"{n}\""));
        let payload = r#"{"peer_id":"20dd48ca-fdcf-41c9-9a3b-000000000001","meta":{"a":[1]}}"#;
        client.send(&format!(r#"[{join_ref},{n},"{topic}","{event}",{payload}]"#)).await;
    }
    // a last join is confirmed after all that the registry was asked before
    client.send(r#"["end","end","room:end","phx_join",{}]"#).await;
    let mut counts = BTreeMap::new();
    loop {
        let text = client.receive().await;
        let message: serde_json::Value = serde_json::from_str(&text).unwrap();
        if message[1] == "end" {
            return counts;
        }
        if message[3] == "phx_reply" {
            *counts.entry(message[1].as_u64().unwrap() as usize).or_default() += 1;
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 100, max_shrink_time: 60_000, ..ProptestConfig::default() })]

    #[test]
    fn one_node_is_what_the_model_says(steps in prop::collection::vec(step(), 1..80)) {
        run(&steps, 1);
    }

    #[test]
    fn two_nodes_are_what_the_model_says(steps in prop::collection::vec(step(), 1..80)) {
        run(&steps, 2);
    }

    #[test]
    fn whatever_is_said_at_once_is_answered_at_most_once(all in prop::collection::vec(words(), 1..60)) {
        actix_web::rt::System::new().block_on(async {
            let node = common::node(&LIFTED);
            let mut client = Client::new(node.address()).await;
            for (n, count) in answers(&mut client, &all).await {
                assert_eq!(count, 1, "request {n}, {:?}, in {all:?}", all[n]);
            }
            drop(client);
            wait_until_empty(&node).await;
            node.stop().await;
        });
    }

    #[test]
    fn any_frame_is_answered_or_closed_with_a_code(
        text in any::<bool>(),
        bytes in prop_oneof![
            prop::collection::vec(any::<u8>(), 0..200),
            "\\[(null|\"[a-z]{0,3}\"|[0-9]{1,3}),(null|1),\"[a-z:*]{0,9}\",\"(phx_join|phx_leave|msg)\",[{}0-9\"a]{0,4}\\]".prop_map(String::into_bytes),
            (prop::collection::vec(0..6_u8, 4), prop::collection::vec(any::<u8>(), 0..30))
                .prop_map(|(lengths, rest)| [vec![0], lengths, rest].concat()),
        ],
    ) {
        actix_web::rt::System::new().block_on(async {
            let node = common::node(&[]);
            for path in ["/socket/websocket?vsn=2.0.0", "/socket/websocket"] {
                let mut client = Client::open(node.address(), path, &[]).await;
                client.raw(&common::frame(if text { 0x81 } else { 0x82 }, &bytes)).await;
                client.raw(&common::frame(0x89, b"still there?")).await;
                loop {
                    match client.receive_any().await {
                        Received::Pong(_) => break,
                        Received::Close(code, _) => {
                            assert!(matches!(code, 1007 | 1011), "{code}");
                            break;
                        }
                        Received::Eof => panic!("ended without a close frame"),
                        Received::Text(_) | Received::Binary(_) | Received::Ping(_) => {}
                    }
                }
            }
            node.stop().await;
        });
    }
}
