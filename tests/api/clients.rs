//! Clients and topics: where a peer is, which topics there are, and disconnecting by each handle.

use std::collections::BTreeSet;
use std::time::Duration;

use handclasp::auth::{TokenRequest, Tokens};
use handclasp::{Endpoint, Node};
use serde_json::{Value, json};

use super::{ALL, api_node, get, post, send, settings};
use crate::common::{Client, UNLIMITED, config, id, wait_until_empty};

async fn peer(node: &Node, n: usize) -> Client {
    let mut client = Client::new(node.address()).await;
    client.join("1", &format!("peer:{}", id(n)), "{}").await;
    client
}

async fn peerjs(node: &Node, id: &str) -> Client {
    let mut client = Client::open(node.address(), &format!("/peerjs?key=peerjs&id={id}&token=t"), &[]).await;
    client.receive_until("OPEN").await;
    client
}

/// A client of the Socket.IO relay, and its sid.
async fn relay(node: &Node) -> (Client, String) {
    let mut client = Client::open(node.address(), "/socket.io/?EIO=4&transport=websocket", &[]).await;
    client.receive().await;
    client.send("40").await;
    let welcome: Value = serde_json::from_str(client.receive_until("40{").await.trim_start_matches("40")).unwrap();
    (client, welcome["sid"].as_str().unwrap().to_owned())
}

// ---- who is where

#[actix_web::test]
async fn a_peer_is_found_by_its_id() {
    let node = api_node(&[]);
    let mut client = peer(&node, 1).await;
    client.join("2", "room:a", "{}").await;
    let found = get(&node, &format!("/v1/peers/{}", id(1))).await;
    for (field, expected) in [
        ("online", json!(true)),
        ("node", get(&node, "/v1/stats").await["nodes"][0]["name"].clone()),
        ("connection", json!("c1")),
        ("protocol", json!("phoenix")),
        ("transport", json!("websocket")),
        ("network", json!("127.0.0.0/24")),
        ("subject", json!(null)),
        ("rooms", json!(["room:a"])),
        ("queue_bytes", json!(0)),
    ] {
        assert_eq!(found[field], expected, "{field} of {found}");
    }
    assert!(found["since"].as_str().unwrap().ends_with('Z'), "{found}");
    assert_eq!(get(&node, &format!("/v1/peers/{}", id(2))).await, json!({ "online": false }));
    let _peerjs = peerjs(&node, "anna").await;
    let (_relay, sid) = relay(&node).await;
    for (path, protocol) in [
        ("/v1/peers/anna?protocol=peerjs".to_owned(), "peerjs"),
        (format!("/v1/peers/{sid}?protocol=socketio"), "socketio"),
    ] {
        let found = get(&node, &path).await;
        assert_eq!((&found["online"], &found["protocol"]), (&json!(true), &json!(protocol)), "{found}");
    }
    assert_eq!(get(&node, "/v1/peers/berta?protocol=peerjs").await, json!({ "online": false }));
    for (path, status, reason) in [
        ("/v1/peers/anna", 422, "invalid peer id"),
        ("/v1/peers/a%00?protocol=peerjs", 422, "invalid peer id"),
        ("/v1/peers/%FF?protocol=peerjs", 400, "the path is not UTF-8"),
        ("/v1/peers/a?protocol=xmpp", 400, "protocol must be phoenix, peerjs or socketio"),
        ("/v1/peers/a?protokol=peerjs", 400, "the parameters of this route are protocol"),
        ("/v1/peers/a?protocol=peerjs&protocol=peerjs", 400, "protocol occurs twice"),
    ] {
        assert_eq!(send(&node, "GET", path, ALL, "").await.error(), (status, reason.to_owned()), "{path}");
    }
    node.stop().await;
}

#[actix_web::test]
async fn the_topics_are_listed_by_name_and_in_pages() {
    let node = api_node(&UNLIMITED);
    let mut clients = Vec::new();
    for n in 0..3 {
        let mut client = peer(&node, n).await;
        for room in 0..40 {
            client.join("2", &format!("room:{room:02}"), "{}").await;
        }
        clients.push(client);
    }
    let (_relay, _) = relay(&node).await;
    let mut seen = Vec::new();
    let mut after = String::new();
    loop {
        let page = get(&node, &format!("/v1/topics?prefix=room:&limit=7&after={after}")).await;
        let topics = page["topics"].as_array().unwrap();
        assert!((1..=7).contains(&topics.len()), "{page}");
        assert!(topics.iter().all(|topic| topic["members"] == 3), "{page}");
        seen.extend(topics.iter().map(|topic| topic["topic"].as_str().unwrap().to_owned()));
        match page["next"].as_str() {
            Some(next) => next.clone_into(&mut after),
            None => break,
        }
    }
    assert_eq!(seen, (0..40).map(|room| format!("room:{room:02}")).collect::<Vec<_>>());
    let all = get(&node, "/v1/topics?limit=1000").await;
    let names: Vec<&str> = all["topics"].as_array().unwrap().iter().map(|it| it["topic"].as_str().unwrap()).collect();
    assert_eq!((names.len(), &all["next"]), (43, &json!(null)), "those of Socket.IO are not among them: {names:?}");
    assert!(names.is_sorted());
    let of_relay = get(&node, "/v1/topics?protocol=socketio").await;
    assert_eq!(of_relay["topics"][0]["topic"], "/");
    for limit in ["0", "1001", "x", "+1", ""] {
        let response = send(&node, "GET", &format!("/v1/topics?limit={limit}"), ALL, "").await;
        assert_eq!(response.error(), (400, "limit must be a number from 1 to 1000".to_owned()), "{limit}");
    }
    drop(clients);
    node.stop().await;
}

#[actix_web::test]
async fn a_topic_shows_its_members_and_its_presence() {
    let node = api_node(&[]);
    let mut listed = peer(&node, 1).await;
    listed.join("2", "room:a/b", r#"{"meta":{"name":"Mai"}}"#).await;
    let mut other = Client::new(node.address()).await;
    other.join("1", "room:a/b", "{}").await;
    let topic = get(&node, "/v1/topics/room:a%2Fb").await;
    let name = &get(&node, "/v1/stats").await["nodes"][0]["name"];
    assert_eq!((&topic["members"], &topic["nodes"]), (&json!(2), &json!([{ "name": name, "members": 2 }])));
    let presence = &topic["presence"][0];
    assert_eq!((&presence["key"], &presence["metas"][0]["name"]), (&json!(id(1)), &json!("Mai")));
    let empty = get(&node, "/v1/topics/room:none").await;
    assert_eq!(empty, json!({ "members": 0, "nodes": [{ "name": name, "members": 0 }], "presence": [] }));
    node.stop().await;
}

#[actix_web::test]
async fn the_stats_show_the_node() {
    let node = api_node(&[]);
    let _peer = peer(&node, 1).await;
    let stats = get(&node, "/v1/stats").await;
    let own = &stats["nodes"][0];
    assert_eq!(own["version"], env!("CARGO_PKG_VERSION"));
    for (field, expected) in
        [("ready", json!(true)), ("connections", json!(1)), ("topics", json!(1)), ("names", json!(1))]
    {
        assert_eq!(own[field], expected, "{field} of {stats}");
    }
    node.stop().await;
}

// ---- disconnect

#[actix_web::test]
async fn clients_are_disconnected_by_each_handle() {
    let node = api_node(&[]);
    for (reconnect, code) in [(None, 1001), (Some(true), 1001), (Some(false), 1000)] {
        let body = |mut handle: Value| {
            if let Some(reconnect) = reconnect {
                handle["reconnect"] = json!(reconnect);
            }
            handle
        };
        let mut client = peer(&node, 1).await;
        let closed = post(&node, "/v1/disconnect", body(json!({ "peer": id(1) }))).await;
        assert_eq!(closed, json!({ "disconnected": 1 }));
        assert_eq!(client.close_code().await, code, "by peer");
        let mut client = peerjs(&node, "anna").await;
        let handle = json!({ "peer": "anna", "protocol": "peerjs" });
        assert_eq!(post(&node, "/v1/disconnect", body(handle)).await["disconnected"], 1);
        assert_eq!(client.close_code().await, code, "by PeerJS id");
        let (mut client, sid) = relay(&node).await;
        let handle = json!({ "peer": sid, "protocol": "socketio" });
        assert_eq!(post(&node, "/v1/disconnect", body(handle)).await["disconnected"], 1);
        assert_eq!(client.close_code().await, code, "by sid");
        let mut client = peer(&node, 1).await;
        let found = get(&node, &format!("/v1/peers/{}", id(1))).await;
        let closed = post(&node, "/v1/disconnect", body(json!({ "connection": found["connection"] }))).await;
        assert_eq!((closed, client.close_code().await), (json!({ "disconnected": 1 }), code), "by connection");
        let mut members = Vec::new();
        for _ in 0..5 {
            let mut member = Client::new(node.address()).await;
            member.join("1", "room:a", "{}").await;
            members.push(member);
        }
        let mut other = peer(&node, 2).await;
        let closed = post(&node, "/v1/disconnect", body(json!({ "topic": "room:a" }))).await;
        assert_eq!(closed, json!({ "disconnected": 5 }));
        for member in &mut members {
            assert_eq!(member.close_code().await, code, "by topic");
        }
        other.expect_nothing().await;
        drop(other);
        wait_until_empty(&node).await;
    }
    for nobody in [json!({ "peer": id(9) }), json!({ "connection": "c999999" }), json!({ "topic": "room:a" })] {
        assert_eq!(post(&node, "/v1/disconnect", nobody).await, json!({ "disconnected": 0 }));
    }
    node.stop().await;
}

#[actix_web::test]
async fn a_disconnect_names_one_handle() {
    let node = api_node(&[]);
    let one = "expected one of `peer`, `connection`, `subject`, `topic`";
    for (body, status, reason) in [
        (json!({}), 400, one),
        (json!({ "peer": id(1), "topic": "room:a" }), 400, one),
        (json!({ "topic": "room:a", "node": "local" }), 400, "`node` belongs to `connection`"),
        (json!({ "connection": "c1", "protocol": "peerjs" }), 400, "`protocol` belongs to `peer` and `topic`"),
        (json!({ "peer": null }), 400, "expected a string"),
        (json!({ "peer": "anna" }), 422, "invalid peer id"),
        (json!({ "connection": "1" }), 422, "invalid connection"),
        (json!({ "connection": "c+1" }), 422, "invalid connection"),
        (json!({ "subject": "" }), 422, "a subject has 1 to 128 bytes"),
        (json!({ "topic": "" }), 422, "invalid topic"),
    ] {
        let response = send(&node, "POST", "/v1/disconnect", ALL, &body.to_string()).await;
        assert_eq!(response.error(), (status, reason.to_owned()), "{body}");
    }
    node.stop().await;
}

// ---- tokens

const SECRET: &str = "a secret of at least 32 bytes, for tests";

/// A node that requires tokens, and what signs them.
fn node_with_tokens(sets: &[&str]) -> (Node, Tokens) {
    let (settings, secrets) = (settings(), format!("auth.secrets=[\"{SECRET}\"]"));
    let own = ["auth.mode=required", &*secrets];
    let sets: Vec<&str> =
        settings.iter().map(String::as_str).chain(own).chain(UNLIMITED).chain(sets.iter().copied()).collect();
    let config = config(&sets);
    let tokens = Tokens::from_config(&config.auth).unwrap();
    (Endpoint::new(config).start().unwrap(), tokens)
}

async fn try_connect(node: &Node, tokens: &Tokens, subject: &str) -> Client {
    let lifetime = Duration::from_secs(600);
    let token = tokens.sign(&TokenRequest { subject: subject.to_owned(), lifetime, grants: None }).unwrap();
    Client::open(node.address(), &format!("/socket/websocket?vsn=2.0.0&token={token}"), &[]).await
}

/// More connections than one step of a walk has.
#[actix_web::test]
async fn all_connections_of_a_subject_are_disconnected_and_revoked() {
    let (node, tokens) = node_with_tokens(&["auth.sockets_per_subject=1_000", "limits.sockets_per_ip=1_000"]);
    let others = [try_connect(&node, &tokens, "tom").await, try_connect(&node, &tokens, "eve").await];
    for (path, code) in [("/v1/disconnect", 1001), ("/v1/revoke", 1008)] {
        let mut clients = Vec::new();
        for _ in 0..600 {
            let mut client = try_connect(&node, &tokens, "mai").await;
            client.join("1", "room:a", "{}").await;
            clients.push(client);
        }
        assert_eq!(post(&node, path, json!({ "subject": "mai" })).await, json!({ "disconnected": 600 }));
        for client in &mut clients {
            assert_eq!(client.close_code().await, code, "{path}");
        }
    }
    for mut other in others {
        other.join("1", "room:a", "{}").await;
    }
    node.stop().await;
}

#[actix_web::test]
async fn a_subject_is_disconnected_and_revoked() {
    let (node, tokens) = node_with_tokens(&[]);
    let (mut mai, mut tom) = (try_connect(&node, &tokens, "mai").await, try_connect(&node, &tokens, "tom").await);
    mai.join("1", &format!("peer:{}", id(1)), "{}").await;
    assert_eq!(get(&node, &format!("/v1/peers/{}", id(1))).await["subject"], "mai");
    let closed = post(&node, "/v1/disconnect", json!({ "subject": "mai" })).await;
    assert_eq!((closed, mai.close_code().await), (json!({ "disconnected": 1 }), 1001));
    let mut mai = try_connect(&node, &tokens, "mai").await;
    mai.join("1", "room:a", "{}").await;
    // tokens that were signed a second ago are valid
    assert_eq!(post(&node, "/v1/revoke", json!({ "subject": "mai", "before": 1 })).await, json!({ "disconnected": 0 }));
    mai.expect_nothing().await;
    let revoked = post(&node, "/v1/revoke", json!({ "subject": "mai" })).await;
    assert_eq!((revoked, mai.close_code().await), (json!({ "disconnected": 1 }), 1008));
    let mut again = try_connect(&node, &tokens, "mai").await;
    assert_eq!(again.close_code().await, 1008);
    tom.join("1", "room:a", "{}").await;
    let batch = json!({ "operations": [{ "revoke": { "subject": "tom" } }, { "disconnect": { "topic": "room:a" } }] });
    let answer = post(&node, "/v1/batch", batch).await;
    assert_eq!(answer, json!({ "results": [{ "disconnected": 1 }, { "disconnected": 0 }] }));
    for (body, status) in [
        (json!({}), 400),
        (json!({ "subject": "a", "token_id": "b" }), 400),
        (json!({ "subject": "" }), 422),
        (json!({ "token_id": "x".repeat(129) }), 422),
        (json!({ "subject": "a", "before": -1 }), 422),
        (json!({ "subject": "a", "before": 1.5 }), 422),
        (json!({ "subject": "a", "before": 1e12 }), 422),
        (json!({ "subject": "a", "before": 1.0 }), 200),
    ] {
        assert_eq!(send(&node, "POST", "/v1/revoke", ALL, &body.to_string()).await.status, status, "{body}");
    }
    node.stop().await;
    let off = api_node(&[]);
    let response = send(&off, "POST", "/v1/revoke", ALL, r#"{"subject":"mai"}"#).await;
    assert_eq!(response.error(), (422, "auth.mode is off".to_owned()));
    off.stop().await;
}

// ---- drain

#[actix_web::test]
async fn a_drain_ends_the_node_as_sigterm_does() {
    let node = api_node(&["drain.spread=0s"]);
    let (address, api) = (node.address(), node.api_address().unwrap());
    let mut client = peer(&node, 1).await;
    let drain = super::request("POST", "/v1/drain", ALL, "", "");
    let running = actix_web::rt::spawn(node.run_until_signal());
    let answer = super::raw(api, drain.as_bytes()).await;
    assert_eq!((answer.status, answer.json()), (202, json!({ "draining": true })));
    assert_eq!(client.close_code().await, 1012);
    drop(client);
    running.await.unwrap().unwrap();
    assert!(
        tokio::net::TcpStream::connect(address).await.is_err() && tokio::net::TcpStream::connect(api).await.is_err()
    );
}

#[actix_web::test]
async fn a_draining_node_changes_nothing_and_still_answers() {
    let node = api_node(&["drain.spread=2s"]);
    let api = node.api_address().unwrap();
    let _clients = (peer(&node, 1).await, peer(&node, 2).await);
    let running = actix_web::rt::spawn(node.run_until_signal());
    let ask = |method, path, body| async move {
        super::raw(api, super::request(method, path, ALL, "", body).as_bytes()).await
    };
    assert_eq!(ask("POST", "/v1/drain", "").await.status, 202);
    let mut statuses = BTreeSet::new();
    while !statuses.contains(&503) {
        let response = ask("POST", "/v1/publish", r#"{"topic":"room:a","event":"e","payload":1}"#).await;
        assert!(response.status == 200 || response.error() == (503, "draining".to_owned()), "{}", response.body);
        statuses.insert(response.status);
    }
    assert_eq!(ask("GET", "/v1/stats", "").await.json()["nodes"][0]["ready"], false);
    assert_eq!(ask("POST", "/v1/drain", "").await.status, 202, "it changes nothing");
    drop(_clients);
    running.await.unwrap().unwrap();
}
