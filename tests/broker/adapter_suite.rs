//! A test suite that runs for every adapter.
//!
//! Each case gets the addresses of its two clients. With the local adapter both connect to one node; every other
//! adapter puts them on different nodes, and the clients must see no difference.

mod peerjs;
mod takeovers;

use std::any::Any;
use std::net::SocketAddr;
use std::time::Instant;

use handclasp::{Node, Topic};
use peerjs::{
    a_peerjs_client_can_reconnect_on_the_other_node, expired_signals_are_reported_once_to_their_sender,
    held_signals_reach_their_peer_in_order_on_any_node,
};
use takeovers::{
    a_signal_during_a_takeover_finds_the_owner, a_watcher_knows_in_the_end_whether_a_peer_that_moves_is_there,
    claims_that_cross_leave_one_owner,
};

use crate::common::memory_engine::Knobs;
use crate::common::nats::NatsServer;
use crate::common::redis::RedisServer;
use crate::common::shared_adapter::{EngineCluster, configured_node, wait_until_acquainted};
use crate::common::{Client, config, node, wait_until, wait_until_empty};

const A: &str = "20dd48ca-fdcf-41c9-9a3b-00000000000a";
const B: &str = "20dd48ca-fdcf-41c9-9a3b-00000000000b";
const SECRET: &str = r#"{"secret":"AAAAAAAAAAAAAAAAAAAAAA"}"#;

/// Selects the delays.
const SEED: u64 = 19;
/// Limits that these few clients never reach.
const LIMITS: [&str; 3] =
    ["limits.joins_burst=100000000", "limits.messages_burst=100000000", "limits.not_found_burst=100000000"];

/// How often a case that looks for races tries: `standard` times, or what `CLUSTER_ROUNDS` says, which is a number, or
/// `full` for `full` times (`make cluster-rounds`).
fn rounds(standard: usize, full: usize) -> usize {
    match std::env::var("CLUSTER_ROUNDS").as_deref() {
        Ok("full") => full,
        Ok(number) => number.parse().unwrap(),
        Err(_) => standard,
    }
}

/// The addresses of the two clients, and the nodes behind them.
struct Setup {
    a: SocketAddr,
    b: SocketAddr,
    nodes: Vec<Node>,
    /// What connects the nodes. `None` if the test cannot look into it.
    cluster: Option<EngineCluster>,
    /// The engine's server or servers. They are killed with this.
    _server: Option<Box<dyn Any>>,
}

impl Setup {
    async fn local() -> Self {
        let node = node(&LIMITS);
        Self { a: node.address(), b: node.address(), nodes: vec![node], cluster: None, _server: None }
    }

    /// Two nodes, whose messages arrive at once.
    async fn memory() -> Self {
        Self::over(Knobs::default()).await
    }

    /// Two nodes, whose messages are delayed and overtake each other.
    async fn shaken() -> Self {
        Self::over(Knobs::shaken(SEED)).await
    }

    /// The same, over an engine of several servers.
    async fn several_servers() -> Self {
        Self::over(Knobs { has_several_servers: true, ..Knobs::shaken(SEED) }).await
    }

    async fn over(knobs: Knobs) -> Self {
        let cluster = EngineCluster::new(knobs);
        let (a, b) = (cluster.node("a", config(&LIMITS)).await, cluster.node("b", config(&LIMITS)).await);
        wait_until_acquainted([&a, &b]).await;
        Self { a: a.address(), b: b.address(), nodes: vec![a, b], cluster: Some(cluster), _server: None }
    }

    async fn redis() -> Self {
        let server = RedisServer::start(&[]);
        Self::at("redis", &server.url(), Box::new(server)).await
    }

    async fn nats() -> Self {
        let server = NatsServer::start();
        Self::at("nats", &server.url(), Box::new(server)).await
    }

    /// Each node uses another one of three servers.
    async fn nats_cluster() -> Self {
        let servers = NatsServer::cluster(3);
        let urls = [servers[0].url(), servers[1].url()];
        Self::at_each("nats", [&urls[0], &urls[1]], Box::new(servers)).await
    }

    /// Two nodes that use a server.
    async fn at(engine: &str, url: &str, server: Box<dyn Any>) -> Self {
        Self::at_each(engine, [url, url], server).await
    }

    async fn at_each(engine: &str, urls: [&str; 2], server: Box<dyn Any>) -> Self {
        // in so many rounds, one answer may take long
        let patient: &[&str] = match std::env::var("CLUSTER_ROUNDS") {
            Ok(_) => &["cluster.timeout=2s", "cluster.lease=8s"],
            Err(_) => &[],
        };
        let sets = [&LIMITS, patient].concat();
        let [a, b] = [("a", urls[0]), ("b", urls[1])].map(|(name, url)| configured_node(engine, url, name, &sets));
        let (a, b) = (a.await, b.await);
        wait_until_acquainted([&a, &b]).await;
        Self { a: a.address(), b: b.address(), nodes: vec![a, b], cluster: None, _server: Some(server) }
    }

    async fn clients(&self) -> (Client, Client) {
        (Client::new(self.a).await, Client::new(self.b).await)
    }

    /// Waits until the nodes and the cluster hold nothing, once all clients have left.
    async fn wait_until_empty(&self) {
        for node in &self.nodes {
            wait_until_empty(node).await;
        }
        if let Some(cluster) = &self.cluster {
            wait_until("an empty cluster", || async { cluster.hub.is_empty() }).await;
        }
    }
}

macro_rules! suite {
    (@adapters [$($adapter:ident)*] $cases:tt) => {
        $(suite!(@adapter $adapter $cases);)*
    };
    (@adapter $adapter:ident [$($case:ident,)*]) => {
        mod $adapter {
            $(#[actix_web::test] async fn $case() { super::$case(super::Setup::$adapter().await).await; })*
        }
    };
    ($($case:ident),* $(,)?) => {
        suite!(@adapters [local memory shaken several_servers redis nats nats_cluster] [$($case,)*]);
    };
}

suite!(
    a_signal_reaches_its_peer_and_is_acknowledged,
    a_name_has_one_owner,
    the_same_secret_takes_over_a_name,
    a_room_receives_each_message_once_and_in_order,
    a_message_to_several_rooms_reaches_each_client_once,
    a_client_receives_only_the_topics_it_joined,
    a_watcher_is_notified_of_joins_and_leaves,
    a_presence_list_is_the_same_on_all_nodes,
    the_servers_own_code_can_ask_all_nodes,
    held_signals_reach_their_peer_in_order_on_any_node,
    expired_signals_are_reported_once_to_their_sender,
    a_peerjs_client_can_reconnect_on_the_other_node,
    a_message_after_the_ok_of_a_join_arrives,
    claims_that_cross_leave_one_owner,
    a_signal_during_a_takeover_finds_the_owner,
    a_watcher_knows_in_the_end_whether_a_peer_that_moves_is_there,
);

async fn peer(client: &mut Client, id: &str, payload: &str) {
    client.join(id, &format!("peer:{id}"), payload).await;
}

fn push(id: &str, reference: &str, event: &str, payload: &str) -> String {
    format!(r#"["{id}","{reference}","peer:{id}","{event}",{payload}]"#)
}

fn reply(id: &str, reference: &str, status: &str, response: &str) -> String {
    format!(r#"["{id}","{reference}","peer:{id}","phx_reply",{{"status":"{status}","response":{response}}}]"#)
}

async fn a_signal_reaches_its_peer_and_is_acknowledged(setup: Setup) {
    let (mut a, mut b) = setup.clients().await;
    peer(&mut a, A, "{}").await;
    let offer = push(A, "2", "offer", &format!(r#"{{"peer_id":"{B}","sdp":"x"}}"#));
    a.exchange(&offer, &reply(A, "2", "error", r#"{"reason":"peer_not_found"}"#)).await;
    peer(&mut b, B, "{}").await;
    for n in 0..50 {
        let offer = push(A, "3", "offer", &format!(r#"{{"peer_id":"{B}","n":{n}}}"#));
        a.send(&offer).await;
    }
    for n in 0..50 {
        b.expect(&format!(r#"[null,null,"peer:{B}","offer",{{"peer_id":"{A}","n":{n}}}]"#)).await;
        a.expect(&reply(A, "3", "ok", "{}")).await;
    }
    a.send(&push(A, "4", "connect", &format!(r#"{{"peer_id":"{B}"}}"#))).await;
    b.expect(&format!(r#"[null,null,"peer:{B}","peer_connect",{{"peer_id":"{A}"}}]"#)).await;
    drop((a, b));
    setup.wait_until_empty().await;
}

async fn a_name_has_one_owner(setup: Setup) {
    let (mut a, mut b) = setup.clients().await;
    peer(&mut a, A, "{}").await;
    let taken = reply(A, A, "error", r#"{"reason":"taken"}"#);
    b.exchange_while_alive(&mut a, &push(A, A, "phx_join", "{}"), &taken).await;
    // a moment later, the owner is not pinged again
    b.send(&push(A, A, "phx_join", SECRET)).await;
    b.expect(&reply(A, A, "error", r#"{"reason":"taken"}"#)).await;
    a.send(&push(A, "9", "phx_leave", "{}")).await;
    a.receive_until("phx_close").await;
    peer(&mut b, A, "{}").await;
    drop((a, b));
    setup.wait_until_empty().await;
}

async fn the_same_secret_takes_over_a_name(setup: Setup) {
    let (mut a, mut b) = setup.clients().await;
    peer(&mut a, A, SECRET).await;
    peer(&mut b, A, SECRET).await;
    a.expect(&format!(r#"["{A}","{A}","peer:{A}","phx_close",{{}}]"#)).await;
    // and back again: the older owner's disconnect must not release the name
    peer(&mut a, A, SECRET).await;
    b.expect(&format!(r#"["{A}","{A}","peer:{A}","phx_close",{{}}]"#)).await;
    drop(b);
    let mut third = Client::new(setup.b).await;
    peer(&mut third, B, "{}").await;
    third.send(&push(B, "2", "offer", &format!(r#"{{"peer_id":"{A}"}}"#))).await;
    a.expect(&format!(r#"[null,null,"peer:{A}","offer",{{"peer_id":"{B}"}}]"#)).await;
    third.expect(&reply(B, "2", "ok", "{}")).await;
    drop((a, third));
    setup.wait_until_empty().await;
}

async fn a_room_receives_each_message_once_and_in_order(setup: Setup) {
    let (mut a, mut b) = setup.clients().await;
    let mut c = Client::new(setup.b).await;
    for client in [&mut a, &mut b, &mut c] {
        client.join("1", "room:r", "{}").await;
    }
    for n in 0..50 {
        a.send(&format!(r#"["1","{n}","room:r","msg",{{"n":{n}}}]"#)).await;
    }
    for n in 0..50 {
        let expected = format!(r#"[null,null,"room:r","msg",{{"n":{n}}}]"#);
        b.expect(&expected).await;
        c.expect(&expected).await;
    }
    b.expect_nothing().await;
    drop((a, b, c));
    setup.wait_until_empty().await;
}

async fn a_message_after_the_ok_of_a_join_arrives(setup: Setup) {
    let mut b = Client::new(setup.b).await;
    let (sender, rounds, begin) = (setup.nodes[0].pubsub(), rounds(300, 10_000), Instant::now());
    for n in 0..rounds {
        let name = format!("room:{n}");
        b.join("1", &name, "{}").await;
        sender.broadcast(&Topic::parse(&name).unwrap(), "msg", serde_json::json!({}));
        b.expect(&format!(r#"[null,null,"{name}","msg",{{}}]"#)).await;
        b.send(&format!(r#"["1","2","{name}","phx_leave",{{}}]"#)).await;
        b.receive_until("phx_close").await;
    }
    println!("{rounds} joins, each with a message, in {:.1?}", begin.elapsed());
    drop(b);
    setup.wait_until_empty().await;
}

async fn a_message_to_several_rooms_reaches_each_client_once(setup: Setup) {
    let addresses = [setup.a, setup.a, setup.b, setup.b];
    let mut clients = Vec::new();
    for address in addresses {
        let mut client = Client::open(address, "/socket.io/?EIO=4&transport=websocket", &[]).await;
        client.send("40").await;
        client.receive_until("40{").await;
        for room in ["one", "two", "three"] {
            client.exchange(&format!(r#"421["join","{room}"]"#), "431[{}]").await;
        }
        clients.push(client);
    }
    let [sender, others @ ..] = &mut clients[..] else { unreachable!() };
    for n in 0..50 {
        sender.send(&format!(r#"42["message",{n}]"#)).await;
    }
    for other in others {
        for n in 0..50 {
            other.expect(&format!(r#"42["message",{n}]"#)).await;
        }
        other.exchange("40/end", r#"44/end,{"message":"Invalid namespace"}"#).await;
    }
    drop(clients);
    setup.wait_until_empty().await;
}

async fn a_client_receives_only_the_topics_it_joined(setup: Setup) {
    let (mut a, mut b) = setup.clients().await;
    let (mut outsider, mut left) = (Client::new(setup.a).await, Client::new(setup.b).await);
    a.join("1", "room:r", "{}").await;
    b.join("1", "room:r", "{}").await;
    for client in [&mut outsider, &mut left] {
        client.join("1", "room:r2", r#"{"meta":{}}"#).await;
        client.receive_until("presence_state").await;
    }
    left.join("2", "room:r", "{}").await;
    left.send(r#"["2","3","room:r","phx_leave",{}]"#).await;
    left.receive_until("phx_close").await;
    a.send(r#"["1","2","room:r","msg",{}]"#).await;
    b.expect(r#"[null,null,"room:r","msg",{}]"#).await;
    for mut client in [outsider, left] {
        client.send(r#"[null,"quiet","phoenix","heartbeat",{}]"#).await;
        loop {
            let text = client.receive().await;
            assert!(!text.contains("msg"), "{text}");
            if text.contains("quiet") {
                break;
            }
        }
    }
    drop((a, b));
    setup.wait_until_empty().await;
}

async fn a_watcher_is_notified_of_joins_and_leaves(setup: Setup) {
    let (mut a, mut b) = setup.clients().await;
    peer(&mut a, A, "{}").await;
    let watch = push(A, "2", "watch", &format!(r#"{{"peer_id":"{B}"}}"#));
    a.exchange(&watch, &reply(A, "2", "ok", r#"{"online":false}"#)).await;
    peer(&mut b, B, "{}").await;
    a.expect(&format!(r#"["{A}",null,"peer:{A}","peer_up",{{"peer_id":"{B}"}}]"#)).await;
    drop(b);
    a.expect(&format!(r#"["{A}",null,"peer:{A}","peer_down",{{"peer_id":"{B}"}}]"#)).await;
    let mut b = Client::new(setup.b).await;
    peer(&mut b, B, "{}").await;
    a.expect(&format!(r#"["{A}",null,"peer:{A}","peer_up",{{"peer_id":"{B}"}}]"#)).await;
    let mut late = Client::new(setup.a).await;
    let id = "20dd48ca-fdcf-41c9-9a3b-00000000000c";
    peer(&mut late, id, "{}").await;
    let watch = push(id, "2", "watch", &format!(r#"{{"peer_id":"{B}"}}"#));
    late.exchange(&watch, &reply(id, "2", "ok", r#"{"online":true}"#)).await;
    a.send(&push(A, "3", "unwatch", &format!(r#"{{"peer_id":"{B}"}}"#))).await;
    a.expect(&reply(A, "3", "ok", "{}")).await;
    drop(b);
    late.receive_until("peer_down").await;
    a.expect_nothing().await;
    drop((a, late));
    setup.wait_until_empty().await;
}

async fn a_presence_list_is_the_same_on_all_nodes(setup: Setup) {
    let (mut a, mut b) = setup.clients().await;
    peer(&mut a, A, "{}").await;
    a.join("1", "room:r", r#"{"meta":{"n":1}}"#).await;
    let diff = a.receive_until("presence_diff").await;
    assert!(diff.contains(A) && diff.contains(r#""n":1"#), "{diff}");
    // the new member learns of the first one from the state or from a later diff
    b.join("1", "room:r", r#"{"presence":true}"#).await;
    let known = b.receive_until(A).await;
    assert!(known.contains(r#""n":1"#), "{known}");
    a.send(r#"["1","2","room:r","update_meta",{"n":2}]"#).await;
    let diff = b.receive_until(r#""n":2"#).await;
    assert!(diff.contains(r#""leaves":{""#) && diff.contains(r#""n":1"#), "{diff}");
    drop(a);
    let diff = b.receive_until(r#""joins":{}"#).await;
    assert!(diff.contains(A) && diff.contains(r#""n":2"#), "{diff}");
    drop(b);
    setup.wait_until_empty().await;
}

async fn the_servers_own_code_can_ask_all_nodes(setup: Setup) {
    let (mut a, mut b) = setup.clients().await;
    for (client, id) in [(&mut a, A), (&mut b, B)] {
        peer(client, id, "{}").await;
        client.join("1", "room:r", r#"{"meta":{}}"#).await;
    }
    let room = Topic::parse("room:r").unwrap();
    for node in &setup.nodes {
        let pubsub = node.pubsub();
        wait_until("both entries are known", || async { pubsub.stats().await.presence_entries == 2 }).await;
    }
    for node in &setup.nodes {
        let (census, presence) = (node.pubsub().census().await, node.pubsub().presence_on_all_nodes(&room).await);
        assert_eq!((census.nodes.len(), census.silent.len()), (setup.nodes.len(), 0));
        assert_eq!(census.nodes.iter().map(|(_, stats)| stats.members).sum::<usize>(), 4);
        assert_eq!(census.nodes[0].1, node.pubsub().stats().await, "this node is the first");
        assert!(presence.list.keys().eq([A, B]) && presence.silent.is_empty(), "{presence:?}");
    }
    drop((a, b));
    setup.wait_until_empty().await;
}

#[actix_web::test]
async fn a_node_that_does_not_reply_is_unreachable_and_not_absent() {
    let setup = Setup::memory().await;
    let hub = &setup.cluster.as_ref().unwrap().hub;
    let (mut a, mut b) = setup.clients().await;
    peer(&mut a, A, "{}").await;
    peer(&mut b, B, "{}").await;
    a.join("r", "room:r", r#"{"presence":true}"#).await;
    b.join("r", "room:r", r#"{"meta":{"from":"b"}}"#).await;
    a.receive_until(r#""from":"b""#).await;
    a.send(&push(A, "w", "watch", &format!(r#"{{"peer_id":"{B}"}}"#))).await;
    a.expect(&reply(A, "w", "ok", r#"{"online":true}"#)).await;
    hub.freeze("b");
    let offer = push(A, "2", "offer", &format!(r#"{{"peer_id":"{B}"}}"#));
    a.exchange(&offer, &reply(A, "2", "error", r#"{"reason":"unreachable"}"#)).await;
    assert_eq!(setup.nodes[0].pubsub().census().await.silent, ["b"]);
    // with a failing adapter, the node still delivers between its own clients
    let mut neighbour = Client::new(setup.a).await;
    neighbour.join("1", "room:r", "{}").await;
    neighbour.send(r#"["1","2","room:r","msg",{}]"#).await;
    a.expect(r#"[null,null,"room:r","msg",{}]"#).await;
    // once its lease is over, its names and its presence entries are gone
    let received = [a.receive().await, a.receive().await];
    assert!(received.contains(&format!(r#"["{A}",null,"peer:{A}","peer_down",{{"peer_id":"{B}"}}]"#)), "{received:?}");
    let diff = received.iter().find(|text| text.contains("presence_diff")).unwrap();
    assert!(diff.contains(r#""joins":{}"#) && diff.contains(r#""from":"b""#), "{diff}");
    a.exchange(&offer, &reply(A, "2", "error", r#"{"reason":"peer_not_found"}"#)).await;
}
