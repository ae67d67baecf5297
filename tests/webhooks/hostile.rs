//! Receivers that fail: nothing is lost or told twice as something new, and clients do not notice.

use futures_util::future::join_all;
use handclasp::Pubsub;

use crate::common::{Client, UNLIMITED, id, metric, wait_until};
use crate::events::node;
use crate::receiver::{Answer, Known, Receiver, assert_pairs};

/// Answers the first requests with `first`, and accepts the others.
fn at_first(receiver: &Receiver, count: usize, first: Answer) {
    let mut left = count;
    receiver.answer(move || match left {
        0 => Answer::Status(200),
        _ => {
            left -= 1;
            first
        }
    });
}

/// The joins, signals and leaves of two clients, each of which is answered.
async fn traffic(node: &handclasp::Node) {
    let (mut one, mut other) = (Client::new(node.address()).await, Client::new(node.address()).await);
    one.join("1", &format!("peer:{}", id(1)), "{}").await;
    other.join("1", &format!("peer:{}", id(2)), "{}").await;
    for n in 0..100 {
        let signal = format!(r#"["1","{n}","peer:{}","offer",{{"peer_id":"{}"}}]"#, id(1), id(2));
        one.send(&signal).await;
        other.receive_until("offer").await;
        let reply = one.receive_until(&format!(r#","{n}","#)).await;
        assert!(reply.contains(r#""status":"ok""#), "{reply}");
    }
}

async fn survives(answer: Answer) {
    let receiver = Receiver::start();
    at_first(&receiver, 2, answer);
    let node = node(&receiver, &["webhooks.timeout=200ms", "webhooks.grace_period=0s"]);
    traffic(&node).await;
    receiver.wait_for_one(&format!("peer_down {} gone", id(1))).await;
    receiver.wait_for_one(&format!("peer_down {} gone", id(2))).await;
    assert_pairs(&receiver.events());
    assert_eq!(receiver.events().len(), 5, "{answer:?}: {:?}", receiver.short());
    let tries = receiver.tries();
    let same = |n: usize| {
        (&tries[n].headers["webhook-id"], &tries[n].body) == (&tries[0].headers["webhook-id"], &tries[0].body)
    };
    assert!(same(1) && same(2), "{answer:?}: each try is the same request");
    assert_ne!(tries[0].headers["webhook-signature"], tries[2].headers["webhook-signature"], "but its time");
    node.stop().await;
}

#[actix_web::test]
async fn failed_requests_are_sent_again_until_they_succeed() {
    let answers = [
        Answer::Hang,
        Answer::Drip,
        Answer::Reset,
        Answer::Endless(500),
        Answer::Lose,
        Answer::Status(301),
        Answer::Status(404),
        Answer::Status(503),
    ];
    join_all(answers.map(survives)).await;
}

#[actix_web::test]
async fn a_success_is_a_success_whatever_its_body() {
    for answer in [Answer::Status(204), Answer::Status(299), Answer::Endless(200)] {
        let receiver = Receiver::start();
        receiver.answer(move || answer);
        let node = node(&receiver, &["webhooks.timeout=200ms"]);
        traffic(&node).await;
        receiver.wait_for_one(&format!("peer_up {}", id(2))).await;
        assert_eq!(receiver.tries().len(), receiver.requests().len(), "{answer:?}");
        node.stop().await;
    }
}

/// While the receiver hangs, the node serves its clients, and ends in time.
#[actix_web::test]
async fn a_drain_does_not_wait_for_a_receiver_that_hangs() {
    for answer in [Answer::Hang, Answer::Drip, Answer::Status(500)] {
        let receiver = Receiver::start();
        receiver.answer(move || answer);
        let node = node(&receiver, &["webhooks.timeout=30s", "drain.timeout=1s", "drain.spread=0s"]);
        traffic(&node).await;
        wait_until("a request", || async { !receiver.tries().is_empty() }).await;
        tokio::time::timeout(crate::common::TIMEOUT, node.drain()).await.expect("the drain ends");
    }
}

/// The state of the rooms, as a backend reads it.
fn read_rooms(pubsub: &Pubsub, rooms: usize) -> Vec<String> {
    (0..rooms).map(|n| format!("{n}")).filter(|n| pubsub.count(&format!("room:{n}")) > 0).collect()
}

/// Bounded by `webhooks.queue_size`: what does not fit is one event `lost`, and after reading the state, the receiver is
/// right again.
#[actix_web::test]
async fn a_receiver_that_is_down_during_many_joins_is_right_again_afterwards() {
    const CLIENTS: usize = 50;
    const ROOMS: usize = 100;
    let receiver = Receiver::start();
    receiver.answer(|| Answer::Status(503));
    let sets = ["webhooks.queue_size=500", "webhooks.grace_period=0s", "metrics.listen=127.0.0.1:0"];
    let node = node(&receiver, &[&UNLIMITED[..], &sets].concat());
    let metrics = node.metrics_address().unwrap();
    let mut clients = Vec::new();
    for n in 0..CLIENTS {
        let mut client = Client::new(node.address()).await;
        for room in 0..ROOMS {
            client.join("1", &format!("room:{}", n * ROOMS + room), "{}").await;
        }
        clients.push(client);
    }
    assert_eq!(metric(metrics, "handclasp_webhook_queue_events").await, Some(500));
    let lost = (CLIENTS * ROOMS - 500) as u64;
    assert_eq!(metric(metrics, "handclasp_webhook_lost_total").await, Some(lost));
    clients.truncate(CLIENTS / 2);
    receiver.answer(|| Answer::Status(200));
    receiver.wait_for_one(&format!("lost {}", lost + (CLIENTS * ROOMS / 2) as u64)).await;
    let mut known = Known::default();
    receiver.requests().iter().for_each(|request| drop(known.accept(request)));
    assert!(known.must_read);
    let rooms = read_rooms(&node.pubsub(), CLIENTS * ROOMS);
    assert_eq!(rooms.len(), CLIENTS * ROOMS / 2);
    clients[0].send(r#"["1","9","room:0","phx_leave",{}]"#).await;
    receiver.wait_for_one("room_vacated 0").await;
    assert_eq!(receiver.short().iter().filter(|event| event.starts_with("lost")).count(), 1);
    wait_until("an empty queue", || async { metric(metrics, "handclasp_webhook_queue_events").await == Some(0) }).await;
    node.stop().await;
}

/// Events that wait for too long are dropped and told as one.
#[actix_web::test]
async fn what_waits_for_too_long_is_lost() {
    let receiver = Receiver::start();
    let sets = ["webhooks.give_up_after=1s", "webhooks.grace_period=0s", "metrics.listen=127.0.0.1:0"];
    let node = node(&receiver, &sets);
    let metrics = node.metrics_address().unwrap();
    receiver.wait_for(&["node_up"]).await;
    receiver.answer(|| Answer::Status(500));
    let mut client = Client::new(node.address()).await;
    client.join("1", "room:a", "{}").await;
    wait_until("a loss", || async { metric(metrics, "handclasp_webhook_lost_total").await == Some(1) }).await;
    receiver.answer(|| Answer::Status(200));
    receiver.wait_for_one("lost 1").await;
    client.join("2", "room:b", "{}").await;
    receiver.wait_for_one("room_occupied b").await;
    let seqs: Vec<u64> = receiver.events().iter().map(|event| event["seq"].as_u64().unwrap()).collect();
    assert_eq!(seqs, [1, 3, 4], "the number of a request that may have arrived is not used again");
    node.stop().await;
}
