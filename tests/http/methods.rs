//! Which methods each resource serves: HEAD is GET without a body, OPTIONS is 204, and any other method is 405. Both
//! responses say in `Allow` which methods there are.

use std::net::SocketAddr;

use handclasp::{Endpoint, Node};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::common::{TIMEOUT, config, node};

/// Sends a request whose connection the server closes, and returns the head (in lower case) and the rest.
async fn response(address: SocketAddr, request: &str) -> (String, Vec<u8>) {
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut bytes = Vec::new();
    timeout(TIMEOUT, stream.read_to_end(&mut bytes)).await.expect("the end of the response").unwrap();
    let end = bytes.windows(4).position(|four| four == b"\r\n\r\n").expect("a head") + 4;
    let body = bytes.split_off(end);
    (String::from_utf8(bytes).unwrap().to_lowercase(), body)
}

async fn request(address: SocketAddr, method: &str, path: &str) -> (String, Vec<u8>) {
    response(address, &format!("{method} {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n")).await
}

fn header<'a>(head: &'a str, name: &str) -> Option<&'a str> {
    head.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(": "))
}

const PLAIN: [&str; 5] = ["/healthz", "/readyz", "/", "/index.html", "/lib/index.js"];

#[actix_web::test]
async fn head_is_get_without_a_body() {
    let node = node(&["metrics.listen=127.0.0.1:0"]);
    let public = PLAIN.into_iter().chain(["/ice", "/peerjs/id", "/nothing"]).map(|path| (node.address(), path));
    for (address, path) in public.chain([(node.metrics_address().unwrap(), "/metrics")]) {
        let (get, content) = request(address, "GET", path).await;
        let (head, body) = request(address, "HEAD", path).await;
        assert!(!content.is_empty() && body.is_empty(), "{path}: {body:?}");
        assert_eq!(get[..12], head[..12], "{path}");
        for name in ["content-type", "cache-control", "vary", "etag"] {
            assert_eq!(header(&get, name), header(&head, name), "{path}: {name}");
        }
        let length = header(&head, "content-length").map(|length| length.parse::<usize>().unwrap());
        // the size of the metrics changes with each request
        assert!(path == "/metrics" || length == Some(content.len()), "{path}: {head}");
    }
}

#[actix_web::test]
async fn options_on_the_root_is_a_health_check_of_haproxy() {
    let (own, paths) = (std::env::temp_dir(), ["/", "*"]);
    let own = format!("page.dir={}", own.display());
    let pages = [vec![], vec!["page.enabled=false"], vec![&*own]].map(|sets| node(&sets));
    let bare = Endpoint::bare(config(&[])).start().unwrap();
    for node in pages.iter().chain([&bare]) {
        for path in paths {
            for rest in ["HTTP/1.0\r\n\r\n", "HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"] {
                let (head, body) = response(node.address(), &format!("OPTIONS {path} {rest}")).await;
                assert_eq!((&head[8..12], &*body), (" 204", &b""[..]), "{path}: {head}");
                assert!(header(&head, "allow").is_some_and(|allow| allow.contains("options")), "{path}: {head}");
            }
        }
    }
}

fn allowed(node: &Node) -> [(SocketAddr, &'static str, &'static str); 13] {
    let public = node.address();
    let files = "get, head, options";
    [
        (public, "/healthz", files),
        (public, "/readyz", files),
        (public, "/", files),
        (public, "/lib/index.js", files),
        (public, "/ice", files),
        (public, "/peerjs/id", files),
        (public, "/peerjs/peers/", files),
        (public, "/hello", files),
        (public, "/relay", files),
        (public, "/socket.io/socket.io.js", files),
        (public, "/socket.io/1/", "get, post, options"),
        (public, "/peerjs/ann/t/offer", "post, options"),
        (node.metrics_address().unwrap(), "/metrics", files),
    ]
}

#[actix_web::test]
async fn a_method_that_a_resource_does_not_serve_is_405_and_options_says_which_it_serves() {
    let node = node(&["metrics.listen=127.0.0.1:0", "relay.enabled=true", "hello.enabled=true"]);
    for (address, path, allow) in allowed(&node) {
        for (method, status) in [("PUT", " 405"), ("DELETE", " 405"), ("OPTIONS", " 204")] {
            let (head, _) = request(address, method, path).await;
            assert_eq!(&head[8..12], status, "{method} {path}: {head}");
            let allowed = header(&head, "allow").map(|allow| allow.replace(",", ", ").replace("  ", " "));
            assert_eq!(allowed.as_deref(), Some(allow), "{method} {path}: {head}");
        }
    }
}

#[actix_web::test]
async fn a_websocket_is_opened_by_get_alone() {
    let node = node(&["relay.enabled=true", "hello.enabled=true"]);
    let session = "/socket.io/?EIO=4&transport=websocket";
    for path in ["/relay", "/hello", session] {
        for method in ["HEAD", "POST", "PUT"] {
            let upgrade = "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n\
                           Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n";
            let (head, _) =
                response(node.address(), &format!("{method} {path} HTTP/1.1\r\nHost: localhost\r\n{upgrade}\r\n"))
                    .await;
            assert!(matches!(&head[8..12], " 400" | " 405"), "{method} {path}: {head}");
        }
    }
    assert_eq!(node.connections(), 0);
}
