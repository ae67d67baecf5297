//! Who may read a response: pages of other origins by its CORS headers, errors included, and caches by `Cache-Control`
//! and `Vary`.

use handclasp::Node;

use crate::common::longpoll::{Response, request};
use crate::common::{Client, node};

const PAGE: &str = "origin: https://page.test";

/// All paths below which pages of other origins find something, open to every page.
const ANY: [&str; 5] = [
    "socket.check_origin=any",
    "ice.check_origin=any",
    "relay.enabled=true",
    "limits.message_bytes=2000",
    "socketio.max_payload=2000",
];

async fn from_page(node: &Node, method: &str, path: &str, body: &[u8]) -> Response {
    request(node.address(), method, path, &[PAGE], body).await
}

fn assert_readable(response: &Response, what: &str) {
    let allowed = response.header("access-control-allow-origin");
    assert!(matches!(allowed, Some("https://page.test" | "*")), "{what}: {response:?}");
    if allowed != Some("*") {
        let vary: Vec<&str> = response.head.lines().filter_map(|line| line.strip_prefix("vary: ")).collect();
        assert_eq!(vary.iter().filter(|vary| vary.contains("origin")).count(), 1, "{what}: {response:?}");
    }
}

fn assert_not_stored(response: &Response, what: &str) {
    assert_eq!(response.header("cache-control"), Some("no-store"), "{what}: {response:?}");
}

/// The path of a new polling session.
async fn open(node: &Node) -> String {
    let opened = from_page(node, "GET", "/socket.io/?EIO=4&transport=polling", b"").await;
    let sid = opened.body.split(r#""sid":""#).nth(1).unwrap().split('"').next().unwrap();
    format!("/socket.io/?EIO=4&transport=polling&sid={sid}")
}

#[actix_web::test]
async fn a_page_of_another_origin_can_read_every_response_and_every_error() {
    let node = node(&ANY);
    let (session, large) = (open(&node).await, vec![b'x'; 3_000]);
    for (status, method, path, body) in [
        (200, "GET", "/socket.io/?EIO=4&transport=polling", &b""[..]),
        (400, "GET", "/socket.io/", b""),
        (400, "GET", "/socket.io/?EIO=4&transport=polling&sid=nobody", b""),
        (400, "PUT", "/socket.io/?EIO=4&transport=polling", b""),
        (400, "GET", "/socket.io/?EIO=4&transport=polling&x=%ff", b""),
        (413, "POST", &session, &large),
        (404, "GET", "/socket.io/nothing", b""),
        (404, "GET", "/socket.io/socket.io.js", b""),
        (405, "POST", "/socket.io/socket.io.js", b"x"),
        (200, "GET", "/socket.io/1/", b""),
        (400, "GET", "/socket.io/2/", b""),
        (405, "PUT", "/socket.io/1/", b""),
        (200, "GET", "/peerjs/id", b""),
        (405, "POST", "/peerjs/id", b"x"),
        (401, "GET", "/peerjs/peers", b""),
        (401, "POST", "/peerjs/ann/t/offer", b"{}"),
        (405, "PUT", "/peerjs/ann/t/offer", b"{}"),
        (200, "GET", "/socket/longpoll?vsn=2.0.0", b""),
        (400, "GET", "/socket/longpoll?x=%ff", b""),
        (400, "PUT", "/socket/longpoll", b""),
        (404, "GET", "/socket/longpoll/more", b""),
        (200, "GET", "/ice", b""),
        (405, "POST", "/ice", b"x"),
        (200, "GET", "/lib/index.js", b""),
        (404, "GET", "/lib/nothing.js", b""),
        (405, "POST", "/lib/index.js", b"x"),
    ] {
        let what = format!("{method} {path}");
        let response = from_page(&node, method, path, body).await;
        assert_eq!(response.http, status, "{what}: {response:?}");
        assert_readable(&response, &what);
        if path != "/lib/index.js" {
            assert_not_stored(&response, &what);
        }
    }
}

/// The limits of connections are checked by the mount's acceptor, before the protocol.
#[actix_web::test]
async fn a_page_of_another_origin_can_read_that_a_limit_is_reached() {
    let limited = [&ANY[..], &["limits.sockets_per_ip=1", "ice.check_origin=any"]].concat();
    let limited = node(&[&limited[..], &["limits.ice_per_minute_per_ip=1", "limits.ice_burst_per_ip=1"]].concat());
    let full = node(&[&ANY[..], &["server.connections=1"]].concat());
    let polling = "/socket.io/?EIO=4&transport=polling";
    for (node, status) in [(&limited, 429), (&full, 503)] {
        let taken = Client::new(node.address()).await;
        for path in [polling, "/socket.io/1/", "/socket/longpoll?vsn=2.0.0"] {
            let response = from_page(node, "GET", path, b"").await;
            assert_eq!(response.http, status, "{path}: {response:?}");
            assert_readable(&response, path);
            assert_not_stored(&response, path);
            assert_eq!(response.header("retry-after").is_some(), status == 429, "{path}: {response:?}");
        }
        drop(taken);
    }
    assert_eq!(from_page(&limited, "GET", "/ice", b"").await.http, 200);
    let refused = from_page(&limited, "GET", "/ice", b"").await;
    assert_eq!(refused.http, 429, "{refused:?}");
    assert_readable(&refused, "/ice");
    assert!(refused.header("retry-after").is_some(), "{refused:?}");
    assert_eq!(refused.header("access-control-expose-headers"), Some("retry-after"), "{refused:?}");
}

#[actix_web::test]
async fn a_page_of_an_origin_that_is_not_allowed_can_read_nothing() {
    let list = "https://other.test";
    let sets = ["socketio.check_origin", "peerjs.cors", "ice.check_origin"].map(|key| format!("{key}={list}"));
    let node = node(&sets.each_ref().map(String::as_str));
    for path in ["/socket.io/?EIO=4&transport=polling", "/socket.io/1/", "/socket.io/nothing", "/peerjs/id", "/ice"] {
        let response = from_page(&node, "GET", path, b"").await;
        assert_eq!(response.header("access-control-allow-origin"), None, "{path}: {response:?}");
        assert!(response.head.contains("vary: origin"), "{path}: {response:?}");
        assert_not_stored(&response, path);
    }
}

#[actix_web::test]
async fn no_cache_hands_one_client_what_another_asked_for() {
    let node = node(&["peerjs.allow_discovery=true", "relay.enabled=true", "hello.enabled=true"]);
    for path in [
        "/socket.io/?EIO=4&transport=polling",
        "/socket.io/1/",
        "/socket.io/1/?jsonp=0",
        "/socket.io/nothing",
        "/socket/longpoll?vsn=2.0.0",
        "/peerjs/id",
        "/peerjs/peers",
        "/ice",
        "/healthz",
        "/readyz",
        "/relay",
        "/hello",
        "/socket/websocket?vsn=2.0.0",
    ] {
        assert_not_stored(&request(node.address(), "GET", path, &[], b"").await, path);
    }
}

/// PeerJS has its description at the path of the page.
#[actix_web::test]
async fn a_response_that_depends_on_a_header_names_it() {
    let node = node(&[]);
    for (accept, kind) in [("accept: text/html", "text/html"), ("accept: */*", "application/json")] {
        let response = request(node.address(), "GET", "/", &[accept], b"").await;
        assert!(response.header("content-type").unwrap().starts_with(kind), "{response:?}");
        let vary: Vec<&str> = response.head.lines().filter_map(|line| line.strip_prefix("vary: ")).collect();
        assert!(vary.join(", ").split(", ").any(|name| name == "accept"), "{response:?}");
    }
    let file = request(node.address(), "GET", "/lib/index.js", &[], b"").await;
    assert_eq!(file.header("vary"), Some("accept-encoding"));
}
