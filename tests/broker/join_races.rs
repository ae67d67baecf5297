//! "ok" means subscribed: thousands of joins race with signals, and none is lost after the ok.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use handclasp::Endpoint;

use crate::common::{Client, config, id, wait_until_empty};

const SENDER: &str = "20dd48ca-fdcf-41c9-9a3b-ffffffffffff";
/// How many times each receiver joins, and how many of them there are.
const ROUNDS: usize = 250;
const RECEIVERS: usize = 8;

#[actix_web::test]
async fn nothing_that_was_delivered_is_lost_and_nothing_is_lost_after_ok() {
    let sets = ["server.workers=2", "limits.joins_burst=100000", "limits.messages_burst=10000000"];
    let lifted = ["limits.not_found_burst=10000000", "limits.messages_per_second=10000000"];
    let node = Endpoint::new(config(&[&sets[..], &lifted[..]].concat())).start().unwrap();
    let stop = Arc::new(AtomicBool::new(false));
    let receivers = (0..RECEIVERS).map(|n| receive(node.address(), n));
    let work = async {
        futures_util::future::join_all(receivers).await;
        stop.store(true, Ordering::Relaxed);
    };
    tokio::join!(work, chatter(node.address(), stop.clone()));
    wait_until_empty(&node).await;
}

/// Joins and leaves again and again. Between its ok and its leave, a signal that it sends to itself, and
/// one that it asks of a friend, must come.
async fn receive(address: std::net::SocketAddr, n: usize) {
    let mut me = Client::new(address).await;
    let mut friend = Client::new(address).await;
    let (mine, other) = (id(n), id(1000 + n));
    friend.join("f", &format!("peer:{other}"), "{}").await;
    for round in 0..ROUNDS {
        me.send(&format!(r#"["{round}","j","peer:{mine}","phx_join",{{}}]"#)).await;
        me.receive_until(r#""status":"ok""#).await;
        friend.send(&format!(r#"["f","{round}","peer:{other}","offer",{{"peer_id":"{mine}","n":{round}}}]"#)).await;
        let verdict = friend.receive_until("phx_reply").await;
        assert!(verdict.contains(r#""status":"ok""#), "after the ok: {verdict}");
        me.receive_until(&format!(r#""peer_id":"{other}","n":{round}}}"#)).await;
        me.send(&format!(r#"["{round}","l","peer:{mine}","phx_leave",{{}}]"#)).await;
        me.receive_until("phx_close").await;
    }
}

/// Speaks to all of them all the time, whether they are there or not. What it was told was delivered is
/// in the queue of somebody who had asked to join: the receivers read past it.
async fn chatter(address: std::net::SocketAddr, stop: Arc<AtomicBool>) {
    let mut sender = Client::new(address).await;
    sender.join("s", &format!("peer:{SENDER}"), "{}").await;
    let mut n = 0_usize;
    while !stop.load(Ordering::Relaxed) {
        let to = id(n % RECEIVERS);
        sender.send(&format!(r#"["s","{n}","peer:{SENDER}","noise",{{"peer_id":"{to}"}}]"#)).await;
        let verdict = sender.receive_until("phx_reply").await;
        assert!(verdict.contains(r#""status":"ok""#) || verdict.contains("peer_not_found"), "{verdict}");
        n += 1;
    }
}
