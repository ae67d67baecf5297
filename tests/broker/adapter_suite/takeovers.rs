//! Names that move between nodes while others claim, signal and watch them.

use std::cell::Cell;
use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::{Duration, Instant};

use tokio::time::sleep;

use crate::common::{Client, id, wait_until};

use super::{A, B, SECRET, Setup, peer, push, rounds};

/// A pause before something is looked at again.
const PAUSE: Duration = Duration::from_millis(2);

const C: &str = "20dd48ca-fdcf-41c9-9a3b-00000000000c";

impl Client {
    /// Reads up to the text message that contains all of `parts`, and returns what came, with it.
    async fn texts_until(&mut self, parts: &[&str]) -> Vec<String> {
        let mut texts = Vec::new();
        loop {
            let text = self.receive().await;
            let is_last = parts.iter().all(|part| text.contains(part));
            texts.push(text);
            if is_last {
                return texts;
            }
        }
    }

    /// What has come, up to the replies to two heartbeats that are sent now (see [`Client::expect_nothing`]).
    async fn texts(&mut self) -> Vec<String> {
        let mut texts = Vec::new();
        for _ in 0..2 {
            self.send(r#"[null,"now","phoenix","heartbeat",{}]"#).await;
            texts.extend(self.texts_until(&[r#"[null,"now","phoenix""#]).await);
            texts.pop();
        }
        texts
    }

    /// Sends a signal to `to`, and returns the status in its reply.
    async fn signal(&mut self, own: &str, to: &str, n: usize) -> String {
        self.send(&push(own, &n.to_string(), "offer", &format!(r#"{{"peer_id":"{to}","n":{n}}}"#))).await;
        let reply = self.receive_until(&format!(r#"["{own}","{n}","peer:{own}","phx_reply""#)).await;
        if reply.contains(r#""status":"ok""#) {
            return "ok".to_owned();
        }
        let (_, reason) = reply.split_once(r#""reason":""#).unwrap();
        reason.split('"').next().unwrap().to_owned()
    }
}

/// The numbers of the signals in these texts, each with how often it is there.
fn signals(texts: &[String]) -> BTreeMap<usize, usize> {
    let mut counts = BTreeMap::new();
    for text in texts.iter().filter(|text| text.contains(r#""offer""#)) {
        let (_, n) = text.split_once(r#""n":"#).unwrap();
        *counts.entry(n.trim_end_matches("}]").parse().unwrap()).or_default() += 1;
    }
    counts
}

impl Setup {
    async fn wait_for_names(&self, count: usize) {
        wait_until(&format!("{count} names have an owner"), || async {
            let mut owned = 0;
            for node in &self.nodes {
                owned += node.pubsub().stats().await.names;
            }
            owned == count
        })
        .await;
    }
}

pub async fn claims_that_cross_leave_one_owner(setup: Setup) {
    let (a, b) = setup.clients().await;
    let (mut claimants, mut witnesses) = ([a, b], [Client::new(setup.a).await, Client::new(setup.b).await]);
    for (witness, own) in witnesses.iter_mut().zip([A, B]) {
        peer(witness, own, "{}").await;
    }
    let (name, begin) = (id(0), Instant::now());
    let (topic, rounds) = (format!("peer:{name}"), rounds(100, 50_000));
    for round in 0..rounds {
        let first = round % 2;
        for n in [first, 1 - first] {
            claimants[n].send(&format!(r#"["j","{round}","{topic}","phx_join",{SECRET}]"#)).await;
        }
        let mut heard = [Vec::new(), Vec::new()];
        let mut verdicts = Vec::new();
        for (n, (witness, own)) in witnesses.iter_mut().zip([A, B]).enumerate() {
            verdicts.push(witness.signal(own, &name, n).await);
        }
        for (claimant, heard) in claimants.iter_mut().zip(&mut heard) {
            heard.extend(claimant.texts_until(&[&topic, &format!(r#""{round}","#), "phx_reply"]).await);
        }
        setup.wait_for_names(3).await;
        for (n, (witness, own)) in witnesses.iter_mut().zip([A, B]).enumerate() {
            verdicts.push(witness.signal(own, &name, 2 + n).await);
        }
        for (claimant, heard) in claimants.iter_mut().zip(&mut heard) {
            heard.extend(claimant.texts().await);
        }
        assert_one_owner(&heard, &verdicts);
        for claimant in &mut claimants {
            claimant.send(&format!(r#"["j","leave","{topic}","phx_leave",{{}}]"#)).await;
            claimant.texts_until(&[r#""leave","#, "phx_reply"]).await;
        }
        setup.wait_for_names(2).await;
    }
    println!("{} claims in {:.1?}", 2 * rounds, begin.elapsed());
    drop((claimants, witnesses));
    setup.wait_until_empty().await;
}

/// The last two signals, sent from both nodes when the claims were decided, are with one owner. Each of the first two,
/// sent meanwhile, is where its verdict says.
fn assert_one_owner(heard: &[Vec<String>; 2], verdicts: &[String]) {
    let [of_a, of_b] = [signals(&heard[0]), signals(&heard[1])];
    let context = format!("verdicts {verdicts:?}, a has {of_a:?} of {:?}, b has {of_b:?} of {:?}", heard[0], heard[1]);
    for (n, verdict) in verdicts.iter().enumerate() {
        let count = of_a.get(&n).unwrap_or(&0) + of_b.get(&n).unwrap_or(&0);
        match verdict.as_str() {
            "ok" => assert_eq!(count, 1, "{context}"),
            "unreachable" => assert!(count <= 1, "{context}"),
            _ => assert_eq!(count, 0, "{context}"),
        }
    }
    assert_eq!(verdicts[2..], ["ok", "ok"], "{context}");
    assert_eq!(of_a.contains_key(&2), of_a.contains_key(&3), "{context}");
}

/// A client that joins `peer:<A>` on the other node, again and again.
struct Mover {
    clients: [Client; 2],
    /// What the owners have received.
    texts: Vec<String>,
    moves: usize,
}

impl Mover {
    async fn new(setup: &Setup) -> Self {
        let (mut a, b) = setup.clients().await;
        peer(&mut a, A, SECRET).await;
        Self { clients: [a, b], texts: Vec::new(), moves: 0 }
    }

    /// Joins on the other node. The former owner is told.
    async fn move_on(&mut self) {
        self.moves += 1;
        let [former, next] = match (&mut self.clients, self.moves % 2) {
            ([a, b], 1) => [a, b],
            ([a, b], _) => [b, a],
        };
        next.send(&push(A, A, "phx_join", SECRET)).await;
        self.texts.extend(next.texts_until(&["phx_reply", r#""status":"ok""#]).await);
        self.texts.extend(former.texts_until(&["phx_close"]).await);
    }

    /// Leaves the name, and returns all that the owners have received.
    async fn leave(mut self) -> Vec<String> {
        let owner = &mut self.clients[self.moves % 2];
        // a leave may overtake signals that were delivered before it
        self.texts.extend(owner.texts().await);
        owner.send(&push(A, "leave", "phx_leave", "{}")).await;
        self.texts.extend(owner.texts_until(&["phx_close"]).await);
        self.texts
    }
}

pub async fn a_signal_during_a_takeover_finds_the_owner(setup: Setup) {
    let mut mover = Mover::new(&setup).await;
    let stops = Rc::new(Cell::new(false));
    let mut signallers = Vec::new();
    for (n, (address, own)) in [(setup.a, B), (setup.b, C)].into_iter().enumerate() {
        let mut client = Client::new(address).await;
        peer(&mut client, own, "{}").await;
        let stops = Rc::clone(&stops);
        signallers.push(actix_web::rt::spawn(async move {
            let mut verdicts = BTreeMap::new();
            for n in (n..).step_by(2).take_while(|_| !stops.get()) {
                verdicts.insert(n, client.signal(own, A, n).await);
            }
            (client, verdicts)
        }));
    }
    for _ in 0..rounds(50, 2_000) {
        mover.move_on().await;
    }
    stops.set(true);
    let mut verdicts = BTreeMap::new();
    let mut clients = Vec::new();
    for signaller in signallers {
        let (client, own) = signaller.await.unwrap();
        verdicts.extend(own);
        clients.push(client);
    }
    let received = signals(&mover.leave().await);
    let statuses: BTreeSet<&str> = verdicts.values().map(String::as_str).collect();
    assert_eq!(statuses, BTreeSet::from(["ok"]), "of {} signals", verdicts.len());
    let missed: Vec<_> = verdicts.keys().filter(|n| !received.contains_key(n)).collect();
    let repeated: Vec<_> = received.iter().filter(|(_, count)| **count > 1).collect();
    assert!(
        missed.is_empty() && repeated.is_empty(),
        "of {}: missed {missed:?}, repeated {repeated:?}",
        verdicts.len()
    );
    drop(clients);
    setup.wait_until_empty().await;
}

/// A client that watches `peer:<A>`, and what it was told.
struct Watcher {
    client: Client,
    events: Vec<&'static str>,
}

impl Watcher {
    async fn new(address: SocketAddr) -> Self {
        let mut client = Client::new(address).await;
        peer(&mut client, B, "{}").await;
        Self { client, events: Vec::new() }
    }

    /// Watches the name, also again. Returns whether it is there.
    async fn watch(&mut self) -> bool {
        self.client.send(&push(B, "w", "watch", &format!(r#"{{"peer_id":"{A}"}}"#))).await;
        let texts = self.client.texts_until(&[r#""w","#, "phx_reply"]).await;
        self.note(&texts);
        texts.last().unwrap().contains(r#""online":true"#)
    }

    fn note(&mut self, texts: &[String]) {
        for event in
            texts.iter().flat_map(|text| ["peer_up", "peer_down"].into_iter().filter(|event| text.contains(event)))
        {
            self.events.push(event);
        }
    }

    /// Waits until the last that it was told is `event`.
    async fn wait_for(&mut self, event: &str) {
        for _ in 0..1_000 {
            if self.events.last() == Some(&event) {
                return;
            }
            let texts = self.client.texts().await;
            self.note(&texts);
            sleep(PAUSE).await;
        }
        panic!("{:?} instead of {event} at the end", self.events);
    }
}

pub async fn a_watcher_knows_in_the_end_whether_a_peer_that_moves_is_there(setup: Setup) {
    for address in [setup.a, setup.b] {
        let mut mover = Mover::new(&setup).await;
        let mut watcher = Watcher::new(address).await;
        assert!(watcher.watch().await);
        for n in 0..rounds(20, 500) {
            mover.move_on().await;
            assert!(watcher.watch().await, "after {n} moves");
        }
        mover.leave().await;
        watcher.wait_for("peer_down").await;
        assert!(!watcher.watch().await);
        let mut next = Mover::new(&setup).await;
        watcher.wait_for("peer_up").await;
        next.move_on().await;
        next.leave().await;
        watcher.wait_for("peer_down").await;
        let is_alternating = watcher.events.windows(2).all(|pair| pair[0] != pair[1]);
        assert!(is_alternating && watcher.events.first() == Some(&"peer_down"), "{:?}", watcher.events);
        drop(watcher);
        setup.wait_until_empty().await;
    }
}
