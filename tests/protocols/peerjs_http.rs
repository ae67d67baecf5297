//! PeerServer's HTTP routes, and what its clients hear of the node's limits and end. Its messages are in
//! `tests/transcripts/peerjs`.

use handclasp::Node;

use crate::common::{Client, Received, get, node, wait_until_empty};

/// Sends a request with these header lines, and returns the answer's head, in lower case, and its body.
async fn ask(node: &Node, request: &str, headers: &[&str]) -> (String, String) {
    let address = node.address();
    let more: String = headers.iter().map(|line| format!("{line}\r\n")).collect();
    let text = format!("{request} HTTP/1.1\r\nHost: {address}\r\n{more}\r\n");
    let (mut client, head) = Client::request(address, &text).await;
    let body = client.body(&head.to_lowercase()).await;
    (head.to_lowercase(), String::from_utf8(body).unwrap())
}

#[actix_web::test]
async fn a_client_that_asks_is_given_an_id() {
    let node = node(&[]);
    for path in ["/peerjs/id", "/peerjs/id/", "/another/id?ts=17&version=1.5.5"] {
        let (head, body) = ask(&node, &format!("GET {path}"), &[]).await;
        assert!(head.starts_with("http/1.1 200") && head.contains("content-type: text/html; charset=utf-8"), "{head}");
        assert_eq!(body.len(), 36, "{body:?}: the client uses it as it is");
    }
    assert_eq!(get(node.address(), "//peerjs/id").await.0, 404);
    assert_eq!(get(node.address(), "/peerjs").await.0, 404);
}

#[actix_web::test]
async fn the_ids_are_listed_only_where_that_is_allowed() {
    let shy = node(&[]);
    assert_eq!(get(shy.address(), "/peerjs/peers").await, (401, "Unauthorized".into()));
    let open = node(&["peerjs.allow_discovery=true"]);
    assert_eq!(get(open.address(), "/peerjs/peers").await, (200, "[]".into()));
    let mut client = Client::open(open.address(), "/peerjs?key=peerjs&id=ann&token=t", &[]).await;
    client.expect(r#"{"type":"OPEN"}"#).await;
    let mut other = Client::new(open.address()).await;
    other.join("1", "room:lobby", "{}").await;
    assert_eq!(get(open.address(), "/peerjs/peers").await, (200, r#"["ann"]"#.into()), "no name of another realm");
}

#[actix_web::test]
async fn pages_of_other_origins_may_ask_unless_they_are_not_listed() {
    let (any, listed) = (node(&[]), node(&["peerjs.cors=[\"https://a.test\"]"]));
    let from = ["origin: https://b.test", "access-control-request-headers: x-a"];
    let (head, _) = ask(&any, "GET /peerjs/id", &from[..1]).await;
    assert!(head.contains("access-control-allow-origin: https://b.test") && head.contains("vary: origin"), "{head}");
    let (head, _) = ask(&any, "OPTIONS /peerjs/id", &from).await;
    assert!(head.starts_with("http/1.1 204"), "{head}");
    assert!(head.contains("access-control-allow-methods: get,head,put,patch,post,delete"), "{head}");
    assert!(head.contains("access-control-allow-headers: x-a"), "{head}");
    let (head, _) = ask(&any, "GET /peerjs/id", &[]).await;
    assert!(!head.contains("access-control"), "{head}");
    let (head, _) = ask(&listed, "GET /peerjs/id", &from[..1]).await;
    assert!(!head.contains("access-control"), "{head}");
    let way_in = "/peerjs?key=peerjs&id=a&token=t";
    assert!(Client::try_open(listed.address(), way_in, &from[..1]).await.1.starts_with("HTTP/1.1 403"));
    assert!(
        Client::try_open(listed.address(), way_in, &["origin: https://a.test"]).await.1.starts_with("HTTP/1.1 101")
    );
}

#[actix_web::test]
async fn the_base_says_what_it_is_unless_a_person_asks() {
    let node = node(&[]);
    let (head, body) = ask(&node, "GET /", &["accept: */*"]).await;
    assert!(
        head.contains("content-type: application/json") && body.starts_with(r#"{"name":"PeerJS Server","#),
        "{body}"
    );
    let (head, _) = ask(&node, "GET /", &["accept: text/html,*/*;q=0.8"]).await;
    assert!(head.contains("content-type: text/html"), "{head}");
}

#[actix_web::test]
async fn it_can_have_a_path_of_its_own_or_not_be_there() {
    let there = node(&["peerjs.path=/myapp"]);
    assert_eq!(get(there.address(), "/myapp/").await.0, 200);
    assert_eq!(get(there.address(), "/myapp/peerjs/id").await.0, 200);
    Client::open(there.address(), "/myapp/peerjs?key=peerjs&id=a&token=t", &[])
        .await
        .expect(r#"{"type":"OPEN"}"#)
        .await;
    let absent = node(&["peerjs.enabled=false"]);
    assert_eq!(get(absent.address(), "/peerjs/id").await.0, 404);
    assert!(
        Client::try_open(absent.address(), "/peerjs?key=peerjs&id=a&token=t", &[]).await.1.starts_with("HTTP/1.1 404")
    );
}

#[actix_web::test]
async fn a_client_that_says_nothing_is_closed_and_the_end_of_the_node_is_told() {
    let node = node(&["peerjs.alive_timeout=200ms", "drain.spread=0s"]);
    let mut silent = Client::open(node.address(), "/peerjs?key=peerjs&id=a&token=t", &[]).await;
    silent.expect(r#"{"type":"OPEN"}"#).await;
    assert!(matches!(silent.receive_any().await, Received::Close(1001, _)));
    drop(silent);
    wait_until_empty(&node).await;
    let mut client = Client::open(node.address(), "/peerjs?key=peerjs&id=a&token=t", &[]).await;
    client.expect(r#"{"type":"OPEN"}"#).await;
    actix_web::rt::spawn(node.drain());
    assert_eq!(client.close_code().await, 1012);
}
