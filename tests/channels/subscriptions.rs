//! Tests of subscriptions: a channel subscribes its client to other topics, and to a name of its own.

use handclasp::metrics::JoinRefusal;
use handclasp::{Channel, Context, Endpoint, Mount, Node, Payload, Reply, Router, Topic};

use crate::common::{Client, config, wait_until, wait_until_empty};

const HALL: &str = "hall:all";

/// `enter` and `quit` a room, `say` something to it, or `ask` one client by its name.
struct Hall;

#[derive(serde::Deserialize)]
struct Wish {
    name: String,
}

fn room(payload: &Payload) -> Topic {
    Topic::parse(&format!("side:{}", payload.parse::<Wish>().unwrap().name)).unwrap()
}

impl Channel for Hall {
    fn handle_in(&mut self, event: &str, payload: &Payload, ctx: &mut Context<'_>) -> Reply {
        let topic = room(payload);
        let fine = match event {
            "enter" => ctx.subscribe(&topic).is_ok(),
            "be" => ctx.subscribe_exclusive(&topic).is_ok(),
            "quit" => {
                ctx.unsubscribe(&topic);
                true
            }
            "say" => {
                ctx.broadcast_from_on(&topic, "said", payload.clone());
                true
            }
            "say_all" => {
                ctx.broadcast_on(&topic, "said", payload.clone());
                true
            }
            "ask" => return ctx.send_to(topic, "asked", payload.clone()),
            _ => return Reply::error("unknown event"),
        };
        if fine { Reply::ok() } else { Reply::error("too many") }
    }
}

async fn node() -> Node {
    let mount = Mount::new("/hall", Router::new().channel("hall:*", |_| Hall)).joins_per_socket(2);
    Endpoint::new(config(&[])).mount(mount).start().unwrap()
}

async fn guest(node: &Node) -> Client {
    let mut client = Client::open(node.address(), "/hall/websocket?vsn=2.0.0", &[]).await;
    client.join("1", HALL, "{}").await;
    client
}

async fn does(client: &mut Client, event: &str, name: &str, answer: &str) {
    client.send(&format!(r#"["1","9","{HALL}","{event}",{{"name":"{name}"}}]"#)).await;
    let heard = client.receive_until("phx_reply").await;
    assert!(heard.contains(answer), "{event} {name}: {heard}");
}

/// Waits until the topic has so many members.
async fn members(node: &Node, topic: &str, count: usize) {
    let pubsub = node.pubsub();
    wait_until("as many members", || async { pubsub.count(topic) == count }).await;
}

#[actix_web::test]
async fn a_client_receives_the_broadcasts_of_a_topic_until_it_unsubscribes() {
    let node = node().await;
    let (mut ann, mut bob) = (guest(&node).await, guest(&node).await);
    does(&mut ann, "enter", "a", "ok").await;
    does(&mut bob, "enter", "a", "ok").await;
    members(&node, "side:a", 2).await;
    does(&mut ann, "say", "a", "ok").await;
    bob.expect(r#"[null,null,"side:a","said",{"name":"a"}]"#).await;
    ann.expect_nothing().await;
    ann.send(&format!(r#"["1","9","{HALL}","say_all",{{"name":"a"}}]"#)).await;
    bob.expect(r#"[null,null,"side:a","said",{"name":"a"}]"#).await;
    ann.receive_until(r#""side:a","said""#).await;
    does(&mut bob, "quit", "a", "ok").await;
    members(&node, "side:a", 1).await;
    does(&mut ann, "say", "a", "ok").await;
    bob.expect_nothing().await;
    ann.send(&format!(r#"["1","10","{HALL}","phx_leave",{{}}]"#)).await;
    members(&node, "side:a", 0).await;
    drop((ann, bob));
    wait_until_empty(&node).await;
}

#[actix_web::test]
async fn a_name_belongs_to_the_first_client_that_subscribes_to_it_exclusively() {
    let node = node().await;
    let (mut ann, mut bob) = (guest(&node).await, guest(&node).await);
    does(&mut ann, "be", "queen", "ok").await;
    members(&node, "side:queen", 1).await;
    does(&mut bob, "be", "queen", "ok").await;
    ann.answer_ping().await;
    let refused = || node.pubsub().metrics().joins_refused.of(JoinRefusal::Taken);
    wait_until("the claim is refused", || async { refused() == 1 }).await;
    does(&mut bob, "ask", "queen", r#""status":"ok""#).await;
    ann.expect(r#"[null,null,"side:queen","asked",{"name":"queen"}]"#).await;
    drop(ann);
    members(&node, "side:queen", 0).await;
    does(&mut bob, "ask", "queen", "peer_not_found").await;
    drop(bob);
    wait_until_empty(&node).await;
}

#[actix_web::test]
async fn subscriptions_count_against_the_limit_of_topics() {
    let node = node().await;
    let mut ann = guest(&node).await;
    does(&mut ann, "enter", "a", "ok").await;
    does(&mut ann, "enter", "b", "ok").await;
    does(&mut ann, "enter", "c", "too many").await;
    does(&mut ann, "quit", "a", "ok").await;
    does(&mut ann, "quit", "never", "ok").await;
    does(&mut ann, "enter", "c", "ok").await;
    does(&mut ann, "enter", "d", "too many").await;
    drop(ann);
    wait_until_empty(&node).await;
}
