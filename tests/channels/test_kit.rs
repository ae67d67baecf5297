//! Tests of the test kit itself: what it sends and receives, the limits of its clients, and the messages of failed
//! assertions.

use std::panic::AssertUnwindSafe;

use futures_util::FutureExt;
use handclasp::testing::{TestClient, TestServer};
use handclasp::{Channel, ConnectError, Context, Join, Mount, Payload, Reply, Router, SocketInit, Topic, close};
use serde_json::json;

use crate::common::{config, wait_until_registry_empty};

struct Name(String);

struct Kit;

impl Channel for Kit {
    fn join(&mut self, _: &Payload, ctx: &mut Context<'_>) -> Join {
        Join::ok_with(json!({ "transport": ctx.transport() }))
    }

    fn handle_in(&mut self, event: &str, payload: &Payload, ctx: &mut Context<'_>) -> Reply {
        match event {
            "push" => ctx.push("pushed", payload.clone()),
            "all" => ctx.broadcast("told", payload.clone()),
            "others" => ctx.broadcast_from("told", payload.clone()),
            "name" => return Reply::ok_with(&ctx.assigns().get::<Name>().map(|name| name.0.clone())),
            "stop" => ctx.stop(),
            "crash" => std::panic::resume_unwind(Box::new("as the test wants it")),
            _ => return Reply::error_with(payload.clone()),
        }
        Reply::ok()
    }
}

fn mount() -> Mount {
    Mount::new("/kit", Router::new().channel("kit:*", |_| Kit)).connect(|info| match info.param("name") {
        Some("mallory") => Err(ConnectError::forbidden()),
        Some(name) => Ok(SocketInit::default().assign(Name(format!("{name} {:?}", info.header("x-id"))))),
        None => Ok(SocketInit::default().id(Topic::parse("user:1").unwrap())),
    })
}

async fn two() -> (TestServer, TestClient, TestClient) {
    let server = TestServer::new(mount());
    let (mut one, mut other) = (server.connect().await, server.connect().await);
    one.join("kit:a", json!({})).await;
    other.join("kit:a", json!({})).await;
    (server, one, other)
}

/// What a failed test prints.
async fn failure<T>(assertion: impl Future<Output = T>) -> String {
    let panic = AssertUnwindSafe(assertion).catch_unwind().await.err().expect("the assertion fails");
    *panic.downcast::<String>().unwrap()
}

#[actix_web::test]
async fn requests_pushes_and_broadcasts_arrive_as_json_or_bytes() {
    let (_server, mut one, mut other) = two().await;
    for payload in [Payload::from(json!({ "a": [1, "\u{e9}"] })), Payload::binary(vec![0, 255])] {
        for event in ["push", "all", "unknown"] {
            let push = one.push("kit:a", event, payload.clone()).await;
            match event {
                "unknown" => one.assert_reply(push, "error", payload.clone()).await,
                _ => one.assert_reply(push, "ok", json!({})).await,
            }
        }
        one.assert_push("kit:a", "pushed", payload.clone()).await;
        one.assert_broadcast("kit:a", "told", payload.clone()).await;
        assert_eq!(other.next_broadcast("kit:a", "told").await, payload);
        other.refute_push("kit:a", "pushed").await;
    }
    one.push("kit:a", "others", json!(1)).await;
    one.refute_broadcast("kit:a", "told").await;
    other.assert_broadcast("kit:a", "told", &1).await;
}

#[actix_web::test]
async fn joins_end_in_each_of_their_ways() {
    let (server, mut one, mut other) = two().await;
    assert_eq!(one.try_join("kit:b", json!(null)).await, Err(Payload::reason("invalid payload")));
    assert_eq!(one.join("kit:b", json!({})).await, json!({ "transport": "websocket" }).into());
    one.leave("kit:b").await;
    assert_eq!(server.pubsub().count("kit:b"), 0);
    one.push("kit:a", "crash", json!({})).await;
    one.assert_crash("kit:a").await;
    other.push("kit:a", "stop", json!({})).await;
    other.assert_close("kit:a").await;
    server.pubsub().broadcast(&Topic::parse("user:1").unwrap(), "disconnect", json!({}));
    assert_eq!(*one.assert_disconnect().await, close::DISCONNECTED);
    other.disconnect().await;
    wait_until_registry_empty(&server.pubsub()).await;
}

#[actix_web::test]
async fn the_mounts_own_connect_decides() {
    let server = TestServer::new(mount());
    assert!(server.client().param("name", "mallory").connect().await.is_err());
    let mut ann = server.client().param("name", "ann").header("x-id", "7").connect().await.unwrap();
    ann.join("kit:a", json!({})).await;
    let push = ann.push("kit:a", "name", json!({})).await;
    assert_eq!(ann.reply(push).await, ("ok".to_owned(), Payload::from("ann Some(\"7\")")));
}

#[actix_web::test]
async fn the_limits_are_those_of_a_node() {
    let sets = ["limits.joins_per_socket=1", "limits.messages_per_second=1", "limits.messages_burst=4"];
    let server = TestServer::with_config(config(&sets), mount());
    let mut client = server.connect().await;
    client.join("kit:a", json!({})).await;
    assert_eq!(client.try_join("kit:b", json!({})).await, Err(Payload::reason("too many channels joined")));
    for _ in 0..30 {
        client.push("kit:a", "push", json!({})).await;
    }
    assert_eq!(*client.assert_disconnect().await, close::FLOOD);
}

#[actix_web::test]
async fn a_failed_assertion_says_what_was_received_instead() {
    let (_server, mut one, _other) = two().await;
    let push = one.push("kit:a", "push", json!({ "a": 1 })).await;
    let line = line!() + 1;
    let said = failure(one.assert_push("kit:a", "pushed", json!({ "a": 2 }))).await;
    let want = format!(
        "{}:{line}:28: not received: push \"pushed\" on \"kit:a\": {{\"a\":2}}\n\
         received instead:\n  push \"pushed\" on \"kit:a\": {{\"a\":1}}\n  \
         reply \"ok\" to request 2 on \"kit:a\": {{}}",
        file!()
    );
    assert_eq!(said, want);
    one.assert_reply(push, "ok", json!({})).await;
    let said = failure(one.refute_push("kit:a", "pushed")).await;
    assert!(said.ends_with(r#"received push "pushed" on "kit:a": {"a":1}"#), "{said}");
    let said = failure(one.join("kit:c", json!(null))).await;
    assert!(said.contains(r#"the join of "kit:c" was refused: {"reason":"invalid payload"}"#), "{said}");
}

/// A topic with one member.
struct Throne;

impl Channel for Throne {
    fn join(&mut self, _: &Payload, _: &mut Context<'_>) -> Join {
        Join::ok().exclusive(None)
    }
}

/// A test client sends nothing while its test does something else, and is alive all the same.
#[actix_web::test]
async fn a_client_of_the_kit_keeps_its_name() {
    let router = Router::new().channel("throne", |_| Throne);
    let server = TestServer::with_config(config(&["limits.contest_timeout=1m"]), Mount::new("/kit", router));
    let (mut one, mut other) = (server.connect().await, server.connect().await);
    one.join("throne", json!({})).await;
    assert_eq!(other.try_join("throne", json!({})).await, Err(Payload::reason("taken")));
    one.assert_quiet().await;
}
