//! An `ok` reply to a join means that the client is subscribed: thousands of joins race with signals, and no signal
//! after the `ok` is lost.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use handclasp::Endpoint;

use crate::common::{Client, config, id, wait_until_empty};

const SENDER: &str = "20dd48ca-fdcf-41c9-9a3b-ffffffffffff";
/// How many times each receiver joins, and the number of receivers.
const ROUNDS: usize = 250;
const RECEIVERS: usize = 8;

#[actix_web::test]
async fn no_signal_is_lost_after_the_ok_of_a_join() {
    let sets = ["server.workers=2", "limits.joins_burst=100000", "limits.messages_burst=10000000"];
    let limits = ["limits.not_found_burst=10000000", "limits.messages_per_second=10000000"];
    let node = Endpoint::new(config(&[&sets[..], &limits[..]].concat())).start().unwrap();
    let stop = Arc::new(AtomicBool::new(false));
    let receivers = (0..RECEIVERS).map(|n| receive(node.address(), n));
    let work = async {
        futures_util::future::join_all(receivers).await;
        stop.store(true, Ordering::Relaxed);
    };
    tokio::join!(work, send_noise(node.address(), stop.clone()));
    wait_until_empty(&node).await;
}

/// Joins and leaves repeatedly. Between the `ok` and the leave, it must receive the signal of a second client.
async fn receive(address: std::net::SocketAddr, n: usize) {
    let mut client = Client::new(address).await;
    let mut friend = Client::new(address).await;
    let (own_id, friend_id) = (id(n), id(1000 + n));
    friend.join("f", &format!("peer:{friend_id}"), "{}").await;
    for round in 0..ROUNDS {
        client.send(&format!(r#"["{round}","j","peer:{own_id}","phx_join",{{}}]"#)).await;
        client.receive_until(r#""status":"ok""#).await;
        friend
            .send(&format!(r#"["f","{round}","peer:{friend_id}","offer",{{"peer_id":"{own_id}","n":{round}}}]"#))
            .await;
        let reply = friend.receive_until("phx_reply").await;
        assert!(reply.contains(r#""status":"ok""#), "after the ok: {reply}");
        client.receive_until(&format!(r#""peer_id":"{friend_id}","n":{round}}}"#)).await;
        client.send(&format!(r#"["{round}","l","peer:{own_id}","phx_leave",{{}}]"#)).await;
        client.receive_until("phx_close").await;
    }
}

/// Sends signals to all receivers all the time, whether they are joined or not. The receivers skip them.
async fn send_noise(address: std::net::SocketAddr, stop: Arc<AtomicBool>) {
    let mut sender = Client::new(address).await;
    sender.join("s", &format!("peer:{SENDER}"), "{}").await;
    let mut n = 0_usize;
    while !stop.load(Ordering::Relaxed) {
        let to = id(n % RECEIVERS);
        sender.send(&format!(r#"["s","{n}","peer:{SENDER}","noise",{{"peer_id":"{to}"}}]"#)).await;
        let reply = sender.receive_until("phx_reply").await;
        assert!(reply.contains(r#""status":"ok""#) || reply.contains("peer_not_found"), "{reply}");
        n += 1;
    }
}
