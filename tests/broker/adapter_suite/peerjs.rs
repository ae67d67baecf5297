//! PeerJS clients on two nodes: signals that are held until their peer comes, and clients that come again.

use std::net::SocketAddr;

use crate::common::{Client, wait_until};

use super::Setup;

async fn peerjs(address: SocketAddr, id: &str) -> Client {
    let mut client = Client::open(address, &format!("/peerjs?key=peerjs&id={id}&token=t"), &[]).await;
    client.expect(r#"{"type":"OPEN"}"#).await;
    client
}

fn candidate(dst: &str, n: u32) -> String {
    format!(r#"{{"type":"CANDIDATE","dst":"{dst}","payload":{n}}}"#)
}

pub async fn held_signals_reach_their_peer_in_order_on_any_node(setup: Setup) {
    let mut sender = peerjs(setup.a, "sender").await;
    for n in 0..20 {
        sender.send(&candidate("late", n)).await;
    }
    let pubsub = setup.nodes[0].pubsub();
    wait_until("20 signals are held", || async { pubsub.stats().await.held == 20 }).await;
    let mut late = peerjs(setup.b, "late").await;
    for n in 20..40 {
        sender.send(&candidate("late", n)).await;
    }
    for n in 0..40 {
        late.expect(&format!(r#"{{"type":"CANDIDATE","src":"sender","dst":"late","payload":{n}}}"#)).await;
    }
    drop((sender, late));
    setup.wait_until_empty().await;
}

pub async fn expired_signals_are_reported_once_to_their_sender(setup: Setup) {
    let mut sender = peerjs(setup.a, "sender").await;
    for n in 0..3 {
        sender.send(&candidate("nobody", n)).await;
    }
    sender.expect(r#"{"type":"EXPIRE","src":"nobody","dst":"sender"}"#).await;
    sender.send(&candidate("sender", 4)).await;
    sender.expect(r#"{"type":"CANDIDATE","src":"sender","dst":"sender","payload":4}"#).await;
    drop(sender);
    setup.wait_until_empty().await;
}

pub async fn a_peerjs_client_can_reconnect_on_the_other_node(setup: Setup) {
    let mut first = peerjs(setup.a, "same").await;
    let mut second = peerjs(setup.b, "same").await;
    assert_eq!(first.close_code().await, 1005);
    let mut other = peerjs(setup.a, "other").await;
    other.send(&candidate("same", 1)).await;
    second.expect(r#"{"type":"CANDIDATE","src":"other","dst":"same","payload":1}"#).await;
    drop((first, second, other));
    setup.wait_until_empty().await;
}
