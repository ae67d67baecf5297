//! Messages to several rooms at once: each client receives them once, however many of the rooms it has joined.

use handclasp::{Channel, Context, Endpoint, Join, Mount, Payload, Reply, Router, Topic};

use crate::common::{Client, config, node, wait_until_empty};

const PATH: &str = "/socket.io/?EIO=4&transport=websocket";
const END: (&str, &str) = ("40/end", r#"44/end,{"message":"Invalid namespace"}"#);

async fn connect(node: &handclasp::Node) -> Client {
    let mut client = Client::open(node.address(), PATH, &[]).await;
    client.receive().await;
    client.send("40").await;
    client.receive_until("40{").await;
    client
}

async fn join(client: &mut Client, room: &str) {
    client.exchange(&format!(r#"421["join","{room}"]"#), "431[{}]").await;
}

#[actix_web::test]
async fn a_message_reaches_each_client_once_however_many_rooms_it_shares() {
    let node = node(&["server.workers=2"]);
    let mut sender = connect(&node).await;
    let mut others = Vec::new();
    for _ in 0..9 {
        others.push(connect(&node).await);
    }
    for client in others.iter_mut().chain([&mut sender]) {
        for n in 0..99 {
            join(client, &format!("room {n}")).await;
        }
    }
    let mut elsewhere = connect(&node).await;
    join(&mut elsewhere, "elsewhere").await;
    let long = "x".repeat(600);
    for text in [&long, "second"] {
        sender.send(&format!(r#"42["message","{text}"]"#)).await;
    }
    for client in &mut others {
        client.expect(&format!(r#"42["message","{long}"]"#)).await;
        client.expect(r#"42["message","second"]"#).await;
        client.exchange(END.0, END.1).await;
    }
    sender.exchange(END.0, END.1).await;
    drop(sender);
    for client in &mut others {
        client.receive_until("user disconnected").await;
        client.exchange(END.0, END.1).await;
    }
    elsewhere.exchange(END.0, END.1).await;
    drop((others, elsewhere));
    wait_until_empty(&node).await;
}

/// The message may be on its way through the very room that its receiver is leaving.
#[actix_web::test]
async fn a_client_that_leaves_one_of_the_shared_rooms_misses_nothing() {
    let rate = ["limits.messages_per_second=1_000_000", "limits.messages_burst=1_000_000"];
    let node = node(&[&["server.workers=2"], &rate[..]].concat());
    let (mut a, mut b) = (connect(&node).await, connect(&node).await);
    // the room that is left comes first
    for room in ["left", "kept"] {
        join(&mut a, room).await;
        join(&mut b, room).await;
    }
    for n in 0..1_000 {
        for moment in ["before", "while", "after"] {
            a.send(&format!(r#"42["message","{moment}",{n}]"#)).await;
            b.send(r#"42["leave","left"]"#).await;
            b.send(r#"42["join","left"]"#).await;
        }
        for moment in ["before", "while", "after"] {
            b.expect(&format!(r#"42["message","{moment}",{n}]"#)).await;
        }
    }
    b.exchange(END.0, END.1).await;
}

const COMMON: [&str; 3] = ["hall:one", "hall:two", "hall:three"];

/// Sends what its client says to the members of all three halls.
struct Hall;

impl Channel for Hall {
    fn join(&mut self, _: &Payload, ctx: &mut Context<'_>) -> Join {
        ctx.subscribe(&Topic::parse("hall:three").unwrap()).unwrap();
        Join::ok()
    }

    fn handle_in(&mut self, event: &str, payload: &Payload, ctx: &mut Context<'_>) -> Reply {
        let topics: Vec<Topic> = match event {
            "nowhere" => Vec::new(),
            _ => COMMON.iter().map(|topic| Topic::parse(topic).unwrap()).collect(),
        };
        ctx.broadcast_from_on_any(&topics, event, payload.clone());
        Reply::ok()
    }

    fn intercepts(&self) -> &'static [&'static str] {
        &["changed"]
    }

    fn handle_out(&mut self, _: &str, payload: &Payload, ctx: &mut Context<'_>) {
        ctx.push("changed for you", payload.clone());
    }
}

#[actix_web::test]
async fn a_custom_channel_reaches_the_members_of_several_topics() {
    let mount = Mount::new("/socket", Router::new().channel("hall:*", |_| Hall));
    let node = Endpoint::bare(config(&[])).mount(mount).start().unwrap();
    let mut clients = Vec::new();
    for topics in [&COMMON[..1], &COMMON[1..2], &COMMON[2..], &COMMON[..]] {
        let mut client = Client::new(node.address()).await;
        for topic in topics {
            client.join("1", topic, "{}").await;
        }
        clients.push(client);
    }
    let mut sender = Client::new(node.address()).await;
    sender.join("1", "hall:elsewhere", "{}").await;
    for event in ["nowhere", "said", "changed"] {
        sender.send(&format!(r#"["1","2","hall:elsewhere","{event}",{{}}]"#)).await;
        sender.receive_until(r#""status":"ok""#).await;
    }
    for client in &mut clients {
        client.expect(r#"[null,null,"hall:one","said",{}]"#).await;
        client.receive_until("changed for you").await;
        client.expect_nothing().await;
    }
    sender.expect_nothing().await;
    drop((clients, sender));
    wait_until_empty(&node).await;
}
