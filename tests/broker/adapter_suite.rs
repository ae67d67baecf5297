//! What holds whatever carries messages between nodes: one suite, run for every adapter.
//!
//! Each case is told where its two clients connect. With the local adapter both are on one node; every
//! other adapter puts a node at each end, and nothing may look different.

use std::net::SocketAddr;

use handclasp::Node;

use crate::common::cluster::MemoryCluster;
use crate::common::{Client, config, node, wait_until, wait_until_empty};

const A: &str = "20dd48ca-fdcf-41c9-9a3b-00000000000a";
const B: &str = "20dd48ca-fdcf-41c9-9a3b-00000000000b";
const SECRET: &str = r#"{"secret":"AAAAAAAAAAAAAAAAAAAAAA"}"#;

/// The two ends, and whatever runs behind them.
struct Ends {
    a: SocketAddr,
    b: SocketAddr,
    nodes: Vec<Node>,
    cluster: MemoryCluster,
}

impl Ends {
    fn local() -> Self {
        let node = node(&[]);
        Self { a: node.address(), b: node.address(), nodes: vec![node], cluster: MemoryCluster::default() }
    }

    fn memory() -> Self {
        let cluster = MemoryCluster::default();
        let (a, b) = (cluster.node("a", config(&[])), cluster.node("b", config(&[])));
        Self { a: a.address(), b: b.address(), nodes: vec![a, b], cluster }
    }

    async fn clients(&self) -> (Client, Client) {
        (Client::new(self.a).await, Client::new(self.b).await)
    }

    /// Everybody has gone; so must everything else.
    async fn are_empty(&self) {
        for node in &self.nodes {
            wait_until_empty(node).await;
        }
        let cluster = self.cluster.clone();
        wait_until("an empty cluster", || async { cluster.is_empty() }).await;
    }
}

macro_rules! suite {
    ($($case:ident),* $(,)?) => {
        mod local {
            $(#[actix_web::test] async fn $case() { super::$case(super::Ends::local()).await; })*
        }
        mod memory {
            $(#[actix_web::test] async fn $case() { super::$case(super::Ends::memory()).await; })*
        }
    };
}

suite!(
    a_signal_reaches_its_peer_and_its_sender_hears_so,
    a_name_is_held_once,
    the_same_secret_takes_a_name_over,
    a_room_hears_each_message_once_and_in_order,
    nobody_hears_what_they_did_not_join,
    a_watcher_hears_of_coming_and_going,
    a_presence_list_is_the_same_everywhere,
    what_waits_for_a_peer_reaches_it_in_order_wherever_it_comes,
    what_waits_in_vain_is_told_once_to_its_sender,
    a_peerjs_client_comes_back_on_the_other_node,
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

async fn a_signal_reaches_its_peer_and_its_sender_hears_so(ends: Ends) {
    let (mut a, mut b) = ends.clients().await;
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
    ends.are_empty().await;
}

async fn a_name_is_held_once(ends: Ends) {
    let (mut a, mut b) = ends.clients().await;
    peer(&mut a, A, "{}").await;
    b.send(&push(A, A, "phx_join", "{}")).await;
    b.expect(&reply(A, A, "error", r#"{"reason":"taken"}"#)).await;
    b.send(&push(A, A, "phx_join", SECRET)).await;
    b.expect(&reply(A, A, "error", r#"{"reason":"taken"}"#)).await;
    a.send(&push(A, "9", "phx_leave", "{}")).await;
    a.receive_until("phx_close").await;
    peer(&mut b, A, "{}").await;
    drop((a, b));
    ends.are_empty().await;
}

async fn the_same_secret_takes_a_name_over(ends: Ends) {
    let (mut a, mut b) = ends.clients().await;
    peer(&mut a, A, SECRET).await;
    peer(&mut b, A, SECRET).await;
    a.expect(&format!(r#"["{A}","{A}","peer:{A}","phx_close",{{}}]"#)).await;
    // and back again: an older owner's going must not take the name along
    peer(&mut a, A, SECRET).await;
    b.expect(&format!(r#"["{A}","{A}","peer:{A}","phx_close",{{}}]"#)).await;
    drop(b);
    let mut third = Client::new(ends.b).await;
    peer(&mut third, B, "{}").await;
    third.send(&push(B, "2", "offer", &format!(r#"{{"peer_id":"{A}"}}"#))).await;
    a.expect(&format!(r#"[null,null,"peer:{A}","offer",{{"peer_id":"{B}"}}]"#)).await;
    third.expect(&reply(B, "2", "ok", "{}")).await;
    drop((a, third));
    ends.are_empty().await;
}

async fn a_room_hears_each_message_once_and_in_order(ends: Ends) {
    let (mut a, mut b) = ends.clients().await;
    let mut c = Client::new(ends.b).await;
    for client in [&mut a, &mut b, &mut c] {
        client.join("1", "room:r", "{}").await;
    }
    for n in 0..50 {
        a.send(&format!(r#"["1","{n}","room:r","msg",{{"n":{n}}}]"#)).await;
    }
    for n in 0..50 {
        let want = format!(r#"[null,null,"room:r","msg",{{"n":{n}}}]"#);
        b.expect(&want).await;
        c.expect(&want).await;
    }
    b.expect_nothing().await;
    drop((a, b, c));
    ends.are_empty().await;
}

async fn nobody_hears_what_they_did_not_join(ends: Ends) {
    let (mut a, mut b) = ends.clients().await;
    let (mut stranger, mut left) = (Client::new(ends.a).await, Client::new(ends.b).await);
    a.join("1", "room:r", "{}").await;
    b.join("1", "room:r", "{}").await;
    for client in [&mut stranger, &mut left] {
        client.join("1", "room:r2", r#"{"meta":{}}"#).await;
        client.receive_until("presence_state").await;
    }
    left.join("2", "room:r", "{}").await;
    left.send(r#"["2","3","room:r","phx_leave",{}]"#).await;
    left.receive_until("phx_close").await;
    a.send(r#"["1","2","room:r","msg",{}]"#).await;
    b.expect(r#"[null,null,"room:r","msg",{}]"#).await;
    for mut client in [stranger, left] {
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
    ends.are_empty().await;
}

async fn a_watcher_hears_of_coming_and_going(ends: Ends) {
    let (mut a, mut b) = ends.clients().await;
    peer(&mut a, A, "{}").await;
    let watch = push(A, "2", "watch", &format!(r#"{{"peer_id":"{B}"}}"#));
    a.exchange(&watch, &reply(A, "2", "ok", r#"{"online":false}"#)).await;
    peer(&mut b, B, "{}").await;
    a.expect(&format!(r#"["{A}",null,"peer:{A}","peer_up",{{"peer_id":"{B}"}}]"#)).await;
    drop(b);
    a.expect(&format!(r#"["{A}",null,"peer:{A}","peer_down",{{"peer_id":"{B}"}}]"#)).await;
    let mut b = Client::new(ends.b).await;
    peer(&mut b, B, "{}").await;
    a.expect(&format!(r#"["{A}",null,"peer:{A}","peer_up",{{"peer_id":"{B}"}}]"#)).await;
    let mut late = Client::new(ends.a).await;
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
    ends.are_empty().await;
}

async fn a_presence_list_is_the_same_everywhere(ends: Ends) {
    let (mut a, mut b) = ends.clients().await;
    peer(&mut a, A, "{}").await;
    a.join("1", "room:r", r#"{"meta":{"n":1}}"#).await;
    let diff = a.receive_until("presence_diff").await;
    assert!(diff.contains(A) && diff.contains(r#""n":1"#), "{diff}");
    // the newcomer learns of the first one, be it in the state or in a diff that follows
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
    ends.are_empty().await;
}

#[actix_web::test]
async fn a_node_that_does_not_answer_is_unreachable_and_not_absent() {
    let ends = Ends::memory();
    let (mut a, mut b) = ends.clients().await;
    peer(&mut a, A, "{}").await;
    peer(&mut b, B, "{}").await;
    a.join("r", "room:r", r#"{"presence":true}"#).await;
    b.join("r", "room:r", r#"{"meta":{"from":"b"}}"#).await;
    a.receive_until(r#""from":"b""#).await;
    a.send(&push(A, "w", "watch", &format!(r#"{{"peer_id":"{B}"}}"#))).await;
    a.expect(&reply(A, "w", "ok", r#"{"online":true}"#)).await;
    ends.cluster.make_unreachable("b");
    let offer = push(A, "2", "offer", &format!(r#"{{"peer_id":"{B}"}}"#));
    a.exchange(&offer, &reply(A, "2", "error", r#"{"reason":"unreachable"}"#)).await;
    // a sick backplane does not silence the node: its own members still hear each other
    let mut neighbour = Client::new(ends.a).await;
    neighbour.join("1", "room:r", "{}").await;
    neighbour.send(r#"["1","2","room:r","msg",{}]"#).await;
    a.expect(r#"[null,null,"room:r","msg",{}]"#).await;
    // once the node is known to be gone, so are its name and its rows
    ends.cluster.remove_node("b");
    a.expect(&format!(r#"["{A}",null,"peer:{A}","peer_down",{{"peer_id":"{B}"}}]"#)).await;
    let diff = a.receive_until("presence_diff").await;
    assert!(diff.contains(r#""joins":{}"#) && diff.contains(r#""from":"b""#), "{diff}");
    a.exchange(&offer, &reply(A, "2", "error", r#"{"reason":"peer_not_found"}"#)).await;
}

async fn peerjs(address: SocketAddr, id: &str) -> Client {
    let mut client = Client::open(address, &format!("/peerjs?key=peerjs&id={id}&token=t"), &[]).await;
    client.expect(r#"{"type":"OPEN"}"#).await;
    client
}

fn candidate(dst: &str, n: u32) -> String {
    format!(r#"{{"type":"CANDIDATE","dst":"{dst}","payload":{n}}}"#)
}

async fn what_waits_for_a_peer_reaches_it_in_order_wherever_it_comes(ends: Ends) {
    let mut sender = peerjs(ends.a, "sender").await;
    for n in 0..20 {
        sender.send(&candidate("late", n)).await;
    }
    let pubsub = ends.nodes[0].pubsub();
    wait_until("20 signals that wait", || async { pubsub.census().await.held == 20 }).await;
    let mut late = peerjs(ends.b, "late").await;
    for n in 20..40 {
        sender.send(&candidate("late", n)).await;
    }
    for n in 0..40 {
        late.expect(&format!(r#"{{"type":"CANDIDATE","src":"sender","dst":"late","payload":{n}}}"#)).await;
    }
    drop((sender, late));
    ends.are_empty().await;
}

async fn what_waits_in_vain_is_told_once_to_its_sender(ends: Ends) {
    let mut sender = peerjs(ends.a, "sender").await;
    for n in 0..3 {
        sender.send(&candidate("nobody", n)).await;
    }
    sender.expect(r#"{"type":"EXPIRE","src":"nobody","dst":"sender"}"#).await;
    sender.send(&candidate("sender", 4)).await;
    sender.expect(r#"{"type":"CANDIDATE","src":"sender","dst":"sender","payload":4}"#).await;
    drop(sender);
    ends.are_empty().await;
}

async fn a_peerjs_client_comes_back_on_the_other_node(ends: Ends) {
    let mut first = peerjs(ends.a, "same").await;
    let mut second = peerjs(ends.b, "same").await;
    assert_eq!(first.close_code().await, 1005);
    let mut other = peerjs(ends.a, "other").await;
    other.send(&candidate("same", 1)).await;
    second.expect(r#"{"type":"CANDIDATE","src":"other","dst":"same","payload":1}"#).await;
    drop((first, second, other));
    ends.are_empty().await;
}
