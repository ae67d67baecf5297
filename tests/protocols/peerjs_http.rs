//! PeerJS over HTTP: the routes of PeerServer, and how the node's limits and its shutdown affect PeerJS clients. PeerJS
//! messages are in `tests/transcripts/peerjs`.

use handclasp::Node;

use crate::common::longpoll::{self, Response};
use crate::common::{Client, get, node, wait_until_empty};

/// Sends a request with these headers.
async fn request(node: &Node, method: &str, path: &str, headers: &[&str]) -> Response {
    longpoll::request(node.address(), method, path, headers, b"").await
}

#[actix_web::test]
async fn a_client_can_request_an_id() {
    let node = node(&[]);
    for path in ["/peerjs/id", "/peerjs/id/", "/another/id?ts=17&version=1.5.5"] {
        let Response { head, body, .. } = request(&node, "GET", path, &[]).await;
        assert!(head.starts_with("http/1.1 200") && head.contains("content-type: text/html; charset=utf-8"), "{head}");
        assert_eq!(body.len(), 36, "{body:?} is not an id");
    }
    assert_eq!(get(node.address(), "//peerjs/id").await.0, 404);
    assert_eq!(get(node.address(), "/peerjs").await.0, 404);
}

#[actix_web::test]
async fn the_ids_are_listed_only_if_discovery_is_allowed() {
    let hidden = node(&[]);
    assert_eq!(get(hidden.address(), "/peerjs/peers").await, (401, "Unauthorized".into()));
    let open = node(&["peerjs.allow_discovery=true"]);
    assert_eq!(get(open.address(), "/peerjs/peers").await, (200, "[]".into()));
    let mut client = Client::open(open.address(), "/peerjs?key=peerjs&id=ann&token=t", &[]).await;
    client.expect(r#"{"type":"OPEN"}"#).await;
    let mut other = Client::new(open.address()).await;
    other.join("1", "room:lobby", "{}").await;
    assert_eq!(get(open.address(), "/peerjs/peers").await, (200, r#"["ann"]"#.into()), "only PeerJS ids are listed");
}

#[actix_web::test]
async fn other_origins_are_allowed_unless_a_list_excludes_them() {
    let (any, listed) = (node(&[]), node(&["peerjs.cors=[\"https://a.test\"]"]));
    let from = ["origin: https://b.test", "access-control-request-headers: x-a"];
    let Response { head, .. } = request(&any, "GET", "/peerjs/id", &from[..1]).await;
    assert!(head.contains("access-control-allow-origin: https://b.test") && head.contains("vary: origin"), "{head}");
    let Response { head, .. } = request(&any, "OPTIONS", "/peerjs/id", &from).await;
    assert!(head.starts_with("http/1.1 204"), "{head}");
    assert!(head.contains("access-control-allow-methods: get,head,put,patch,post,delete"), "{head}");
    assert!(head.contains("access-control-allow-headers: x-a"), "{head}");
    let Response { head, .. } = request(&any, "GET", "/peerjs/id", &[]).await;
    assert!(!head.contains("access-control"), "{head}");
    let Response { head, .. } = request(&listed, "GET", "/peerjs/id", &from[..1]).await;
    assert!(!head.contains("access-control"), "{head}");
    let path = "/peerjs?key=peerjs&id=a&token=t";
    assert!(Client::try_open(listed.address(), path, &from[..1]).await.1.starts_with("HTTP/1.1 403"));
    assert!(Client::try_open(listed.address(), path, &["origin: https://a.test"]).await.1.starts_with("HTTP/1.1 101"));
}

#[actix_web::test]
async fn the_root_describes_the_server_unless_a_browser_requests_html() {
    let node = node(&[]);
    let Response { head, body, .. } = request(&node, "GET", "/", &["accept: */*"]).await;
    assert!(
        head.contains("content-type: application/json") && body.starts_with(r#"{"name":"PeerJS Server","#),
        "{body}"
    );
    let Response { head, .. } = request(&node, "GET", "/", &["accept: text/html,*/*;q=0.8"]).await;
    assert!(head.contains("content-type: text/html"), "{head}");
}

#[actix_web::test]
async fn the_path_can_be_changed_and_the_protocol_disabled() {
    let custom = node(&["peerjs.path=/myapp"]);
    assert_eq!(get(custom.address(), "/myapp/").await.0, 200);
    assert_eq!(get(custom.address(), "/myapp/peerjs/id").await.0, 200);
    Client::open(custom.address(), "/myapp/peerjs?key=peerjs&id=a&token=t", &[])
        .await
        .expect(r#"{"type":"OPEN"}"#)
        .await;
    let disabled = node(&["peerjs.enabled=false"]);
    assert_eq!(get(disabled.address(), "/peerjs/id").await.0, 404);
    assert!(
        Client::try_open(disabled.address(), "/peerjs?key=peerjs&id=a&token=t", &[])
            .await
            .1
            .starts_with("HTTP/1.1 404")
    );
}

#[actix_web::test]
async fn a_silent_client_is_closed_and_a_drain_closes_with_service_restart() {
    let node = node(&["peerjs.alive_timeout=200ms", "drain.spread=0s"]);
    let mut silent = Client::open(node.address(), "/peerjs?key=peerjs&id=a&token=t", &[]).await;
    silent.expect(r#"{"type":"OPEN"}"#).await;
    assert_eq!(silent.close_code().await, 1001, "it answers no ping");
    drop(silent);
    wait_until_empty(&node).await;
    let mut client = Client::open(node.address(), "/peerjs?key=peerjs&id=a&token=t", &[]).await;
    client.expect(r#"{"type":"OPEN"}"#).await;
    actix_web::rt::spawn(node.drain());
    assert_eq!(client.close_code().await, 1012);
}
