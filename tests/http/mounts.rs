//! Mounts: the connect callback, and what channels know of the connection: params, headers, addresses, assigns, and the
//! socket id that disconnects it.

use handclasp::{
    Channel, ConnectError, ConnectInfo, Context, Endpoint, Mount, Node, Payload, Reply, Router, SocketInit, Topic,
};
use serde_json::{Value, json};

use crate::common::tls::{Certificate, Tunnel};
use crate::common::{self, Client, Received, config, wait_until, wait_until_empty};

const PATH: &str = "/live/websocket?vsn=2.0.0";

/// What the connect callback has seen of the request.
struct Seen(Value);

/// How many messages the channels of one socket have handled.
struct Count(u32);

/// Replies with what it knows of the connection.
struct Mirror;

impl Channel for Mirror {
    fn handle_in(&mut self, event: &str, _: &Payload, ctx: &mut Context<'_>) -> Reply {
        let address = ctx.peer_address().to_string();
        let assigns = ctx.assigns();
        if event == "forget" {
            return Reply::ok_with(json!(assigns.remove::<Count>().map(|count| count.0)));
        }
        let count = assigns.get::<Count>().map_or(1, |count| count.0 + 1);
        assigns.insert(Count(count));
        let seen = assigns.get::<Seen>().map(|seen| seen.0.clone());
        Reply::ok_with(json!({ "asked": count, "seen": seen, "address": address }))
    }
}

fn connect(info: &ConnectInfo) -> Result<SocketInit, ConnectError> {
    match info.param("be") {
        Some("refused") => return Err(ConnectError::new(actix_web::http::StatusCode::PAYMENT_REQUIRED, "no money")),
        Some("dead") => panic!("a failure for the test"),
        _ => {}
    }
    let params: Vec<_> = info.params().filter(|(name, _)| *name != "vsn").collect();
    let seen = json!({
        "params": params,
        "user": info.param("user[name]"),
        "token": info.auth_token(),
        "agent": info.header("user-agent"),
        "peer": info.peer_address().map(|address| address.ip()),
        "client": info.client_address(),
        "url": format!("{}://{}", info.scheme(), info.host()),
    });
    let connected = SocketInit::default().assign(Seen(seen));
    match info.param("id").and_then(|id| Topic::parse(id).ok()) {
        Some(id) => Ok(connected.id(id)),
        None => Ok(connected),
    }
}

fn start(sets: &[&str]) -> Node {
    let mount = Mount::new("/live/", Router::new().channel("mirror:*", |_| Mirror)).connect(connect);
    Endpoint::new(config(sets)).mount(mount).start().unwrap()
}

async fn request(client: &mut Client, topic: &str, event: &str) -> Value {
    client.send(&format!(r#"["1","2","{topic}","{event}",{{}}]"#)).await;
    let reply: Value = serde_json::from_str(&client.receive().await).unwrap();
    reply[4]["response"].clone()
}

async fn seen(node: &Node, query: &str, headers: &[&str]) -> Value {
    let mut client = Client::open(node.address(), &format!("{PATH}{query}"), headers).await;
    client.join("1", "mirror:a", "{}").await;
    request(&mut client, "mirror:a", "see").await
}

#[actix_web::test]
async fn a_channel_reads_params_headers_and_addresses() {
    let node = start(&[r#"server.trusted_proxies=["127.0.0.1/32"]"#]);
    let headers = [
        "User-Agent: foo/1.0",
        "X-Forwarded-For: 198.51.100.7",
        "X-Forwarded-Proto: https",
        "X-Forwarded-Host: broker.test",
        "Sec-WebSocket-Protocol: phoenix, base64url.bearer.phx.c2VjcmV0",
    ];
    let received = seen(&node, "&user[name]=b%C3%B6b&user%5Bname%5D=al+ice&x", &headers).await;
    let expected = json!({
        "params": [["user[name]", "böb"], ["user[name]", "al ice"], ["x", ""]],
        "user": "al ice",
        "token": "secret",
        "agent": "foo/1.0",
        "peer": "127.0.0.1",
        "client": "198.51.100.7",
        "url": "https://broker.test",
    });
    assert_eq!(received, json!({ "asked": 1, "seen": expected, "address": "198.51.100.7" }));
}

#[actix_web::test]
async fn a_client_cannot_forge_its_address() {
    let node = start(&[]);
    let forged =
        ["X-Forwarded-For: 198.51.100.7", "Forwarded: for=198.51.100.7;proto=https", "X-Forwarded-Proto: https"];
    let received = seen(&node, "", &forged).await;
    assert_eq!((&received["address"], &received["seen"]["client"]), (&json!("127.0.0.1"), &json!("127.0.0.1")));
    assert_eq!(received["seen"]["url"], format!("http://{}", node.address()));
}

/// Of a node with TLS of its own, the URL is its own.
#[actix_web::test]
async fn the_url_of_a_client_with_tls_begins_with_https() {
    let certificate = Certificate::create();
    let sets = certificate.sets();
    let node = start(&[&sets[0], &sets[1]]);
    let tunnel = Tunnel::start(node.address(), certificate.client()).await;
    let mut client = Client::open(tunnel.address, PATH, &[]).await;
    client.join("1", "mirror:a", "{}").await;
    let received = request(&mut client, "mirror:a", "see").await;
    assert_eq!(received["seen"]["url"], format!("https://{}", tunnel.address));
}

#[actix_web::test]
async fn bytes_that_are_not_ascii_do_not_make_a_client_count_as_its_proxy() {
    let node = start(&[r#"server.trusted_proxies=["127.0.0.1/32"]"#]);
    for headers in [
        &["X-Forwarded-For: \u{e9}, 198.51.100.7"][..],
        &["X-Forwarded-For: \u{e9}", "X-Forwarded-For: 198.51.100.7"],
        &["X-Forwarded-For: 192.0.2.1", "X-Forwarded-For: \u{e9}, 198.51.100.7, 127.0.0.1"],
    ] {
        assert_eq!(seen(&node, "", headers).await["address"], "198.51.100.7", "{headers:?}");
    }
}

#[actix_web::test]
async fn the_channels_of_a_socket_share_its_assigns() {
    let node = start(&[]);
    let (mut client, mut other) =
        (Client::open(node.address(), PATH, &[]).await, Client::open(node.address(), PATH, &[]).await);
    for client in [&mut client, &mut other] {
        client.join("1", "mirror:a", "{}").await;
        client.join("1", "mirror:b", "{}").await;
    }
    assert_eq!(request(&mut client, "mirror:a", "see").await["asked"], 1);
    assert_eq!(request(&mut client, "mirror:b", "see").await["asked"], 2);
    assert_eq!(request(&mut other, "mirror:b", "see").await["asked"], 1);
    assert_eq!(request(&mut client, "mirror:a", "forget").await, 2);
    assert_eq!(request(&mut client, "mirror:b", "forget").await, Value::Null);
}

#[actix_web::test]
async fn a_rejected_client_receives_the_status_and_text_of_the_mount() {
    let node = start(&[]);
    let (_, reply) = Client::try_open(node.address(), &format!("{PATH}&be=refused"), &[]).await;
    assert!(reply.starts_with("HTTP/1.1 402"), "{reply}");
    assert_eq!(common::get(node.address(), &format!("{PATH}&be=refused")).await, (402, "no money".into()));
    let (_, reply) = Client::try_open(node.address(), &format!("{PATH}&be=dead"), &[]).await;
    assert!(reply.starts_with("HTTP/1.1 500"), "{reply}");
    assert_eq!(node.pubsub().metrics().connections_refused.get(), 3);
    Client::open(node.address(), PATH, &[]).await;
}

#[actix_web::test]
async fn all_sockets_of_an_id_can_be_disconnected() {
    let node = start(&[]);
    let mut clients = Vec::new();
    for id in ["users:1", "users:1", "users:2"] {
        let mut client = Client::open(node.address(), &format!("{PATH}&id={id}"), &[]).await;
        client.join("1", "mirror:a", "{}").await;
        clients.push(client);
    }
    let (users, gone) = (Topic::parse("users:1").unwrap(), Received::Close(1001, "disconnected by the server".into()));
    wait_until("both sockets are subscribed to their id", || async { node.pubsub().count("users:1") == 2 }).await;
    node.pubsub().broadcast(&users, "other", Payload::empty());
    clients[0].expect_nothing().await;
    node.pubsub().broadcast(&users, handclasp::message::DISCONNECT, Payload::empty());
    for client in &mut clients[..2] {
        assert_eq!(client.receive_any().await, gone);
    }
    clients[2].expect_nothing().await;
    drop(clients);
    wait_until_empty(&node).await;
}

/// Subscribing to the topic of the socket's own id used to count as a join.
#[actix_web::test]
async fn a_socket_with_an_id_must_also_join_a_topic() {
    let node = start(&["socket.join_timeout=100ms"]);
    let mut client = Client::open(node.address(), &format!("{PATH}&id=users:1"), &[]).await;
    assert_eq!(client.receive_any().await, Received::Close(1008, "no topic joined in time".into()));
    drop(client);
    wait_until_empty(&node).await;
}

#[actix_web::test]
async fn a_bare_endpoint_serves_only_its_own_mount_and_health() {
    let mount = Mount::new("/live", Router::new().channel("mirror:*", |_| Mirror)).connect(connect);
    let bare = Endpoint::bare(config(&[])).mount(mount).start().unwrap();
    assert_eq!(seen(&bare, "", &[]).await["asked"], 1);
    for path in ["/healthz", "/readyz"] {
        assert_eq!(common::get(bare.address(), path).await.0, 200, "{path}");
    }
    let full = common::node(&["hello.enabled=true"]);
    for path in [
        "/",
        "/lib/index.js",
        "/socket/websocket",
        "/socket/longpoll",
        "/ws/websocket",
        "/peer/websocket",
        "/peerjs/id",
        "/socket.io/?EIO=4&transport=polling",
        "/hello",
    ] {
        assert_ne!(common::get(full.address(), path).await.0, 404, "{path}");
        assert_eq!(common::get(bare.address(), path).await, (404, String::new()), "{path}");
    }
}
