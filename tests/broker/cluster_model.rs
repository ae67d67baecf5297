//! What holds once three nodes are quiet, after clients did many things at once while messages took their time, overtook
//! each other and were lost: the directory, the subscriptions and the presence lists match the nodes' own tables, each
//! request has one reply, no message has arrived twice, and watchers know whether their peers are there.
//!
//! `CLUSTER_SEEDS=500 cargo test --test broker cluster_model` tries more seeds.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use handclasp::{Node, Topic};

use crate::common::cluster::{MemoryCluster, seeds};
use crate::common::rng::Rng;
use crate::common::{Client, TIMEOUT, config, id};

const NODES: [&str; 3] = ["a", "b", "c"];
const CLIENTS: usize = 9;
const ROOMS: usize = 3;
const NAMES: usize = 3;
const STEPS: usize = 150;
/// The number of seeds that are tried without `CLUSTER_SEEDS`.
const SEEDS: u64 = 5;

struct World {
    rng: Rng,
    cluster: MemoryCluster,
    nodes: Vec<Node>,
    clients: Vec<Client>,
    /// The requests that each client has sent, each with its effect on the client's watches.
    sent: Vec<BTreeMap<usize, Option<Watch>>>,
    number: usize,
}

/// A request to start or stop watching a peer.
struct Watch {
    peer: String,
    on: bool,
}

fn room(n: usize) -> String {
    format!("room:{n}")
}

impl World {
    async fn new(seed: u64) -> Self {
        let cluster = MemoryCluster::new(seed, 1 + seed % 4).reordering();
        let sets = ["limits.joins_burst=100000", "limits.not_found_burst=100000", "limits.contest_timeout=50ms"];
        let nodes: Vec<Node> = NODES.iter().map(|name| cluster.node(name, config(&sets))).collect();
        let mut clients = Vec::new();
        for n in 0..CLIENTS {
            clients.push(connect(&nodes, n).await);
        }
        Self {
            rng: Rng(seed),
            cluster,
            nodes,
            clients,
            sent: (0..CLIENTS).map(|_| BTreeMap::new()).collect(),
            number: 0,
        }
    }

    fn below(&mut self, n: usize) -> usize {
        self.rng.below(n as u64) as usize
    }

    /// Sends a request, and does not wait for its reply.
    async fn send(&mut self, client: usize, join_ref: &str, topic: &str, event: &str, payload: &str) {
        let number = self.number;
        self.sent[client].insert(number, None);
        self.clients[client].send(&format!(r#"[{join_ref},"{number}","{topic}","{event}",{payload}]"#)).await;
    }

    async fn run_step(&mut self) {
        self.number += 1;
        let (client, n, number) = (self.below(CLIENTS), self.below(ROOMS), self.number);
        let (name, own) = (format!("peer:{}", id(self.below(NAMES))), format!("peer:{}", id(100 + client)));
        match self.below(100) {
            0..20 => {
                let options = [r#"{"meta":{}}"#, r#"{"presence":true}"#, "{}"][self.below(3)];
                self.send(client, "\"j\"", &room(n), "phx_join", options).await;
            }
            20..30 => self.send(client, "null", &room(n), "phx_leave", "{}").await,
            30..40 => self.send(client, "null", &room(n), "update_meta", &format!(r#"{{"v":{number}}}"#)).await,
            40..55 => self.send(client, "null", &room(n), "msg", &format!(r#"{{"message":{number}}}"#)).await,
            55..68 => {
                self.send(client, "\"j\"", &name, "phx_join", r#"{"secret":"AAAAAAAAAAAAAAAAAAAAAA"}"#).await;
            }
            68..72 => self.send(client, "null", &name, "phx_leave", "{}").await,
            72..86 => {
                let payload = format!(r#"{{"peer_id":"{}","message":{number}}}"#, &name["peer:".len()..]);
                self.send(client, "\"own\"", &own, "offer", &payload).await;
            }
            86..92 => {
                let payload = format!(r#"{{"peer_id":"{}"}}"#, &name["peer:".len()..]);
                let on = self.below(2) == 0;
                self.send(client, "\"own\"", &own, if on { "watch" } else { "unwatch" }, &payload).await;
                self.sent[client].insert(number, Some(Watch { peer: name["peer:".len()..].to_owned(), on }));
            }
            92..94 => self.cluster.make_deaf(NODES[n]),
            94..96 => self.cluster.cure(NODES[n]),
            _ => {
                self.clients[client] = connect(&self.nodes, client).await;
                self.sent[client].clear();
            }
        }
    }

    /// Waits until what the nodes know of each other is what they have themselves.
    async fn wait_until_consistent(&self) {
        NODES.iter().for_each(|node| self.cluster.cure(node));
        let start = Instant::now();
        while let Some(what) = self.disagreement().await {
            assert!(start.elapsed() < TIMEOUT, "{what}");
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    }

    /// What the nodes do not agree on yet.
    async fn disagreement(&self) -> Option<String> {
        if !self.cluster.is_quiet() {
            return Some("messages are under way".to_owned());
        }
        let names = self.cluster.names();
        for (node, name) in self.nodes.iter().zip(NODES) {
            let (owned, held) = (node.pubsub().stats().await.names, names.get(name).copied().unwrap_or_default());
            if owned != held {
                return Some(format!("{name} owns {owned} names, and holds {held} according to the directory"));
            }
        }
        for n in 0..ROOMS {
            let topic = Topic::parse(&room(n)).unwrap();
            let with_members = self.nodes.iter().zip(NODES).filter(|(node, _)| node.pubsub().count(&room(n)) > 0);
            let (with_members, subscribers) =
                (with_members.map(|(_, name)| name).collect::<Vec<_>>(), self.cluster.subscribers(&topic));
            if !with_members.iter().eq(&subscribers) {
                return Some(format!("{with_members:?} have members in {topic}, {subscribers:?} are subscribed"));
            }
            let all = refs(&self.nodes[0].pubsub().presence_on_all_nodes(&topic).await.list);
            for (node, name) in self.nodes.iter().zip(NODES) {
                let known = refs(&node.pubsub().presence(&topic).await);
                // a node keeps no list that none of its members needs
                if known != all && !known.is_empty() {
                    return Some(format!("{topic} has the entries {all:?}, {name} knows {known:?}"));
                }
            }
        }
        None
    }

    /// Each request of a client has one reply, no message has arrived twice, and what was said last about each watched
    /// peer is true.
    async fn check_received(&mut self) {
        for (client, sent) in self.clients.iter_mut().zip(&mut self.sent) {
            let (mut messages, mut online) = (BTreeSet::new(), BTreeMap::new());
            let is_true = |online: &BTreeMap<String, bool>| {
                online.iter().all(|(peer, online)| self.cluster.has_owner(&format!("peer:{peer}")) == *online)
            };
            client.send(r#"[null,"end","phoenix","heartbeat",{}]"#).await;
            let mut has_ended = false;
            while !has_ended || !sent.is_empty() || !is_true(&online) {
                let text = client.receive().await;
                has_ended |= text.contains(r#"null,"end","phoenix""#);
                let value: serde_json::Value = serde_json::from_str(&text).unwrap();
                let peer = value[4]["peer_id"].as_str().map(str::to_owned);
                match value[3].as_str().unwrap() {
                    "phx_reply" => {
                        let Some(number) = value[1].as_str().and_then(|number| number.parse().ok()) else { continue };
                        let request = sent.remove(&number).unwrap_or_else(|| panic!("a second reply: {text}"));
                        match (request, value[4]["response"]["online"].as_bool()) {
                            (Some(Watch { peer, on: true }), Some(is_online)) => drop(online.insert(peer, is_online)),
                            (Some(Watch { peer, on: false }), _) => drop(online.remove(&peer)),
                            _ => {}
                        }
                    }
                    // it may come after the reply to an unwatch
                    event @ ("peer_up" | "peer_down") => {
                        online.entry(peer.unwrap()).and_modify(|online| *online = event == "peer_up");
                    }
                    _ => {
                        if let Some(message) = value[4]["message"].as_u64() {
                            let is_first = messages.insert((value[2].to_string(), message));
                            assert!(is_first, "received twice: {text}");
                        }
                    }
                }
            }
        }
    }

    async fn end(mut self) {
        self.wait_until_consistent().await;
        self.check_received().await;
        self.clients.clear();
        self.cluster.stop_empty(self.nodes).await;
    }
}

/// A client with a name of its own.
async fn connect(nodes: &[Node], n: usize) -> Client {
    let mut client = Client::new(nodes[n % nodes.len()].address()).await;
    client.join("own", &format!("peer:{}", id(100 + n)), r#"{"secret":"AAAAAAAAAAAAAAAAAAAAAA"}"#).await;
    client
}

/// The `ref`s of a presence list.
fn refs(list: &handclasp::message::PresenceList) -> BTreeSet<String> {
    let text = |meta: &handclasp::Payload| match meta {
        handclasp::Payload::Json(text) => text.to_string(),
        other => panic!("{other:?}"),
    };
    let reference = |text: String| {
        let value: serde_json::Value = serde_json::from_str(&text).unwrap();
        value["phx_ref"].as_str().unwrap().to_owned()
    };
    list.values().flatten().map(text).map(reference).collect()
}

#[actix_web::test]
async fn nodes_agree_once_they_are_quiet() {
    for seed in seeds(SEEDS) {
        println!("seed {seed}");
        let mut world = World::new(seed).await;
        for _ in 0..STEPS {
            world.run_step().await;
        }
        world.end().await;
    }
}
