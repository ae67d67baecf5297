//! Webhooks of several nodes: both tell of a peer that moves, and the other nodes tell that one is dead.

use crate::common::receiver::{Known, Receiver};
use crate::engine::{Engine, on_both};
use crate::node::start;
use crate::peer::{Peer, certified};
use crate::wait_until;

#[actix_web::test]
async fn a_backend_knows_who_has_moved_and_who_died_with_a_node() {
    on_both(move_and_kill).await;
}

async fn move_and_kill(engine: Engine) {
    let receiver = Receiver::start();
    let sets = receiver.sets();
    let sets: Vec<&str> = sets.iter().map(String::as_str).chain(["webhooks.grace_period=500ms"]).collect();
    let [here, mut there] = start(&engine, &sets).await;
    let (moving, secret) = certified();
    let before = Peer::try_join(there.address(), &moving, secret.clone()).await.unwrap_or_else(|why| panic!("{why}"));
    receiver.wait_for_one(&format!("peer_up {moving}")).await;
    drop(before);
    let _moved = Peer::try_join(here.address(), &moving, secret).await.unwrap_or_else(|why| panic!("{why}"));
    let staying = Peer::new(there.address()).await;
    let known = || {
        let mut known = Known::default();
        receiver.requests().iter().for_each(|request| drop(known.accept(request)));
        known.peers.into_keys().map(|(_, id)| id).collect::<Vec<_>>()
    };
    let down = format!("peer_down {moving} gone");
    wait_until("the former node tells", || async { receiver.short().contains(&down) }).await;
    wait_until("both peers", || async { known().len() == 2 }).await;
    there.process.signal("KILL");
    there.process.exit_code().await;
    wait_until("node_down", || async { receiver.short().iter().any(|event| event.starts_with("node_down ")) }).await;
    assert_eq!(known(), [moving], "{} is gone with its node", staying.id);
}

/// The receiver has forgotten its peers, and must read them.
#[actix_web::test]
async fn a_backend_reads_the_state_when_a_node_was_only_cut_off() {
    on_both(freeze).await;
}

async fn freeze(engine: Engine) {
    let receiver = Receiver::start();
    let sets = receiver.sets();
    let [_here, there] = start(&engine, &sets.each_ref().map(String::as_str)).await;
    let staying = Peer::new(there.address()).await;
    receiver.wait_for_one(&format!("peer_up {}", staying.id)).await;
    let tells = |what: &'static str| {
        let receiver = receiver.clone();
        async move { receiver.short().iter().any(|event| event.starts_with(what)) }
    };
    there.process.signal("STOP");
    wait_until("node_down", || tells("node_down ")).await;
    assert!(!tells("lost").await);
    there.process.signal("CONT");
    wait_until("lost", || tells("lost 0")).await;
}
