//! The suite for the engine in memory: as simple as possible, with delays and reordering, and with several servers.

use std::rc::Rc;
use std::time::Duration;

use bytes::Bytes;
use handclasp::cluster::engine::{ClaimResult, Engine, EngineEvents, Lease, LinkError, Lost, Reach};
use tokio::time::sleep;

use crate::common::memory_engine::{Knobs, MemoryHub};
use crate::suite::{Case, Member, Site, block_on, pair};

const LEASE: Duration = Duration::from_secs(2);

/// The delays of each of these seeds.
const SEEDS: [u64; 3] = [1, 2, 3];

impl Site for MemoryHub {
    fn engine(&self) -> Rc<dyn Engine> {
        Rc::new(MemoryHub::engine(self))
    }
}

fn run(case: Case, knobs: impl Fn() -> Knobs + 'static) {
    block_on(async move {
        tokio::time::pause();
        case(Rc::new(MemoryHub::new(knobs()))).await;
    });
}

mod plain {
    engine_suite!(|case| super::run(case, super::Knobs::default));
}

mod shaken {
    engine_suite!(|case| {
        for seed in super::SEEDS {
            super::run(case, move || super::Knobs::shaken(seed));
        }
    });
}

mod several_servers {
    engine_suite!(|case| {
        for seed in super::SEEDS {
            super::run(case, move || super::Knobs { has_several_servers: true, ..super::Knobs::shaken(seed) });
        }
    });
}

/// A case of the hub's own, by a clock that jumps to whatever happens next.
fn at_hub(case: impl AsyncFnOnce(MemoryHub) + 'static) {
    block_on(async {
        tokio::time::pause();
        case(MemoryHub::new(Knobs::shaken(1))).await;
    });
}

async fn beat(member: &Member) -> Result<Lease, Lost> {
    member.engine.heartbeat(LEASE, Bytes::new()).await.map(|heartbeat| heartbeat.lease)
}

#[test]
fn a_frozen_node_hears_nothing_until_it_is_thawed_and_its_lease_runs_out() {
    at_hub(async |hub| {
        let (a, b) = pair(&hub).await;
        assert_eq!((beat(&a).await, beat(&b).await), (Ok(Lease::New), Ok(Lease::New)));
        hub.freeze(&b.id);
        let claim = b.engine.claim("peer:x");
        assert_eq!((beat(&b).await, a.send(&b, b"x").await), (Err(Lost), Reach::Accepted));
        sleep(LEASE).await;
        assert_eq!((b.heard.take(), hub.names().len()), (vec![], 0));
        assert_eq!(a.engine.nodes().await, Ok(vec![]));
        hub.thaw(&b.id);
        assert_eq!(b.heard.expect(1).await, ["x"]);
        // what it had asked for takes effect, and nobody waits for the answer
        assert_eq!((claim.await, hub.names().len()), (Err(Lost), 1));
        assert_eq!(beat(&b).await, Ok(Lease::Kept), "the late heartbeat was the new one");
    });
}

#[test]
fn calls_to_a_hub_that_hangs_are_lost_and_take_effect_later() {
    at_hub(async |hub| {
        let (a, b) = pair(&hub).await;
        hub.hang(true);
        let calls =
            futures_util::future::join(a.engine.claim("peer:x"), a.engine.send(&b.id, Bytes::from_static(b"x")));
        assert_eq!(calls.await, (Err(Lost), Err(Lost)));
        assert!(matches!(b.engine.link(&b.id, b.heard.clone()).await, Err(LinkError::Unreachable(_))));
        assert_eq!(hub.names().len(), 0);
        hub.hang(false);
        assert!(matches!(a.engine.claim("peer:x").await, Ok(ClaimResult::Held(holder)) if holder.node == a.id));
    });
}

#[test]
fn a_node_is_told_that_messages_were_lost() {
    at_hub(async |hub| {
        let (a, b) = pair(&hub).await;
        hub.lose(&b.id, Duration::from_secs(1));
        assert_eq!(a.send(&b, b"lost").await, Reach::Accepted);
        assert!(matches!(b.engine.find("peer:x").await, Ok(None)), "it still works");
        b.heard.expect_lost().await;
        assert_eq!(b.engine.find("peer:x").await, Err(Lost));
        assert_eq!(a.send(&b, b"nobody").await, Reach::Nobody);
        b.link_again().await;
        assert_eq!(a.send(&b, b"found").await, Reach::Accepted);
        assert_eq!(b.heard.expect(1).await, ["found"]);
    });
}

#[test]
fn a_hub_that_returns_empty_grants_higher_epochs() {
    at_hub(async |hub| {
        let (a, b) = pair(&hub).await;
        let first = a.granted("peer:x").await;
        a.subscribe("room:x").await;
        beat(&a).await.unwrap();
        let under_way = a.engine.find("peer:x");
        hub.restart_empty();
        assert_eq!(under_way.await, Err(Lost));
        for member in [&a, &b] {
            member.heard.expect_lost().await;
            member.link_again().await;
        }
        assert!(hub.is_empty());
        assert_eq!(a.engine.nodes().await, Ok(vec![]));
        assert!(b.granted("peer:x").await > first);
        let conflicts = a.engine.enter(&[("peer:x", first)]).await.unwrap();
        assert_eq!(conflicts.len(), 1);
    });
}

#[test]
fn a_refused_node_links_once_it_is_accepted() {
    at_hub(async |hub| {
        let (a, b) = pair(&hub).await;
        hub.refuse(&b.id, true);
        hub.unlink(&b.id);
        b.heard.expect_lost().await;
        let events: Rc<dyn EngineEvents> = b.heard.clone();
        assert!(matches!(b.engine.link(&b.id, events).await, Err(LinkError::Unreachable(_))));
        assert_eq!(a.send(&b, b"x").await, Reach::Nobody);
        hub.refuse(&b.id, false);
        b.link_again().await;
        assert_eq!(a.send(&b, b"x").await, Reach::Accepted);
    });
}

#[test]
fn with_several_servers_a_confirmed_subscription_is_reached_a_moment_later() {
    block_on(async {
        tokio::time::pause();
        let hub = MemoryHub::new(Knobs { has_several_servers: true, ..Knobs::default() });
        let (a, b) = pair(&hub).await;
        let mut reached_at_once = 0;
        for n in 0..100 {
            let topic = format!("room:{n}");
            b.subscribe(&topic).await;
            a.publish(&topic, b"at once").await;
            b.publish(&topic, b"to oneself").await;
            sleep(Duration::from_millis(15)).await;
            a.publish(&topic, b"later").await;
            let messages = b.heard.until_all(&["to oneself", "later"]).await;
            reached_at_once += messages.len() - 2;
        }
        assert!(reached_at_once < 10, "{reached_at_once} of 100");
    });
}

/// What arrives at one node when two others publish on two topics, each in order.
fn interleaving(seed: u64) -> Vec<Bytes> {
    let (sender, receiver) = std::sync::mpsc::channel();
    block_on(async move {
        tokio::time::pause();
        let hub = MemoryHub::new(Knobs::shaken(seed));
        let (a, b) = pair(&hub).await;
        for topic in ["x", "y"] {
            b.subscribe(topic).await;
        }
        for n in 0..20 {
            for (member, topic) in [(&a, "x"), (&a, "y"), (&b, "x"), (&b, "y")] {
                drop(member.engine.publish(topic, format!("{} {topic} {n}", member.id).into()));
            }
        }
        sender.send(b.heard.expect(80).await).unwrap();
    });
    receiver.recv().unwrap()
}

#[test]
fn a_seed_selects_one_of_many_orders() {
    let orders: Vec<_> = (1..=5).map(interleaving).collect();
    assert!(orders.is_sorted_by(|one, other| one != other), "different seeds");
    assert!(orders == (1..=5).map(interleaving).collect::<Vec<_>>(), "the same seeds");
    let in_order: Vec<_> = (0..20).map(|n| format!("a-4f2c x {n}")).collect();
    for order in orders {
        let of_lane: Vec<_> = order.iter().filter(|message| message.starts_with(b"a-4f2c x")).cloned().collect();
        assert_eq!(of_lane, in_order, "one sender, one topic");
    }
}
