//! Whatever was answered `ok` while the nodes were linked has arrived: once, and in the order of its sender.

use std::cell::RefCell;
use std::collections::HashMap;
use std::rc::Rc;
use std::time::{Duration, Instant};

use futures_util::future::join_all;
use serde_json::json;

use crate::common::rng::Rng;
use crate::engine::{Engine, on_both};
use crate::node::start;
use crate::peer::{Peer, certified};

/// Clients that send all the time, half of them at each node.
const CLIENTS: usize = 8;
/// How long they do.
const TIME: Duration = Duration::from_secs(4);

/// The last number that each sender was told to be delivered, by receiver.
type Delivered = Rc<RefCell<HashMap<(usize, usize), Vec<u64>>>>;

#[actix_web::test]
async fn signals_between_two_nodes_are_delivered_once_and_in_order() {
    on_both(talk_for_a_while).await;
}

async fn talk_for_a_while(engine: Engine) {
    // on a busy machine, an answer may take long
    let nodes: [_; 2] = start(&engine, &["cluster.timeout=2s", "cluster.lease=8s"]).await;
    let mut peers = Vec::new();
    for n in 0..CLIENTS {
        let (id, secret) = certified();
        let address = nodes[n % 2].address();
        let mut peer = Peer::try_join(address, &id, secret).await.unwrap_or_else(|why| panic!("{why}"));
        peer.join_room("all", json!({})).await;
        peers.push(peer);
    }
    let ids: Vec<String> = peers.iter().map(|peer| peer.id.clone()).collect();
    let delivered = Delivered::default();
    let until = Instant::now() + TIME;
    let said = join_all(peers.iter_mut().enumerate().map(|(n, peer)| talk(n, peer, &ids, &delivered, until))).await;
    // each message to the room has been sent before these, on the same way
    for (n, peer) in peers.iter_mut().enumerate() {
        peer.say("all", u64::MAX - n as u64).await;
    }
    for (n, peer) in peers.iter_mut().enumerate() {
        for other in (0..CLIENTS).filter(|other| *other != n) {
            peer.hear_number(u64::MAX - other as u64).await;
        }
    }
    let mut signals = 0;
    for (receiver, peer) in peers.iter_mut().enumerate() {
        let mut heard: HashMap<(usize, bool), Vec<u64>> = HashMap::new();
        for (topic, _, payload) in peer.heard().await {
            let (Some(n), is_room) = (payload["n"].as_u64(), topic == "room:all") else { continue };
            heard.entry(((n >> 32) as usize, is_room)).or_default().push(n);
        }
        for (sender, said) in said.iter().enumerate() {
            let expected = delivered.borrow_mut().remove(&(sender, receiver)).unwrap_or_default();
            signals += expected.len();
            assert_eq!(heard.remove(&(sender, false)).unwrap_or_default(), expected, "signals {sender} -> {receiver}");
            let room = if sender == receiver { Vec::new() } else { said.clone() };
            assert_eq!(heard.remove(&(sender, true)).unwrap_or_default(), room, "messages {sender} -> {receiver}");
        }
        assert!(heard.is_empty(), "{heard:?}");
    }
    println!("{}: {signals} signals, {} messages to a room", engine.name(), said.iter().map(Vec::len).sum::<usize>());
}

/// Signals random peers, several at a time, and speaks in the room. Returns what it has said there.
async fn talk(n: usize, peer: &mut Peer, ids: &[String], delivered: &Delivered, until: Instant) -> Vec<u64> {
    let (mut rng, mut last, mut said) = (Rng(n as u64 + 1), (n as u64) << 32, Vec::new());
    let topic = format!("peer:{}", peer.id);
    while Instant::now() < until {
        let mut waiting = Vec::new();
        for _ in 0..1 + rng.below(5) {
            last += 1;
            if rng.below(4) == 0 {
                let reference = peer.push("room:all", "message", json!({ "n": last })).await;
                waiting.push((reference, None));
                said.push(last);
            } else {
                let to = rng.below(ids.len() as u64) as usize;
                let payload = json!({ "peer_id": ids[to], "n": last });
                waiting.push((peer.push(&topic, "signal", payload).await, Some((to, last))));
            }
        }
        let references: Vec<String> = waiting.iter().map(|(reference, _)| reference.clone()).collect();
        for ((_, signal), reply) in waiting.into_iter().zip(peer.replies(&references).await) {
            assert!(reply.is_ok(), "{signal:?}: {reply:?}");
            if let Some((to, number)) = signal {
                delivered.borrow_mut().entry((n, to)).or_default().push(number);
            }
        }
    }
    said
}
