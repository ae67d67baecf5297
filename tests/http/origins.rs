//! Which origins may open a WebSocket: the entries of `socket.check_origin` against real and forged `Origin` headers, the
//! defaults of each protocol, and what a refused page is told.

use handclasp::Node;
use handclasp::config::Origins;
use serde_json::Value;

use crate::common::{Client, node};

fn admits(entries: &[&str], origin: &str) -> bool {
    Origins::parse(entries).unwrap().allows(Some(origin), Some("broker.test:4000"))
}

fn same(origin: &str, host: &str) -> bool {
    Origins::default().allows(Some(origin), Some(host))
}

#[test]
fn a_request_without_an_origin_is_allowed() {
    for entries in [&["same"][..], &["any"], &["https://example.com"]] {
        assert!(Origins::parse(entries).unwrap().allows(None::<&str>, Some("broker.test")));
    }
}

#[test]
fn same_compares_host_and_port_with_the_host_header() {
    assert!(same("http://broker.test:4000", "broker.test:4000"));
    assert!(same("http://Broker.TEST:4000", "bROKER.test:4000"));
    assert!(!same("http://broker.test:4001", "broker.test:4000"));
    assert!(!same("http://broker.test", "broker.test:4000"));
    assert!(!same("http://localhost:4000", "127.0.0.1:4000"));
    assert!(!same("http://sub.broker.test:4000", "broker.test:4000"));
    assert!(!Origins::default().allows(Some("http://broker.test"), None));
}

#[test]
fn same_knows_the_default_ports() {
    assert!(same("https://broker.test", "broker.test"));
    assert!(same("https://broker.test", "broker.test:443"));
    assert!(same("http://broker.test:80", "broker.test"));
    assert!(!same("https://broker.test", "broker.test:80"));
    assert!(same("http://[::1]:4000", "[::1]:4000"));
    assert!(!same("http://[::1]:4000", "[::2]:4000"));
}

#[test]
fn a_scheme_implies_its_port() {
    let entries = &["https://example.com"];
    assert!(admits(entries, "https://example.com"));
    assert!(admits(entries, "https://example.com:443"));
    assert!(!admits(entries, "https://example.com:444"));
    assert!(!admits(entries, "http://example.com"));
    assert!(!admits(entries, "http://example.com:443"));
}

#[test]
fn an_entry_without_a_scheme_or_port_allows_any() {
    assert!(admits(&["//sub.example.org:8443"], "http://sub.example.org:8443"));
    assert!(admits(&["//sub.example.org:8443"], "https://sub.example.org:8443"));
    assert!(!admits(&["//sub.example.org:8443"], "https://sub.example.org"));
    assert!(admits(&["//example.org"], "http://example.org:1234"));
    assert!(admits(&["capacitor://localhost"], "capacitor://localhost"));
    assert!(!admits(&["//example.org:80"], "capacitor://example.org"));
}

#[test]
fn a_star_matches_the_domain_and_all_subdomains() {
    for origin in ["https://wild.test", "http://a.wild.test:9", "https://a.b.c.wild.test", "https://A.WILD.test"] {
        assert!(admits(&["//*.wild.test"], origin), "{origin}");
    }
    for origin in ["https://awild.test", "https://wild.test.evil", "https://test", "https://.wild.test"] {
        assert!(!admits(&["//*.wild.test"], origin), "{origin}");
    }
    assert!(!admits(&["https://*.wild.test"], "http://a.wild.test"));
}

#[test]
fn similar_domains_are_rejected() {
    let entries = &["https://example.com", "//other.example"];
    for origin in [
        "https://evil-example.com",
        "https://example.com.evil.test",
        "https://example.com.",
        "https://example.comm",
        "https://xn--xample-2of.com",
        "https://ехаmple.com",
    ] {
        assert!(!admits(entries, origin), "{origin}");
    }
    assert!(admits(&["https://xn--bcher-kva.example"], "https://XN--bcher-kva.example"));
}

#[test]
fn case_is_ignored() {
    assert!(admits(&["https://example.com"], "HTTPS://EXAMPLE.com"));
    assert!(admits(&["HTTPS://Example.COM"], "https://example.com"));
    assert!(!admits(&["HTTPS://Example.COM"], "https://example.com:444"));
}

#[test]
fn an_invalid_origin_is_allowed_only_by_any() {
    for origin in [
        "",
        " ",
        "nul",
        "file:/",
        "file:///",
        "file://a",
        "https://",
        "//example.com",
        "example.com",
        "https:example.com",
        "https://user@example.com",
        "https://user:pw@example.com",
        "https://example.com@evil.test",
        "https://example.com/",
        "https://example.com/path",
        "https://example.com?q",
        "https://example.com#f",
        "https://example.com\\@evil.test",
        "https://example.com:",
        "https://example.com:0",
        "https://example.com:+443",
        "https://example.com:65536",
        "https://example.com:443:443",
        "https://example.com https://example.com",
        "https://example.com, https://example.com",
        " https://example.com",
        "https://example.com\0",
        "https://[::1",
        "https://[::1]x",
        "https://[example.com]",
        "1https://example.com",
        "://example.com",
    ] {
        assert!(!admits(&["same", "https://example.com", "//example.com"], origin), "{origin:?}");
        assert!(!same(origin, origin.trim_start_matches("https://")), "{origin:?} as its own host");
        assert!(admits(&["any"], origin), "{origin:?}");
    }
}

#[test]
fn a_page_that_hides_its_origin_must_be_listed() {
    assert!(admits(&["null"], "NULL") && !admits(&["any"], "NULL"), "case is ignored here too");
    for refusing in [&["same"][..], &["any"], &["file://"], &["https://example.com"], &["//null"]] {
        assert!(!admits(refusing, "null"), "{refusing:?}");
    }
    for allowing in [&["null"][..], &["any", "null"], &["null", "any"], &["same", "null"]] {
        assert!(admits(allowing, "null"), "{allowing:?}");
    }
    let any = Origins::parse(&["any"]).unwrap();
    for twice in [["null", "https://a.test"], ["https://a.test", "null"], ["null", "null"]] {
        assert!(!any.allows(twice, None), "{twice:?}");
    }
    assert!(!admits(&["null"], "file://") && !admits(&["null"], "https://example.com"));
}

#[test]
fn pages_in_a_file_of_an_embedded_browser_can_be_listed() {
    assert!(admits(&["file://"], "file://") && admits(&["same", "file://"], "FILE://") && admits(&["any"], "file://"));
    assert!(!admits(&["same"], "file://") && !admits(&["null"], "file://"));
    for other in ["null", "file:///", "file://host", "https://example.com"] {
        assert!(!admits(&["file://"], other), "{other}");
    }
}

#[test]
fn a_repeated_origin_header_is_rejected() {
    let origins = Origins::parse(&["https://example.com"]).unwrap();
    assert!(origins.allows(["https://example.com"], None));
    assert!(!origins.allows(["https://example.com", "https://example.com"], None));
    assert!(!origins.allows([&b"https://ex\xffample.com"[..]], None));
}

#[test]
fn same_can_be_combined_with_entries_and_any_cannot() {
    assert!(admits(&["same", "https://example.com"], "http://broker.test:4000"));
    assert!(admits(&["same", "https://example.com"], "https://example.com"));
    assert!(!admits(&["https://example.com"], "http://broker.test:4000"));
    for other in ["same", "https://example.com", "file://"] {
        assert!(
            Origins::parse(&["any", other]).is_err() && Origins::parse(&[other, "any", "null"]).is_err(),
            "{other}"
        );
    }
    assert!(Origins::parse(&[""; 0]).is_err());
}

#[test]
fn an_invalid_entry_is_named_in_the_error() {
    for entry in [
        "",
        "*",
        "NULL",
        "file:///",
        "file://a/b",
        "example.com",
        "https://",
        "https:/example.com",
        "https://a.test/path",
        "//*.",
        "//*",
        "https://*example.com",
        "//u@a.test",
        "//a.test:0",
        "//*.[::1]",
        "//*.127.0.0.1",
        "ht tp://a.test",
        "Same",
    ] {
        let error = Origins::parse(&[entry]).unwrap_err().to_string();
        assert!(error.contains(&format!("{entry:?}")), "{error}");
    }
}

#[test]
fn a_list_is_displayed_as_it_was_written() {
    for entries in [
        &["same", "https://example.com", "//*.wild.test:81", "http://[::1]:4000", "null", "file://"][..],
        &["any"],
        &["null", "any"],
    ] {
        assert_eq!(Origins::parse(entries).unwrap().to_string(), entries.join(", "));
    }
}

/// The paths by which pages connect, with the methods and the keys of their protocols. `{}` is an upgrade's headers.
const DOORS: [(&str, &str, &str); 9] = [
    ("GET", "/socket/websocket", "socket.check_origin"),
    ("GET", "/socket/longpoll?vsn=2.0.0", "socket.check_origin"),
    ("GET", "/peerjs?key=peerjs&id=a&token=t", "peerjs.cors"),
    ("POST", "/peerjs/b/t/id", "peerjs.cors"),
    ("GET", "/socket.io/?EIO=4&transport=polling", "socketio.check_origin"),
    ("GET", "/socket.io/1/", "socketio.check_origin"),
    ("GET", "/hello", "hello.check_origin"),
    ("GET", "/relay", "relay.check_origin"),
    ("GET", "/ice", "ice.check_origin"),
];
const ALL_ON: [&str; 2] = ["hello.enabled=true", "relay.enabled=true"];

/// A request with this origin: whether it was served, and what else it was told.
async fn knock(node: &Node, (method, path, _): (&str, &str, &str), origin: &str) -> (bool, String) {
    let upgrade =
        match path.starts_with("/peerjs/") || ["polling", "longpoll", "/1/", "/ice"].iter().any(|p| path.contains(p)) {
            true => "Content-Length: 0\r\n",
            false => {
                "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n\
             Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
            }
        };
    let host = node.address();
    let request = format!("{method} {path} HTTP/1.1\r\nHost: {host}\r\nOrigin: {origin}\r\n{upgrade}\r\n");
    let (mut client, head) = Client::request(node.address(), &request).await;
    if head.starts_with("HTTP/1.1 101") || head.contains("transfer-encoding: chunked") {
        return (true, String::new());
    }
    let body = String::from_utf8(client.body(&head).await).unwrap();
    (head.starts_with("HTTP/1.1 200") && !body.contains(r#""status":403"#), body)
}

fn sets(origins: &str) -> Vec<String> {
    let keys = DOORS.map(|(_, _, key)| format!("{key}={origins}"));
    keys.into_iter().chain(ALL_ON.map(str::to_owned)).collect()
}

fn node_with(origins: &str) -> Node {
    node(&sets(origins).iter().map(String::as_str).collect::<Vec<_>>())
}

#[actix_web::test]
async fn peerjs_refuses_pages_that_hide_their_origin_unless_they_are_listed() {
    let (default, listed) = (node(&[]), node(&[r#"peerjs.cors=["any", "null"]"#]));
    for door in DOORS.into_iter().filter(|(_, _, key)| *key == "peerjs.cors") {
        for origin in ["https://foreign.test", "file://"] {
            assert!(knock(&default, door, origin).await.0, "{door:?} {origin}");
        }
        assert!(!knock(&default, door, "null").await.0, "{door:?}");
        assert!(knock(&listed, door, "null").await.0, "{door:?}");
    }
    for (node, is_allowed) in [(&default, false), (&listed, true)] {
        let request = "GET /peerjs/id HTTP/1.1\r\nHost: localhost\r\nOrigin: null\r\n\r\n";
        let (_, head) = Client::request(node.address(), request).await;
        assert_eq!(head.contains("access-control-allow-origin: null"), is_allowed, "{head}");
    }
}

#[actix_web::test]
async fn each_protocol_can_list_null_and_file() {
    let (listed, same) = (node_with(r#"["null", "file://"]"#), node_with(r#"["same"]"#));
    for door in DOORS {
        for origin in ["null", "file://"] {
            let (is_served, body) = knock(&listed, door, origin).await;
            assert!(is_served, "{door:?} {origin}: {body}");
            assert!(!knock(&same, door, origin).await.0, "{door:?} {origin}");
        }
        assert!(!knock(&listed, door, "https://foreign.test").await.0, "{door:?}");
    }
}

#[actix_web::test]
async fn a_refused_page_is_told_its_origin_what_is_allowed_and_the_host_that_it_requested() {
    let node = node_with(r#"["same", "https://page.test"]"#);
    for door in DOORS {
        let (is_served, body) = knock(&node, door, "https://\u{e9}<b>\"evil\".test").await;
        assert!(!is_served, "{door:?}");
        let json: Value = serde_json::from_str(&body).unwrap_or_default();
        let text = ["message", "reason"].iter().find_map(|key| json[key].as_str()).unwrap_or(&body);
        for part in [
            r#"origin "https://\xc3\xa9<b>\"evil\".test" is not allowed"#.to_owned(),
            "allowed: same, https://page.test".to_owned(),
            format!("the host \"{}\"", node.address()),
        ] {
            assert!(text.contains(&part), "{door:?}: no {part} in {text}");
        }
    }
}
