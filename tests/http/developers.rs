//! The developers' pages: where they are, what they say of the node, and how they are turned off.

use std::path::PathBuf;

use serde_json::{Value, json};

use crate::common::{Client, node};

/// Requests `path` as a browser does, and returns the head (in lower case) and the body of the response.
async fn get(sets: &[&str], path: &str) -> (String, String) {
    let node = node(sets);
    let request = format!("GET {path} HTTP/1.1\r\nHost: localhost\r\nAccept: text/html,*/*;q=0.8\r\n\r\n");
    let (mut client, head) = Client::request(node.address(), &request).await;
    let body = client.body(&head).await;
    (head, String::from_utf8(body).unwrap())
}

fn status(head: &str) -> &str {
    head.split(' ').nth(1).unwrap()
}

/// A new folder for a page of one's own.
fn folder(name: &str) -> PathBuf {
    let folder = std::env::temp_dir().join(format!("handclasp-developers-{name}-{}", std::process::id()));
    std::fs::create_dir_all(folder.join("dev")).unwrap();
    std::fs::write(folder.join("index.html"), "mine").unwrap();
    folder
}

#[actix_web::test]
async fn a_folder_is_found_without_its_slash_also_below_a_path_of_a_proxy() {
    for (path, location) in [("/dev", "./dev/"), ("/dev?a=b", "./dev/?a=b"), ("/examples", "./examples/")] {
        let (head, _) = get(&[], path).await;
        assert_eq!(status(&head), "307", "{path}: {head}");
        assert!(head.contains(&format!("\r\nlocation: {location}\r\n")), "{path}: {head}");
    }
    for path in ["/dev/", "/examples/", "/docs/protocols.md", "/lib/README.md"] {
        let (head, _) = get(&[], path).await;
        assert_eq!(status(&head), "200", "{path}: {head}");
        assert!(head.contains("content-security-policy: default-src 'none'"), "{path}: {head}");
    }
}

async fn endpoints(sets: &[&str]) -> Value {
    let (head, body) = get(sets, "/dev/endpoints.json").await;
    assert!(head.contains("content-type: application/json"), "{head}");
    serde_json::from_str(&body).unwrap()
}

#[actix_web::test]
async fn the_endpoints_are_those_that_are_on() {
    let expected = json!({"endpoints": [
        {"protocol": "phoenix", "path": "/socket", "pages": "same"},
        {"protocol": "phoenix", "path": "/ws", "pages": "same"},
        {"protocol": "phoenix", "path": "/peer", "pages": "same"},
        {"protocol": "peerjs", "path": "", "pages": "any", "needs_key": false},
        {"protocol": "socketio", "path": "/socket.io", "pages": "any"},
        {"protocol": "ice", "path": "/ice", "pages": "same"},
    ]});
    assert_eq!(endpoints(&[]).await, expected);
    let sets = [
        "socket.mounts=/one",
        "socket.check_origin=https://customer.example",
        "peerjs.path=/calls",
        "peerjs.key=hidden",
        "socketio.enabled=false",
        "hello.enabled=true",
        "relay.enabled=true",
        "ice.enabled=false",
        "peer.ice_servers=[{ urls = \"stun:stun.example\" }]",
    ];
    let expected = json!({"endpoints": [
        {"protocol": "phoenix", "path": "/one", "pages": "listed"},
        {"protocol": "hello", "path": "/hello", "pages": "any"},
        {"protocol": "peerjs", "path": "/calls", "pages": "any", "needs_key": true},
        {"protocol": "relay", "path": "/relay", "pages": "any"},
    ]});
    assert_eq!(endpoints(&sets).await, expected, "and no key, origin or server");
}

#[actix_web::test]
async fn without_the_developers_pages_no_page_links_to_them() {
    for path in ["/dev", "/dev/", "/dev/main.js", "/dev/endpoints.json", "/examples/", "/examples", "/docs/README.md"] {
        let (head, _) = get(&["page.dev=false"], path).await;
        assert_eq!(status(&head), "404", "{path}: {head}");
    }
    let ((_, with), (head, without)) = (get(&[], "/").await, get(&["page.dev=false"], "/").await);
    assert_eq!((status(&head), with.contains("dev/"), without.contains("dev/")), ("200", true, false));
    assert!(without.ends_with("</html>\n"), "{without}");
    let (head, _) = get(&["page.dev=false"], "/lib/index.js").await;
    assert_eq!(status(&head), "200", "the library is there: {head}");
}

#[actix_web::test]
async fn they_stand_beside_a_page_of_ones_own_which_comes_first() {
    let folder = folder("own");
    let own = format!("page.dir={}", folder.display());
    let (head, body) = get(&[&own], "/dev/").await;
    assert!(status(&head) == "200" && body.contains("main.js"), "{head}");
    assert!(head.contains("content-security-policy: default-src 'none'"), "{head}");
    for (path, expected) in [("/dev/main.js", "200"), ("/lib/index.js", "200"), ("/app/main.js", "404")] {
        let (head, _) = get(&[&own], path).await;
        assert_eq!(status(&head), expected, "{path}: {head}");
    }
    for path in ["/dev/", "/lib/index.js", "/icon.svg"] {
        let (head, _) = get(&[&own, "page.dev=false"], path).await;
        assert_eq!(status(&head), "404", "{path}: {head}");
    }
    std::fs::write(folder.join("dev/index.html"), "my own").unwrap();
    for sets in [&[&*own][..], &[&own, "page.dev=false"]] {
        let (head, body) = get(sets, "/dev/").await;
        assert_eq!((status(&head), &*body), ("200", "my own"), "{sets:?}");
        assert!(!head.contains("content-security-policy"), "{head}");
    }
    std::fs::remove_dir_all(folder).unwrap();
}
