//! Contested names: a client joins a name that another client owns. The owner is pinged, and keeps the name only if it
//! is alive. The test clients answer pings only when they are told to; one that does not stands for a client whose
//! network has vanished.

use std::net::SocketAddr;

use handclasp::Node;
use handclasp::metrics::JoinRefusal;

use crate::common::longpoll::LongPollClient;
use crate::common::{Client, node, wait_until, wait_until_empty};

const ID: &str = "20dd48ca-fdcf-41c9-9a3b-2a1ab2a0f1c4";
const OTHER: &str = "20dd48ca-fdcf-41c9-9a3b-2a1ab2a0f1c5";
/// For owners that are alive, and must not run out of time on a slow machine.
const PATIENT: &str = "limits.contest_timeout=1m";
/// For owners that never answer.
const SHORT: &str = "limits.contest_timeout=300ms";

fn join(id: &str) -> String {
    format!(r#"["1","1","peer:{id}","phx_join",{{}}]"#)
}

fn taken() -> String {
    format!(r#"["1","1","peer:{ID}","phx_reply",{{"status":"error","response":{{"reason":"taken"}}}}]"#)
}

/// The owner of `peer:<ID>`.
async fn owner(node: &Node) -> Client {
    let mut owner = Client::new(node.address()).await;
    owner.join("1", &format!("peer:{ID}"), "{}").await;
    owner
}

/// Clients that claim `peer:<ID>`, one after another. They wait for the decision.
async fn contenders(node: &Node, count: usize) -> Vec<Client> {
    let mut contenders = Vec::new();
    for _ in 0..count {
        let mut contender = Client::new(node.address()).await;
        let before = node.pubsub().stats().await.connections;
        contender.send(&join(ID)).await;
        wait_until("the claim waits", || async { node.pubsub().stats().await.connections > before }).await;
        contenders.push(contender);
    }
    contenders
}

async fn receives_ok(client: &mut Client) {
    let reply = client.receive_until("phx_reply").await;
    assert!(reply.contains(r#""status":"ok""#), "{reply}");
}

#[actix_web::test]
async fn an_owner_that_does_not_answer_loses_its_connection_and_its_name() {
    let node = node(&[]);
    let mut frozen = owner(&node).await;
    frozen.join("2", "room:r", "{}").await;
    let mut watcher = Client::new(node.address()).await;
    watcher.join("1", &format!("peer:{OTHER}"), "{}").await;
    watcher.send(&format!(r#"["1","2","peer:{OTHER}","watch",{{"peer_id":"{ID}"}}]"#)).await;
    watcher.receive_until(r#""online":true"#).await;
    let mut second = Client::new(node.address()).await;
    second.send(&join(ID)).await;
    receives_ok(&mut second).await;
    assert_eq!(frozen.close_code().await, 1001);
    // the id is online throughout, so the watcher hears of no change
    watcher.send(&format!(r#"["1","3","peer:{OTHER}","offer",{{"peer_id":"{ID}"}}]"#)).await;
    watcher.expect(&format!(r#"["1","3","peer:{OTHER}","phx_reply",{{"status":"ok","response":{{}}}}]"#)).await;
    second.expect(&format!(r#"[null,null,"peer:{ID}","offer",{{"peer_id":"{OTHER}"}}]"#)).await;
    let stats = node.pubsub().stats().await;
    assert_eq!((stats.members, stats.names), (2, 2), "all of the old connection is gone");
    drop((frozen, second, watcher));
    wait_until_empty(&node).await;
}

/// Its mailbox and its session do not move, because it does not read.
#[actix_web::test]
async fn an_owner_that_reads_nothing_loses_its_name() {
    let node = node(&[SHORT, "limits.queue_age=1h", "limits.queue_bytes=100000000", "limits.message_bytes=1000000"]);
    let mut stalled = Client::with_small_window(node.address()).await;
    stalled.join("1", &format!("peer:{ID}"), "{}").await;
    stalled.join("2", "room:r", "{}").await;
    let mut sender = Client::new(node.address()).await;
    sender.join("2", "room:r", "{}").await;
    for _ in 0..50 {
        sender.send(&format!(r#"["2","3","room:r","msg",{{"text":"{}"}}]"#, "x".repeat(500_000))).await;
        sender.receive_until("phx_reply").await;
    }
    let mut second = Client::new(node.address()).await;
    second.send(&join(ID)).await;
    receives_ok(&mut second).await;
    drop((stalled, second, sender));
    wait_until_empty(&node).await;
}

#[actix_web::test]
async fn an_owner_that_answers_keeps_the_name_and_is_not_pinged_again_at_once() {
    let node = node(&[PATIENT]);
    let mut first = owner(&node).await;
    let mut second = Client::new(node.address()).await;
    second.exchange_while_alive(&mut first, &join(ID), &taken()).await;
    for _ in 0..20 {
        second.exchange(&join(ID), &taken()).await;
    }
    first.expect_nothing().await;
    assert_eq!(node.pubsub().metrics().joins_refused.of(JoinRefusal::Taken), 21);
    drop((first, second));
    wait_until_empty(&node).await;
}

#[actix_web::test]
async fn any_message_of_the_owner_shows_that_it_is_alive() {
    let node = node(&[PATIENT]);
    let mut first = owner(&node).await;
    let mut second = contenders(&node, 1).await.remove(0);
    first.send(r#"[null,"2","phoenix","heartbeat",{}]"#).await;
    second.expect(&taken()).await;
    drop((first, second));
    wait_until_empty(&node).await;
}

/// Its older join ends before its new one begins, and the name must not be free in between.
#[actix_web::test]
async fn an_owner_that_joins_again_keeps_the_name() {
    let node = node(&[PATIENT]);
    let mut first = owner(&node).await;
    let mut second = contenders(&node, 1).await.remove(0);
    first.send(&join(ID)).await;
    first.answer_ping().await;
    receives_ok(&mut first).await;
    second.expect(&taken()).await;
    drop((first, second));
    wait_until_empty(&node).await;
}

#[actix_web::test]
async fn the_first_of_many_claims_gets_the_name_and_their_number_is_limited() {
    let node = node(&["limits.contest_timeout=3s"]);
    let mut frozen = owner(&node).await;
    let mut waiting = contenders(&node, 4).await;
    let mut fifth = Client::new(node.address()).await;
    fifth.exchange(&join(ID), &taken()).await;
    receives_ok(&mut waiting[0]).await;
    for loser in &mut waiting[1..] {
        loser.expect(&taken()).await;
    }
    assert_eq!(frozen.close_code().await, 1001);
    drop((frozen, waiting, fifth));
    wait_until_empty(&node).await;
}

#[actix_web::test]
async fn a_claim_whose_client_is_gone_makes_room_and_is_passed_over() {
    let node = node(&["limits.contest_timeout=3s"]);
    let mut frozen = owner(&node).await;
    let mut waiting = contenders(&node, 4).await;
    drop(waiting.drain(..2));
    wait_until("the claims are forgotten", || async { node.pubsub().stats().await.connections == 3 }).await;
    let mut late = contenders(&node, 1).await.remove(0);
    receives_ok(&mut waiting[0]).await;
    waiting[1].expect(&taken()).await;
    late.expect(&taken()).await;
    assert_eq!(frozen.close_code().await, 1001);
    drop((frozen, waiting, late));
    wait_until_empty(&node).await;
}

#[actix_web::test]
async fn the_first_claim_gets_the_name_when_the_owner_disconnects() {
    let node = node(&[PATIENT]);
    let first = owner(&node).await;
    let mut waiting = contenders(&node, 2).await;
    drop(first);
    receives_ok(&mut waiting[0]).await;
    waiting[1].expect(&taken()).await;
    drop(waiting);
    wait_until_empty(&node).await;
}

/// A client with the secret takes the name over while another one contests it.
#[actix_web::test]
async fn a_takeover_with_the_secret_ends_a_contest() {
    let node = node(&[PATIENT]);
    let secret = r#"{"secret":"AAAAAAAAAAAAAAAAAAAAAA"}"#;
    let mut frozen = Client::new(node.address()).await;
    frozen.join("1", &format!("peer:{ID}"), secret).await;
    let mut waiting = contenders(&node, 1).await.remove(0);
    let mut returned = Client::new(node.address()).await;
    returned.join("1", &format!("peer:{ID}"), secret).await;
    waiting.expect(&taken()).await;
    // the new owner is pinged for itself
    let mut later = Client::new(node.address()).await;
    later.exchange_while_alive(&mut returned, &join(ID), &taken()).await;
    drop((frozen, waiting, returned, later));
    wait_until_empty(&node).await;
}

#[actix_web::test]
async fn a_connection_is_pinged_once_for_all_of_its_names() {
    let node = node(&[PATIENT]);
    let mut first = owner(&node).await;
    first.join("2", &format!("peer:{OTHER}"), "{}").await;
    let mut second = contenders(&node, 1).await.remove(0);
    let mut third = Client::new(node.address()).await;
    third.send(&join(OTHER)).await;
    wait_until("both claims wait", || async { node.pubsub().stats().await.connections == 3 }).await;
    first.answer_ping().await;
    second.expect(&taken()).await;
    third.expect(&taken().replace(ID, OTHER)).await;
    first.expect_nothing().await;
    drop((first, second, third));
    wait_until_empty(&node).await;
}

/// A client whose claim is decided later than it wanted may have given up and tried again.
#[actix_web::test]
async fn a_client_that_joins_again_claims_once() {
    let node = node(&["limits.contest_timeout=3s"]);
    let mut frozen = owner(&node).await;
    let mut second = Client::new(node.address()).await;
    for _ in 0..6 {
        second.send(&join(ID)).await;
    }
    receives_ok(&mut second).await;
    assert_eq!(frozen.close_code().await, 1001);
    drop((frozen, second));
    wait_until_empty(&node).await;
}

// ---- PeerJS

async fn peerjs(address: SocketAddr, token: &str) -> Client {
    Client::open(address, &format!("/peerjs?key=peerjs&id=ann&token={token}"), &[]).await
}

#[actix_web::test]
async fn a_peerjs_id_is_free_when_its_owner_does_not_answer() {
    let node = node(&[SHORT]);
    let mut frozen = peerjs(node.address(), "before").await;
    frozen.expect(r#"{"type":"OPEN"}"#).await;
    let mut second = peerjs(node.address(), "after").await;
    second.expect(r#"{"type":"OPEN"}"#).await;
    assert_eq!(frozen.close_code().await, 1001);
    drop((frozen, second));
    wait_until_empty(&node).await;
}

#[actix_web::test]
async fn a_peerjs_id_is_taken_while_its_owner_answers() {
    let node = node(&[PATIENT]);
    let mut first = peerjs(node.address(), "before").await;
    first.expect(r#"{"type":"OPEN"}"#).await;
    let mut second = peerjs(node.address(), "after").await;
    first.answer_ping().await;
    second.expect(r#"{"type":"ID-TAKEN","payload":{"msg":"ID is taken"}}"#).await;
    drop((first, second));
    wait_until_empty(&node).await;
}

// ---- Phoenix's long polling

async fn polling_owner(node: &Node) -> LongPollClient {
    let mut owner = LongPollClient::open(node.address(), "/socket", "2.0.0", &[]).await;
    owner.send(&join(ID)).await;
    assert_eq!(owner.receive().await[4]["status"], "ok");
    owner
}

#[actix_web::test]
async fn a_polling_owner_that_polls_again_keeps_the_name() {
    let node = node(&[PATIENT, "socket.poll_window=1m"]);
    let owner = polling_owner(&node).await;
    let polling = actix_web::rt::spawn(async move { while owner.get().await.status() == 204 {} });
    let mut second = Client::new(node.address()).await;
    second.exchange(&join(ID), &taken()).await;
    polling.abort();
}

#[actix_web::test]
async fn a_poll_that_waits_is_no_sign_of_life() {
    let node = node(&[SHORT, "socket.poll_window=1m"]);
    let owner = polling_owner(&node).await;
    let polling = actix_web::rt::spawn(async move { owner.get().await.status() });
    let mut second = Client::new(node.address()).await;
    second.send(&join(ID)).await;
    assert_eq!(polling.await.unwrap(), 204, "the waiting poll is answered, and the client does not poll again");
    receives_ok(&mut second).await;
    drop(second);
    wait_until_empty(&node).await;
}
