//! The host names of a node: what a page of another name (DNS rebinding) cannot reach, what honest requests may name,
//! and the host that a trusted proxy forwards.

use std::net::SocketAddr;

use handclasp::{Endpoint, Node};

use crate::common::{Client, config, get, metric, node, wait_until_empty};

const UPGRADE: &str = "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n\
                       Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n";
const PROXY: &str = "server.trusted_proxies=127.0.0.1";
const PUBLIC: &str = "server.public_urls=https://broker.example.com";

/// Sends a request: its first line without the version, and its header lines. Returns the status and the body.
async fn ask(address: SocketAddr, first: &str, lines: &str) -> (u16, String) {
    let (mut client, head) = Client::request(address, &format!("{first} HTTP/1.1\r\n{lines}\r\n")).await;
    let status = head[9..12].parse().unwrap();
    let is_endless = status == 101 || head.contains("transfer-encoding: chunked");
    let body = if is_endless || first.starts_with("HEAD") { Vec::new() } else { client.body(&head).await };
    (status, String::from_utf8_lossy(&body).into_owned())
}

/// The status of a request for the page with this `Host`.
async fn named(address: SocketAddr, host: &str) -> u16 {
    ask(address, "GET /healthz", &format!("Host: {host}\r\n")).await.0
}

/// A node that listens on all addresses, and its loopback address.
fn on_all_addresses(sets: &[&str]) -> (Node, SocketAddr) {
    let mut config = config(sets);
    config.server.listen = ([0, 0, 0, 0], 0).into();
    let node = Endpoint::new(config).start().unwrap();
    let address = ([127, 0, 0, 1], node.address().port()).into();
    (node, address)
}

#[actix_web::test]
async fn a_page_of_another_name_reaches_nothing_on_a_loopback_address() {
    for sets in [&[][..], &[PROXY], &[PROXY, PUBLIC]] {
        let all_on = ["hello.enabled=true", "relay.enabled=true", "metrics.listen=127.0.0.1:0"];
        let node = node(&[&all_on[..], sets].concat());
        let address = node.address();
        let mut refused = 0;
        for (first, more) in [
            ("GET /", "Accept: text/html\r\n"),
            ("GET /lib/index.js", ""),
            ("GET /healthz", ""),
            ("HEAD /readyz", ""),
            ("OPTIONS /", ""),
            ("OPTIONS *", ""),
            ("GET /ice", ""),
            ("GET /nothing", ""),
            ("GET /socket/longpoll?vsn=2.0.0", ""),
            ("POST /socket/longpoll", "Content-Length: 0\r\n"),
            ("GET /peerjs/id", ""),
            ("POST /peerjs/a/t/id", "Content-Length: 0\r\n"),
            ("GET /socket.io/?EIO=4&transport=polling", ""),
            ("GET /socket.io/1/", ""),
            ("GET /socket/websocket", UPGRADE),
            ("GET /peerjs?key=peerjs&id=a&token=t", UPGRADE),
            ("GET /socket.io/?EIO=4&transport=websocket", UPGRADE),
            ("GET /hello", UPGRADE),
            ("GET /", UPGRADE),
            ("GET /relay", UPGRADE),
        ] {
            // the scripts of such a page can send any header but these two
            for forged in ["", "X-Forwarded-Host: localhost\r\nForwarded: host=localhost\r\n"] {
                let page = "Host: evil.example:4000\r\nOrigin: http://evil.example:4000\r\n";
                let (status, body) = ask(address, first, &format!("{page}{forged}{more}")).await;
                assert_eq!(status, 421, "{sets:?} {first} {forged}: {body}");
                if !first.starts_with("HEAD") {
                    for part in ["host \"evil.example:4000\" is not", "localhost, 127.0.0.1", "server.public_urls"] {
                        assert!(body.contains(part), "no {part} in {body}");
                    }
                }
                refused += 1;
            }
        }
        let counted = metric(node.metrics_address().unwrap(), "handclasp_hosts_refused_total").await;
        assert_eq!(counted, Some(refused));
        wait_until_empty(&node).await;
    }
}

#[actix_web::test]
async fn a_loopback_address_has_the_names_of_loopback_and_its_public_ones() {
    let node = node(&["server.public_urls=[\"https://broker.example.com/app\", \"http://192.0.2.1:8080\"]"]);
    for host in [
        "localhost",
        "LocalHost:4000",
        "localhost.:4000",
        "a.b.localhost",
        "127.0.0.1",
        "127.9.9.9:1",
        "[::1]:4000",
        "[::ffff:127.0.0.1]",
        "broker.example.com",
        "BROKER.example.com.:8443",
        "192.0.2.1",
        "",
    ] {
        assert_eq!(named(node.address(), host).await, 200, "{host}");
    }
    for host in [
        "evil.example",
        "localhost.evil.example",
        "127.0.0.1.evil.example",
        "sub.broker.example.com",
        "example.com",
        "192.0.2.2",
        "127.1",
        "2130706433",
        "0x7f000001",
        "[::2]",
        "localhost@evil.example",
        "localhost:x",
        "localhost evil.example",
        "localhost, evil.example",
        "evil.example, localhost x",
        "localhost\r\nHost: evil.example",
        "evil.example\r\nHost: localhost",
        "\u{e9}",
    ] {
        let status = named(node.address(), host).await;
        assert!([400, 421].contains(&status), "{host:?}: {status}");
    }
}

/// HAProxy's plain check, and other old health checks.
#[actix_web::test]
async fn requests_without_a_host_are_answered() {
    let node = node(&[PUBLIC]);
    for (request, status) in [
        ("OPTIONS / HTTP/1.0\r\n\r\n", "204"),
        ("GET /healthz HTTP/1.0\r\n\r\n", "200"),
        ("HEAD /readyz HTTP/1.0\r\n\r\n", "200"),
        ("GET /healthz HTTP/1.1\r\n\r\n", "400"),
    ] {
        let (_, head) = Client::request(node.address(), request).await;
        assert_eq!(&head[9..12], status, "{request}");
    }
}

#[actix_web::test]
async fn other_listeners_are_checked_only_if_they_know_their_public_urls() {
    let (_open, address) = on_all_addresses(&[]);
    assert_eq!(named(address, "any.example").await, 200);
    let (_named, address) = on_all_addresses(&[PUBLIC]);
    for (host, status) in
        [("any.example", 421), ("broker.example.com", 200), ("localhost", 200), ("0.0.0.0", 200), ("192.0.2.1", 421)]
    {
        assert_eq!(named(address, host).await, status, "{host}");
    }
}

#[actix_web::test]
async fn a_trusted_proxys_host_must_be_a_public_one_too() {
    let (named, unnamed) = (node(&[PROXY, PUBLIC]), node(&[PROXY]));
    let status = async |node: &Node, host: &str, forwarded: &str| {
        let lines = format!("Host: {host}\r\nX-Forwarded-Host: {forwarded}\r\n");
        ask(node.address(), "GET /healthz", &lines).await.0
    };
    for (host, forwarded, expected) in [
        ("127.0.0.1:4000", "broker.example.com", 200),
        ("localhost", "forged.example, broker.example.com", 200),
        ("127.0.0.1:4000", "evil.example", 421),
        ("127.0.0.1:4000", "broker.example.com, evil.example", 421),
        ("127.0.0.1:4000", "broker.example.com\r\nX-Forwarded-Host: evil.example", 421),
        ("evil.example", "broker.example.com", 421),
    ] {
        assert_eq!(status(&named, host, forwarded).await, expected, "{host} {forwarded}");
    }
    assert_eq!(status(&unnamed, "127.0.0.1:4000", "broker.example.com").await, 200, "its names are not known");
    assert_eq!(status(&node(&[PUBLIC]), "127.0.0.1:4000", "evil.example").await, 200, "nobody trusts the header");
}

/// Apache's `ProxyPass` sends its own address as `Host`, and the client's as `X-Forwarded-Host`.
#[actix_web::test]
async fn same_compares_with_the_host_that_a_trusted_proxy_forwards() {
    let (trusting, other) = (node(&[PROXY]), node(&[]));
    let status = async |node: &Node, origin: &str, forwarded: &str| {
        let host = node.address();
        let lines = format!("Host: {host}\r\nOrigin: {origin}\r\nX-Forwarded-Host: {forwarded}\r\n{UPGRADE}");
        ask(node.address(), "GET /socket/websocket", &lines).await
    };
    for (origin, forwarded, expected) in [
        ("https://broker.example.com", "broker.example.com", 101),
        ("https://broker.example.com:8443", "broker.example.com:8443", 101),
        ("https://broker.example.com", "forged.example, broker.example.com", 101),
        ("https://broker.example.com", "broker.example.com:8443", 403),
        ("https://forged.example", "forged.example, broker.example.com", 403),
        ("https://evil.example", "broker.example.com", 403),
        (&format!("http://{}", trusting.address()), "broker.example.com", 403),
    ] {
        let (status, body) = status(&trusting, origin, forwarded).await;
        assert_eq!(status, expected, "{origin} {forwarded}: {body}");
        assert!(status == 101 || body.contains(&format!("\"{forwarded}\" (by X-Forwarded-Host)")), "{body}");
    }
    let (refused, body) = status(&other, "https://broker.example.com", "broker.example.com").await;
    assert_eq!(refused, 403);
    let why =
        r#"without X-Forwarded-Host "broker.example.com", because server.trusted_proxies does not name 127.0.0.1"#;
    assert!(body.contains(why), "{body}");
    let own = format!("http://{}", other.address());
    assert_eq!(status(&other, &own, "evil.example").await.0, 101, "nobody trusts the header");
}

#[actix_web::test]
async fn a_page_of_another_name_cannot_read_the_metrics_of_a_loopback_address() {
    let node = node(&["metrics.listen=127.0.0.1:0", PROXY, PUBLIC]);
    let metrics = node.metrics_address().unwrap();
    let (status, body) = ask(metrics, "GET /metrics", "Host: evil.example\r\nX-Forwarded-Host: localhost\r\n").await;
    assert_eq!((status, body.contains("handclasp_")), (421, false), "{body}");
    assert!(body.contains("host \"evil.example\" is not"), "{body}");
    for host in ["localhost:9464", "127.0.0.1", "broker.example.com", ""] {
        assert_eq!(ask(metrics, "GET /metrics", &format!("Host: {host}\r\n")).await.0, 200, "{host}");
    }
    assert_eq!(get(metrics, "/metrics").await.0, 200);
    // a scraper on another machine may use any name, such as the one of a container
    let mut open = config(&[PUBLIC]);
    open.metrics.listen = Some(([0, 0, 0, 0], 0).into());
    let open = Endpoint::new(open).start().unwrap();
    let address = ([127, 0, 0, 1], open.metrics_address().unwrap().port()).into();
    assert_eq!(ask(address, "GET /metrics", "Host: handclasp:9464\r\n").await.0, 200);
}
