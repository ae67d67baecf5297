//! The listener: keys and permissions, hosts, methods, media types, rates, and the unix socket.

use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;

use handclasp::{Config, Endpoint};
use tokio::io::AsyncWriteExt;
use tokio::net::UnixStream;

use super::{ALL, PUBLISH, READ, api_node, raw, read, request, send, settings};
use crate::common::config;

/// Each route with a body that it takes, and the key that does not have its permission.
const ROUTES: [(&str, &str, &str, &str); 10] = [
    ("POST", "/v1/publish", r#"{"topic":"room:a","event":"e","payload":{}}"#, READ),
    ("POST", "/v1/signal", r#"{"to":"00000000-0000-4000-8000-000000000001","event":"e","payload":{}}"#, READ),
    ("POST", "/v1/batch", r#"{"operations":[{"publish":{"topic":"room:a","event":"e","payload":{}}}]}"#, READ),
    ("POST", "/v1/batch", r#"{"operations":[{"disconnect":{"topic":"room:a"}}]}"#, PUBLISH),
    ("POST", "/v1/disconnect", r#"{"topic":"room:a"}"#, PUBLISH),
    ("GET", "/v1/peers/00000000-0000-4000-8000-000000000001", "", PUBLISH),
    ("GET", "/v1/topics", "", PUBLISH),
    ("GET", "/v1/topics/room:a", "", PUBLISH),
    ("GET", "/v1/stats", "", PUBLISH),
    ("POST", "/v1/drain", "", READ),
];

#[actix_web::test]
async fn each_route_needs_a_key_with_its_permission() {
    for (method, path, body, other) in ROUTES {
        // each with a node of its own, since ten wrong keys are too many
        let node = api_node(&[]);
        for (key, status, reason) in [("", 401, "key missing"), (other, 403, "not allowed")] {
            let response = send(&node, method, path, key, body).await;
            assert_eq!(response.error(), (status, reason.to_owned()), "{path}");
            assert_eq!(response.header("www-authenticate"), (status == 401).then_some("Bearer"), "{path}");
        }
        let response = send(&node, method, path, "wrong-0123456789abcdef0123456789abcdef", body).await;
        assert_eq!(response.error(), (401, "key invalid".to_owned()), "{path}");
        let response = send(&node, method, path, ALL, body).await;
        assert!([200, 202].contains(&response.status), "{path}: {} {}", response.status, response.body);
        assert_eq!(response.header("cache-control"), Some("no-store"));
        assert_eq!(response.header("content-type"), Some("application/json"));
        assert_eq!(response.header("access-control-allow-origin"), None, "no page may read it");
        node.stop().await;
    }
    let node = api_node(&[]);
    let revoke = send(&node, "POST", "/v1/revoke", PUBLISH, r#"{"subject":"u7"}"#).await;
    assert_eq!(revoke.error(), (403, "not allowed".to_owned()));
    let published = send(&node, "POST", "/v1/publish", PUBLISH, ROUTES[0].2).await;
    assert_eq!(published.status, 200, "{}", published.body);
    node.stop().await;
}

#[actix_web::test]
async fn some_routes_need_no_key() {
    let node = api_node(&[]);
    let health = send(&node, "GET", "/healthz", "", "").await;
    assert_eq!((health.status, &*health.body), (200, r#"{"status":"ok"}"#));
    let head = send(&node, "HEAD", "/healthz", "", "").await;
    assert_eq!((head.status, &*head.body), (200, ""));
    let document = send(&node, "GET", "/openapi.json", "", "").await.json();
    assert_eq!(document["openapi"], "3.1.0");
    node.stop().await;
}

#[actix_web::test]
async fn ten_wrong_keys_of_an_address_are_too_many() {
    let node = api_node(&[]);
    for _ in 0..10 {
        assert_eq!(send(&node, "POST", "/v1/publish", "wrong", "{}").await.status, 401);
    }
    let response = send(&node, "POST", "/v1/publish", "wrong", "{}").await;
    assert_eq!(response.error(), (429, "too many wrong keys".to_owned()));
    assert_eq!(response.header("retry-after"), Some("6"));
    let right = send(&node, "POST", "/v1/publish", ALL, ROUTES[0].2).await;
    assert_eq!(right.status, 200, "a backend may share the address of a proxy with others");
    assert_eq!(send(&node, "GET", "/healthz", "", "").await.status, 200);
    node.stop().await;
}

#[actix_web::test]
async fn a_key_has_a_rate_of_its_own() {
    let node = api_node(&["api.requests_per_second=2"]);
    for _ in 0..2 {
        assert_eq!(send(&node, "POST", "/v1/publish", ALL, ROUTES[0].2).await.status, 200);
    }
    let mut statuses = Vec::new();
    while statuses.last() != Some(&429) {
        statuses.push(send(&node, "POST", "/v1/publish", ALL, ROUTES[0].2).await.status);
        assert!(statuses.len() < 1_000, "{statuses:?}");
    }
    assert_eq!(send(&node, "POST", "/v1/publish", PUBLISH, ROUTES[0].2).await.status, 200, "another key");
    node.stop().await;
}

#[actix_web::test]
async fn only_routes_and_their_methods_are_served() {
    let node = api_node(&[]);
    for path in ["/", "/v1", "/v1/publish/", "/v1/nothing", "/metrics", "/v1/publish%2F", "//v1/publish"] {
        assert_eq!(send(&node, "GET", path, ALL, "").await.error(), (404, "no such route".to_owned()), "{path}");
    }
    for (method, path, allow) in [
        ("GET", "/v1/publish", "POST"),
        ("DELETE", "/v1/publish", "POST"),
        ("OPTIONS", "/v1/publish", "POST"),
        ("POST", "/healthz", "GET, HEAD"),
    ] {
        let response = send(&node, method, path, ALL, "").await;
        assert_eq!(response.error(), (405, "method not allowed".to_owned()), "{method} {path}");
        assert_eq!(response.header("allow"), Some(allow));
    }
    node.stop().await;
}

#[actix_web::test]
async fn a_body_is_json_of_a_limited_size() {
    let node = api_node(&["api.body_bytes=2000"]);
    let address = node.api_address().unwrap();
    for media_type in ["", "Content-Type: text/plain\r\n", "Content-Type: application/x-www-form-urlencoded\r\n"] {
        let head = format!(
            "POST /v1/publish HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nAuthorization: Bearer {ALL}\r\n\
             {media_type}Content-Length: 2\r\n\r\n{{}}"
        );
        assert_eq!(raw(address, head.as_bytes()).await.status, 415, "{media_type}");
    }
    let charset = request("POST", "/v1/publish", ALL, "", ROUTES[0].2).replace("/json", "/json; charset=utf-8");
    assert_eq!(raw(address, charset.as_bytes()).await.status, 200);
    let with_text = |bytes: usize| format!(r#"{{"topic":"room:a","event":"e","payload":"{}"}}"#, "x".repeat(bytes));
    let rest = with_text(0).len();
    assert_eq!(send(&node, "POST", "/v1/publish", ALL, &with_text(2000 - rest)).await.status, 200);
    let large = send(&node, "POST", "/v1/publish", ALL, &with_text(2001 - rest)).await;
    assert_eq!(large.error(), (413, "the body has more than 2000 bytes".to_owned()));
    let chunked = |text: &str| {
        format!(
            "POST /v1/publish HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nAuthorization: Bearer {ALL}\r\n\
             Content-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n{:x}\r\n{text}\r\n0\r\n\r\n",
            text.len()
        )
    };
    assert_eq!(raw(address, chunked(&with_text(2000 - rest)).as_bytes()).await.status, 200);
    assert_eq!(raw(address, chunked(&with_text(2001 - rest)).as_bytes()).await.status, 413);
    node.stop().await;
}

#[actix_web::test]
async fn what_a_route_does_not_know_is_refused() {
    let node = api_node(&[]);
    let fields = "expected one of `topic`, `event`, `payload`, `protocol`";
    for (body, reason) in [
        (r#"{"topic":"room:a","event":"e","payload":{},"topics":1}"#, fields),
        (r#"{"topic":"room:a","payload":{}}"#, "missing field `event`"),
        (r#"{"topic":"room:a","event":"e"}"#, "missing field `payload`"),
        (r#"{"topic":"a","topic":"b","event":"e","payload":1}"#, "duplicate field `topic`"),
        (r#"{"topic":1,"event":"e","payload":{}}"#, "expected a string"),
        (r#"{"topic":"a","event":"e","payload":1,"protocol":"peerjs"}"#, "expected `phoenix` or `socketio`"),
        (r#"["room:a","e",{}]"#, "expected a JSON object"),
        ("{", "invalid JSON"),
        ("null", "expected a JSON object"),
    ] {
        let response = send(&node, "POST", "/v1/publish", ALL, body).await;
        assert_eq!(response.error(), (400, reason.to_owned()), "{body}");
    }
    let response = send(&node, "POST", "/v1/publish?topic=a", ALL, ROUTES[0].2).await;
    assert_eq!(response.error(), (400, "this route has no parameters".to_owned()));
    let with_body = request("POST", "/healthz", "", "", "{}").replace("POST", "GET");
    let response = raw(node.api_address().unwrap(), with_body.as_bytes()).await;
    assert_eq!(response.error(), (400, "this route has no body".to_owned()));
    node.stop().await;
}

// ---- the unix socket

fn socket_path(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(name)
}

fn on_socket(path: &std::path::Path) -> Config {
    config(&[&format!("api.listen=unix:{}", path.display())])
}

#[actix_web::test]
async fn a_unix_socket_needs_no_key_and_is_for_its_group() {
    let path = socket_path("api.sock");
    let node = Endpoint::new(on_socket(&path)).start().unwrap();
    assert_eq!(node.api_address(), None);
    assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o660);
    // a host of any name, as curl sends it
    let text = request("POST", "/v1/publish", "", "", ROUTES[0].2).replace("localhost", "api.example");
    let mut stream = UnixStream::connect(&path).await.unwrap();
    stream.write_all(text.as_bytes()).await.unwrap();
    assert_eq!(read(&mut stream).await.status, 200);
    let error = Endpoint::new(on_socket(&path)).start().map(drop).unwrap_err();
    assert!(error.to_string().contains("another process listens there"), "{error}");
    node.stop().await;
    assert!(!path.exists());
}

#[actix_web::test]
async fn an_abandoned_socket_is_replaced_and_another_file_is_not() {
    let path = socket_path("abandoned.sock");
    let _ = std::fs::remove_file(&path);
    drop(std::os::unix::net::UnixListener::bind(&path).unwrap());
    Endpoint::new(on_socket(&path)).start().unwrap().stop().await;
    std::fs::write(&path, "a file").unwrap();
    let error = Endpoint::new(on_socket(&path)).start().map(drop).unwrap_err();
    assert!(error.to_string().contains("not a socket"), "{error}");
    std::fs::remove_file(&path).unwrap();
}

// ---- the configuration

#[test]
fn the_configuration_is_checked() {
    let load = |sets: &[&str]| {
        let sets: Vec<String> = sets.iter().map(ToString::to_string).collect();
        Config::load(None, [], &sets, None).map_err(|errors| errors.to_string())
    };
    let [listen, keys] = settings();
    let key = |text: &str| format!("api.keys=[{{ {text} }}]");
    for (sets, expected) in [
        (&[&*listen][..], "api.keys: empty, but api.listen is 127.0.0.1:0: only a unix socket needs no key"),
        (&["api.listen=4001"], "api.listen: must be an address"),
        (&["api.listen=unix:api.sock"], "is not unix: and an absolute path of at most 107 bytes"),
        (&["api.listen=somewhere"], "or unix:/run/handclasp/api.sock"),
        (&["api.listen=127.0.0.1:4000", &keys], "api.listen: 127.0.0.1:4000 is server.listen too"),
        (&["api.keys=1"], "entry 1: must be { name, key, permissions }"),
        (&[&key(r#"name = "a", key = "hunter2", permissions = ["read"]"#)], "entry 1: key: 7 bytes are not 32 to 512"),
        (&[&key(&format!(r#"name = "a b", key = "{ALL}", permissions = ["read"]"#))], "entry 1: name: must be"),
        (&[&key(&format!(r#"name = "a", key = "{ALL}""#))], "entry 1: permissions: missing"),
        (&[&key(&format!(r#"name = "a", key = "{ALL}", permissions = []"#))], "permissions: must be some of read"),
        (&[&key(&format!(r#"name = "a", key = "{ALL}", permissions = ["write"]"#))], "must be one of read, publish"),
        (&[&key(&format!(r#"name = "a", key = "{ALL}", permission = ["read"]"#))], "has only the fields name, key"),
        (
            &[&key(r#"name = "a", key = "replace-this-example-by-openssl-rand-base64-32", permissions = ["read"]"#)],
            "entry 1: key: is the key of an example",
        ),
        (
            &[&format!(
                r#"api.keys=[{{ name = "a", key = "{ALL}", permissions = ["read"] }}, {{ name = "b", key = "{ALL}", permissions = ["read"] }}]"#
            )],
            "entries 1 and 2 have the same name or the same key",
        ),
        (&["api.hosts=[]"], "api.hosts: must not be empty"),
        (&["api.hosts=a b"], "api.hosts: entry 1: must be a host name"),
    ] {
        let error = load(sets).unwrap_err();
        assert!(error.contains(expected) && !error.contains("hunter2") && !error.contains(ALL), "{error}");
    }
    let warnings = |sets: &[&str]| load(sets).unwrap().warnings().join("\n");
    assert!(!warnings(&[&listen, &keys]).contains("api"));
    assert!(
        warnings(&["api.listen=0.0.0.0:4001", &keys]).contains("api.listen: other machines can reach 0.0.0.0:4001")
    );
    assert!(warnings(&["api.listen=unix:/run/a.sock", &keys]).contains("api.keys: not asked for"));
    assert!(!format!("{:?}", load(&[&listen, &keys]).unwrap()).contains(ALL));
}
