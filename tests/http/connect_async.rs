//! A mount with an asynchronous `connect`: it decides on every transport and protocol, waiting clients count as
//! connections, and the wait has a timeout.

use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use handclasp::metrics::ConnectRefusal;
use handclasp::{
    Channel, ConnectError, ConnectInfo, Context, Endpoint, Join, Mount, Node, Payload, Router, SocketInit,
};
use tokio::sync::Notify;

use crate::common::longpoll::{LongPollClient, request};
use crate::common::phoenix::status;
use crate::common::{Client, config, wait_until};

struct User(String);

/// Its reply to a join is the user that `connect` has assigned.
struct Mirror;

impl Channel for Mirror {
    fn join(&mut self, _: &Payload, ctx: &mut Context<'_>) -> Join {
        Join::ok_with(&ctx.assigns().get::<User>().map(|user| user.0.clone()))
    }
}

/// How many calls of `connect` wait.
#[derive(Clone, Default)]
struct Waiting(Arc<AtomicUsize>);

impl Waiting {
    async fn are(&self, count: usize) {
        wait_until("the number of waiting calls", || async { self.0.load(Ordering::SeqCst) == count }).await;
    }
}

struct One(Waiting);

impl Drop for One {
    fn drop(&mut self) {
        self.0.0.fetch_sub(1, Ordering::SeqCst);
    }
}

async fn connect(info: ConnectInfo, waiting: Waiting, open: Arc<Notify>) -> Result<SocketInit, ConnectError> {
    waiting.0.fetch_add(1, Ordering::SeqCst);
    let _one = One(waiting);
    let user = Rc::new(info.param("user").unwrap_or("nobody").to_owned()); // the future does not need to be `Send`
    tokio::task::yield_now().await;
    match &**user {
        "bad" => return Err(ConnectError::forbidden()),
        "dead" => panic!("this test requires a panic"),
        "slow" => open.notified().await,
        _ => {}
    }
    Ok(SocketInit::default().assign(User(user.to_string())))
}

fn start(sets: &[&str]) -> (Node, Waiting, Arc<Notify>) {
    let (waiting, open) = (Waiting::default(), Arc::new(Notify::new()));
    let mount = |path, router| {
        let (waiting, open) = (waiting.clone(), open.clone());
        Mount::new(path, router).connect_async(move |info| connect(info, waiting.clone(), open.clone()))
    };
    let router = || Router::new().channel("mirror:*", |_| Mirror);
    let node = Endpoint::new(config(sets))
        .mount(mount("/own", router()))
        .engineio(mount("/engine", Router::new().channel("/", |_| Mirror)))
        .start()
        .unwrap();
    (node, waiting, open)
}

/// The status of the response to a WebSocket client.
async fn answer(node: &Node, query: &str) -> u16 {
    status(node.address(), &format!("/own?{query}"), "2.0.0", &[]).await
}

#[actix_web::test]
async fn a_future_decides_on_every_transport() {
    let (node, waiting, _) = start(&[]);
    let mut client = Client::open(node.address(), "/own/websocket?vsn=2.0.0&user=ann", &[]).await;
    assert!(client.join("1", "mirror:a", "{}").await.contains(r#""response":"ann""#));
    assert_eq!((answer(&node, "user=bad").await, answer(&node, "user=dead").await), (403, 500));
    let mut poller = LongPollClient::open(node.address(), "/own?user=ben", "2.0.0", &[]).await;
    poller.send(r#"["1","1","mirror:a","phx_join",{}]"#).await;
    assert!(poller.receive_text().await.contains(r#""response":"ben""#));
    let refused = request(node.address(), "GET", "/own/longpoll?vsn=2.0.0&user=bad", &[], b"").await;
    assert_eq!(refused.status(), 403);
    for (user, status) in [("ann", 200), ("bad", 403)] {
        let polled = format!("/engine/?EIO=4&transport=polling&user={user}");
        assert_eq!(request(node.address(), "GET", &polled, &[], b"").await.http, status);
    }
    let pubsub = node.pubsub();
    let refused = &pubsub.metrics().connections_refused;
    assert_eq!((refused.of(ConnectRefusal::Mount), refused.of(ConnectRefusal::Crash)), (3, 1));
    waiting.are(0).await;
}

#[actix_web::test]
async fn waiting_clients_count_as_connections_until_they_disconnect() {
    let (node, waiting, open) = start(&["limits.sockets_per_ip=2"]);
    let asking = || async { answer(&node, "user=slow").await };
    let (mut one, mut other) = (Box::pin(asking()), Box::pin(asking()));
    tokio::select! {
        _ = &mut one => panic!("no decision was made"),
        _ = &mut other => panic!("no decision was made"),
        () = waiting.are(2) => {}
    }
    assert_eq!(answer(&node, "user=ann").await, 429, "the waiting clients use both connections");
    assert_eq!(node.connections(), 2);
    drop(one);
    waiting.are(1).await;
    wait_until("a free connection", || async { node.connections() == 1 }).await;
    open.notify_waiters();
    assert_eq!(other.await, 101);
    assert_eq!(node.pubsub().metrics().connections_refused.of(ConnectRefusal::Timeout), 1);
}

#[actix_web::test]
async fn a_future_that_takes_too_long_is_dropped() {
    let (node, waiting, _) = start(&["socket.connect_timeout=20ms"]);
    assert_eq!(answer(&node, "user=slow").await, 503);
    assert_eq!(request(node.address(), "GET", "/own/longpoll?vsn=2.0.0&user=slow", &[], b"").await.http, 503);
    waiting.are(0).await;
    wait_until("a free connection", || async { node.connections() == 0 }).await;
    assert_eq!(node.pubsub().metrics().connections_refused.of(ConnectRefusal::Timeout), 2);
}

/// The checks of the request come before `connect`.
#[actix_web::test]
async fn a_request_that_cannot_become_a_socket_is_refused_first() {
    let (node, waiting, _) = start(&[]);
    let (_, head) =
        Client::try_open(node.address(), "/own/websocket?vsn=2.0.0&user=slow", &["sec-websocket-key: twice"]).await;
    assert!(head.starts_with("HTTP/1.1 400"), "{head}");
    waiting.are(0).await;
}
