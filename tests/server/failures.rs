//! Failures of the node itself: a session that panics loses only its own connection, and a registry that panics stops
//! the node with an error.

use handclasp::broker::adapter::{Adapter, BoxFuture, LocalAdapter, Packet};
use handclasp::{Channel, Context, Endpoint, Mount, Payload, Reply, Router, TerminateReason, Topic, close};

use crate::common::{self, Client, config, wait_until_empty};

/// An adapter that panics: in the registry for the topic `room:registry`, and in a session for `room:session`.
struct Faulty;

impl Adapter for Faulty {
    fn publish(&self, topics: &[Topic], _: Packet) {
        assert!(topics.iter().all(|topic| topic.subtopic() != "session"), "a failure in a session, for the test");
    }
    fn subscribe(&self, topic: &Topic) -> BoxFuture<()> {
        assert_ne!(topic.subtopic(), "registry", "a failure in the registry, for the test");
        LocalAdapter.subscribe(topic)
    }
}

#[actix_web::test]
async fn a_node_stops_with_an_error_when_its_registry_panics() {
    let node = Endpoint::new(config(&[])).adapter(Faulty).start().unwrap();
    let mut client = Client::new(node.address()).await;
    let serving = actix_web::rt::spawn(node.run_until_signal());
    client.send(r#"["1","1","room:registry","phx_join",{}]"#).await;
    let result = tokio::time::timeout(common::TIMEOUT, serving).await.expect("the node stops").unwrap();
    assert_eq!(result.unwrap_err().to_string(), "the registry has died");
}

/// Forwards its client's messages, and broadcasts `left` when it terminates.
struct Announcing;

impl Channel for Announcing {
    fn handle_in(&mut self, event: &str, payload: &Payload, ctx: &mut Context<'_>) -> Reply {
        ctx.broadcast_from(event, payload.clone());
        Reply::ok()
    }

    fn terminate(&mut self, _: TerminateReason, ctx: &mut Context<'_>) {
        ctx.broadcast_from("left", Payload::empty());
    }
}

#[actix_web::test]
async fn a_session_that_panics_loses_only_its_own_connection() {
    let mount = Mount::new("/socket", Router::new().channel("room:*", |_| Announcing));
    let node = Endpoint::new(config(&[])).adapter(Faulty).mount(mount).start().unwrap();
    let (mut victim, mut other) = (Client::new(node.address()).await, Client::new(node.address()).await);
    for client in [&mut victim, &mut other] {
        client.join("1", "room:session", "{}").await;
        client.join("2", "room:well", "{}").await;
    }
    // the session panics, and panics again in the `terminate` of its channel on the same topic
    victim.send(r#"["1","3","room:session","hello",{}]"#).await;
    assert_eq!(victim.close_code().await, 1006);
    // its other channel still terminates, and other clients are not affected
    other.receive_until("left").await;
    let mut next = Client::new(node.address()).await;
    next.join("1", "room:well", "{}").await;
    other.send(r#"["2","4","room:well","hello",{}]"#).await;
    next.expect(r#"[null,null,"room:well","hello",{}]"#).await;
    assert_eq!(node.connections(), 2);
    assert_eq!(node.pubsub().metrics().connections_closed.of(&close::CRASHED), 1);
    other.send(r#"["1","5","room:session","phx_leave",{}]"#).await;
    drop((other, next));
    wait_until_empty(&node).await;
}
