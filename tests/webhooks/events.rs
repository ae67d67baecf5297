//! What is told of each protocol, in which words, and what is not told.

use handclasp::{Endpoint, Node};
use jsonwebtoken::{Algorithm, EncodingKey, Header, encode};

use crate::common::{Client, config, id, wait_until_empty};
use crate::receiver::{Receiver, assert_pairs};

const TOKEN_SECRET: &str = "a secret of tokens, of at least 32 bytes";

pub fn node(receiver: &Receiver, sets: &[&str]) -> Node {
    let of_receiver = receiver.sets();
    let all: Vec<&str> = of_receiver.iter().map(String::as_str).chain(sets.iter().copied()).collect();
    Endpoint::new(config(&all)).start().unwrap()
}

#[actix_web::test]
async fn a_peer_and_its_rooms_come_and_go() {
    let receiver = Receiver::start();
    let node = node(&receiver, &["webhooks.grace_period=0s"]);
    let (mut one, mut other) = (Client::new(node.address()).await, Client::new(node.address()).await);
    one.join("1", &format!("peer:{}", id(1)), "{}").await;
    one.join("2", "room:lobby", "{}").await;
    other.join("2", "room:lobby", "{}").await;
    one.send(r#"["2","3","room:lobby","phx_leave",{}]"#).await;
    one.receive_until("phx_reply").await;
    drop(other);
    let (up, down) = (format!("peer_up {}", id(1)), format!("peer_down {} left", id(1)));
    receiver.wait_for(&["node_up", &up, "room_occupied lobby", "room_vacated lobby"]).await;
    one.send(&format!(r#"["1","4","peer:{}","phx_leave",{{}}]"#, id(1))).await;
    receiver.wait_for(&["node_up", &up, "room_occupied lobby", "room_vacated lobby", &down]).await;
    assert_pairs(&receiver.events());
    let request = &receiver.requests()[0];
    assert_eq!(request.headers["content-type"], "application/json");
    assert_eq!(request.headers["user-agent"], concat!("handclasp/", env!("CARGO_PKG_VERSION")));
    node.stop().await;
}

#[actix_web::test]
async fn the_reason_is_that_of_the_connection() {
    let receiver = Receiver::start();
    let sets = ["webhooks.grace_period=0s", "socket.idle_timeout=200ms", "limits.message_bytes=1024"];
    let node = node(&receiver, &[&sets[..], &["webhooks.events=peer_down"]].concat());
    let mut clients = Vec::new();
    for n in 0..3 {
        let mut client = Client::new(node.address()).await;
        client.join("1", &format!("peer:{}", id(n)), "{}").await;
        clients.push(client);
    }
    clients[0].send(&"a".repeat(2_000)).await;
    clients[1].raw(&crate::common::frame(0x88, &1_000_u16.to_be_bytes())).await;
    for (n, reason) in ["too_big", "gone", "idle"].iter().enumerate() {
        receiver.wait_for_one(&format!("peer_down {} {reason}", id(n))).await;
    }
    assert_eq!(receiver.events().len(), 4, "no peer_up, as the operator wants none");
    node.stop().await;
}

#[actix_web::test]
async fn names_of_other_protocols_are_those_that_their_clients_know() {
    let receiver = Receiver::start();
    let node = node(&receiver, &["webhooks.grace_period=0s", "hello.enabled=true", "relay.enabled=true"]);
    let peerjs = Client::open(node.address(), "/peerjs?key=peerjs&id=mai&token=t", &[]).await;
    receiver.wait_for_one("peer_up mai").await;
    let mut socketio = Client::open(node.address(), "/socket.io/?EIO=4&transport=websocket", &[]).await;
    socketio.send("40").await;
    let sid = socketio.receive_until("40{").await;
    let sid = sid.split('"').nth(3).unwrap().to_owned();
    socketio.send(r#"42["join","lobby"]"#).await;
    receiver.wait_for_one("room_occupied lobby").await;
    let mut relay = Client::open(node.address(), "/relay", &[]).await;
    relay.send("hello").await;
    drop((peerjs, socketio, relay));
    for event in ["peer_down mai gone".to_owned(), format!("peer_down {sid} gone"), "room_vacated lobby".to_owned()] {
        receiver.wait_for_one(&event).await;
    }
    let mut all = receiver.short();
    all.sort_unstable();
    let mut expected = vec![
        "node_up".to_owned(),
        "peer_up mai".to_owned(),
        format!("peer_up {sid}"),
        "room_occupied lobby".to_owned(),
        "room_vacated lobby".to_owned(),
        "peer_down mai gone".to_owned(),
        format!("peer_down {sid} gone"),
    ];
    expected.sort_unstable();
    assert_eq!(all, expected, "a namespace and the relay are no rooms");
    let protocols: Vec<String> = receiver.events().iter().map(|event| event["protocol"].to_string()).collect();
    assert!(protocols.contains(&"\"socketio\"".to_owned()) && protocols.contains(&"\"peerjs\"".to_owned()));
    node.stop().await;
}

#[actix_web::test]
async fn only_the_topics_of_the_list_are_told() {
    let receiver = Receiver::start();
    let node = node(&receiver, &["webhooks.grace_period=0s", r#"webhooks.topics=["room:team-*", "peerjs:mai"]"#]);
    let mut client = Client::new(node.address()).await;
    client.join("1", &format!("peer:{}", id(1)), "{}").await;
    client.join("2", "room:lobby", "{}").await;
    let mai = Client::open(node.address(), "/peerjs?key=peerjs&id=mai&token=t", &[]).await;
    let kim = Client::open(node.address(), "/peerjs?key=peerjs&id=kim&token=t", &[]).await;
    client.join("3", "room:team-1", "{}").await;
    receiver.wait_for_one("room_occupied team-1").await;
    drop((client, mai, kim));
    wait_until_empty(&node).await;
    receiver.wait_for_one("room_vacated team-1").await;
    receiver.wait_for_one("peer_down mai gone").await;
    assert_eq!(receiver.events().len(), 5, "{:?}", receiver.short());
    node.stop().await;
}

/// The new connection proves that it is the same client, so the name has an owner throughout.
#[actix_web::test]
async fn a_takeover_is_no_event() {
    let receiver = Receiver::start();
    let node = node(&receiver, &["webhooks.grace_period=0s"]);
    let (id, secret) = crate::common::certified();
    let mut clients = Vec::new();
    for _ in 0..3 {
        let mut client = Client::new(node.address()).await;
        client.join("1", &format!("peer:{id}"), &secret.to_string()).await;
        clients.push(client);
    }
    clients[2].join("1", &format!("peer:{id}"), &secret.to_string()).await;
    drop(clients);
    let (up, down) = (format!("peer_up {id}"), format!("peer_down {id} gone"));
    receiver.wait_for(&["node_up", &up, &down]).await;
    node.stop().await;
}

/// Subscriptions of the server's own code are no members of a room.
#[actix_web::test]
async fn a_subscription_of_the_server_does_not_occupy_a_room() {
    let receiver = Receiver::start();
    let node = node(&receiver, &["webhooks.grace_period=0s"]);
    let topic = handclasp::Topic::parse("room:lobby").unwrap();
    let subscription = node.pubsub().subscribe(&topic).await.unwrap();
    let mut client = Client::new(node.address()).await;
    client.join("1", "room:lobby", "{}").await;
    drop(client);
    receiver.wait_for(&["node_up", "room_occupied lobby", "room_vacated lobby"]).await;
    drop(subscription);
    wait_until_empty(&node).await;
    node.stop().await;
    assert_eq!(receiver.events().len(), 3);
}

/// A client with the token of a subject, which joins the peer.
async fn peer_of(node: &Node, subject: &str, peer: &str, parameters: &str) -> Client {
    let exp = std::time::UNIX_EPOCH.elapsed().unwrap().as_secs() + 600;
    let claims = serde_json::json!({ "sub": subject, "aud": "handclasp", "exp": exp, "handclasp": { "peers": ["*"] } });
    let key = EncodingKey::from_secret(TOKEN_SECRET.as_bytes());
    let token = encode(&Header::new(Algorithm::HS256), &claims, &key.unwrap()).unwrap();
    let mut client = Client::open(node.address(), &format!("/socket/websocket?vsn=2.0.0&token={token}"), &[]).await;
    client.join("1", &format!("peer:{peer}"), parameters).await;
    client
}

/// The receiver knows the peer by the subject of the client before it.
#[actix_web::test]
async fn another_subject_is_another_peer_even_within_the_grace_period() {
    let receiver = Receiver::start();
    let secret = format!("auth.secrets={TOKEN_SECRET}");
    let node = node(&receiver, &["webhooks.grace_period=5m", "auth.mode=required", &secret]);
    for subject in ["ann", "ann", "bob"] {
        drop(peer_of(&node, subject, &id(1), "{}").await);
        wait_until_empty(&node).await;
    }
    let (ann, bob) = (format!("peer_up {} ann", id(1)), format!("peer_up {} bob", id(1)));
    receiver.wait_for(&["node_up", &ann, &format!("peer_down {} gone", id(1)), &bob]).await;
    node.stop().await;
}

/// A token does not protect an id whose secret is known to two users.
#[actix_web::test]
async fn a_takeover_by_another_subject_is_told() {
    let receiver = Receiver::start();
    let secret = format!("auth.secrets={TOKEN_SECRET}");
    let node = node(&receiver, &["webhooks.grace_period=5m", "auth.mode=required", &secret]);
    let (peer, secret) = crate::common::certified();
    let mut clients = Vec::new();
    for subject in ["ann", "ann", "bob"] {
        clients.push(peer_of(&node, subject, &peer, &secret.to_string()).await);
    }
    let (ann, bob) = (format!("peer_up {peer} ann"), format!("peer_up {peer} bob"));
    receiver.wait_for_one(&bob).await;
    assert_eq!(receiver.short(), ["node_up", &ann, &format!("peer_down {peer} taken"), &bob]);
    node.stop().await;
}

/// A backend compares them when it reads the state.
#[actix_web::test]
async fn the_server_api_knows_the_node_by_its_instance() {
    const KEY: &str = "key-0123456789abcdef0123456789abcdef";
    let receiver = Receiver::start();
    let keys = format!(r#"api.keys=[{{ name = "a", key = "{KEY}", permissions = ["read"] }}]"#);
    let node = node(&receiver, &["api.listen=127.0.0.1:0", &keys]);
    let mut client = Client::new(node.address()).await;
    client.join("1", &format!("peer:{}", id(1)), "{}").await;
    receiver.wait_for_one(&format!("peer_up {}", id(1))).await;
    let instance = receiver.requests()[0].json()["instance"].to_string();
    let address = node.api_address().unwrap();
    for path in ["/v1/stats".to_owned(), format!("/v1/peers/{}", id(1)), "/v1/topics/room:a".to_owned()] {
        let headers = [&*format!("Authorization: Bearer {KEY}")];
        let body = crate::common::longpoll::request(address, "GET", &path, &headers, b"").await.body;
        assert!(body.contains(&instance), "{path}: {body}");
    }
    node.stop().await;
}
