//! What holds whatever carries messages between nodes: one suite, run for every adapter.
//!
//! Each case is told where its two clients connect. With the local adapter both are on one node; every
//! other adapter puts a node at each end, and nothing may look different.

use std::net::SocketAddr;

use handclasp::Node;

use crate::common::hub::Hub;
use crate::common::{Client, config, empty, eventually, node};

const A: &str = "20dd48ca-fdcf-41c9-9a3b-00000000000a";
const B: &str = "20dd48ca-fdcf-41c9-9a3b-00000000000b";
const SECRET: &str = r#"{"secret":"AAAAAAAAAAAAAAAAAAAAAA"}"#;

/// The two ends, and whatever runs behind them.
struct Ends {
    a: SocketAddr,
    b: SocketAddr,
    nodes: Vec<Node>,
    hub: Hub,
}

impl Ends {
    fn local() -> Self {
        let node = node(&[]);
        Self { a: node.address(), b: node.address(), nodes: vec![node], hub: Hub::default() }
    }

    fn memory() -> Self {
        let hub = Hub::default();
        let (a, b) = (hub.node("a", config(&[])), hub.node("b", config(&[])));
        Self { a: a.address(), b: b.address(), nodes: vec![a, b], hub }
    }

    async fn clients(&self) -> (Client, Client) {
        (Client::new(self.a).await, Client::new(self.b).await)
    }

    /// Everybody has gone; so must everything else.
    async fn are_empty(&self) {
        for node in &self.nodes {
            empty(node).await;
        }
        let hub = self.hub.clone();
        eventually("an empty hub", || async { hub.is_empty() }).await;
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
    a.ask_for(&offer, &reply(A, "2", "error", r#"{"reason":"peer_not_found"}"#)).await;
    peer(&mut b, B, "{}").await;
    for n in 0..50 {
        let offer = push(A, "3", "offer", &format!(r#"{{"peer_id":"{B}","n":{n}}}"#));
        a.say(&offer).await;
    }
    for n in 0..50 {
        b.hears(&format!(r#"[null,null,"peer:{B}","offer",{{"peer_id":"{A}","n":{n}}}]"#)).await;
        a.hears(&reply(A, "3", "ok", "{}")).await;
    }
    a.say(&push(A, "4", "connect", &format!(r#"{{"peer_id":"{B}"}}"#))).await;
    b.hears(&format!(r#"[null,null,"peer:{B}","peer_connect",{{"peer_id":"{A}"}}]"#)).await;
    drop((a, b));
    ends.are_empty().await;
}

async fn a_name_is_held_once(ends: Ends) {
    let (mut a, mut b) = ends.clients().await;
    peer(&mut a, A, "{}").await;
    b.say(&push(A, A, "phx_join", "{}")).await;
    b.hears(&reply(A, A, "error", r#"{"reason":"taken"}"#)).await;
    b.say(&push(A, A, "phx_join", SECRET)).await;
    b.hears(&reply(A, A, "error", r#"{"reason":"taken"}"#)).await;
    a.say(&push(A, "9", "phx_leave", "{}")).await;
    a.hear_until("phx_close").await;
    peer(&mut b, A, "{}").await;
    drop((a, b));
    ends.are_empty().await;
}

async fn the_same_secret_takes_a_name_over(ends: Ends) {
    let (mut a, mut b) = ends.clients().await;
    peer(&mut a, A, SECRET).await;
    peer(&mut b, A, SECRET).await;
    a.hears(&format!(r#"["{A}","{A}","peer:{A}","phx_close",{{}}]"#)).await;
    // and back again: an older owner's going must not take the name along
    peer(&mut a, A, SECRET).await;
    b.hears(&format!(r#"["{A}","{A}","peer:{A}","phx_close",{{}}]"#)).await;
    drop(b);
    let mut third = Client::new(ends.b).await;
    peer(&mut third, B, "{}").await;
    third.say(&push(B, "2", "offer", &format!(r#"{{"peer_id":"{A}"}}"#))).await;
    a.hears(&format!(r#"[null,null,"peer:{A}","offer",{{"peer_id":"{B}"}}]"#)).await;
    third.hears(&reply(B, "2", "ok", "{}")).await;
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
        a.say(&format!(r#"["1","{n}","room:r","msg",{{"n":{n}}}]"#)).await;
    }
    for n in 0..50 {
        let want = format!(r#"[null,null,"room:r","msg",{{"n":{n}}}]"#);
        b.hears(&want).await;
        c.hears(&want).await;
    }
    b.hears_nothing().await;
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
        client.hear_until("presence_state").await;
    }
    left.join("2", "room:r", "{}").await;
    left.say(r#"["2","3","room:r","phx_leave",{}]"#).await;
    left.hear_until("phx_close").await;
    a.say(r#"["1","2","room:r","msg",{}]"#).await;
    b.hears(r#"[null,null,"room:r","msg",{}]"#).await;
    for mut client in [stranger, left] {
        client.say(r#"[null,"quiet","phoenix","heartbeat",{}]"#).await;
        loop {
            let text = client.hear().await;
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
    a.ask_for(&watch, &reply(A, "2", "ok", r#"{"online":false}"#)).await;
    peer(&mut b, B, "{}").await;
    a.hears(&format!(r#"["{A}",null,"peer:{A}","peer_up",{{"peer_id":"{B}"}}]"#)).await;
    drop(b);
    a.hears(&format!(r#"["{A}",null,"peer:{A}","peer_down",{{"peer_id":"{B}"}}]"#)).await;
    let mut b = Client::new(ends.b).await;
    peer(&mut b, B, "{}").await;
    a.hears(&format!(r#"["{A}",null,"peer:{A}","peer_up",{{"peer_id":"{B}"}}]"#)).await;
    let mut late = Client::new(ends.a).await;
    let id = "20dd48ca-fdcf-41c9-9a3b-00000000000c";
    peer(&mut late, id, "{}").await;
    let watch = push(id, "2", "watch", &format!(r#"{{"peer_id":"{B}"}}"#));
    late.ask_for(&watch, &reply(id, "2", "ok", r#"{"online":true}"#)).await;
    a.say(&push(A, "3", "unwatch", &format!(r#"{{"peer_id":"{B}"}}"#))).await;
    a.hears(&reply(A, "3", "ok", "{}")).await;
    drop(b);
    late.hear_until("peer_down").await;
    a.hears_nothing().await;
    drop((a, late));
    ends.are_empty().await;
}

async fn a_presence_list_is_the_same_everywhere(ends: Ends) {
    let (mut a, mut b) = ends.clients().await;
    peer(&mut a, A, "{}").await;
    a.join("1", "room:r", r#"{"meta":{"n":1}}"#).await;
    let diff = a.hear_until("presence_diff").await;
    assert!(diff.contains(A) && diff.contains(r#""n":1"#), "{diff}");
    // the newcomer learns of the first one, be it in the state or in a diff that follows
    b.join("1", "room:r", r#"{"presence":true}"#).await;
    let known = b.hear_until(A).await;
    assert!(known.contains(r#""n":1"#), "{known}");
    a.say(r#"["1","2","room:r","update_meta",{"n":2}]"#).await;
    let diff = b.hear_until(r#""n":2"#).await;
    assert!(diff.contains(r#""leaves":{""#) && diff.contains(r#""n":1"#), "{diff}");
    drop(a);
    let diff = b.hear_until(r#""joins":{}"#).await;
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
    a.hear_until(r#""from":"b""#).await;
    a.say(&push(A, "w", "watch", &format!(r#"{{"peer_id":"{B}"}}"#))).await;
    a.hears(&reply(A, "w", "ok", r#"{"online":true}"#)).await;
    ends.hub.silence("b");
    let offer = push(A, "2", "offer", &format!(r#"{{"peer_id":"{B}"}}"#));
    a.ask_for(&offer, &reply(A, "2", "error", r#"{"reason":"unreachable"}"#)).await;
    // a sick backplane does not silence the node: its own members still hear each other
    let mut neighbour = Client::new(ends.a).await;
    neighbour.join("1", "room:r", "{}").await;
    neighbour.say(r#"["1","2","room:r","msg",{}]"#).await;
    a.hears(r#"[null,null,"room:r","msg",{}]"#).await;
    // once the node is known to be gone, so are its name and its rows
    ends.hub.bury("b");
    a.hears(&format!(r#"["{A}",null,"peer:{A}","peer_down",{{"peer_id":"{B}"}}]"#)).await;
    let diff = a.hear_until("presence_diff").await;
    assert!(diff.contains(r#""joins":{}"#) && diff.contains(r#""from":"b""#), "{diff}");
    a.ask_for(&offer, &reply(A, "2", "error", r#"{"reason":"peer_not_found"}"#)).await;
}

async fn peerjs(address: SocketAddr, id: &str) -> Client {
    let mut client = Client::open(address, &format!("/peerjs?key=peerjs&id={id}&token=t"), &[]).await;
    client.hears(r#"{"type":"OPEN"}"#).await;
    client
}

fn candidate(dst: &str, n: u32) -> String {
    format!(r#"{{"type":"CANDIDATE","dst":"{dst}","payload":{n}}}"#)
}

async fn what_waits_for_a_peer_reaches_it_in_order_wherever_it_comes(ends: Ends) {
    let mut sender = peerjs(ends.a, "sender").await;
    for n in 0..20 {
        sender.say(&candidate("late", n)).await;
    }
    let pubsub = ends.nodes[0].pubsub();
    eventually("20 signals that wait", || async { pubsub.stats().await.held == 20 }).await;
    let mut late = peerjs(ends.b, "late").await;
    for n in 20..40 {
        sender.say(&candidate("late", n)).await;
    }
    for n in 0..40 {
        late.hears(&format!(r#"{{"type":"CANDIDATE","src":"sender","dst":"late","payload":{n}}}"#)).await;
    }
    drop((sender, late));
    ends.are_empty().await;
}

async fn what_waits_in_vain_is_told_once_to_its_sender(ends: Ends) {
    let mut sender = peerjs(ends.a, "sender").await;
    for n in 0..3 {
        sender.say(&candidate("nobody", n)).await;
    }
    sender.hears(r#"{"type":"EXPIRE","src":"nobody","dst":"sender"}"#).await;
    sender.say(&candidate("sender", 4)).await;
    sender.hears(r#"{"type":"CANDIDATE","src":"sender","dst":"sender","payload":4}"#).await;
    drop(sender);
    ends.are_empty().await;
}

async fn a_peerjs_client_comes_back_on_the_other_node(ends: Ends) {
    let mut first = peerjs(ends.a, "same").await;
    let mut second = peerjs(ends.b, "same").await;
    assert_eq!(first.closed().await, 1005);
    let mut other = peerjs(ends.a, "other").await;
    other.say(&candidate("same", 1)).await;
    second.hears(r#"{"type":"CANDIDATE","src":"other","dst":"same","payload":1}"#).await;
    drop((first, second, other));
    ends.are_empty().await;
}
