//! The ICE servers over HTTP: their credentials, the origins that may read them, caches, and the limit per client IP.

use handclasp::{Endpoint, Node};
use serde_json::Value;

use crate::common::{self, Client, config, get, node};

const STUN: &str = r#"{ urls = "stun:stun.test" }"#;
const TURN: &str = r#"{ urls = ["turn:turn.test", "turns:turn.test"], secret = "north" }"#;

fn with_servers(sets: &[&str]) -> Node {
    let servers = format!("peer.ice_servers=[{STUN}, {TURN}]");
    node(&[&[&*servers], sets].concat())
}

/// A response: its head in lower case, and its body.
async fn request(node: &Node, method: &str, headers: &str) -> (String, String) {
    let request = format!("{method} /ice HTTP/1.1\r\nHost: broker.localhost\r\n{headers}\r\n");
    let (mut client, head) = Client::request(node.address(), &request).await;
    let body = if head.contains(" 204 ") { Vec::new() } else { client.body(&head).await };
    (head.to_lowercase(), String::from_utf8(body).unwrap())
}

fn servers(body: &str) -> Vec<Value> {
    serde_json::from_str::<Value>(body).unwrap()["iceServers"].as_array().unwrap().clone()
}

#[actix_web::test]
async fn each_response_has_credentials_of_its_own_and_is_not_stored() {
    let node = with_servers(&[]);
    let mut users = Vec::new();
    for _ in 0..2 {
        let (head, body) = request(&node, "GET", "").await;
        for line in ["http/1.1 200", "application/json", "cache-control: no-store", "nosniff", "vary: origin"] {
            assert!(head.contains(line), "{line} in {head}");
        }
        let servers = servers(&body);
        assert_eq!(servers[0], serde_json::json!({ "urls": ["stun:stun.test"] }));
        assert_eq!(servers[1]["urls"][1], "turns:turn.test");
        assert!(servers[1]["credential"].is_string() && !body.contains("north"), "{body}");
        let (expiry, user) = servers[1]["username"].as_str().unwrap().split_once(':').unwrap();
        assert!(expiry.parse::<u64>().is_ok() && user.len() == 32, "{expiry}:{user}");
        users.push(user.to_owned());
    }
    assert_ne!(users[0], users[1]);
    assert_eq!(get(common::node(&[]).address(), "/ice").await, (200, r#"{"iceServers":[]}"#.to_owned()));
}

#[actix_web::test]
async fn only_pages_of_allowed_origins_receive_them() {
    let (default, listed) = (with_servers(&[]), with_servers(&["ice.check_origin=https://page.test"]));
    for (node, origin, is_allowed) in [
        (&default, "http://broker.localhost", true),
        (&default, "https://page.test", false),
        (&default, "null", false),
        (&listed, "https://page.test", true),
        (&listed, "http://broker.localhost", false),
    ] {
        let header = format!("Origin: {origin}\r\n");
        let (head, body) = request(node, "GET", &header).await;
        let allows = format!("access-control-allow-origin: {origin}\r\n");
        assert_eq!(head.starts_with("http/1.1 200"), is_allowed, "{origin}: {head}");
        assert_eq!(head.starts_with("http/1.1 403"), !is_allowed, "{origin}: {head}");
        assert_eq!((head.contains(&allows), body.contains("turn.test")), (is_allowed, is_allowed), "{origin}: {head}");
        assert!(!head.contains("allow-credentials"), "{head}");
        let (head, _) = request(node, "OPTIONS", &format!("{header}Access-Control-Request-Method: GET\r\n")).await;
        assert_eq!((head.contains(" 204 "), head.contains(&allows)), (true, is_allowed), "{origin}: {head}");
    }
}

#[actix_web::test]
async fn a_client_ip_that_asks_too_often_is_refused_and_no_other() {
    let limits = ["limits.ice_per_minute_per_ip=1", "limits.ice_burst_per_ip=2", "server.trusted_proxies=127.0.0.1"];
    let node = with_servers(&limits);
    let status = async |client: &str, headers: &str| {
        let (head, body) = request(&node, "GET", &format!("X-Forwarded-For: {client}\r\n{headers}")).await;
        assert!(head.starts_with("http/1.1 200") || !body.contains("turn.test"), "{body}");
        head[9..12].to_owned()
    };
    // a refused page takes nothing from the others behind the same address
    assert_eq!(status("192.0.2.1", "Origin: https://evil.test\r\n").await, "403");
    for expected in ["200", "200", "429", "429"] {
        assert_eq!(status("192.0.2.1", "").await, expected);
    }
    assert_eq!(status("192.0.2.2", "").await, "200");
    let (head, _) = request(&node, "GET", "X-Forwarded-For: 192.0.2.1\r\nOrigin: http://broker.localhost\r\n").await;
    assert!(
        head.starts_with("http/1.1 429") && head.contains("access-control-allow-origin"),
        "a page reads it: {head}"
    );
}

#[actix_web::test]
async fn the_path_can_be_changed_or_turned_off() {
    let moved = node(&["ice.path=/turn/servers"]);
    assert_eq!(get(moved.address(), "/turn/servers").await.0, 200);
    assert_eq!(get(moved.address(), "/ice").await.0, 404);
    assert_eq!(get(node(&["ice.enabled=false"]).address(), "/ice").await.0, 404);
    assert_eq!(get(Endpoint::bare(config(&[])).start().unwrap().address(), "/ice").await.0, 404);
    let (head, _) = request(&node(&[]), "POST", "Content-Length: 0\r\n").await;
    assert!(head.starts_with("http/1.1 405"), "{head}");
}
