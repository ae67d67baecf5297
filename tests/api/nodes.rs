//! Several nodes, connected by the shared adapter over an engine in memory: one question to all of them, and those that do
//! not answer are named.

use std::time::Duration;

use handclasp::auth::{TokenRequest, Tokens};
use handclasp::cluster::{Cluster, ClusterOptions};
use handclasp::{Config, Endpoint, Node};
use serde_json::json;

use super::{get, post, settings};
use crate::common::memory_engine::Knobs;
use crate::common::shared_adapter::{
    EngineCluster, LEASE, is_linked, options, wait_until_acquainted, wait_until_ready,
};
use crate::common::{self, Client, Received, TIMEOUT, config, id, wait_until};

/// Two nodes with the API, of which the second one's clients are asked for.
async fn two_nodes() -> (EngineCluster, Node, Node) {
    let cluster = EngineCluster::new(Knobs::default());
    let settings = settings();
    let (a, b) = cluster.two_nodes(&settings.each_ref().map(String::as_str)).await;
    (cluster, a, b)
}

async fn member(node: &Node, n: usize, rooms: &[&str]) -> Client {
    let mut client = Client::new(node.address()).await;
    client.join("1", &format!("peer:{}", id(n)), "{}").await;
    for room in rooms {
        client.join("2", room, r#"{"meta":{}}"#).await;
    }
    client
}

#[actix_web::test]
async fn any_node_answers_for_all() {
    let (_cluster, a, b) = two_nodes().await;
    let mut there = member(&b, 1, &["room:a", "room:c"]).await;
    let mut here = member(&a, 2, &["room:a", "room:b"]).await;
    let verdict = post(&a, "/v1/signal", json!({ "to": id(1), "event": "ring", "payload": {} })).await;
    assert_eq!(verdict, json!({ "verdict": "delivered" }));
    there.receive_until("ring").await;
    let published = post(&a, "/v1/publish", json!({ "topic": "room:a", "event": "news", "payload": {} })).await;
    assert_eq!(published, json!({ "delivered": 1, "nodes": 2 }));
    there.receive_until("news").await;
    here.receive_until("news").await;
    let found = get(&a, &format!("/v1/peers/{}", id(1))).await;
    assert_eq!((&found["online"], &found["rooms"]), (&json!(true), &json!(["room:a", "room:c"])), "{found}");
    assert!(found["node"].as_str().unwrap().starts_with('b'), "{found}");
    assert!(found.get("silent").is_none());
    let topics = get(&a, "/v1/topics?prefix=room:").await;
    let counted = |name, members: usize| json!({ "topic": name, "members": members });
    let expected = [counted("room:a", 2), counted("room:b", 1), counted("room:c", 1)];
    assert_eq!(topics, json!({ "topics": expected, "next": null }));
    let page = get(&a, "/v1/topics?prefix=room:&limit=2").await;
    assert_eq!(page, json!({ "topics": expected[..2], "next": "room:b" }));
    let topic = get(&a, "/v1/topics/room:a").await;
    assert_eq!((&topic["members"], topic["nodes"].as_array().unwrap().len()), (&json!(2), 2), "{topic}");
    let keys: Vec<&str> = topic["presence"].as_array().unwrap().iter().map(|it| it["key"].as_str().unwrap()).collect();
    assert_eq!(keys, [id(1), id(2)]);
    let stats = get(&a, "/v1/stats").await;
    let nodes = stats["nodes"].as_array().unwrap();
    assert_eq!((nodes.len(), &nodes[0]["connections"], &nodes[1]["connections"]), (2, &json!(1), &json!(1)), "{stats}");
    assert!(nodes.iter().all(|node| node["ready"] == true), "{stats}");
    drop((here, there));
    a.stop().await;
    b.stop().await;
}

#[actix_web::test]
async fn clients_of_all_nodes_are_disconnected() {
    let (_cluster, a, b) = two_nodes().await;
    let mut there = member(&b, 1, &["room:a"]).await;
    let mut here = member(&a, 2, &["room:a"]).await;
    assert_eq!(post(&a, "/v1/disconnect", json!({ "topic": "room:a" })).await, json!({ "disconnected": 2 }));
    assert_eq!((here.close_code().await, there.close_code().await), (1001, 1001));
    let mut there = member(&b, 3, &[]).await;
    let handle = json!({ "peer": id(3), "reconnect": false });
    assert_eq!(post(&a, "/v1/disconnect", handle).await, json!({ "disconnected": 1 }));
    assert_eq!(there.close_code().await, 1000);
    let mut there = member(&b, 4, &[]).await;
    let found = get(&a, &format!("/v1/peers/{}", id(4))).await;
    let without_node = json!({ "connection": found["connection"] }).to_string();
    let response = super::send(&a, "POST", "/v1/disconnect", super::ALL, &without_node).await;
    assert_eq!(response.error(), (422, "with several nodes, a connection needs its node".to_owned()));
    let handle = json!({ "connection": found["connection"], "node": found["node"] });
    assert_eq!(post(&a, "/v1/disconnect", handle).await, json!({ "disconnected": 1 }));
    assert_eq!(there.close_code().await, 1001);
    a.stop().await;
    b.stop().await;
}

/// The settings of a node that requires tokens, and what signs them.
fn with_tokens() -> (Vec<String>, Tokens) {
    let secret = "auth.secrets=a secret of at least 32 bytes, for tests".to_owned();
    let further = [
        "auth.mode=required",
        "limits.connects_burst=100_000",
        "auth.sockets_per_subject=1_000",
        "api.requests_per_second=100_000",
    ];
    let further = further.map(str::to_owned).into_iter().chain([secret]);
    let settings: Vec<String> = settings().into_iter().chain(further).collect();
    let tokens = Tokens::from_config(&config(&texts(&settings)).auth).unwrap();
    (settings, tokens)
}

fn sign(tokens: &Tokens, subject: &str) -> String {
    let lifetime = Duration::from_secs(600);
    tokens.sign(&TokenRequest { subject: subject.to_owned(), lifetime, grants: None }).unwrap()
}

fn texts(settings: &[String]) -> Vec<&str> {
    settings.iter().map(String::as_str).collect()
}

/// The code with which a connection with this token is closed, or 0 if it can join.
async fn close_code(node: &Node, token: &str) -> u16 {
    let mut client = Client::open(node.address(), &format!("/socket/websocket?vsn=2.0.0&token={token}"), &[]).await;
    client.send(r#"["1","1","room:a","phx_join",{}]"#).await;
    match client.receive_any().await {
        Received::Close(code, _) => code,
        _ => 0,
    }
}

#[actix_web::test]
async fn tokens_are_revoked_on_all_nodes_and_on_those_that_come_later() {
    let (settings, tokens) = with_tokens();
    let cluster = EngineCluster::new(Knobs::default());
    let (a, b) = cluster.two_nodes(&texts(&settings)).await;
    let [mai, tom, eve] = ["mai", "tom", "eve"].map(|subject| sign(&tokens, subject));
    let path = format!("/socket/websocket?vsn=2.0.0&token={mai}");
    let mut there = Client::open(b.address(), &path, &[]).await;
    there.join("1", "room:a", "{}").await;
    assert_eq!(post(&a, "/v1/revoke", json!({ "subject": "mai" })).await, json!({ "disconnected": 1 }));
    assert_eq!(there.close_code().await, 1008);
    assert_eq!((close_code(&b, &mai).await, close_code(&b, &tom).await), (1008, 0));
    // more than one page, and a node that starts afterwards
    for n in 0..3 {
        let operations: Vec<_> = (0..500).map(|m| json!({ "revoke": { "subject": format!("{n} {m}") } })).collect();
        post(&a, "/v1/batch", json!({ "operations": operations })).await;
    }
    post(&a, "/v1/revoke", json!({ "subject": "tom" })).await;
    let c = cluster.node("c", config(&texts(&settings))).await;
    assert_eq!((close_code(&c, &tom).await, close_code(&c, &mai).await, close_code(&c, &eve).await), (1008, 1008, 0));
    // a node that has missed one
    cluster.cut_off("b", &b).await;
    let answer = post(&a, "/v1/revoke", json!({ "subject": "eve" })).await;
    cluster.reconnect("b", &b).await;
    wait_until("the node has asked again", || async { close_code(&b, &eve).await == 1008 }).await;
    assert_eq!(answer["disconnected"], 0, "{answer}");
    // a node that brings one in its file
    let file = std::env::temp_dir().join(format!("handclasp-revoked-{}", std::process::id()));
    std::fs::write(&file, r#"{"subject":"ida","before":9000000000,"at":1}"#).unwrap();
    let ida = sign(&tokens, "ida");
    assert_eq!(close_code(&b, &ida).await, 0);
    let brought = settings.iter().cloned().chain([format!("auth.revocations={}", file.display())]).collect::<Vec<_>>();
    let d = cluster.node("d", config(&texts(&brought))).await;
    wait_until("the other nodes have asked the new one", || async { close_code(&b, &ida).await == 1008 }).await;
    for node in [a, b, c, d] {
        node.stop().await;
    }
    std::fs::remove_file(file).unwrap();
}

/// A lease that is not over before a test ends.
const LONG_LEASE: Duration = TIMEOUT.saturating_mul(4);

/// A node that waits for answers as long as a test does.
fn patient_node(cluster: &EngineCluster, name: &str, lease: Duration, config: Config) -> Node {
    let hub = cluster.hub.clone();
    let options = ClusterOptions { lease, timeout: TIMEOUT, ..options(name, &config) };
    Endpoint::new(config).adapter(Cluster::new(options, move || Box::new(hub.engine()))).start().unwrap()
}

/// What `/readyz` says, and the statuses of an upgrade and of `/ice` with this token.
async fn admission(node: &Node, token: &str) -> (String, [u16; 2]) {
    let (_, ready) = common::get(node.address(), "/readyz").await;
    let (upgrade, _) = common::get(node.address(), &format!("/socket/websocket?vsn=2.0.0&token={token}")).await;
    let (ice, _) = common::get(node.address(), &format!("/ice?token={token}")).await;
    (ready.trim_end().to_owned(), [upgrade, ice])
}

/// An upgrade that is none gets 400, if its token is good.
const ADMITTED: [u16; 2] = [400, 200];
const STARTING: [u16; 2] = [503, 503];
const NOT_ASKED: &str = "the other nodes have not said yet which tokens are revoked";

#[actix_web::test]
async fn a_node_accepts_tokens_once_it_knows_which_are_revoked() {
    let (settings, tokens) = with_tokens();
    let (mai, tom) = (sign(&tokens, "mai"), sign(&tokens, "tom"));
    let cluster = EngineCluster::new(Knobs::default());
    let node = |name: &str| patient_node(&cluster, name, LONG_LEASE, config(&texts(&settings)));
    let a = node("a");
    wait_until_ready(&a).await;
    post(&a, "/v1/revoke", json!({ "subject": "mai" })).await;
    cluster.hub.freeze("a");
    let b = node("b");
    wait_until("the node is linked", || async { is_linked(&b) }).await;
    assert_eq!(admission(&b, &tom).await, (NOT_ASKED.to_owned(), STARTING));
    cluster.hub.thaw("a");
    wait_until_ready(&b).await;
    assert_eq!(admission(&b, &tom).await, ("ready".to_owned(), ADMITTED));
    assert_eq!(close_code(&b, &mai).await, 1008);
    a.stop().await;
    b.stop().await;
}

#[actix_web::test]
async fn a_node_without_an_answer_accepts_tokens() {
    let (settings, tokens) = with_tokens();
    let mai = sign(&tokens, "mai");
    let cluster = EngineCluster::new(Knobs::default());
    let a = cluster.node("a", config(&texts(&settings))).await;
    cluster.hub.freeze("a");
    let b = cluster.node("b", config(&texts(&settings))).await;
    assert_eq!(admission(&b, &mai).await, ("ready".to_owned(), ADMITTED));
    // and one without a link
    cluster.hub.refuse("c", true);
    let hasty = settings.iter().map(String::as_str).chain(["cluster.lease=2s"]).collect::<Vec<_>>();
    let c = cluster.unlinked_node("c", config(&hasty));
    assert_eq!(admission(&c, &mai).await.1, STARTING);
    wait_until("it has waited long enough", || async { admission(&c, &mai).await.1 == ADMITTED }).await;
    for node in [a, b, c] {
        node.stop().await;
    }
}

#[actix_web::test]
async fn a_node_that_was_cut_off_accepts_tokens_and_is_ready_once_it_has_asked() {
    let (settings, tokens) = with_tokens();
    let mai = sign(&tokens, "mai");
    let cluster = EngineCluster::new(Knobs::default());
    let node = |name: &str, lease| patient_node(&cluster, name, lease, config(&texts(&settings)));
    let (a, b) = (node("a", LONG_LEASE), node("b", LEASE));
    wait_until_acquainted([&a, &b]).await;
    wait_until_ready(&b).await;
    cluster.cut_off("b", &b).await;
    wait_until("its lease is over", || async { admission(&b, &mai).await.0 != "ready" }).await;
    assert_eq!(admission(&b, &mai).await.1, ADMITTED);
    post(&a, "/v1/revoke", json!({ "subject": "mai" })).await;
    cluster.hub.freeze("a");
    cluster.reconnect("b", &b).await;
    assert_eq!(admission(&b, &mai).await, (NOT_ASKED.to_owned(), ADMITTED));
    cluster.hub.thaw("a");
    wait_until_ready(&b).await;
    assert_eq!(close_code(&b, &mai).await, 1008);
    a.stop().await;
    b.stop().await;
}

#[actix_web::test]
async fn a_node_that_does_not_know_the_others_yet_says_so() {
    let cluster = EngineCluster::new(Knobs::default());
    cluster.hub.refuse("a", true);
    let node = cluster.unlinked_node("a", config(&settings().each_ref().map(String::as_str)));
    for path in ["/v1/topics", "/v1/stats"] {
        let response = super::send(&node, "GET", path, super::ALL, "").await;
        assert_eq!(response.error(), (503, "not linked to the other nodes".to_owned()));
    }
    node.stop().await;
}

#[actix_web::test]
async fn a_node_that_does_not_answer_is_silent() {
    let (cluster, a, b) = two_nodes().await;
    let there = member(&b, 1, &["room:a"]).await;
    cluster.hub.unlink("b");
    cluster.hub.refuse("b", true);
    let absent = get(&a, &format!("/v1/peers/{}", id(1))).await;
    assert_eq!((&absent["online"], absent["silent"].as_array().map(Vec::len)), (&json!(false), Some(1)), "{absent}");
    for path in ["/v1/topics", "/v1/topics/room:a", "/v1/stats"] {
        let answer = get(&a, path).await;
        assert_eq!(answer["silent"].as_array().map(Vec::len), Some(1), "{path}: {answer}");
    }
    let closed = post(&a, "/v1/disconnect", json!({ "topic": "room:a" })).await;
    assert_eq!((&closed["disconnected"], closed["silent"].as_array().map(Vec::len)), (&json!(0), Some(1)), "{closed}");
    wait_until("the node counts as dead", || async { get(&a, "/v1/topics").await.get("silent").is_none() }).await;
    drop(there);
    a.stop().await;
    b.stop().await;
}
