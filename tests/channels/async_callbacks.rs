//! Tests of asynchronous callbacks: joins and replies that a future decides, and background tasks. The order of a
//! client's messages to one topic is kept, nothing else waits, and futures that are no longer needed are dropped.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use handclasp::{Channel, Context, Endpoint, Join, Mount, Node, Payload, Reply, Router, TerminateReason, Topic};
use tokio::sync::oneshot::{Receiver, Sender, channel};

use crate::common::longpoll::LongPollClient;
use crate::common::{Client, config, wait_until, wait_until_empty};

/// Futures that the test completes, by name.
#[derive(Clone, Default)]
struct Gates(Arc<Mutex<HashMap<String, Sender<&'static str>>>>);

impl Gates {
    fn wait(&self, name: &str) -> Receiver<&'static str> {
        let (open, opened) = channel();
        self.0.lock().unwrap().insert(name.to_owned(), open);
        opened
    }

    async fn open(&self, name: &str, with: &'static str) {
        wait_until(name, || async { self.0.lock().unwrap().contains_key(name) }).await;
        self.0.lock().unwrap().remove(name).unwrap().send(with).unwrap();
    }

    /// Waits until the future that waits for the gate is dropped.
    async fn is_dropped(&self, name: &str) {
        wait_until(name, || async { self.0.lock().unwrap().get(name).is_some_and(Sender::is_closed) }).await;
    }
}

struct Slow(Gates);

impl Channel for Slow {
    fn join(&mut self, payload: &Payload, ctx: &mut Context<'_>) -> Join {
        if *payload == Payload::empty() {
            return Join::ok();
        }
        ctx.join_async(self.0.wait("join"), |_: &mut Self, word, _| match word {
            Ok("ok") => Join::ok_with(&["welcome"]),
            _ => Join::error("no"),
        })
    }

    fn handle_in(&mut self, event: &str, _: &Payload, ctx: &mut Context<'_>) -> Reply {
        match event {
            "now" => Reply::ok(),
            "panic" => ctx.reply_async(async { panic!("the future has failed") }, |_: &mut Self, (), _| Reply::ok()),
            "wrong" => ctx.reply_async(async {}, |_: &mut Other, (), _| Reply::ok()),
            "twice" => ctx.reply_async(self.0.wait("first"), |channel: &mut Self, _, ctx| {
                ctx.reply_async(channel.0.wait("second"), |_: &mut Self, word, _| Reply::ok_with(word.unwrap()))
            }),
            "stop" => ctx.reply_async(self.0.wait("stop"), |_: &mut Self, _, ctx| {
                ctx.stop();
                Reply::ok()
            }),
            _ if event.starts_with("spawn") => {
                let request = ctx.request_ref();
                let spawned = ctx.spawn(self.0.wait(event), |_: &mut Self, word, ctx| {
                    ctx.push("spawned", word.unwrap());
                    ctx.reply(request, Reply::ok_with(&ctx.request_ref().reference.as_deref()));
                });
                spawned.map_or_else(|error| Reply::error(error.reason()), |()| Reply::NoReply)
            }
            name => ctx.reply_async(self.0.wait(name), |_: &mut Self, word, _| Reply::ok_with(word.unwrap())),
        }
    }

    fn terminate(&mut self, _: TerminateReason, ctx: &mut Context<'_>) {
        let _ = ctx.spawn(self.0.wait("terminate"), |_: &mut Self, _, _| unreachable!("it has ended"));
    }
}

struct Other;
impl Channel for Other {}

async fn start(sets: &[&str]) -> (Node, Gates, Client) {
    let gates = Gates::default();
    let shared = gates.clone();
    let router = Router::new().channel("slow:*", move |_| Slow(shared.clone()));
    let node = Endpoint::new(config(sets)).mount(Mount::new("/socket", router)).start().unwrap();
    let client = Client::new(node.address()).await;
    (node, gates, client)
}

fn push(reference: u8, topic: &str, event: &str) -> String {
    format!(r#"["1","{reference}","slow:{topic}","{event}",{{}}]"#)
}

fn reply(reference: u8, topic: &str, status: &str, response: &str) -> String {
    format!(r#"["1","{reference}","slow:{topic}","phx_reply",{{"status":"{status}","response":{response}}}]"#)
}

#[actix_web::test]
async fn what_follows_an_awaited_request_waits_for_its_answer_and_nothing_else_does() {
    let (node, gates, mut client) = start(&[]).await;
    client.join("1", "slow:a", "{}").await;
    client.join("1", "slow:b", "{}").await;
    for (reference, event) in [(2, "first"), (3, "now"), (4, "second"), (5, "now")] {
        client.send(&push(reference, "a", event)).await;
    }
    client.exchange(&push(6, "b", "now"), &reply(6, "b", "ok", "{}")).await;
    node.pubsub().broadcast(&Topic::parse("slow:a").unwrap(), "news", &1);
    client.expect(r#"[null,null,"slow:a","news",1]"#).await;
    client.expect_nothing().await;
    gates.open("first", "one").await;
    client.expect(&reply(2, "a", "ok", r#""one""#)).await;
    client.expect(&reply(3, "a", "ok", "{}")).await;
    client.expect_nothing().await;
    gates.open("second", "two").await;
    client.expect(&reply(4, "a", "ok", r#""two""#)).await;
    client.expect(&reply(5, "a", "ok", "{}")).await;
}

#[actix_web::test]
async fn an_answer_may_await_once_more() {
    let (_node, gates, mut client) = start(&[]).await;
    client.join("1", "slow:a", "{}").await;
    client.send(&push(2, "a", "twice")).await;
    client.send(&push(3, "a", "now")).await;
    gates.open("first", "one").await;
    client.expect_nothing().await;
    gates.open("second", "two").await;
    client.expect(&reply(2, "a", "ok", r#""two""#)).await;
    client.expect(&reply(3, "a", "ok", "{}")).await;
}

#[actix_web::test]
async fn what_waits_for_an_answer_is_bounded_in_bytes() {
    let (_node, gates, mut client) = start(&["limits.queue_bytes=1024"]).await;
    client.join("1", "slow:a", "{}").await;
    client.send(&push(2, "a", "first")).await;
    for _ in 0..40 {
        client.send(&push(3, "a", "now")).await;
    }
    client.expect(&reply(3, "a", "error", r#"{"reason":"overloaded"}"#)).await;
    client.receive_until("overloaded").await;
    gates.open("first", "one").await;
    client.receive_until(r#""one""#).await;
    client.expect(&reply(3, "a", "ok", "{}")).await;
}

#[actix_web::test]
async fn a_leave_waits_for_the_answer_before_it() {
    let (node, gates, mut client) = start(&[]).await;
    client.join("1", "slow:a", "{}").await;
    for (reference, event) in [(2, "first"), (3, "phx_leave"), (4, "now")] {
        client.send(&push(reference, "a", event)).await;
    }
    client.expect_nothing().await;
    gates.open("first", "one").await;
    client.expect(&reply(2, "a", "ok", r#""one""#)).await;
    client.expect(&reply(3, "a", "ok", "{}")).await;
    client.expect(r#"["1","1","slow:a","phx_close",{}]"#).await;
    assert!(client.receive().await.contains("unmatched topic"));
    assert_eq!(node.pubsub().count("slow:a"), 0);
}

#[actix_web::test]
async fn what_waited_for_an_answer_is_refused_when_the_channel_ends() {
    let (node, gates, mut client) = start(&[]).await;
    client.join("1", "slow:a", "{}").await;
    client.send(&push(2, "a", "stop")).await;
    client.send(&push(3, "a", "now")).await;
    gates.open("stop", "").await;
    client.expect(&reply(2, "a", "ok", "{}")).await;
    client.expect(r#"["1","1","slow:a","phx_close",{}]"#).await;
    assert!(client.receive().await.contains("unmatched topic"));
    client.join("1", "slow:a", "{}").await;
    client.send(&push(2, "a", "first")).await;
    client.send(&push(3, "a", "now")).await;
    client.send(r#"["9","9","slow:a","phx_join",{}]"#).await;
    assert!(client.receive().await.contains("unmatched topic"));
    client.receive_until("phx_close").await;
    gates.is_dropped("first").await;
    drop(client);
    wait_until_empty(&node).await;
}

#[actix_web::test]
async fn a_spawned_task_holds_nothing_up() {
    let (_node, gates, mut client) = start(&[]).await;
    client.join("1", "slow:a", "{}").await;
    client.send(&push(2, "a", "spawn")).await;
    client.exchange(&push(3, "a", "now"), &reply(3, "a", "ok", "{}")).await;
    gates.open("spawn", "done").await;
    client.expect(r#"["1",null,"slow:a","spawned","done"]"#).await;
    client.expect(&reply(2, "a", "ok", "null")).await; // the callback handles no request
}

#[actix_web::test]
async fn a_join_is_decided_by_a_future() {
    let (node, gates, mut client) = start(&[]).await;
    let join = r#"["1","1","slow:a","phx_join",{"later":1}]"#;
    client.send(join).await;
    client.send(&push(2, "a", "now")).await;
    client.expect_nothing().await;
    gates.open("join", "ok").await;
    client.expect(&reply(1, "a", "ok", r#"["welcome"]"#)).await;
    client.expect(&reply(2, "a", "ok", "{}")).await;
    client.send(&join.replace("slow:a", "slow:b")).await;
    gates.open("join", "no").await;
    client.expect(&reply(1, "b", "error", r#"{"reason":"no"}"#)).await;
    assert_eq!(node.pubsub().count("slow:b"), 0);
}

#[actix_web::test]
async fn tasks_end_with_their_channel_and_with_their_connection() {
    let (node, gates, mut client) = start(&["limits.tasks_per_socket=2"]).await;
    client.join("1", "slow:a", "{}").await;
    client.join("1", "slow:b", "{}").await;
    client.send(&push(2, "a", "spawn 1")).await;
    client.send(&push(3, "b", "spawn 2")).await;
    let full = r#"{"reason":"too many tasks"}"#;
    client.exchange(&push(4, "b", "spawn 3"), &reply(4, "b", "error", full)).await;
    client.exchange(&push(5, "b", "first"), &reply(5, "b", "error", full)).await;
    client.exchange(r#"["1","6","slow:c","phx_join",{"later":1}]"#, &reply(6, "c", "error", full)).await;
    client.send(&push(7, "a", "phx_leave")).await;
    client.receive_until("phx_close").await;
    gates.is_dropped("spawn 1").await;
    gates.is_dropped("terminate").await;
    client.send(&push(8, "b", "spawn 4")).await;
    client.expect_nothing().await;
    drop(client);
    gates.is_dropped("spawn 2").await;
    gates.is_dropped("spawn 4").await;
    wait_until_empty(&node).await;
}

#[actix_web::test]
async fn a_future_that_panics_and_a_callback_of_another_channel_cost_their_channel_alone() {
    let (node, _gates, mut client) = start(&[]).await;
    client.join("1", "slow:b", "{}").await;
    for (event, crashes) in [("panic", 1), ("wrong", 2)] {
        client.join("1", "slow:a", "{}").await;
        client.exchange(&push(2, "a", event), r#"["1","1","slow:a","phx_error",{"reason":"channel_crash"}]"#).await;
        assert_eq!(node.pubsub().metrics().channel_crashes.get(), crashes);
    }
    client.exchange(&push(2, "b", "now"), &reply(2, "b", "ok", "{}")).await;
}

/// Long-polling clients have the same sessions.
#[actix_web::test]
async fn a_long_polling_client_receives_an_awaited_reply() {
    let (node, gates, _client) = start(&[]).await;
    let mut poller = LongPollClient::open(node.address(), "/socket", "2.0.0", &[]).await;
    poller.join("slow:a").await;
    poller.send(&push(2, "a", "first")).await;
    gates.open("first", "one").await;
    assert!(poller.receive_text().await.contains(r#""one""#));
}
