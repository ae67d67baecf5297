//! Tests of custom channels: immediate and late replies, pushes and broadcasts, intercepted broadcasts, stopping, and
//! pending joins.

#[path = "../examples/shout.rs"]
#[allow(dead_code, reason = "its main is not ours")]
mod shout;

use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex};

use handclasp::channels::{ChannelHandle, Info, ReplyHandle};
use handclasp::message::{RequestRef, Status};
use handclasp::{Channel, Context, Endpoint, Join, Mount, Node, Payload, Reply, Router, TerminateReason, Topic};
use serde_json::json;

use crate::common::{self, Client, config, wait_until, wait_until_empty};

const ROOM: &str = "kit:room";

/// What the channels hand to the test, to be used from outside.
enum Handed {
    Request(ReplyHandle),
    Channel(ChannelHandle),
}

struct Kit {
    hand: Sender<Handed>,
    kept: Option<RequestRef>,
}

/// Makes the channel reply to the request that it kept.
struct Answer;

/// To the channel: this is how to decide.
struct Decide(fn() -> Join);

impl Channel for Kit {
    fn join(&mut self, payload: &Payload, ctx: &mut Context<'_>) -> Join {
        ctx.broadcast("too_early", Payload::empty());
        if payload == &Payload::empty() {
            return Join::ok_with(json!({ "welcome": ctx.topic().subtopic() }));
        }
        self.hand.send(Handed::Channel(ctx.channel_handle())).unwrap();
        Join::Pending
    }

    fn handle_in(&mut self, event: &str, payload: &Payload, ctx: &mut Context<'_>) -> Reply {
        match event {
            "now" => return Reply::ok_with(payload.clone()),
            "refuse" => return Reply::error("no"),
            "odd" => return Reply::Reply(Status::Other("perhaps"), payload.clone()),
            "later" => {
                self.kept = Some(ctx.request_ref());
                ctx.channel_handle().send(Answer).unwrap();
                return Reply::NoReply;
            }
            "elsewhere" => {
                self.hand.send(Handed::Request(ctx.reply_handle())).unwrap();
                return Reply::NoReply;
            }
            "hand_over" => self.hand.send(Handed::Channel(ctx.channel_handle())).unwrap(),
            "push" => ctx.push("pushed", payload.clone()),
            "all" | "guarded" => ctx.broadcast(event, payload.clone()),
            "others" => ctx.broadcast_from(event, payload.clone()),
            "abroad" => ctx.broadcast_on(&Topic::parse("kit:abroad").unwrap(), event, payload.clone()),
            "home" => ctx.broadcast_on(&ctx.topic().clone(), event, payload.clone()),
            "stop" => ctx.stop(),
            _ => return Reply::error("unknown event"),
        }
        Reply::ok()
    }

    fn intercepts(&self) -> &'static [&'static str] {
        &["guarded"]
    }

    fn handle_out(&mut self, event: &str, _: &Payload, ctx: &mut Context<'_>) {
        ctx.push(event, json!({ "seen_by": ctx.connection().to_string() }));
    }

    fn handle_info(&mut self, info: Info, ctx: &mut Context<'_>) {
        if info.is::<Answer>() {
            let ticket = self.kept.take().unwrap();
            ctx.reply(ticket, Reply::ok_with(json!({ "late": true })));
        } else if let Ok(decide) = info.downcast::<Decide>() {
            ctx.complete_join(decide.0());
        } else {
            ctx.stop();
        }
    }

    fn terminate(&mut self, why: TerminateReason, ctx: &mut Context<'_>) {
        ctx.broadcast("gone", json!({ "why": format!("{why:?}") }));
        // neither may begin the end anew
        ctx.broadcast("guarded", Payload::empty());
        ctx.stop();
    }
}

fn start() -> (Node, Receiver<Handed>) {
    start_with(&[])
}

fn start_with(sets: &[&str]) -> (Node, Receiver<Handed>) {
    let (hand, handed) = channel();
    let hand = Mutex::new(hand);
    let router = Router::new().channel("kit:*", move |_| Kit { hand: hand.lock().unwrap().clone(), kept: None });
    (Endpoint::new(config(sets)).mount(Mount::new("/socket", router)).start().unwrap(), handed)
}

async fn member(node: &Node) -> Client {
    let mut client = Client::new(node.address()).await;
    client.join("1", ROOM, "{}").await;
    client
}

/// The client that sends, and another member.
async fn two() -> (Node, Receiver<Handed>, Client, Client) {
    let (node, handed) = start();
    let (one, other) = (member(&node).await, member(&node).await);
    (node, handed, one, other)
}

fn say(event: &str) -> String {
    format!(r#"["1","2","{ROOM}","{event}",{{"a":1}}]"#)
}

fn reply(status: &str, response: &str) -> String {
    format!(r#"["1","2","{ROOM}","phx_reply",{{"status":"{status}","response":{response}}}]"#)
}

fn the_request(handed: &Receiver<Handed>) -> ReplyHandle {
    match handed.recv().unwrap() {
        Handed::Request(request) => request,
        Handed::Channel(_) => panic!("a channel was handed over, not a request"),
    }
}

fn the_channel(handed: &Receiver<Handed>) -> ChannelHandle {
    match handed.recv().unwrap() {
        Handed::Channel(channel) => channel,
        Handed::Request(_) => panic!("a request was handed over, not a channel"),
    }
}

#[actix_web::test]
async fn the_example_broadcasts_to_all_members_of_its_topic() {
    let node = shout::endpoint(config(&[])).start().unwrap();
    let mut clients = Vec::new();
    for topic in ["shout:a", "shout:a", "shout:b"] {
        let mut client = Client::open(node.address(), "/live/websocket?vsn=2.0.0", &[]).await;
        client.join("1", topic, "{}").await;
        clients.push(client);
    }
    clients[0].send(r#"["1","2","shout:a","hey",{"you":1}]"#).await;
    for client in &mut clients[..2] {
        client.expect(r#"[null,null,"shout:a","hey",{"you":1}]"#).await;
    }
    clients[0].expect(r#"["1","2","shout:a","phx_reply",{"status":"ok","response":{}}]"#).await;
    clients[2].expect_nothing().await;
}

#[actix_web::test]
async fn a_request_is_answered_now() {
    let (_node, _handed, mut client, _other) = two().await;
    client.exchange(&say("now"), &reply("ok", r#"{"a":1}"#)).await;
    client.exchange(&say("refuse"), &reply("error", r#"{"reason":"no"}"#)).await;
    client.exchange(&say("odd"), &reply("perhaps", r#"{"a":1}"#)).await;
    client.exchange(&say("whatever"), &reply("error", r#"{"reason":"unknown event"}"#)).await;
}

#[actix_web::test]
async fn a_request_is_answered_later() {
    let (_node, handed, mut client, mut other) = two().await;
    client.exchange(&say("later"), &reply("ok", r#"{"late":true}"#)).await;
    client.send(&say("elsewhere")).await;
    client.expect_nothing().await;
    let request = the_request(&handed);
    std::thread::spawn(move || request.reply(Reply::ok_with(json!({ "from": "afar" })))).join().unwrap();
    client.expect(&reply("ok", r#"{"from":"afar"}"#)).await;
    other.expect_nothing().await;
}

#[actix_web::test]
async fn a_reply_after_the_channel_ended_is_not_sent() {
    let (_node, handed, mut client, _other) = two().await;
    client.send(&say("elsewhere")).await;
    client.send(&say("elsewhere")).await;
    client.send(&say("hand_over")).await;
    client.expect(&reply("ok", "{}")).await;
    let [soon, late] = [(); 2].map(|()| the_request(&handed));
    let channel = the_channel(&handed);
    client.send(&say("phx_leave")).await;
    client.receive_until("phx_close").await;
    soon.reply(Reply::ok());
    // the client's queue lives; the channel behind it does not
    assert_eq!(channel.push("late", Payload::empty()), Ok(()));
    client.expect_nothing().await;
    client.join("2", ROOM, "{}").await;
    channel.push("late", Payload::empty()).unwrap();
    late.reply(Reply::ok());
    client.expect_nothing().await;
}

#[actix_web::test]
async fn a_push_reaches_only_the_channels_own_client() {
    let (_node, handed, mut client, mut other) = two().await;
    client.exchange(&say("push"), &format!(r#"["1",null,"{ROOM}","pushed",{{"a":1}}]"#)).await;
    client.expect(&reply("ok", "{}")).await;
    client.exchange(&say("hand_over"), &reply("ok", "{}")).await;
    let channel = the_channel(&handed);
    let pushed = std::thread::spawn(move || channel.push("afar", Payload::binary(&b"\x00\xff"[..]))).join().unwrap();
    assert_eq!(pushed, Ok(()));
    let heard = client.receive_any().await;
    assert_eq!(heard, common::Received::Binary(b"\x00\x01\x08\x041kit:roomafar\x00\xff".to_vec()));
    other.expect_nothing().await;
}

#[actix_web::test]
async fn a_broadcast_reaches_all_members_or_all_others() {
    let (_node, _handed, mut client, mut other) = two().await;
    let told = |event| format!(r#"[null,null,"{ROOM}","{event}",{{"a":1}}]"#);
    client.exchange(&say("all"), &told("all")).await;
    client.expect(&reply("ok", "{}")).await;
    other.expect(&told("all")).await;
    client.exchange(&say("others"), &reply("ok", "{}")).await;
    other.expect(&told("others")).await;
    client.expect_nothing().await;
}

#[actix_web::test]
async fn a_broadcast_on_another_topic_reaches_only_its_members() {
    let (_node, _handed, mut client, mut other) = two().await;
    other.join("9", "kit:abroad", "{}").await;
    client.exchange(&say("abroad"), &reply("ok", "{}")).await;
    other.expect(r#"[null,null,"kit:abroad","abroad",{"a":1}]"#).await;
    client.join("9", "kit:abroad", "{}").await;
    client.send(&say("abroad")).await;
    let heard = [client.receive().await, client.receive().await];
    assert!(heard.contains(&r#"[null,null,"kit:abroad","abroad",{"a":1}]"#.to_owned()), "{heard:?}");
    client.exchange(&say("home"), &format!(r#"[null,null,"{ROOM}","home",{{"a":1}}]"#)).await;
    client.expect(&reply("ok", "{}")).await;
}

#[actix_web::test]
async fn an_intercepted_broadcast_is_seen_first_by_each_members_channel() {
    let (_node, _handed, mut client, mut other) = two().await;
    client.exchange(&say("guarded"), &reply("ok", "{}")).await;
    client.expect(&format!(r#"["1",null,"{ROOM}","guarded",{{"seen_by":"c1"}}]"#)).await;
    other.expect(&format!(r#"["1",null,"{ROOM}","guarded",{{"seen_by":"c2"}}]"#)).await;
}

#[actix_web::test]
async fn a_channel_stops_itself_after_a_last_reply() {
    let (node, _handed, mut client, mut other) = two().await;
    let gone = format!(r#"[null,null,"{ROOM}","gone",{{"why":"Stopped"}}]"#);
    client.exchange(&say("stop"), &reply("ok", "{}")).await;
    client.expect(&gone).await;
    client.expect(&format!(r#"["1","1","{ROOM}","phx_close",{{}}]"#)).await;
    other.expect(&gone).await;
    client.send(&say("now")).await;
    assert!(client.receive().await.contains("unmatched topic"));
    client.join("2", ROOM, "{}").await;
    drop((client, other));
    wait_until_empty(&node).await;
}

#[actix_web::test]
async fn a_broadcast_from_terminate_is_delivered_when_the_connection_closes() {
    let (_node, _handed, client, mut other) = two().await;
    drop(client);
    other.expect(&format!(r#"[null,null,"{ROOM}","gone",{{"why":"Disconnected"}}]"#)).await;
    other.expect(&format!(r#"["1",null,"{ROOM}","guarded",{{"seen_by":"c2"}}]"#)).await;
    other.send(&format!(r#"["2","2","{ROOM}","phx_join",{{}}]"#)).await;
    other.expect(&format!(r#"[null,null,"{ROOM}","gone",{{"why":"Replaced"}}]"#)).await;
    other.receive_until("welcome").await;
    other.expect(&format!(r#"["1","1","{ROOM}","phx_close",{{}}]"#)).await;
    other.send(&format!(r#"["2","3","{ROOM}","phx_leave",{{}}]"#)).await;
    other.receive_until("phx_reply").await;
    other.expect(&format!(r#"[null,null,"{ROOM}","gone",{{"why":"Left"}}]"#)).await;
}

/// Asks to join what decides later; returns the way to its channel.
async fn ask_to_join(client: &mut Client, handed: &Receiver<Handed>) -> ChannelHandle {
    client.send(&format!(r#"["5","6","{ROOM}","phx_join",{{"later":true}}]"#)).await;
    client.expect_nothing().await;
    the_channel(handed)
}

fn decided(status: &str, response: &str) -> String {
    format!(r#"["5","6","{ROOM}","phx_reply",{{"status":"{status}","response":{response}}}]"#)
}

#[actix_web::test]
async fn a_join_is_decided_later_and_nothing_else_waits_for_it() {
    let (node, handed) = start();
    let mut client = Client::new(node.address()).await;
    let channel = ask_to_join(&mut client, &handed).await;
    client.send(&format!(r#"["5","7","{ROOM}","now",{{"b":2}}]"#)).await;
    client.join("1", "kit:other", "{}").await;
    channel.send(Decide(|| Join::ok_with(json!({ "after": "all" })))).unwrap();
    // the first decision counts
    channel.send(Decide(|| Join::error("no"))).unwrap();
    client.expect(&decided("ok", r#"{"after":"all"}"#)).await;
    client.expect(&format!(r#"["5","7","{ROOM}","phx_reply",{{"status":"ok","response":{{"b":2}}}}]"#)).await;
    client.expect_nothing().await;
    assert_eq!(node.pubsub().count(ROOM), 1);
    drop(client);
    wait_until_empty(&node).await;
}

#[actix_web::test]
async fn a_join_is_refused_later_and_so_is_what_waited_for_it() {
    let (node, handed) = start();
    let mut client = Client::new(node.address()).await;
    let channel = ask_to_join(&mut client, &handed).await;
    client.send(&format!(r#"["5","7","{ROOM}","now",{{}}]"#)).await;
    client.expect_nothing().await;
    channel.send(Decide(|| Join::error("no"))).unwrap();
    client.expect(&decided("error", r#"{"reason":"no"}"#)).await;
    assert!(client.receive().await.contains("unmatched topic"));
    let channel = ask_to_join(&mut client, &handed).await;
    channel.send("stop").unwrap();
    client.expect(&decided("error", r#"{"reason":"stopped"}"#)).await;
    client.expect_nothing().await;
    assert_eq!(node.pubsub().count(ROOM), 0);
}

#[actix_web::test]
async fn a_join_that_is_replaced_while_it_waits_is_answered_and_so_is_what_waited_for_it() {
    let (node, handed) = start();
    let mut client = Client::new(node.address()).await;
    let first = ask_to_join(&mut client, &handed).await;
    client.send(&format!(r#"["5","7","{ROOM}","now",{{}}]"#)).await;
    client.expect_nothing().await;
    client.send(&format!(r#"["8","8","{ROOM}","phx_join",{{}}]"#)).await;
    assert!(client.receive().await.contains("unmatched topic"));
    client.expect(&decided("ok", r#"{"welcome":"room"}"#)).await;
    client.expect(&decided("ok", r#"{"welcome":"room"}"#).replace(r#""5","6""#, r#""8","8""#)).await;
    client.expect(&format!(r#"["5","5","{ROOM}","phx_close",{{}}]"#)).await;
    first.send(Decide(Join::ok)).unwrap(); // this join has been replaced: the decision has no effect
    client.expect_nothing().await;
    assert_eq!(node.pubsub().count(ROOM), 1);
    drop(client);
    wait_until_empty(&node).await;
}

/// It was left without an answer.
#[actix_web::test]
async fn pushes_queued_behind_a_leave_are_answered_all_the_same() {
    let (node, handed) = start();
    let mut client = Client::new(node.address()).await;
    let channel = ask_to_join(&mut client, &handed).await;
    client.send(&format!(r#"["5","7","{ROOM}","phx_leave",{{}}]"#)).await;
    client.send(&format!(r#"["5","8","{ROOM}","now",{{}}]"#)).await;
    client.send(&format!(r#"["5","9","{ROOM}","phx_leave",{{}}]"#)).await;
    client.expect_nothing().await;
    channel.send(Decide(Join::ok)).unwrap();
    client.expect(&decided("ok", "{}")).await;
    client.expect(&format!(r#"["5","7","{ROOM}","phx_reply",{{"status":"ok","response":{{}}}}]"#)).await;
    client.receive_until("phx_close").await;
    let unmatched = r#"{"status":"error","response":{"reason":"unmatched topic"}}"#;
    client.expect(&format!(r#"[null,"8","{ROOM}","phx_reply",{unmatched}]"#)).await;
    client.expect(&format!(r#"[null,"9","{ROOM}","phx_reply",{{"status":"ok","response":{{}}}}]"#)).await;
    client.expect_nothing().await;
    drop(client);
    wait_until_empty(&node).await;
}

/// Each was kept, with its marks, until the channel decided: there was no limit.
#[actix_web::test]
async fn joins_of_one_topic_that_wait_for_their_answers_are_limited() {
    let (node, handed) = start_with(&["limits.joins_per_socket=3"]);
    let mut client = Client::new(node.address()).await;
    let join = |n: usize| format!(r#"["{n}","{n}","{ROOM}","phx_join",{{"later":true}}]"#);
    for n in 0..4 {
        client.send(&join(n)).await;
    }
    client.expect_nothing().await;
    let too_many = r#"{"status":"error","response":{"reason":"too many channels joined"}}"#;
    client.exchange(&join(4), &format!(r#"["4","4","{ROOM}","phx_reply",{too_many}]"#)).await;
    let channel = std::iter::repeat_with(|| the_channel(&handed)).nth(3).unwrap();
    channel.send(Decide(|| Join::error("no"))).unwrap();
    for n in 0..4 {
        client
            .expect(&format!(r#"["{n}","{n}","{ROOM}","phx_reply",{{"status":"error","response":{{"reason":"no"}}}}]"#))
            .await;
    }
    drop(client);
    wait_until_empty(&node).await;
}

/// Asks itself something that knows the connection, and that a test can count.
struct Knot(Arc<()>);

impl Channel for Knot {
    fn handle_in(&mut self, _: &str, _: &Payload, ctx: &mut Context<'_>) -> Reply {
        let this = ctx.channel_handle();
        this.send((this.clone(), self.0.clone())).unwrap();
        Reply::NoReply
    }
}

/// What waited in the queue of a connection that ended kept the connection in memory, and the other way round.
#[actix_web::test]
async fn unread_messages_are_dropped_with_their_connection() {
    let witness = Arc::new(());
    let count = witness.clone();
    let router = Router::new().channel("kit:*", move |_| Knot(witness.clone()));
    let node = Endpoint::new(config(&[])).mount(Mount::new("/socket", router)).start().unwrap();
    let before = Arc::strong_count(&count);
    let mut client = member(&node).await;
    let push = common::frame(0x81, say("any").as_bytes());
    client.raw(&[push, common::frame(0x88, &[])].concat()).await;
    client.close_code().await;
    wait_until("nothing is kept", || async { Arc::strong_count(&count) == before }).await;
    wait_until_empty(&node).await;
}

/// A push from elsewhere was taken for the registry's word, and the join was answered ok before it.
#[actix_web::test]
async fn ok_is_never_said_before_the_registry_has_said_so() {
    let (node, handed) = start();
    let mut owner = Client::new(node.address()).await;
    let channel = ask_to_join(&mut owner, &handed).await;
    channel.send(Decide(|| Join::ok().exclusive(None))).unwrap();
    owner.expect(&decided("ok", "{}")).await;
    let mut second = Client::new(node.address()).await;
    let channel = ask_to_join(&mut second, &handed).await;
    channel.push("early", Payload::empty()).unwrap();
    channel.send(Decide(|| Join::ok().exclusive(None))).unwrap();
    second.expect(&format!(r#"["5",null,"{ROOM}","early",{{}}]"#)).await;
    owner.answer_ping().await;
    second.expect(&decided("error", r#"{"reason":"taken"}"#)).await;
    owner.expect_nothing().await;
}

#[actix_web::test]
async fn broadcasts_of_a_channel_before_it_is_a_member_are_dropped() {
    let (node, handed, mut client, mut other) = two().await;
    let mut third = Client::new(node.address()).await;
    let channel = ask_to_join(&mut third, &handed).await;
    channel.send(Decide(|| Join::error("no"))).unwrap();
    third.expect(&decided("error", r#"{"reason":"no"}"#)).await;
    client.expect_nothing().await;
    other.expect_nothing().await;
}
