//! Tests of the examples. Each example is a program, and is also a module here.

#[path = "../examples/lookup.rs"]
#[allow(dead_code, reason = "its main is not ours")]
mod lookup;
#[path = "../examples/observer.rs"]
#[allow(dead_code, reason = "its main is not ours")]
mod observer;
#[path = "../examples/test_kit.rs"]
#[allow(dead_code, reason = "its main is not ours")]
mod test_kit;
#[path = "../examples/typed.rs"]
#[allow(dead_code, reason = "its main is not ours")]
mod typed;

use handclasp::testing::TestServer;
use handclasp::{Config, Mount, Payload, channels};
use serde_json::json;

#[actix_web::test]
async fn lookup_awaits_and_keeps_the_order() {
    let server = TestServer::new(lookup::mount());
    let mut client = server.connect().await;
    assert_eq!(client.try_join("shop:bob", json!({})).await, Err(Payload::reason("unknown user")));
    assert_eq!(client.join("shop:ann", json!({})).await, json!(42).into());
    let tea = client.push("shop:ann", "tea", json!({})).await;
    let salt = client.push("shop:ann", "salt", json!({})).await;
    client.assert_reply(salt, "error", json!({ "reason": "not found" })).await;
    client.assert_reply(tea, "ok", json!(42)).await;
}

#[actix_web::test]
async fn typed_parses_and_serialises() {
    let server = TestServer::new(typed::mount());
    let (mut one, mut other) = (server.connect().await, server.connect().await);
    one.join("walk:a", json!({})).await;
    other.join("walk:a", json!({})).await;
    let step = one.push("walk:a", "step", json!({ "by": 3 })).await;
    one.assert_reply(step, "ok", json!({ "at": 3 })).await;
    other.assert_broadcast("walk:a", "moved", json!({ "at": 3 })).await;
    let step = one.push("walk:a", "step", json!({})).await;
    one.assert_reply(step, "error", json!({ "reason": "missing field `by`" })).await;
}

#[actix_web::test]
async fn observer_receives_the_lobbys_broadcast_and_presence_list() {
    let server = TestServer::new(Mount::new("/socket", channels::builtin::standard(&Config::default())));
    let observed = actix_web::rt::spawn({
        let pubsub = server.pubsub();
        async move { observer::observe(pubsub).await.unwrap() }
    });
    let mut client = server.connect().await;
    client.join("room:lobby", json!({ "meta": {} })).await;
    crate::common::wait_until("the observer listens", || async { server.pubsub().count("room:lobby") == 2 }).await;
    client.push("room:lobby", "said", json!("hello")).await;
    let (words, present) = observed.await.unwrap();
    assert_eq!((&*words, present.len()), ("hello", 1));
}

#[actix_web::test]
async fn the_test_kit_tests_a_channel() {
    test_kit::other_members_receive_a_message().await;
}
