//! Engine.IO: how the owner of a contested name shows that it is alive, by revision and transport.

use handclasp::Join;

use super::*;

/// A namespace with one member.
struct Throne;

impl Channel for Throne {
    fn join(&mut self, _: &Payload, _: &mut Context<'_>) -> Join {
        Join::ok().exclusive(None)
    }
}

/// Both protocols on Engine.IO, with an exclusive topic each.
fn thrones(timeout: &str) -> Node {
    let sets = [timeout, "server.workers=2"];
    let throne = || Router::new().channel("/", |_| Throne);
    Endpoint::new(config(&sets))
        .socketio(Mount::new("/throne.io", throne()))
        .engineio(Mount::new("/throne.eio", throne()))
        .start()
        .unwrap()
}

const PATIENT: &str = "limits.contest_timeout=1m";
const SHORT: &str = "limits.contest_timeout=300ms";
const IO4: &str = "/throne.io/?EIO=4&transport=polling";
const IO3: &str = "/throne.io/?EIO=3&transport=polling";
const IO2: &str = "/throne.io/?EIO=2&transport=polling";

/// A Socket.IO client that claims the namespace. It waits for the decision.
async fn claim(node: &Node) -> Client {
    let mut client = Client::open(node.address(), &websocket(IO4), &[]).await;
    client.receive().await;
    client.send("40").await;
    client
}

async fn is_taken(client: &mut Client) {
    client.expect(r#"44{"message":"taken"}"#).await;
}

async fn is_free(client: &mut Client) {
    assert!(client.receive().await.starts_with("40{"));
}

/// A WebSocket client of this revision that owns the namespace.
async fn owner(node: &Node, path: &str) -> Client {
    let mut owner = Client::open(node.address(), &websocket(path), &[]).await;
    owner.receive_until("0{").await;
    if path == IO4 {
        owner.send("40").await;
    }
    owner.receive_until("40").await;
    owner
}

/// A polling session of this revision that owns the namespace.
async fn polling_owner(node: &Node, path: &str) -> String {
    let session = open(node.address(), path).await;
    if path == IO4 {
        assert_eq!(post(node.address(), &session, "40").await.text(), "ok");
    }
    let joined = poll(node.address(), &session).await;
    assert!(String::from_utf8_lossy(&joined.body).contains("40"), "{joined:?}");
    session
}

/// Answers the ping: in revision 4 a packet, in revision 3, whose servers send no packets of that kind, a frame.
async fn answer(owner: &mut Client, path: &str) {
    if path == IO3 {
        return owner.answer_ping().await;
    }
    owner.expect("2").await;
    owner.send("3").await;
}

#[actix_web::test]
async fn a_websocket_answers_a_ping() {
    let node = thrones(PATIENT);
    for path in [IO4, IO3] {
        let mut first = owner(&node, path).await;
        let mut second = claim(&node).await;
        answer(&mut first, path).await;
        is_taken(&mut second).await;
        drop((first, second));
        wait_until_empty(&node).await;
    }
}

#[actix_web::test]
async fn a_polling_client_polls_again() {
    let node = thrones(PATIENT);
    let noop = packed(&["6"]);
    for (path, packet) in [(IO4, b"2".to_vec()), (IO3, noop.clone()), (IO2, noop)] {
        let session = polling_owner(&node, path).await;
        let mut polling = begin(node.address(), &request("GET", &session, &[], b"")).await;
        let mut second = claim(&node).await;
        assert_eq!(finish(&mut polling).await.body, packet);
        let again = begin(node.address(), &request("GET", &session, &[], b"")).await;
        is_taken(&mut second).await;
        drop((polling, again, second));
        wait_until_empty(&node).await;
    }
}

#[actix_web::test]
async fn an_upgraded_session_answers_over_its_websocket() {
    let node = thrones(PATIENT);
    for path in [IO4, IO3] {
        let session = polling_owner(&node, path).await;
        let mut first = probe(node.address(), &session).await;
        first.send("5").await;
        // the answer shows that the upgrade is complete
        match path {
            IO4 => first.exchange("40/other,", r#"44/other,{"message":"Invalid namespace"}"#).await,
            _ => first.exchange("2", "3").await,
        }
        let mut second = claim(&node).await;
        answer(&mut first, path).await;
        is_taken(&mut second).await;
        drop((first, second));
        wait_until_empty(&node).await;
    }
}

#[actix_web::test]
async fn a_websocket_that_does_not_answer_is_closed() {
    let node = thrones(SHORT);
    for path in [IO4, IO3] {
        let mut frozen = owner(&node, path).await;
        let mut second = claim(&node).await;
        is_free(&mut second).await;
        assert_eq!(frozen.close_code().await, 1001);
        drop((frozen, second));
        wait_until_empty(&node).await;
    }
}

#[actix_web::test]
async fn a_polling_client_that_does_not_poll_again_is_closed() {
    let node = thrones(SHORT);
    for path in [IO4, IO3] {
        let session = polling_owner(&node, path).await;
        let mut polling = begin(node.address(), &request("GET", &session, &[], b"")).await;
        let mut second = claim(&node).await;
        is_free(&mut second).await;
        finish(&mut polling).await;
        wait_until("the session is closed", || async { node.connections() == 1 }).await;
        assert_eq!(poll(node.address(), &session).await.status, 400);
        drop((polling, second));
        wait_until_empty(&node).await;
    }
}

#[actix_web::test]
async fn an_upgraded_session_that_does_not_answer_is_closed() {
    let node = thrones(SHORT);
    for path in [IO4, IO3] {
        let session = polling_owner(&node, path).await;
        let mut frozen = probe(node.address(), &session).await;
        frozen.send("5").await;
        // it has been read, and is no answer
        frozen.raw(&common::frame(0x89, b"")).await;
        assert_eq!(frozen.receive_any().await, Received::Pong(vec![]));
        let mut second = claim(&node).await;
        is_free(&mut second).await;
        assert_eq!(frozen.close_code().await, 1001);
        drop((frozen, second));
        wait_until_empty(&node).await;
    }
}

/// Plain Engine.IO has no message for a refusal: the connection closes.
#[actix_web::test]
async fn plain_engineio_closes_the_connection_that_is_refused() {
    let node = thrones(PATIENT);
    let path = "/throne.eio/?EIO=4&transport=websocket";
    let mut first = Client::open(node.address(), path, &[]).await;
    first.receive().await;
    wait_until("the name is owned", || async { node.pubsub().stats().await.names == 1 }).await;
    let mut second = Client::open(node.address(), path, &[]).await;
    answer(&mut first, IO4).await;
    assert_eq!(second.close_code().await, 1005);
}
